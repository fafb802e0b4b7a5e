"""Words with their pronunciations, as they stand in a dictionary: CMUdict's format, and Kaldi's two.

read R EH1 D              CMUdict; the second pronunciation of a word is read(2)
read  R EH D              Kaldi's lexicon.txt; a word may have several lines
read 0.7 R EH D           Kaldi's lexiconp.txt, which is what `write_lexicon` writes
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from asr.errors import DataError
from asr.files import read_lines, writing
from asr.progress import say
from asr.text import normalise

STRESSED = re.compile(r"([A-Z]{2})[012]")
"""A vowel of CMUdict's with its stress."""

NUMBERED = re.compile(r"(.+)\(\d+\)")
"""A word of CMUdict's with the number of its pronunciation."""

Phones = tuple[str, ...]


class Pronunciation(NamedTuple):
    phones: Phones
    probability: float = 1.0
    """Against the likeliest of the word, which has 1."""


@dataclass(frozen=True)
class Lexicon:
    """Words, normalised, with at least one pronunciation each, the likeliest first."""

    entries: Mapping[str, tuple[Pronunciation, ...]]

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, word: str) -> bool:
        return word in self.entries

    def __getitem__(self, word: str) -> tuple[Pronunciation, ...]:
        return self.entries[word]

    @cached_property
    def phones(self) -> tuple[str, ...]:
        """Every phone that occurs, sorted."""
        return tuple(sorted({phone for found in self.entries.values() for each in found for phone in each.phones}))

    def only(self, words: Iterable[str]) -> "Lexicon":
        """The entries of those words that have one, in their order."""
        return Lexicon({word: self.entries[word] for word in words if word in self.entries})

    def __or__(self, other: "Lexicon") -> "Lexicon":
        """The entries of both; where a word is in both, the other's."""
        return Lexicon({**self.entries, **other.entries})


def lexicon_of(lines: Iterable[tuple[str, Phones, float]]) -> Lexicon:
    """A lexicon from words, phones and probabilities; of two equal pronunciations of a word, the likelier is kept."""
    found: dict[str, tuple[Pronunciation, ...]] = {}
    for word, phones, probability in lines:
        found[word] = (*found.get(word, ()), Pronunciation(phones, probability))
    return Lexicon({word: _ranked(pronunciations) for word, pronunciations in found.items()})


def read_lexicon(path: Path, stress: bool = False, phones: Collection[str] = ()) -> Lexicon:
    """The lexicon in a file in any of the three formats; a line that stands twice is told on stderr.

    Args:
        path: What begins with `;;;`, or stands behind a `#`, is a comment.
        stress: Keep the stress of CMUdict's vowels; else `AH0` and `AH1` are both `AH`.
        phones: Those that a model knows; any if none are given.

    Raises:
        DataError: Missing, unreadable, not UTF-8 or empty; a line without phones, with a phone that is not known, or
            with a probability that is not in 0..1; names the file and the line.
    """
    lexicon, repeated = read_with_repeated(path, stress, phones)
    if repeated:
        say(f"warning: {path}: {len(repeated)} lines stand more than once, such as {repeated[0]!r}; taken once")
    return lexicon


def read_with_repeated(path: Path, stress: bool = False, phones: Collection[str] = ()) -> tuple[Lexicon, list[str]]:
    """A lexicon as `read_lexicon` reads it, and the lines that stand in its file more than once."""
    lines = read_lines(path)
    weighted = all(_is_number(columns[1]) for _, columns in _in_columns(lines) if len(columns) > 1)
    parsed = list(_parsed(path, lines, weighted, stress, frozenset(phones)))
    lexicon = lexicon_of(parsed)
    if not lexicon:
        raise DataError(f"{path}: no words")
    if len(parsed) == sum(map(len, lexicon.entries.values())):
        return lexicon, []  # two lines that are alike would have become one pronunciation
    counts = Counter(" ".join(columns) for _, columns in _in_columns(lines))
    return lexicon, [line for line, count in counts.items() if count > 1]


def write_lexicon(path: Path, lexicon: Lexicon) -> None:
    """Writes a lexicon in the format of Kaldi's lexiconp.txt, which `read_lexicon` reads.

    Raises:
        AsrError: The file cannot be written.
    """
    with writing(path) as stream:
        for word, pronunciations in lexicon.entries.items():
            for each in pronunciations:
                stream.write(f"{word} {each.probability:.4g} {' '.join(each.phones)}\n")


def _in_columns(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """Split one by one: Python's garbage collector goes over all that is kept again and again."""
    for number, line in lines:
        if not line.startswith(";;;") and (columns := line.partition("#")[0].split()):
            yield number, columns


def _parsed(
    path: Path, lines: Iterable[tuple[int, str]], weighted: bool, stress: bool, known: Collection[str]
) -> Iterator[tuple[str, Phones, float]]:
    for number, (word, *rest) in _in_columns(lines):
        try:
            yield _parse(word, rest, weighted, stress, known)
        except DataError as error:
            raise DataError(f"{path}:{number}: {error}") from error


def _parse(
    word: str, rest: list[str], weighted: bool, stress: bool, known: Collection[str]
) -> tuple[str, Phones, float]:
    numbered = word.endswith(")") and NUMBERED.fullmatch(word)
    word = normalise(numbered[1] if numbered else word)
    probability = float(rest[0]) if weighted and rest else 1.0
    if not 0 < probability <= 1:
        raise DataError(f"{word!r}: a probability of {rest[0]}; it must be above 0 and at most 1")
    said = rest[1:] if weighted else rest
    phones = tuple(said if stress else map(_without_stress, said))
    if not phones:
        raise DataError(f"{word!r} has no phones; a word, then its phones, was expected")
    if known and (unknown := [phone for phone in phones if phone not in known]):
        raise DataError(f"{word!r}: unknown phone {unknown[0]!r}; known are {' '.join(sorted(known))}")
    return word, phones, probability


@cache
def _without_stress(phone: str) -> str:
    return STRESSED.sub(r"\1", phone)


def _ranked(said: tuple[Pronunciation, ...]) -> tuple[Pronunciation, ...]:
    if len(said) == 1 and said[0].probability == 1.0:
        return said
    best = max(each.probability for each in said)
    found: dict[Phones, float] = {}
    for each in said:
        found[each.phones] = max(each.probability / best, found.get(each.phones, 0.0))
    ranked = sorted(found.items(), key=lambda item: -item[1])
    return tuple(Pronunciation(phones, probability) for phones, probability in ranked)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
