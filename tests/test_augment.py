from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from conftest import tone
from test_noise import decibel, three_octaves_db

from asr.augment import Augmentation, AugmentationConfig, chances
from asr.config import build
from asr.errors import ConfigError

RATE = 16000
EVERYTHING = AugmentationConfig(
    tempo=0.2,
    warp=0.1,
    gain_db=6.0,
    noise_share=0.6,
    noise_snr_db=(5.0, 20.0),
    reverberation_share=0.6,
    frequency_masks=2,
    time_masks=5,
    time_masks_per_s=4.0,
)


@pytest.fixture(scope="module")
def everything():
    return Augmentation(EVERYTHING, RATE)


def speech(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Utterances of those lengths with power of their own, zeros beyond."""
    waveforms = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        waveforms[row, :length] = (row + 1) / 10 * torch.randn(length, generator=torch.Generator().manual_seed(length))
    return waveforms, torch.tensor(lengths)


def drawn(count: int, *arguments) -> torch.Tensor:
    return torch.stack(list(islice(chances(*arguments), count)))


def test_numbers_belong_to_the_utterance():
    together = drawn(200, 1, 2, [7, 3, 11])
    assert together.shape == (200, 3)
    assert together.dtype == torch.float32
    assert (together.min(), together.max()) >= (0, 0)
    assert together.max() < 1
    assert torch.equal(together[:, [2, 0]], drawn(200, 1, 2, [11, 7]))
    assert together.unique().numel() > 590
    for other in ((2, 2, [7]), (1, 3, [7]), (1, 2, [8]), (-1, 2, [7])):
        assert not torch.equal(together[:, :1], drawn(200, *other))


def test_numbers_are_uniform():
    numbers = drawn(100, 0, 0, range(100)).flatten()
    torch.testing.assert_close(numbers.mean(), torch.tensor(1 / 2), atol=0.01, rtol=0)
    torch.testing.assert_close(numbers.var(), torch.tensor(1 / 12), atol=0.01, rtol=0)


def test_nothing_asked_nothing_done():
    waveforms, lengths = speech(1000, 800)
    augmentation = Augmentation(AugmentationConfig(speeds=(0.9, 1.1)), RATE)
    chance = chances(0, 0, [0, 1])
    same, same_lengths = augmentation.waveforms(waveforms, lengths, [1.0, 1.0], chance)
    assert same is waveforms
    assert same_lengths is lengths
    features = torch.randn(2, 50, 20)
    frames, frame_lengths = augmentation.voices(features, lengths, chance)
    assert frames is features
    assert frame_lengths is lengths
    assert augmentation.features(features, lengths, chance, 100.0) is features
    assert torch.equal(next(chance), next(chances(0, 0, [0, 1])))


def test_banks_are_not_saved(everything):
    assert everything.state_dict() == {}
    assert everything.double().rooms.dtype == torch.float64  # so `to` finds them
    everything.float()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1], [2]])
def test_an_utterance_has_the_same_fate_in_any_batch(everything, order):
    waveforms, lengths = speech(16000, 12001, 20000, 3000)
    speeds = [1.1, 1.0, 0.9, 1.1]
    frames = torch.tensor([100, 75, 125, 19])
    features = torch.randn(4, 125, 20, generator=torch.Generator().manual_seed(0))

    def run(rows: list[int], longest: int) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        chance = chances(5, 1, [10 * row for row in rows])
        heard, samples = everything.waveforms(
            waveforms[rows, :longest], lengths[rows], [speeds[row] for row in rows], chance
        )
        said, counts = everything.voices(features[rows, : frames[rows].max()], frames[rows], chance)
        seen = everything.features(said, counts, chance, 100.0)
        for padded, ends in ((heard, samples), (seen, counts)):
            assert all(not row[length:].any() for row, length in zip(padded, ends, strict=True))
        both = zip(heard, samples, seen, counts, strict=True)
        return [(row[:length], length, image[:count]) for row, length, image, count in both]

    whole = run([0, 1, 2, 3], 20000)
    for row, part in zip(order, run(order, max(lengths[order])), strict=True):
        torch.testing.assert_close(part, whole[row], atol=1e-5, rtol=0)
    changed = [
        row for row in range(4) if whole[row][1] != lengths[row] or not torch.equal(whole[row][0], waveforms[row])
    ]
    assert changed == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("speed", "length", "new_length"),
    [
        (1.1, 16000, 14546),
        (0.9, 16000, 17778),
        (1.25, 16000, 12800),
        (1.1, 11, 10),
        (1.1, 1, 1),
        (1.001, 200199, 200000),
    ],
)
def test_speed_changes_the_length(speed, length, new_length):
    waveforms, lengths = speech(length, 20000)
    heard, samples = Augmentation(AugmentationConfig(), RATE).waveforms(waveforms, lengths, [speed, 1.0], iter(()))
    assert samples.tolist() == [new_length, 20000]
    assert not heard[0, new_length:].any()
    assert torch.equal(heard[1, :20000], waveforms[1, :20000])


@pytest.mark.parametrize("speed", [0.9, 1.1, 1.5])
def test_speed_changes_the_pitch_and_not_the_level(speed):
    waveforms = torch.from_numpy(tone(1000, 1.0))[None]
    lengths = torch.tensor([RATE])
    (heard,), (length,) = Augmentation(AugmentationConfig(), RATE).waveforms(waveforms, lengths, [speed], iter(()))
    middle = heard[length // 2 - 4000 : length // 2 + 4000]
    peak_hz = torch.fft.rfft(middle * torch.hann_window(8000)).abs().argmax() * RATE / 8000
    assert abs(peak_hz - 1000 * speed) <= 2
    assert abs(decibel(middle.square().mean() / waveforms.square().mean())) < 0.05


def test_a_room_is_a_convolution_that_keeps_length_and_power():
    waveforms, lengths = speech(6000, 4000)
    augmentation = Augmentation(AugmentationConfig(reverberation_share=1.0), RATE)
    _, place = drawn(2, 0, 0, [0, 1])
    heard, samples = augmentation.waveforms(waveforms, lengths, [1.0, 1.0], chances(0, 0, [0, 1]))
    assert samples is lengths
    for row, length in enumerate(lengths):
        room = augmentation.rooms[int(place[row] * 32)]
        wet = np.convolve(waveforms[row, :length].double(), room.double())[:length]
        wet *= float(waveforms[row].norm()) / np.linalg.norm(wet)
        np.testing.assert_allclose(heard[row, :length], wet, atol=1e-5)


def test_noise_has_the_level_and_the_share_asked_for():
    waveforms, lengths = speech(*[16000] * 40)
    augmentation = Augmentation(AugmentationConfig(noise_share=0.5, noise_snr_db=(10.0, 20.0)), RATE)
    heard, _ = augmentation.waveforms(waveforms, lengths, [1.0] * 40, chances(0, 0, range(40)))
    noise = (heard - waveforms).square().mean(1)
    chosen, _, _, ratio = drawn(4, 0, 0, range(40))
    assert torch.equal(noise > 0, chosen < 0.5)
    snr_db = decibel(waveforms.square().mean(1) / noise)[noise > 0]
    torch.testing.assert_close(snr_db, 10 + 10 * ratio[chosen < 0.5], atol=1e-3, rtol=0)


def test_each_utterance_has_its_own_colour():
    waveforms, lengths = torch.ones(40, 16000), torch.full((40,), 16000)
    augmentation = Augmentation(AugmentationConfig(noise_share=1.0), RATE)
    heard, _ = augmentation.waveforms(waveforms, lengths, [1.0] * 40, chances(0, 0, range(40)))
    _, colour, *_ = drawn(4, 0, 0, range(40))
    found_db = three_octaves_db(heard - waveforms)
    torch.testing.assert_close(found_db, 4.515 * (colour * 5).floor(), atol=2.0, rtol=0)


def test_recordings_take_the_place_of_made_noise():
    recordings = [np.full(30, 0.5, np.float32), np.full(20, -0.1, np.float32)]
    augmentation = Augmentation(AugmentationConfig(noise_share=1.0, noise_snr_db=(0.0, 0.0)), RATE, recordings)
    assert augmentation.noise.tolist() == [[1.0] * 30 + [-1.0] * 20]
    waveforms, lengths = torch.full((20, 120), 2.0), torch.full((20,), 120)
    heard, _ = augmentation.waveforms(waveforms, lengths, [1.0] * 20, chances(0, 0, range(20)))
    noise = (heard - waveforms) / 2
    ring = augmentation.noise.repeat(1, 4)[0]
    starts = {next(start for start in range(50) if torch.allclose(row, ring[start : start + 120])) for row in noise}
    assert len(starts) > 10


def test_a_quiet_stretch_of_a_recording_is_not_blown_up():
    recording = np.concatenate([np.ones(10000), np.full(30000, 1e-4)]).astype(np.float32)
    augmentation = Augmentation(AugmentationConfig(noise_share=1.0, noise_snr_db=(0.0, 0.0)), RATE, [recording])
    waveforms, lengths = torch.ones(50, 1000), torch.full((50,), 1000)
    heard, _ = augmentation.waveforms(waveforms, lengths, [1.0] * 50, chances(0, 0, range(50)))
    level = (heard - waveforms).square().mean(1).sqrt()
    assert abs(level.max() - 1) < 1e-5
    assert level.min() < 0.01


def test_gain_stays_within_its_bounds():
    waveforms, lengths = torch.ones(400, 10), torch.full((400,), 10)
    augmentation = Augmentation(AugmentationConfig(gain_db=6.0), RATE)
    heard, _ = augmentation.waveforms(waveforms, lengths, [1.0] * 400, chances(0, 0, range(400)))
    gain_db = 2 * decibel(heard[:, 0])
    assert -6 <= gain_db.min() < -5.8
    assert 5.8 < gain_db.max() <= 6


def test_each_utterance_has_its_own_tempo_and_warp_within_their_bounds():
    frames, lengths = torch.arange(21.0).expand(400, 101, 21), torch.full((400,), 101)
    augmentation = Augmentation(AugmentationConfig(tempo=0.2, warp=0.1), RATE)
    said, counts = augmentation.voices(frames, lengths, chances(0, 0, range(400)))
    assert set(counts.tolist()) == set(range(81, 122))
    factors = said[:, 0, 10] / 10  # what the middle bin got
    assert 0.9 <= factors.min() < 0.902
    assert 1.098 < factors.max() <= 1.1
    assert abs(torch.corrcoef(torch.stack([counts, factors]))[0, 1]) < 0.15


def test_masks_and_noise_are_drawn_as_before_there_were_voices():
    """The numbers of one kind alone move on by one."""
    frames, lengths = torch.randn(3, 50, 20), torch.tensor([50, 40, 30])
    for config, count in (({"tempo": 0.1}, 1), ({"warp": 0.1}, 1), ({"tempo": 0.1, "warp": 0.1}, 2)):
        chance = chances(0, 0, range(3))
        Augmentation(AugmentationConfig(**config), RATE).voices(frames, lengths, chance)
        assert torch.equal(next(chance), drawn(count + 1, 0, 0, range(3))[count])


def test_slowly_every_utterance_lasts_as_long_as_any_may():
    frames, lengths = torch.randn(3, 50, 20), torch.tensor([50, 40, 30])
    augmentation = Augmentation(AugmentationConfig(tempo=0.1), RATE)
    with pytest.raises(ZeroDivisionError), augmentation.slowly():
        assert augmentation.voices(frames, lengths, chances(0, 0, range(3)))[1].tolist() == [55, 44, 33]
        1 / 0  # noqa: B018
    assert augmentation.voices(frames, lengths, chances(0, 0, range(3)))[1].tolist() != [55, 44, 33]


def masked(config: AugmentationConfig, *lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T) and (B, F): True where a frame or a bin is masked, at 100 frames a second."""
    features, frames = torch.ones(len(lengths), max(lengths), 20), torch.tensor(lengths)
    seen = Augmentation(config, RATE).features(features, frames, chances(0, 0, range(len(lengths))), 100.0)
    return (seen == 0).all(2), (seen == 0).all(1)


def test_masks_stay_within_the_utterance_and_their_size():
    config = AugmentationConfig(frequency_masks=1, frequency_mask_bins=4, time_masks=1, time_mask_share=0.2)
    times, bins = masked(config, *[50, 20] * 200)
    assert set(bins.sum(1).tolist()) == {0, 1, 2, 3, 4}
    assert set(times[0::2].sum(1).tolist()) == set(range(11))
    assert set(times[1::2].sum(1).tolist()) == set(range(5))
    assert not times[1::2, 20:].any()
    assert times[0::2].any(0).all()
    assert bins.any(0).all()
    for lines in (times, bins):
        assert (lines.int().diff(prepend=torch.zeros(400, 1), dim=1) == 1).sum(1).max() == 1  # each in one piece


@pytest.mark.parametrize(
    ("per_s", "counts"),
    [(0.0, [8, 8, 8, 8]), (2.0, [1, 2, 3, 8]), (0.5, [1, 1, 1, 5])],
    ids=["always all", "two a second", "one in two seconds"],
)
def test_the_number_of_time_masks_follows_the_length(per_s, counts):
    lengths = [20, 100, 101, 1000]  # frames
    config = AugmentationConfig(time_masks=8, time_mask_share=0.05, time_masks_per_s=per_s)
    times, _ = masked(config, *lengths * 100)
    starts = (times.int().diff(prepend=torch.zeros(400, 1), dim=1) == 1).sum(1).view(100, 4)
    most = starts.amax(0).tolist()
    assert most[2:] == counts[2:]
    assert all(1 <= found <= count for found, count in zip(most, counts, strict=True))  # short ones: masks that touch


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("noise_snr_db", [40.0, 5.0], r"recipe: noise_snr_db = \[40\.0, 5\.0\]: the lower limit has to come first"),
        ("reverberation_s", [0.6, 0.1], r"reverberation_s = \[0\.6, 0\.1\]: the lower limit has to come first"),
        ("reverberation_s", [0.0, 0.1], r"reverberation_s\.0 = 0\.0: input should be greater than or equal to 0\.02"),
        ("reverberation_share", 1.5, r"reverberation_share = 1\.5"),
        ("time_masks_per_s", -1, r"time_masks_per_s = -1"),
        ("tempo", 0.6, r"recipe: tempo = 0\.6: input should be less than or equal to 0\.5"),
        ("warp", -0.1, r"recipe: warp = -0\.1: input should be greater than or equal to 0"),
    ],
)
def test_settings_that_are_wrong(key, value, message):
    with pytest.raises(ConfigError, match=message):
        build(AugmentationConfig, {key: value}, "recipe")


def test_settings_at_their_limits():
    table = {"noise_snr_db": [5, 5], "reverberation_s": [0.3, 0.3], "speeds": [1.1]}
    config = AugmentationConfig(speeds=(1.1,), noise_snr_db=(5.0, 5.0), reverberation_s=(0.3, 0.3))
    assert build(AugmentationConfig, table, "recipe") == config
    assert Augmentation(replace(config, reverberation_share=1.0), RATE).rooms.shape == (32, 4801)
