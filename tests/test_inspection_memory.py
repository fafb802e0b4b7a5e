"""Memory is measured on networks whose memory is known."""

import math

import pytest
import torch
from torch import nn

from asr.inspection.memory import influence, memory, reach

FADING = 0.9


def fading(features, lengths):
    """What came before, ever weaker: the output at t is the sum of 0.9 ** d times the features at t - d."""
    kernel = FADING ** torch.arange(features.shape[1])
    positions = torch.arange(features.shape[1])
    weights = torch.where(positions[:, None] >= positions, kernel[(positions[:, None] - positions).clamp(min=0)], 0)
    return weights @ features, lengths


def every_other(features, lengths):
    """Two feature frames to an output frame, of which only the first is heard, and the one 6 after it."""
    later = nn.functional.pad(features, (0, 0, 0, 6))[:, 6:]
    return (features + 3 * later)[:, ::2], lengths


@pytest.mark.parametrize(
    ("norms", "share", "frames"),
    [([4, 3, 2, 1], 0.4, 0), ([4, 3, 2, 1], 0.41, 1), ([4, 3, 2, 1], 0.99, 3), ([0, 0], 0.5, 0)],
)
def test_reach(norms, share, frames):
    assert reach(torch.tensor(norms, dtype=torch.float32), share) == frames


def test_a_memory_that_fades():
    found = memory(fading, torch.randn(600, 3), 1, hop_s=0.01)
    expected = [math.ceil(math.log(1 - share) / math.log(FADING)) - 1 for share in found.shares]
    assert [round(distance_s / 0.01) for distance_s in found.before_s] == expected == [6, 21, 43]
    assert found.after_s == (0, 0, 0)
    assert found.moments == 12
    assert found.seen_s == pytest.approx(2.0)


def test_a_memory_of_what_is_to_come_with_subsampling():
    found = memory(every_other, torch.randn(90, 2), 2, hop_s=0.01)
    assert found.before_s == (0, 0, 0)
    assert found.after_s == pytest.approx((0.06, 0.06, 0.06))


def test_each_moment_by_itself_or_several_in_one_pass():
    features = torch.randn(40, 3)
    together = influence(fading, features, range(10, 20))
    assert together.shape == (10, 40)
    ratios = together[0, :10].flip(0) / together[0, 10]
    assert torch.allclose(ratios, FADING ** torch.arange(1, 11))
    assert not together[0, 11:].any()


def test_a_recording_of_one_frame():
    assert memory(fading, torch.randn(1, 3), 1, 0.01).before_s == (0, 0, 0)
