"""Experiments side by side: the results of all below some folders, in one table."""

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from asr.dashboard import kept_epoch
from asr.errors import AsrError, DataError
from asr.files import digest, read_json_lines
from asr.model_folder import WEIGHTS
from asr.scoring.figures import (
    COMMIT,
    FILE,
    HARDWARE,
    LANGUAGE_MODEL,
    SCORED_ON,
    SEED,
    TRAINING_TIME,
    Figures,
    Results,
    read_results,
)
from asr.tabular import markdown

Format = Literal["table", "md", "csv", "json"]

MARKS = {FILE, "stages.json"}
"""The files that make a folder an experiment folder."""

INSIDE = {"data", "model", "model.previous", "training", "decode", "score"}
"""What an experiment folder holds of its own; other folders in it may be experiments, such as variants."""

HEADINGS = {
    "experiment": "experiment",
    "split": "split",
    "decoding": "decoding",
    "wer": "WER",
    "interval": "95 % interval",
    "cer": "CER",
    "words": "words",
    "training_hours": "training hours",
    "parameters": "parameters",
    "language_model": "language model",
    "seed": "seed",
    "training_time": "training time",
    "hardware": "hardware",
    "commit": "commit",
    "scored_on": "scored on",
    "remark": "remark",
}
DISPENSABLE = (
    "hardware",
    "commit",
    "training_time",
    "scored_on",
    "seed",
    "parameters",
    "words",
    "training_hours",
    "language_model",
    "cer",
)
"""What a terminal that is too narrow goes without, in this order."""
NUMBERS = ("wer", "cer", "words", "training_hours", "parameters")


@dataclass(frozen=True)
class Row:
    """A split of an experiment, scored by one way of decoding; or an experiment that has no results."""

    experiment: str
    split: str = ""
    decoding: str = ""
    wer: float | None = None
    """As `low`, `high` and `cer`, a fraction."""
    low: float | None = None
    high: float | None = None
    cer: float | None = None
    errors: int | None = None
    words: int | None = None
    training_hours: float | None = None
    parameters: int | None = None
    language_model: str = ""
    seed: str = ""
    training_time: str = ""
    hardware: str = ""
    commit: str = ""
    scored_on: str = ""
    remark: str = ""

    def cells(self) -> dict[str, str]:
        """The texts below `HEADINGS`."""
        return {
            **{name: str(getattr(self, name) or "") for name in HEADINGS if name != "interval"},
            "wer": _percent(self.wer),
            "interval": f"{_percent(self.low)} to {_percent(self.high)}" if self.low is not None else "",
            "cer": _percent(self.cer),
            "words": "" if self.words is None else str(self.words),
            "training_hours": "" if self.training_hours is None else f"{self.training_hours:.2f}",
            "parameters": "" if self.parameters is None else f"{self.parameters / 1e6:.2f} M",
        }


def collect(folders: Sequence[Path], split: str = "") -> tuple[list[Row], list[AsrError]]:
    """The results of every experiment in and below the folders, by split and then WER, and what could not be read.

    Args:
        split: Only this one; experiments without results are then left out.

    Raises:
        DataError: A folder is not there, or none holds an experiment.
    """
    rows, errors = [], []
    found = {path.resolve(): path for folder in folders for path in _experiments(folder)}
    if not found:
        raise DataError(f"{', '.join(map(str, folders))}: no experiments; make one, such as with 'asr run numbers'")
    for path in found.values():
        try:
            rows += list(rows_of(path, _name(path, folders)))
        except AsrError as error:
            errors.append(error)
    chosen = [row for row in rows if not split or row.split == split]
    if split and not chosen and not errors:
        there = ", ".join(sorted({row.split for row in rows if row.split})) or "none"
        raise DataError(f"--split {split}: no experiment has results of it; there are results of {there}")
    return sorted(chosen, key=_order), errors


def rows_of(folder: Path, name: str) -> Iterator[Row]:
    """An experiment's rows; one with a remark when it has no results.

    Raises:
        DataError: A file is damaged; names it.
    """
    if not (folder / FILE).is_file():
        yield Row(name, remark=_state(folder))
        return
    results = read_results(folder / FILE)
    remark = "" if _made_with(folder, results) else "the model has changed since: score again"
    for score in results.scores:
        yield _row(name, results, score, remark)


