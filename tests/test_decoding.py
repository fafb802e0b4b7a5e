import pytest
import torch

from asr.decoding import greedy


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([], []),
        ([0, 0], []),
        ([1, 1, 1], [1]),
        ([1, 0, 1], [1, 1]),
        ([0, 2, 2, 1, 0, 0, 1, 2], [2, 1, 1, 2]),
    ],
)
def test_best_path(path, expected):
    matrix = torch.full((len(path), 3), -5.0)
    for frame, token in enumerate(path):
        matrix[frame, token] = -0.1
    assert greedy(matrix) == expected
