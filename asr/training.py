"""Training: epoch after epoch, the best model by how it does on dev, exact to go on with after any kind of end.

What a run needs to go on lies in one file, written whole or not at all. The steps between two writings are taken again
after a kill, and come out the same: see `asr.learner`.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt

from asr import preflight
from asr.checkpoint import rounded, save_model, set_aside
from asr.config import Precision, settings
from asr.dashboard import Dashboard
from asr.device import available_memory_bytes, keep_freed_memory, peak_memory_bytes, return_freed_memory
from asr.distributed import stop_requests
from asr.errors import AsrError, Interrupted
from asr.events import Events
from asr.files import write_json_lines
from asr.learner import DropoutSchedule, Learner, dropout_share
from asr.model import parameter_count
from asr.optimizer import OptimizerConfig, learning_rate
from asr.progress import say
from asr.quantise import WeightFormat
from asr.state import Progress, read_state, write_state
from asr.task import Batch, Draw, Score, Tally, Task

MOST_SKIPPED = 20
"""Updates in a row with a loss or gradient that is not finite before the run gives up."""

STEPS_A_POINT = 10
"""Of TensorBoard's curves by step."""

TIDY_EVERY_S = 8.0
"""Seconds between two looks at the memory; what is given back has to be paid for in page faults."""

KEPT_SHARE = 0.3
"""Of the memory that there is: so much may be kept, if training was not expected to need more."""

SILENT_EPOCHS = 3
"""Epochs in a row in which nothing comes out of the model before the usual causes are named."""


@settings
class RunConfig:
    """What every training is told; a task adds what it needs itself."""

    epochs: Annotated[int, Gt(0)] = 30
    patience: Annotated[int, Ge(0)] = 0
    """Epochs without a better figure on dev after which training ends; 0 means it never ends early."""
    keep: Literal["best", "last"] = "best"
    """Of all epochs' models, the one with the best figure on dev; or the last, where greedy decoding does not show what
    the model is for: CTC-CRF makes it better for a search, and often worse without. That goes without `patience`.
    """
    dropout_schedule: DropoutSchedule = "constant"
    """`rise-and-fall`: none for a fifth of training, more and more until half of it, then less and less to its end."""
    precision: Precision = "auto"
    """`auto` is bfloat16 where the device computes in it (never the loss), else float32."""
    weights: WeightFormat = "float32"
    """How they are saved, and what they are rounded to before they are scored on dev; training goes on without."""
    seed: int = 1
    save_every_s: Annotated[float, Ge(0)] = 300.0
    """Seconds between two writings of the state that a killed run goes on from; each epoch's end writes it too."""

    def __post_init__(self) -> None:
        if self.patience and self.keep == "last":
            raise ValueError(
                f'patience = {self.patience} waits for a better model, and keep = "last" takes any: set one'
            )


