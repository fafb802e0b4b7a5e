"""A recording and the text said in it, brought together: when words and phones were said, and whether it fits."""

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asr.alignment import Matrix, Word, align, fit_score, phones_of, words, words_of_tokens
from asr.audio import read
from asr.errors import DataError, ModelError
from asr.features import SILENCE as SILENT
from asr.lexicon.choose import Variants, choose, with_silence
from asr.lexicon.of_model import pronunciations_for
from asr.recognizer import Recognizer
from asr.search.phones import sayings_of
from asr.spoken import lost_letters, spoken
from asr.text import SILENCE, TextConfig, Vocabulary

LEAST_FIT = 0.1
"""A text with a lower `fit_score` does not seem to be what is said. Found on LibriSpeech's dev-clean with a poor model
(46 % of characters wrong): below it are 2 % of the right texts, and 99.7 % of other utterances' of the same length.
"""


@dataclass(frozen=True)
class Alignment:
    """The words of a text with their times in a recording."""

    words: list[Word]
    fit: float
    """As `asr.alignment.fit_score`."""
    duration_s: float = 0.0
    """Of the recording."""

    @property
    def fits(self) -> bool:
        return self.fit >= LEAST_FIT


def align_recording(
    recognizer: Recognizer, audio: Path, text: str, phones: bool = False, lexicon: Path | None = None
) -> Alignment:
    """The words of `text` with their times in the recording.

    Args:
        phones: Align by phones; a model that hears nothing else does so anyhow.
        lexicon: How the words are said, in place of what the model folder and the dictionary tell.

    Raises:
        AudioError: The recording cannot be read.
        DataError: The recording is silent, the text empty, beyond the alphabet or too long for it, or holds a word that
            nobody can say; names the recording.
        ModelError: Phones are asked for, and the model hears none.
    """
    vocabulary = recognizer.checkpoint.vocabulary
    if (phones or lexicon) and not vocabulary.phones:
        raise ModelError(f"{recognizer.name or 'the model'}: hears no phones to align by")
    by_phones = phones or bool(lexicon) or not vocabulary.spells
    waveform = read(audio, recognizer.sample_rate_hz)
    duration_s = len(waveform) / recognizer.sample_rate_hz
    try:
        tokens = [] if by_phones else vocabulary.encode(alignable(text, vocabulary))
        said = _said(text, recognizer, lexicon) if by_phones else []
        if np.abs(waveform).max() <= SILENT:
            raise DataError("silence: there is nothing to align the text with")
        matrix = recognizer.matrix(waveform, recognizer.sample_rate_hz)
        if by_phones:
            return _by_phones(recognizer, matrix, said, duration_s)
        matrix = vocabulary.of_text(matrix)
        spans = align(matrix, tokens)
    except DataError as error:
        raise DataError(f"{audio}: {error}") from error
    found = words(matrix, spans, vocabulary.spellings, recognizer.frame_s, duration_s)
    return Alignment(found, fit_score(matrix, spans), duration_s)


def _said(text: str, recognizer: Recognizer, lexicon: Path | None) -> list[tuple[str, Variants]]:
    """The words of a text, each with the ways to say it, as the model's phones."""
    vocabulary = recognizer.checkpoint.vocabulary
    alphabet = set(TextConfig().alphabet)
    if unknown := lost_letters(text, alphabet):
        raise DataError(f"characters of the text are in no word: {' '.join(map(repr, sorted(unknown)))}")
    if not (wanted := spoken(text, alphabet).split()):
        raise DataError(f"no words to align in the text {text[:40]!r}")
    known = pronunciations_for(wanted, Path(recognizer.name), vocabulary, lexicon)
    ways: dict[str, list[tuple[int, ...]]] = {}
    for saying in sayings_of(known, vocabulary.phones):
        ways.setdefault(saying.word, []).append(saying.phones)
    if missing := [word for word in wanted if word not in ways]:
        raise DataError(f"no pronunciation: {missing[0]!r}; give one with --lexicon")
    return [(word, ways[word]) for word in wanted]


def _by_phones(
    recognizer: Recognizer, matrix: Matrix, said: Sequence[tuple[str, Variants]], duration_s: float
) -> Alignment:
    """The words in the pronunciations of the best path, silences between them where there are any."""
    vocabulary = recognizer.checkpoint.vocabulary
    matrix = vocabulary.of_phones(matrix)
    names, variants = [word for word, _ in said], [ways for _, ways in said]
    if SILENCE in vocabulary.phones:
        names = ["", *(each for name in names for each in (name, ""))]
        variants = with_silence(variants, vocabulary.phones.index(SILENCE))
    chosen = [ways[number] for ways, number in zip(variants, choose(matrix, variants), strict=True)]
    spans = align(matrix, [phone for phones in chosen for phone in phones])
    counted = [(name, len(phones)) for name, phones in zip(names, chosen, strict=True)]
    found = words_of_tokens(matrix, spans, counted, recognizer.frame_s, duration_s)
    with_phones = [replace(word, phones=phones_of(word, vocabulary.phones, recognizer.frame_s)) for word in found]
    return Alignment(with_phones, fit_score(matrix, spans), duration_s)


def alignable(text: str, vocabulary: Vocabulary) -> str:
    """The text as the model would spell it: as it is said, numbers in words, without punctuation.

    Raises:
        DataError: There are no words; or letters are outside the alphabet, and are named.
    """
    alphabet = {*string.ascii_lowercase, *"".join(vocabulary.spellings[1:])}  # the letters that numbers are written in
    said = spoken(text, alphabet)
    if unknown := {*lost_letters(text, alphabet), *vocabulary.unknown(said)}:
        raise DataError(f"characters of the text are outside the alphabet: {' '.join(map(repr, sorted(unknown)))}")
    if not said:
        raise DataError(f"no words to align in the text {text[:40]!r}")
    return said


def read_text(argument: str) -> str:
    """The text that an argument gives: what the file of that name holds, else the argument itself.

    Raises:
        DataError: The file cannot be read or is not UTF-8; or the name of a text file that is not there.
    """
    path = Path(argument)
    try:
        is_there = path.exists() and not path.is_dir()  # a pipe will do
    except OSError:  # too long for a name
        is_there = False
    if is_there:
        try:
            return path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: not a text in UTF-8 ({error.reason} at byte {error.start})") from error
    if path.suffix == ".txt" and len(argument.split()) == 1:
        raise DataError(f"{path}: no such text file")
    return argument
