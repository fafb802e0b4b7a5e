"""The tokens of a language model: words or characters, and what stands for the end of a sentence and for the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asr.errors import ModelError
from asr.files import read_json, write_json
from asr.lm.units import Units

BOUNDARY, UNKNOWN = 0, 1
"""The ids of the first two tokens."""

SPECIAL = ("</s>", "<unk>")
"""How they are written. The first stands behind the last token of a sentence, and before its first."""


@dataclass(frozen=True)
class LanguageVocabulary:
    """The tokens of a language model; a token's id is its place."""

    units: Units
    tokens: tuple[str, ...]

    @classmethod
    def of_words(cls, counts: Mapping[str, int], most: int) -> "LanguageVocabulary":
        """The most frequent words, those equally frequent in alphabetical order."""
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls("words", (*SPECIAL, *ranked[:most]))

    @classmethod
    def of_characters(cls, alphabet: Iterable[str]) -> "LanguageVocabulary":
        return cls("characters", (*SPECIAL, *sorted(set(alphabet))))

    def __len__(self) -> int:
        return len(self.tokens)

    def id(self, unit: str) -> int:
        """The id of a word or character, that of `<unk>` for one that is no token."""
        return self._ids.get(unit, UNKNOWN)

    def encode(self, text: str) -> list[int]:
        """The token ids of a normalised text, without a boundary."""
        return [self.id(unit) for unit in split(text, self.units)]

    def decode(self, ids: Iterable[int]) -> str:
        return (" " if self.units == "words" else "").join(self.tokens[number] for number in ids)

    def save(self, path: Path) -> None:
        write_json(path, {"units": self.units, "tokens": list(self.tokens)})

    @classmethod
    def load(cls, path: Path) -> "LanguageVocabulary":
        """Reads what `save` wrote.

        Raises:
            DataError: Missing or not JSON.
            ModelError: Not the vocabulary of a language model.
        """
        table = read_json(path)
        units, tokens = (table.get(name) if isinstance(table, dict) else None for name in ("units", "tokens"))
        if units not in ("words", "characters"):
            raise ModelError(f"{path}: not the vocabulary of a language model: 'units' must be words or characters")
        if not isinstance(tokens, list) or tuple(tokens[:2]) != SPECIAL or not all(isinstance(t, str) for t in tokens):
            begin = " and ".join(map(repr, SPECIAL))
            raise ModelError(f"{path}: 'tokens' must be a list of strings that begins with {begin}")
        if len(set(tokens)) < len(tokens):
            raise ModelError(f"{path}: a token stands twice")
        return cls(units, tuple(tokens))

    @cached_property
    def _ids(self) -> dict[str, int]:
        """Without the special ones, which no text has."""
        return {token: number for number, token in enumerate(self.tokens) if number > UNKNOWN}


def split(text: str, units: Units) -> Sequence[str]:
    """A text's words, or its characters."""
    return text.split() if units == "words" else text
