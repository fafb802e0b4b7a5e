"""Utterances as files of transcripts hold them, and the lines of such a file."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asr.alignment import Word
from asr.errors import DataError

COMMENT = ";;"
"""Begins a comment in trn, stm and ctm."""

LONGEST = 1_000_000
"""Characters of an utterance. Counting the errors takes time by the square of the length: 12 s for 580,000 characters
(100,000 words, eleven hours of speech), and half a minute for a million.
"""


@dataclass(frozen=True)
class Entry:
    """What one utterance of a file says."""

    id: str
    text: str
    """As it stands in the file."""
    line: int
    """Where in the file, from 1."""
    speaker: str = ""
    duration_s: float | None = None
    audio: Path | None = None
    offset_s: float = 0.0
    """Where the utterance begins in its recording."""
    words: tuple[Word, ...] = ()
    """With times from the utterance's beginning; the confidence is 1 where the file tells none."""
    recording: str = ""
    """Its name in an stm or a ctm, as the channel."""
    channel: str = ""
    ignored: bool = False
    """A segment of an stm that is not to be scored."""


@dataclass(frozen=True)
class Source:
    """The lines of a file, and on which side of the comparison it stands."""

    path: Path
    lines: list[str]
    hypothesis: bool = False

    def error(self, line: int, message: str) -> DataError:
        return DataError(f"{self.path}:{line}: {message}")

    def numbered(self, comment: str | None = None) -> Iterator[tuple[int, str]]:
        """The lines that are not blank and do not begin as a comment does."""
        for number, line in enumerate(self.lines, start=1):
            if line.strip() and not (comment and line.startswith(comment)):
                yield number, line

    def seconds(self, line: int, name: str, value: object) -> float:
        """A time or a duration.

        Raises:
            DataError: It is not a number, or not one of 0 or more.
        """
        try:
            found = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            found = math.nan
        if not 0 <= found < math.inf:
            raise self.error(line, f"{name} {value!r}: seconds were expected, a number from 0")
        return found


def distinct(path: Path, entries: Iterable[Entry]) -> dict[str, Entry]:
    """The entries by id, in their order.

    Raises:
        DataError: Two have one id, one cannot be scored, or there is none; names the file and the lines.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        other = found.setdefault(entry.id, check(path, entry))
        if other is not entry:
            raise DataError(f"{path}:{entry.line}: the id {entry.id!r} is also in line {other.line}")
    if not found:
        raise DataError(f"{path}: no utterance in it")
    return found


def check(path: Path, entry: Entry) -> Entry:
    """
    Raises:
        DataError: It is longer than `LONGEST`, or holds what JSON can and UTF-8 cannot; names file and line.
    """
    texts = entry.id + entry.text + entry.speaker
    if not texts.isprintable() and any("\ud800" <= character <= "\udfff" for character in texts):
        raise DataError(f"{path}:{entry.line}: half a character (a lone surrogate) in {entry.id!a}")
    if len(entry.text) > LONGEST:
        raise DataError(
            f"{path}:{entry.line}: {len(entry.text)} characters in one utterance, and {LONGEST} are the most that can "
            "be scored; cut it into segments"
        )
    return entry
