import numpy as np
import pytest

from asr.confidence import Calibration
from asr.errors import ModelError
from asr.reading import Reader
from asr.search.prefix import Hypothesis
from asr.text import Vocabulary

VOCABULARY = Vocabulary.of_characters(" ab")
BLANK, SPACE, A, B = range(4)
SURE, REST = np.log(0.7), np.log(0.1)


def matrix(*path):
    """Frames in which the tokens of a path have a probability of 0.7 each, and all others 0.1."""
    rows = np.full((len(path), 4), REST)
    rows[np.arange(len(path)), path] = SURE
    return rows


class Decoder:
    """Finds what it was told to find."""

    def __init__(self, *found, rescoring_weight=0.0, rescoring_word_score=0.0, rescoring_share=1.0, mbr_scale=0.0):
        self.found = list(found)
        self.config = type("Config", (), {})
        self.config.rescoring_weight = rescoring_weight
        self.config.rescoring_word_score = rescoring_word_score
        self.config.rescoring_share = rescoring_share
        self.config.mbr_scale = mbr_scale

    def decode_many(self, matrices):
        return [self.found] * len(matrices)


class Second:
    def __init__(self, scores):
        self.scores = scores

    def score_sentences(self, texts):
        return [self.scores[text] for text in texts]


TWO = (Hypothesis((A, B), -1.0), Hypothesis((A, SPACE, B), -1.5))


def test_greedy_words_have_times_and_confidence():
    (reading,) = Reader(VOCABULARY, 0.04).read([matrix(BLANK, A, A, B, SPACE, BLANK, B)], [0.27])
    assert reading.text == "ab b"
    first, second = reading.words
    assert (first.text, first.start_s, first.end_s) == ("ab", 0.04, pytest.approx(0.16))
    assert (second.text, second.start_s, second.end_s) == ("b", pytest.approx(0.24), 0.27)  # no later than the end
    assert 0 < second.confidence < 1
    assert reading.alternatives == ()


def test_an_empty_matrix_says_nothing():
    (reading,) = Reader(VOCABULARY, 0.04).read([matrix()], [0.0])
    assert (reading.text, reading.words) == ("", ())


def test_confidence_is_calibrated():
    raw, low = (
        Reader(VOCABULARY, 0.04, calibration=calibration).read([matrix(A)], [0.04])[0].words[0].confidence
        for calibration in (Calibration(), Calibration(1.0, -2.0))
    )
    logit = np.log(raw / (1 - raw)) - 2.0
    assert low == pytest.approx(1 / (1 + np.exp(-logit)))


def test_a_search_s_best_text_is_aligned_with_the_frames():
    reader = Reader(VOCABULARY, 0.04, Decoder(*TWO), nbest=2)
    (reading,) = reader.read([matrix(A, BLANK, B)], [0.12])
    assert reading.text == "ab"
    assert [word.text for word in reading.words] == ["ab"]
    assert [(each.text, each.score) for each in reading.alternatives] == [("ab", -1.0), ("a b", -1.5)]


def test_so_many_alternatives_as_asked_for():
    (reading,) = Reader(VOCABULARY, 0.04, Decoder(*TWO)).read([matrix(A, BLANK, B)], [0.12])
    assert [each.text for each in reading.alternatives] == ["ab"]


def test_a_second_language_model_changes_the_order():
    second = Second({"ab": -10.0, "a b": -4.0})
    decoder = Decoder(*TWO, rescoring_weight=0.5, rescoring_word_score=0.25)
    reader = Reader(VOCABULARY, 0.04, decoder, second, nbest=2)
    (reading,) = reader.read([matrix(A, BLANK, B)], [0.12])
    assert [(each.text, each.score) for each in reading.alternatives] == [("a b", -3.0), ("ab", -5.75)]
    assert [word.text for word in reading.words] == ["a", "b"]


def test_the_least_risky_text_comes_first():
    """`a` is the likeliest by itself; the others agree in a word, and together they are likelier."""
    chances = {"a": 0.4, "b b": 0.28, "b a b": 0.32}
    hypotheses = [Hypothesis(VOCABULARY.encode(text), np.log(p)) for text, p in chances.items()]
    likeliest, safest = (
        Reader(VOCABULARY, 0.04, Decoder(*hypotheses, mbr_scale=scale), nbest=3).read(
            [matrix(*[A, BLANK, B] * 4)], [0.48]
        )[0]
        for scale in (0.0, 1.0)
    )
    assert likeliest.text == "a"
    assert safest.text == "b a b"
    found = {each.text: each.score for each in safest.alternatives}
    assert found == pytest.approx({"b a b": -(0.4 * 2 + 0.28), "b b": -(0.4 * 2 + 0.32), "a": -(0.28 * 2 + 0.32 * 2)})


TWO_HEADS = Vocabulary(VOCABULARY.tokens, phones=("<blank>", "P", "Q", "SIL"))
PHONES_ONLY = Vocabulary((), phones=TWO_HEADS.phones)
SAID = Hypothesis((3, 1, 2, 2), -1.0, (("", 1), ("one", 2), ("two", 1)))


@pytest.mark.parametrize("vocabulary", [TWO_HEADS, PHONES_ONLY], ids=["two heads", "phones only"])
def test_words_in_phones_have_times_and_confidence(vocabulary):
    phones = matrix(3, 1, BLANK, 2, 2, BLANK, 2)
    spelled = [matrix(*[A] * 7)] if vocabulary.spells else []
    columns = np.concatenate([*spelled, phones], axis=1)
    (reading,) = Reader(vocabulary, 0.1, Decoder(SAID, Hypothesis((), -9.0)), nbest=2).read([columns], [0.65])
    assert reading.text == "one two"
    assert [each.text for each in reading.alternatives] == ["one two", ""]
    first, second = reading.words
    assert (first.text, first.start_s, first.end_s) == ("one", 0.1, 0.5)
    assert (second.text, second.start_s, second.end_s) == ("two", pytest.approx(0.6), 0.65)
    assert (first.confidence, second.confidence) == (pytest.approx(0.7**4), pytest.approx(0.7))


def test_nothing_heard_in_phones():
    for found in (Hypothesis((), -1.0), Hypothesis((3,), -1.0, (("", 1),))):
        (reading,) = Reader(PHONES_ONLY, 0.1, Decoder(found)).read([matrix(3, 3)], [0.2])
        assert (reading.text, reading.words) == ("", ())


def test_greedy_decoding_is_of_letters():
    both = np.concatenate([matrix(A, B), matrix(1, 2)], axis=1)
    (reading,) = Reader(TWO_HEADS, 0.1).read([both], [0.2])
    assert reading.text == "ab"
    reader = Reader(PHONES_ONLY, 0.1)
    with pytest.raises(ModelError, match="hears phones, not letters: greedy decoding gives no text"):
        reader.read([matrix(1)], [0.1])
    with pytest.raises(ModelError, match=r"^exp/x/model: hears phones, not letters: .* 'asr tune'$"):
        reader.check("exp/x/model")
    Reader(PHONES_ONLY, 0.1, Decoder(SAID)).check("exp/x/model")
