"""Word and character error rates: counted per utterance by its fewest edits, joined by id and summed."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

from asr.errors import DataError

Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True)
class Errors:
    """What was said and what of it went wrong, in one utterance or in many; `+` pools them.

    A rate is a fraction, and over many utterances it is that of the pooled counts, not the mean of theirs. Insertions
    can take it past 1. Where nothing was said it is 0, or infinite if something was recognised all the same.
    """

    words: int = 0
    """In the reference, as are `characters`."""
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    characters: int = 0
    character_errors: int = 0
    sentences: int = 0
    wrong_sentences: int = 0
    """Those with at least one word error."""

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(*map(operator.add, vars(self).values(), vars(other).values()))

    @property
    def word_errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        return rate(self.word_errors, self.words)

    @property
    def cer(self) -> float:
        return rate(self.character_errors, self.characters)

    @property
    def sentence_error_rate(self) -> float:
        return rate(self.wrong_sentences, self.sentences)


class Column(NamedTuple):
    """One step of an alignment of words."""

    kind: Kind
    said: str
    """A word of the reference; empty when the step is an insertion."""
    heard: str
    """A word of the hypothesis; empty when the step is a deletion."""


def align(reference: str, hypothesis: str) -> list[Column]:
    """The words of both, side by side, in one of the ways that make the fewest errors; which one is RapidFuzz's choice.

    >>> [tuple(column) for column in align("the cat sat", "cat sad")]
    [('delete', 'the', ''), ('equal', 'cat', 'cat'), ('substitute', 'sat', 'sad')]
    """
    said, heard = reference.split(), hypothesis.split()
    columns: list[Column] = []
    done = 0  # words of the reference
    for tag, place, heard_place in _edits(said, heard):
        columns += map(_equal, said[done:place])
        if tag == "insert":
            columns.append(Column("insert", "", heard[heard_place]))
        elif tag == "delete":
            columns.append(Column("delete", said[place], ""))
        else:
            columns.append(Column("substitute", said[place], heard[heard_place]))
        done = place + (tag != "insert")
    columns += map(_equal, said[done:])
    return columns


def count_errors(reference: str, hypothesis: str) -> Errors:
    """The errors of one utterance: the fewest edits that turn the reference into the hypothesis.

    Words are what white space separates. Characters are those of the words joined by single spaces, and the spaces
    count. Nothing else is normalised: case, punctuation and the two ways to write an accent are differences. Where
    several alignments have the fewest edits, RapidFuzz chooses, as it does for jiwer, and with it how they split into
    three kinds.
    """
    said, heard = reference.split(), hypothesis.split()
    counts = count_edits(said, heard)
    reference, hypothesis = " ".join(said), " ".join(heard)
    return Errors(
        len(said),
        *counts,
        characters=len(reference),
        character_errors=Levenshtein.distance(reference, hypothesis) if any(counts) else 0,
        sentences=1,
        wrong_sentences=int(any(counts)),
    )


def count_edits(said: Sequence[str], heard: Sequence[str]) -> tuple[int, int, int]:
    """How many words of an alignment with the fewest errors are substituted, deleted and inserted."""
    tags = [tag for tag, _, _ in _edits(said, heard)]
    substitutions, deletions = tags.count("replace"), tags.count("delete")
    return substitutions, deletions, len(tags) - substitutions - deletions


def correct_words(reference: str, hypothesis: str) -> list[bool]:
    """For each word of the hypothesis whether it was said: not substituted and not inserted.

    >>> correct_words("the cat sat", "a cat sat down")
    [False, True, True, False]
    """
    return [column.kind == "equal" for column in align(reference, hypothesis) if column.kind != "delete"]


def score(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> dict[str, Errors]:
    """The errors of every utterance, by id, in the order of the references.

    Raises:
        DataError: As `require_same_ids`.
    """
    require_same_ids(references, hypotheses)
    return {name: count_errors(reference, hypotheses[name]) for name, reference in references.items()}


def require_same_ids(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> None:
    """Raises `DataError` when an id is on one side only; names the first three and counts them all."""
    complaints = []
    if missing := references.keys() - hypotheses.keys():
        complaints.append(f"no hypothesis for {len(missing)} of {len(references)} references ({first_of(missing)})")
    if extra := hypotheses.keys() - references.keys():
        complaints.append(f"no reference for {len(extra)} of {len(hypotheses)} hypotheses ({first_of(extra)})")
    if complaints:
        raise DataError("; ".join(complaints))


def total(errors: Iterable[Errors]) -> Errors:
    return sum(errors, start=Errors())


def worst(errors: Mapping[str, Errors], count: int) -> list[str]:
    """The ids of the `count` utterances with the most word errors, most first, ties by id."""
    return sorted(errors, key=lambda name: (-errors[name].word_errors, name))[:count]


def rate(errors: int, count: int) -> float:
    """Errors by what they were counted in: 0 of nothing is 0, and any of nothing infinite."""
    if count == 0:
        return float("inf") if errors else 0.0
    return errors / count


def first_of(ids: Iterable[str]) -> str:
    """The first three in a message, and dots for more."""
    named = [repr(name) for name in sorted(ids)]
    return ", ".join(named[:3] + ["..."] * (len(named) > 3))


def _edits(said: Sequence[str], heard: Sequence[str]) -> list[tuple[str, int, int]]:
    """RapidFuzz's replace, delete and insert, with the places in both."""
    edits: list[Any] = Levenshtein.editops(said, heard).as_list()
    return edits


@lru_cache(1 << 16)
def _equal(word: str) -> Column:
    """Shared, as most columns of most alignments are such, and making one takes longer than finding it."""
    return Column("equal", word, word)
