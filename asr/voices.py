"""Voices made others: at another speed, at another tempo, or with a vocal tract of another length.

Shapes: B utterances, N samples, T frames, F mel bins; what carries lengths has zeros beyond them.
"""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn
from torchaudio.functional import resample

from asr.features import length_mask

WARPED_SHARE = 0.8
"""Of the mel bins: up to there formants move, beyond they make room."""


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


def at_tempos(frames: Tensor, lengths: Tensor, durations: Tensor) -> tuple[Tensor, Tensor]:
    """Log-mel frames after each utterance is made so many times as long, with its pitch as it was.

    Args:
        frames: (B, T, F); what lies beyond a length does not matter.
        lengths: (B,) frames.
        durations: (B,), 1.1 for an utterance that is to last a tenth longer.

    Returns:
        (B, T', F) with zeros beyond each length, and (B,) frames, one at least.
    """
    new_lengths = (lengths * durations).round().long().clamp(min=1)
    longest = int(new_lengths.max())
    pace = (lengths - 1) / (new_lengths - 1).clamp(min=1)  # so that the first and the last frame stay
    positions = torch.arange(longest, device=frames.device) * pace[:, None]
    stretched = _between(frames, positions.minimum(lengths[:, None] - 1))
    return stretched * length_mask(new_lengths, longest)[..., None], new_lengths


def warped(frames: Tensor, factors: Tensor) -> Tensor:
    """Log-mel frames (B, T, F) as if each speaker's vocal tract were so many times as long, given (B,) factors.

    A mel bin gets what was that many times as high, up to most of the band, and then evenly up to its edge.

    Source: Jaitly and Hinton 2013, "Vocal tract length perturbation (VTLP) improves speech recognition"; after Lee and
    Rose 1998. Departure: the mel scale is warped, which is at hand, and not the frequency before it.
    """
    edge = frames.shape[2] - 1
    bins = torch.arange(edge + 1, device=frames.device)
    factors = factors[:, None]
    knee = WARPED_SHARE * edge / factors.clamp(min=1)
    beyond = knee * factors + (bins - knee) * (edge - knee * factors) / (edge - knee)
    positions = torch.where(bins <= knee, bins * factors, beyond)
    return _between(frames.transpose(1, 2), positions.clamp(max=edge)).transpose(1, 2)


def _between(rows: Tensor, positions: Tensor) -> Tensor:
    """What stands at (B, M) positions between the N rows of (B, N, D), by linear interpolation: (B, M, D)."""
    below = positions.long()
    above = (below + 1).clamp(max=rows.shape[1] - 1)
    left, right = (rows.gather(1, place[..., None].expand(-1, -1, rows.shape[2])) for place in (below, above))
    return left.lerp(right, (positions - below)[..., None])
