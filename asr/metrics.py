"""Word and character error rates: counted per utterance, joined by id, summed, and given with an interval."""

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import jiwer
import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

from asr.errors import DataError

FEWEST_SPEAKERS = 5
"""With fewer, resampling them says little about the speakers who were not recorded: utterances are resampled."""

TAILS = (0.025, 0.975)
DRAWS_AT_ONCE = 1_000_000
"""Bounds the memory of `interval`; the result does not depend on it."""

GAP = "***"
MARKS = {"equal": "", "substitute": "S", "delete": "D", "insert": "I"}


@dataclass(frozen=True)
class Errors:
    """What was said and what of it went wrong, in one utterance or in many; `+` pools them.

    A rate is a fraction, and over many utterances it is that of the pooled counts, not the mean of theirs. Insertions
    can take it past 1. Where nothing was said it is 0, or infinite if something was recognised all the same.
    """

    words: int = 0
    """In the reference, as are `characters`."""
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    characters: int = 0
    character_errors: int = 0
    sentences: int = 0
    wrong_sentences: int = 0
    """Those with at least one word error."""

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(*map(operator.add, vars(self).values(), vars(other).values()))

    @property
    def word_errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        return _rate(self.word_errors, self.words)

    @property
    def cer(self) -> float:
        return _rate(self.character_errors, self.characters)

    @property
    def sentence_error_rate(self) -> float:
        return _rate(self.wrong_sentences, self.sentences)


@dataclass(frozen=True)
class Interval:
    """Where the WER lies with 95 % confidence, as fractions, and what was resampled to tell."""

    low: float
    high: float
    unit: Literal["speaker", "utterance"]


def count_errors(reference: str, hypothesis: str) -> Errors:
    """The errors of one utterance: the fewest edits that turn the reference into the hypothesis.

    Words are what white space separates. Characters are those of the words joined by single spaces, and the spaces
    count. Nothing else is normalised: case, punctuation and the two ways to write an accent are differences. Where
    several alignments have the fewest edits, jiwer chooses, and with it how they split into three kinds.
    """
    reference, hypothesis = _single_spaced(reference), _single_spaced(hypothesis)
    by_word = jiwer.process_words(reference, hypothesis)
    by_character = jiwer.process_characters(reference, hypothesis)
    return Errors(
        words=len(reference.split()),
        substitutions=by_word.substitutions,
        deletions=by_word.deletions,
        insertions=by_word.insertions,
        characters=len(reference),
        character_errors=by_character.substitutions + by_character.deletions + by_character.insertions,
        sentences=1,
        wrong_sentences=int(reference != hypothesis),
    )


def score(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> dict[str, Errors]:
    """The errors of every utterance, by id, in the order of the references.

    Raises:
        DataError: An id is on one side only; names the first three and counts them all.
    """
    complaints = []
    if missing := references.keys() - hypotheses.keys():
        complaints.append(f"no hypothesis for {len(missing)} of {len(references)} references ({_first(missing)})")
    if extra := hypotheses.keys() - references.keys():
        complaints.append(f"no reference for {len(extra)} of {len(hypotheses)} hypotheses ({_first(extra)})")
    if complaints:
        raise DataError("; ".join(complaints))
    return {name: count_errors(reference, hypotheses[name]) for name, reference in references.items()}


def total(errors: Iterable[Errors]) -> Errors:
    return sum(errors, start=Errors())


def worst(errors: Mapping[str, Errors], count: int) -> list[str]:
    """The ids of the `count` utterances with the most word errors, most first, ties by id."""
    return sorted(errors, key=lambda name: (-errors[name].word_errors, name))[:count]


def interval(
    errors: Mapping[str, Errors], groups: Mapping[str, str], resamples: int = 10_000, seed: int = 0
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
        statistics, without interpolation, as a resample with no words has an infinite WER.
    """
    if not errors:
        raise DataError("no utterances, so that their WER has no interval")
    speakers = {groups.get(name, "") for name in errors}
    by_speaker = "" not in speakers and len(speakers) >= FEWEST_SPEAKERS
    wrong, words = Counter[str](), Counter[str]()
    for name, counts in errors.items():
        unit = groups[name] if by_speaker else name
        wrong[unit] += counts.word_errors
        words[unit] += counts.words
    order = sorted(words)  # whatever the order of `errors`, the same seed draws the same units
    table = np.array([(wrong[unit], words[unit]) for unit in order])
    low, high = np.quantile(_resampled_wer(table, resamples, seed), TAILS, method="inverted_cdf")
    return Interval(float(low), float(high), "speaker" if by_speaker else "utterance")


def aligned(reference: str, hypothesis: str) -> str:
    """One utterance's words in columns, for a monospaced terminal: reference, hypothesis, and S, D or I under an error.

    ```text
    REF: the cat sat on ***
    HYP: *** cat sad on it
         D       S      I
    ```
    """
    columns = [("REF:", "HYP:", ""), *_columns(reference.split(), hypothesis.split())]
    widths = [max(map(cell_len, column)) for column in columns]
    rows = zip(*columns, strict=True)
    return "\n".join(" ".join(map(set_cell_size, row, widths)).rstrip() for row in rows)


def _columns(reference: list[str], hypothesis: list[str]) -> Iterator[tuple[str, str, str]]:
    for chunk in jiwer.process_words(" ".join(reference), " ".join(hypothesis)).alignments[0]:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        recognised = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        for pair in zip_longest(said, recognised, fillvalue=GAP):
            yield *pair, MARKS[chunk.type]


def _resampled_wer(table: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    """The pooled WER of each resample of a table of `(word errors, words)`, one row a unit."""
    generator = np.random.default_rng(seed)
    wrong_by_unit, words_by_unit = table.T.copy()  # two dense columns: gathering is four times as fast
    rates = np.empty(resamples)
    rows = max(1, DRAWS_AT_ONCE // len(table))
    for start in range(0, resamples, rows):
        drawn = generator.integers(len(table), size=(min(rows, resamples - start), len(table)))
        wrong, words = wrong_by_unit[drawn].sum(axis=1), words_by_unit[drawn].sum(axis=1)
        nothing_said = np.where(wrong > 0, np.inf, 0.0)
        rates[start : start + rows] = np.divide(wrong, words, out=nothing_said, where=words > 0)
    return rates


def _rate(errors: int, count: int) -> float:
    if count == 0:
        return float("inf") if errors else 0.0
    return errors / count


def _single_spaced(text: str) -> str:
    return " ".join(text.split())


def _first(ids: Iterable[str]) -> str:
    named = [repr(name) for name in sorted(ids)]
    return ", ".join(named[:3] + ["..."] * (len(named) > 3))
