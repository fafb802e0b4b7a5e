"""Where the errors are: by speaker, duration and length, word by word, and by what a lexicon holds."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from asr.metrics import Column, Errors, Kind, total
from asr.scoring.result import Result, Scored

DURATIONS_S = (2, 4, 6, 8, 10, 15, 20, 30)
"""The longest of each group of utterances; a last group holds the rest."""
LENGTHS = (5, 10, 15, 20, 25, 30, 40)
"""The same for references, in words."""

EXAMPLES = 3
UNKNOWN = "(not known)"


@dataclass(frozen=True)
class Group:
    """Utterances that have something in common, and their errors."""

    name: str
    errors: Errors
    hours: float = 0.0


@dataclass(frozen=True)
class Confusion:
    """A word that was taken for another, left out or put in, wherever it was."""

    kind: Kind
    said: str
    heard: str
    count: int
    examples: tuple[str, ...]
    """The ids of the first utterances with it."""


def by_speaker(result: Result) -> list[Group]:
    """A group for each speaker, by name; those whose speaker is not known together, last."""
    return _grouped(result.utterances, lambda utterance: (not utterance.speaker, utterance.speaker or UNKNOWN))


def by_duration(result: Result) -> list[Group]:
    """Utterances of similar duration, the shortest first; those of unknown duration last."""
    return _grouped(result.utterances, lambda utterance: _bin(utterance.duration_s, DURATIONS_S, "s"))


def by_length(result: Result) -> list[Group]:
    """Utterances whose references have similarly many words, the shortest first."""
    return _grouped(result.utterances, lambda utterance: _bin(len(utterance.reference.split()), LENGTHS, "words", 1))


def by_vocabulary(result: Result, lexicon: Container[str]) -> list[Group]:
    """The words of the references that a lexicon holds, and those that it lacks; a word that was put in counts in the
    group that it would be in itself."""
    groups = {True: Errors(), False: Errors()}
    for utterance in result.utterances:
        for column in utterance.columns:
            groups[(column.said or column.heard) in lexicon] += _errors_of(column)
    return [Group("in the lexicon", groups[True]), Group("not in the lexicon", groups[False])]


def confusions(result: Result, wanted: Callable[[Column], bool] = lambda column: True) -> list[Confusion]:
    """Every kind of error of the result, the most frequent first, ties by the words.

    Args:
        wanted: Which errors count.
    """
    places: defaultdict[Column, list[str]] = defaultdict(list)
    for utterance in result.utterances:
        for column in utterance.columns:
            if column.kind != "equal" and wanted(column):
                places[column].append(utterance.id)
    found = [
        Confusion(*column, count=len(ids), examples=tuple(dict.fromkeys(ids))[:EXAMPLES])
        for column, ids in places.items()
    ]
    return sorted(found, key=lambda confusion: (-confusion.count, confusion.said, confusion.heard))


def _grouped(utterances: Iterable[Scored], key: Callable[[Scored], tuple[int, str]]) -> list[Group]:
    members: defaultdict[tuple[int, str], list[Scored]] = defaultdict(list)
    for utterance in utterances:
        members[key(utterance)].append(utterance)
    return [
        Group(
            name,
            total(utterance.errors for utterance in members[place, name]),
            sum(utterance.duration_s or 0 for utterance in members[place, name]) / 3600,
        )
        for place, name in sorted(members)
    ]


def _bin(value: float | None, bounds: Sequence[int], unit: str, gap: int = 0) -> tuple[int, str]:
    """The group of a value: its place, and its name, in which a group begins the gap above the end of the one before.

    >>> [_bin(value, (5, 10), "words", 1) for value in (5, 6, 11, None)]
    [(0, 'up to 5 words'), (1, '6 to 10 words'), (2, 'over 10 words'), (3, '(not known)')]
    """
    if value is None:
        return len(bounds) + 1, UNKNOWN
    place = bisect_left(bounds, value)
    if place == len(bounds):
        return place, f"over {bounds[-1]} {unit}"
    return place, f"{bounds[place - 1] + gap if place else 'up'} to {bounds[place]} {unit}"


def _errors_of(column: Column) -> Errors:
    kind = column.kind
    return Errors(int(kind != "insert"), int(kind == "substitute"), int(kind == "delete"), int(kind == "insert"))
