"""Rescoring of n-best lists: what a recognizer found likely, weighed with what a language model finds likely.

A hypothesis's total is its own score, of which a first language model that the recognizer had keeps a `share`, plus
`weight` times its log-probability under this one, plus `word_score` for each of its words. Which language model is of
no concern here: its scores are given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from asr.errors import DataError
from asr.metrics import count_errors
from asr.progress import track


class Scored(NamedTuple):
    """A text that may have been said."""

    text: str
    score: float
    """The higher, the better."""
    first: float = 0.0
    """What of the score a first language model gave."""


SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
WEIGHTS = tuple(round(0.1 * number, 1) for number in range(16))
WORD_SCORES = tuple(0.5 * number for number in range(-4, 9))
"""The values that `tune` tries."""


@dataclass(frozen=True)
class Weights:
    weight: float = 0.0
    """Of the language model's natural log-probability; with 0, everything stays as it was."""
    word_score: float = 0.0
    """For each word: a language model favours short texts, and this makes up for it."""
    share: float = 1.0
    """What the first language model still counts."""


def rescore(
    hypotheses: Sequence[Scored], log_probabilities: Sequence[float], weights: Weights
) -> list[tuple[str, float]]:
    """The hypotheses of one utterance with their totals, the best first; equals stay in their order.

    Args:
        hypotheses: With their scores so far.
        log_probabilities: Of each under the language model, natural.
        weights: As `tune` finds them.

    Raises:
        DataError: Not as many log-probabilities as hypotheses.
    """
    _require_as_many(len(hypotheses), len(log_probabilities), "log-probabilities")
    chosen = weights if weights.weight else Weights()
    totals = [
        (
            text,
            score
            - (1 - chosen.share) * first
            + chosen.weight * log_probability
            + chosen.word_score * len(text.split()),
        )
        for (text, score, first), log_probability in zip(hypotheses, log_probabilities, strict=True)
    ]
    return sorted(totals, key=lambda hypothesis: -hypothesis[1])


def tune(
    lists: Sequence[Sequence[Scored]],
    log_probabilities: Sequence[Sequence[float]],
    references: Sequence[str],
    weights: Iterable[float] = WEIGHTS,
    word_scores: Iterable[float] = WORD_SCORES,
    shares: Iterable[float] = SHARES,
) -> tuple[Weights, int]:
    """The weights with which the best hypotheses of all utterances have the fewest word errors, and how many.

    Where several have as few, the smallest weight is taken, then the word score closest to 0, then the lower one, then
    the largest share.

    Args:
        lists: The hypotheses of each utterance, at least one.
        log_probabilities: Of each hypothesis under the language model, natural.
        references: What was said in each utterance.
        weights: To be tried, each but 0 with each of `word_scores` and of `shares`.

    Raises:
        DataError: The numbers of lists, references and log-probabilities differ, or a list is empty.
    """
    _require_as_many(len(lists), len(references), "references")
    _require_as_many(len(lists), len(log_probabilities), "lists of log-probabilities")
    scores, first, neural, words, errors = _tables(lists, log_probabilities, references)
    rows = np.arange(len(lists))
    found = []
    tried = (each if each[0] else (0.0, 0.0, 1.0) for each in product(weights, word_scores, shares))
    for weight, word_score, share in dict.fromkeys(tried):
        totals = scores - (1 - share) * first + weight * neural + word_score * words
        best = totals.argmax(axis=1)  # the first of equals
        found.append((int(errors[rows, best].sum()), weight, abs(word_score), word_score, -share))
    fewest, weight, _, word_score, share = min(found)
    return Weights(weight, word_score, -share), fewest


def _tables(
    lists: Sequence[Sequence[Scored]], log_probabilities: Sequence[Sequence[float]], references: Sequence[str]
) -> list[np.ndarray]:
    """Scores, what of them the first language model gave, log-probabilities, words and word errors.

    Each of (utterances, most hypotheses); scores are -inf where there is none.
    """
    shape = (len(lists), max(map(len, lists), default=0))
    tables = [np.full(shape, -np.inf), *(np.zeros(shape) for _ in range(4))]
    utterances = list(zip(lists, log_probabilities, references, strict=True))
    for row, (hypotheses, found, reference) in enumerate(track(utterances, "comparing hypotheses")):
        if not hypotheses:
            raise DataError(f"utterance {row + 1}, {reference!r}: no hypothesis")
        _require_as_many(len(hypotheses), len(found), f"log-probabilities of utterance {row + 1}")
        for column, ((text, score, first), log_probability) in enumerate(zip(hypotheses, found, strict=True)):
            values = (score, first, log_probability, len(text.split()), count_errors(reference, text).word_errors)
            for table, value in zip(tables, values, strict=True):
                table[row, column] = value
    return tables


def _require_as_many(expected: int, found: int, what: str) -> None:
    if found != expected:
        raise DataError(f"{found} {what} where {expected} were expected")
