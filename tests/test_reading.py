import numpy as np
import pytest

from asr.confidence import Calibration
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

    def __init__(self, *found, rescoring_weight=0.0, rescoring_word_score=0.0):
        self.found = list(found)
        self.config = type("Config", (), {})
        self.config.rescoring_weight = rescoring_weight
        self.config.rescoring_word_score = rescoring_word_score

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
