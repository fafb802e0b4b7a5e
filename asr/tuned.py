"""What tuning on dev found for a model: `decoding.json` in the model folder, with copies of the language models."""

import gc
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asr.confidence import Calibration
from asr.config import build, merge, settings, to_table
from asr.decoder import Decoder, DecodingConfig
from asr.errors import AsrError, ModelError
from asr.files import digest, read_json, write_json, writing
from asr.lexicon.corpus import complete
from asr.lexicon.entries import Lexicon, write_lexicon
from asr.lexicon.of_model import FILE as LEXICON
from asr.lexicon.of_model import pronunciations_for, read_for
from asr.lm.compact import is_compact
from asr.lm.stored import read_vocabulary
from asr.model_folder import WEIGHTS
from asr.progress import say
from asr.reading import Decodes, Reader
from asr.search.fusion import read_lexicon
from asr.search.hotwords import parse_hotwords, read_hotwords
from asr.search.risk import CANDIDATES
from asr.text import TextConfig, Vocabulary

FILE = "decoding.json"
LANGUAGE_MODELS, SECOND = {"lm.arpa", "lm.arpa.gz", "lm.ngram"}, "second_lm"
"""What the copies in a model folder are called."""

LETTERS = TextConfig().alphabet
"""Of hotwords that are heard in phones."""


@settings
class Tuned:
    """How to decode with a model, and what came of it on dev."""

    weights: str
    """The SHA-256 of the weights that it was found with; for others it means nothing."""
    language_model: str = ""
    """A file in the model folder; empty: greedy decoding, and only confidence was calibrated."""
    lexicon: str = ""
    """A file in the model folder: how the language model's words are said; empty where no phones are searched."""
    second: str = ""
    """A folder in the model folder: the language model that goes over the best hypotheses."""
    decoding: DecodingConfig = DecodingConfig()
    log_priors: tuple[float, ...] = ()
    """Natural logarithms of how likely each of the model's tokens, of all heads, is over all frames of dev."""
    greedy: Calibration = Calibration()
    beam: Calibration = Calibration()
    dev: Mapping[str, str] = field(default_factory=dict)
    """What it was tuned on, and the figures."""


def name_of_copy(language_model: Path) -> str:
    """What the copy of an n-gram model in a model folder is called."""
    if is_compact(language_model):
        return "lm.ngram"
    return "lm.arpa.gz" if language_model.suffix == ".gz" else "lm.arpa"


