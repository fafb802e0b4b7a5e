from itertools import groupby, pairwise, product
from math import exp, inf, log

import numpy as np
import pytest
import torch

from asr.decoding import greedy
from asr.errors import DataError
from asr.search.prefix import Hypothesis, beam_search

WIDE = 10_000


def random_matrix(rng, frames, tokens, sharpness=1.0):
    logits = sharpness * rng.standard_normal((frames, tokens))
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def enumerate_paths(matrix):
    """Log probability by token sequence, summed over all V ** T paths."""
    sums = {}
    for path in product(range(matrix.shape[1]), repeat=len(matrix)):
        tokens = tuple(token for token, _ in groupby(path) if token != 0)
        sums[tokens] = sums.get(tokens, 0.0) + exp(sum(matrix[frame, token] for frame, token in enumerate(path)))
    return {tokens: log(probability) for tokens, probability in sums.items() if probability}


def ranked(scores):
    return sorted(scores.items(), key=lambda item: -item[1])


def test_the_oracle_by_hand():
    matrix = np.log([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
    expected = {
        (): 0.5 * 0.1,
        (1,): 0.5 * 0.6 + 0.3 * 0.1 + 0.3 * 0.6,
        (2,): 0.5 * 0.3 + 0.2 * 0.1 + 0.2 * 0.3,
        (1, 2): 0.3 * 0.3,
        (2, 1): 0.2 * 0.6,
    }
    assert enumerate_paths(matrix) == pytest.approx({tokens: log(value) for tokens, value in expected.items()})


def test_the_oracle_keeps_a_repeat_apart_only_behind_a_blank():
    certain = np.log(np.eye(2)[[1, 0, 1]] + 1e-300)
    assert ranked(enumerate_paths(certain))[0][0] == (1, 1)
    assert (1, 1) not in enumerate_paths(random_matrix(np.random.default_rng(0), 2, 2))


@pytest.mark.parametrize("seed", range(30))
def test_a_wide_beam_sums_all_paths(seed):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, rng.integers(1, 6), rng.integers(2, 4), sharpness=rng.uniform(0.1, 4))
    expected = ranked(enumerate_paths(matrix))
    found = beam_search(matrix, WIDE, nbest=WIDE)
    assert [hypothesis.tokens for hypothesis in found] == [tokens for tokens, _ in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for _, score in expected])


class Toy:
    """Never token 2 behind token 2, no end behind token 1; the rest by the number of tokens and the last of them."""

    def start(self):
        return (0, 0)

    def extend(self, state, token):
        length, last = state
        return None if token == last == 2 else ((length + 1, token), 0.7 * length - token)

    def finish(self, state):
        return None if state[1] == 1 else -0.3 * state[0]


def score_of_toy(tokens):
    """The same, of a whole sequence."""
    if (2, 2) in pairwise(tokens) or tokens[-1:] == (1,):
        return None
    return sum(0.7 * length - token for length, token in enumerate(tokens)) - 0.3 * len(tokens)


@pytest.mark.parametrize("seed", range(30))
def test_a_wide_beam_with_a_scorer(seed):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, rng.integers(1, 6), 3, sharpness=rng.uniform(0.1, 4))
    sums = enumerate_paths(matrix)
    expected = ranked(
        {tokens: score + score_of_toy(tokens) for tokens, score in sums.items() if score_of_toy(tokens) is not None}
    )
    found = beam_search(matrix, WIDE, Toy(), nbest=WIDE)
    assert [hypothesis.tokens for hypothesis in found] == [tokens for tokens, _ in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for _, score in expected])


@pytest.mark.parametrize("seed", range(50))
def test_a_beam_of_one_follows_the_best_path(seed):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, rng.integers(0, 40), rng.integers(2, 7), sharpness=rng.uniform(0, 3))
    (found,) = beam_search(matrix, 1)
    assert list(found.tokens) == greedy(torch.from_numpy(matrix))
    assert found.score == pytest.approx(matrix.max(1).sum() if len(matrix) else 0.0)


