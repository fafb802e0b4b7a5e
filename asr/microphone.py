"""Sound as it comes in: from a microphone, or from a recording that is played in its place."""

import math
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from asr.audio import Waveform, read_blocks, resampled
from asr.errors import AudioError

BLOCK_S = 0.1
"""From one block to the next."""

QUEUE_S = 60.0
"""Of sound that waits for a listener who is busy; what comes beyond it is lost."""


class Source(Protocol):
    """What can be listened to."""

    def blocks(self, sample_rate_hz: int) -> Iterator[Waveform]:
        """The sound from now on: (samples,) mono. A block may be empty: nothing has come for a while."""

    @property
    def waiting_s(self) -> float:
        """Sound that has come in and is not yet handed out."""

    @property
    def losses(self) -> str:
        """The sound that was lost, in words; empty: none."""


class Microphone:
    """An input device of this machine, at its own rate; its first two channels are averaged.

    Raises:
        AudioError: There is no sounddevice, no PortAudio or no such device; names what there is.
    """

    def __init__(self, device: str | None = None) -> None:
        """
        Args:
            device: A part of its name, or its number; None: the one that the system prefers.
        """
        self._sounddevice = _sounddevice()
        self._device = int(device) if device and device.isdecimal() else device
        try:
            found = self._sounddevice.query_devices(self._device, "input")
        except (ValueError, self._sounddevice.PortAudioError) as error:
            raise AudioError(_no_device(device, self._sounddevice.query_devices())) from error
        self.name: str = found["name"]
        self._lost_s = 0.0
        self._overruns = 0
        self._rate_hz = round(found["default_samplerate"])
        self._channels = min(2, found["max_input_channels"])
        self._queue: queue.Queue[Waveform] = queue.Queue(math.ceil(QUEUE_S / BLOCK_S))

    def blocks(self, sample_rate_hz: int) -> Iterator[Waveform]:
        """The sound from the first call of `next` on, until the device is gone.

        Raises:
            AudioError: The device does not open; names it.
        """
        yield from resampled(self._heard(), self._rate_hz, sample_rate_hz)

    @property
    def waiting_s(self) -> float:
        return self._queue.qsize() * BLOCK_S

    @property
    def losses(self) -> str:
        if not self._lost_s and not self._overruns:
            return ""
        return (
            f"sound was lost: {self._lost_s:.1f} s while recognition was busy, {self._overruns} overruns of the device"
        )

    def _heard(self) -> Iterator[Waveform]:
        try:
            stream = self._sounddevice.InputStream(
                self._rate_hz,
                blocksize=round(BLOCK_S * self._rate_hz),
                device=self._device,
                channels=self._channels,
                dtype="float32",
                callback=self._receive,
            )
        except self._sounddevice.PortAudioError as error:
            raise AudioError(f"{self.name}: the microphone does not open ({error})") from error
        with stream:
            while True:
                try:
                    yield self._queue.get(timeout=2 * BLOCK_S)
                except queue.Empty:
                    if not stream.active:
                        return
                    yield np.zeros(0, np.float32)

    def _receive(self, samples: Waveform, count: int, _: object, status: Any) -> None:
        """What PortAudio calls from a thread of its own: (count, channels) samples, which it will write over."""
        self._overruns += bool(status.input_overflow)  # PortAudio does not say how much was lost
        try:
            self._queue.put_nowait(samples.mean(axis=1))
        except queue.Full:
            self._lost_s += count / self._rate_hz


class Playback:
    """A recording that is played as if somebody spoke."""

    losses = ""

    def __init__(self, path: Path, real_time: bool = True) -> None:
        """
        Args:
            real_time: Otherwise as fast as it is listened to.
        """
        self._path = path
        self._real_time = real_time
        self._began_s = self._played_s = 0.0

    def blocks(self, sample_rate_hz: int) -> Iterator[Waveform]:
        """
        Raises:
            AudioError: As `audio.read_blocks`.
        """
        self._began_s = time.monotonic()
        for block in read_blocks(self._path, sample_rate_hz, BLOCK_S):
            self._played_s += len(block) / sample_rate_hz
            if self._real_time:
                time.sleep(max(0.0, -self._late_s()))
            yield block

    @property
    def waiting_s(self) -> float:
        return max(0.0, self._late_s()) if self._real_time else 0.0

    def _late_s(self) -> float:
        return time.monotonic() - self._began_s - self._played_s


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise AudioError("a microphone needs sounddevice: pip install 'asr[mic]'") from error
    except OSError as error:
        raise AudioError(
            f"a microphone needs PortAudio ({error}); install it, such as with 'apt install libportaudio2'"
        ) from error
    return sounddevice


def _no_device(wanted: str | None, devices: Any) -> str:
    inputs = [f"{device['index']} {device['name']}" for device in devices if device["max_input_channels"]]
    if not inputs:
        return "no microphone: this machine has no input device"
    there = f"this machine has {', '.join(inputs)}"
    return f"no input device {wanted!r}; {there}" if wanted else f"no input device is the default; {there}: name one"
