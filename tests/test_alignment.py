import tracemalloc
from itertools import groupby, pairwise, product

import numpy as np
import pytest
import torch
from torchaudio.functional import forced_align

from asr.alignment import Span, Word, _best_states, align, fit_score, greedy_spans, words
from asr.decoding import greedy
from asr.errors import DataError
from asr.text import frames_needed


def random_matrix(generator: np.random.Generator, frames: int, tokens: int) -> np.ndarray:
    scores = 3 * generator.standard_normal((frames, tokens))
    return (scores - np.log(np.exp(scores).sum(1, keepdims=True))).astype(np.float32)


def matrix_of(path: list[int], tokens: int, probability: float = 0.9) -> np.ndarray:
    """The token of the path has that probability in each frame; the others share the rest."""
    matrix = np.full((len(path), tokens), (1 - probability) / (tokens - 1))
    matrix[np.arange(len(path)), path] = probability
    return np.log(matrix)


def collapsed(path) -> tuple[int, ...]:
    return tuple(token for token, _ in groupby(path) if token)


def best_score(matrix: np.ndarray, tokens: tuple[int, ...]) -> float:
    """The log-probability of the best path that spells the tokens: by trying all paths there are."""
    paths = (path for path in product(range(matrix.shape[1]), repeat=len(matrix)) if collapsed(path) == tokens)
    return max(sum(float(row[token]) for row, token in zip(matrix, path, strict=True)) for path in paths)


def path_of(spans: list[Span], frames: int) -> list[int]:
    path = [0] * frames
    for span in spans:
        path[span.start : span.end] = [span.token] * (span.end - span.start)
    return path


def score_of(matrix: np.ndarray, path: list[int]) -> float:
    return sum(float(row[token]) for row, token in zip(matrix, path, strict=True))


def test_the_oracle_itself():
    matrix = np.log([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    assert best_score(matrix, (1,)) == pytest.approx(np.log(0.5 * 0.9 * 0.8))
    assert best_score(matrix, (1, 1)) == pytest.approx(np.log(0.5 * 0.9 * 0.8))
    assert best_score(matrix, ()) == pytest.approx(np.log(0.5 * 0.9 * 0.2))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], []),
        ([0, 0], []),
        ([1, 1, 1], [(1, 0, 3)]),
        ([1, 0, 1], [(1, 0, 1), (1, 2, 3)]),
        ([0, 2, 2, 1, 0, 0, 1, 2], [(2, 1, 3), (1, 3, 4), (1, 6, 7), (2, 7, 8)]),
    ],
)
def test_the_spans_of_the_best_path(path, expected):
    spans = greedy_spans(matrix_of(path, 3))
    assert [(span.token, span.start, span.end) for span in spans] == expected
    assert [span.log_probability for span in spans] == pytest.approx([np.log(0.9)] * len(spans))


def test_a_span_has_the_mean_of_its_frames():
    (span,) = greedy_spans(np.log([[0.1, 0.9], [0.4, 0.6], [0.8, 0.2]]))
    assert span == Span(1, 0, 2, pytest.approx((np.log(0.9) + np.log(0.6)) / 2))


def test_the_spans_spell_what_greedy_decoding_spells():
    generator = np.random.default_rng(1)
    for _ in range(20):
        matrix = random_matrix(generator, 50, 4)
        assert [span.token for span in greedy_spans(matrix)] == greedy(torch.from_numpy(matrix))


