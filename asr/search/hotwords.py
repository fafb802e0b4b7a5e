"""Words and phrases that a user expects: each brings a bonus wherever it stands in a text as whole words.

Bonuses are in natural log units and may be negative. So that a search does not drop a hotword before its end, a part
of the bonus is lent while a text spells the hotword's beginning, in proportion to the characters that match; it is
taken back when the match breaks. What a whole text gets is therefore its hotwords' bonuses and nothing else.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import TypeAlias

from asr.errors import AsrError, ConfigError
from asr.files import read_lines
from asr.text import normalise

DEFAULT_BONUS = 5.0
"""In natural log units, for a hotword that comes without a number."""

Matches: TypeAlias = tuple[int, ...]
"""The nodes of the tree of hotwords that the text's end has reached, one for each word at which a match began."""

ROOT = 0


class Hotwords:
    """Adds up bonuses character by character.

    >>> hotwords = Hotwords({"no": 3.0})
    >>> matches, lent = hotwords.step(hotwords.start(), "n")
    >>> lent
    1.5
    >>> hotwords.step(matches, "e")[1]
    -1.5
    >>> matches, lent = hotwords.step(matches, "o")
    >>> lent, hotwords.finish(matches)
    (1.5, 0.0)
    """

    def __init__(self, bonuses: Mapping[str, float]) -> None:
        self._children: list[dict[str, int]] = [{}]
        self._lent = [0.0]
        self._bonus: dict[int, float] = {}
        for words, bonus in bonuses.items():
            self._insert(words, bonus)

    def __bool__(self) -> bool:
        return bool(self._bonus)

    def _insert(self, words: str, bonus: float) -> None:
        node = ROOT
        for length, character in enumerate(words, start=1):
            if character not in self._children[node]:
                self._children[node][character] = len(self._children)
                self._children.append({})
                self._lent.append(bonus * length / len(words))
            node = self._children[node][character]
            self._lent[node] = max(self._lent[node], bonus * length / len(words))
        self._bonus[node] = bonus

    def start(self) -> Matches:
        return (ROOT,)

    def step(self, matches: Matches, character: str) -> tuple[Matches, float]:
        """What the text's end matches after one more character, and what the character adds to the score."""
        if character == " " and ROOT in matches:  # no word has begun: a space more changes nothing
            return matches, 0.0
        added = 0.0
        reached = []
        for node in matches:
            added -= self._lent[node]
            if character == " ":
                added += self._bonus.get(node, 0.0)
            if child := self._children[node].get(character):
                reached.append(child)
                added += self._lent[child]
        if character == " ":
            reached.append(ROOT)
        return tuple(reached), added

    def step_word(self, matches: Matches, word: str) -> tuple[Matches, float]:
        """As `step`, for a whole word and the space behind it."""
        total = 0.0
        for character in word + " ":
            matches, added = self.step(matches, character)
            total += added
        return matches, total

    def finish(self, matches: Matches) -> float:
        """What the text's end adds: hotwords that end with it are paid, those only begun taken back."""
        return sum(self._bonus.get(node, 0.0) - self._lent[node] for node in matches)


def in_word(matches: Matches) -> bool:
    """Has a word begun and not ended at the end of the text?"""
    return ROOT not in matches


def parse_hotwords(arguments: Iterable[str], alphabet: Iterable[str]) -> dict[str, float]:
    """Bonuses by normalised hotword, from `WORDS` or `WORDS=BONUS`; of two for the same words the last one holds.

    >>> parse_hotwords(["ASR=2.5", "new  york"], " abcdefghijklmnopqrstuvwxyz")
    {'asr': 2.5, 'new york': 5.0}

    Raises:
        ConfigError: No words, a bonus that is no finite number, or characters outside the alphabet.
    """
    known = set(alphabet)
    return dict(_parse(argument, known) for argument in arguments)


def read_hotwords(path: Path, alphabet: Iterable[str]) -> dict[str, float]:
    """As `parse_hotwords`, from a file with one hotword a line; empty lines and what follows a `#` are passed over.

    Raises:
        DataError: The file is missing or no text.
        ConfigError: As `parse_hotwords`; names the file and the line.
    """
    known = set(alphabet)
    hotwords = {}
    for number, line in read_lines(path):
        if argument := line.split("#")[0].strip():
            try:
                words, bonus = _parse(argument, known)
            except AsrError as error:
                raise ConfigError(f"{path}:{number}: {error}") from error
            hotwords[words] = bonus
    return hotwords


def _parse(argument: str, known: set[str]) -> tuple[str, float]:
    text, equals, number = argument.partition("=")
    words = normalise(text)
    if not words:
        raise ConfigError(f"hotword {argument!r}: no word")
    if unknown := set(words) - known:
        characters = " ".join(map(repr, sorted(unknown)))
        raise ConfigError(f"hotword {words!r}: characters outside the alphabet: {characters}")
    try:
        bonus = float(number) if equals else DEFAULT_BONUS
    except ValueError:
        bonus = float("nan")
    if not isfinite(bonus):
        raise ConfigError(f"hotword {words!r}: {number.strip()!r} is not a finite number")
    return words, bonus
