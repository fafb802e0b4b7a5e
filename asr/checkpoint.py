"""The model folder: plain files that hold all it takes to transcribe.

`config.json` (settings in force, code version), `vocabulary.json`, `weights.safetensors`, `README.md` (model card).
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from asr import __version__
from asr.config import Table, build, to_table
from asr.errors import ConfigError, ModelError
from asr.features import FeatureConfig, LogMel
from asr.files import digest_of, make_folder, read_json, write_json, writing
from asr.model import CTCModel, ModelConfig
from asr.text import Vocabulary

FILES = ("config.json", "vocabulary.json", "weights.safetensors")


@dataclass
class Checkpoint:
    """A model with what belongs to it, in memory."""

    features: LogMel
    model: CTCModel
    vocabulary: Vocabulary
    config: Table
    """Every setting that the model was made with; `features` and `model` rebuild it, the rest tells how it was made."""

    def weights(self) -> dict[str, Tensor]:
        parts = {"features": self.features, "model": self.model}
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


def create(features: FeatureConfig, model: ModelConfig, vocabulary: Vocabulary, config: Table) -> Checkpoint:
    """A model with random weights, from torch's generator as it stands."""
    network = CTCModel(features.mel_bins, len(vocabulary), model)
    return Checkpoint(LogMel(features), network, vocabulary, {"asr_version": __version__, **config})


def save_model(
    checkpoint: Checkpoint, folder: Path, card: str, prove: Callable[[Checkpoint], None] = lambda _: None
) -> None:
    """Writes the model folder: first beside it, read again and proved; then it takes the old one's place file by file.

    Args:
        checkpoint: What to write.
        folder: The weights come last, marked with the settings and vocabulary that they belong to.
        card: README.md.
        prove: Gets what was read again, and raises `AsrError` when it does not work as it should.

    Raises:
        AsrError: A file cannot be written, or the proof failed; the folder stays as it was.
    """
    beside = folder.with_name(f"{folder.name}.new")
    make_folder(beside)
    write_json(beside / "config.json", checkpoint.config)
    checkpoint.vocabulary.save(beside / "vocabulary.json")
    with writing(beside / "README.md") as stream:
        stream.write(card)
    weights = {name: value.detach().cpu().contiguous() for name, value in checkpoint.weights().items()}
    with writing(beside / "weights.safetensors", "wb") as stream:
        stream.write(save(weights, metadata={"belongs_to": _owner(checkpoint.config, checkpoint.vocabulary)}))
    prove(load_model(beside))
    make_folder(folder)
    for name in ("README.md", *FILES):
        (beside / name).replace(folder / name)
    shutil.rmtree(beside, ignore_errors=True)  # a killed save may have left more in it


def start_from(checkpoint: Checkpoint, folder: Path) -> int:
    """Gives a new model the weights of a trained one; where the vocabularies differ, by token.

    Args:
        checkpoint: Its features and model settings must be those of the folder's; dropout may differ.
        folder: A model folder.

    Returns:
        How many tokens of the new vocabulary the trained model knows.

    Raises:
        ConfigError: The settings differ; names the first that does and how to set it.
        ModelError: The folder is not a whole model folder.
    """
    source = load_model(folder)
    for section in ("features", "model"):
        ours, theirs = ({**to_table(getattr(each, section).config), "dropout": 0} for each in (checkpoint, source))
        if unlike := [key for key in ours if ours[key] != theirs[key]]:
            key = unlike[0]
            raise ConfigError(
                f"{folder}: another kind of model: {section}.{key} is {theirs[key]} there and {ours[key]} here; "
                f"to go on from it: --set {section}.{key}={theirs[key]}"
            )
    known = {token: number for number, token in enumerate(source.vocabulary.tokens)}
    shared = [(new, known[token]) for new, token in enumerate(checkpoint.vocabulary.tokens) if token in known]
    new, old = (torch.tensor(numbers) for numbers in zip(*shared, strict=True))
    theirs_by_name = source.weights()
    with torch.no_grad():
        for name, value in checkpoint.weights().items():
            if name.startswith("model.head."):
                value[new] = theirs_by_name[name][old]
            else:
                value.copy_(theirs_by_name[name])
    return len(shared)


def set_aside(folder: Path) -> None:
    """Renames a model folder to `FOLDER.previous`, in place of the one that may be there, before another is trained."""
    previous = folder.with_name(f"{folder.name}.previous")
    if folder.is_dir():
        if previous.is_dir():
            shutil.rmtree(previous)
        folder.rename(previous)


def require_model(folder: Path) -> None:
    """Raises `ModelError` unless a folder has the files of a model; names what is missing."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder")
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        inside = folder / "model"
        hint = f"; did you mean {inside}?" if (inside / FILES[0]).is_file() else ""
        raise ModelError(f"{folder}: not a whole model folder: {', '.join(missing)} missing{hint}")


def load_model(folder: Path) -> Checkpoint:
    """The model in a folder, on the CPU.

    Raises:
        ModelError: A file is missing, cut off, a pickle, or belongs to other settings; names it.
        ConfigError: `config.json` has settings that this version does not know.
    """
    require_model(folder)
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or not {"features", "model"} <= config.keys():
        raise ModelError(f"{folder / 'config.json'}: not a model's settings: 'features' and 'model' must be there")
    source = str(folder / "config.json")
    features = build(FeatureConfig, config["features"], f"{source}: features")
    model = build(ModelConfig, config["model"], f"{source}: model")
    vocabulary = Vocabulary.load(folder / "vocabulary.json")
    checkpoint = create(features, model, vocabulary, config)
    _fill(checkpoint, folder / "weights.safetensors")
    checkpoint.model.eval()
    return checkpoint


def _fill(checkpoint: Checkpoint, path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start == b"PK" or start[:1] == b"\x80":
        raise ModelError(f"{path}: a pickle, which could run any code; only safetensors files are loaded")
    try:
        weights = load_file(path)
        owner = _metadata(path).get("belongs_to")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cut off or not a safetensors file ({error})") from error
    if owner is not None and owner != _owner(checkpoint.config, checkpoint.vocabulary):
        raise ModelError(f"{path}: these weights belong to another config.json or vocabulary.json")
    expected = checkpoint.weights()
    if unlike := sorted(
        name for name in {*expected, *weights} if _shape(expected.get(name)) != _shape(weights.get(name))
    ):
        name = unlike[0]
        shapes = f"{_shape(weights.get(name))} in the file, {_shape(expected.get(name))} by config.json"
        raise ModelError(f"{path}: does not fit config.json: {name} is {shapes} ({len(unlike)} differ)")
    with torch.no_grad():
        for name, value in expected.items():
            value.copy_(weights[name])


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as stream:
        return stream.metadata() or {}


def _owner(config: Table, vocabulary: Vocabulary) -> str:
    return digest_of([config["features"], config["model"], vocabulary.tokens])


def _shape(value: Any) -> tuple[int, ...] | None:
    return None if value is None else tuple(value.shape)
