"""Whether two systems differ by more than chance on the same utterances: MAPSSWE for words, McNemar for sentences."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asr.metrics import Column, Errors

BUFFER = 2
"""So many words running that both systems have right end a segment: what one got wrong before them no longer sways what
it hears behind them. NIST's number."""


class Segment(NamedTuple):
    """The errors of both systems in a stretch of an utterance where at least one of them has any."""

    errors_a: int
    errors_b: int


@dataclass(frozen=True)
class Mapsswe:
    """The matched-pairs sentence-segment word error test: whether the mean difference of the segments is zero."""

    segments: int
    mean: float
    """Errors of B less those of A, by segment: below zero, B is better, as with `z`."""
    deviation: float
    """Of the differences, that of a sample; 0 with fewer than two segments."""
    z: float
    p: float
    """Of a `z` as far from zero if the systems did not differ (two-tailed), by the normal distribution."""


@dataclass(frozen=True)
class McNemar:
    """McNemar's test: whether, of the sentences that only one system has right, each has half."""

    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong: int
    p: float
    """Of a split as uneven if the systems did not differ (two-tailed), by the binomial distribution."""


def mapsswe(aligned: Iterable[tuple[Sequence[Column], Sequence[Column]]]) -> Mapsswe:
    """The test over utterances, each aligned to its one reference by both systems, A first.

    Where all the differences are the same, be it because there is but one, they have no deviation to compare their
    mean with: z is 0 and p is 1, as NIST has it, and nothing follows.

    Source: Gillick & Cox, "Some statistical issues in the comparison of speech recognition algorithms", ICASSP 1989;
        Pallett et al., "Tools for the analysis of benchmark speech recognition tests", ICASSP 1990; NIST's `sc_stats`,
        which finds the same segments in the same alignment.
    """
    found = [segment for a, b in aligned for segment in segments(a, b)]
    differences = [segment.errors_b - segment.errors_a for segment in found]
    mean = statistics.fmean(differences) if differences else 0.0
    deviation = statistics.stdev(differences) if len(differences) > 1 else 0.0
    z = mean * math.sqrt(len(differences)) / deviation if deviation else 0.0
    return Mapsswe(len(differences), mean, deviation, z, two_tailed(z))


def segments(a: Sequence[Column], b: Sequence[Column], buffer: int = BUFFER) -> list[Segment]:
    """The stretches of an utterance with errors, which the utterance's ends and words that both have right bound.

    `buffer` words running that both have right, and between which neither inserts any, close a segment. An insertion
    belongs to the segment of its place between two words of the reference, in whichever system it is.

    Raises:
        ValueError: The columns are not those of one reference.
    """
    found = []
    wrong_a = wrong_b = right = 0
    for in_a, in_b in zip(places(a), places(b), strict=True):
        errors_a, errors_b = count_wrong(in_a), count_wrong(in_b)
        wrong_a, wrong_b = wrong_a + errors_a, wrong_b + errors_b
        if errors_a or errors_b:
            right = 0
        elif in_a:
            right += 1
        if right >= buffer and (wrong_a or wrong_b):
            found.append(Segment(wrong_a, wrong_b))
            wrong_a = wrong_b = 0
    if wrong_a or wrong_b:
        found.append(Segment(wrong_a, wrong_b))
    return found


def places(columns: Iterable[Column]) -> list[list[Column]]:
    """The columns by where they are in the reference, which two systems share: before its first word, at it, between it
    and the second, at the second, and so on. What a place between words has are insertions, often none.

    >>> [len(place) for place in places(align("the cat", "a the cat"))]
    [1, 1, 0, 1, 0]
    """
    found: list[list[Column]] = [[]]
    for column in columns:
        if column.kind == "insert":
            found[-1].append(column)
        else:
            found += [[column], []]
    return found


def count_wrong(columns: Iterable[Column]) -> int:
    return sum(column.kind != "equal" for column in columns)


def mcnemar(a: Mapping[str, Errors], b: Mapping[str, Errors]) -> McNemar:
    """The test over the utterances of `a`, all of which `b` has; one is right if no word of it is wrong.

    Source: Gillick & Cox 1989, with the exact binomial, not mid-p and not the approximation by chi-square. NIST's
        `sc_stats` has the same p for up to 20 sentences that only one system has right, and approximates for more.
    """
    counts = {(right_a, right_b): 0 for right_a in (True, False) for right_b in (True, False)}
    for name, errors in a.items():
        counts[not errors.word_errors, not b[name].word_errors] += 1
    both_right, only_a, only_b, both_wrong = counts.values()
    return McNemar(both_right, only_a, only_b, both_wrong, binomial_p(only_a, only_b))


def binomial_p(one: int, other: int) -> float:
    """How likely a fair coin that falls on its two sides `one` and `other` times is to fall as unevenly, either way."""
    throws = one + other
    ways = tail = 1
    for count in range(min(one, other)):
        ways = ways * (throws - count) // (count + 1)  # throws over count + 1: whole, and so never rounded
        tail += ways
    return min(1.0, 2 * tail / (1 << throws))


def two_tailed(z: float) -> float:
    """How likely a standard normal variable is to be at least as far from zero."""
    return math.erfc(abs(z) / math.sqrt(2))