@dataclass
class Trainer:
    """One run: a learner at its task, and the state that goes to disk."""

    task: Task
    config: RunConfig
    optimizer_config: OptimizerConfig

    def __post_init__(self) -> None:
        self.checkpoint, self.device, self.processes = self.task.checkpoint, self.task.device, self.task.processes
        self.learner = Learner(self.task, self.optimizer_config, self.config.precision, self.config.seed)
        self.progress = Progress()
        self.events: Events | None = None
        self.saved_at = time.monotonic()
        self.tidied_at = time.monotonic()
        self.expected_bytes: float = math.inf

    def run(self, state: Path, model_folder: Path, run_key: str, card: Callable[[Progress], str]) -> Progress:
        """Trains to the end, from `state` when it holds a run with the same key.

        Args:
            state: The file that a broken-off run goes on from; `history.jsonl` is written beside it.
            model_folder: Gets the best model so far, by the task's figures on dev.
            run_key: What makes this run this run; a state with another key is not used.
            card: The model card for the best model so far.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the state is saved.
            AsrError: It cannot begin (see `check`), the loss stays not finite, memory runs out, or a file cannot be
                written.
        """
        keep_freed_memory()
        resumed = self.load_state(state, run_key)
        for finding in self.check(state.parent):
            say(f"check: {finding}")
        self.task.begin(resumed)
        if not resumed:
            if self.processes.first:
                set_aside(model_folder)
            self.save_state(state, run_key)  # from here on there is a run to go on with
        say(self._opening(resumed))
        with ExitStack() as stack:
            stop_requested = stack.enter_context(stop_requests())
            self.dashboard = stack.enter_context(Dashboard(self.config.epochs, self.progress.history))
            if self.processes.first:
                self.events = stack.enter_context(
                    Events(state.parent / "tensorboard", self.progress.epoch + 1, self._updates + 1)
                )
            while not self._is_over():
                stop = any(self.processes.gather(stop_requested()))
                if stop or not self._train_epoch(stop_requested, lambda: self.save_state(state, run_key)):
                    self.save_state(state, run_key)
                    where = f"epoch {self.progress.epoch + 1}, step {self.progress.step}"
                    raise Interrupted(f"stopped in {where}, and saved: the same command goes on from there")
                self._finish_epoch(model_folder, card)
                if self.processes.first:
                    write_json_lines(state.parent / "history.jsonl", self.progress.history)
                self.save_state(state, run_key)
        return self.progress

    def check(self, folder: Path) -> Iterator[preflight.Finding]:
        """What must hold before the first step, check by check, the longest batch forwards and backwards last.

        Args:
            folder: Where the state will be written.

        Raises:
            AsrError: Training cannot begin; says why, and which setting helps.
        """
        weights_bytes = 4 * parameter_count(self.checkpoint.model)
        copies = 3 + bool(self.optimizer_config.average_decay)  # the weights, AdamW's two moments, the average
        yield preflight.environment(self.device)
        yield preflight.disk(folder, (2 * copies + 3) * weights_bytes)  # a state beside the old one, three models
        yield from self.task.check()
        rehearse = partial(self.learner.rehearse, epoch=self.config.epochs - 1)  # by then every loss counts
        memory = self.processes.with_all(lambda: self.task.try_longest(rehearse, copies * weights_bytes))
        self.expected_bytes = memory.training_bytes
        yield memory.finding

    def _opening(self, resumed: bool) -> str:
        millions = parameter_count(self.checkpoint.model) / 1e6
        data = f"{self.task.amount()}, {self.config.epochs} epochs"
        together = f", {self.processes.count} processes" if self.processes.count > 1 else ""
        where = f", going on in epoch {self.progress.epoch + 1}" if resumed else ""
        name = str(self.learner.dtype).removeprefix("torch.")
        return f"train: {millions:.2f} M parameters, {data}, on {self.device.type} in {name}{together}{where}"

    @property
    def _updates(self) -> int:
        """Made in the whole run so far."""
        return sum(int(record["steps"]) for record in self.progress.history) + self.progress.step

    def _is_over(self) -> bool:
        progress, patience = self.progress, self.config.patience
        if patience and progress.epoch - progress.best_epoch >= patience:
            say(f"train: no better {self.task.goal} on dev for {patience} epochs: done early")
            return True
        return progress.epoch >= self.config.epochs

    def _train_epoch(self, stop_requested: Callable[[], bool], save: Callable[[], None]) -> bool:
        """Makes the updates of the epoch that are left; False when a stop was asked for."""
        progress, together = self.progress, self.optimizer_config.accumulate
        if not progress.step:
            self.task.begin_epoch(progress.epoch)
        batches = self.task.plan(progress.epoch)
        groups = [batches[start : start + together] for start in range(0, len(batches), together)]
        ours = [list(self.processes.share(draws)) for draws in batches[progress.step * together :]]
        # a process without a share of its own goes through the motions with something else
        parts = zip(ours, self.task.load([draws or [self.task.idle] for draws in ours]), strict=True)
        for group in groups[progress.step :]:
            tally = self._take_step(group, islice(parts, len(group)), len(groups))
            stop = self._agree(tally, stop_requested())
            progress.step += 1
            self._show_step(len(groups))
            if time.monotonic() - self.tidied_at > TIDY_EVERY_S:
                self.tidied_at = time.monotonic()
                room = available_memory_bytes(torch.device("cpu")) or 0
                return_freed_memory(max(self.expected_bytes, KEPT_SHARE * room))
            if stop:
                return False
            if time.monotonic() - self.saved_at > self.config.save_every_s and progress.step < len(groups):
                save()
        return True

    def _take_step(self, group: list[list[Draw]], parts: Iterator[tuple[list[Draw], Batch]], steps: int) -> Tally:
        """One update of the weights by the batches of a group, of which this process has its own parts."""
        progress, began, waiting_s = self.progress, time.monotonic(), 0.0
        tokens = sum(self.task.tokens(draw) for draws in group for draw in draws)
        done = (progress.epoch + progress.step / steps) / self.config.epochs
        self.learner.drop(dropout_share(done, self.config.dropout_schedule))
        for number in range(len(group)):
            asked = time.monotonic()
            draws, batch = next(parts)
            waiting_s += time.monotonic() - asked
            place, last = progress.step * self.optimizer_config.accumulate + number, number + 1 == len(group)
            with self.task.memory_trouble(batch, f"in epoch {progress.epoch + 1}"):
                self.learner.add(batch, draws, tokens, progress.epoch, place, last)
        tally = self.learner.update(done)
        tally.waiting_s, tally.seconds = waiting_s, time.monotonic() - began
        return tally

    def _agree(self, tally: Tally, stop: bool) -> bool:
        """Adds what all processes did in a step to the epoch's sums; True when one of them was asked to stop.

        Raises:
            AsrError: Too many steps in a row were skipped.
        """
        progress, count = self.progress, self.processes.count
        *sums, stops = self.processes.sum([*vars(tally).values(), stop])
        whole = Tally(*sums)
        for name in ("updates", "skipped", "gradient_norm", "waiting_s", "seconds"):  # the same in all, or a mean
            setattr(whole, name, getattr(whole, name) / count)
        progress.tally.add(whole)
        progress.skipped_in_a_row = progress.skipped_in_a_row + 1 if whole.skipped else 0
        if whole.skipped:
            ids = ", ".join(self.learner.suspects[:5]) + (" ..." if len(self.learner.suspects) > 5 else "")
            say(f"warning: step skipped, the loss or its gradient is not finite: {ids}")
            if progress.skipped_in_a_row >= MOST_SKIPPED:
                raise AsrError(
                    f"training stopped: {MOST_SKIPPED} steps in a row without a finite gradient, the last with {ids}; "
                    "the best model so far is kept; try a smaller optimizer.learning_rate"
                )
        return bool(stops)

    def _show_step(self, steps: int) -> None:
        progress = self.progress
        done, epochs = progress.epoch + progress.step / steps, self.config.epochs
        dev_seconds = progress.history[-1]["dev_seconds"] if progress.history else 0.0
        epoch_s = progress.tally.seconds * steps / progress.step + dev_seconds
        figures = {
            "epoch": progress.epoch + 1,
            "epochs": epochs,
            "step": progress.step,
            "steps": steps,
            "learning_rate": learning_rate(done / epochs, self.optimizer_config),
            "left_s": (epochs - done) * epoch_s,
            **progress.tally.figures(),
        }
        self.dashboard.step(figures)
        if self.events and progress.step % STEPS_A_POINT == 0:
            self.events.step(self._updates, figures)

    def _finish_epoch(self, model_folder: Path, card: Callable[[Progress], str]) -> None:
        """Scores dev, keeps the model if it is the best so far, notes all in the history and begins the next epoch."""
        progress, began = self.progress, time.monotonic()
        with self.learner.optimizer.averaged(), rounded(self.checkpoint, self.config.weights):
            score = self.task.evaluate(progress.tally)
            epoch = progress.epoch + 1
            record = {
                "epoch": epoch,
                "steps": progress.step,
                "learning_rate": learning_rate(epoch / self.config.epochs, self.optimizer_config),
                **progress.tally.figures(),
                **{f"dev_{name}": round(value, 5) for name, value in score.figures.items()},
                "dev_seconds": round(time.monotonic() - began, 1),
                "memory_gb": round(max(self.processes.gather(peak_memory_bytes(self.device))) / 1e9, 3),
                "kept": progress.improves(epoch, score.figures, self.config.keep == "last"),
            }
            progress.history.append(record)
            if record["kept"] and self.processes.first:
                save_model(self.checkpoint, model_folder, card(progress), self.task.prove, self.config.weights)
        self.dashboard.epoch(record)
        if self.events:
            self.events.epoch(record)
        self._advise(score)
        progress.epoch, progress.step, progress.tally = epoch, 0, Tally()

    def _advise(self, score: Score) -> None:
        self.progress.silent_epochs = self.progress.silent_epochs + 1 if score.advice else 0
        if self.progress.silent_epochs == SILENT_EPOCHS:
            rate, warmup = self.optimizer_config.learning_rate, self.optimizer_config.warmup_share
            say(
                f"advice: for {SILENT_EPOCHS} epochs {score.advice}; a learning rate too high or a warm-up too short "
                f"(optimizer.learning_rate = {rate:g}, optimizer.warmup_share = {warmup:g})"
            )

    def save_state(self, path: Path, run_key: str) -> None:
        """Writes all that the run needs to go on; the first process does it for all."""
        self.saved_at, self.progress.task = time.monotonic(), self.task.state()
        if self.processes.first:
            write_state(path, run_key, self.checkpoint, self.learner.optimizer, self.progress)

    def load_state(self, path: Path, run_key: str) -> bool:
        """Takes up a saved run; False when there is none with this key."""
        progress = read_state(path, run_key, self.checkpoint, self.learner.optimizer)
        if progress:
            self.progress = progress
            self.task.load_state(progress.task)
        return all(self.processes.gather(progress is not None))
