"""Words that the model for English has not seen: how well and how fast it says them, beside g2p-en.

    pip install g2p-en
    python benchmarks/g2p.py cmudict.dict [--model DIR] [--words 2000]

The words are those of the test in the dictionary that the model was trained on, by family: see `asr.g2p.families`. The
likeliest pronunciation counts, without stress, against the nearest of the dictionary.

g2p-en (Park and Kim) is widely used in speech synthesis: a GRU that reads a word and a GRU that spells it, greedily, in
NumPy. It knows no apostrophe, so that words with one are left out. It was trained on CMUdict too, and does not tell on
which words: it may have seen these, and its figures flatter. Its dictionary and its tagger, which need NLTK's data, are
not asked, only what it says of words that it does not find: `G2p.predict`.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from asr.device import describe
from asr.g2p.pronouncer import Pronouncer, shipped
from asr.g2p.scoring import score
from asr.g2p.training import read_parts
from asr.lexicon.entries import STRESSED, Lexicon, Phones

Say = Callable[[Sequence[str]], list[Phones]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dictionary", type=Path, help="CMUdict's cmudict.dict")
    parser.add_argument("--model", type=Path, default=shipped())
    parser.add_argument("--split", default="family", choices=("family", "word"))
    parser.add_argument("--words", type=int, default=0, help="so many, taken evenly (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    test = read_parts(options.dictionary, options.split)["test"]
    words = [word for word in test.entries if "'" not in word]
    words = words[:: max(1, len(words) // options.words)] if options.words else words
    print(f"{describe(torch.device('cpu'))}, torch {torch.__version__}; {len(words)} words, by {options.split}")
    for name, say in systems(options.model).items():
        measure(name, say, test.only(words))


def systems(model: Path) -> dict[str, Say]:
    """What says words, by name; g2p-en only where it is installed."""
    found = {"asr, greedily": ours(model, 1), "asr, beam of 4": ours(model, 4), "asr, one by one": one_by_one(model)}
    try:
        return {**found, "g2p-en": peer()}
    except ImportError as error:
        print(f"g2p-en is left out: {error}")
        return found


def ours(model: Path, beam: int) -> Say:
    pronouncer = Pronouncer.load(model, beam=beam)
    return lambda words: [best.phones for (best,) in pronouncer.pronounce(words)]


def one_by_one(model: Path) -> Say:
    """As fast as for whoever asks for a word at a time."""
    say = ours(model, 4)
    return lambda words: [phones for word in words for phones in say([word])]


def peer() -> Say:
    import nltk

    nltk.download = lambda *_: False  # what it would ask for at import, and again at every start without a network
    from g2p_en import g2p

    module: Any = g2p
    module.cmudict = SimpleNamespace(dict=dict)
    model = module.G2p()
    return lambda words: [tuple(STRESSED.sub(r"\1", phone) for phone in model.predict(word)) for word in words]


def measure(name: str, say: Say, test: Lexicon) -> None:
    words = list(test.entries)
    say(words[:100])
    began = time.process_time()
    said = say(words)
    words_per_s = len(words) / (time.process_time() - began)
    print(f"{name:16} {score(test, dict(zip(words, said, strict=True)))}; {words_per_s:.0f} words/s of the processor")


if __name__ == "__main__":
    main()
