"""Training data made harder on the device: speed, rooms, noise and gain on waveforms, SpecAugment masks on features.

Chance belongs to the utterance: what happens to it in an epoch is the same in any batch, order or process.

Shapes: B utterances, K of them chosen, N samples, T frames, F mel bins, M masks.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.fft import irfft, rfft
from torch.linalg import vector_norm
from torchaudio.functional import resample

from asr.audio import Waveform, read
from asr.config import settings
from asr.errors import AudioError, DataError
from asr.features import length_mask
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

Chance = Iterator[Tensor]
"""Each `next` is (B,) on the CPU, uniform in [0, 1): a number for each utterance."""


def _in_order(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise PydanticCustomError("order", "The lower limit has to come first")
    return limits


Share = Annotated[float, Ge(0), Le(1)]
DecayTime = Annotated[float, Ge(0.02), Le(5)]


@settings
class AugmentationConfig:
    speeds: Annotated[tuple[Annotated[float, Gt(0.3), Le(3)], ...], MinLen(1)] = (1.0,)
    """One is drawn for each utterance; 1.1 plays it a tenth faster, pitch and all."""
    gain_db: Annotated[float, Ge(0)] = 0.0
    """Level changes by up to this much either way."""
    noise_share: Share = 0.0
    """The share of utterances that get noise."""
    noise_snr_db: Annotated[tuple[float, float], AfterValidator(_in_order)] = (5.0, 40.0)
    reverberation_share: Share = 0.0
    """The share of utterances that get the echoes of a room."""
    reverberation_s: Annotated[tuple[DecayTime, DecayTime], AfterValidator(_in_order)] = (0.1, 0.6)
    """How long echoes take to decay by 60 dB, from the driest room to the most reverberant."""
    frequency_masks: Annotated[int, Ge(0)] = 0
    frequency_mask_bins: Annotated[int, Ge(0)] = 15
    time_masks: Annotated[int, Ge(0)] = 0
    time_mask_share: Share = 0.1
    """The longest time mask, as a share of the utterance."""
    time_masks_per_s: Annotated[float, Ge(0)] = 0.0
    """The most time masks for a second of the utterance, the product rounded up; 0: always `time_masks` of them."""


def chances(seed: int, epoch: int, places: Sequence[int]) -> Chance:
    """Numbers that depend on the seed, the epoch and the utterance's place in the data set, row by row.

    Rows stay independent because the settings alone decide how many columns are drawn.
    """
    entropy = [[seed % 2**63, epoch, place] for place in places]
    sources = [np.random.Generator(np.random.Philox(np.random.SeedSequence(numbers))) for numbers in entropy]
    while True:
        yield from torch.from_numpy(np.stack([source.random(64, dtype=np.float32) for source in sources])).T


class Augmentation(nn.Module):
    """What `config` asks for, with the rooms and noises that it takes; they move with the module.

    Args:
        config: What to do, how much and how often.
        sample_rate_hz: Of the waveforms.
        noise: Recordings at that rate, none of them silent, that take the place of made noise.
    """

    rooms: Tensor
    """(ROOMS, samples) responses."""
    noise: Tensor
    """(rings, samples) of power 1; after its last sample, a ring goes on with its first."""

    def __init__(self, config: AugmentationConfig, sample_rate_hz: int, noise: Sequence[Waveform] = ()) -> None:
        super().__init__()
        self.config = config
        rooms = rings = torch.empty(0, 0)
        if config.reverberation_share:
            rooms = make_rooms(*config.reverberation_s, sample_rate_hz)
        if config.noise_share and noise:
            rings = torch.from_numpy(np.concatenate([waveform / _power(waveform) ** 0.5 for waveform in noise]))[None]
        elif config.noise_share:
            rings = coloured_noise(sample_rate_hz)
        self.register_buffer("rooms", rooms, persistent=False)
        self.register_buffer("noise", rings, persistent=False)

    def waveforms(
        self, waveforms: Tensor, lengths: Tensor, speeds: Sequence[float], chance: Chance
    ) -> tuple[Tensor, Tensor]:
        """The utterances at their speeds, then some of them in a room, some with noise, all of them louder or softer.

        Args:
            waveforms: (B, N) in -1..1, zeros beyond each length.
            lengths: (B,) samples.
            speeds: B of them; 1.1 plays an utterance a tenth faster, pitch and all.
            chance: Decides all but the speed.

        Returns:
            (B, N) waveforms, perhaps beyond -1..1, with zeros beyond each length; and (B,) samples.
        """
        config = self.config
        if any(speed != 1 for speed in speeds):
            waveforms, lengths = at_speeds(waveforms, lengths, speeds)
        if config.reverberation_share:
            waveforms = self._reverberate(waveforms, lengths.to(waveforms.device), chance)
        if config.noise_share:
            waveforms = self._add_noise(waveforms, lengths.to(waveforms.device), chance)
        if config.gain_db:
            gain_db = config.gain_db * (2 * next(chance) - 1)
            waveforms = waveforms * (10 ** (gain_db / 20)).to(waveforms)[:, None]
        return waveforms, lengths

    def _reverberate(self, waveforms: Tensor, lengths: Tensor, chance: Chance) -> Tensor:
        """Some of the waveforms in a room, which changes neither their length nor their power."""
        rows, (room,) = _chosen(self.config.reverberation_share, 1, chance)
        if not len(rows):
            return waveforms
        dry, responses = waveforms[rows], self.rooms[(room * ROOMS).long()]
        samples = waveforms.shape[1]
        size = _fft_size(samples + responses.shape[1] - 1)
        wet = irfft(rfft(dry, size) * rfft(responses, size), size)[:, :samples]
        wet = wet * length_mask(lengths[rows], samples)
        wet *= _norm(dry) / _norm(wet).clamp(min=1e-10)
        return waveforms.index_copy(0, rows.to(waveforms.device), wet)

    def _add_noise(self, waveforms: Tensor, lengths: Tensor, chance: Chance) -> Tensor:
        """Some of the waveforms with noise, at a ratio of powers that is the utterance's own.

        Only a stretch that is 20 dB below the rest of its ring is not raised further.
        """
        rows, (ring, start, ratio) = _chosen(self.config.noise_share, 3, chance)
        if not len(rows):
            return waveforms
        samples = waveforms.shape[1]
        rings = (ring * len(self.noise)).long().tolist()
        firsts = (start.double() * self.noise.shape[1]).long().tolist()
        stretches = [_around(self.noise[row], first, samples) for row, first in zip(rings, firsts, strict=True)]
        noise = torch.stack(stretches) * length_mask(lengths[rows], samples)
        low_db, high_db = self.config.noise_snr_db
        factor = 10 ** (-(low_db + (high_db - low_db) * ratio) / 20).to(waveforms)[:, None]
        noise *= factor * _norm(waveforms[rows]) / _norm(noise).maximum(0.1 * lengths[rows, None].sqrt())
        return waveforms.index_add(0, rows.to(waveforms.device), noise)

    def features(self, features: Tensor, lengths: Tensor, chance: Chance, frames_per_s: float) -> Tensor:
        """Features with random bands and stretches set to zero, which is their mean after normalisation.

        Args:
            features: (B, T, F).
            lengths: (B,) frames.
            chance: Decides where the masks lie and how wide they are.
            frames_per_s: What `time_masks_per_s` needs.

        Source: Park et al. 2019, SpecAugment, without time warping. Size and number of time masks follow the length as
        in Park et al. 2020, SpecAugment on large scale datasets, but the number is rounded up, so that the shortest
        utterances get one too.
        """
        config = self.config
        _, frames, bins = features.shape
        keep = []
        if config.frequency_masks:
            drawn = _draw(2 * config.frequency_masks, chance).to(features.device)
            widest = torch.full_like(lengths, min(config.frequency_mask_bins, bins))
            keep.append(_unmasked(drawn, widest, torch.full_like(lengths, bins), bins)[:, None, :])
        if config.time_masks:
            drawn = _draw(2 * config.time_masks, chance).to(features.device)
            if config.time_masks_per_s:
                most = (lengths * config.time_masks_per_s / frames_per_s).ceil()
                unused = torch.arange(config.time_masks, device=features.device)[:, None] >= most
                drawn[: config.time_masks].masked_fill_(unused, 0.0)  # of width 0
            widest = (lengths * config.time_mask_share).long()
            keep.append(_unmasked(drawn, widest, lengths, frames)[:, :, None])
        for mask in keep:
            features = features * mask
        return features


def at_speeds(waveforms: Tensor, lengths: Tensor, speeds: Sequence[float]) -> tuple[Tensor, Tensor]:
    """(B, N) waveforms and (B,) lengths after each is played at its speed, which is taken to the nearest 1/1000."""
    fractions = [Fraction(speed).limit_denominator(1000) for speed in speeds]
    samples = lengths.tolist()
    pairs = zip(samples, fractions, strict=True)
    new_samples = [-(-count * speed.denominator // speed.numerator) for count, speed in pairs]
    played = waveforms.new_zeros(len(waveforms), max(new_samples))
    for speed in set(fractions):
        rows = [row for row, fraction in enumerate(fractions) if fraction == speed]
        longest = max(new_samples[row] for row in rows)
        alike = waveforms[rows, : max(samples[row] for row in rows)]
        alike = nn.functional.pad(alike, (0, 8))  # because `resample` rounds its own length in float32
        played[rows, :longest] = resample(alike, speed.numerator, speed.denominator)[:, :longest]
    new_lengths = lengths.new_tensor(new_samples)
    return played * length_mask(new_lengths.to(played.device), played.shape[1]), new_lengths


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
    rooms: Tensor = echoes / _norm(echoes) * 10 ** (echoes_db / 20)
    rooms[:, 0] = 1.0
    return rooms


def coloured_noise(sample_rate_hz: int) -> Tensor:
    """(colours, NOISE_SAMPLES) rings of noise of power 1."""
    generator = torch.Generator().manual_seed(0)
    bins = NOISE_SAMPLES // 2 + 1
    spectrum = torch.randn(len(NOISE_COLOURS), bins, generator=generator, dtype=torch.complex64)
    frequency_hz = torch.linspace(0, sample_rate_hz / 2, bins).clamp(min=NOISE_FROM_HZ)
    noise = irfft(spectrum * frequency_hz ** (-torch.tensor(NOISE_COLOURS)[:, None] / 2))
    rings: Tensor = noise / _norm(noise) * NOISE_SAMPLES**0.5
    return rings


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


def _draw(columns: int, chance: Chance) -> Tensor:
    return torch.stack([next(chance) for _ in range(columns)])


def _chosen(share: float, columns: int, chance: Chance) -> tuple[Tensor, Tensor]:
    """(K,) the rows that an effect falls on, that share of all; and (columns, K) more numbers for them."""
    drawn = _draw(1 + columns, chance)
    rows = (drawn[0] < share).nonzero()[:, 0]
    return rows, drawn[1:, rows]


def _unmasked(drawn: Tensor, widest: Tensor, lengths: Tensor, size: int) -> Tensor:
    """(B, size): False where one of M masks lies, given (2 M, B) numbers in [0, 1): for their widths and starts.

    Each is up to `widest` (B,) wide and ends within `lengths` (B,).
    """
    width, start = drawn.chunk(2)
    width = (width * (widest + 1)).long()
    start = (start * (lengths - width + 1)).long()
    position = torch.arange(size, device=drawn.device)
    return ~((position >= start[..., None]) & (position < (start + width)[..., None])).any(0)


def _around(ring: Tensor, first: int, count: int) -> Tensor:
    """`count` samples of a ring from `first` on, round and round if need be."""
    stretch = ring[first : first + count]
    while len(stretch) < count:
        stretch = torch.cat((stretch, ring[: count - len(stretch)]))
    return stretch


def _fft_size(samples: int) -> int:
    """The next 9, 10, 12, 15 or 16 times a power of 2 from `samples` on: quick to transform."""
    power: int = 2 ** max(0, (samples - 1).bit_length() - 4)
    return next(power * times for times in (9, 10, 12, 15, 16) if power * times >= samples)


def _power(waveform: Waveform) -> float:
    return float(np.square(waveform).mean(dtype=np.float64))


_norm = partial(vector_norm, dim=1, keepdim=True)
"""(rows, 1): the root of the sum of squares of each row."""
