"""What tuning on dev found for a model: `decoding.json` in the model folder, with copies of the language models."""

import shutil
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from asr.confidence import Calibration
from asr.config import build, settings, to_table
from asr.decoder import Decoder, DecodingConfig
from asr.errors import AsrError, ModelError
from asr.files import digest, read_json, write_json, writing
from asr.lm.neural import NeuralModel
from asr.progress import say
from asr.reading import Reader
from asr.text import Vocabulary

FILE = "decoding.json"
WEIGHTS = "weights.safetensors"


@settings
class Tuned:
    """How to decode with a model, and what came of it on dev."""

    weights: str
    """The SHA-256 of the weights that it was found with; for others it means nothing."""
    language_model: str = ""
    """A file in the model folder; empty: greedy decoding, and only confidence was calibrated."""
    second: str = ""
    """A folder in the model folder: the language model that goes over the best hypotheses."""
    decoding: DecodingConfig = DecodingConfig()
    greedy: Calibration = Calibration()
    beam: Calibration = Calibration()
    dev: Mapping[str, str] = field(default_factory=dict)
    """What it was tuned on, and the figures."""


def write_tuned(folder: Path, tuned: Tuned, sources: Mapping[str, Path]) -> None:
    """Writes the record into a model folder, after the language models that it names.

    Args:
        sources: Where each of the language models is to be copied from, by its name in the folder.

    Raises:
        AsrError: The folder cannot be written; what was there before still works.
    """
    for name, source in sources.items():
        _copy(source, folder / name)
    write_json(folder / FILE, to_table(tuned))


def read_tuned(folder: Path) -> Tuned | None:
    """The record in a model folder; None where there is none, or, with a warning, one for other weights.

    Raises:
        ModelError: It names a language model that is gone.
        ConfigError: It holds settings that this version does not know.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    tuned = build(Tuned, read_json(path), str(path))
    if tuned.weights != digest(folder / WEIGHTS):
        say(f"warning: {path} was tuned for other weights and is not used; run 'asr tune' again")
        return None
    for name in filter(None, (tuned.language_model, tuned.second)):
        if not (folder / name).exists():
            raise ModelError(
                f"{path}: the language model {name} is gone; run 'asr tune' again, or decode with --greedy"
            )
    return tuned


def beam_reader(folder: Path, tuned: Tuned, vocabulary: Vocabulary, frame_s: float) -> Reader:
    """The reader that decodes as the record says."""
    nbest = tuned.decoding.rescored if tuned.second else 1
    decoder = Decoder(vocabulary, tuned.decoding, folder / tuned.language_model, nbest=nbest)
    second = NeuralModel.load(folder / tuned.second) if tuned.second else None
    return Reader(vocabulary, frame_s, decoder, second, tuned.beam)


def _copy(source: Path, target: Path) -> None:
    if target.exists() and source.exists() and target.samefile(source):
        return
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        for path in (path for path in source.iterdir() if path.is_file()):
            _copy(path, target / path.name)
        return
    try:
        with source.open("rb") as stream, writing(target, "wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
    except OSError as error:
        raise AsrError(f"{source}: {error.strerror}") from error
