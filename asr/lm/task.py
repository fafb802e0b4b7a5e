"""Text as a training task: sentences, the cross-entropy of each next token, perplexity on dev."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from asr import preflight
from asr.config import settings
from asr.distributed import Processes
from asr.errors import ModelError
from asr.lm.checkpoint import LanguageModel
from asr.lm.neural import NeuralModel
from asr.lm.sentences import SentenceBatch, Sentences, plan
from asr.lm.vocabulary import UNKNOWN
from asr.task import Score, Tally, TokenTask
from asr.training import RunConfig

CONVENIENCES = ("save_every_s",)
"""The settings that the weights do not depend on: a broken-off run may go on with others."""


@settings
class TextTrainingConfig(RunConfig):
    epochs: Annotated[int, Gt(0)] = 5
    batch_tokens: Annotated[int, Gt(0)] = 2048
    """Tokens in a batch, padding included; shared out where several processes train together."""
    dev_every: Annotated[int, Ge(2)] = 200
    """Without a text for dev, one sentence in so many is held out for it, beginning with the first."""


@dataclass
class TextTask(TokenTask):
    """A language model that learns from sentences; see `asr.task.Task`."""

    checkpoint: LanguageModel
    train: Sentences
    dev: Sentences
    config: TextTrainingConfig
    device: torch.device
    processes: Processes = field(default_factory=Processes)
    goal: str = "perplexity"

    def __post_init__(self) -> None:
        self.model = NeuralModel(self.checkpoint, self.device)
        self.lengths = self.train.lengths

    def amount(self) -> str:
        return f"{len(self.train.ids)} tokens in {len(self.train)} sentences"

    def check(self) -> Iterator[preflight.Finding]:
        yield preflight.Finding("text", f"train {self.amount()}; dev {len(self.dev)} sentences")
        unknown = [float((part.ids == UNKNOWN).mean()) for part in (self.train, self.dev)]
        shares = f"unknown in train {unknown[0]:.2%}, in dev {unknown[1]:.2%}"
        yield preflight.Finding("vocabulary", f"{len(self.checkpoint.vocabulary)} tokens; {shares}")

    def try_longest(
        self, rehearse: Callable[[SentenceBatch, Sequence[int]], None], later_bytes: int
    ) -> preflight.Memory:
        draws = max(self.plan(0), key=lambda draws: len(draws) * int(self.lengths[draws].max()))
        draws = list(self.processes.share(draws)) or draws[:1]
        batch = self.train.batch(draws)
        return self._try(batch, draws, rehearse, later_bytes)

    def plan(self, epoch: int) -> list[list[int]]:
        return plan(self.lengths, self.config.batch_tokens, self.config.seed, epoch)

    def load(self, batches: Sequence[list[int]]) -> Iterator[SentenceBatch]:
        return map(self.train.batch, batches)

    def tokens(self, draw: int) -> int:
        return int(self.lengths[draw])

    def losses(
        self, forward: Callable[..., Any], batch: SentenceBatch, draws: Sequence[int], epoch: int
    ) -> tuple[Tensor, Tally]:
        losses = -forward(batch.tokens, batch.lengths)
        return losses, Tally(loss=float(losses.detach().sum()), tokens=float(batch.lengths.sum()))

    def evaluate(self, tally: Tally) -> Score:
        """The perplexity per token."""
        ours = torch.zeros(len(self.dev), dtype=torch.bool)
        ours[self.processes.rank :: self.processes.count] = True
        part = self.dev.take(ours.numpy())
        log_probability, tokens = self.processes.sum(
            [math.fsum(self.model.score(part, self.config.batch_tokens)), float(part.lengths.sum())]
        )
        return Score({"perplexity": math.exp(min(-log_probability / tokens, 700.0))})

    def prove(self, saved: LanguageModel) -> None:
        """By how likely both find the first sentences of dev."""
        first = Sentences.of(self.dev[place] for place in range(min(len(self.dev), 20)))
        if NeuralModel(saved, self.device).score(first) != self.model.score(first):
            raise ModelError("what was saved predicts differently from what was trained; the last good model is kept")
