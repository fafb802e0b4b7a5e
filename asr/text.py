"""From transcripts to token ids and back: one normaliser, one alphabet, the same wherever text is read."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from annotated_types import MinLen

from asr.config import settings
from asr.errors import DataError, ModelError
from asr.files import read_json, write_json

BLANK = "<blank>"


@settings
class TextConfig:
    alphabet: Annotated[str, MinLen(1)] = " 'abcdefghijklmnopqrstuvwxyz"
    """Every character that a normalised transcript may hold; with a space, transcripts have words."""


def normalise(text: str) -> str:
    """The text in lower case and composed form (NFKC), with plain apostrophes and single spaces.

    Nothing is taken out: what the alphabet lacks is left for `Vocabulary.unknown` to name.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(text.split())


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model; a token's id is its place, and id 0 is CTC's blank."""

    tokens: tuple[str, ...]

    @classmethod
    def of_characters(cls, alphabet: Iterable[str]) -> "Vocabulary":
        """The blank and the distinct characters, sorted."""
        return cls((BLANK, *sorted(set(alphabet))))

    def __len__(self) -> int:
        return len(self.tokens)

    def unknown(self, text: str) -> str:
        """The characters of a text that are no tokens, each once, sorted."""
        return "".join(sorted(set(text) - set(self.tokens[1:])))

    def encode(self, text: str) -> list[int]:
        """The token ids of a normalised text.

        Raises:
            DataError: A character is outside the alphabet; names the characters.
        """
        if unknown := self.unknown(text):
            raise DataError(f"characters outside the alphabet: {' '.join(map(repr, unknown))}")
        ids = {token: number for number, token in enumerate(self.tokens)}
        return [ids[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text that token ids without blanks spell, spaces at its ends and double ones removed."""
        return " ".join("".join(self.tokens[number] for number in ids).split())

    def save(self, path: Path) -> None:
        write_json(path, {"tokens": list(self.tokens)})

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what `save` wrote.

        Raises:
            DataError: Missing or not JSON.
            ModelError: Not a vocabulary: no list of distinct tokens with the blank first.
        """
        table = read_json(path)
        tokens = table.get("tokens") if isinstance(table, dict) else None
        if not isinstance(tokens, list) or tokens[:1] != [BLANK] or not all(isinstance(token, str) for token in tokens):
            raise ModelError(f"{path}: not a vocabulary: 'tokens' must be a list of strings that begins with {BLANK!r}")
        if len(set(tokens)) < len(tokens):
            raise ModelError(f"{path}: a token stands twice")
        return cls(tuple(tokens))


def frames_needed(ids: Sequence[int]) -> int:
    """The fewest frames in which CTC can emit the tokens: one each, and a blank between equal neighbours.

    Source: Graves et al. 2006, section 3.1 (the map B removes repeats, so a repeat needs a blank between).

    >>> frames_needed([3, 5, 5, 5])
    6
    """
    return len(ids) + sum(left == right for left, right in pairwise(ids))
