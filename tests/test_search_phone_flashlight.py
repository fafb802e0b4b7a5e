"""flashlight against all paths and against our own search, for words in phones."""

from math import log

import numpy as np
import pytest
from test_search_fusion import ARPA, Bigrams
from test_search_phones import HOTWORDS, SAYINGS, SIL, WEIGHTS, A, B, by_all_paths, words_of
from test_search_prefix import random_matrix

from asr.errors import DataError, ModelError
from asr.search.phone_flashlight import MOST_ALIKE, PhoneFlashlight, crowded_out
from asr.search.phones import PhoneSearch, Saying
from asr.search.prefix import Hypothesis

pytest.importorskip("flashlight.lib.text")

LONGER = (
    Saying("a", (A, 4)),
    Saying("eh", (A, 4)),
    Saying("ab", (A, B)),
    Saying("ab", (A, B, 5), halvings=2),
    Saying("b", (B, 5), halvings=1),
    Saying("b", (B, 4, 5)),
)
"""None is a single phone; of those, flashlight takes not all paths."""


@pytest.fixture
def arpa(tmp_path):
    path = tmp_path / "bigrams.arpa"
    path.write_text(ARPA)
    return path


def peaky(generator, path, phones):
    """A matrix in which a path is heard, and in some frames another phone may be meant."""
    matrix = generator.uniform(-9, -7, (len(path), phones))
    matrix[np.arange(len(path)), generator.integers(0, phones, len(path))] = -3.0
    matrix[np.arange(len(path)), path] = 0.0
    return matrix - np.log(np.exp(matrix).sum(1, keepdims=True))


def path_of(generator, sayings, count, silence):
    """Words that are said, each phone for one to three frames, blanks and silences between some."""
    path = []
    for number in generator.integers(0, len(sayings), count):
        if silence and generator.random() < 0.5:
            path += [silence] * 2
        for phone in sayings[number].phones:
            path += [0] * int(generator.integers(path[-1:] == [phone], 3)) + [phone] * int(generator.integers(1, 4))
    return path


@pytest.mark.parametrize("hotwords", [None, HOTWORDS], ids=["plain", "hotwords"])
@pytest.mark.parametrize("silence", [None, SIL], ids=["no silence", "silence"])
@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_all_paths_say(arpa, seed, silence, hotwords):
    generator = np.random.default_rng(seed)
    path = path_of(generator, SAYINGS, 2, silence)[:6]
    matrix = peaky(generator, path, 4)
    scores = by_all_paths(matrix, SAYINGS, Bigrams(ARPA), hotwords, silence, 0.8)
    best = max(scores, key=scores.__getitem__)
    search = PhoneFlashlight(
        4, SAYINGS, arpa, hotwords=hotwords, silence=silence, pronunciation_weight=0.8, beam=3000, **WEIGHTS
    )
    (found,) = search.decode(matrix)
    assert words_of(found) == best
    assert found.score == pytest.approx(scores[best], abs=0.1)


@pytest.mark.parametrize("hotwords", [None, HOTWORDS], ids=["plain", "hotwords"])
@pytest.mark.parametrize("with_model", [True, False], ids=["model", "no model"])
@pytest.mark.parametrize("sayings", [SAYINGS, LONGER], ids=["short", "longer"])
@pytest.mark.parametrize("seed", range(3))
def test_both_engines_find_the_same(arpa, seed, sayings, with_model, hotwords):
    generator = np.random.default_rng(seed)
    matrix = peaky(generator, path_of(generator, sayings, 5, SIL), 6)
    path, model = (arpa, Bigrams(ARPA)) if with_model else (None, None)
    options = {"hotwords": hotwords, "silence": SIL, "beam": 150, "nbest": 50, **WEIGHTS}
    theirs = PhoneFlashlight(6, sayings, path, **options).decode(matrix)
    ours = PhoneSearch(sayings, model, **options).decode(matrix)
    assert theirs[0].score == pytest.approx(ours[0].score, abs=0.2 if sayings is SAYINGS else 0.06)
    tied = {words_of(each) for each in ours if each.score > ours[0].score - 0.1}
    assert words_of(theirs[0]) in tied
    assert len({words_of(each) for each in theirs}) == len(theirs)


@pytest.mark.parametrize("seed", range(10))
def test_sums_without_a_seam_are_exact(seed):
    """Of one word whose last phone is never the likeliest, nothing is closed to flashlight but where it lasts."""
    matrix = random_matrix(np.random.default_rng(seed), 6, 3)
    matrix[:, 2] -= 6.0
    sayings = (Saying("ab", (A, B), 1),)
    scores = by_all_paths(matrix, sayings)
    found = PhoneFlashlight(3, sayings, word_score=0.4, beam=3000, nbest=5).decode(matrix)
    assert {words_of(each): each.score for each in found} == pytest.approx(
        {words: scores[words] for words in map(words_of, found)}, abs=0.05
    )
    assert len(found) > 1


