"""The models that there are, the package's and those below `exp/`: what each is, and how it does."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from asr.errors import AsrError, ModelError
from asr.files import read_json
from asr.model_folder import CONFIG, SPEECH, WEIGHTS, kind_of, require_model
from asr.scoring.figures import FILE as RESULTS
from asr.scoring.figures import Figures, Results, read_results
from asr.shipped import experiments, find_model, shipped_models
from asr.tabular import fitted, plain

HEADINGS = ("name", "kind", "MB", "what it is", "WER on dev", "remark")


@dataclass(frozen=True)
class Entry:
    """A model in the list."""

    name: str
    """As `--model` takes it; the folder where that means another model."""
    kind: str = ""
    """The first word of one of `asr.model_folder.KINDS`."""
    megabytes: float = 0.0
    """Of all its files, in 10^6 bytes."""
    recipe: str = ""
    units: str = ""
    parameters: int | None = None
    training_hours: float | None = None
    dev: Figures | None = None
    """How it does on its first dev split, decoded in the better way."""
    default: bool = False
    """Whether it is meant where no model is named."""
    broken: str = ""
    """Why it cannot be used."""

    @property
    def description(self) -> str:
        size = "" if self.parameters is None else f"{self.parameters / 1e6:.2f} M parameters"
        speech = "" if self.training_hours is None else f"{self.training_hours:.4g} h of speech"
        return ", ".join(filter(None, (self.recipe, self.units, size, speech)))

    @property
    def error_rate(self) -> str:
        return f"{self.dev.wer:.2%} ({self.dev.split}, {self.dev.decoding})" if self.dev else ""

    def cells(self) -> tuple[str, ...]:
        """The texts below `HEADINGS`."""
        remarks = (self.default * "default", self.broken and f"broken: {self.broken}")
        remark = "; ".join(filter(None, remarks))
        return self.name, self.kind, f"{self.megabytes:.1f}", self.description, self.error_rate, remark

    def record(self) -> dict[str, Any]:
        """As plain data, with unrounded rates."""
        dev = self.dev and {
            "split": self.dev.split,
            "decoding": self.dev.decoding,
            "wer": self.dev.wer,
            "interval": [self.dev.wer_low, self.dev.wer_high],
        }
        return {**asdict(self), "dev": dev}


def entries() -> list[Entry]:
    """All models, those of the package first; one that cannot be used is among them, with the reason."""
    ours, theirs = shipped_models(), experiments()
    listed = [*ours.items(), *theirs.items()]
    try:
        default = find_model().resolve()
    except AsrError:
        default = None
    found = []
    for name, folder in listed:
        hidden = folder == ours.get(name) and (name in theirs or (Path(name) / CONFIG).is_file())
        found.append(entry_of(str(folder) if hidden else name, folder, folder.resolve() == default))
    return found


def entry_of(name: str, folder: Path, default: bool = False) -> Entry:
    """What is known of the model in a folder."""
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    try:
        require_model(folder)
        config = read_json(folder / CONFIG)
        kind = kind_of(config)
        if kind is None:
            raise ModelError(f"{folder / CONFIG}: not a model's settings")
        results = read_results(folder / RESULTS) if (folder / RESULTS).is_file() else None
        counted = parameters_in(folder / WEIGHTS)
    except AsrError as error:
        return Entry(name, megabytes=megabytes, default=default, broken=str(error))
    return Entry(
        name,
        kind.split()[0],
        megabytes,
        results.recipe if results else str(config.get("recipe", "")),
        units_of(config) if kind == SPEECH else "",
        results.parameters if results else counted,
        results.training_hours if results else None,
        figures_on_dev(results) if results else None,
        default,
    )


def parameters_in(path: Path) -> int:
    """How many numbers a file of weights holds; they are not read.

    Raises:
        ModelError: It is cut off or no safetensors file.
    """
    try:
        with safe_open(path, "numpy") as weights:
            return sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cut off or not a safetensors file ({error})") from error


def units_of(config: dict[str, Any]) -> str:
    """What a recognizer hears, by the settings it was trained with; empty where they do not tell."""
    text = config.get("text")
    if not isinstance(text, dict) or not isinstance(units := text.get("units"), str):
        return ""
    return f"{units} and phones" if text.get("phones") else units


def figures_on_dev(results: Results) -> Figures | None:
    """The scoring of the first split called after dev, by the decoding that made the fewest errors."""
    scores = [score for score in results.scores if score.split.startswith("dev")]
    return min((score for score in scores if score.split == scores[0].split), key=lambda score: score.wer, default=None)


def shown(models: Iterable[Entry], width: int | None = None) -> str:
    """The models as a table: for a terminal of that width; else plain columns, without those that are empty."""
    rows = [HEADINGS, *(each.cells() for each in models)]
    kept = [column for column in zip(*rows, strict=True) if any(column[1:])]
    table: Sequence[Sequence[str]] = list(zip(*kept, strict=True))
    return f"{plain(table)}\n" if width is None else fitted(table, width)
