"""What a scoring has found: every utterance with its errors, and all of them together."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from asr.alignment import Word
from asr.metrics import Column, Errors, align, count_errors, total
from asr.scoring.bootstrap import Interval, interval


@dataclass(frozen=True)
class Scored:
    """An utterance, what was heard in it, and the errors."""

    id: str
    reference: str
    """As it was scored, as is the hypothesis: after normalisation."""
    hypothesis: str
    speaker: str = ""
    duration_s: float | None = None
    audio: Path | None = None
    """The recording, when it is known."""
    offset_s: float = 0.0
    """Where the utterance begins in the recording."""
    words: tuple[Word, ...] = ()
    """What was heard with times from the utterance's beginning; empty where times are not known."""

    @cached_property
    def errors(self) -> Errors:
        return count_errors(self.reference, self.hypothesis)

    @cached_property
    def columns(self) -> list[Column]:
        return align(self.reference, self.hypothesis)


@dataclass(frozen=True)
class Result:
    """One system's hypotheses for a set of references, scored."""

    title: str
    """What was scored, such as "dev-clean, greedy"."""
    utterances: Sequence[Scored]
    """In the order of the references; their ids are distinct."""
    normalisation: str = "none"
    """What was done to both texts before they were compared."""
    remarks: tuple[str, ...] = field(default=())
    """What a reader of the figures has to know, a sentence each."""

    @cached_property
    def total(self) -> Errors:
        return total(utterance.errors for utterance in self.utterances)

    @cached_property
    def errors(self) -> dict[str, Errors]:
        return {utterance.id: utterance.errors for utterance in self.utterances}

    @cached_property
    def speakers(self) -> dict[str, str]:
        """The speaker of each id, empty where not known."""
        return {utterance.id: utterance.speaker for utterance in self.utterances}

    @cached_property
    def interval(self) -> Interval:
        """Of the WER.

        Raises:
            DataError: There is no utterance.
        """
        return interval(self.errors, self.speakers)

    @property
    def hours(self) -> float:
        return sum(utterance.duration_s or 0.0 for utterance in self.utterances) / 3600

    def to_record(self) -> dict[str, Any]:
        """The figures as plain data: counts, and rates as fractions; one that is no finite number is None.

        Raises:
            DataError: There is no utterance.
        """
        errors, bounds = self.total, self.interval
        return {
            "title": self.title,
            "wer": finite(errors.wer),
            "interval": {"low": finite(bounds.low), "high": finite(bounds.high), "unit": bounds.unit},
            "cer": finite(errors.cer),
            "sentence_error_rate": finite(errors.sentence_error_rate),
            **asdict(errors),
            "hours": self.hours,
            "normalisation": self.normalisation,
            "remarks": list(self.remarks),
        }


def finite(value: float) -> float | None:
    """None in place of what JSON has no number for."""
    return value if math.isfinite(value) else None
