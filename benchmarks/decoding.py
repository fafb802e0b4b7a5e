"""Beam search on the posteriors of a trained model: speed and word errors, against pyctcdecode and against greedy.

    python benchmarks/decoding.py [MODEL MANIFEST --lm 3gram.arpa.gz --lm 4gram.arpa.gz --lm char6.arpa.gz]
        [--rescore LSTM_FOLDER] [--peer-python PEER/bin/python]

Without a model, that of the recipe numbers (asr run numbers) with a trigram of its training texts.
Every language model is tuned in the same way on the same utterances of dev (see `asr.tuning`), the peer with the first
one too. Speeds are of one process, in turns within one run. The bound for greedy decoding and word times is the
acoustic forward pass.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.decoder import Decoder, DecodingConfig, distinct
from asr.device import describe
from asr.lm import rescoring
from asr.lm.arpa import write_arpa
from asr.lm.corpus import read_sentences
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate
from asr.lm.neural import NeuralModel
from asr.metrics import score, total
from asr.reading import Reader, gone_over
from asr.recognizer import Recognizer, load
from asr.scoring.bootstrap import interval
from asr.text import normalise
from asr.tuner import Dev, hear
from asr.tuning import THRESHOLDS, Tuning

Matrices = Sequence[NDArray[Any]]

TURNS = 3
"""In which we and the peer are timed, one after the other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=Path("exp/numbers/model"))
    parser.add_argument("manifest", type=Path, nargs="?", default=Path("exp/numbers/data/dev.jsonl"))
    parser.add_argument("--lm", type=Path, action="append", default=[], help="default: a trigram of the training texts")
    parser.add_argument("--rescore", type=Path)
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--tune-on", type=int, default=120, help="utterances, spread over all")
    parser.add_argument("--time-on", type=int, default=150, help="utterances, spread over all")
    parser.add_argument("--peer-on", type=int, default=300, help="utterances that the peer is scored on")
    parser.add_argument("--beam", type=int, default=50)
    options = parser.parse_args()
    if not options.model.is_dir():
        parser.exit(message=f"{options.model} is not there: name a model, or run 'asr run numbers' first\n")
    with tempfile.TemporaryDirectory() as folder:
        options.lm = options.lm or [trigram(options.manifest.with_name("train.jsonl"), Path(folder) / "lm.arpa")]
        measure(options)


def trigram(manifest: Path, path: Path) -> Path:
    write_arpa(estimate(count_ngrams(read_sentences([manifest]), 3, "words", None)), path)
    return path


def measure(options: argparse.Namespace) -> None:
    recognizer = load(options.model, "cpu", greedy=True)
    dev = hear(recognizer, options.manifest)
    print(f"{dev.title}; {describe(recognizer.device)}")
    greedy_share(recognizer, dev)
    vocabulary = recognizer.checkpoint.vocabulary
    greedy = Reader(vocabulary, recognizer.frame_s)
    report(dev, "greedy", [reading.text for reading in greedy.read(dev.matrices, durations(dev))])
    timed = spread(dev, options.time_on)
    for number, path in enumerate(options.lm):
        decoder = Decoder(vocabulary, DecodingConfig(beam=options.beam), path)
        if decoder.units == "characters":
            decoder = decoder.reweighted(replace(decoder.config, word_score=0.0))
        decoder = with_model(dev, decoder, options.tune_on)
        time_of(dev, decoder, timed)
        if number == 0:
            own_engine(dev, timed[:10], decoder)
            if options.rescore:
                rescored(dev, decoder, options.rescore)
            if options.peer_python:
                peer(dev, timed, options, decoder)


def with_model(dev: Dev, decoder: Decoder, tune_on: int) -> Decoder:
    """The decoder tuned; its WER is reported."""
    tuned = tuned_on(dev, tune_on, decoder.config, lambda config, part: texts(decoder.reweighted(config), part))
    decoder = decoder.reweighted(tuned)
    assert decoder.language_model
    report(dev, f"{decoder.language_model.name}, {weights(tuned)}", texts(decoder, dev.matrices))
    return decoder


def time_of(dev: Dev, decoder: Decoder, places: Sequence[int]) -> float:
    """Seconds for some utterances, in this process alone."""
    taken_s = seconds(lambda: [decoder.decode(matrix) for matrix in part_of(dev, places)])
    audio_s = sum(durations(dev)[place] for place in places)
    print(f"    {audio_s / taken_s:.0f} times real time in one process")
    return taken_s


def greedy_share(recognizer: Recognizer, dev: Dev) -> None:
    """What greedy decoding with word times adds to the forward pass of a two-minute batch."""
    import torch

    lengths = torch.tensor([round(16.0 * recognizer.sample_rate_hz)] * 8)
    waveforms = 0.1 * torch.randn(8, int(lengths[0]))
    reader = Reader(recognizer.checkpoint.vocabulary, recognizer.frame_s)
    forward_s = min(seconds(lambda: recognizer.log_probabilities(waveforms, lengths)) for _ in range(3))
    forward_per_s = forward_s / float(lengths.sum() / recognizer.sample_rate_hz)
    matrices, heard_s = dev.matrices[:50], durations(dev)[:50]
    reading_per_s = min(seconds(lambda: reader.read(matrices, heard_s)) for _ in range(3)) / sum(heard_s)
    print(
        f"forward pass {1e3 * forward_per_s:.2f} ms, greedy decoding with word times and confidence "
        f"{1e3 * reading_per_s:.3f} ms a second of speech: {reading_per_s / forward_per_s:.2%}"
    )


