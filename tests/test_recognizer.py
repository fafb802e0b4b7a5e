import threading
import time
from copy import deepcopy
from threading import Event

import numpy as np
import pytest
import soundfile
import torch
from conftest import odd_sounds, tone, write_tone

import asr
from asr.checkpoint import Checkpoint
from asr.dataset import SpeechDataset, load, plan
from asr.decoder import DecodingConfig
from asr.errors import AsrError, AudioError
from asr.features import FeatureConfig, LogMel
from asr.hearing import Recording
from asr.manifest import Utterance
from asr.model import CTCModel, ModelConfig
from asr.reading import Reader
from asr.recognizer import Recognizer
from asr.text import Vocabulary


@pytest.fixture(scope="module")
def recognizer(babbler):
    return asr.load(babbler, device="cpu")


@pytest.fixture(scope="module")
def sweep():
    time_s = np.arange(32000) / 16000
    return (0.3 * np.sin(2 * np.pi * (200 + 1500 * time_s) * time_s)).astype(np.float32)


def test_a_file_a_waveform_and_a_tensor_say_the_same(recognizer, sweep, tmp_path):
    soundfile.write(tmp_path / "a.wav", sweep, 16000, subtype="FLOAT")
    from_file = recognizer.transcribe(tmp_path / "a.wav")
    assert len(from_file.text) > 3
    assert from_file.duration_s == 2.0
    assert recognizer.transcribe(str(tmp_path / "a.wav")) == from_file
    assert recognizer.transcribe(sweep, sample_rate_hz=16000).text == from_file.text
    assert recognizer.transcribe(torch.from_numpy(sweep), sample_rate_hz=16000).text == from_file.text


def test_a_batch_says_what_its_parts_say(recognizer, sweep, tmp_path):
    utterances = []
    for number, samples in enumerate((32000, 5000, 20000, 12345)):
        soundfile.write(tmp_path / f"{number}.wav", sweep[:samples], 16000, subtype="FLOAT")
        utterances.append(Utterance(f"u{number}", tmp_path / f"{number}.wav", "a", duration_s=samples / 16000))
    dataset = SpeechDataset(utterances, 16000)
    readings = recognizer.read(load(dataset, plan(utterances, 100.0)), [recognizer.reader])
    together = {name: reading.text for name, (reading,) in readings}
    assert together == {u.id: recognizer.transcribe(u.audio_filepath).text for u in utterances}


def test_it_hears_in_the_voices_that_it_is_told(babbler, sweep):
    recognizer = asr.load(babbler, device="cpu")
    alone = recognizer.matrix(sweep, 16000)
    recognizer.hear_as(DecodingConfig(voices=(0.8, 1.25)))
    together = recognizer.matrix(sweep, 16000)
    assert together.shape == alone.shape
    assert np.abs(together - alone).max() > 0.01
    recognizer.hear_as(DecodingConfig(voices=(0.8,)))
    one = recognizer.matrix(sweep, 16000)
    recognizer.hear_as(DecodingConfig(voices=(1.25,)))
    np.testing.assert_allclose(np.exp(together), (np.exp(one) + np.exp(recognizer.matrix(sweep, 16000))) / 2, atol=1e-5)
    recognizer.hear_as(DecodingConfig(voices=(1.0,)))
    np.testing.assert_array_equal(recognizer.matrix(sweep, 16000), alone)


def test_it_hears_in_the_precision_that_it_is_told(babbler, sweep, monkeypatch):
    recognizer = asr.load(babbler, device="cpu")
    exact = recognizer.matrix(sweep, 16000)
    recognizer.hear_as(DecodingConfig(precision="bfloat16"))
    rounded = recognizer.matrix(sweep, 16000)
    assert 0 < np.abs(np.exp(rounded) - np.exp(exact)).max() < 0.2
    for there, expected in ((True, rounded), (False, exact)):
        monkeypatch.setattr("asr.device.has_bfloat16", lambda device, there=there: there)
        recognizer.hear_as(DecodingConfig(precision="auto"))
        np.testing.assert_array_equal(recognizer.matrix(sweep, 16000), expected)