SEAMS = (Saying("ab", (A, B)), Saying("b", (B,)), Saying("ba", (B, A)))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([A, B, B, B, B], ("ab",)),
        ([A, B, 0, B, B], ("ab", "b")),
        ([A, B, 0, B, A], ("ab", "ba")),
        ([A, B, B, 0, B, A], ("ab", "ba")),
        ([B, B, B, B, B], ("b",)),
        ([B, B, 0, B, B], ("b", "b")),
        ([B, 0, 0, 0, B], ("b", "b")),
    ],
)
def test_a_phone_is_not_heard_twice_without_a_blank(path, expected):
    matrix = np.full((len(path), 3), log(0.001))
    matrix[np.arange(len(path)), path] = log(0.998)
    for search in (PhoneFlashlight(3, SEAMS, word_score=3.0), PhoneSearch(SEAMS, word_score=3.0)):
        assert words_of(search.decode(matrix)[0]) == expected


def test_a_rare_pronunciation_brings_no_second_word_either():
    """What ends in a column with a discount does not go on as the next word."""
    sayings = (Saying("ab", (A, B), 1), Saying("b", (B,)), Saying("ba", (B, A)))
    matrix = np.full((7, 3), log(0.001))
    matrix[np.arange(7), [A, B, B, B, 0, A, B]] = log(0.998)
    (found,) = PhoneFlashlight(3, sayings, word_score=3.0).decode(matrix)
    assert words_of(found) == ("ab", "ab")


def test_words_tell_their_phones_and_silence_is_an_empty_word():
    path = [SIL, SIL, A, B, 0, SIL, 0, B, 0, B, SIL]
    matrix = np.full((len(path), 4), log(0.01))
    matrix[np.arange(len(path)), path] = log(0.97)
    (found,) = PhoneFlashlight(4, SAYINGS, silence=SIL, word_score=-1.0).decode(matrix)
    assert found.words == (("", 1), ("ab", 2), ("", 1), ("b", 2), ("", 1))
    assert found.tokens == (SIL, A, B, SIL, B, B, SIL)


def test_of_many_words_said_alike_the_likeliest_are_kept(tmp_path):
    names = [f"w{number}" for number in range(MOST_ALIKE + 3)]
    rows = "".join(f"{-2 + 0.1 * number:.1f}\t{name}\n" for number, name in enumerate(names))
    arpa = tmp_path / "lm.arpa"
    header = f"\\data\\\nngram 1={len(names) + 3}\nngram 2=1\n\n\\1-grams:\n-3\t<unk>\n-99\t<s>\n-1\t</s>\n"
    arpa.write_text(f"{header}{rows}\n\\2-grams:\n-9\t<s> w0\n\n\\end\\\n", encoding="utf-8")
    sayings = tuple(Saying(name, (A, B)) for name in names)
    matrix = np.log([[0.01, 0.98, 0.01], [0.01, 0.01, 0.98]])
    found = PhoneFlashlight(3, sayings, arpa, nbest=20).decode(matrix)
    assert [words_of(each)[0] for each in found if each.words] == names[: -1 - MOST_ALIKE : -1]
    assert crowded_out(sayings) == 3
    assert crowded_out([*sayings, Saying("other", (B, A)), Saying("less", (A, B), halvings=1)]) == 3


def test_where_no_word_ends_there_are_those_that_have():
    matrix = np.log(np.maximum([[0, 1, 0], [0, 0, 1], [0, 1, 0]], 1e-30))
    (found,) = PhoneFlashlight(3, (Saying("ab", (A, B)),), beam=1).decode(matrix)
    assert found == Hypothesis((A, B), pytest.approx(0.0, abs=1e-3), (("ab", 2),))


def test_nothing_to_hear(arpa):
    assert PhoneFlashlight(4, SAYINGS).decode(np.zeros((0, 4))) == [Hypothesis((), 0.0)]
    with pytest.raises(DataError, match="frame 1 of 2 has NaN"):
        PhoneFlashlight(4, SAYINGS).decode(np.array([[0.0] * 4, [np.nan] * 4]))
    with pytest.raises(ModelError, match="nowhere.arpa: not a language model"):
        PhoneFlashlight(4, SAYINGS, arpa.with_name("nowhere.arpa"))