def own_engine(dev: Dev, places: Sequence[int], decoder: Decoder) -> None:
    """Our own search next to flashlight-text: the same texts?"""
    part = part_of(dev, places)
    own = replace(decoder, config=replace(decoder.config, engine="python"))
    theirs_s, own_s = seconds(lambda: texts(decoder, part)), seconds(lambda: texts(own, part))
    same = sum(left == right for left, right in zip(texts(decoder, part), texts(own, part), strict=True))
    print(f"    our own engine: {own_s / theirs_s:.1f} times as long, {same} of {len(part)} texts the same")


def rescored(dev: Dev, decoder: Decoder, folder: Path) -> None:
    """A recurrent language model over the best hypotheses."""
    model = NeuralModel.load(folder)
    wide = decoder.reweighted(decoder.config, nbest=decoder.config.rescored)
    texts = [distinct(hypotheses, decoder.vocabulary) for hypotheses in wide.decode_many(dev.matrices)]
    pairs = gone_over(texts, model)
    lists, scores = zip(*pairs, strict=True)
    found, _ = rescoring.tune(lists, scores, dev.references)
    best = [rescoring.rescore(*pair, found)[0][0] for pair in pairs]
    report(
        dev,
        f"then {folder.name}, weight {found.weight:g}, word_score {found.word_score:g}, share {found.share:g}",
        best,
    )


def peer(dev: Dev, timed: Sequence[int], options: argparse.Namespace, decoder: Decoder) -> None:
    """pyctcdecode with the same language model, words and beam, tuned in the same way."""
    with tempfile.TemporaryDirectory() as folder:
        posteriors, labels, words = (Path(folder) / name for name in ("posteriors.npz", "labels.json", "words.txt"))
        np.savez(posteriors, **{str(place): matrix for place, matrix in enumerate(dev.matrices)})
        labels.write_text(json.dumps(["", *decoder.vocabulary.spellings[1:]]))
        words.write_text("\n".join(decoder.lexicon or []), encoding="utf-8")
        script = Path(__file__).with_name("peer_pyctcdecode.py")
        command = [options.peer_python, script, posteriors, labels, words, options.lm[0]]
        with subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            json.loads(process.stdout.readline())
            place_of = {id(matrix): place for place, matrix in enumerate(dev.matrices)}

            def ask(config: DecodingConfig, part: Matrices) -> dict[str, Any]:
                request = {name: getattr(config, name) for name in ("lm_weight", "word_score", "beam")}
                places = [place_of[id(matrix)] for matrix in part]
                print(json.dumps({**request, "places": places}), file=process.stdin, flush=True)
                answer: dict[str, Any] = json.loads(process.stdout.readline())
                return answer

            start = DecodingConfig(beam=options.beam)
            tuned = tuned_on(dev, options.tune_on, start, lambda config, part: ask(config, part)["texts"], False)
            turns = [(ask(tuned, part_of(dev, timed))["seconds"], time_of(dev, decoder, timed)) for _ in range(TURNS)]
            ratios = sorted(theirs / own for theirs, own in turns)
            compared = spread(dev, options.peer_on)
            part = part_of(dev, compared)
            report(dev, f"pyctcdecode, {weights(tuned)}", ask(tuned, part)["texts"], compared)
            report(dev, "ours on the same utterances", texts(decoder, part), compared)
            print(f"    {ratios[0]:.1f}x to {ratios[-1]:.1f}x as long as ours, median {median(ratios):.1f}x")
            process.stdin.close()


def tuned_on(
    dev: Dev,
    count: int,
    start: DecodingConfig,
    decode: Callable[[DecodingConfig, Matrices], list[str]],
    pruned: bool = True,
) -> DecodingConfig:
    places = spread(dev, count)
    references = [dev.references[place] for place in places]
    tuning = Tuning(decode, part_of(dev, places), references, start.word_score != 0)
    return tuning.narrowed(tuning.weights(start), "score_threshold", THRESHOLDS if pruned else ())


def report(dev: Dev, title: str, found: Sequence[str], places: Sequence[int] | None = None) -> None:
    """WER with its interval over speakers; of all utterances, or of those at some places."""
    utterances = dev.utterances if places is None else [dev.utterances[place] for place in places]
    references = {utterance.id: utterance.text for utterance in utterances}
    errors = score(references, dict(zip(references, map(normalise, found), strict=True)))
    bounds = interval(errors, {utterance.id: utterance.speaker for utterance in dev.utterances})
    print(f"{title}: WER {total(errors.values()).wer:.2%} ({bounds.low:.2%} to {bounds.high:.2%})", flush=True)


def texts(decoder: Decoder, matrices: Matrices) -> list[str]:
    try:
        return [decoder.vocabulary.decode(found[0].tokens) for found in decoder.decode_many(matrices)]
    finally:
        decoder.close()


def spread(dev: Dev, count: int) -> list[int]:
    return list(range(0, len(dev.utterances), max(1, len(dev.utterances) // count)))[:count]


def part_of(dev: Dev, places: Sequence[int]) -> list[NDArray[Any]]:
    return [dev.matrices[place] for place in places]


def durations(dev: Dev) -> list[float]:
    return [utterance.duration_s or 0.0 for utterance in dev.utterances]


def weights(config: DecodingConfig) -> str:
    weights = f"lm_weight {config.lm_weight:g}, word_score {config.word_score:g}"
    return f"{weights}, beam {config.beam}, score_threshold {config.score_threshold:g}"


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