def shown(rows: Sequence[Row], form: Format, width: int = 80) -> str:
    """The rows as a text: a table for a terminal of that width, Markdown, CSV, or JSON with unrounded rates."""
    if form == "json":
        return json.dumps([_record(row) for row in rows], indent=2, ensure_ascii=False) + "\n"
    if form == "csv":
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(Row.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
        return stream.getvalue()
    if form == "md":
        return markdown(list(HEADINGS.values()), ([row.cells()[name] for name in HEADINGS] for row in rows))
    return _terminal(rows, width)


def _experiments(folder: Path) -> Iterator[Path]:
    """Each experiment folder in and below a folder; links are followed."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    seen = set()
    for path, below, files in os.walk(folder, followlinks=True):
        experiment = bool(MARKS.intersection(files))
        here = os.path.realpath(path)
        below[:] = [
            name
            for name in sorted(below)
            if here not in seen and name[0] != "." and not (experiment and name in INSIDE)
        ]
        if experiment and here not in seen:
            yield Path(path)
        seen.add(here)


def _name(path: Path, folders: Sequence[Path]) -> str:
    """What an experiment is called: by its path below the folder that was named, when it was the only one."""
    if len(folders) > 1:
        return str(path)
    return path.resolve().name if path == folders[0] else path.relative_to(folders[0]).as_posix()


def _state(folder: Path) -> str:
    """How far an experiment without results has come."""
    if any((folder / "score").glob("*.json")):
        return "scored by an earlier version: score again with --force"
    history = folder / "training" / "history.jsonl"
    records = read_json_lines(history) if history.is_file() else []
    if not records:
        return "not trained yet"
    kept = kept_epoch(records)
    goal = next((name for name in ("WER", "PER") if kept and f"dev_{name.lower()}" in kept), None)
    if kept is None or goal is None:
        return "not scored yet"
    return f"not scored yet; {goal} on dev {kept[f'dev_{goal.lower()}']:.2%}, epoch {kept['epoch']}"


def _made_with(folder: Path, results: Results) -> bool:
    """False when the model that was scored is not the one that is there."""
    paths = (folder / "model" / WEIGHTS, folder / WEIGHTS)
    return all(digest(path) == results.weights for path in paths if path.is_file())


def _row(name: str, results: Results, score: Figures, remark: str) -> Row:
    facts, interval = results.facts, score.interval
    return Row(
        name,
        score.split,
        score.decoding,
        score.wer,
        interval.low,
        interval.high,
        score.cer,
        score.errors.word_errors,
        score.words,
        results.training_hours,
        results.parameters,
        facts.get(LANGUAGE_MODEL, "") if score.decoding != "greedy" else "none",
        facts.get(SEED, ""),
        facts.get(TRAINING_TIME, ""),
        facts.get(HARDWARE, ""),
        facts.get(COMMIT, ""),
        facts.get(SCORED_ON, ""),
        remark,
    )


def _order(row: Row) -> tuple[bool, str, float, str, str]:
    return row.wer is None, row.split, row.wer or 0.0, row.experiment, row.decoding


def _record(row: Row) -> dict[str, object]:
    """JSON knows no infinity; the counts of errors and words tell of it."""
    finite = {name: value for name, value in asdict(row).items() if value not in (math.inf, "")}
    return {name: finite.get(name) for name in asdict(row)}


def _terminal(rows: Sequence[Row], width: int) -> str:
    """A table without as many of the dispensable columns as it takes to fit, and the remarks below it."""
    remarks = dict.fromkeys(f"{row.experiment}: {row.remark}\n" for row in rows if row.remark)
    scored = [row.cells() for row in rows if row.wer is not None]
    return (_fitting(scored, width) if scored else "") + "".join(remarks)


def _fitting(rows: Sequence[dict[str, str]], width: int) -> str:
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    names = [name for name in HEADINGS if name != "remark"]
    for dispensed in range(len(DISPENSABLE) + 1):
        table = Table(box=None, pad_edge=False)
        kept = [name for name in names if name not in DISPENSABLE[:dispensed]]
        for name in kept:
            table.add_column(HEADINGS[name], justify="right" if name in NUMBERS else "left")
        for row in rows:
            table.add_row(*(Text(row[name]) for name in kept))
        if Measurement.get(console, console.options.update(max_width=1000), table).maximum <= width:
            break
    with console.capture() as capture:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2%}"
