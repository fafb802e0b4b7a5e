import pytest

from asr.metrics import Errors, total
from asr.scoring.result import Result, Scored
from asr.scoring.tables import (
    UNKNOWN,
    Confusion,
    by_duration,
    by_length,
    by_speaker,
    by_vocabulary,
    confusions,
)

RESULT = Result(
    "test",
    [
        Scored("a-1", "the cat sat on", "cat sad on it", "ann", 2.0),
        Scored("a-2", "the cat", "the cat", "ann", 1.999),
        Scored("b-1", "the mat", "a mat it it", "bob", 301.0),
        Scored("c-1", "", "a", "", None),
    ],
)


def test_groups_by_speaker_by_hand():
    ann, bob, nobody = by_speaker(RESULT)
    assert (ann.name, ann.errors.words, ann.errors.word_errors, ann.errors.sentences) == ("ann", 6, 3, 2)
    assert ann.hours == pytest.approx(3.999 / 3600)
    assert (bob.name, bob.errors.substitutions, bob.errors.insertions) == ("bob", 1, 2)
    assert (nobody.name, nobody.errors.words, nobody.errors.insertions) == (UNKNOWN, 0, 1)


def test_groups_by_duration_and_length_by_hand():
    assert [(group.name, group.errors.sentences) for group in by_duration(RESULT)] == [
        ("up to 2 s", 2),
        ("over 30 s", 1),
        (UNKNOWN, 1),
    ]
    assert [(group.name, group.errors.sentences) for group in by_length(RESULT)] == [
        ("up to 5 words", 4),
    ]
    long = Result("long", [Scored(f"u{words}", "a " * words, "") for words in (41, 40, 31, 30, 6)])
    names = ["6 to 10 words", "26 to 30 words", "31 to 40 words", "over 40 words"]
    assert [(group.name, group.errors.sentences) for group in by_length(long)] == list(
        zip(names, (1, 1, 2, 1), strict=True)
    )


@pytest.mark.parametrize("groups", [by_speaker, by_duration, by_length])
def test_groups_add_up_to_all(groups):
    assert total(group.errors for group in groups(RESULT)) == RESULT.total


def test_confusions_by_hand():
    assert confusions(RESULT) == [
        Confusion("insert", "", "it", 3, ("a-1", "b-1")),
        Confusion("insert", "", "a", 1, ("c-1",)),
        Confusion("substitute", "sat", "sad", 1, ("a-1",)),
        Confusion("delete", "the", "", 1, ("a-1",)),
        Confusion("substitute", "the", "a", 1, ("b-1",)),
    ]
    assert sum(each.count for each in confusions(RESULT)) == RESULT.total.word_errors
    assert confusions(RESULT, lambda column: column.said == "sat") == [
        Confusion("substitute", "sat", "sad", 1, ("a-1",))
    ]


def test_words_that_a_lexicon_lacks_by_hand():
    known, unknown = by_vocabulary(RESULT, {"the", "cat", "on", "it", "a"})
    assert known.errors == Errors(words=6, substitutions=1, deletions=1, insertions=4)
    assert unknown.errors == Errors(words=2, substitutions=1)
    assert known.errors.word_errors + unknown.errors.word_errors == RESULT.total.word_errors
