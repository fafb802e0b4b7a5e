import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import tone, write_tone

from asr import microphone
from asr.audio import read, resample
from asr.errors import AudioError
from asr.microphone import Microphone, Playback


class PortAudioError(Exception):
    pass


DEVICES = [
    {"index": 0, "name": "Speakers", "max_input_channels": 0, "default_samplerate": 44100.0},
    {"index": 1, "name": "USB microphone", "max_input_channels": 1, "default_samplerate": 48000.0},
    {"index": 2, "name": "Line in", "max_input_channels": 8, "default_samplerate": 44100.0},
]


class Stream:
    """All of its sound comes at once, always in the same array, as PortAudio has it; it is active a little longer."""

    sound = np.zeros((0, 1), np.float32)
    overflows: tuple[int, ...] = ()

    def __init__(self, samplerate, *, blocksize, device, channels, dtype, callback):
        if device == 2:
            raise PortAudioError("Device unavailable")
        assert (samplerate, blocksize, channels, dtype) == (48000, 4800, 1, "float32")
        self.callback = callback
        self.asked = 0

    @property
    def active(self):
        self.asked += 1
        return self.asked < 2

    def __enter__(self):
        buffer = np.zeros((4800, 1), np.float32)
        for number in range(len(self.sound) // 4800):
            buffer[:] = self.sound[number * 4800 : (number + 1) * 4800]
            self.callback(buffer, 4800, None, SimpleNamespace(input_overflow=number in self.overflows))
            buffer[:] = np.nan

    def __exit__(self, *_):
        self.callback = None


def fake(devices):
    def query_devices(device=None, kind=None):
        if kind is None:
            return devices
        inputs = [each for each in devices if each["max_input_channels"]]
        if isinstance(device, str):
            named = [each for each in inputs if device.lower() in each["name"].lower()]
            if not named:
                raise ValueError(f"No input device matching {device!r}")
            return named[0]
        found = inputs if device is None else [each for each in inputs if each["index"] == device]
        if not found:
            raise PortAudioError(f"Error querying device {device}")
        return found[0]

    return SimpleNamespace(query_devices=query_devices, InputStream=Stream, PortAudioError=PortAudioError)


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake(DEVICES))


def test_a_microphone_gives_what_its_device_hears(machine, monkeypatch):
    sound = tone(300, 0.5, 48000)[:, None]
    monkeypatch.setattr(Stream, "sound", sound)
    device = Microphone()
    blocks = list(device.blocks(16000))
    assert device.name == "USB microphone"
    assert any(not len(block) for block in blocks)  # while nothing came, the listener was asked whether to go on
    np.testing.assert_array_equal(np.concatenate(blocks), resample(sound[:, 0], 48000, 16000))
    assert device.losses == ""


def test_sound_that_nobody_takes_is_counted(machine, monkeypatch):
    monkeypatch.setattr(Stream, "sound", np.zeros((5 * 4800, 1), np.float32))
    monkeypatch.setattr(Stream, "overflows", (1, 3))
    monkeypatch.setattr(microphone, "QUEUE_S", 0.2)
    device = Microphone("usb")
    blocks = device.blocks(48000)
    heard = [next(blocks)]
    assert device.waiting_s == 0.1
    heard += blocks
    assert sum(map(len, heard)) == 2 * 4800
    assert device.losses == "sound was lost: 0.3 s while recognition was busy, 2 overruns of the device"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("built-in", "no input device 'built-in'; this machine has 1 USB microphone, 2 Line in"),
        ("0", "no input device '0'; this machine has 1 USB microphone, 2 Line in"),
    ],
)
def test_a_device_that_is_not_there(machine, wanted, message):
    with pytest.raises(AudioError) as raised:
        Microphone(wanted)
    assert str(raised.value) == message


def test_a_device_that_does_not_open(machine):
    with pytest.raises(AudioError, match=r"Line in: the microphone does not open \(Device unavailable\)"):
        next(Microphone("2").blocks(16000))


def test_a_machine_without_a_microphone(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", fake(DEVICES[:1]))
    for wanted in (None, "usb"):
        with pytest.raises(AudioError, match="^no microphone: this machine has no input device$"):
            Microphone(wanted)


def test_without_sounddevice(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(AudioError, match=r"needs sounddevice: pip install 'asr\[mic\]'"):
        Microphone()


def test_without_portaudio(monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AudioError, match=r"needs PortAudio \(PortAudio library not found\); install it"):
        Microphone()


def test_a_recording_in_the_microphones_place(tmp_path):
    path = write_tone(tmp_path / "a.wav", duration_s=0.45, sample_rate_hz=8000)
    playback = Playback(path, real_time=False)
    blocks = list(playback.blocks(16000))
    assert [len(block) for block in blocks] == [1600] * 4 + [800]
    np.testing.assert_array_equal(np.concatenate(blocks), read(path, 16000))
    assert (playback.waiting_s, playback.losses) == (0.0, "")


def test_a_recording_at_the_speed_of_life(tmp_path):
    playback = Playback(write_tone(tmp_path / "a.wav", duration_s=0.4))
    began_s = time.monotonic()
    blocks = playback.blocks(16000)
    next(blocks)
    assert time.monotonic() - began_s >= 0.1  # nothing is heard before it is said
    time.sleep(0.25)
    assert playback.waiting_s >= 0.2
    assert len(list(blocks)) == 3
    assert time.monotonic() - began_s >= 0.4
