import pytest
import torch

from asr.augment import AugmentationConfig, coloured_noise, disturb, mask


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def test_nothing_asked_nothing_changed():
    waveforms, features = torch.randn(3, 1000), torch.randn(3, 50, 20)
    config = AugmentationConfig()
    assert torch.equal(disturb(waveforms, torch.full((3,), 1000), config, seeded()), waveforms)
    assert torch.equal(mask(features, torch.full((3,), 50), config, seeded()), features)


def test_noise_has_the_asked_level():
    waveforms = torch.sin(torch.arange(16000) * 0.1).repeat(8, 1)
    config = AugmentationConfig(noise_share=1.0, noise_snr_db=(10.0, 10.0))
    noise = disturb(waveforms, torch.full((8,), 16000), config, seeded()) - waveforms
    snr_db = 10 * torch.log10(waveforms.square().mean(1) / noise.square().mean(1))
    torch.testing.assert_close(snr_db, torch.full((8,), 10.0), atol=0.1, rtol=0)


def test_gain_stays_within_bounds_and_differs():
    waveforms = torch.ones(200, 10)
    gain_db = 20 * torch.log10(
        disturb(waveforms, torch.full((200,), 10), AugmentationConfig(gain_db=6.0), seeded())[:, 0]
    )
    assert gain_db.abs().max() <= 6.0
    assert gain_db.std() > 3.0


def test_noise_has_power_one_and_colours():
    noise = coloured_noise(torch.Size([64, 8000]), seeded())
    torch.testing.assert_close(noise.square().mean(1), torch.ones(64), atol=1e-3, rtol=0)
    spectrum = torch.fft.rfft(noise).abs().square()
    slope_db = 10 * torch.log10(spectrum[:, 100:400].mean(1) / spectrum[:, 2000:4000].mean(1))
    assert slope_db.min() < 3.0  # nearly white
    assert slope_db.max() > 15.0  # nearly brown


def test_masks_stay_within_the_utterance_and_their_size():
    lengths = torch.tensor([50, 20] * 50)
    features = torch.ones(100, 50, 20)
    config = AugmentationConfig(frequency_masks=1, frequency_mask_bins=4, time_masks=1, time_mask_share=0.2)
    kept = mask(features, lengths, config, seeded())
    bins = (kept[:, :20].amax(1) == 0).sum(1)
    frames = (kept.amax(2) == 0).sum(1)
    assert bins.max() == 4
    assert bins.min() == 0
    assert frames[0::2].max() == 10
    assert frames[1::2].max() == 4
    assert not (kept[1::2, 20:].amax(2) == 0).any()


@pytest.mark.parametrize("function", [disturb, mask])
def test_the_generator_decides(function):
    config = AugmentationConfig(gain_db=6.0, noise_share=0.5, frequency_masks=2, time_masks=2)
    batch = torch.randn(4, 100) if function is disturb else torch.randn(4, 100, 20)
    lengths = torch.full((4,), 100)
    first, again, other = (function(batch, lengths, config, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
