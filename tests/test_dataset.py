import numpy as np
import pytest
import soundfile
import torch
from conftest import write_tone

from asr.audio import read
from asr.dataset import SpeechDataset, load, pad, plan
from asr.manifest import Utterance
from asr.targets import Targets
from asr.text import Vocabulary


def utterances(*durations_s: float) -> list[Utterance]:
    return [Utterance(f"u{n}", None, "a", duration_s=duration_s) for n, duration_s in enumerate(durations_s)]


def test_batches_hold_everything_once_and_not_too_much():
    many = utterances(*np.random.default_rng(0).uniform(1, 15, 200))
    batches = plan(many, 60.0, (0.9, 1.0, 1.1), seed=3, epoch=2)
    assert sorted(place for batch in batches for place, _ in batch) == list(range(200))
    for batch in batches:
        longest_s = max(many[place].duration_s / speed for place, speed in batch)
        assert longest_s * len(batch) <= 60.0
    assert {speed for batch in batches for _, speed in batch} == {0.9, 1.0, 1.1}


def test_the_first_epoch_goes_from_short_to_long_and_later_ones_do_not():
    many = utterances(*np.random.default_rng(0).uniform(1, 15, 200))
    longest = [
        [max(many[place].duration_s for place, _ in batch) for batch in plan(many, 60.0, epoch=e)] for e in (0, 1)
    ]
    assert all(next_s > this_s * 0.9 for this_s, next_s in zip(longest[0], longest[0][1:], strict=False))
    assert longest[1] != sorted(longest[1])


def test_the_plan_follows_from_seed_and_epoch():
    many = utterances(*np.random.default_rng(0).uniform(1, 15, 50))
    assert plan(many, 60.0, seed=1, epoch=1) == plan(many, 60.0, seed=1, epoch=1)
    assert plan(many, 60.0, seed=1, epoch=1) != plan(many, 60.0, seed=2, epoch=1)
    assert plan(many, 60.0, seed=1, epoch=1) != plan(many, 60.0, seed=1, epoch=2)


def test_too_long_for_a_batch_is_a_batch_of_its_own():
    assert [len(batch) for batch in plan(utterances(100.0, 1.0, 1.0), 60.0)] == [2, 1]


@pytest.fixture
def dataset(tmp_path):
    paths = [write_tone(tmp_path / f"{n}.wav", duration_s=0.5 + n / 4) for n in range(3)]
    items = [Utterance(f"u{n}", path, "ab a"[: n + 1], duration_s=0.5 + n / 4) for n, path in enumerate(paths)]
    targets = Targets(Vocabulary.of_characters(" ab"), [(each.id, each.text) for each in items])
    return SpeechDataset(items, 16000, targets)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_padded_with_zeros(dataset, workers):
    first, second = load(dataset, [[(0, 1.0), (2, 1.0)], [(1, 1.0)]], workers)
    assert first.ids == ["u0", "u2"]
    assert first.waveforms.shape == (2, 16000)
    assert first.waveform_lengths.tolist() == [8000, 16000]
    assert not first.waveforms[0, 8000:].any()
    there = first.to(torch.device("cpu"))
    np.testing.assert_array_equal(there.waveforms[1].numpy(), read(dataset.utterances[2].audio_filepath, 16000))
    assert torch.equal(there.to(torch.device("cpu")).waveforms, there.waveforms)
    ((tokens, token_lengths),) = first.targets
    assert tokens.tolist() == [[2, 0, 0], [2, 3, 1]]
    assert token_lengths.tolist() == [1, 3]
    assert second.ids == ["u1"]


def test_kept_in_memory_is_what_is_on_disk(dataset):
    from_disk = dataset[1, 1.0][1]
    dataset.keep(0.0)
    assert not dataset.kept
    dataset.keep(1.0)
    for utterance in dataset.utterances:
        utterance.audio_filepath.unlink()
    np.testing.assert_array_equal(dataset[1, 1.0][1], from_disk)
    assert dataset.bytes_to_keep(1.0) == sum(waveform.nbytes for waveform in dataset.kept)
    assert dataset.bytes_to_keep(0.0) == 0


def test_full_scale_survives_16_bits(tmp_path):
    extremes = np.array([-32768, 32767, 1, -1, 0] * 800, dtype=np.int16)
    soundfile.write(tmp_path / "extremes.wav", extremes, 16000)
    dataset = SpeechDataset([Utterance("u", tmp_path / "extremes.wav", "a", duration_s=0.25)], 16000)
    np.testing.assert_array_equal(dataset[0, 1.0][1], extremes)


def test_seconds_at_a_speed(dataset):
    assert dataset.seconds((2, 1.0)) == 1.0
    assert dataset.seconds((2, 0.8)) == 1.25


def test_pad_of_nothing():
    padded, lengths = pad([], np.float32)
    assert padded.shape == (0, 0)
    assert lengths.tolist() == []
    assert torch.equal(pad([[1], []], np.int64)[0], torch.tensor([[1], [0]]))
