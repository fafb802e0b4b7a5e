import numpy as np
import pytest

from asr.errors import DataError
from asr.lexicon.entries import lexicon_of
from asr.targets import Targets
from asr.text import BLANK, SILENCE, Vocabulary

LETTERS = (BLANK, " ", "a", "b")
PHONES = (BLANK, "A", "B", "E")
LEXICON = lexicon_of([("a", ("A",), 1.0), ("a", ("E",), 0.5), ("b", ("B", "E"), 1.0)])


def matrix(columns, path):
    found = np.full((len(path), columns), -9.0)
    found[np.arange(len(path)), path] = -0.1
    return found


def test_letters():
    targets = Targets(Vocabulary(LETTERS), [("u", "a b"), ("v", "b")])
    assert [targets[place] for place in range(len(targets))] == [([2, 1, 3],), ([3],)]
    assert not list(targets.open)


def test_phones():
    targets = Targets(Vocabulary((), phones=PHONES), [("u", "a b"), ("v", "b")], LEXICON)
    assert [targets[place] for place in range(len(targets))] == [([1, 2, 3],), ([2, 3],)]
    assert list(targets.open) == [0]


def test_both():
    targets = Targets(Vocabulary(LETTERS, phones=PHONES), [("u", "a b")], LEXICON)
    assert targets[0] == ([2, 1, 3], [1, 2, 3])


def test_the_pronunciation_that_was_said_is_chosen():
    targets = Targets(Vocabulary(LETTERS, phones=PHONES), [("u", "a b a")], LEXICON)
    beyond = len(LETTERS)
    targets.take({0: targets.heard(0, matrix(8, [beyond + phone for phone in (3, 2, 3, 0, 1)]))})
    assert targets[0][1] == [3, 2, 3, 1]
    again = Targets(Vocabulary(LETTERS, phones=PHONES), [("u", "a b a")], LEXICON)
    again.load_state(targets.state())
    assert again[0] == targets[0]


def test_silence_is_taught_at_the_ends_and_then_where_it_is_heard():
    targets = Targets(Vocabulary((), phones=(*PHONES, SILENCE)), [("u", "a b")], LEXICON)
    assert targets[0] == ([4, 1, 2, 3, 4],)
    targets.take({0: targets.heard(0, matrix(5, [1, 4, 2, 3, 0]))})
    assert targets[0] == ([1, 4, 2, 3],)


def test_what_is_too_short_to_choose_in_stays_as_it_was():
    targets = Targets(Vocabulary((), phones=PHONES), [("u", "a b")], LEXICON)
    targets.take({0: targets.heard(0, matrix(4, [3, 2]))})
    assert targets[0] == ([1, 2, 3],)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (Vocabulary(LETTERS), "^u: characters outside the alphabet: 'c'"),
        (Vocabulary((), phones=PHONES), "^u: no pronunciation: 'c'"),
        (Vocabulary((), phones=(BLANK, "A")), "^u: 'b': unknown phone 'B'"),
    ],
)
def test_what_cannot_be_heard_is_refused(vocabulary, message):
    with pytest.raises(DataError, match=message):
        Targets(vocabulary, [("u", "b c")], LEXICON)[0]
