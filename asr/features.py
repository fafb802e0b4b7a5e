"""Log-mel features, computed in batches on the device that the waveforms are on.

Shapes: B utterances, N samples, T frames, F mel bins.
"""

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

PIECE_FRAMES = 6000
"""Of a long recording's features, computed at a time; the spectrum before the mel filters takes ten times the room."""


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

    def of_recording(self, waveform: Tensor) -> Tensor:
        """(N,) samples of one recording, however long, to its (T, F) features: those of `forward`, in little memory."""
        samples, hop = len(waveform), self.config.hop_samples
        waveform = self._levelled(waveform[None], torch.tensor([samples], device=waveform.device))
        frames = frame_count(samples, self.config)
        margin = -(-self.mel.n_fft // (2 * hop))  # frames so far from a cut do not see it
        pieces = []
        for start in range(0, frames, PIECE_FRAMES):
            before = min(start, margin)
            piece = waveform[:, (start - before) * hop : (start + PIECE_FRAMES + margin) * hop]
            pieces.append(self._log_mel(piece)[:, before : before + PIECE_FRAMES])
        return self._normalised(torch.cat(pieces, dim=1), torch.tensor([frames], device=waveform.device))[0]

    def log_mel(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features before the mel bins are normalised, as `forward` takes and returns them."""
        return self._log_mel(self._levelled(waveforms, lengths)), 1 + lengths // self.config.hop_samples

    @property
    def fitted(self) -> bool:
        """Whether there has been a `fit`."""
        return bool(self.mean.any())

    def fit(self, frames: Tensor) -> None:
        """Takes mean and deviation for `normalisation = "level"` from (frames, F) log-mel frames of training data."""
        self.mean.copy_(frames.mean(0))
        self.deviation.copy_(frames.std(0) + 1e-3)

    def _levelled(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        waveforms = waveforms * length_mask(lengths, waveforms.shape[1])
        if self.config.normalisation == "level":
            power = waveforms.square().sum(1, keepdim=True) / lengths[:, None]
            waveforms = waveforms * (LOUDNESS / (power + 1e-10).sqrt())
        return waveforms

    def _log_mel(self, waveforms: Tensor) -> Tensor:
        frames: Tensor = (self.mel(waveforms) + LOG_FLOOR).log().transpose(1, 2)
        return frames

    def _normalised(self, frames: Tensor, lengths: Tensor) -> Tensor:
        mask = length_mask(lengths, frames.shape[1])[..., None]
        if self.config.normalisation == "level":
            normalised = (frames - self.mean) / self.deviation
        else:
            count = lengths[:, None, None]
            mean = (frames * mask).sum(1, keepdim=True) / count
            variance = ((frames - mean).square() * mask).sum(1, keepdim=True) / count
            normalised = (frames - mean) / (variance + 1e-2).sqrt()  # the 1e-2: silence is not blown up into noise
        return normalised * mask
