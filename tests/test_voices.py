import pytest
import torch
from conftest import tone

from asr.features import FeatureConfig, LogMel
from asr.voices import at_tempos, warped


def ramp(frames: int, bins: int = 2) -> torch.Tensor:
    """(frames, bins): each frame holds its own number, each further bin a hundred more."""
    return torch.arange(frames)[:, None] + 100.0 * torch.arange(bins)


@pytest.mark.parametrize(
    ("frames", "duration", "expected"),
    [
        (4, 1.75, [0, 0.5, 1, 1.5, 2, 2.5, 3]),
        (7, 4 / 7, [0, 2, 4, 6]),
        (5, 1.0, [0, 1, 2, 3, 4]),
        (4, 0.5, [0, 3]),
        (3, 0.4, [0]),
        (1, 0.5, [0]),
        (1, 1.5, [0, 0]),
    ],
)
def test_a_tempo_by_hand(frames, duration, expected):
    stretched, lengths = at_tempos(ramp(frames)[None], torch.tensor([frames]), torch.tensor([duration]))
    assert lengths.tolist() == [len(expected)]
    wanted = torch.tensor(expected, dtype=torch.float32)
    torch.testing.assert_close(stretched[0], torch.stack([wanted, wanted + 100], dim=1))


def test_a_batch_at_its_tempos_equals_its_parts_whatever_lies_beyond():
    lengths, durations = torch.tensor([40, 7, 1, 33]), torch.tensor([0.8, 1.2, 1.1, 1.0])
    frames = torch.randn(4, 40, 5, generator=torch.Generator().manual_seed(0))
    together, counts = at_tempos(frames, lengths, durations)
    assert counts.tolist() == [32, 8, 1, 33]
    assert together.shape == (4, 33, 5)
    assert torch.equal(together[3], frames[3, :33])
    for row, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        alone, _ = at_tempos(frames[row : row + 1, :length], length[None], durations[row : row + 1])
        assert torch.equal(together[row, :count], alone[0])
        assert not together[row, count:].any()


def test_long_utterances_end_where_they_ended():
    frames, length = torch.zeros(1, 30_000, 1), 29_989
    frames[0, length - 1] = 1.0
    frames[0, length:] = 1000.0
    for duration in torch.linspace(0.8, 1.2, 41):
        stretched, (count,) = at_tempos(frames, torch.tensor([length]), duration[None])
        assert stretched[0, count - 1] == pytest.approx(1.0, abs=0.01)
        assert stretched.max() <= 1.0


def test_a_warp_by_hand():
    """11 bins, so the edge is at 10. 1.25: up to 6.4 stretched to 8, the rest to 10. 0.8: up to 8 squeezed to 6.4."""
    bins = torch.arange(11.0).expand(3, 4, 11)
    longer, shorter, same = warped(bins, torch.tensor([1.25, 0.8, 1.0]))
    rest = [8 + (place - 6.4) * 2 / 3.6 for place in (7, 8, 9)]
    torch.testing.assert_close(longer, torch.tensor([*(1.25 * j for j in range(7)), *rest, 10]).expand(4, 11))
    torch.testing.assert_close(shorter, torch.tensor([*(0.8 * j for j in range(9)), 8.2, 10]).expand(4, 11))
    torch.testing.assert_close(same, bins[0])


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 1.5])
def test_a_warp_keeps_the_order_and_the_edges_of_the_band(factor):
    bins = torch.arange(80.0).expand(1, 1, 80)
    warp = warped(bins, torch.tensor([factor]))[0, 0]
    assert (warp.diff() > 0).all()
    assert (warp[0], warp[-1]) == (0, 79)


def test_of_a_tone_the_tempo_moves_no_bin_and_the_warp_moves_it_down_for_a_long_tract():
    features = LogMel(FeatureConfig())
    waveform = torch.from_numpy(tone(1500, 1.0))[None]
    frames, lengths = features.log_mel(waveform, torch.tensor([16000]))
    (loudest,) = frames[:, 50].argmax(1).tolist()
    slow, (count,) = at_tempos(frames, lengths, torch.tensor([1.2]))
    assert count == 121
    assert (slow[0, 5:-5].argmax(1) == loudest).all()
    for factor in (0.9, 1.1):
        (moved,) = warped(frames, torch.tensor([factor]))[:, 50].argmax(1).tolist()
        assert moved == pytest.approx(loudest / factor, abs=1)
        assert moved != loudest
