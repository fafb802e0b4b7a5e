"""Rooms and noise: responses and rings of noise that are made, recordings of noise that are read."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.fft import irfft
from torch.linalg import vector_norm

from asr.audio import Waveform, read
from asr.errors import AudioError, DataError
from asr.progress import say, track_in_threads

ROOMS = 32
ECHO_DELAY_S = 0.003
ECHOES_DB = (-12.0, 0.0)
"""All that the walls of a room send back, against the direct sound."""

NOISE_SAMPLES = 1 << 20
NOISE_COLOURS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""The power falls with frequency f as 1/f^colour (white, ..., pink, ..., brown) ..."""
NOISE_FROM_HZ = 50.0
"""... from here on; below it is level, or else most of it would be rumble that no microphone picks up."""
NOISE_HOURS = 2
NOISE_FILES = {".aac", ".aif", ".aiff", ".amr", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".sph", ".wav"}


def make_rooms(shortest_s: float, longest_s: float, sample_rate_hz: int) -> Tensor:
    """(ROOMS, samples) responses: the direct sound 1, then noise that decays by 60 dB in a time that grows row by row.

    Source: Polack 1988, La transmission de l'energie sonore dans les salles.
    """
    generator = torch.Generator().manual_seed(0)
    decay_s = torch.linspace(shortest_s, longest_s, ROOMS)[:, None]
    time_s = torch.arange(int(longest_s * sample_rate_hz) + 1) / sample_rate_hz
    echoes = torch.randn(ROOMS, len(time_s), generator=generator) * 10 ** (-3 * time_s / decay_s)
    echoes = echoes * ((time_s >= ECHO_DELAY_S) & (time_s <= decay_s))
    echoes_db = torch.empty(ROOMS, 1).uniform_(*ECHOES_DB, generator=generator)
    rooms: Tensor = echoes / norm(echoes) * 10 ** (echoes_db / 20)
    rooms[:, 0] = 1.0
    return rooms


def coloured_noise(sample_rate_hz: int) -> Tensor:
    """(colours, NOISE_SAMPLES) rings of noise of power 1."""
    generator = torch.Generator().manual_seed(0)
    bins = NOISE_SAMPLES // 2 + 1
    spectrum = torch.randn(len(NOISE_COLOURS), bins, generator=generator, dtype=torch.complex64)
    frequency_hz = torch.linspace(0, sample_rate_hz / 2, bins).clamp(min=NOISE_FROM_HZ)
    noise = irfft(spectrum * frequency_hz ** (-torch.tensor(NOISE_COLOURS)[:, None] / 2))
    rings: Tensor = noise / norm(noise) * NOISE_SAMPLES**0.5
    return rings


def rings_of(recordings: Sequence[Waveform]) -> Tensor:
    """(1, samples): a ring of all recordings, one after the other, each of power 1."""
    return torch.from_numpy(np.concatenate([recording / _power(recording) ** 0.5 for recording in recordings]))[None]


def around(ring: Tensor, first: int, count: int) -> Tensor:
    """`count` samples of a ring from `first` on, round and round if need be."""
    stretch = ring[first : first + count]
    while len(stretch) < count:
        stretch = torch.cat((stretch, ring[: count - len(stretch)]))
    return stretch


def read_noise(folder: Path, sample_rate_hz: int) -> list[Waveform]:
    """The recordings anywhere below a folder, in the order of their paths, up to `NOISE_HOURS` in all.

    One that cannot be read, or is silent, is named on stderr and passed over.

    Raises:
        DataError: There is no such folder, or no recording in it that can be used.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder to take noise from")
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in NOISE_FILES and path.is_file()]
    recordings: list[Waveform] = []
    wanted = round(NOISE_HOURS * 3600 * sample_rate_hz)
    for recording in track_in_threads(partial(_read_noise, sample_rate_hz=sample_rate_hz), paths, "reading noise"):
        if isinstance(recording, AudioError):
            say(f"noise passed over: {recording}")
            continue
        recordings.append(recording[:wanted])
        wanted -= len(recordings[-1])
        if not wanted:
            say(f"noise: only the first {NOISE_HOURS} hours of {folder} are used")
            break
    if not recordings:
        raise DataError(f"{folder}: no recording in it that can be used as noise")
    return recordings


def _read_noise(path: Path, sample_rate_hz: int) -> Waveform | AudioError:
    try:
        waveform = read(path, sample_rate_hz)
    except AudioError as error:
        return error
    return waveform if _power(waveform) > 1e-10 else AudioError(f"{path}: silent")


def _power(waveform: Waveform) -> float:
    return float(np.square(waveform).mean(dtype=np.float64))


norm = partial(vector_norm, dim=1, keepdim=True)
"""(rows, 1): the root of the sum of squares of each row."""
