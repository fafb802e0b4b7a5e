"""What makes a folder a model's, and which kind of model it holds, told without the model."""

from pathlib import Path
from typing import Any

from asr.config import Table
from asr.errors import ModelError
from asr.files import read_json

CONFIG, VOCABULARY, WEIGHTS = FILES = ("config.json", "vocabulary.json", "weights.safetensors")

SPEECH, LANGUAGE, PRONUNCIATION = "speech recognition model", "language model", "pronunciation model"

KINDS = {
    SPEECH: ("features", "model"),
    LANGUAGE: ("language_model",),
    PRONUNCIATION: ("pronunciation_model",),
}
"""The kinds of models, and the sections of `config.json` that each is rebuilt from."""


def require_model(folder: Path) -> None:
    """Raises `ModelError` unless a folder has the files of a model; names what is missing."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder")
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        inside = folder / "model"
        hint = f"; did you mean {inside}?" if (inside / FILES[0]).is_file() else ""
        raise ModelError(f"{folder}: not a whole model folder: {', '.join(missing)} missing{hint}")


def read_config(folder: Path, kind: str) -> Table:
    """The settings in a model folder.

    Raises:
        ModelError: A file is missing, or it is a model of another kind.
    """
    require_model(folder)
    config: Table = read_json(folder / CONFIG)
    found = kind_of(config)
    if found is None:
        sections = " and ".join(map(repr, KINDS[kind]))
        raise ModelError(f"{folder / CONFIG}: not a model's settings: {sections} must be there")
    if found != kind:
        raise ModelError(f"{folder}: a {found}, where a {kind} is needed")
    return config


def kind_of(config: Any) -> str | None:
    """The kind of model that a `config.json` speaks of; None when it speaks of none."""
    keys = config.keys() if isinstance(config, dict) else set()
    return next((kind for kind, sections in KINDS.items() if keys >= set(sections)), None)
