import numpy as np
import pytest

from asr.stretches import Stretches

FRAME_S = 0.04
SPACE = 1


def matrix_of(tokens):
    """(T, 4) in which these tokens are the likeliest."""
    matrix = np.full((len(tokens), 4), -5.0, np.float32)
    matrix[np.arange(len(tokens)), tokens] = -0.1
    return matrix


def cut(tokens, sizes=(100,), space=SPACE):
    """The stretches of a recording whose matrix comes in pieces of these sizes, over and over."""
    stretches, found, place, turn = Stretches(FRAME_S, space), [], 0, 0
    matrix = matrix_of(tokens)
    while place < len(matrix):
        size = sizes[turn % len(sizes)]
        found += stretches.add(matrix[place : place + size], last=place + size >= len(matrix))
        place, turn = place + size, turn + 1
    return matrix, found


@pytest.mark.parametrize("sizes", [(100,), (750,), (7, 900, 31)])
def test_stretches_are_the_whole_in_order(sizes):
    rng = np.random.default_rng(0)
    tokens = rng.choice(4, 9000, p=[0.5, 0.1, 0.2, 0.2])
    matrix, found = cut(tokens, sizes)
    assert np.array_equal(np.concatenate([stretch.matrix for stretch in found]), matrix)
    assert [stretch.start for stretch in found] == np.cumsum([0, *(len(each.matrix) for each in found[:-1])]).tolist()
    assert all(10 <= len(stretch.matrix) * FRAME_S <= 60 for stretch in found[:-1])
    assert [each.start for each in found] == [each.start for each in cut(tokens, (100,))[1]]


def test_a_minute_is_one_stretch():
    _, (stretch,) = cut(np.full(1500, 2))
    assert stretch.start == 0


def test_the_cut_is_in_the_longest_silence_that_is_not_too_early():
    tokens = np.full(2000, 2)
    tokens[100:160] = 0  # longer, but within the first 10 s
    tokens[500:520] = 0
    tokens[700:740] = 0
    _, found = cut(tokens)
    assert [stretch.start for stretch in found] == [0, 720]


def test_a_silence_with_a_space_in_it_comes_first():
    tokens = np.full(2000, 2)
    tokens[500:509] = 0  # shorter than a pause: it may lie within a word
    tokens[700:703] = [0, SPACE, 0]
    assert [stretch.start for stretch in cut(tokens)[1]] == [0, 701]
    assert [stretch.start for stretch in cut(tokens, space=None)[1]] == [0, 504]


def test_where_nothing_is_silent_the_longest_stretch_is_cut_off():
    assert [stretch.start for stretch in cut(np.full(3200, 2))[1]] == [0, 1500, 3000]


def test_the_columns_that_do_not_count_are_passed_over():
    tokens = np.full(2000, 2)
    tokens[700:720] = 0
    matrix = np.concatenate(
        [matrix_of(tokens) - 9.0, matrix_of(np.zeros(2000, int))], axis=1
    )  # all silent, and likelier
    found = list(Stretches(FRAME_S, SPACE, slice(4)).add(matrix, last=True))
    assert [stretch.start for stretch in found] == [0, 710]
    assert found[0].matrix.shape == (710, 8)
