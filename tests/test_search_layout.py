import doctest
from math import log

import numpy as np
import pytest
from test_search_prefix import random_matrix

from asr.errors import ConfigError
from asr.search import layout
from asr.search.layout import FLOOR, RunOnLayout, SpacedLayout, TokenLayout, layout_of_words
from asr.text import BLANK, Vocabulary

MATRIX = random_matrix(np.random.default_rng(0), 4, 3)


def test_tokens_as_they_are():
    tokens = TokenLayout()
    assert tokens.emissions(MATRIX) is MATRIX
    assert tokens.spelled([1, 2]) == [[1, 2]]
    assert tokens.tokens([0, 1, 1, 0, 1, 2, 0]) == (1, 1, 2)


def test_a_space_follows_the_recording():
    spaced = SpacedLayout(1)
    emissions = spaced.emissions(MATRIX)
    assert np.array_equal(emissions[:-1], MATRIX)
    assert emissions[-1].tolist() == [FLOOR, 0.0, 2 * FLOOR]
    assert spaced.spelled([2, 3]) == [[2, 3, 1]]
    assert spaced.correction([2, 2, 1]) == 0.0
    assert spaced.correction([2, 2, 0]) == -FLOOR


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([1], ()),
        ([1, 0, 1], ()),
        ([2, 1], (2,)),
        ([0, 2, 2, 0, 2, 1], (2, 2)),
        ([1, 0, 1, 2, 1, 1, 0, 1, 3, 1, 0, 1], (2, 1, 3)),
        ([2, 1, 3, 0], (2, 1, 3)),
    ],
)
def test_spaces_stand_between_words_only(columns, expected):
    assert SpacedLayout(1).tokens(columns) == expected


def test_a_piece_may_last_where_it_is_likelier_than_the_blank_in_the_next_frame():
    matrix = np.log([[0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.4, 0.4, 0.2]])
    emissions = RunOnLayout(3).emissions(matrix)
    assert np.array_equal(emissions[:, :3], matrix)
    assert emissions[:, 3:6].tolist() == [[FLOOR, log(0.4), FLOOR], [FLOOR] * 3, [FLOOR] * 3]
    assert (emissions[:, 12] < FLOOR).all()


def test_each_run_of_a_words_last_piece_has_one_spelling():
    short, long = RunOnLayout(5).spelled([2, 3])
    assert short == [2, 3]  # in one frame
    assert long == [2, 8, 3]  # in two, and in more, for flashlight lets the middle column repeat
    assert RunOnLayout(5).tokens([2, 8, 8, 3, 10, 0, 3]) == (2, 3, 3)


def test_words_need_a_space():
    assert isinstance(layout_of_words(Vocabulary((BLANK, " ", "a"))), SpacedLayout)
    assert isinstance(layout_of_words(Vocabulary((BLANK, "\N{LOWER ONE EIGHTH BLOCK}a", "a"), b"...")), RunOnLayout)
    with pytest.raises(ConfigError, match="alphabet has no space"):
        layout_of_words(Vocabulary((BLANK, "a", "b")))


def test_the_examples_in_docstrings():
    failed, attempted = doctest.testmod(layout)
    assert attempted > 0
    assert failed == 0
