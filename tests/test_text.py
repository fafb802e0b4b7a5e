import itertools
import json

import pytest

from asr.errors import DataError, ModelError
from asr.text import BLANK, Vocabulary, frames_needed, normalise


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("HELLO  World\n", "hello world"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t", "don't"),
        ("cafe\N{COMBINING ACUTE ACCENT}", "café"),
        ("ﬁve", "five"),
        ("a, b-c", "a, b-c"),
        (" \t ", ""),
    ],
)
def test_normalise(raw, expected):
    assert normalise(raw) == expected
    assert normalise(expected) == expected


def test_encode_and_decode():
    vocabulary = Vocabulary.of_characters("ba b")
    assert vocabulary.tokens == (BLANK, " ", "a", "b")
    assert vocabulary.encode("ab ba") == [2, 3, 1, 3, 2]
    assert vocabulary.decode([1, 2, 3, 1, 1, 3, 2, 1]) == "ab ba"
    assert len(vocabulary) == 4


def test_characters_outside_the_alphabet_are_named():
    vocabulary = Vocabulary.of_characters("ab")
    assert vocabulary.unknown("a1b?1") == "1?"
    with pytest.raises(DataError, match=r"outside the alphabet: '1' '\?'"):
        vocabulary.encode("a1b?1")
    assert vocabulary.unknown("<blank>") != ""


def test_vocabulary_round_trip(tmp_path):
    vocabulary = Vocabulary.of_characters(" 'abcé")
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize("tokens", [None, "ab", ["a"], [BLANK, 1], [BLANK, "a", "a"]])
def test_what_is_not_a_vocabulary_is_refused(tmp_path, tokens):
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({"tokens": tokens}))
    with pytest.raises(ModelError, match=r"vocabulary\.json"):
        Vocabulary.load(path)


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


@pytest.mark.parametrize("ids", [(), (1,), (1, 1), (1, 2), (1, 1, 1), (1, 2, 1), (2, 2, 1), (1, 2, 2, 1)])
def test_frames_needed_is_the_shortest_path_that_spells_the_tokens(ids):
    shortest = next(
        length
        for length in itertools.count()
        if any(collapse(path) == ids for path in itertools.product(range(3), repeat=length))
    )
    assert frames_needed(ids) == shortest
