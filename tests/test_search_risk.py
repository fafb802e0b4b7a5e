import numpy as np
import pytest

from asr.search.risk import expected_errors


def test_errors_are_expected_of_each_text_as_the_others_are_likely():
    """By hand: distances in words 0 1 2, 1 0 2, 2 2 0."""
    texts, scores = ["the cat", "a cat", "dogs bark"], np.log([0.5, 0.3, 0.2])
    errors = expected_errors(texts, scores, 1.0)
    assert errors.tolist() == pytest.approx([0.3 + 2 * 0.2, 0.5 + 2 * 0.2, 2 * 0.5 + 2 * 0.3])
    assert expected_errors(texts, scores + 1000.0, 1.0).tolist() == pytest.approx(errors.tolist())


def test_a_large_scale_trusts_the_likeliest_and_a_small_one_all_alike():
    texts, scores = ["a b c", "a x c", "a b", ""], [-1.0, -2.0, -3.0, -4.0]
    assert expected_errors(texts, scores, 100.0).tolist() == pytest.approx([0, 1, 1, 3])
    assert expected_errors(texts, scores, 1e-9).tolist() == pytest.approx([5 / 4, 6 / 4, 5 / 4, 8 / 4])


def test_a_single_text_has_no_errors():
    assert expected_errors(["what else"], [-5.0], 0.5).tolist() == [0.0]
