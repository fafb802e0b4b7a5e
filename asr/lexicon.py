"""The words of a lexicon."""

from pathlib import Path

from asr.errors import DataError
from asr.files import read_lines


def read_words(path: Path) -> set[str]:
    """The words of a pronunciation dictionary in CMUdict's or Kaldi's format, or of a list with a word a line.

    A word is what stands in front of the first white space; `(2)` behind it marks another pronunciation.

    Raises:
        DataError: Missing, unreadable, or there is no word in it; names the path.
    """
    words = {line.split(maxsplit=1)[0] for _, line in read_lines(path) if not line.startswith((";;;", "#"))}
    if not words:
        raise DataError(f"{path}: no words")
    return {_without_number(word) for word in words}


def _without_number(word: str) -> str:
    """>>> _without_number("a(2)")
    'a'
    """
    stem, bracket, rest = word.rpartition("(")
    return stem if bracket and stem and rest[:-1].isdecimal() and rest.endswith(")") else word
