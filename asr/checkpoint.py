"""The model folder: plain files that hold all it takes to put a model to use, be it of speech, of language or of words.

`config.json` (settings in force, code version), `vocabulary.json`, `weights.safetensors`, `README.md` (model card).
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from asr import __version__
from asr.cells import unset
from asr.config import Table, build, to_table
from asr.ensemble import AcousticModel, acoustic_model
from asr.errors import ConfigError, ModelError
from asr.features import FeatureConfig, LogMel
from asr.files import digest_of, make_folder, write_json, writing
from asr.model import ModelConfig
from asr.model_folder import CONFIG, FILES, KINDS, SPEECH, VOCABULARY, WEIGHTS, read_config
from asr.quantise import WeightFormat, pack, unpack
from asr.text import Vocabulary


class Tokens(Protocol):
    """A vocabulary of any kind."""

    @property
    def tokens(self) -> tuple[str, ...]: ...

    def save(self, path: Path) -> None: ...


class Stored(Protocol):
    """A model of any kind with what belongs to it, as it goes into a model folder."""

    kind: ClassVar[str]
    """One of `asr.model_folder.KINDS`."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def vocabulary(self) -> Tokens: ...

    @property
    def config(self) -> Table: ...

    def weights(self) -> dict[str, Tensor]: ...

    @staticmethod
    def load(folder: Path) -> Any:
        """The model of this kind in a folder, on the CPU."""


@dataclass
class Checkpoint:
    """A speech recognition model with what belongs to it, in memory."""

    kind: ClassVar[str] = SPEECH

    features: LogMel
    model: AcousticModel
    vocabulary: Vocabulary
    config: Table
    """Every setting that the model was made with; `features` and `model` rebuild it, the rest tells how it was made."""

    def weights(self) -> dict[str, Tensor]:
        parts = {"features": self.features, "model": self.model}
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}

    @staticmethod
    def load(folder: Path) -> "Checkpoint":
        return load_model(folder)


def create(features: FeatureConfig, model: ModelConfig, vocabulary: Vocabulary, config: Table) -> Checkpoint:
    """A model with random weights, from torch's generator as it stands."""
    network = acoustic_model(features.mel_bins, vocabulary.heads, model)
    return Checkpoint(LogMel(features), network, vocabulary, {"asr_version": __version__, **config})


def save_model(
    checkpoint: Stored,
    folder: Path,
    card: str,
    prove: Callable[[Any], None] = lambda _: None,
    form: WeightFormat = "float32",
) -> None:
    """Writes the model folder: first beside it, read again and proved; then it takes the old one's place file by file.

    Args:
        checkpoint: What to write.
        folder: The weights come last, marked with the settings and vocabulary that they belong to.
        card: README.md.
        prove: Gets what was read again, and raises `AsrError` when it does not work as it should.
        form: Of the weights in the file; what is read again computes in float32.

    Raises:
        AsrError: A file cannot be written, or the proof failed; the folder stays as it was.
    """
    beside = folder.with_name(f"{folder.name}.new")
    make_folder(beside)
    write_json(beside / CONFIG, checkpoint.config)
    checkpoint.vocabulary.save(beside / VOCABULARY)
    with writing(beside / "README.md") as stream:
        stream.write(card)
    weights = {name: value.detach().cpu().contiguous() for name, value in checkpoint.weights().items()}
    with writing(beside / WEIGHTS, "wb") as stream:
        stream.write(save(pack(weights, form), metadata={"belongs_to": _owner(checkpoint)}))
    prove(checkpoint.load(beside))
    make_folder(folder)
    for name in ("README.md", *FILES):
        (beside / name).replace(folder / name)
    shutil.rmtree(beside, ignore_errors=True)  # a killed save may have left more in it


@contextmanager
def rounded(checkpoint: Stored, form: WeightFormat) -> Iterator[None]:
    """Within the block a model's weights are those that will be read again when `save_model` has written them so."""
    weights = checkpoint.weights()
    own = {name: value.clone() for name, value in weights.items()}
    _put(weights, unpack(pack(own, form)))
    try:
        yield
    finally:
        _put(weights, own)


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
    known = {column: number for number, column in enumerate(source.vocabulary.columns)}
    shared = {new: known[column] for new, column in enumerate(checkpoint.vocabulary.columns) if column in known}
    new, old = (torch.tensor([*numbers], dtype=torch.long) for numbers in (shared.keys(), shared.values()))
    theirs_by_name = source.weights()
    with torch.no_grad():
        for name, value in checkpoint.weights().items():
            if ".head." in name:
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


def load_model(folder: Path) -> Checkpoint:
    """The model in a folder, on the CPU.

    Raises:
        ModelError: A file is missing, cut off, a pickle, or belongs to other settings; names it.
        ConfigError: `config.json` has settings that this version does not know.
    """
    config, source = read_config(folder, Checkpoint.kind), str(folder / CONFIG)
    features = build(FeatureConfig, config["features"], f"{source}: features")
    model = build(ModelConfig, config["model"], f"{source}: model")
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    with unset():
        checkpoint = create(features, model, vocabulary, config)
    fill(checkpoint, folder / WEIGHTS)
    return checkpoint


def fill(checkpoint: Stored, path: Path) -> None:
    """Gives a model the weights in a file, and makes it ready for use.

    Raises:
        ModelError: The file is cut off, a pickle, belongs to other settings, or holds NaN; names it.
    """
    with path.open("rb") as stream:
        start = stream.read(9)
    # a safetensors file begins with the length of its header, which may look like a pickle, and then the header
    if start[8:] != b"{" and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise ModelError(f"{path}: a pickle, which could run any code; only safetensors files are loaded")
    try:
        packed = load_file(path)
        owner = _metadata(path).get("belongs_to")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cut off or not a safetensors file ({error})") from error
    if owner is not None and owner != _owner(checkpoint):
        raise ModelError(f"{path}: these weights belong to another config.json or vocabulary.json")
    try:
        weights = unpack(packed)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    expected = checkpoint.weights()
    if unlike := sorted(
        name for name in {*expected, *weights} if _shape(expected.get(name)) != _shape(weights.get(name))
    ):
        name = unlike[0]
        shapes = f"{_shape(weights.get(name))} in the file, {_shape(expected.get(name))} by config.json"
        raise ModelError(f"{path}: does not fit config.json: {name} is {shapes} ({len(unlike)} differ)")
    if broken := sorted(name for name, value in weights.items() if not value.isfinite().all()):
        raise ModelError(f"{path}: NaN or infinite weights in {broken[0]} ({len(broken)} tensors have some)")
    _put(expected, weights)
    checkpoint.model.eval()


@torch.no_grad()
def _put(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in weights.items():
        value.copy_(values[name])


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as stream:
        return stream.metadata() or {}


def _owner(checkpoint: Stored) -> str:
    sections = (checkpoint.config[name] for name in KINDS[checkpoint.kind])
    return digest_of([*sections, checkpoint.vocabulary.tokens])


def _shape(value: Any) -> tuple[int, ...] | None:
    return None if value is None else tuple(value.shape)
