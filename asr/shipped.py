"""Which model a name stands for: a folder, an experiment below `exp/`, or a model that comes with the package."""

import os
import shlex
from pathlib import Path

from asr.config import nearest
from asr.errors import ModelError
from asr.model_folder import CONFIG, FILES

SHIPPED = Path(__file__).parent / "models"
"""Where the models of the package are, each in a folder of its name."""

DEFAULT = "english-small"
"""The one that hears speech where no model is named."""

VARIABLE = "ASR_MODEL"
"""Names the model where the command does not."""

EXPERIMENTS = Path("exp")
"""In the current folder; the model of the experiment NAME is in `exp/NAME/model`."""


def find_model(named: str | None = None) -> Path:
    """The model folder to use.

    A name stands for a model folder, else for the experiment of that name, else for a model of the package. Where
    nothing is named, it is what `$ASR_MODEL` names, else the package's default, in every folder alike.

    Raises:
        ModelError: There is none of that name; tells the nearest.
    """
    if named:
        return _named(named)
    if named := os.environ.get(VARIABLE):
        return _named(named, f"${VARIABLE}: ")
    return SHIPPED / DEFAULT


def shipped_models() -> dict[str, Path]:
    """The folders of the package's models, by name."""
    return {path.name: path for path in sorted(SHIPPED.glob("[!._]*")) if path.is_dir()}


def experiments() -> dict[str, Path]:
    """The folders of the models below `exp/`, by the names of their experiments; they may lack files."""
    folders = (path for path in sorted(EXPERIMENTS.rglob("model")) if any((path / name).is_file() for name in FILES))
    return {path.parent.relative_to(EXPERIMENTS).as_posix(): path for path in folders}


def name_of(folder: Path) -> str:
    """What a model is called: one of the package by its name, wherever that is installed, any other by its folder."""
    return folder.name if _is_shipped(folder) else str(folder)


def require_own(folder: Path) -> None:
    """Raises `ModelError` when a folder that is to be written to belongs to the package; tells how to copy it."""
    if _is_shipped(folder):
        copying = f"cp -r {shlex.quote(str(folder))} {folder.name}-copy"
        raise ModelError(
            f"{folder.name}: comes with the package, where nothing is written; copy it first ({copying}) "
            f"and name {folder.name}-copy"
        )


def _named(name: str, origin: str = "") -> Path:
    folder = Path(name)
    if (folder / CONFIG).is_file():
        return folder
    known = {**shipped_models(), **experiments()}
    if name in known:
        return known[name]
    if folder.is_dir():
        return folder  # whoever loads it tells what it lacks
    raise ModelError(f"{origin}{name}: no such model folder{nearest(name, known)}")


def _is_shipped(folder: Path) -> bool:
    return folder.resolve().is_relative_to(SHIPPED.resolve())
