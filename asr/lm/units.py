"""What a language model puts one after the other: words or characters, and three signs that are neither."""

from collections.abc import Iterable
from typing import Literal

from asr.text import SPACE_IN_PIECES

Units = Literal["words", "characters"]

UNKNOWN, START, END = SIGNS = ("<unk>", "<s>", "</s>")
"""A unit that the model has not seen, and where a sentence begins and ends, as in ARPA files."""


def split(sentence: str, units: Units) -> list[str]:
    """The units of a normalised sentence; among characters, the space is written as in SentencePiece.

    >>> split("a cat", "characters")
    ['a', '▁', 'c', 'a', 't']
    """
    return list(sentence.replace(" ", SPACE_IN_PIECES)) if units == "characters" else sentence.split()


def units_of(words: Iterable[str]) -> Units:
    """What the words of a model are: characters when each is a single one, the signs aside."""
    ordinary = [word for word in words if word not in SIGNS]
    return "characters" if ordinary and all(len(word) == 1 for word in ordinary) else "words"