def test_a_waveform_of_another_rate_is_resampled(recognizer):
    low = recognizer.transcribe(tone(300, 1.0, 8000), sample_rate_hz=8000)
    assert low.duration_s == 1.0


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(100), None, "a waveform needs its rate"),
        (np.zeros((2, 100)), 16000, r"shape \(samples,\) was expected, found \(2, 100\)"),
        (np.zeros(0), 16000, "was expected"),
        (np.array([0.0, np.nan]), 16000, "NaN"),
    ],
)
def test_waveforms_that_cannot_be(recognizer, waveform, rate, message):
    with pytest.raises(AudioError, match=message):
        recognizer.transcribe(waveform, sample_rate_hz=rate)


@pytest.mark.parametrize("samples", [1, 160, 16000])
def test_silence_says_nothing(recognizer, samples):
    assert recognizer.transcribe(np.zeros(samples), sample_rate_hz=16000).text == ""


@pytest.mark.parametrize("samples", [1, 10, 160])
def test_a_click_is_no_trouble(recognizer, samples):
    assert isinstance(recognizer.transcribe(np.full(samples, 0.5), sample_rate_hz=16000).text, str)


def test_odd_recordings_are_transcribed(recognizer, tmp_path):
    sounds = odd_sounds()
    for name, (samples, rate) in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate, subtype="FLOAT")
        assert recognizer.transcribe(tmp_path / f"{name}.wav").duration_s == 1.0


def test_one_bad_file_does_not_stop_the_others(recognizer, tmp_path):
    good = write_tone(tmp_path / "good.wav")
    (tmp_path / "bad.wav").write_text("no sound")
    first, second, third = recognizer.transcribe_many([good, tmp_path / "bad.wav", str(good)])
    assert first.error is None
    assert first.text == third.text
    assert isinstance(second.error, AudioError)
    assert "bad.wav" in str(second.error)


class Stop(Exception):
    pass


@pytest.mark.parametrize("loudness", [0.0, 0.1])
def test_what_advance_raises_ends_the_work(recognizer, loudness):
    """Of a recording without end; silence does not go through the model."""
    blocks, closed, told = [], Event(), []

    def endless():
        rng = np.random.default_rng(6)
        try:
            while True:
                blocks.append(loudness * rng.standard_normal(480000).astype(np.float32))
                yield blocks[-1]
        finally:
            closed.set()

    def advance(seconds):
        told.append(seconds)
        if len(told) == 3:
            raise Stop

    with pytest.raises(Stop):
        list(recognizer.transcribe_many([Recording("endless", endless)], advance))
    assert told == [50.0] * 3
    assert closed.wait(20)
    assert len(blocks) < 40
    assert "reading_0" not in [thread.name for thread in threading.enumerate()]


def test_reading_does_not_fall_behind_hearing(babbler):
    recognizer, told, told_when_read, heard = asr.load(babbler, device="cpu"), [], [], Event()

    class Slow(Reader):
        def read(self, matrices, durations_s):
            assert heard.wait(20)
            if not told_when_read:
                time.sleep(0.3)  # in which several more pieces could be heard
            told_when_read.append(len(told))
            return super().read(matrices, durations_s)

    def advance(seconds):
        told.append(seconds)
        if len(told) == 2:
            heard.set()

    recognizer.reader = Slow(recognizer.checkpoint.vocabulary, recognizer.frame_s)
    noise = np.random.default_rng(7).standard_normal(16000 * 500).astype(np.float32)
    assert recognizer.transcribe(noise, 16000, advance).duration_s == 500.0
    assert told_when_read[0] == 2
    assert len(told) == 10