def test_an_alignment_is_the_best_of_all():
    generator = np.random.default_rng(2)
    for frames, count in product(range(1, 7), (2, 3, 4)):
        matrix = random_matrix(generator, frames, count)
        possible = {collapsed(path) for path in product(range(count), repeat=frames)}
        for tokens in sorted(possible)[:: 1 + len(possible) // 12]:
            path = path_of(align(matrix, tokens), frames)
            assert collapsed(path) == tokens
            assert score_of(matrix, path) == pytest.approx(best_score(matrix, tokens), abs=1e-5)


def tasks(seed: int, number: int):
    """Matrices with a text that fits into each: from none of the frames to spare to many, repeats among the tokens."""
    generator = np.random.default_rng(seed)
    for _ in range(number):
        frames, count = int(generator.integers(1, 80)), int(generator.integers(2, 7))
        tokens = generator.integers(1, count, generator.integers(1, frames + 1)).tolist()
        while frames_needed(tokens) > frames:
            tokens.pop()
        yield random_matrix(generator, frames, count), tokens


def test_an_alignment_is_as_good_as_that_of_torchaudio():
    for matrix, tokens in tasks(3, 100):
        theirs, _ = forced_align(torch.from_numpy(matrix)[None], torch.tensor([tokens]))
        spans = align(matrix, tokens)
        assert [span.token for span in spans] == tokens
        assert all(left.end <= right.start for left, right in pairwise(spans))
        ours = score_of(matrix, path_of(spans, len(matrix)))
        assert ours == pytest.approx(score_of(matrix, theirs[0].tolist()), abs=1e-4)


def test_checkpoints_change_nothing():
    for matrix, tokens in tasks(4, 50):
        plain = _best_states(matrix, np.array(tokens), len(matrix)).tolist()
        assert all(_best_states(matrix, np.array(tokens), block).tolist() == plain for block in (1, 2, 3, 10, 1000))


def test_where_only_one_path_is_left_it_is_taken():
    spans = align(matrix_of([2, 2, 2, 2, 2], 3), [1, 1, 2, 1])
    assert [(span.token, span.start, span.end) for span in spans] == [(1, 0, 1), (1, 2, 3), (2, 3, 4), (1, 4, 5)]


def test_probabilities_of_zero_do_no_harm():
    matrix = np.array([[0.0, -np.inf, -np.inf], [-np.inf, -np.inf, 0.0], [-np.inf, -np.inf, 0.0]])
    assert [(span.token, span.start, span.end) for span in align(matrix, [2])] == [(2, 1, 3)]
    assert [span.token for span in align(matrix, [1, 2])] == [1, 2]
    assert fit_score(matrix, align(matrix, [1])) == 0.0


def test_memory_stays_bounded():
    generator = np.random.default_rng(5)
    matrix, tokens = random_matrix(generator, 4000, 5), generator.integers(1, 5, 2000).tolist()
    tracemalloc.start()
    assert [span.token for span in align(matrix, tokens)] == tokens
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 10e6  # a score for each state at each frame would take 128 MB


def test_no_text_has_no_spans():
    assert align(matrix_of([0, 1, 0], 2), []) == []
    assert align(np.zeros((0, 3)), []) == []


@pytest.mark.parametrize(("tokens", "needed"), [([1, 2, 1, 2], 4), ([1, 1], 3), ([2] * 10, 19)])
def test_a_text_that_is_too_long_is_refused(tokens, needed):
    with pytest.raises(DataError, match=f"^text needs {needed} frames, the recording has 2$"):
        align(matrix_of([1, 2], 3), tokens)


CHARACTERS = ("<blank>", " ", "a", "b", "c")
EVEN = np.full((13, 6), np.log(0.5))
PIECES = ("<blank>", " a", "b", " ", "ca", " c")


def spans_of(*runs: tuple[int, int, int]) -> list[Span]:
    return [Span(*run, np.log(0.5)) for run in runs]


@pytest.mark.parametrize(
    ("spellings", "runs", "expected"),
    [
        (CHARACTERS, [], []),
        (CHARACTERS, [(1, 0, 1)], []),
        (CHARACTERS, [(2, 1, 2), (3, 4, 6), (1, 7, 8), (4, 9, 10)], [("ab", 0.1, 0.6), ("c", 0.9, 1.0)]),
        (CHARACTERS, [(1, 0, 1), (2, 1, 2), (1, 2, 3), (1, 4, 5), (3, 5, 6)], [("a", 0.1, 0.2), ("b", 0.5, 0.6)]),
        (CHARACTERS, [(2, 0, 1), (1, 1, 2)], [("a", 0.0, 0.1)]),
        (CHARACTERS, [(2, 0, 1), (1, 8, 9), (3, 9, 12)], [("a", 0.0, 0.1), ("b", 0.9, 1.05)]),
        (CHARACTERS, [(2, 0, 1), (1, 8, 9), (3, 11, 12)], [("a", 0.0, 0.1), ("b", 1.05, 1.05)]),
        (PIECES, [(1, 0, 1), (2, 2, 3), (5, 4, 5), (2, 5, 7)], [("ab", 0.0, 0.3), ("cb", 0.4, 0.7)]),
        (PIECES, [(1, 0, 1), (3, 2, 3), (4, 4, 5), (1, 5, 6)], [("a", 0.0, 0.1), ("ca", 0.4, 0.5), ("a", 0.5, 0.6)]),
        (PIECES, [(2, 3, 4), (4, 4, 5)], [("bca", 0.3, 0.5)]),
    ],
)
def test_words(spellings, runs, expected):
    found = words(EVEN, spans_of(*runs), spellings, frame_s=0.1, duration_s=1.05)
    assert [(word.text, word.start_s, word.end_s) for word in found] == [
        (text, pytest.approx(start_s), pytest.approx(end_s)) for text, start_s, end_s in expected
    ]


@pytest.mark.parametrize(
    ("spellings", "runs", "frames"),
    [
        (CHARACTERS, [(2, 0, 1)], [1]),
        (CHARACTERS, [(2, 1, 2), (3, 4, 6), (1, 7, 9), (4, 11, 12)], [8, 5]),  # both words have the space, 7 and 8
        (CHARACTERS, [(1, 0, 1), (1, 2, 3), (2, 5, 6), (1, 7, 8), (1, 9, 10)], [6]),  # of several the nearest
        (PIECES, [(1, 0, 1), (2, 2, 3), (5, 6, 7), (2, 8, 9)], [3, 3]),
        (PIECES, [(1, 0, 1), (3, 2, 3), (4, 4, 5), (1, 5, 6)], [3, 3, 1]),
    ],
)
def test_a_word_is_as_sure_as_its_frames_and_its_spaces(spellings, runs, frames):
    found = words(EVEN, spans_of(*runs), spellings, frame_s=0.1, duration_s=1.3)
    assert [word.confidence for word in found] == pytest.approx([0.5**count for count in frames])


def test_confidence_is_that_of_the_path_taken():
    matrix = np.log([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    (heard,) = words(matrix, greedy_spans(matrix), ("<blank>", "a", "b"), 0.04, 1.0)
    (given,) = words(matrix, align(matrix, [1, 2]), ("<blank>", "a", "b"), 0.04, 1.0)
    assert (heard.text, heard.confidence) == ("bb", pytest.approx(0.7 * 0.6 * 0.8))
    assert (given.text, given.confidence) == ("ab", pytest.approx(0.2 * 0.6 * 0.8))


def test_a_word_keeps_its_tokens():
    (word,) = words(EVEN, spans_of((1, 0, 1), (2, 2, 3), (3, 4, 5)), CHARACTERS, 0.04, 1.0)
    assert word == Word("ab", 0.08, 0.2, pytest.approx(0.5**5), tuple(spans_of((2, 2, 3), (3, 4, 5))))


def test_words_follow_each_other():
    generator = np.random.default_rng(6)
    for _ in range(20):
        matrix = random_matrix(generator, 60, 5)
        found = words(matrix, greedy_spans(matrix), CHARACTERS, 0.04, 2.39)
        times = [time_s for word in found for time_s in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= 2.39
        assert all(0 <= word.confidence <= 1 for word in found)


def test_what_the_model_hears_fits():
    matrix = matrix_of([0, 1, 0, 2, 2, 0], 3)
    assert fit_score(matrix, align(matrix, [1, 2])) == pytest.approx(1.0)
    silence = matrix_of([0, 0], 3)
    assert fit_score(silence, align(silence, [])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("tokens", "score"),
    [
        ([1], 18**-0.5),  # a blank where the model hears another token: one of the two tokens costs 0.9 / 0.05
        ([], 18**-1.0),
        ([1, 1], 18**-0.5),
        ([2, 1], 18**-1.0),
        ([1, 2, 1], 18 ** (-1 / 3)),
    ],
)
def test_what_other_texts_cost(tokens, score):
    matrix = matrix_of([0, 1, 0, 2, 0], 3)
    assert fit_score(matrix, align(matrix, tokens)) == pytest.approx(score)


def test_an_empty_matrix_fits_no_text():
    assert fit_score(np.zeros((0, 3)), []) == 1.0
