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
from dataclasses import replace
from pathlib import Path
from typing import Any

import jiwer
from rapidfuzz.distance import Levenshtein

from asr.metrics import Errors, align, count_edits, count_errors, total
from asr.normalisers import normaliser
from asr.scoring.bootstrap import RESAMPLES, interval
from asr.scoring.exports import export
from asr.scoring.joining import join
from asr.scoring.page import write_report
from asr.scoring.result import Result

Pairs = Sequence[tuple[str, str]]

SEGMENTS = ("ref.stm", "stm", "hyp.ctm", "ctm")

FILTER = """
const done = arguments[0], field = document.getElementById("text"), started = performance.now();
field.value = "the";
field.dispatchEvent(new Event("input"));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
"""
"""Until the next picture is drawn."""

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
        scored = join(options.reference, options.hypothesis, normaliser("none")).scored
        result = Result(str(options.hypothesis), scored)
        compare_with_sclite(result)
        open_report(result)
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
        "bare, and the splitting": lambda: [Levenshtein.editops(said.split(), heard.split()) for said, heard in pairs],
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


def compare_with_sclite(result: Result) -> None:
    """Totals may differ where sclite's weights prefer an alignment with more errors: see `asr.scoring.exports`."""
    ours = result.total
    print(f"ours: {ours.words} words, {ours.word_errors} errors, {ours.wrong_sentences} wrong sentences")
    if not shutil.which("sctk"):
        print("sctk is not installed")
        return
    for kinds, names in ((["trn"], ("ref.trn", "trn", "hyp.trn", "trn")), (["stm", "ctm"], SEGMENTS)):
        with tempfile.TemporaryDirectory() as folder:
            export(result, Path(folder), kinds)
            reference, form, hypothesis, heard_form = names
            command = ["sctk", "sclite", "-r", reference, form, "-h", hypothesis, heard_form]
            command += ["-i", "spu_id"] * (form == "trn") + ["-s", "-o", "rsum", "stdout"]
            report = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout
        (line,) = [line for line in report.splitlines() if re.search(r"\|\s*Sum\b", line)]
        _, words, _, *kinds_of_error, errors, wrong = map(int, re.findall(r"\d+", line))
        print(f"sclite by {form}: {words} words, {errors} errors (S, D, I: {kinds_of_error}), {wrong} wrong sentences")


def open_report(result: Result) -> None:
    """As many utterances as test-clean has, those of the result again and again; seconds are the browser's."""
    again = [
        replace(each, id=f"{each.id}-{turn}")
        for turn in range(-(-TEST_CLEAN // len(result.utterances)))
        for each in result.utterances
    ]
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        started = time.perf_counter()
        write_report(replace(result, utterances=again[:TEST_CLEAN]), page)
        seconds = time.perf_counter() - started
        print(f"report of {TEST_CLEAN} utterances: {page.stat().st_size / 1e6:.1f} MB, written in {seconds:.1f} s")
        if not shutil.which("chromedriver"):
            print("chromedriver is not installed")
            return
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
            options.add_argument(argument)
        with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
            for turn in ("first", "second"):
                browser.get(page.as_uri())
                loaded = browser.execute_script(
                    "return performance.timing.domComplete - performance.timing.navigationStart"
                )
                filtered = browser.execute_async_script(FILTER)
                print(f"opened {turn}: {loaded / 1e3:.2f} s; filtered by a word: {filtered / 1e3:.3f} s")


if __name__ == "__main__":
    main()
