"""Training data made harder on the device: gain and coloured noise on waveforms, SpecAugment masks on features.

Shapes: B utterances, N samples, T frames, F mel bins. Every draw comes from the generator handed in.
"""

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, MinLen
from torch import Generator, Tensor

from asr.config import settings
from asr.features import length_mask

Share = Annotated[float, Ge(0), Le(1)]


@settings
class AugmentationConfig:
    speeds: Annotated[tuple[Annotated[float, Gt(0.3), Le(3)], ...], MinLen(1)] = (1.0,)
    """One is drawn for each utterance; 1.1 plays it a tenth faster, pitch and all."""
    gain_db: Annotated[float, Ge(0)] = 0.0
    """Level changes by up to this much either way."""
    noise_share: Share = 0.0
    """The share of utterances that get noise."""
    noise_snr_db: tuple[float, float] = (5.0, 40.0)
    frequency_masks: Annotated[int, Ge(0)] = 0
    frequency_mask_bins: Annotated[int, Ge(0)] = 15
    time_masks: Annotated[int, Ge(0)] = 0
    time_mask_share: Share = 0.1
    """The longest time mask, as a share of the utterance."""


def disturb(waveforms: Tensor, lengths: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """(B, N) waveforms with random gain and, some of them, random coloured noise."""
    batch = len(waveforms)
    gain_db = _uniform(batch, -config.gain_db, config.gain_db, generator)
    snr_db = _uniform(batch, *config.noise_snr_db, generator)
    chosen = torch.rand(batch, generator=generator) < config.noise_share
    if chosen.any():
        mask = length_mask(lengths, waveforms.shape[1])
        power = (waveforms.square() * mask).sum(1) / lengths
        noise = coloured_noise(waveforms.shape, generator).to(waveforms.device)
        level = chosen.to(power) * (power * 10 ** (-snr_db.to(power) / 10)).sqrt()
        waveforms = waveforms + level[:, None] * noise
    return waveforms * (10 ** (gain_db.to(waveforms) / 20))[:, None]


def coloured_noise(shape: torch.Size, generator: Generator) -> Tensor:
    """(B, N) noise of power 1 whose spectrum falls as 1/f^a, with a from 0 (white) to 2 (brown) drawn for each row."""
    batch, samples = shape
    spectrum = torch.fft.rfft(torch.randn(batch, samples, generator=generator))
    steepness = _uniform(batch, 0.0, 2.0, generator)[:, None]
    frequency = torch.arange(1, spectrum.shape[1] + 1) / spectrum.shape[1]
    noise: Tensor = torch.fft.irfft(spectrum * frequency.clamp(min=0.01) ** (-steepness / 2), n=samples)
    power = noise.square().mean(1, keepdim=True)
    scaled: Tensor = noise / (power + 1e-12).sqrt()
    return scaled


def mask(features: Tensor, lengths: Tensor, config: AugmentationConfig, generator: Generator) -> Tensor:
    """(B, T, F) features with random bands and stretches set to zero, which is their mean after normalisation.

    Source: Park et al. 2019, SpecAugment, without time warping; the length of time masks follows the utterance, as in
    Park et al. 2020.
    """
    batch, frames, bins = features.shape
    for _ in range(config.frequency_masks):
        limit = torch.full((batch,), min(config.frequency_mask_bins, bins))
        features = features * _keep(limit, torch.full((batch,), bins), bins, generator).to(features.device)[:, None, :]
    for _ in range(config.time_masks):
        limit = (lengths.cpu() * config.time_mask_share).long()
        features = features * _keep(limit, lengths.cpu(), frames, generator).to(features.device)[:, :, None]
    return features


def _keep(limit: Tensor, lengths: Tensor, size: int, generator: Generator) -> Tensor:
    """(B, size): False in one random stretch of up to `limit` positions within each row's length."""
    width = (torch.rand(len(limit), generator=generator) * (limit + 1)).long()
    start = (torch.rand(len(limit), generator=generator) * (lengths - width + 1)).long()
    positions = torch.arange(size)
    return (positions < start[:, None]) | (positions >= (start + width)[:, None])


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low
