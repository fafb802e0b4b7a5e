"""Speech as a training task: utterances with their transcripts, augmentation, the CTC loss, word errors on dev.

Everything random follows from the seed, the epoch and the utterance. Shapes: B utterances, N samples, T frames,
V tokens.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn.functional import ctc_loss

from asr import preflight
from asr.augment import Augmentation, chances
from asr.checkpoint import Checkpoint
from asr.config import settings
from asr.dataset import Batch, Draw, SpeechDataset, load, plan
from asr.distributed import Processes
from asr.errors import ModelError
from asr.features import length_mask
from asr.manifest import Utterance, hours
from asr.metrics import score, total
from asr.recognizer import Recognizer
from asr.task import Score, Tally
from asr.training import RunConfig

CONVENIENCES = ("workers", "keep_hours", "save_every_s")
"""The settings that the weights do not depend on: a broken-off run may go on with others."""


@settings
class TrainingConfig(RunConfig):
    batch_s: Annotated[float, Gt(0)] = 120.0
    """Seconds of audio in a batch, padding included; shared out where several processes train together."""
    workers: Annotated[int, Ge(0)] = 0
    """Processes that read recordings; 0 reads in the training process."""
    keep_hours: Annotated[float, Ge(0)] = 20.0
    """Training data up to this much is read once and kept in memory (115 MB an hour at 16 kHz)."""


@dataclass
class SpeechTask:
    """A recognizer that learns from utterances; see `asr.task.Task`."""

    checkpoint: Checkpoint
    train: Sequence[Utterance]
    dev: Sequence[Utterance]
    config: TrainingConfig
    augmentation: Augmentation
    device: torch.device
    processes: Processes = field(default_factory=Processes)
    goal: str = "WER"
    idle: Draw = (0, 1.0)

    def __post_init__(self) -> None:
        features = self.checkpoint.features.config
        self.train_set = SpeechDataset(self.train, self.checkpoint.vocabulary, features.sample_rate_hz)
        self.dev_set = SpeechDataset(self.dev, self.checkpoint.vocabulary, features.sample_rate_hz)
        self.recognizer = Recognizer(self.checkpoint, self.device)
        self.augmentation.to(self.device)
        self.frames_per_s = features.sample_rate_hz / features.hop_samples

    def amount(self) -> str:
        return f"{hours(self.train):.2f} h of speech"

    def check(self) -> Iterator[preflight.Finding]:
        vocabulary, features = self.checkpoint.vocabulary, self.checkpoint.features.config
        speeds, subsampling = self.augmentation.config.speeds, self.checkpoint.model.config.subsampling
        yield preflight.manifests({"train": self.train, "dev": self.dev})
        yield preflight.alphabet(vocabulary, self.train)
        yield preflight.ctc(self.train, vocabulary, features, subsampling, speeds)

    def try_longest(self, rehearse: Callable[[Batch, Sequence[Draw]], None], later_bytes: int) -> preflight.Memory:
        slowest = (min(self.augmentation.config.speeds),)
        batches = plan(self.train, self.config.batch_s, slowest, self.config.seed)
        draws = max(batches, key=lambda draws: len(draws) * max(self.train_set.seconds(draw) for draw in draws))
        draws = list(self.processes.share(draws)) or draws[:1]
        batch = next(load(self.train_set, [draws]))
        trial = preflight.Trial(batch, max(map(self.train_set.seconds, draws)), self.config.batch_s, self.device)
        for data_set in (self.train_set, self.dev_set):
            later_bytes += data_set.bytes_to_keep(self.config.keep_hours)
        return trial.run(lambda part: rehearse(part, draws[: len(part.ids)]), later_bytes)

    def begin(self, resumed: bool) -> None:
        self.train_set.keep(self.config.keep_hours)
        self.dev_set.keep(self.config.keep_hours)
        if not resumed:
            self._fit_normalisation()

    def plan(self, epoch: int) -> list[list[Draw]]:
        return plan(self.train, self.config.batch_s, self.augmentation.config.speeds, self.config.seed, epoch)

    def load(self, batches: Sequence[list[Draw]]) -> Iterator[Batch]:
        return load(self.train_set, batches, self.config.workers)

    def tokens(self, draw: Draw) -> int:
        return len(self.train_set.tokens[draw[0]])

    def losses(
        self, forward: Callable[..., Any], batch: Batch, draws: Sequence[Draw], epoch: int
    ) -> tuple[Tensor, Tally]:
        chance = chances(self.config.seed, epoch, [place for place, _ in draws])
        speeds = [speed for _, speed in draws]
        waveforms, samples = self.augmentation.waveforms(batch.waveforms, batch.waveform_lengths, speeds, chance)
        features, lengths = self.checkpoint.features(waveforms, samples)
        features = self.augmentation.features(features, lengths, chance, self.frames_per_s)
        log_probabilities, frames = forward(features, lengths)
        losses = ctc(log_probabilities, frames, batch)
        with torch.no_grad():
            inside = length_mask(frames, log_probabilities.shape[1])
            blanks = ((log_probabilities.argmax(2) == 0) & inside).sum()
            repeats = (batch.tokens[:, 1:] == batch.tokens[:, :-1]) & (batch.tokens[:, 1:] > 0)
            infeasible = (frames < batch.token_lengths + repeats.sum(1)).sum()
            sums = (losses.sum(), batch.token_lengths.sum(), frames.sum(), blanks, samples.sum(), infeasible)
            loss, tokens, count, blank, heard, short = torch.stack([value.to(losses) for value in sums]).tolist()
        rate = self.checkpoint.features.config.sample_rate_hz
        return losses, Tally(loss, tokens, count, blank, heard / rate, short)

    def memory_trouble(self, batch: Batch, when: str) -> AbstractContextManager[None]:
        longest_s = batch.waveforms.shape[1] / self.train_set.sample_rate_hz
        return preflight.memory_trouble(batch, longest_s, self.config.batch_s, when)

    def evaluate(self, tally: Tally) -> Score:
        """The error rates of greedy decoding."""
        batches = self.processes.share(plan(self.dev, self.config.batch_s))
        heard = dict(self.recognizer.decode(load(self.dev_set, batches, self.config.workers)))
        hypotheses = {name: text for part in self.processes.gather(heard) for name, text in part.items()}
        errors = total(score({u.id: u.text for u in self.dev}, hypotheses).values())
        advice = "" if any(hypotheses.values()) else self._silence(tally.figures()["blank_share"])
        return Score({"wer": errors.wer, "cer": errors.cer}, advice)

    def prove(self, saved: Checkpoint) -> None:
        """By what both hear in the first batch of dev."""
        (batch,) = load(self.dev_set, plan(self.dev, self.config.batch_s)[:1])
        if list(Recognizer(saved, self.device).decode([batch])) != list(self.recognizer.decode([batch])):
            raise ModelError("what was saved decodes differently from what was trained; the last good model is kept")

    def _fit_normalisation(self) -> None:
        features = self.checkpoint.features
        if features.config.normalisation == "level" and not features.fitted:
            sample = plan(self.train, self.config.batch_s, seed=self.config.seed, epoch=1)[:10]
            batches = [batch.to(self.device) for batch in load(self.train_set, sample)]
            parts = [features.log_mel(batch.waveforms, batch.waveform_lengths) for batch in batches]
            inside = torch.cat([frames[length_mask(lengths, frames.shape[1])] for frames, lengths in parts])
            features.fit(inside)

    def _silence(self, blank_share: float) -> str:
        return (
            f"nothing at all has been heard in dev, and {blank_share:.0%} of the frames are blank. The usual causes: "
            f"too few updates an epoch (training.batch_s = {self.config.batch_s:g}); transcripts that are not what is "
            "said"
        )


def ctc(log_probabilities: Tensor, frames: Tensor, batch: Batch) -> Tensor:
    """The CTC loss of each utterance, (B,), in float32; zero for one with fewer frames than it needs.

    Args:
        log_probabilities: (B, T, V).
        frames: (B,) how many of T count.
        batch: Whose tokens are to be found.
    """
    if log_probabilities.device.type == "mps":  # PyTorch has no CTC there
        log_probabilities = log_probabilities.cpu()
    by_time = log_probabilities.float().transpose(0, 1)
    lengths = (frames.to(by_time.device), batch.token_lengths.to(by_time.device))
    return ctc_loss(by_time, batch.tokens.to(by_time.device), *lengths, reduction="none", zero_infinity=True)
