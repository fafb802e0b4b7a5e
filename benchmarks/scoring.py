"""Errors counted: equal to jiwer's and to sclite's, and how fast, as ratios in one run.

    python benchmarks/scoring.py [--pairs 100000] [--reference REF --hypothesis HYP]

Pairs are made by chance from a seed: references of up to 35 words with Zipf's frequencies, some of them empty, and
hypotheses with words changed, left out and put in. `bare` is RapidFuzz's edit operations on words that are already
split, the bound; `jiwer` one call with all pairs. With a reference and a hypothesis, in any form that `asr wer` reads,
sclite's total is compared with ours where Debian's sctk is installed, and the report is made and opened in Chromium
where that is.
"""

import argparse
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jiwer
from rapidfuzz.distance import Levenshtein

from asr.metrics import Errors, align, count_edits, count_errors, total
from asr.scoring.bootstrap import RESAMPLES, interval

Pairs = Sequence[tuple[str, str]]

TEST_CLEAN = 2620
"""Utterances of LibriSpeech's test-clean."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--hypothesis", type=Path)
    options = parser.parse_args()
    pairs = list(random_pairs(options.pairs, options.seed))
    empty = sum(not said or not heard for said, heard in pairs)
    print(f"{len(pairs)} pairs, {empty} of them with an empty side, {total_words(pairs)} words in the references")
    equal = compare_with_jiwer(pairs)
    compare_speed(pairs, options.rounds)
    time_interval(pairs[:TEST_CLEAN])
    if options.reference and options.hypothesis:
        equal &= compare_with_sclite(options.reference, options.hypothesis)
    sys.exit(not equal)


def random_pairs(count: int, seed: int) -> Iterator[tuple[str, str]]:
    generator = random.Random(seed)
    vocabulary = [f"w{number}" for number in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    words = iter(generator.choices(vocabulary, weights, k=40 * count))

    def heard_as(word: str) -> list[str]:
        chance = generator.random()
        if chance < 0.05:
            return []
        if chance < 0.12:
            return [next(words)]
        return [next(words), word] if chance < 0.15 else [word]

    for _ in range(count):
        said = [next(words) for _ in range(generator.randint(0, 35))]
        heard = [] if generator.random() < 0.01 else [part for word in said for part in heard_as(word)]
        yield " ".join(said), " ".join(heard or ([next(words)] if not said and generator.random() < 0.5 else []))


def total_words(pairs: Pairs) -> int:
    return sum(len(said.split()) for said, _ in pairs)


def compare_with_jiwer(pairs: Pairs) -> bool:
    """Pair by pair: jiwer is asked about each alone, so that a difference cannot cancel out."""
    different = 0
    for said, heard in pairs:
        ours, words, characters = (
            count_errors(said, heard),
            jiwer.process_words(said, heard),
            jiwer.process_characters(said, heard),
        )
        theirs = (words.substitutions, words.deletions, words.insertions)
        wrong = characters.substitutions + characters.deletions + characters.insertions
        different += (ours.substitutions, ours.deletions, ours.insertions, ours.character_errors) != (*theirs, wrong)
    errors = total(count_errors(*pair) for pair in pairs)
    print(f"ours: S {errors.substitutions}, D {errors.deletions}, I {errors.insertions}, WER {errors.wer:.4%}")
    print(f"pairs counted otherwise than by jiwer {jiwer_version()}: {different}")
    return not different


def jiwer_version() -> str:
    from importlib.metadata import version

    return version("jiwer")


def compare_speed(pairs: Pairs, rounds: int) -> None:
    said, heard = [said for said, _ in pairs], [heard for _, heard in pairs]
    words = [(said.split(), heard.split()) for said, heard in pairs]
    forms: dict[str, Callable[[], Any]] = {
        "bare": lambda: [Levenshtein.editops(*pair) for pair in words],
        "words counted": lambda: [count_edits(said.split(), heard.split()) for said, heard in pairs],
        "words and characters, summed": lambda: total(count_errors(*pair) for pair in pairs),
        "words aligned in columns": lambda: [align(*pair) for pair in pairs],
        "jiwer": lambda: jiwer.process_words(said, heard),
    }
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            started = time.perf_counter()
            form()
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        bare, faster = median / medians["bare"], medians["jiwer"] / median
        print(f"{name}: {median:.2f} s, {bare:.1f} times bare, {faster:.1f} times as fast as jiwer")


def time_interval(pairs: Pairs) -> None:
    errors: dict[str, Errors] = {f"{number:05}": count_errors(*pair) for number, pair in enumerate(pairs)}
    started = time.perf_counter()
    found = interval(errors, {})
    seconds = time.perf_counter() - started
    print(f"{RESAMPLES} resamples of {len(errors)} utterances: {seconds:.2f} s ({found.low:.2%} to {found.high:.2%})")


if __name__ == "__main__":
    main()
