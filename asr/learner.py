"""A model that learns: a batch adds its gradient, an update moves the weights.

Everything random follows from the seed, the epoch and the piece of data or the batch's number in it, so a resumed run
needs no random states to go on as the unbroken one would.
"""

import hashlib
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from asr.config import Precision
from asr.device import dtype_of
from asr.optimizer import Optimizer, OptimizerConfig
from asr.task import Batch, Draw, Tally, Task

DropoutSchedule = Literal["constant", "rise-and-fall"]


@dataclass
class Learner:
    """A task's model with its optimiser."""

    task: Task
    config: OptimizerConfig
    precision: Precision
    seed: int

    def __post_init__(self) -> None:
        self.checkpoint, self.device, self.processes = self.task.checkpoint, self.task.device, self.task.processes
        model = self.checkpoint.model
        self.optimizer = Optimizer(model, self.config)
        if self.processes.count > 1:
            model = DistributedDataParallel(model, gradient_as_bucket_view=True)
        self.model = model
        self.dtype = dtype_of(self.precision, self.device)
        self.dropouts = [(part, part.p) for part in model.modules() if isinstance(part, nn.Dropout)]
        self.pending = Tally()
        self.pending_ids: list[str] = []
        self.pending_suspects: list[str] = []
        self.suspects: list[str] = []

    def add(self, batch: Batch, draws: Sequence[Draw], tokens: int, epoch: int, number: int, last: bool = True) -> None:
        """Adds a batch's gradient to those that wait for the update.

        Args:
            batch: On any device.
            draws: What the batch was loaded from, one for each piece; none where the plan had none left for this
                process, which then only goes through the motions with the batch.
            tokens: The tokens of all batches of the update, in all processes: its loss is the mean over them.
            epoch: From 0.
            number: The batch's place in the epoch.
            last: Whether the update follows.
        """
        self._seed_dropout(epoch, number)
        with nullcontext() if last else self._apart():
            losses, tally = self.losses(batch, draws or [self.task.idle] * len(batch.ids), epoch)
            share = self.processes.count / tokens if draws else 0.0  # of the processes, DDP takes the mean
            (losses.sum() * share).backward()  # type: ignore[no-untyped-call]
        if draws:
            self.pending.add(tally)
            self.pending_ids += batch.ids
        if not math.isfinite(tally.loss):
            self.pending_suspects += [
                i for i, loss in zip(batch.ids, losses.tolist(), strict=True) if not math.isfinite(loss)
            ]

    def drop(self, share: float) -> None:
        """Lets dropout take that share of what the model's settings say, 0 to 1."""
        for part, whole in self.dropouts:
            part.p = share * whole

    def rehearse(self, batch: Batch, draws: Sequence[Draw], epoch: int = 0) -> None:
        """Goes forwards and backwards over a batch and leaves no trace: to see whether it fits."""
        with self._apart():
            losses, _ = self.losses(batch, draws, epoch)
            losses.sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer.clear()

    def losses(self, batch: Batch, draws: Sequence[Draw], epoch: int) -> tuple[Tensor, Tally]:
        """The loss of each piece of the batch, (B,), and the sums that go with it."""
        self.checkpoint.model.train()
        return self.task.losses(self._forward, batch.to(self.device), draws, epoch)

    def update(self, done: float) -> Tally:
        """Moves the weights by the gradients that were added, or leaves them where the gradient is not finite.

        Args:
            done: The share of training that is over, 0 to 1.

        Returns:
            The sums over the update's batches, in this process. After a skipped update `suspects` has the ids of the
            pieces whose loss is not finite, or of all where every loss is and only the gradient is not.
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

    def _forward(self, *inputs: Tensor) -> Any:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model(*inputs)

    def _of_all(self, ids: list[str]) -> list[str]:
        return [name for part in self.processes.gather(ids) for name in part]

    def _apart(self) -> AbstractContextManager[None]:
        """Within the block a backward pass stays in this process."""
        apart = isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if apart else nullcontext()  # type: ignore[operator]

    def _seed_dropout(self, epoch: int, number: int) -> None:
        name = f"{self.seed} {epoch} {number} {self.processes.rank}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1)


def dropout_share(done: float, schedule: DropoutSchedule) -> float:
    """The share of the model's dropout in force when the share `done` of training is over.

    Source: Cheng et al. 2017, "An exploration of dropout with LSTMs".
    """
    if schedule == "constant":
        return 1.0
    return max(0.0, (done - 0.2) / 0.3) if done < 0.5 else 2 * (1 - done)
