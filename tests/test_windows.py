from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from asr.features import FeatureConfig, LogMel
from asr.windows import ahead, batched, measure, windows


@pytest.fixture(scope="module", params=["utterance", "level"])
def features(request):
    return LogMel(FeatureConfig(16000, mel_bins=20, normalisation=request.param))


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return (rng.standard_normal(80000) * np.linspace(0.01, 0.2, 80000)).astype(np.float32)


class Opened:
    """A recording in blocks that counts how often it was opened."""

    def __init__(self, waveform, block):
        self.waveform, self.block, self.times = waveform, block, 0

    def __call__(self):
        self.times += 1
        return (self.waveform[start : start + self.block] for start in range(0, len(self.waveform), self.block))


@pytest.mark.parametrize(("kept_s", "times"), [(900.0, 1), (1.0, 2)])
@pytest.mark.parametrize("block", [80000, 7000])
def test_windows_are_stretches_of_the_features_of_the_whole(features, noise, block, kept_s, times, monkeypatch):
    monkeypatch.setattr("asr.windows.KEPT_S", kept_s)
    monkeypatch.setattr("asr.features.PIECE_FRAMES", 40)
    expected = features(torch.from_numpy(noise)[None], torch.tensor([len(noise)]))[0][0]
    opened = Opened(noise, block)
    sound = measure(opened, features)
    assert sound.duration_s == 5.0
    assert not sound.silent
    found = list(windows(sound, features, subsampling=4, chunk=30, context=7))
    assert opened.times == times
    assert [window.index for window in found] == [0, 1, 2, 3]
    assert [window.last for window in found] == [False, False, False, True]
    frame = 0
    for window in found:
        begin = 4 * (frame - window.counting.start)
        torch.testing.assert_close(window.features, expected[begin : begin + len(window.features)], atol=1e-3, rtol=0)
        frame += window.counting.stop - window.counting.start
    assert frame == -(-len(expected) // 4)
    assert [window.counting.start for window in found] == [0, 7, 7, 7]


def test_what_is_not_long_is_one_window(features, noise):
    (window,) = windows(measure(Opened(noise, 9000), features), features, 2, chunk=241, context=10)
    assert (len(window.features), window.counting, window.last) == (501, slice(0, 251), True)


@pytest.mark.parametrize(("peak", "silent"), [(0.0, True), (2 / 32768, True), (0.001, False)])
def test_the_noise_of_rounding_is_silence(features, peak, silent):
    assert measure(Opened(np.full(1000, peak, np.float32), 1000), features).silent == silent


@pytest.mark.parametrize("sizes", [[5] * 40, [1, 9, 3, 7, 5, 2, 8] * 9, [30], []])
def test_batches_hold_every_item_once_and_no_more_than_fits(sizes):
    items = list(enumerate(sizes))
    batches = list(batched(items, lambda item: item[1], 20))
    assert sorted(item for batch in batches for item in batch) == items
    assert all(len(batch) == 1 or len(batch) * max(size for _, size in batch) <= 20 for batch in batches)


def test_batches_are_of_like_size_and_the_first_does_not_wait():
    taken = []

    def items():
        for size in [1, 10] * 400:
            taken.append(size)
            yield size

    batches = batched(items(), lambda size: size, 20)
    next(batches)
    assert len(taken) <= 5
    mixed = [batch for batch in batches if len(set(batch)) > 1]
    assert len(mixed) < 20
    assert max(map(len, batched([1] * 100, lambda size: size, 20))) == 20


def test_ahead_keeps_the_order_and_looks_no_further_than_its_depth():
    begun = []

    def twice(number):
        begun.append(number)
        return 2 * number

    with ThreadPoolExecutor(3) as executor:
        results = ahead(twice, iter(range(100)), executor, depth=4)
        assert next(results) == 0
        assert max(begun) <= 4
        assert [*results] == [2 * number for number in range(1, 100)]
