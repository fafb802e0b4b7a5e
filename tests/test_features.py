import pytest
import torch
from conftest import tone

from asr.features import LEAST_VARIANCE, LOG_FLOOR, FeatureConfig, LogMel, frame_count, length_mask


@pytest.mark.parametrize("normalisation", ["utterance", "level"])
@pytest.mark.parametrize("sample_rate_hz", [8000, 16000])
def test_a_batch_equals_its_parts(normalisation, sample_rate_hz):
    features = LogMel(FeatureConfig(sample_rate_hz, mel_bins=40, normalisation=normalisation))
    torch.manual_seed(0)
    lengths = torch.tensor([16000, 5003, 1, 800])
    waveforms = torch.randn(4, 16000) * 0.1  # what lies beyond a length is noise, and must not matter
    together, frames = features(waveforms, lengths)
    for row, samples in enumerate(lengths.tolist()):
        alone, (count,) = features(waveforms[row : row + 1, :samples], torch.tensor([samples]))
        assert count == frames[row] == frame_count(samples, features.config)
        torch.testing.assert_close(together[row, :count], alone[0], atol=1e-5, rtol=0)
        assert not together[row, count:].any()


@pytest.mark.parametrize("normalisation", ["utterance", "level"])
@pytest.mark.parametrize("config", [(16000, 40, 25.0, 10.0), (8000, 20, 40.0, 20.0), (16000, 20, 64.0, 5.0)])
def test_a_recording_in_pieces_has_the_features_of_the_whole(config, normalisation, monkeypatch):
    features = LogMel(FeatureConfig(*config, normalisation=normalisation))
    torch.manual_seed(0)
    waveform = torch.randn(16000) * torch.linspace(0.01, 0.1, 16000)
    for samples in (1, 399, 15999, 16000):
        expected, _ = features(waveform[None, :samples], torch.tensor([samples]))
        for step, block in ((7, 1000), (10, 333), (50, 16000), (1000, 1)):
            monkeypatch.setattr("asr.features.STEP_FRAMES", step)
            found = [frames for frames, _ in features.of_recording(waveform[:samples].split(block))]
            assert max(map(len, found)) <= step
            torch.testing.assert_close(torch.cat(found), expected[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("normalisation", ["utterance", "level"])
def test_a_long_recording_is_normalised_by_what_is_around(normalisation, monkeypatch):
    monkeypatch.setattr("asr.features.NORMALISED_S", 1.0)
    monkeypatch.setattr("asr.features.STEP_FRAMES", 10)
    features = LogMel(FeatureConfig(16000, 20, normalisation=normalisation))
    torch.manual_seed(0)
    waveform = torch.randn(48000) * torch.linspace(0.001, 0.2, 48000)
    steps = [frames for frames, _ in features.of_recording(waveform.split(5000))]
    assert [len(frames) for frames in steps] == [10] * 30 + [1]
    energies = features.mel(waveform).T
    for number, frames in enumerate(steps):
        begin = min(max(0, number - 5 + 1), 31 - 10)  # ten steps, in which this one is the fifth where it can be
        around = slice(begin * 1600, (begin + 10) * 1600)
        near = energies[begin * 10 : (begin + 10) * 10]
        if normalisation == "level":
            power = waveform[around].square().mean()
            expected = (energies * (0.01 / power) + LOG_FLOOR).log()
        else:
            logs = (near + LOG_FLOOR).log()
            deviation = (logs.var(0, unbiased=False) + LEAST_VARIANCE).sqrt()
            expected = ((energies + LOG_FLOOR).log() - logs.mean(0)) / deviation
        torch.testing.assert_close(frames, expected[number * 10 : number * 10 + len(frames)], atol=1e-3, rtol=0)


def test_steps_without_sound_are_told(monkeypatch):
    monkeypatch.setattr("asr.features.STEP_FRAMES", 10)
    waveform = torch.zeros(16000)
    waveform[:3200] = 2 / 32768  # the noise of rounding
    waveform[8000] = 0.01
    steps = LogMel(FeatureConfig(16000, 20)).of_recording([waveform])
    assert [loud for _, loud in steps] == [False] * 5 + [True] + [False] * 5


def test_a_tone_lies_in_its_mel_bin():
    features = LogMel(FeatureConfig(mel_bins=40))
    waveforms = torch.stack([torch.from_numpy(tone(hertz, 0.5)) for hertz in (300.0, 1000.0, 4000.0)])
    frames, _ = features.log_mel(waveforms, torch.full((3,), 8000))
    loudest = frames[:, 25].argmax(1)
    mel = torch.tensor([2595 * torch.log10(torch.tensor(1 + hertz / 700)) for hertz in (300.0, 1000.0, 4000.0)])
    low, high = 2595 * torch.log10(torch.tensor([1 + 20 / 700, 1 + 8000 / 700]))
    expected = (mel - low) / (high - low) * 41 - 1  # centre of bin k is at (k + 1) / 41 of the mel range
    assert (loudest - expected).abs().max() <= 1


@pytest.mark.parametrize("normalisation", ["utterance", "level"])
def test_normalisation_ignores_how_loud_a_recording_is(normalisation):
    features = LogMel(FeatureConfig(normalisation=normalisation))
    torch.manual_seed(0)
    waveform = torch.randn(1, 16000) * 0.1
    loud, _ = features(waveform, torch.tensor([16000]))
    quiet, _ = features(waveform * 0.5, torch.tensor([16000]))
    torch.testing.assert_close(loud, quiet, atol=2e-2, rtol=0)  # the floor under the logarithm
    assert normalisation == "level" or loud.mean(1).abs().max() < 1e-4


def test_normalisation_by_level_is_fitted():
    features = LogMel(FeatureConfig(mel_bins=20, normalisation="level"))
    torch.manual_seed(0)
    frames, _ = features.log_mel(torch.randn(3, 16000) * 0.1, torch.full((3,), 16000))
    features.fit(frames.flatten(0, 1))
    normalised = (frames - features.mean) / features.deviation
    assert normalised.mean((0, 1)).abs().max() < 1e-3
    torch.testing.assert_close(normalised.std((0, 1)), torch.ones(20), atol=0.02, rtol=0)
    assert {"mean", "deviation"} <= features.state_dict().keys()


def test_silence_is_finite():
    features = LogMel(FeatureConfig())
    frames, _ = features(torch.zeros(1, 16000), torch.tensor([16000]))
    assert torch.isfinite(frames).all()


def test_no_mel_filter_is_empty():
    for rate, bins in ((8000, 40), (16000, 80)):
        assert LogMel(FeatureConfig(rate, bins)).mel.mel_scale.fb.sum(0).min() > 0


def test_length_mask():
    assert length_mask(torch.tensor([2, 0, 3]), 3).tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
