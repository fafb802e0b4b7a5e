"""The figures of scored splits as plain data: what `results.json` holds, and what all results are shown from."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from asr.config import Settings, build, settings, to_table
from asr.errors import ConfigError, DataError
from asr.files import digest_of, read_json, write_json
from asr.metrics import Errors
from asr.scoring.bootstrap import Interval, Unit
from asr.scoring.result import Result, finite

FILE = "results.json"
"""What results are called, in an experiment folder as in a model folder."""

LICENCE, LANGUAGE, LANGUAGE_MODEL = "Licence of the data", "Language", "Language model"
ENCODER, SEED, COMMIT, SCORED_ON = "Encoder", "Seed", "Commit", "Scored on"
TRAINING_DATA, TRAINING_TIME, HARDWARE = "Training data", "Training time", "Hardware"
"""The facts that programs look for."""

Count = Annotated[int, Ge(0)]
Amount = Annotated[float, Ge(0)]


@settings
class Figures:
    """How a split came out by one way of decoding: counts, from which every rate follows."""

    split: str
    decoding: str
    hours: Amount
    speakers: Count
    """Those that are known."""
    utterances: Count
    words: Count
    """In the references, as are `characters`."""
    substitutions: Count
    deletions: Count
    insertions: Count
    characters: Count
    character_errors: Count
    wrong_sentences: Count
    wer_low: Amount | None
    """Where the WER lies with 95 % confidence, up to `wer_high`; None stands for infinite, which JSON cannot say."""
    wer_high: Amount | None
    resampled: Unit
    """What the interval was found by."""
    normalisation: str
    references: str
    """As `digest_of_references`: a later scoring of the same data has the same."""
    confidence_error: Amount | None = None
    """The expected calibration error of the words' confidence."""

    @property
    def errors(self) -> Errors:
        return Errors(
            self.words,
            self.substitutions,
            self.deletions,
            self.insertions,
            self.characters,
            self.character_errors,
            self.utterances,
            self.wrong_sentences,
        )

    @property
    def wer(self) -> float:
        return self.errors.wer

    @property
    def cer(self) -> float:
        return self.errors.cer

    @property
    def interval(self) -> Interval:
        low, high = (math.inf if bound is None else bound for bound in (self.wer_low, self.wer_high))
        return Interval(low, high, self.resampled)

    @property
    def interval_in_words(self) -> str:
        return f"{self.interval.low:.2%} to {self.interval.high:.2%}"

    @property
    def wer_in_words(self) -> str:
        return f"{self.wer:.2%} ({self.interval_in_words})"


@settings
class Results:
    """What is known of a model and how it did: all of RESULTS.md and of the model card."""

    recipe: str
    asr_version: str
    weights: str
    """The SHA-256 of the weights that were scored; empty while there is no score."""
    training_hours: Amount
    parameters: Count
    facts: Mapping[str, str] = field(default_factory=dict)
    """How it came about, in words."""
    scores: tuple[Figures, ...] = ()


def figures_of(result: Result, split: str, decoding: str, confidence_error: float | None = None) -> Figures:
    """The figures of a scoring.

    Raises:
        DataError: There is no utterance.
    """
    counts = asdict(result.total)
    return Figures(
        split=split,
        decoding=decoding,
        hours=result.hours,
        speakers=len(set(filter(None, result.speakers.values()))),
        utterances=counts.pop("sentences"),
        **counts,
        wer_low=finite(result.interval.low),
        wer_high=finite(result.interval.high),
        resampled=result.interval.unit,
        normalisation=result.normalisation,
        references=digest_of_references((each.id, each.reference) for each in result.utterances),
        confidence_error=confidence_error,
    )


def digest_of_references(pairs: Iterable[tuple[str, str]]) -> str:
    """The SHA-256 of ids and texts, whatever their order and the white space between words."""
    return digest_of(sorted((name, text.split()) for name, text in pairs))


def to_record(figures: Figures) -> dict[str, Any]:
    return to_table(figures)


def from_record(record: Any, source: str) -> Figures:
    """What `to_record` was given.

    Raises:
        DataError: A key is missing, not known, or its value is not of its kind; names the source and the value.
    """
    return _built(Figures, record, source)


def write_results(path: Path, results: Results) -> None:
    write_json(path, to_table(results))


def read_results(path: Path) -> Results:
    """What `write_results` wrote.

    Raises:
        DataError: The file is missing or damaged; names it and the value.
    """
    table = read_json(path)
    records = table.get("scores") if isinstance(table, dict) else None
    if not isinstance(records, list):
        raise DataError(f"{path}: not results: 'scores' must be a list")
    scores = tuple(from_record(record, f"{path}: score {number}") for number, record in enumerate(records, start=1))
    return replace(_built(Results, {**table, "scores": []}, str(path)), scores=scores)


def _built(kind: type[Settings], table: Any, source: str) -> Settings:
    if not isinstance(table, dict):
        raise DataError(f"{source}: a JSON object was expected, found {str(table)[:40]!r}")
    try:
        return build(kind, table, source)
    except ConfigError as error:
        raise DataError(str(error)) from error
