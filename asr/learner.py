"""A model that learns: a batch adds its gradient, an update moves the weights.

Everything random follows from the seed, the epoch and the utterance or the batch's number in it, so a resumed run
needs no random states to go on as the unbroken one would.

Shapes: B utterances, N samples, T frames, V tokens.
"""

import hashlib
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss
from torch.nn.parallel import DistributedDataParallel

from asr.augment import Augmentation, chances
from asr.checkpoint import Checkpoint
from asr.dataset import Batch, Draw
from asr.device import has_bfloat16
from asr.distributed import Processes
from asr.features import length_mask
from asr.optimizer import Optimizer, OptimizerConfig

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass
class Tally:
    """Sums over batches."""

    loss: float = 0.0
    tokens: float = 0.0
    frames: float = 0.0
    blanks: float = 0.0
    """Frames in which the blank is the likeliest token."""
    audio_s: float = 0.0
    infeasible: float = 0.0
    """Utterances with fewer frames than CTC needs; they add nothing to the loss."""
    updates: float = 0.0
    skipped: float = 0.0
    """Updates without a finite gradient, which were left out."""
    gradient_norm: float = 0.0
    waiting_s: float = 0.0
    seconds: float = 0.0

    def add(self, other: "Tally") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def figures(self) -> dict[str, float]:
        """What the sums come to, for the eye and for `history.jsonl`."""
        taken = self.updates - self.skipped
        return {
            "loss": round(self.loss / max(self.tokens, 1), 4),
            "gradient_norm": round(self.gradient_norm / max(taken, 1), 4),
            "blank_share": round(self.blanks / max(self.frames, 1), 4),
            "infeasible": round(self.infeasible),
            "skipped": round(self.skipped),
            "seconds": round(self.seconds, 1),
            "hours_per_s": round(self.audio_s / 3600 / max(self.seconds, 1e-9), 5),
            "times_real_time": round(self.audio_s / max(self.seconds, 1e-9), 1),
            "waiting_share": round(self.waiting_s / max(self.seconds, 1e-9), 3),
        }


@dataclass
class Learner:
    """A checkpoint on its device with its optimiser; one of several processes that learn as one, or alone."""

    checkpoint: Checkpoint
    augmentation: Augmentation
    config: OptimizerConfig
    precision: Precision
    seed: int
    device: torch.device
    processes: Processes = field(default_factory=Processes)

    def __post_init__(self) -> None:
        model: nn.Module = self.checkpoint.model.to(self.device)
        self.checkpoint.features.to(self.device)
        self.augmentation.to(self.device)
        self.optimizer = Optimizer(model.parameters(), self.config)
        if self.processes.count > 1:
            model = DistributedDataParallel(model, gradient_as_bucket_view=True)
        self.model = model
        features = self.checkpoint.features.config
        self.frames_per_s = features.sample_rate_hz / features.hop_samples
        quick = self.precision == "auto" and has_bfloat16(self.device)
        self.dtype = torch.bfloat16 if quick or self.precision == "bfloat16" else torch.float32
        self.pending = Tally()
        self.pending_ids: list[str] = []
        self.pending_suspects: list[str] = []
        self.suspects: list[str] = []

    def add(self, batch: Batch, draws: Sequence[Draw], tokens: int, epoch: int, number: int, last: bool = True) -> None:
        """Adds a batch's gradient to those that wait for the update.

        Args:
            batch: On any device.
            draws: What the batch was loaded from, one for each utterance; none where the plan had none left for this
                process, which then only goes through the motions with the batch.
            tokens: The tokens of all batches of the update, in all processes: its loss is the mean over them.
            epoch: From 0.
            number: The batch's place in the epoch.
            last: Whether the update follows.
        """
        self._seed_dropout(epoch, number)
        with nullcontext() if last else self._apart():
            losses, tally = self.losses(batch, draws or [(0, 1.0)] * len(batch.ids), epoch)
            share = self.processes.count / tokens if draws else 0.0  # of the processes, DDP takes the mean
            (losses.sum() * share).backward()  # type: ignore[no-untyped-call]
        if draws:
            self.pending.add(tally)
            self.pending_ids += batch.ids
        if not math.isfinite(tally.loss):
            self.pending_suspects += [
                i for i, loss in zip(batch.ids, losses.tolist(), strict=True) if not math.isfinite(loss)
            ]

    def rehearse(self, batch: Batch, draws: Sequence[Draw]) -> None:
        """Goes forwards and backwards over a batch and leaves no trace: to see whether it fits."""
        with self._apart():
            losses, _ = self.losses(batch, draws, epoch=0)
            losses.sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.clear()

    def losses(self, batch: Batch, draws: Sequence[Draw], epoch: int) -> tuple[Tensor, Tally]:
        """The CTC loss of each utterance, (B,), and the sums that go with it."""
        self.checkpoint.model.train()
        batch = batch.to(self.device)
        chance = chances(self.seed, epoch, [place for place, _ in draws])
        speeds = [speed for _, speed in draws]
        waveforms, samples = self.augmentation.waveforms(batch.waveforms, batch.waveform_lengths, speeds, chance)
        features, lengths = self.checkpoint.features(waveforms, samples)
        features = self.augmentation.features(features, lengths, chance, self.frames_per_s)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            log_probabilities, frames = self.model(features, lengths)
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

    def update(self, done: float) -> Tally:
        """Moves the weights by the gradients that were added, or leaves them where the gradient is not finite.

        Args:
            done: The share of training that is over, 0 to 1.

        Returns:
            The sums over the update's batches, in this process. After a skipped update `suspects` has the ids of the
            utterances whose loss is not finite, or of all where every loss is and only the gradient is not.
        """
        norm = self.optimizer.update(done)
        tally, ids, suspects = self.pending, self.pending_ids, self.pending_suspects
        self.pending, self.pending_ids, self.pending_suspects = Tally(), [], []
        tally.updates = 1
        if math.isfinite(norm):
            tally.gradient_norm, self.suspects = norm, []
        else:
            tally.skipped, tally.loss, tally.tokens = 1, 0.0, 0.0
            self.suspects = self._of_all(suspects) or self._of_all(ids)
        return tally

    def _of_all(self, ids: list[str]) -> list[str]:
        return [name for part in self.processes.gather(ids) for name in part]

    def _apart(self) -> AbstractContextManager[None]:
        """Within the block a backward pass stays in this process."""
        apart = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if apart else nullcontext()  # type: ignore[operator]

    def _seed_dropout(self, epoch: int, number: int) -> None:
        name = f"{self.seed} {epoch} {number} {self.processes.rank}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1)


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
