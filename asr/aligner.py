"""A recording and the text said in it, brought together: word times, and whether the text fits at all."""

import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.alignment import Word, align, fit_score, words
from asr.audio import read
from asr.errors import DataError
from asr.features import SILENCE
from asr.recognizer import Recognizer
from asr.spoken import lost_letters, spoken
from asr.text import Vocabulary

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

    @property
    def fits(self) -> bool:
        return self.fit >= LEAST_FIT


def align_recording(recognizer: Recognizer, audio: Path, text: str) -> Alignment:
    """The words of `text` with their times in the recording.

    Raises:
        AudioError: The recording cannot be read.
        DataError: The recording is silent, the text empty, beyond the alphabet or too long for it; names the recording.
    """
    waveform = read(audio, recognizer.sample_rate_hz)
    vocabulary = recognizer.checkpoint.vocabulary
    try:
        tokens = vocabulary.encode(alignable(text, vocabulary))
        if np.abs(waveform).max() <= SILENCE:
            raise DataError("silence: there is nothing to align the text with")
        matrix = recognizer.matrix(waveform, recognizer.sample_rate_hz)
        spans = align(matrix, tokens)
    except DataError as error:
        raise DataError(f"{audio}: {error}") from error
    duration_s = len(waveform) / recognizer.sample_rate_hz
    found = words(matrix, spans, vocabulary.spellings, recognizer.frame_s, duration_s)
    return Alignment(found, fit_score(matrix, spans))


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