def write_tuned(folder: Path, tuned: Tuned, sources: Mapping[str, Path], lexicon: Lexicon | None = None) -> None:
    """Writes the record into a model folder, after the language models that it names; those of an earlier one go.

    From the first copy until the record is written the folder counts as not tuned, so that settings never meet a
    language model that they were not found for.

    Args:
        sources: Where each of the language models is to be copied from, by its name in the folder.
        lexicon: How the words are said, where the record names a lexicon; replaces the folder's.

    Raises:
        AsrError: The folder cannot be written.
    """
    try:
        (folder / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise AsrError(f"{folder / FILE}: cannot be replaced ({error.strerror})") from error
    for name, source in sources.items():
        _copy(source, folder / name)
    if lexicon is not None:
        write_lexicon(folder / tuned.lexicon, lexicon)
    write_json(folder / FILE, to_table(tuned))
    for stale in LANGUAGE_MODELS - sources.keys():
        (folder / stale).unlink(missing_ok=True)
    if SECOND not in sources:
        shutil.rmtree(folder / SECOND, ignore_errors=True)


def read_tuned(folder: Path, warn: bool = True) -> Tuned | None:
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
        if warn:
            say(f"warning: {path} was tuned for other weights and is not used; run 'asr tune' again")
        return None
    for name in filter(None, (tuned.language_model, tuned.second, tuned.lexicon)):
        if not (folder / name).exists():
            what = "lexicon" if name == tuned.lexicon else "language model"
            raise ModelError(f"{path}: the {what} {name} is gone; run 'asr tune' again, or decode with --greedy")
    return tuned


@dataclass(frozen=True)
class Search:
    """What a user asks of the beam search, next to what a model folder comes with."""

    language_model: Path | None = None
    """In place of the tuned one: an ARPA or compact file."""
    lexicon: Path | None = None
    """A file with the only words allowed, one a line; for a model that hears phones, with how they are said."""
    hotwords: Sequence[str] = ()
    """As `asr.search.hotwords.parse_hotwords` takes them."""
    hotword_file: Path | None = None
    nbest: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Changes to `DecodingConfig`."""


def reader_for(
    folder: Path,
    tuned: Tuned | None,
    vocabulary: Vocabulary,
    frame_s: float,
    search: Search | None = None,
    decoder: Decodes | None = None,
) -> Reader:
    """How the model in a folder is read: as was tuned, as asked for, or greedily where it is neither.

    Args:
        decoder: As `decoder_for` would make it, where that was done already.

    Raises:
        AsrError: A language model, a lexicon, a hotword or a setting cannot be used.
    """
    if not is_searched(tuned, search):
        return greedy_reader(tuned, vocabulary, frame_s)
    return beam_reader(folder, tuned, vocabulary, frame_s, search or Search(), decoder)


def is_searched(tuned: Tuned | None, search: Search | None) -> bool:
    """Whether a model is read by a beam search, as one was tuned or is asked for."""
    return search is not None or bool(tuned and tuned.language_model)


def greedy_reader(tuned: Tuned | None, vocabulary: Vocabulary, frame_s: float) -> Reader:
    """Greedy decoding, with calibrated confidence where the model was tuned."""
    return Reader(vocabulary, frame_s, calibration=tuned.greedy if tuned else Calibration())


def beam_reader(
    folder: Path,
    tuned: Tuned | None,
    vocabulary: Vocabulary,
    frame_s: float,
    search: Search,
    decoder: Decodes | None = None,
) -> Reader:
    """A beam search as was tuned, with what is asked for besides.

    Raises:
        AsrError: As `reader_for`.
    """
    decoder = decoder or decoder_for(folder, tuned, vocabulary, search)
    model = None
    if second := _second(folder, tuned, search):
        from asr.lm.neural import NeuralModel  # and with it PyTorch, which the search itself can do without

        model = NeuralModel.load(second)
    return Reader(vocabulary, frame_s, decoder, model, tuned.beam if tuned else Calibration(), search.nbest)


def config_for(tuned: Tuned | None, search: Search) -> DecodingConfig:
    """The settings of the search: those that were tuned, unless for another language model, with the changes asked for.

    Raises:
        ConfigError: A change is not known, or out of range.
    """
    table = merge(
        to_table(tuned.decoding if tuned and _is_as_tuned(tuned, search) else DecodingConfig()), search.settings
    )
    return build(DecodingConfig, table, "--set decoding")


def decoder_for(folder: Path, tuned: Tuned | None, vocabulary: Vocabulary, search: Search) -> Decoder:
    """The search itself, which for many words takes seconds to build.

    Raises:
        AsrError: As `reader_for`.
    """
    config, ours = config_for(tuned, search), _is_as_tuned(tuned, search)
    language_model = folder / tuned.language_model if tuned and ours else search.language_model
    if search.language_model:
        say(f"warning: decoding settings were not tuned for {search.language_model}; 'asr tune' finds them")
    alphabet = "".join(vocabulary.spellings[1:])
    if vocabulary.phones and config.head != "text":
        alphabet += LETTERS
    hotwords = read_hotwords(search.hotword_file, alphabet) if search.hotword_file else {}
    hotwords |= parse_hotwords(search.hotwords, alphabet)
    own = folder / tuned.lexicon if tuned and ours and tuned.lexicon else None
    rescored = config.rescored if _second(folder, tuned, search) else 1
    nbest = max(search.nbest, rescored, CANDIDATES if config.mbr_scale else 1)
    priors = np.array(tuned.log_priors if tuned else ())
    with _no_collecting():
        pronunciations = _pronunciations(folder, vocabulary, config, search, language_model, own, hotwords)
        lexicon = read_lexicon(search.lexicon, vocabulary) if search.lexicon and pronunciations is None else None
        return Decoder(vocabulary, config, language_model, lexicon, pronunciations, priors, hotwords, nbest)


def _is_as_tuned(tuned: Tuned | None, search: Search) -> bool:
    """Whether the language model is the one that was tuned."""
    return bool(tuned and tuned.language_model) and search.language_model is None


def _second(folder: Path, tuned: Tuned | None, search: Search) -> Path | None:
    """The folder of the language model that goes over the best hypotheses."""
    return folder / tuned.second if tuned and tuned.second and _is_as_tuned(tuned, search) else None


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Within the block Python's garbage collector rests: it would go over all words of a lexicon again and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _pronunciations(
    folder: Path,
    vocabulary: Vocabulary,
    config: DecodingConfig,
    search: Search,
    language_model: Path | None,
    tuned: Path | None,
    hotwords: Mapping[str, float],
) -> Lexicon | None:
    """How the words are said that a search in phones may hear; None where letters are searched.

    Args:
        tuned: The lexicon that the model was tuned with.
    """
    if not vocabulary.phones or config.head == "text":
        return None
    own = folder / LEXICON
    if named := search.lexicon or tuned:
        known = read_for(named, vocabulary)
    elif language_model and (own.is_file() or not vocabulary.spells):
        known = pronunciations_for(read_vocabulary(language_model)[1], folder, vocabulary)
    elif own.is_file():
        known = read_for(own, vocabulary)
    else:
        return None
    expected = [word for words in hotwords for word in words.split() if word not in known]
    return known | complete(known, expected, phones=vocabulary.phones) if expected else known


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
