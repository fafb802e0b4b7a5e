"""Words in phones: our own search against all paths and all ways to read them."""

import doctest
from collections import defaultdict
from math import exp, log

import numpy as np
import pytest
from test_search_fusion import ARPA, Bigrams, language_score
from test_search_hotwords import occurrences
from test_search_prefix import WIDE, enumerate_paths, random_matrix

from asr.errors import DataError
from asr.lexicon.entries import Lexicon, Pronunciation
from asr.search import phones
from asr.search.phones import PhoneSearch, Saying, sayings_of
from asr.search.prefix import Hypothesis

A, B, SIL = 1, 2, 3
SAYINGS = (
    Saying("a", (A,)),
    Saying("eh", (A,)),
    Saying("ab", (A, B)),
    Saying("ab", (B, A), halvings=2),
    Saying("b", (B,)),
    Saying("b", (B, B)),
)
HOTWORDS = {"b": 1.5, "a ab": -2.0, "eh": 0.5}
WEIGHTS = {"lm_weight": 0.7, "word_score": 0.4}


def readings(tokens, sayings, silence):
    """Every way to read phones as words, with the natural log probability of the words being said so."""
    if not tokens:
        yield (), 0.0
    if tokens[:1] == (silence,):
        yield from readings(tokens[1:], sayings, silence)
    for saying in sayings:
        if tokens[: len(saying.phones)] == saying.phones:
            for words, weight in readings(tokens[len(saying.phones) :], sayings, silence):
                yield (saying.word, *words), weight - saying.halvings * log(2)


def by_all_paths(matrix, sayings, model=None, hotwords=None, silence=None, pronunciation_weight=1.0):
    """The score of every sequence of words, from all paths."""
    sums = defaultdict(float)
    for tokens, score in enumerate_paths(matrix).items():
        for words, weight in readings(tokens, sayings, silence):
            sums[words] += exp(score + pronunciation_weight * weight)
    return {words: log(value) + added(words, model, hotwords) for words, value in sums.items()}


def added(words, model, hotwords):
    bonuses = sum(bonus * occurrences(word, " ".join(words)) for word, bonus in (hotwords or {}).items())
    language = WEIGHTS["lm_weight"] * language_score(model, words) if model else 0.0
    return language + WEIGHTS["word_score"] * len(words) + bonuses


def words_of(hypothesis):
    return tuple(word for word, _ in hypothesis.words if word)


def test_the_oracle_by_hand():
    matrix = np.log([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
    sayings = [Saying("x", (1, 2)), Saying("y", (2,), 1), Saying("z", (1,))]
    scores = by_all_paths(matrix, sayings)
    assert {words: exp(score - 0.4 * len(words)) for words, score in scores.items()} == pytest.approx(
        {
            (): 0.5 * 0.1,
            ("z",): 0.5 * 0.6 + 0.3 * 0.1 + 0.3 * 0.6,
            ("y",): 0.5 * (0.5 * 0.3 + 0.2 * 0.1 + 0.2 * 0.3),
            ("x",): 0.3 * 0.3,
            ("z", "y"): 0.5 * 0.3 * 0.3,
            ("y", "z"): 0.5 * 0.2 * 0.6,
        }
    )
    assert dict(readings((SIL, 1, SIL, SIL, 2), sayings, SIL)) == {("z", "y"): -log(2)}


@pytest.mark.parametrize("silence", [None, SIL], ids=["no silence", "silence"])
@pytest.mark.parametrize("hotwords", [None, HOTWORDS], ids=["plain", "hotwords"])
@pytest.mark.parametrize("with_model", [True, False], ids=["model", "no model"])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
def test_a_wide_beam_finds_the_sums_over_all_paths(frames, with_model, hotwords, silence):
    model = Bigrams(ARPA) if with_model else None
    matrix = random_matrix(np.random.default_rng(frames), frames, 4)
    expected = by_all_paths(matrix, SAYINGS, model, hotwords, silence, 0.8)
    search = PhoneSearch(
        SAYINGS,
        model,
        hotwords=hotwords,
        silence=silence,
        pronunciation_weight=0.8,
        beam=WIDE,
        nbest=WIDE,
        token_threshold=WIDE,
        **WEIGHTS,
    )
    found = search.decode(matrix)
    assert {words_of(hypothesis): hypothesis.score for hypothesis in found} == pytest.approx(expected)
    assert len(found) == len(expected)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_words_tell_their_phones_and_silence_is_an_empty_word():
    path = [SIL, SIL, A, B, 0, SIL, 0, B, 0, B, SIL]
    matrix = np.full((len(path), 4), log(0.01))
    matrix[np.arange(len(path)), path] = log(0.97)
    (found,) = PhoneSearch(SAYINGS, silence=SIL, word_score=-1.0).decode(matrix)
    assert found.words == (("", 1), ("ab", 2), ("", 1), ("b", 2), ("", 1))
    assert found.tokens == (SIL, A, B, SIL, B, B, SIL)


def test_equal_phones_of_two_words_need_a_blank():
    search = PhoneSearch([Saying("ab", (A, B)), Saying("b", (B,))], word_score=2.0)
    for path, expected in ([A, B, B, B], ("ab",)), ([A, B, 0, B], ("ab", "b")):
        matrix = np.full((4, 3), log(0.001))
        matrix[np.arange(4), path] = log(0.998)
        assert words_of(search.decode(matrix)[0]) == expected


def test_a_narrow_beam_finds_what_is_clear():
    path = [A, A, 0, SIL, A, B, B, 0, 0, B, A, A]
    matrix = np.full((len(path), 4), log(0.02))
    matrix[np.arange(len(path)), path] = log(0.94)
    (found,) = PhoneSearch(SAYINGS, silence=SIL, beam=6, score_threshold=10.0).decode(matrix)
    assert words_of(found) in {("a", "ab", "b", "a"), ("eh", "ab", "b", "eh"), ("a", "ab", "ab"), ("eh", "ab", "ab")}


def test_where_no_word_ends_there_are_those_that_have():
    matrix = np.log(np.maximum([[0, 1, 0], [0, 0, 1], [0, 1, 0]], 1e-30))
    (found,) = PhoneSearch([Saying("ab", (A, B))], beam=1).decode(matrix)
    assert found == Hypothesis((A, B), pytest.approx(0.0), (("ab", 2),))


def test_nothing_to_hear():
    assert PhoneSearch(SAYINGS).decode(np.zeros((0, 4))) == [Hypothesis((), 0.0)]
    with pytest.raises(DataError, match="frame 1 of 2 has NaN"):
        PhoneSearch(SAYINGS).decode(np.array([[0.0] * 4, [np.nan] * 4]))


def test_the_sayings_of_a_lexicon():
    lexicon = Lexicon(
        {
            "read": (Pronunciation(("R", "EH", "D")), Pronunciation(("R", "IY", "D"), 0.3)),
            "x": (Pronunciation(("EH", "Q")),),
            "a": (Pronunciation(("EH",)), Pronunciation(("IY",), 0.5)),
        }
    )
    found = sayings_of(lexicon, ("<blank>", "D", "EH", "IY", "R"))
    assert found == (Saying("read", (4, 2, 1)), Saying("read", (4, 3, 1), 2), Saying("a", (2,)), Saying("a", (3,)))


def test_the_examples_in_docstrings():
    failed, attempted = doctest.testmod(phones)
    assert attempted > 0
    assert failed == 0
