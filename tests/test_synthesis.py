import builtins
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("espeakng_loader")

from asr import synthesis
from asr.errors import AsrError
from asr.files import digest
from asr.synthesis import Recording, Speech, add_noise, synthesise, write_speech, write_speech_once

RATE = 16_000
SENTENCES = ("three hundred and forty two", "half past nine", "the fourth of july")
VOICES = ("en-us+f3", "en+m3", "en-gb-scotland")


def recordings(folder: Path, suffix: str = ".flac", noise_snr_db: float | None = 20.0) -> list[Recording]:
    speeches = [Speech(text, voice, 160, 50) for text in SENTENCES for voice in VOICES]
    return [
        Recording(speech, folder / f"{index}{suffix}", noise_snr_db, seed=index)
        for index, speech in enumerate(speeches)
    ]


def samples_of(folder: Path) -> list[bytes]:
    return [soundfile.read(path, dtype="int16")[0].tobytes() for path in sorted(folder.glob("*.*"))]


def test_speech_is_audible_unclipped_and_of_a_likely_length():
    for rate in (8_000, RATE):
        for samples in synthesise([Speech(text, "en-us+f3", 160, 50) for text in SENTENCES], rate):
            assert samples.dtype == np.float32
            assert 0.7 < len(samples) / rate < 2.5
            assert 0.05 < np.abs(samples).max() < 1.0


def test_rate_and_pitch_are_obeyed():
    slow, fast = synthesise([Speech(SENTENCES[0], "en", rate, 50) for rate in (120, 220)], RATE)
    assert len(slow) > 1.4 * len(fast)
    low, high = synthesise([Speech(SENTENCES[0], "en", 160, pitch) for pitch in (20, 80)], RATE)
    assert zero_crossings(low) < zero_crossings(high)


def zero_crossings(samples: np.ndarray) -> int:
    """Of the voice's ground tone, about: all that changes faster is averaged away."""
    smooth = np.convolve(samples, np.ones(RATE // 400), "valid")
    return int(np.count_nonzero(np.diff(np.sign(smooth))))


@pytest.mark.parametrize(
    ("voice", "message"),
    [
        ("en-us+f33", "no voice 'en-us\\+f33'; did you mean 'f3'"),
        ("en-us+F3", "no voice 'en-us\\+F3'"),
        ("atlantean", "no voice 'atlantean'"),
        ("atlantean+f3", "no voice 'atlantean\\+f3'"),
        ("en-gb+f3", "no voice 'en-gb\\+f3'"),
        ("", "no voice ''"),
    ],
)
def test_unknown_voices_are_refused(voice, message):
    with pytest.raises(AsrError, match=message):
        list(synthesise([Speech("one", voice, 160, 50)], RATE))


def test_nothing_to_say_is_refused():
    with pytest.raises(AsrError, match="nothing to say for ' '"):
        list(synthesise([Speech(" ", "en", 160, 50)], RATE))


def test_the_missing_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without_loader(name, *arguments, **keywords):
        if name == "espeakng_loader":
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_loader)
    with pytest.raises(AsrError, match=r"pip install 'asr\[synth\]'"):
        synthesis._Espeak()


@pytest.mark.parametrize("snr_db", [0.0, 15.0, 40.0])
def test_noise_lies_as_far_below_the_speech_as_asked(snr_db):
    speech = np.sin(np.arange(RATE, dtype=np.float32))
    noise = add_noise(speech, snr_db, np.random.default_rng(3)) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(snr_db, abs=0.05)


def test_the_same_recordings_have_the_same_samples(tmp_path, monkeypatch):
    durations_s = write_speech(recordings(tmp_path / "a"), RATE)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert write_speech(recordings(tmp_path / "b"), RATE) == durations_s
    files = sorted((tmp_path / "a").iterdir())
    assert [digest(path) for path in files] == [digest(tmp_path / "b" / path.name) for path in files]
    for path, duration_s in zip(files, durations_s, strict=True):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype, info.duration) == (RATE, 1, "PCM_16", duration_s)


def test_shards_are_fresh_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(synthesis, "RECORDINGS_PER_PROCESS", 3)
    three = recordings(tmp_path / "a", ".wav")[:3]
    again = [Recording(r.speech, tmp_path / "b" / r.path.name, r.noise_snr_db, r.seed) for r in three]
    durations_s = write_speech([*three, *again], RATE)
    assert durations_s[:3] == durations_s[3:]
    assert samples_of(tmp_path / "a") == samples_of(tmp_path / "b")


def test_one_bad_recording_stops_the_work_and_leaves_no_part(tmp_path):
    bad = Recording(Speech("one", "atlantean", 160, 50), tmp_path / "bad.flac", None, 0)
    with pytest.raises(AsrError, match="atlantean"):
        write_speech([bad], RATE)
    assert list(tmp_path.iterdir()) == []
    assert write_speech([], RATE) == []


def test_made_once_and_again_only_when_something_changed(tmp_path, monkeypatch):
    calls = []

    def fake(recordings, sample_rate_hz):
        calls.append(len(recordings))
        for recording in recordings:
            recording.path.write_text(f"{recording.speech} {sample_rate_hz}")
        return [1.0] * len(recordings)

    monkeypatch.setattr(synthesis, "write_speech", fake)
    receipt, wanted = tmp_path / "made.json", recordings(tmp_path)
    assert write_speech_once(wanted, RATE, receipt) == write_speech_once(wanted, RATE, receipt) == [1.0] * 9
    assert calls == [9]
    write_speech_once(wanted[:8], RATE, receipt)
    write_speech_once(wanted, RATE, receipt)
    write_speech_once(wanted, 8_000, receipt)
    assert calls == [9, 8, 9, 9]
    wanted[4].path.write_text("cut")
    write_speech_once(wanted, 8_000, receipt)
    wanted[4].path.unlink()
    write_speech_once(wanted, 8_000, receipt)
    receipt.write_text("[]")
    write_speech_once(wanted, 8_000, receipt)
    assert calls == [9, 8, 9, 9, 9, 9, 9]
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    write_speech_once(recordings(moved), 8_000, moved / "made.json")
    assert len(calls) == 7