@pytest.mark.parametrize("seed", range(50))
def test_a_beam_of_one_follows_the_best_path_where_tokens_are_equal(seed):
    rng = np.random.default_rng(seed)
    matrix = np.log(rng.integers(1, 3, (30, 4)) / 8)
    (found,) = beam_search(matrix, 1)
    assert list(found.tokens) == greedy(torch.from_numpy(matrix))


def test_a_wider_beam_finds_what_the_best_path_misses():
    matrix = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert beam_search(matrix, 1) == [Hypothesis((), pytest.approx(log(0.36)))]
    assert beam_search(matrix, 3) == [Hypothesis((1,), pytest.approx(log(0.64)))]


def test_entries_are_pruned_frame_by_frame():
    matrix = np.log([[0.4, 0.35, 0.25], [0.1, 0.1, 0.8]])
    first, second = beam_search(matrix, 2, nbest=9)  # (2,), met in the first frame, had no room and began anew
    assert first == Hypothesis((2,), pytest.approx(log(0.4 * 0.8)))
    assert second == Hypothesis((1, 2), pytest.approx(log(0.35 * 0.8)))


def test_tokens_far_below_the_best_are_passed_over():
    matrix = np.log([[0.90, 0.09, 0.01]])
    assert {found.tokens for found in beam_search(matrix, 9, nbest=9)} == {(), (1,), (2,)}
    assert {found.tokens for found in beam_search(matrix, 9, nbest=9, token_threshold=3)} == {(), (1,)}


def test_a_blank_and_a_repeat_are_never_passed_over():
    far = 100.0
    matrix = np.array([[0.0, -far], [-far, 0.0], [-far, 0.0], [0.0, -far]])
    only_one = type("OnlyOne", (Toy,), {"extend": lambda self, state, token: ((1, 0), 0.0) if state[0] == 0 else None})
    (found,) = beam_search(np.pad(matrix, ((0, 0), (0, 1)), constant_values=-1.0), 50, only_one(), token_threshold=0.5)
    assert found.tokens == (1,)


def test_no_frames():
    assert beam_search(np.zeros((0, 5)), 4, nbest=3) == [Hypothesis((), 0.0)]


def test_where_nothing_may_end_the_unfinished_are_returned():
    class Endless(Toy):
        def finish(self, state):
            return None

    matrix = np.log([[0.1, 0.7, 0.2]])
    expected = [((1,), log(0.7) - 1.0), ((), log(0.1)), ((2,), log(0.2) - 2.0)]
    assert beam_search(matrix, 9, Endless(), nbest=9) == [Hypothesis(t, pytest.approx(s)) for t, s in expected]


def test_what_has_no_probability_does_no_harm():
    matrix = np.array([[-inf, 0.0, -inf], [-inf, 0.0, -inf], [0.0, -inf, -inf]])
    assert beam_search(matrix, 5)[0] == Hypothesis((1,), 0.0)

    class Nothing(Toy):
        def extend(self, state, token):
            return None

    assert beam_search(matrix, 5, Nothing()) == [Hypothesis((), -inf)]


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "frame 1 of 3 has NaN"), (-inf, "frame 1 of 3 has a largest value of -inf")]
)
def test_numbers_that_are_none(value, message):
    matrix = np.zeros((3, 2))
    matrix[1, :] = value
    with pytest.raises(DataError, match=message):
        beam_search(matrix, 4)


def test_one_nan_is_enough():
    matrix = np.zeros((3, 2))
    matrix[2, 1] = np.nan
    with pytest.raises(DataError, match="frame 2 of 3 has NaN"):
        beam_search(matrix, 4)


def test_a_long_recording_is_no_deeper_a_stack():
    matrix = np.tile(np.log([[0.02, 0.49, 0.49], [0.98, 0.01, 0.01]]), (2000, 1))
    assert len(beam_search(matrix, 2)[0].tokens) == 2000


def test_entries_far_below_the_best_are_dropped():
    matrix = np.log([[0.6, 0.4], [0.9, 0.1]])
    assert len(beam_search(matrix, 9, nbest=9)) == 2
    assert [found.tokens for found in beam_search(matrix, 9, nbest=9, score_threshold=0.1)] == [()]
