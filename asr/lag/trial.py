"""One trial: does an encoder learn a task at a lag, from some seed, within a budget of sequences?"""

import time
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le, MinLen

from asr.config import settings
from asr.lag.network import Network, widest
from asr.lag.tasks import TASKS
from asr.model import Encoder

TaskName = Literal["adding", "order", "reber"]
Positive = Annotated[int, Gt(0)]


@settings
class TrialConfig:
    """What is the same for every trial, whatever its encoder."""

    parameters: Annotated[int, Ge(500)] = 5000
    """Each network is as wide as it can be with no more than these."""
    sequences: Positive = 160_000
    """The budget of a trial."""
    batch: Positive = 32
    updates_between_checks: Positive = 100
    held_out: Positive = 500
    """Sequences in a check, new ones each time."""
    share_right: Annotated[float, Gt(0), Le(1)] = 0.99
    """Of the held-out sequences; with these a task is learned, and the trial ends."""
    gradient_norm: Annotated[float, Gt(0)] = 1.0
    """Longer gradients are shortened to this."""


@settings
class LagConfig:
    encoders: Annotated[tuple[Encoder, ...], MinLen(1)] = (
        "rnn",
        "lstm_1997",
        "lstm",
        "lstm_peephole",
        "gru",
        "transformer",
    )
    tasks: Annotated[tuple[TaskName, ...], MinLen(1)] = ("adding", "order", "reber")
    lags: Annotated[tuple[Annotated[int, Ge(8)], ...], MinLen(1)] = (10, 20, 50, 100, 200, 500)
    """Tried in this order."""
    learning_rates: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)] = (3e-3, 1e-2)
    """Tried in this order, until most seeds learn."""
    seeds: Positive = 3
    gradient_lag: Annotated[int, Ge(2)] = 100
    """How far back the gradient of an untrained network is followed."""
    trial: TrialConfig = TrialConfig()

    def __post_init__(self) -> None:
        for name in ("encoders", "tasks", "lags", "learning_rates"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"{name} holds something twice")
        if sorted(self.lags) != list(self.lags):
            raise ValueError("lags have to grow")

    @property
    def majority(self) -> int:
        """The fewest seeds that are more than half of them."""
        return self.seeds // 2 + 1


@dataclass(frozen=True)
class Trial:
    task: TaskName
    encoder: Encoder
    lag: int
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    learned: bool
    sequences: int
    """That it learned from."""
    share_right: float
    """Of the sequences of the last check."""
    cpu_s: float


def network_for(task: TaskName, encoder: Encoder, parameters: int, seed: int) -> Network:
    """An untrained network as wide as it may be; the same seed gives the same weights."""
    sizes = TASKS[task].inputs, TASKS[task].outputs
    with torch.random.fork_rng(devices=[]):
        hidden = widest(encoder, *sizes, parameters)
        torch.manual_seed(seed)
        return Network(encoder, *sizes, hidden)


def run_trial(trial: Trial, config: TrialConfig) -> Outcome:
    """Trains until the task is learned or the budget spent; all encoders get the same sequences from the same seed."""
    started_s = time.process_time()
    task = TASKS[trial.task]
    network = network_for(trial.task, trial.encoder, config.parameters, trial.seed)
    optimizer = torch.optim.Adam(network.parameters(), trial.learning_rate)
    for_training, for_checks = (np.random.default_rng([trial.seed, trial.lag, use]) for use in (0, 1))
    updates, right = 0, 0.0
    while right < config.share_right and updates * config.batch < config.sequences:
        batch = task.draw(config.batch, trial.lag, for_training)
        loss = task.loss(network(batch.inputs), batch)
        if not loss.isfinite():
            break
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
        optimizer.step()
        updates += 1
        if updates % config.updates_between_checks == 0:
            with torch.no_grad():
                batch = task.draw(config.held_out, trial.lag, for_checks)
                right = float(task.right(network(batch.inputs), batch).float().mean())
    cpu_s = round(time.process_time() - started_s, 2)
    return Outcome(right >= config.share_right, updates * config.batch, right, cpu_s)
