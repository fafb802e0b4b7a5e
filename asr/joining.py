"""Models that were trained apart, made one: all are heard, as with `model.members`, or their weights are averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from asr.card import FILE, claimed_in, model_card
from asr.checkpoint import Checkpoint, create, load_model, save_model
from asr.config import to_table
from asr.ensemble import members
from asr.errors import ConfigError, DataError
from asr.files import digest
from asr.model import parameter_count
from asr.model_folder import WEIGHTS
from asr.quantise import FORMS, WeightFormat, exact
from asr.scoring.figures import LANGUAGE, LICENCE, TRAINING_DATA


def join(folders: Sequence[Path], out: Path, average: bool = False, form: WeightFormat | None = None) -> Checkpoint:
    """Writes one model of several, with a card that names them, what they were trained on and its licence.

    Networks that went on from the same trained weights mostly lie in one valley, and the mean of their weights is often
    a better network than each of them. Those that began apart do not, but make other mistakes: they are heard side by
    side.

    Source: Wortsman et al. 2022, "Model soups"; Hansen and Salamon 1990, "Neural network ensembles".

    Args:
        folders: At least two model folders of the same features and tokens, with networks of the same settings.
        out: The new model folder.
        average: Make one network, of the mean of the weights, and not one that hears with all of them.
        form: What the weights are in the file; None is the smallest that holds the weights of all models as they are.

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
        _require_alike(first, part, f"{folders[0]} and {folder}", ("dropout",) if average else ("dropout", "members"))
    networks = [[network.state_dict() for network in members(part.model)] for part in parts]
    chosen = [_mean(alike) for alike in zip(*networks, strict=True)] if average else [*chain(*networks)]
    model = replace(first.model.config, members=len(chosen))
    settings = {**first.config, "model": to_table(model)}
    joined = create(first.features.config, model, first.vocabulary, settings)
    joined.features.load_state_dict(first.features.state_dict())
    for network, weights in zip(members(joined.model), chosen, strict=True):
        network.load_state_dict(weights)
    facts = {
        "Networks": f"{len(chosen)}, of averaged weights" if average else str(len(chosen)),
        "Parameters": f"{parameter_count(joined.model) / 1e6:.2f} M",
        **_origin(folders),
        **{f"Joined: {folder}": f"weights {digest(folder / WEIGHTS)}" for folder in folders},
    }
    held = next(each for each in FORMS if all(exact(part.weights(), each) for part in parts))
    save_model(joined, out, model_card(out.resolve().name, facts), form=form or held)
    return joined


def _origin(folders: Sequence[Path]) -> dict[str, str]:
    """What the cards of the models say of their data, each thing once; a model without a card adds nothing."""
    cards = [claimed_in(folder / FILE) for folder in folders if (folder / FILE).is_file()]
    said = {
        name: dict.fromkeys(card[name] for card in cards if name in card) for name in (TRAINING_DATA, LICENCE, LANGUAGE)
    }
    return {name: "; ".join(values).replace("\\|", "|") for name, values in said.items()}


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the weights of each name."""
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _require_alike(first: Checkpoint, second: Checkpoint, both: str, but: Sequence[str]) -> None:
    for section in ("features", "model"):
        settings, others = (to_table(getattr(each, section).config) for each in (first, second))
        for key, value in settings.items():
            if value != others[key] and key not in but:
                raise ConfigError(f"{both}: cannot be joined: {section}.{key} is {value} and {others[key]}")
    if first.vocabulary.columns != second.vocabulary.columns:
        raise ConfigError(f"{both}: cannot be joined: their tokens differ")
    ours, theirs = first.features, second.features
    if not (torch.equal(ours.mean, theirs.mean) and torch.equal(ours.deviation, theirs.deviation)):
        raise ConfigError(f"{both}: cannot be joined: each normalises by its own training data")
