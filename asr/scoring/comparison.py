"""Two systems on the same utterances: the difference of their WER, whether it may be chance, and what changed most."""

import math
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any, Literal

from asr.errors import DataError
from asr.metrics import first_of
from asr.scoring.bootstrap import Difference, Interval, difference
from asr.scoring.columns import WIDTH, in_columns
from asr.scoring.result import Result, Scored, finite
from asr.scoring.significance import Mapsswe, McNemar, mapsswe, mcnemar

System = Literal["A", "B"]

LEVEL = 0.05
"""A difference that chance alone would make more rarely is called significant."""

FEWEST_SEGMENTS = 50
"""With fewer, the mean of their differences may be far from normal, as MAPSSWE takes it to be: a rule of thumb."""

TESTS = {"bootstrap": "the bootstrap", "mapsswe": "MAPSSWE", "mcnemar": "McNemar"}

LISTED = 5
"""Utterances in a summary that became better, and that became worse."""


@dataclass(frozen=True)
class Change:
    """One utterance in both systems."""

    a: Scored
    b: Scored

    @property
    def errors(self) -> int:
        """Word errors of B less those of A: below zero, B is better."""
        return self.b.errors.word_errors - self.a.errors.word_errors


@dataclass(frozen=True)
class Comparison:
    """System B held against system A.

    Raises:
        DataError: Utterances, references or normalisation differ; names the first.
    """

    a: Result
    b: Result

    def __post_init__(self) -> None:
        if self.a.normalisation != self.b.normalisation:
            raise DataError(
                f"{self._name('A')} is scored with normalisation {self.a.normalisation!r} "
                f"and {self._name('B')} with {self.b.normalisation!r}"
            )
        self._check_ids("A", "B")
        self._check_ids("B", "A")
        for change in self.utterances:
            _check_reference(change)

    @cached_property
    def utterances(self) -> list[Change]:
        """All of them, in the order of A."""
        theirs = {utterance.id: utterance for utterance in self.b.utterances}
        return [Change(utterance, theirs[utterance.id]) for utterance in self.a.utterances]

    @cached_property
    def difference(self) -> Difference:
        """Of the WER.

        Raises:
            DataError: There is no utterance.
        """
        return difference(self.a.errors, self.b.errors, self.a.speakers)

    @property
    def relative(self) -> float:
        """The difference as a share of A's WER; not a number if that is 0 or infinite."""
        wer = self.a.total.wer
        return self.difference.value / wer if wer and math.isfinite(wer) else math.nan

    @cached_property
    def mapsswe(self) -> Mapsswe:
        return mapsswe((change.a.columns, change.b.columns) for change in self.utterances)

    @cached_property
    def mcnemar(self) -> McNemar:
        return mcnemar(self.a.errors, self.b.errors)

    @cached_property
    def changed(self) -> list[Change]:
        """The utterances with more or fewer errors in B than in A, most improved first, ties by id."""
        found = [change for change in self.utterances if change.errors]
        return sorted(found, key=lambda change: (change.errors, change.a.id))

    def better(self, count: int | None = None) -> list[Change]:
        """The `count` utterances that B improves most, most first, or all that it improves."""
        return [change for change in self.changed if change.errors < 0][:count]

    def worse(self, count: int | None = None) -> list[Change]:
        """The `count` utterances that B makes worse by most, most first, or all that it makes worse."""
        made_worse = [change for change in self.changed if change.errors > 0]
        return sorted(made_worse, key=lambda change: -change.errors)[:count]

    def findings(self) -> dict[str, System | None]:
        """By test, as in `TESTS`, the system that it finds significantly better, if any."""
        interval, words, sentences = self.difference.interval, self.mapsswe, self.mcnemar
        return {
            "bootstrap": _better(interval.low > 0, interval.high < 0),
            "mapsswe": _better(words.z > 0, words.z < 0) if words.p < LEVEL else None,
            "mcnemar": _better(sentences.only_a_right > sentences.only_b_right, True) if sentences.p < LEVEL else None,
        }

    def _check_ids(self, one: System, other: System) -> None:
        has, lacks = (self.a, self.b) if one == "A" else (self.b, self.a)
        if missing := has.errors.keys() - lacks.errors.keys():
            raise DataError(
                f"{self._name(other)} lacks {len(missing)} of the {len(has.errors)} utterances "
                f"of {self._name(one)} ({first_of(missing)})"
            )

    def _name(self, system: System) -> str:
        return f"{system} ({(self.a if system == 'A' else self.b).title})"


def summary(comparison: Comparison, listed: int = LISTED) -> str:
    """For the terminal: both error rates, their difference, the tests, what follows, and what changed most.

    Args:
        listed: So many utterances that became better, and that became worse, are shown word by word.

    Raises:
        DataError: There is no utterance.
    """
    parts = [_rates(comparison), _tests(comparison), textwrap.fill(verdict(comparison), WIDTH)]
    for kind, changes in (("fewer", comparison.better()), ("more", comparison.worse())):
        heading = f"{len(changes)} of {len(comparison.utterances)} utterances have {kind} errors in B than in A"
        shown = changes[:listed]
        parts.append(f"{heading}, most changed first:" if shown else f"{heading}.")
        parts += [
            f"{_heading(change)}\n{in_columns({'A': change.a.columns, 'B': change.b.columns})}" for change in shown
        ]
    return "\n\n".join(parts) + "\n"


