"""What can be trained: a model with its data, as the training loop sees it, be it of speech or of text."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from asr.checkpoint import Stored
from asr.distributed import Processes
from asr.errors import AsrError
from asr.preflight import Finding, Memory, out_of_memory, try_parts

Draw = Any
"""A piece of training data in the plan of an epoch; only the task knows what it is."""

Batch = Any
"""Pieces loaded together. It has `ids`, their names, and can be moved with `to(device)`."""


@dataclass
class Tally:
    """Sums over batches."""

    loss: float = 0.0
    tokens: float = 0.0
    frames: float = 0.0
    """Put out by the model, as are `blanks`; text has neither, nor audio."""
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
            "skipped": round(self.skipped),
            "seconds": round(self.seconds, 1),
            "waiting_share": round(self.waiting_s / max(self.seconds, 1e-9), 3),
            **(self._of_speech() if self.frames else {"tokens_per_s": round(self.tokens / max(self.seconds, 1e-9), 1)}),
        }

    def _of_speech(self) -> dict[str, float]:
        return {
            "blank_share": round(self.blanks / self.frames, 4),
            "infeasible": round(self.infeasible),
            "hours_per_s": round(self.audio_s / 3600 / max(self.seconds, 1e-9), 5),
            "times_real_time": round(self.audio_s / max(self.seconds, 1e-9), 1),
        }


@dataclass(frozen=True)
class Score:
    """How a model does on dev."""

    figures: dict[str, float]
    """The less, the better; the first decides on the best model, the next where it is a tie."""
    advice: str = ""
    """Where nothing comes out of the model: what to tell the user if it stays so."""


class Task(Protocol):
    """A model with its data, on its device, in one of several processes that learn as one, or alone."""

    goal: str
    """The figure on dev that decides on the best model, in a word."""
    idle: Draw
    """What stands for a batch where the plan has none left for this process."""

    @property
    def checkpoint(self) -> Stored: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def processes(self) -> Processes: ...

    def amount(self) -> str:
        """How much there is to learn from, in words."""

    def check(self) -> Iterator[Finding]:
        """What must hold of the data before the first step, check by check; raises `AsrError` where it does not."""

    def try_longest(self, rehearse: Callable[[Batch, Sequence[Draw]], None], later_bytes: int) -> Memory:
        """Takes the longest batch forwards and backwards; raises `AsrError` where the memory for it is not there.

        Args:
            rehearse: Does so with a batch and what it was loaded from, and leaves no trace.
            later_bytes: What training will hold besides.
        """

    def begin(self, resumed: bool) -> None:
        """Makes all ready for the first step, also what a new model has to know of the data."""

    def begin_epoch(self, epoch: int) -> None:
        """Changes what there is to learn, by what is known at the beginning of an epoch, from 0."""

    def state(self) -> dict[str, Any]:
        """What was so changed, as plain data: a run goes on with it."""

    def load_state(self, state: dict[str, Any]) -> None: ...

    def plan(self, epoch: int) -> list[list[Draw]]:
        """The batches of an epoch, from 0; depends on nothing but the settings and the data."""

    def load(self, batches: Sequence[list[Draw]]) -> Iterator[Batch]:
        """The planned batches, in their order."""

    def tokens(self, draw: Draw) -> int:
        """How many tokens there are to learn in a piece."""

    def losses(
        self, forward: Callable[..., Any], batch: Batch, draws: Sequence[Draw], epoch: int
    ) -> tuple[Tensor, Tally]:
        """The loss of each piece of a batch on the device, (B,), and the sums that go with it.

        Args:
            forward: The model, in the precision that it is trained in.
            batch: From `load`.
            draws: What it was loaded from.
            epoch: From 0.
        """

    def memory_trouble(self, batch: Batch, when: str) -> AbstractContextManager[None]:
        """Makes one clear `AsrError` of any of the ways in which memory runs out within the block."""

    def evaluate(self, tally: Tally) -> Score:
        """How the model does on dev, the same in all processes, at the end of an epoch with these sums."""

    def prove(self, saved: Any) -> None:
        """Raises `ModelError` unless a model that was read back does on dev what the one in memory does."""


class TokenBatch(Protocol):
    """A batch of token ids. `str` tells what it holds, such as `8 words of up to 12 letters`."""

    @property
    def ids(self) -> Sequence[str]: ...

    @property
    def size(self) -> int:
        """What its memory is in proportion to."""

    def cut(self, share: float) -> Any:
        """About that share of it."""


class TokenTask:
    """What tasks have in common whose data lie in memory as token ids, the same in every epoch."""

    idle: Draw = 0

    device: torch.device
    processes: Processes
    config: Any
    """Its `batch_tokens` says how large batches are."""

    def begin(self, resumed: bool) -> None:
        """All is ready: a new model needs to know no more of the data than its tokens."""

    def begin_epoch(self, epoch: int) -> None:
        """What an epoch is about follows from its number: see `plan`."""

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """There is none."""

    def memory_trouble(self, batch: TokenBatch, when: str) -> AbstractContextManager[None]:
        return out_of_memory(lambda: self._trouble(f"out of memory {when}", batch))

    def _try(
        self,
        batch: TokenBatch,
        draws: Sequence[Draw],
        rehearse: Callable[[Batch, Sequence[Draw]], None],
        later_bytes: int,
    ) -> Memory:
        """As `Task.try_longest`, of this batch."""

        def part(share: float) -> tuple[TokenBatch, float]:
            smaller = batch.cut(share)
            return smaller, smaller.size / batch.size

        return try_parts(
            part,
            lambda smaller: rehearse(smaller, draws[: len(smaller.ids)]),
            lambda problem, fits: self._trouble(problem, batch, fits),
            self.device,
            later_bytes,
        )

    def _trouble(self, problem: str, batch: TokenBatch, fits: float = 0.5) -> AsrError:
        budget, advice = self.config.batch_tokens, "make the model smaller"
        if fits > 0:
            advice = f"lower training.batch_tokens to about {float(f'{fits * budget:.2g}'):.0f}"
        return AsrError(f"{problem}: the batch holds {batch} (training.batch_tokens = {budget}): {advice}")