def test_devices(babbler):
    with pytest.raises(AsrError, match="device 'tpu' is not known; choose auto, cpu, cuda, mps"):
        asr.load(babbler, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(AsrError, match="device 'cuda' is not there; this machine has cpu"):
            asr.load(babbler, device="cuda")


def whole(recognizer, samples):
    matrix, frames = recognizer.log_probabilities(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    assert frames.tolist() == [matrix.shape[1]]
    return matrix[0].numpy()


def in_windows(recognizer, samples, window_s=0.5, context_s=0.1):
    """Its log-probabilities, heard in short windows."""
    return recognizer.matrix(samples, 16000, window_s, context_s)


def test_a_short_recording_is_one_window(recognizer, sweep):
    assert recognizer.frame_s == 0.02
    np.testing.assert_allclose(recognizer.matrix(sweep, 16000), whole(recognizer, sweep), atol=1e-3)


@pytest.mark.parametrize("samples", [*range(31680, 32001, 64), 24000, 27361, 11200, 11201, 9600, 2])
def test_windows_have_the_frames_of_the_whole(recognizer, sweep, samples):
    assert in_windows(recognizer, sweep[:samples]).shape == whole(recognizer, sweep[:samples]).shape


@pytest.fixture(scope="module")
def forgetful():
    """A model without LSTMs: what it says of a frame depends on a few frames around it only."""
    torch.manual_seed(4)
    model = CTCModel(20, (9,), ModelConfig(channels=2, layers=2, hidden=16, subsampling=4))
    model.layers = torch.nn.ModuleList()
    checkpoint = Checkpoint(LogMel(FeatureConfig(16000, 20)), model, Vocabulary.of_characters(" abcdefg"), {})
    return Recognizer(checkpoint, torch.device("cpu"))


@pytest.mark.parametrize("samples", [32000, 31999, 24321, 12000])
def test_each_frame_of_a_window_is_where_it_is_in_the_whole(forgetful, samples):
    noise = np.random.default_rng(3).standard_normal(samples).astype(np.float32) / 10
    np.testing.assert_allclose(in_windows(forgetful, noise), whole(forgetful, noise), atol=1e-4)


def test_windows_come_nearer_to_the_whole_as_context_grows(recognizer):
    checkpoint = deepcopy(recognizer.checkpoint)
    with torch.no_grad():
        for weight in checkpoint.model.layers.parameters():  # which the babbler's remember for long
            weight /= 3
    calm = Recognizer(checkpoint, torch.device("cpu"))
    noise = np.random.default_rng(5).standard_normal(16000 * 12).astype(np.float32) / 10
    expected = np.exp(whole(calm, noise))
    gaps = [np.abs(np.exp(in_windows(calm, noise, 1.0, s)) - expected).mean() for s in (0.0, 0.1, 0.3, 1.0)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-3 < 1e-2 < gaps[0]


def strange_sounds():
    rng, time_s = np.random.default_rng(1), np.arange(32000) / 16000
    noise = rng.standard_normal(32000)
    return {
        "white noise": noise / 5,
        "brown noise": np.cumsum(noise) / 200,
        "chords": sum(np.sin(2 * np.pi * hertz * time_s) for hertz in (220, 277.2, 329.6, 440)) / 8,
        "clicks": (np.arange(32000) % 4000 == 0) * 0.9,
        "an offset": np.full(32000, 0.4),
        "clipped": np.clip(noise * 9, -1, 1),
        "hardly a sound": noise * 1e-4,
        "beyond full scale": noise * 50,
    }


@pytest.mark.parametrize("name", strange_sounds())
def test_whatever_sounds_gives_a_transcript_of_bearable_length(recognizer, name):
    transcript = recognizer.transcribe(strange_sounds()[name].astype(np.float32), 16000)
    assert len(transcript.text) <= 2.0 / recognizer.frame_s
    assert all(0 <= word.start_s <= word.end_s <= 2.0 for word in transcript.words)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_says_what_the_cpu_says(babbler, recognizer, sweep):
    waveforms, lengths = torch.from_numpy(sweep)[None].repeat(2, 1), torch.tensor([32000, 20000])
    on_cpu, _ = recognizer.log_probabilities(waveforms, lengths)
    on_cuda, _ = asr.load(babbler, device="cuda").log_probabilities(waveforms, lengths)
    torch.testing.assert_close(on_cuda.cpu(), on_cpu, atol=1e-3, rtol=0)
