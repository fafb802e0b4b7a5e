from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import sleep

import numpy as np
import pytest
import torch

from asr.errors import AudioError
from asr.features import FeatureConfig, LogMel
from asr.windows import ahead, batched, windows


@pytest.fixture(scope="module", params=["utterance", "level"])
def features(request):
    return LogMel(FeatureConfig(16000, mel_bins=20, normalisation=request.param))


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(0)
    return (rng.standard_normal(80000) * np.linspace(0.01, 0.2, 80000)).astype(np.float32)


def blocks_of(waveform, samples):
    return [waveform[start : start + samples] for start in range(0, len(waveform), samples)]


@pytest.mark.parametrize("block", [80000, 7000])
@pytest.mark.parametrize("step", [100, 7])
def test_windows_are_stretches_of_the_features_of_the_whole(features, noise, block, step, monkeypatch):
    monkeypatch.setattr("asr.features.STEP_FRAMES", step)
    expected = features(torch.from_numpy(noise)[None], torch.tensor([len(noise)]))[0][0]
    found = list(windows(blocks_of(noise, block), features, subsampling=4, chunk=30, context=7))
    assert [window.index for window in found] == [0, 1, 2, 3]
    assert [window.last for window in found] == [False, False, False, True]
    assert found[-1].read_s == 5.0
    frame = 0
    for window in found:
        begin = 4 * (frame - window.counting.start)
        torch.testing.assert_close(window.features, expected[begin : begin + len(window.features)], atol=1e-3, rtol=0)
        frame += window.counting.stop - window.counting.start
    assert frame == -(-len(expected) // 4)
    assert [window.counting.start for window in found] == [0, 7, 7, 7]


def test_what_is_not_long_is_one_window(features, noise):
    (window,) = windows(blocks_of(noise, 9000), features, 2, chunk=241, context=10)
    assert (len(window.features), window.counting, window.last) == (501, slice(0, 251), True)


def test_windows_in_which_there_is_nothing_to_hear(features, monkeypatch):
    monkeypatch.setattr("asr.features.STEP_FRAMES", 10)
    waveform = np.zeros(16000 * 4, np.float32)
    waveform[20900] = 0.1
    found = windows([waveform], features, subsampling=1, chunk=50, context=0)
    assert [window.index for window in found if window.loud] == [2]


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
    padded = sum(len(batch) * max(batch) for batch in batches)
    assert padded < 1.15 * sum([1, 10] * 400)  # one after the other they would come to 1.8 times as much
    assert max(map(len, batched([1] * 100, lambda size: size, 20))) == 20


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def test_no_item_waits_for_ever():
    items = list(enumerate([4, *[5] * 400]))
    place = {item: number for number, batch in enumerate(batched(items, lambda item: item[1], 5)) for item in batch}
    assert place[0, 4] <= 2
    assert max(abs(place[item] - item[0]) for item in items) <= 16


def test_ahead_keeps_the_order_and_looks_no_further_than_it_may(executor):
    begun = []

    def three(number):
        begun.append(number)
        yield from (number, number, number)

    found = ahead(three, iter(range(50)), executor, depth=4, room=1)
    assert list(next(found)) == [0, 0, 0]
    sleep(0.05)
    assert max(begun) <= 5
    assert [list(each) for each in found] == [[number] * 3 for number in range(1, 50)]


def test_ahead_passes_on_what_goes_wrong_and_goes_on(executor):
    def work(number):
        yield number
        if number == 1:
            raise AudioError("one")

    found, troubles = [], []
    for each in ahead(work, [0, 1, 2], executor, depth=1, room=5):
        try:
            found += each
        except AudioError as error:
            troubles.append(str(error))
    assert (found, troubles) == ([0, 1, 2], ["one"])


def test_nothing_goes_on_when_nobody_takes_any_more(executor):
    taken = []

    def endless(_):
        for number in count():
            taken.append(number)
            yield number

    found = next(ahead(endless, [0], executor, depth=0, room=2))
    assert next(found) == 0
    executor.shutdown()
    assert len(taken) <= 4
