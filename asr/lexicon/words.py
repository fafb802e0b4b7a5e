"""The words that a recogniser could have known."""

from collections.abc import Set as AbstractSet
from pathlib import Path

from asr.errors import DataError
from asr.files import read_lines
from asr.lm.stored import COMPACT, read_vocabulary


def read_words(path: Path) -> AbstractSet[str]:
    """The words, in their order, of a pronunciation dictionary in CMUdict's or Kaldi's format, of a list with a word a
    line, or of a language model (`.arpa`, `.arpa.gz`, `.ngram`).

    In a dictionary, a word is what stands in front of the first white space; `(2)` behind it marks another
    pronunciation.

    Args:
        path: `-` is stdin, which is no language model.

    Raises:
        DataError: Missing, unreadable, or there is no word in it; names the path.
        ModelError: Not a language model, though it is called so.
    """
    if path.name.endswith((".arpa", ".arpa.gz", COMPACT)):
        units, words = read_vocabulary(path)
        if units != "words":
            raise DataError(f"{path}: a language model of {units} has no words")
        return dict.fromkeys(words).keys()
    found = [line.split(maxsplit=1)[0] for _, line in read_lines(path) if not line.startswith((";;;", "#"))]
    if not found:
        raise DataError(f"{path}: no words")
    return dict.fromkeys(map(_without_number, found)).keys()


def _without_number(word: str) -> str:
    """
    >>> _without_number("a(2)")
    'a'
    """
    stem, bracket, rest = word.rpartition("(")
    return stem if bracket and stem and rest[:-1].isdecimal() and rest.endswith(")") else word
