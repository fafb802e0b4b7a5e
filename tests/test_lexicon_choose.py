import math
import re
from itertools import groupby, product

import numpy as np
import pytest

from asr.errors import DataError
from asr.lexicon import choose as module
from asr.lexicon.choose import choose, with_silence

SILENCE = 3


def random_matrix(generator: np.random.Generator, frames: int, tokens: int) -> np.ndarray:
    return np.log(generator.dirichlet(np.full(tokens, 0.4), frames) + 1e-9)


def matrix_of(path: list[int], tokens: int = 4) -> np.ndarray:
    rows = np.full((len(path), tokens), np.log(0.1 / (tokens - 1)))
    rows[np.arange(len(path)), path] = np.log(0.9)
    return rows


def collapsed(path) -> tuple[int, ...]:
    return tuple(token for token, _ in groupby(path) if token)


def by_all_paths(matrix: np.ndarray, variants) -> dict[tuple[int, ...], float]:
    """The best path's score for every way to choose that there is a path for: all paths are tried."""
    best: dict[tuple[int, ...], float] = {}
    for path in product(range(matrix.shape[1]), repeat=len(matrix)):
        score = float(matrix[np.arange(len(path)), list(path)].sum())
        best[collapsed(path)] = max(score, best.get(collapsed(path), -math.inf))
    choices = product(*(range(len(word)) for word in variants))
    spelled = {choice: sum((word[n] for word, n in zip(variants, choice, strict=True)), ()) for choice in choices}
    return {choice: best[tokens] for choice, tokens in spelled.items() if tokens in best}


def test_the_oracle_itself():
    matrix = np.log([[0.5, 0.2, 0.3], [0.1, 0.6, 0.3]])
    scores = by_all_paths(matrix, [[(1,), (2,), (1, 1)]])
    assert {choice: math.exp(score) for choice, score in scores.items()} == pytest.approx({(0,): 0.3, (1,): 0.15})


WORDS = {
    "one word": [[(1,), (2, 1), (2,)]],
    "two words": [[(1, 2), (2,)], [(2, 1), (1,)]],
    "the same sound at a seam": [[(1, 1), (2,)], [(1,), (2, 2)]],
    "one that may be left out": [[(), (1,)], [(2,), (1, 2)], [(), (1,), (2,)]],
    "all may be left out": [[(), (1,)], [(), (2,)]],
    "one pronunciation each": [[(1,)], [(2,)]],
}


@pytest.mark.parametrize("variants", WORDS.values(), ids=WORDS)
def test_the_best_of_all_paths_chooses(variants):
    generator = np.random.default_rng(1)
    checked = 0
    for frames in (1, 2, 3, 4, 5, 6):
        for _ in range(12):
            matrix = random_matrix(generator, frames, 3)
            scores = by_all_paths(matrix, variants)
            if scores:
                assert scores[tuple(choose(matrix, variants))] == pytest.approx(max(scores.values()))
                checked += len(scores) > 1
            else:
                with pytest.raises(DataError, match="need more frames"):
                    choose(matrix, variants)
    assert checked or variants == WORDS["one pronunciation each"]


def test_silence_may_stand_anywhere_and_changes_what_is_best():
    generator = np.random.default_rng(2)
    variants, differ = [[(1, 2), (2,)], [(2, 1), (1,)]], 0
    for frames in (2, 3, 4, 5):
        for _ in range(12):
            matrix = random_matrix(generator, frames, 4)
            scores = by_all_paths(matrix, with_silence(variants, SILENCE))
            found = choose(matrix, variants, SILENCE)
            best = max(score for choice, score in scores.items() if list(choice[1::2]) == found)
            assert best == pytest.approx(max(scores.values()))
            differ += found != choose(matrix, variants)
    assert differ


def test_a_pause_parts_equal_sounds():
    heard = matrix_of([SILENCE, 1, SILENCE, 1, SILENCE])
    assert choose(heard, [[(2,), (1,)], [(1,), (2,)]], SILENCE) == [1, 0]
    assert choose(matrix_of([SILENCE, SILENCE]), with_silence([[(), (1,)]], SILENCE))[1] == 0


def test_nothing_to_choose():
    assert choose(np.zeros((0, 3)), []) == []
    assert choose(matrix_of([0, 1]), []) == []
    assert choose(np.zeros((0, 3)), [[(1,), ()]]) == [1]


def test_among_equals_the_first():
    assert choose(matrix_of([0, 1, 0]), [[(1,), (1,)]]) == [0]


def test_impossible_tokens_leave_a_way():
    matrix = matrix_of([1, 0])
    matrix[:, 2] = -np.inf
    assert choose(matrix, [[(2,), (1,)]]) == [1]
    assert choose(matrix, [[(2,)]]) == [0]


def test_checkpoints_change_nothing(monkeypatch):
    generator = np.random.default_rng(3)
    matrix = random_matrix(generator, 60, 6)
    words = [[tuple(generator.integers(1, 6, count).tolist()) for count in (2, 3, 4)] for _ in range(10)]
    found = choose(matrix, words)
    for block in (0, 1, 6, 99):
        monkeypatch.setattr(module.math, "isqrt", lambda frames, block=block: block)
        assert choose(matrix, words) == found


def test_words_that_do_not_fit_are_told():
    with pytest.raises(DataError, match=re.escape("the words need more frames than the 2 that there are")):
        choose(matrix_of([1, 1]), [[(1, 1), (1, 2, 1)]])
