"""Where the errors are: by speaker, duration and length, word by word, and by what a lexicon holds."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from asr.metrics import Column, Errors, Kind, total
from asr.scoring.result import Result, Scored

DURATIONS_S = (0, 2, 5, 10, 15, 20, 30, 60, 300)
LENGTHS = (0, 1, 6, 11, 21, 41, 81)
"""Of references, in words: where each group begins."""

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

    def key(utterance: Scored) -> tuple[int, str]:
        if utterance.duration_s is None:
            return len(DURATIONS_S), UNKNOWN
        place, low, high = _bin(utterance.duration_s, DURATIONS_S)
        return place, f"{low} s and more" if high is None else f"{low} to {high} s"

    return _grouped(result.utterances, key)


def by_length(result: Result) -> list[Group]:
    """Utterances whose references have similarly many words, the shortest first."""

    def key(utterance: Scored) -> tuple[int, str]:
        place, low, high = _bin(len(utterance.reference.split()), LENGTHS)
        if high is None:
            return place, f"{low} words and more"
        return place, f"{low} to {high - 1} words" if high - 1 > low else f"{low} words"

    return _grouped(result.utterances, key)


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


def _bin(value: float, edges: Sequence[int]) -> tuple[int, int, int | None]:
    """The place of the bin that holds a value, its lower edge, and its upper one, which is outside of it."""
    for place, (low, high) in enumerate(pairwise(edges)):
        if value < high:
            return place, low, high
    return len(edges) - 1, edges[-1], None


def _errors_of(column: Column) -> Errors:
    kind = column.kind
    return Errors(int(kind != "insert"), int(kind == "substitute"), int(kind == "delete"), int(kind == "insert"))
