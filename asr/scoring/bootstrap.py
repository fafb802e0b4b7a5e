"""How far a word error rate can be relied on, and the difference of two: bootstrap intervals."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from asr.errors import DataError
from asr.metrics import Errors

Unit = Literal["speaker", "utterance"]

FEWEST_SPEAKERS = 5
"""With fewer, resampling them says little about the speakers who were not recorded: utterances are resampled."""

RESAMPLES = 10_000
TAILS = (0.025, 0.975)
DRAWS_AT_ONCE = 1_000_000
"""Bounds the memory; the results do not depend on it."""


@dataclass(frozen=True)
class Interval:
    """Where a rate, or a difference of two, lies with 95 % confidence, as fractions, and what was resampled to tell."""

    low: float
    high: float
    unit: Unit


@dataclass(frozen=True)
class Difference:
    """The WER of system B minus that of system A on the same utterances: below zero, B is better."""

    value: float
    interval: Interval
    improved: float
    """The share of resamples in which B has the lower WER, ties half."""


def interval(
    errors: Mapping[str, Errors], groups: Mapping[str, str], resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The 95 % bootstrap interval of the pooled WER: as many speakers as there are, drawn again with replacement.

    A speaker's utterances go wrong together, so that resampling utterances gives too narrow an interval. It is done
    all the same, and `unit` says so, if the speakers are fewer than `FEWEST_SPEAKERS` or one is not known.

    Args:
        groups: The speaker of each id; missing or empty: not known.

    Raises:
        DataError: There is no utterance.

    Source: Bisani & Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004,
        who draw utterances; speakers as the blocks to draw: Liu & Peng, Interspeech 2020. Percentiles are order
        statistics, without interpolation, as a resample with no words has an infinite WER. Kaldi's compute-wer-bootci
        draws utterances and gives the mean and 1.96 standard deviations, which is the same where the rates are normal.
    """
    table, unit = _table([errors], groups)
    rates = _resampled(table, resamples, seed)[0]
    return _interval(rates, unit)


def difference(
    a: Mapping[str, Errors],
    b: Mapping[str, Errors],
    groups: Mapping[str, str],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """The difference of two systems' WER on the same utterances, both resampled alike, so that what is hard for both
    cancels out.

    Args:
        a: Errors by id; as `b`, of the same ids and references.
        groups: As for `interval`.

    Raises:
        DataError: There is no utterance.

    Source: Bisani & Ney 2004, section 4 (paired bootstrap, probability of improvement).
    """
    table, unit = _table([a, b], groups)
    rates_a, rates_b = _resampled(table, resamples, seed)
    wrong_a, wrong_b, words = table.sum(axis=0)
    value = float((wrong_b - wrong_a) / words) if words else float("nan")
    change = np.subtract(rates_b, rates_a, out=np.zeros(resamples), where=rates_a != rates_b)  # not infinite - infinite
    improved = float(np.mean((change < 0) + 0.5 * (change == 0)))
    return Difference(value, _interval(change, unit), improved)


def _table(systems: list[Mapping[str, Errors]], groups: Mapping[str, str]) -> tuple[NDArray[np.int64], Unit]:
    """A row for each unit that is drawn: the word errors of each system, and the words."""
    names = systems[0]
    if not names:
        raise DataError("no utterances, so that their WER has no interval")
    speakers = {groups.get(name, "") for name in names}
    unit: Unit = "speaker" if "" not in speakers and len(speakers) >= FEWEST_SPEAKERS else "utterance"
    columns = [Counter[str]() for _ in (*systems, "words")]
    for name in names:
        key = groups[name] if unit == "speaker" else name
        for column, errors in zip(columns, systems, strict=False):
            column[key] += errors[name].word_errors
        columns[-1][key] += names[name].words
    order = sorted(columns[-1])  # whatever the order of the utterances, the same seed draws the same units
    return np.array([[column[key] for column in columns] for key in order]), unit


def _resampled(table: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    """The pooled rates of each resample, a row for each column of errors; the last column is the words."""
    generator = np.random.default_rng(seed)
    *wrong_by_unit, words_by_unit = np.ascontiguousarray(table.T)  # dense columns: gathering is four times as fast
    rates = np.empty((len(wrong_by_unit), resamples))
    rows = max(1, DRAWS_AT_ONCE // len(table))
    for start in range(0, resamples, rows):
        drawn = generator.integers(len(table), size=(min(rows, resamples - start), len(table)))
        words = words_by_unit[drawn].sum(axis=1)
        for system, column in enumerate(wrong_by_unit):
            wrong = column[drawn].sum(axis=1)
            nothing_said = np.where(wrong > 0, np.inf, 0.0)
            part = np.divide(wrong, words, out=nothing_said, where=words > 0)
            rates[system, start : start + rows] = part
    return rates


def _interval(rates: NDArray[np.float64], unit: Unit) -> Interval:
    low, high = np.quantile(rates, TAILS, method="inverted_cdf")
    return Interval(float(low), float(high), unit)
