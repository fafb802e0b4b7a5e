"""Log-mel features, computed in batches on the device that the waveforms are on.

Shapes: B utterances, N samples, T frames, F mel bins.
"""

from collections import deque
from collections.abc import Iterable, Iterator
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

NORMALISED_S = 300.0
"""What a stretch of a long recording is normalised over. On half an hour of four readers, one after the other, a model
that has 79.7 % of the words wrong utterance by utterance had 87.4 % wrong when normalised over the whole, and 83.2 %
over 300 s; over 15 s it was the same, and a pause of that length would be turned up into noise.
"""

STEP_FRAMES = 100
"""Of a recording's features, normalised alike."""

SILENCE = 2**-13
"""No sample of silence is louder: the noise of 16-bit rounding, dithered, stays below."""


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
        return self.normalised(frames, frame_lengths), frame_lengths

    def log_mel(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features before the mel bins are normalised, as `forward` takes and returns them."""
        waveforms = waveforms * length_mask(lengths, waveforms.shape[1])
        power = waveforms.square().sum(1) / lengths
        frames = self._log(self.mel(waveforms).transpose(1, 2), power[:, None, None])
        return frames, 1 + lengths // self.config.hop_samples

    def normalised(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """What `forward` makes of those of `log_mel`: (B, T, F), zeros beyond each length."""
        mask = length_mask(lengths, frames.shape[1])[..., None]
        if self.config.normalisation == "level":
            normalised = (frames - self.mean) / self.deviation
        else:
            count = lengths[:, None, None]
            mean = (frames * mask).sum(1, keepdim=True) / count
            variance = ((frames - mean).square() * mask).sum(1, keepdim=True) / count
            normalised = (frames - mean) / (variance + LEAST_VARIANCE).sqrt()
        return normalised * mask

    def of_recording(self, blocks: Iterable[Tensor]) -> Iterator[tuple[Tensor, bool]]:
        """(N',) blocks of one recording, however long, to its features, up to `STEP_FRAMES` at a time.

        They are those of `forward` for a recording of up to `NORMALISED_S`. In a longer one each step is normalised by
        that much around it, so that one voice does not set the measure for another, and memory does not grow.

        Yields:
            (T', F), and whether there is any sound in them.

        Source: the sliding, centred normalisation of Kaldi's apply-cmvn-sliding, step by step.
        """
        reach = round(NORMALISED_S * self.config.sample_rate_hz / self.config.hop_samples / STEP_FRAMES)
        waiting: deque[tuple[Tensor, bool]] = deque()
        sums: deque[Tensor] = deque()
        total = torch.zeros(1, dtype=torch.float64)
        for energies, samples in self._steps(blocks):
            frames = energies if self.config.normalisation == "level" else (energies + LOG_FLOOR).log()
            waiting.append((frames, bool(samples.numel() and max(map(abs, samples.aminmax())) > SILENCE)))
            sums.append(self._sums(frames, samples))
            total = total + sums[-1]
            if len(sums) > reach:
                total = total - sums.popleft()
            while len(sums) == reach and len(waiting) > reach // 2:
                frames, loud = waiting.popleft()
                yield self._normalised_by(total, frames), loud
        for frames, loud in waiting:
            yield self._normalised_by(total, frames), loud

    @property
    def fitted(self) -> bool:
        """Whether there has been a `fit`."""
        return bool(self.mean.any())

    def fit(self, frames: Tensor) -> None:
        """Takes mean and deviation for `normalisation = "level"` from (frames, F) log-mel frames of training data."""
        self.mean.copy_(frames.mean(0))
        self.deviation.copy_(frames.std(0) + 1e-3)

    def _steps(self, blocks: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """(N',) blocks to (T', F) mel energies of the whole, step by step, and the samples from frame to frame."""
        hop = self.config.hop_samples
        margin = -(-self.mel.n_fft // (2 * hop))  # frames so far from a cut do not see it
        held, done = torch.zeros(0), 0

        def steps(until: int) -> Iterator[tuple[Tensor, Tensor]]:
            energies = self.mel(held)[:, :until].T
            for start in range(done, until, STEP_FRAMES):
                end = min(start + STEP_FRAMES, until)
                yield energies[start:end], held[start * hop : end * hop]

        for block in blocks:
            held = torch.cat([held, block])
            whole_steps = (len(held) // hop - margin - done) // STEP_FRAMES
            if whole_steps > 0:
                until = done + whole_steps * STEP_FRAMES
                yield from steps(until)
                begin = max(0, until - margin)
                held, done = held[begin * hop :], until - begin
        yield from steps(frame_count(len(held), self.config))

    def _sums(self, frames: Tensor, samples: Tensor) -> Tensor:
        """What normalisation has to know of a step, to be added up; its first is a count."""
        if self.config.normalisation == "level":
            return torch.stack([torch.tensor(len(samples)), samples.double().square().sum()])
        frames = frames.double()
        return torch.cat([torch.tensor([len(frames)]), frames.sum(0), frames.square().sum(0)])

    def _normalised_by(self, sums: Tensor, frames: Tensor) -> Tensor:
        """A step's (T', F) features, given the sums of all the steps that count.

        Args:
            frames: Mel energies for `normalisation = "level"`, else their logarithms.
        """
        means = sums[1:] / sums[0]
        if self.config.normalisation == "level":
            mean, deviation, frames = self.mean, self.deviation, self._log(frames, means[0].float())
        else:
            mean, square = means.view(2, -1)
            mean, deviation = mean.float(), ((square - mean.square()).clamp(min=0) + LEAST_VARIANCE).sqrt().float()
        return (frames - mean) / deviation

    def _log(self, energies: Tensor, power: Tensor) -> Tensor:
        """The logarithm of mel energies, at the common loudness if there is to be one; `power` is the mean square."""
        if self.config.normalisation == "level":
            energies = energies * (LOUDNESS**2 / (power + 1e-10))
        return (energies + LOG_FLOOR).log()
