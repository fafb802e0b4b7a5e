"""Log-mel features, computed in batches on the device that the waveforms are on.

Shapes: B utterances, N samples, T frames, F mel bins.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from asr.config import settings

LOG_FLOOR = 1e-6
"""Added to a mel energy before the logarithm; 16-bit rounding noise lies about there."""

LOUDNESS = 0.1
"""The root of the mean square to which `normalisation = "level"` brings a recording."""

LEAST_VARIANCE = 1e-2
"""Added to that of a mel bin, so that silence is not blown up into noise."""

PIECE_FRAMES = 1000
"""Of a recording's energies, computed at a time, at least."""


@settings
class FeatureConfig:
    sample_rate_hz: Annotated[int, Ge(4000), Le(192000)] = 16000
    mel_bins: Annotated[int, Ge(8), Le(256)] = 80
    window_ms: Annotated[float, Gt(0), Le(200)] = 25.0
    hop_ms: Annotated[float, Gt(0), Le(100)] = 10.0
    normalisation: Literal["utterance", "level"] = "utterance"
    """`utterance`: each mel bin to mean 0 and deviation 1 over the utterance. `level`: the recording to one loudness,
    then each mel bin by its mean and deviation over the training data (`LogMel.fit`); better for short utterances,
    whose own mean depends on the words.
    """

    @property
    def hop_samples(self) -> int:
        return round(self.sample_rate_hz * self.hop_ms / 1000)

    @property
    def window_samples(self) -> int:
        return round(self.sample_rate_hz * self.window_ms / 1000)


def frame_count(samples: int, config: FeatureConfig) -> int:
    """The frames that `LogMel` makes of that many samples."""
    return 1 + samples // config.hop_samples


def length_mask(lengths: Tensor, longest: int) -> Tensor:
    """(B, longest): True where a position lies within its utterance."""
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


class LogMel(nn.Module):
    """Waveforms to normalised log-mel frames; a batch gives what its utterances give one by one."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.mel = MelSpectrogram(
            sample_rate=config.sample_rate_hz,
            n_fft=2 ** (config.window_samples - 1).bit_length(),
            win_length=config.window_samples,
            hop_length=config.hop_samples,
            f_min=20.0,
            n_mels=config.mel_bins,
            pad_mode="constant",  # zeros beyond the end, as in a batch: reflection would make the two differ
        )
        self.register_buffer("mean", torch.zeros(config.mel_bins))
        self.register_buffer("deviation", torch.ones(config.mel_bins))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a padded batch.

        Args:
            waveforms: (B, N) in -1..1; what lies beyond a length does not matter.
            lengths: (B,) samples.

        Returns:
            (B, T, F) with zeros beyond each length, and (B,) frames.
        """
        frames, frame_lengths = self.log_mel(waveforms, lengths)
        return self._normalised(frames, frame_lengths), frame_lengths

    def log_mel(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features before the mel bins are normalised, as `forward` takes and returns them."""
        waveforms = waveforms * length_mask(lengths, waveforms.shape[1])
        power = waveforms.square().sum(1) / lengths
        return self._log(
            self.mel(waveforms).transpose(1, 2), power[:, None, None]
        ), 1 + lengths // self.config.hop_samples

    def energies(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """(N',) blocks of one recording, however long, to (T', F) mel energies of the whole, piece by piece."""
        hop = self.config.hop_samples
        margin = -(-self.mel.n_fft // (2 * hop))  # frames so far from a cut do not see it
        held, done = torch.zeros(0), 0
        for block in blocks:
            held = torch.cat([held.to(block), block])
            until = len(held) // hop - margin
            if until - done >= PIECE_FRAMES:
                yield self.mel(held)[:, done:until].T
                held, done = held[(until - margin) * hop :], margin
        yield self.mel(held)[:, done:].T

    def of_recording(self, energies: Tensor, statistics: "Statistics") -> Tensor:
        """(T', F) energies, any piece of a recording, to features: those that `forward` makes of the whole.

        Args:
            energies: As `energies` makes them.
            statistics: Of all pieces of the recording.
        """
        frames = self._log(energies, torch.tensor(statistics.power))
        if self.config.normalisation == "level":
            mean, deviation = self.mean, self.deviation
        else:
            mean, variance = (moment.to(frames) for moment in statistics.moments())
            deviation = (variance + LEAST_VARIANCE).sqrt()
        return (frames - mean) / deviation

    @property
    def fitted(self) -> bool:
        """Whether there has been a `fit`."""
        return bool(self.mean.any())

    def fit(self, frames: Tensor) -> None:
        """Takes mean and deviation for `normalisation = "level"` from (frames, F) log-mel frames of training data."""
        self.mean.copy_(frames.mean(0))
        self.deviation.copy_(frames.std(0) + 1e-3)

    def _log(self, energies: Tensor, power: Tensor) -> Tensor:
        """The logarithm of mel energies, at the common loudness if there is to be one; `power` is the mean square."""
        if self.config.normalisation == "level":
            energies = energies * (LOUDNESS**2 / (power + 1e-10))
        return (energies + LOG_FLOOR).log()

    def _normalised(self, frames: Tensor, lengths: Tensor) -> Tensor:
        mask = length_mask(lengths, frames.shape[1])[..., None]
        if self.config.normalisation == "level":
            normalised = (frames - self.mean) / self.deviation
        else:
            count = lengths[:, None, None]
            mean = (frames * mask).sum(1, keepdim=True) / count
            variance = ((frames - mean).square() * mask).sum(1, keepdim=True) / count
            normalised = (frames - mean) / (variance + LEAST_VARIANCE).sqrt()
        return normalised * mask


@dataclass
class Statistics:
    """What normalisation has to know of a whole recording, gathered piece by piece."""

    samples: int = 0
    squares: float = 0.0
    """The sum of the samples' squares."""
    peak: float = 0.0
    frames: int = 0
    sums: Tensor = field(default_factory=lambda: torch.zeros(2, 1, dtype=torch.float64))
    """(2, F): over the frames, each mel bin's logarithm and its square."""

    @property
    def power(self) -> float:
        return self.squares / max(self.samples, 1)

    def add_samples(self, block: Tensor) -> None:
        """Counts in (N',) samples."""
        self.samples += len(block)
        self.squares += float(block.double().square().sum())
        self.peak = max(self.peak, float(block.abs().max()))

    def add_energies(self, energies: Tensor) -> None:
        """Counts in (T', F) mel energies."""
        frames = (energies + LOG_FLOOR).log().cpu().double()
        self.frames += len(frames)
        self.sums = self.sums + torch.stack([frames.sum(0), frames.square().sum(0)])

    def moments(self) -> Tensor:
        """(2, F): mean and variance of each mel bin."""
        mean, square = self.sums / max(self.frames, 1)
        return torch.stack([mean, (square - mean.square()).clamp(min=0)])
