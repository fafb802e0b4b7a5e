"""What a pronunciation model reads and what it puts out: letters and phones."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asr.errors import DataError, ModelError
from asr.files import read_json, write_json
from asr.lexicon.entries import Lexicon, Phones
from asr.text import normalise

BOUNDARY = 0
"""The token that stands before a word's first phone and behind its last; phones follow from 1."""


@dataclass(frozen=True)
class PronunciationVocabulary:
    """The letters and the phones of a model. A letter's id is its place, a phone's its place counted from 1."""

    letters: tuple[str, ...]
    phones: Phones

    @classmethod
    def of(cls, lexicon: Lexicon) -> "PronunciationVocabulary":
        """All that occur, sorted."""
        return cls(tuple(sorted({letter for word in lexicon.entries for letter in word})), lexicon.phones)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Letters, then phones."""
        return (*self.letters, *self.phones)

    def encode(self, word: str) -> list[int]:
        """The ids of a word's letters, normalised.

        Raises:
            DataError: The word is empty or has characters that are no letters here; names both.
        """
        spelled = normalise(word)
        if not spelled:
            raise DataError(f"{word!r}: a word without letters cannot be said")
        if unknown := sorted(set(spelled) - self._letter_ids.keys()):
            raise DataError(
                f"{word!r}: {' '.join(map(repr, unknown))} cannot be said; write numbers and signs in words, with the "
                f"letters {''.join(self.letters)!r} only"
            )
        return [self._letter_ids[letter] for letter in spelled]

    def encode_phones(self, phones: Iterable[str]) -> list[int]:
        """Their ids, without a boundary."""
        return [self._phone_ids[phone] for phone in phones]

    def decode(self, ids: Iterable[int]) -> Phones:
        """The phones with these ids, boundaries left out."""
        return tuple(self.phones[number - 1] for number in ids if number != BOUNDARY)

    def save(self, path: Path) -> None:
        write_json(path, {"letters": list(self.letters), "phones": list(self.phones)})

    @classmethod
    def load(cls, path: Path) -> "PronunciationVocabulary":
        """Reads what `save` wrote.

        Raises:
            DataError: Missing or not JSON.
            ModelError: Not the vocabulary of a pronunciation model.
        """
        table = read_json(path)
        return cls(*(_names(table, name, path) for name in ("letters", "phones")))

    @cached_property
    def _letter_ids(self) -> dict[str, int]:
        return {letter: number for number, letter in enumerate(self.letters)}

    @cached_property
    def _phone_ids(self) -> dict[str, int]:
        return {phone: number for number, phone in enumerate(self.phones, start=1)}


def _names(table: object, key: str, path: Path) -> tuple[str, ...]:
    found = table.get(key) if isinstance(table, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(name, str) and name for name in found):
        raise ModelError(f"{path}: not the vocabulary of a pronunciation model: {key!r} must be a list of names")
    if len(set(found)) < len(found):
        raise ModelError(f"{path}: one of {key!r} stands twice")
    return tuple(found)
