"""Training data made harder on the device.

Waveforms get another speed, rooms, noise and gain; log-mel frames other voices; features SpecAugment's masks.

Chance belongs to the utterance: what happens to it in an epoch is the same in any batch, order or process.

Shapes: B utterances, K of them chosen, N samples, T frames, F mel bins, M masks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.fft import irfft, rfft

from asr.audio import Waveform
from asr.config import settings
from asr.features import length_mask
from asr.noise import ROOMS, around, coloured_noise, make_rooms, norm, rings_of
from asr.voices import at_speeds, at_tempos, warped

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
    tempo: Annotated[float, Ge(0), Le(0.5)] = 0.0
    """Utterances last longer or shorter by up to this share, and keep their pitch; a batch may grow by as much."""
    warp: Annotated[float, Ge(0), Le(0.5)] = 0.0
    """Speakers' vocal tracts are longer or shorter by up to this share: formants move along the mel bins."""
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
        self.slow = False
        rooms = rings = torch.empty(0, 0)
        if config.reverberation_share:
            rooms = make_rooms(*config.reverberation_s, sample_rate_hz)
        if config.noise_share and noise:
            rings = rings_of(noise)
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
        wet *= norm(dry) / norm(wet).clamp(min=1e-10)
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
        stretches = [around(self.noise[row], first, samples) for row, first in zip(rings, firsts, strict=True)]
        noise = torch.stack(stretches) * length_mask(lengths[rows], samples)
        low_db, high_db = self.config.noise_snr_db
        factor = 10 ** (-(low_db + (high_db - low_db) * ratio) / 20).to(waveforms)[:, None]
        noise *= factor * norm(waveforms[rows]) / norm(noise).maximum(0.1 * lengths[rows, None].sqrt())
        return waveforms.index_add(0, rows.to(waveforms.device), noise)

    def voices(self, frames: Tensor, lengths: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
        """The utterances as other speakers might say them, quicker or slower, with a shorter or longer vocal tract.

        Args:
            frames: (B, T, F), before they are normalised.
            lengths: (B,) frames.
            chance: Decides how far.

        Returns:
            (B, T', F) frames, and how many of them there are, (B,).
        """
        if self.config.tempo:
            drawn = next(chance)
            durations = _about_one(self.config.tempo, torch.ones_like(drawn) if self.slow else drawn)
            frames, lengths = at_tempos(frames, lengths, durations.to(frames.device))
        if self.config.warp:
            frames = warped(frames, _about_one(self.config.warp, next(chance)).to(frames.device))
        return frames, lengths

    @contextmanager
    def slowly(self) -> Iterator[None]:
        """Within the block every utterance lasts as long as its tempo may make it."""
        self.slow = True
        try:
            yield
        finally:
            self.slow = False

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


def _about_one(spread: float, drawn: Tensor) -> Tensor:
    return 1 + spread * (2 * drawn - 1)


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


def _fft_size(samples: int) -> int:
    """The next 9, 10, 12, 15 or 16 times a power of 2 from `samples` on: quick to transform."""
    power: int = 2 ** max(0, (samples - 1).bit_length() - 4)
    return next(power * times for times in (9, 10, 12, 15, 16) if power * times >= samples)