def verdict(comparison: Comparison) -> str:
    """What follows from the three tests, in plain words, and what to bear in mind."""
    if all(change.a.hypothesis.split() == change.b.hypothesis.split() for change in comparison.utterances):
        return "A and B heard the same words throughout."
    findings = comparison.findings()
    by = {winner: [TESTS[test] for test, found in findings.items() if found == winner] for winner in ("A", "B", None)}
    if not by["A"] and not by["B"]:
        said = ["At 5 %, no test tells A from B. That does not show that they are equally good."]
    elif len(findings) in (len(by["A"]), len(by["B"])):
        winner, loser = ("A", "B") if by["A"] else ("B", "A")
        said = [f"At 5 %, {winner} is significantly better than {loser}: {_listed(by[winner])} agree."]
    else:
        parts = [f"{winner} is significantly better by {_listed(by[winner])}" for winner in "BA" if by[winner]]
        parts += [f"there is no significant difference by {_listed(by[None])}"] if by[None] else []
        said = [f"At 5 %, the tests disagree: {'; '.join(parts)}. {_what_they_compare(comparison)}"]
    return " ".join([*said, *_cautions(comparison)])


def to_record(comparison: Comparison) -> dict[str, Any]:
    """All of it as plain data; rates are fractions, and one that is no finite number is None.

    Raises:
        DataError: There is no utterance.
    """
    found = comparison.difference
    return {
        "a": comparison.a.to_record(),
        "b": comparison.b.to_record(),
        "normalisation": comparison.a.normalisation,
        "utterances": len(comparison.utterances),
        "words": comparison.a.total.words,
        "difference": {
            "value": finite(found.value),
            "relative": finite(comparison.relative),
            "interval": _interval_record(found.interval),
            "improved": found.improved,
        },
        "mapsswe": asdict(comparison.mapsswe),
        "mcnemar": asdict(comparison.mcnemar),
        "findings": comparison.findings(),
        "verdict": verdict(comparison),
        "changed": {change.a.id: change.errors for change in comparison.changed},
    }


def probability(p: float) -> str:
    """How likely chance alone would do as much."""
    return f"p = {p:.3g}" if p >= 0.001 else "p < 0.001"


def _check_reference(change: Change) -> None:
    words = zip_longest(change.a.reference.split(), change.b.reference.split(), fillvalue="")
    for number, (one, other) in enumerate(words, start=1):
        if one != other:
            raise DataError(
                f"{change.a.id!r}: A and B are scored against different references; word {number} is {one!r} in A's "
                f"and {other!r} in B's"
            )


def _better(a: bool, b: bool) -> System | None:
    return "A" if a else "B" if b else None


def _rates(comparison: Comparison) -> str:
    rows = [["", "WER", "95 % interval", "S", "D", "I", "sentences wrong", ""]]
    for name, result in (("A", comparison.a), ("B", comparison.b)):
        errors, interval = result.total, f"{result.interval.low:.2%} to {result.interval.high:.2%}"
        counts = [str(count) for count in (errors.substitutions, errors.deletions, errors.insertions)]
        rows.append([name, f"{errors.wer:.2%}", interval, *counts, f"{errors.sentence_error_rate:.2%}", result.title])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["   ".join([*map(str.rjust, row[:-1], widths), row[-1]]).rstrip() for row in rows]
    total, unit = comparison.a.total, comparison.a.interval.unit
    return "\n".join([*lines, f"{total.sentences} utterances, {total.words} words; intervals: bootstrap over {unit}s"])


def _tests(comparison: Comparison) -> str:
    found, words, sentences = comparison.difference, comparison.mapsswe, comparison.mcnemar
    low, high = (100 * bound for bound in (found.interval.low, found.interval.high))
    relative = "" if math.isnan(comparison.relative) else f", {comparison.relative:+.1%} relative"
    lines = [
        f"B - A:    {100 * found.value:+.2f} points ({low:+.2f} to {high:+.2f}){relative}; "
        f"B is better in {found.improved:.2%} of resamples",
        f"MAPSSWE:  {words.segments} segments with errors, B - A {words.mean:+.3f} each (deviation "
        f"{words.deviation:.3f}), Z = {words.z:.2f}, {probability(words.p)}",
        f"McNemar:  {sentences.only_a_right} sentences right in A only, {sentences.only_b_right} in B only, "
        f"{sentences.both_right} in both, {sentences.both_wrong} in neither, {probability(sentences.p)}",
    ]
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _what_they_compare(comparison: Comparison) -> str:
    unit = comparison.difference.interval.unit
    note = "Bootstrap and MAPSSWE compare words, McNemar only whole sentences."
    return f"{note} Only the bootstrap allows for a speaker's errors going together." if unit == "speaker" else note


def _cautions(comparison: Comparison) -> Iterator[str]:
    words, sentences = comparison.mapsswe, comparison.mcnemar
    if words.mean and not words.deviation:
        yield "MAPSSWE has nothing to go by, as every segment differs by the same number of errors."
    elif words.segments < FEWEST_SEGMENTS:
        yield f"With {words.segments} segments, MAPSSWE is rough: it wants about {FEWEST_SEGMENTS}."
    apart = sentences.only_a_right + sentences.only_b_right
    if 2 / 2**apart >= LEVEL:
        yield f"McNemar could not have told them apart, with {apart} sentences that only one has right."


def _heading(change: Change) -> str:
    a, b = change.a.errors, change.b.errors
    return (
        f"{change.a.id}: {change.errors:+d} errors, {a.word_errors} in A and {b.word_errors} in B, in {a.words} words"
    )


def _interval_record(interval: Interval) -> dict[str, Any]:
    return {"low": finite(interval.low), "high": finite(interval.high), "unit": interval.unit}
