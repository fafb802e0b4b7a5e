import doctest
import random
from math import inf

import pytest

from asr.errors import ConfigError, DataError
from asr.search import hotwords
from asr.search.hotwords import DEFAULT_BONUS, Hotwords, in_word, parse_hotwords, read_hotwords

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"


def spell(bonuses, text):
    """What each character of a text adds, and then its end."""
    hotwords = Hotwords(bonuses)
    matches = hotwords.start()
    steps = []
    for character in text:
        matches, added = hotwords.step(matches, character)
        steps.append(added)
    return [*steps, hotwords.finish(matches)]


def occurrences(words, text):
    """How often words stand in a text, one behind the other; they may overlap.

    >>> occurrences("a a", "a a  a b a")
    2
    """
    words, text = words.split(), text.split()
    return sum(text[place : place + len(words)] == words for place in range(len(text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("new", [1, 1, 1, -3]),
        ("no", [1, -1, 0]),
        ("new york", [1, 1, 1, 1, 1, 1, 1, 1, 0]),
        ("new  york", [1, 1, 1, 1, 0, 1, 1, 1, 1, 0]),
        ("new yorks", [1, 1, 1, 1, 1, 1, 1, 1, -8, 0]),
        ("new york s", [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0]),
        ("new new york", [1, 1, 1, 1, -3, 1, 1, 1, 1, 1, 1, 1, 0]),
        ("anew york", [0] * 10),
        ("", [0]),
    ],
)
def test_a_bonus_is_lent_taken_back_or_paid(text, expected):
    assert spell({"new york": 8.0}, text) == pytest.approx(expected)


def test_hotwords_that_begin_alike():
    bonuses = {"no": 2.0, "none": -4.0, "no one": 12.0}
    assert spell(bonuses, "no") == pytest.approx([2, 2, -2])
    assert spell(bonuses, "none") == pytest.approx([2, 2, -7, -1, 0])
    assert spell(bonuses, "no one") == pytest.approx([2, 2, 2 + 2, 2, 2, 2, 0])


@pytest.mark.parametrize("seed", range(20))
def test_a_text_gets_its_hotwords_and_nothing_else(seed):
    rng = random.Random(seed)
    words = ["a", "b", "ab", "ba", "abb"]
    bonuses = {" ".join(rng.choices(words, k=rng.randint(1, 3))): rng.uniform(-3, 6) for _ in range(4)}
    for _ in range(50):
        text = "".join(rng.choices("ab ", k=12)) if rng.random() < 0.5 else " ".join(rng.choices(words, k=6))
        expected = sum(bonus * occurrences(words, text) for words, bonus in bonuses.items())
        assert sum(spell(bonuses, text)) == pytest.approx(expected, abs=1e-9)


def test_within_a_word_or_between_two():
    hotwords = Hotwords({"ab": 1.0})
    matches = hotwords.start()
    inside = []
    for character in "a xy ":
        inside.append(in_word(matches))
        matches, _ = hotwords.step(matches, character)
    assert [*inside, in_word(matches)] == [False, True, False, True, True, False]


def test_hotwords_of_the_command_line():
    arguments = ["ASR=5", " new  york = 3.5 ", "it\N{RIGHT SINGLE QUOTATION MARK}s", "no=-2", "asr=1e1"]
    expected = {"asr": 10.0, "new york": 3.5, "it's": DEFAULT_BONUS, "no": -2.0}
    assert parse_hotwords(arguments, ALPHABET) == expected


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("asr=five", "hotword 'asr': 'five' is not a finite number"),
        ("asr=", "hotword 'asr': '' is not a finite number"),
        ("asr=nan", "hotword 'asr': 'nan' is not a finite number"),
        (f"asr={inf}", "hotword 'asr': 'inf' is not a finite number"),
        ("=5", "hotword '=5': no word"),
        ("  ", "hotword '  ': no word"),
        ("na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve2", "hotword 'naïve2': characters outside the alphabet: '2' 'ï'"),
    ],
)
def test_hotwords_that_are_none(argument, message):
    with pytest.raises(ConfigError) as raised:
        parse_hotwords(["fine", argument], ALPHABET)
    assert str(raised.value) == message


def test_hotwords_of_a_file(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("# people\nAnn=4  # my aunt\n\nnew york\n")
    assert read_hotwords(path, ALPHABET) == {"ann": 4.0, "new york": DEFAULT_BONUS}
    path.write_text("ann\n\nbob=x\n")
    with pytest.raises(ConfigError, match=r"names.txt:3: hotword 'bob': 'x' is not a finite number"):
        read_hotwords(path, ALPHABET)
    with pytest.raises(DataError, match="nowhere.txt: No such file"):
        read_hotwords(tmp_path / "nowhere.txt", ALPHABET)


def test_the_examples_in_docstrings():
    failed, attempted = doctest.testmod(hotwords)
    assert attempted > 0
    assert failed == 0
