import numpy as np
import pytest
import soundfile
import torch
from conftest import write_tone

import asr.noise
from asr.errors import DataError
from asr.noise import coloured_noise, make_rooms, read_noise

RATE = 16000


def decibel(power_ratio: torch.Tensor) -> torch.Tensor:
    return 10 * torch.log10(power_ratio)


def test_rooms_decay_in_the_time_asked_for():
    rooms = make_rooms(0.1, 0.6, RATE)
    assert (rooms[:, 0] == 1).all()
    assert not rooms[:, 1:48].any()  # 3 ms
    echoes = rooms[:, 1:].double().square()
    strength_db = decibel(echoes.sum(1))
    assert -12 <= strength_db.min() < -9
    assert -3 < strength_db.max() <= 0
    decay_db = decibel(echoes.flip(1).cumsum(1).flip(1) / echoes.sum(1, keepdim=True))  # Schroeder's backward integral
    measured_s = 3 * ((decay_db > -25).sum(1) - (decay_db > -5).sum(1)) / RATE
    torch.testing.assert_close(measured_s, torch.linspace(0.1, 0.6, 32).double(), atol=0, rtol=0.2, check_dtype=False)


def three_octaves_db(noise: torch.Tensor) -> torch.Tensor:
    """(rows,): how much stronger the octave from 500 Hz is than that from 4000 Hz."""
    spectrum = torch.fft.rfft(noise).abs().square()
    first = spectrum.shape[1] // 16
    return decibel(spectrum[:, first : 2 * first].mean(1) / spectrum[:, 8 * first :].mean(1))


def test_made_noise_has_power_one_and_the_colours():
    noise = coloured_noise(RATE)
    torch.testing.assert_close(noise.square().mean(1), torch.ones(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(three_octaves_db(noise), 4.515 * torch.arange(5), atol=0.1, rtol=0)


def test_a_folder_of_noise(tmp_path, capsys):
    write_tone(tmp_path / "b" / "fan.WAV", duration_s=0.5, sample_rate_hz=8000)
    write_tone(tmp_path / "a.flac", duration_s=1.0)
    soundfile.write(tmp_path / "silent.wav", np.zeros(1000), RATE)
    (tmp_path / "corrupt.wav").write_bytes(b"RIFF and nothing more")
    (tmp_path / "README.txt").write_text("what it is")
    recordings = read_noise(tmp_path, RATE)
    assert [len(recording) for recording in recordings] == [16000, 8000]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["noise passed over"] * 2
    assert f"{tmp_path}/corrupt.wav" in lines[0]
    assert lines[1].endswith("silent.wav: silent")


def test_a_folder_with_more_noise_than_is_used(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(asr.noise, "NOISE_HOURS", 1 / 3600)
    for name in "abc":
        write_tone(tmp_path / f"{name}.wav", duration_s=0.6)
    assert [len(recording) for recording in read_noise(tmp_path, RATE)] == [9600, 6400]
    assert f"of {tmp_path} are used" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "message"), [("nowhere", "nowhere: no such folder"), ("", "no recording in it")])
def test_a_folder_without_noise(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        read_noise(tmp_path / name, RATE)
