"""Rescoring of n-best lists: what a recognizer found likely, weighed with what a language model finds likely.

A hypothesis's total is its own score, plus `weight` times its log-probability under the language model, plus
`word_score` for each of its words. Which language model is of no concern here: its scores are given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asr.errors import DataError
from asr.metrics import count_errors
from asr.progress import track

Hypothesis = tuple[str, float]
"""A text and its score; the higher, the better."""

WEIGHTS = tuple(round(0.1 * number, 1) for number in range(16))
WORD_SCORES = tuple(0.5 * number for number in range(-4, 9))
"""The values that `tune` tries."""


@dataclass(frozen=True)
class Weights:
    weight: float = 0.0
    """Of the language model's natural log-probability."""
    word_score: float = 0.0
    """For each word: a language model favours short texts, and this makes up for it."""


def rescore(hypotheses: Sequence[Hypothesis], log_probabilities: Sequence[float], weights: Weights) -> list[Hypothesis]:
    """The hypotheses of one utterance with their totals, the best first; equals stay in their order.

    Args:
        hypotheses: With their scores so far.
        log_probabilities: Of each under the language model, natural.
        weights: As `tune` finds them.

    Raises:
        DataError: Not as many log-probabilities as hypotheses.
    """
    _require_as_many(len(hypotheses), len(log_probabilities), "log-probabilities")
    totals = [
        (text, score + weights.weight * log_probability + weights.word_score * len(text.split()))
        for (text, score), log_probability in zip(hypotheses, log_probabilities, strict=True)
    ]
    return sorted(totals, key=lambda hypothesis: -hypothesis[1])


def tune(
    lists: Sequence[Sequence[Hypothesis]],
    log_probabilities: Sequence[Sequence[float]],
    references: Sequence[str],
    weights: Iterable[float] = WEIGHTS,
    word_scores: Iterable[float] = WORD_SCORES,
) -> tuple[Weights, int]:
    """The weights with which the best hypotheses of all utterances have the fewest word errors, and how many.

    Where several have as few, the smallest weight is taken, then the word score closest to 0, then the lower one.

    Args:
        lists: The hypotheses of each utterance, at least one.
        log_probabilities: Of each hypothesis under the language model, natural.
        references: What was said in each utterance.
        weights: To be tried, each with each of `word_scores`.

    Raises:
        DataError: The numbers of lists, references and log-probabilities differ, or a list is empty.
    """
    _require_as_many(len(lists), len(references), "references")
    _require_as_many(len(lists), len(log_probabilities), "lists of log-probabilities")
    scores, neural, words, errors = _tables(lists, log_probabilities, references)
    rows = np.arange(len(lists))
    found = []
    for weight in weights:
        for word_score in word_scores:
            best = (scores + weight * neural + word_score * words).argmax(axis=1)  # the first of equals
            found.append((int(errors[rows, best].sum()), weight, abs(word_score), word_score))
    fewest, weight, _, word_score = min(found)
    return Weights(weight, word_score), fewest


def _tables(
    lists: Sequence[Sequence[Hypothesis]], log_probabilities: Sequence[Sequence[float]], references: Sequence[str]
) -> list[np.ndarray]:
    """Scores, log-probabilities, words and word errors, (utterances, most hypotheses) each; scores -inf where none."""
    shape = (len(lists), max(map(len, lists), default=0))
    tables = [np.full(shape, -np.inf), *(np.zeros(shape) for _ in range(3))]
    utterances = list(zip(lists, log_probabilities, references, strict=True))
    for row, (hypotheses, found, reference) in enumerate(track(utterances, "comparing hypotheses")):
        if not hypotheses:
            raise DataError(f"utterance {row + 1}, {reference!r}: no hypothesis")
        _require_as_many(len(hypotheses), len(found), f"log-probabilities of utterance {row + 1}")
        for column, ((text, score), log_probability) in enumerate(zip(hypotheses, found, strict=True)):
            values = (score, log_probability, len(text.split()), count_errors(reference, text).word_errors)
            for table, value in zip(tables, values, strict=True):
                table[row, column] = value
    return tables


def _require_as_many(expected: int, found: int, what: str) -> None:
    if found != expected:
        raise DataError(f"{found} {what} where {expected} were expected")
