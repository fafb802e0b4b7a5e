"""Models that were trained apart, made one: the networks of all are heard, as with `model.members`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from asr.card import model_card
from asr.checkpoint import Checkpoint, create, load_model, save_model
from asr.config import to_table
from asr.ensemble import members
from asr.errors import ConfigError, DataError
from asr.files import digest
from asr.model import parameter_count
from asr.model_folder import WEIGHTS


def join(folders: Sequence[Path], out: Path) -> Checkpoint:
    """Writes one model of several, with a card that names them.

    Args:
        folders: At least two model folders of the same features and tokens, with networks of the same settings.
        out: The new model folder. The weights are float16 in it where those of all models were.

    Raises:
        ModelError: A folder is not a whole model folder.
        ConfigError: The models do not go together; names the first difference.
        DataError: There is something at `out` already.
    """
    if len(folders) < 2:
        raise ConfigError(f"{folders[0] if folders else 'no model'}: joining takes two models or more")
    if out.exists():
        raise DataError(f"{out}: there already; name another folder for the joined model")
    parts = [load_model(folder) for folder in folders]
    first = parts[0]
    for part, folder in zip(parts[1:], folders[1:], strict=True):
        _require_alike(first, part, f"{folders[0]} and {folder}")
    networks = [network for part in parts for network in members(part.model)]
    model = replace(first.model.config, members=len(networks))
    settings = {**first.config, "model": to_table(model)}
    joined = create(first.features.config, model, first.vocabulary, settings)
    joined.features.load_state_dict(first.features.state_dict())
    for ours, theirs in zip(members(joined.model), networks, strict=True):
        ours.load_state_dict(theirs.state_dict())
    facts = {
        "Networks": str(len(networks)),
        "Parameters": f"{parameter_count(joined.model) / 1e6:.2f} M",
        **{f"Joined: {folder}": f"weights {digest(folder / WEIGHTS)}" for folder in folders},
    }
    half = all(_fits_float16(value) for value in joined.weights().values())
    save_model(joined, out, model_card(out.resolve().name, facts), half=half)
    return joined


def _require_alike(first: Checkpoint, second: Checkpoint, both: str) -> None:
    for section in ("features", "model"):
        settings, others = (to_table(getattr(each, section).config) for each in (first, second))
        for key, value in settings.items():
            if value != others[key] and key not in ("dropout", "members"):
                raise ConfigError(f"{both}: cannot be joined: {section}.{key} is {value} and {others[key]}")
    if first.vocabulary.columns != second.vocabulary.columns:
        raise ConfigError(f"{both}: cannot be joined: their tokens differ")
    ours, theirs = first.features, second.features
    if not (torch.equal(ours.mean, theirs.mean) and torch.equal(ours.deviation, theirs.deviation)):
        raise ConfigError(f"{both}: cannot be joined: each normalises by its own training data")


def _fits_float16(value: Tensor) -> bool:
    return not value.is_floating_point() or torch.equal(value, value.half().to(value.dtype))
