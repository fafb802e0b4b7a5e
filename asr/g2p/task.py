"""Pronunciations as a training task: words in, the cross-entropy of each next phone, phone error rate on dev."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from asr import preflight
from asr.config import settings
from asr.distributed import Processes
from asr.errors import ModelError
from asr.g2p.checkpoint import PronunciationModel
from asr.g2p.network import pronunciation_losses
from asr.g2p.pronouncer import Pronouncer
from asr.g2p.scoring import score
from asr.g2p.words import Examples, WordBatch
from asr.lexicon.entries import Lexicon
from asr.task import Score, Tally, TokenTask
from asr.training import RunConfig

CONVENIENCES = ("save_every_s",)
"""The settings that the weights do not depend on: a broken-off run may go on with others."""

PROVED_WORDS = 50


@settings
class PronunciationTrainingConfig(RunConfig):
    epochs: Annotated[int, Gt(0)] = 30
    batch_tokens: Annotated[int, Gt(0)] = 4096
    """Letters and phones in a batch, padding included."""
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """The share of the goal that is given to all phones alike."""


@dataclass
class PronunciationTask(TokenTask):
    """A pronunciation model that learns from a dictionary; see `asr.task.Task`.

    In each epoch every word counts once, with one of its pronunciations.
    """

    checkpoint: PronunciationModel
    train: Lexicon
    dev: Lexicon
    config: PronunciationTrainingConfig
    device: torch.device
    processes: Processes = field(default_factory=Processes)
    goal: str = "phone error rate"

    def __post_init__(self) -> None:
        self.model = Pronouncer(self.checkpoint, self.device, beam=1)
        self.examples = Examples(self.train, self.checkpoint.vocabulary)

    def amount(self) -> str:
        return f"{len(self.examples.words)} pronunciations of {len(self.train)} words"

    def check(self) -> Iterator[preflight.Finding]:
        yield preflight.Finding("dictionary", f"train {self.amount()}; dev {len(self.dev)} words")
        vocabulary = self.checkpoint.vocabulary
        yield preflight.Finding("vocabulary", f"{len(vocabulary.letters)} letters, {len(vocabulary.phones)} phones")

    def try_longest(self, rehearse: Callable[[WordBatch, Sequence[int]], None], later_bytes: int) -> preflight.Memory:
        draws = max(self.plan(0), key=lambda draws: max(len(self.examples.letters[draw]) for draw in draws))
        draws = list(self.processes.share(draws)) or draws[:1]
        batch = self.examples.batch(draws)
        return self._try(batch, draws, rehearse, later_bytes)

    def plan(self, epoch: int) -> list[list[int]]:
        return self.examples.plan(self.config.batch_tokens, self.config.seed, epoch)

    def load(self, batches: Sequence[list[int]]) -> Iterator[WordBatch]:
        return map(self.examples.batch, batches)

    def tokens(self, draw: int) -> int:
        return len(self.examples.phones[draw]) + 1

    def losses(
        self, forward: Callable[..., Any], batch: WordBatch, draws: Sequence[int], epoch: int
    ) -> tuple[Tensor, Tally]:
        log_probabilities = forward(batch.letters, batch.letter_lengths, batch.phones[:, :-1])
        smoothing = self.config.label_smoothing
        losses = pronunciation_losses(log_probabilities, batch.phones[:, 1:], batch.lengths, smoothing)
        return losses, Tally(loss=float(losses.detach().sum()), tokens=float(batch.lengths.sum()))

    def evaluate(self, tally: Tally) -> Score:
        """The rates of wrong phones and of wrong words, by the greedy search."""
        words = list(self.dev.entries)[self.processes.rank :: self.processes.count]
        ours = score(self.dev.only(words), self._said(self.model, words))
        counts = self.processes.sum([float(count) for count in vars(ours).values()])
        errors = type(ours)(*map(int, counts))
        return Score({"per": errors.per, "wer": errors.wer})

    def prove(self, saved: PronunciationModel) -> None:
        """By how both pronounce the first words of dev."""
        words = list(self.dev.entries)[:PROVED_WORDS]
        if self._said(Pronouncer(saved, self.device, beam=1), words) != self._said(self.model, words):
            raise ModelError("what was saved pronounces otherwise than what was trained; the last good model is kept")

    def _said(self, model: Pronouncer, words: Sequence[str]) -> dict[str, tuple[str, ...]]:
        return {word: best.phones for word, (best,) in zip(words, model.pronounce(words), strict=True)}
