"""What the compact form of an n-gram model saves: bytes, seconds until a search can ask it; and what rounding costs.

    python benchmarks/compact_lm.py [lm.arpa.gz held-out.txt] [--ngrams 1000000] [--rounds 3]

Without a model, a trigram of the training texts of the recipe numbers (asr run numbers), tried on those of its dev.
With --ngrams, the model is pruned to so many before. Each form is loaded in turns within one run: by KenLM as
flashlight-text has it, where that is installed, and by our own engine. A figure is the median of the rounds, of time on
the clock and, in brackets, of the processor's; imports do not count.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from asr.lm.corpus import read_sentences
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate
from asr.lm.ngram import NGramModel
from asr.lm.pruning import prune
from asr.lm.stored import read_ngrams, read_vocabulary, write_ngrams
from asr.search import flashlight

NUMBERS = Path("exp/numbers/data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("text", type=Path, nargs="?", default=NUMBERS / "dev.jsonl")
    parser.add_argument("--ngrams", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not options.text.exists():
        parser.exit(message=f"{options.text} is not there: name a model and a text, or run 'asr run numbers' first\n")
    with tempfile.TemporaryDirectory() as folder:
        arpa, compact = Path(folder) / "lm.arpa.gz", Path(folder) / "lm.ngram"
        model = read_ngrams(options.model) if options.model else trigram()
        if options.ngrams:
            before = model.perplexity(read_sentences([options.text])).perplexity
            model = prune(model, ngrams=options.ngrams)
            print(f"perplexity before pruning {before:.2f}")
        for path in (arpa, compact):
            write_ngrams(model, path)
            size = path.stat().st_size
            perplexity = read_ngrams(path).perplexity(read_sentences([options.text])).perplexity
            print(f"{path.name}: {size / 1e6:.2f} MB, {size / sum(model.counts):.2f} bytes an n-gram, {perplexity:.2f}")
        words = tuple(read_vocabulary(compact)[1])
        if flashlight.installed():
            compare("KenLM", lambda path: by_kenlm(path, words), arpa, compact, options.rounds)
        compare("our own engine", read_ngrams, arpa, compact, options.rounds)


def trigram() -> NGramModel:
    return estimate(count_ngrams(read_sentences([NUMBERS / "train.jsonl"]), 3))


def by_kenlm(path: Path, words: tuple[str, ...]) -> None:
    flashlight._kept_kenlm.cache_clear()
    flashlight._kenlm(path, words)


def compare(name: str, load: Callable[[Path], object], arpa: Path, compact: Path, rounds: int) -> None:
    load(compact)  # with its imports
    slow, fast = zip(*((seconds(load, arpa), seconds(load, compact)) for _ in range(rounds)), strict=True)
    (arpa_s, arpa_cpu_s), (compact_s, compact_cpu_s) = (map(median, zip(*each, strict=True)) for each in (slow, fast))
    print(
        f"{name}: ARPA {arpa_s:.2f} s ({arpa_cpu_s:.2f}), compact {compact_s:.2f} s ({compact_cpu_s:.2f}), "
        f"{arpa_s / compact_s:.1f} ({arpa_cpu_s / compact_cpu_s:.1f}) times as fast"
    )


def seconds(load: Callable[[Path], object], path: Path) -> tuple[float, float]:
    begun, begun_cpu = time.perf_counter(), time.process_time()
    load(path)
    return time.perf_counter() - begun, time.process_time() - begun_cpu


if __name__ == "__main__":
    main()
