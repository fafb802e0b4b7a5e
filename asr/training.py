"""The training loop: CTC, AdamW, best model by WER on dev, resumable at any step.

Everything random in a step follows from the seed, the epoch and the step's place in it, so a resumed run needs no
random states to go on as the unbroken one would.
"""

import hashlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn.functional import ctc_loss
from torch.nn.utils import clip_grad_norm_

from asr.augment import AugmentationConfig, disturb, mask
from asr.checkpoint import Checkpoint, save_model, set_aside
from asr.config import settings
from asr.dataset import Batch, SpeechDataset, load, plan
from asr.device import keep_freed_memory
from asr.errors import AsrError, Interrupted
from asr.features import length_mask
from asr.files import write_json_lines, writing
from asr.manifest import Utterance, hours
from asr.metrics import Errors, score, total
from asr.model import parameter_count
from asr.progress import bar, say
from asr.recognizer import Recognizer

MOST_SKIPPED = 20
"""Steps in a row with a loss or gradient that is not finite before the run gives up."""


@settings
class TrainingConfig:
    epochs: Annotated[int, Gt(0)] = 30
    batch_s: Annotated[float, Gt(0)] = 120.0
    """Seconds of audio in a batch, padding included."""
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    warmup_share: Annotated[float, Ge(0), Le(1)] = 0.1
    """The share of training in which the learning rate rises; afterwards it falls to zero as a cosine."""
    weight_decay: Annotated[float, Ge(0)] = 0.01
    gradient_clip: Annotated[float, Gt(0)] = 1.0
    seed: int = 1
    workers: Annotated[int, Ge(0)] = 0
    """Processes that read recordings; 0 reads in the training process."""
    keep_hours: Annotated[float, Ge(0)] = 20.0
    """Training data up to this much is read once and kept in memory (115 MB an hour at 16 kHz)."""


@dataclass
class Progress:
    """Where a run is: the next step to take, and what it has seen."""

    epoch: int = 0
    step: int = 0
    """Within the epoch."""
    best_wer: float = math.inf
    best_cer: float = math.inf
    best_epoch: int = 0
    skipped: int = 0
    """Steps without a finite gradient, one after the other."""
    infeasible: int = 0
    """Utterances of this epoch with fewer frames than CTC needs; they add nothing to the loss."""
    loss_sum: float = 0.0
    seconds: float = 0.0
    audio_s: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """One run: a checkpoint, its data, and the state that goes to disk."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        train: Sequence[Utterance],
        dev: Sequence[Utterance],
        config: TrainingConfig,
        augmentation: AugmentationConfig,
        device: torch.device,
    ) -> None:
        self.checkpoint = checkpoint
        self.config = config
        self.augmentation = augmentation
        self.device = device
        rate = checkpoint.features.config.sample_rate_hz
        self.train_set = SpeechDataset(train, checkpoint.vocabulary, rate)
        self.dev_set = SpeechDataset(dev, checkpoint.vocabulary, rate)
        self.recognizer = Recognizer(checkpoint, device)
        self.optimizer = torch.optim.AdamW(checkpoint.model.parameters(), weight_decay=config.weight_decay, fused=True)
        self.progress = Progress()

    def run(self, state: Path, model_folder: Path, run_key: str, card: Callable[[Progress], str]) -> Progress:
        """Trains to the end, from `state` when it holds a run with the same key.

        Args:
            state: The file that a broken-off run goes on from; `history.jsonl` is written beside it.
            model_folder: Gets the best model so far, by WER on dev, then CER.
            run_key: What makes this run this run; a state with another key is not used.
            card: The model card for the best model so far.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; the state is saved.
            AsrError: The loss stays not finite, or a file cannot be written.
        """
        keep_freed_memory()
        self.train_set.keep(self.config.keep_hours)
        self.dev_set.keep(self.config.keep_hours)
        resumed = self.load_state(state, run_key)
        if not resumed:
            set_aside(model_folder)
            self._fit_normalisation()
        say(self._opening(resumed))
        with _stop_requests() as stop_requested:
            while self.progress.epoch < self.config.epochs:
                if stop_requested() or not self._train_epoch(stop_requested):
                    self.save_state(state, run_key)
                    where = f"epoch {self.progress.epoch + 1}, step {self.progress.step}"
                    raise Interrupted(f"stopped in {where}, and saved: the same command goes on from there")
                if self._finish_epoch():
                    save_model(self.checkpoint, model_folder, card(self.progress))
                write_json_lines(state.parent / "history.jsonl", self.progress.history)
                self.save_state(state, run_key)
        return self.progress

    def _opening(self, resumed: bool) -> str:
        millions = parameter_count(self.checkpoint.model) / 1e6
        data = f"{hours(self.train_set.utterances):.2f} h of speech, {self.config.epochs} epochs"
        where = f", going on in epoch {self.progress.epoch + 1}" if resumed else ""
        return f"train: {millions:.2f} M parameters, {data}, on {self.device.type}{where}"

    def _fit_normalisation(self) -> None:
        features = self.checkpoint.features
        if features.config.normalisation == "level":
            sample = plan(self.train_set.utterances, self.config.batch_s, seed=self.config.seed, epoch=1)[:10]
            batches = [batch.to(self.device) for batch in load(self.train_set, sample)]
            parts = [features.log_mel(batch.waveforms, batch.waveform_lengths) for batch in batches]
            inside = torch.cat([frames[length_mask(lengths, frames.shape[1])] for frames, lengths in parts])
            features.fit(inside)

    def _train_epoch(self, stop_requested: Callable[[], bool]) -> bool:
        """Takes the steps of the epoch that are left; False when a stop was asked for."""
        progress = self.progress
        batches = plan(
            self.train_set.utterances,
            self.config.batch_s,
            self.augmentation.speeds,
            self.config.seed,
            progress.epoch,
        )
        name = f"epoch {progress.epoch + 1}/{self.config.epochs}"
        started = time.monotonic()
        with bar(name, len(batches)) as advance:
            advance(progress.step)
            for batch in load(self.train_set, batches[progress.step :], self.config.workers):
                self.step(batch, progress.epoch + progress.step / len(batches))
                progress.step += 1
                advance(1, f"{name}  loss {progress.loss_sum / progress.step:.3f}")
                if stop_requested():
                    break
        progress.seconds += time.monotonic() - started
        return progress.step == len(batches)

    def step(self, batch: Batch, time_epochs: float) -> None:
        """One update of the weights.

        Args:
            batch: On the CPU.
            time_epochs: How far training is, in epochs; sets the learning rate and seeds what is random.
        """
        generator = self._seed(time_epochs)
        self.checkpoint.model.train()
        loss, infeasible = self._loss(batch.to(self.device), generator)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = clip_grad_norm_(self.checkpoint.model.parameters(), self.config.gradient_clip)
        progress = self.progress
        progress.infeasible += infeasible
        progress.audio_s += float(batch.waveform_lengths.sum()) / self.train_set.sample_rate_hz
        if not torch.isfinite(norm):
            self._skip(batch, loss)
            return
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(time_epochs / self.config.epochs, self.config)
        self.optimizer.step()
        progress.skipped = 0
        progress.loss_sum += float(loss.detach())

    def _loss(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, int]:
        waveforms = disturb(batch.waveforms, batch.waveform_lengths, self.augmentation, generator)
        features, lengths = self.checkpoint.features(waveforms, batch.waveform_lengths)
        features = mask(features, lengths, self.augmentation, generator)
        log_probabilities, frames = self.checkpoint.model(features, lengths)
        losses = ctc_loss(
            log_probabilities.transpose(0, 1),
            batch.tokens,
            frames,
            batch.token_lengths,
            reduction="none",
            zero_infinity=True,
        )
        repeats = (batch.tokens[:, 1:] == batch.tokens[:, :-1]) & (batch.tokens[:, 1:] > 0)
        infeasible = int((frames < batch.token_lengths + repeats.sum(1)).sum())
        return losses.sum() / batch.token_lengths.sum(), infeasible

    def _skip(self, batch: Batch, loss: Tensor) -> None:
        self.progress.skipped += 1
        ids = ", ".join(batch.ids[:5])
        say(f"warning: step skipped, the loss ({float(loss.detach()):.3g}) or its gradient is not finite: {ids} ...")
        if self.progress.skipped >= MOST_SKIPPED:
            raise AsrError(
                f"training stopped: {MOST_SKIPPED} steps in a row without a finite gradient, the last with {ids}; "
                "the best model so far is kept; try a smaller training.learning_rate"
            )

    def _seed(self, time_epochs: float) -> torch.Generator:
        name = f"{self.config.seed} {time_epochs!r}"
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
        torch.manual_seed(number)  # for dropout
        return torch.Generator().manual_seed(number)

    def _finish_epoch(self) -> bool:
        """Scores dev, notes it in the history and begins the next epoch; True when this model is the best so far."""
        progress = self.progress
        errors = self.evaluate()
        record = {
            "epoch": progress.epoch + 1,
            "loss": round(progress.loss_sum / progress.step, 4),
            "learning_rate": learning_rate((progress.epoch + 1) / self.config.epochs, self.config),
            "dev_wer": round(errors.wer, 5),
            "dev_cer": round(errors.cer, 5),
            "infeasible": progress.infeasible,
            "seconds": round(progress.seconds, 1),
            "times_real_time": round(progress.audio_s / progress.seconds, 1),
        }
        progress.history.append(record)
        say(
            f"epoch {record['epoch']}/{self.config.epochs}: loss {record['loss']:.3f}, dev WER {errors.wer:.2%}, "
            f"CER {errors.cer:.2%}, {record['seconds']:.0f} s, {record['times_real_time']:.0f}x real time"
            + (f", {progress.infeasible} utterances too short for CTC" if progress.infeasible else "")
        )
        better = (errors.wer, errors.cer) < (progress.best_wer, progress.best_cer)
        progress.epoch, progress.step, progress.infeasible = progress.epoch + 1, 0, 0
        progress.loss_sum = progress.seconds = progress.audio_s = 0.0
        if better:
            progress.best_wer, progress.best_cer, progress.best_epoch = errors.wer, errors.cer, progress.epoch
        return better

    def evaluate(self) -> Errors:
        """The errors of greedy decoding on dev."""
        batches = plan(self.dev_set.utterances, self.config.batch_s)
        hypotheses = dict(self.recognizer.decode(load(self.dev_set, batches, self.config.workers)))
        return total(score({u.id: u.text for u in self.dev_set.utterances}, hypotheses).values())

    def save_state(self, path: Path, run_key: str) -> None:
        state = {
            "run_key": run_key,
            "weights": self.checkpoint.weights(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }
        with writing(path, "wb") as stream:
            torch.save(state, stream)

    def load_state(self, path: Path, run_key: str) -> bool:
        """Takes up a saved run; False when there is none with this key."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except FileNotFoundError:
            return False
        except Exception as error:  # torch raises many kinds for a file that is not its own
            raise AsrError(f"{path}: not a training state that can be read; remove it to start anew") from error
        if state["run_key"] != run_key:
            return False
        with torch.no_grad():
            for name, value in self.checkpoint.weights().items():
                value.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        return True


def learning_rate(done: float, config: TrainingConfig) -> float:
    """The learning rate when the share `done` of training is over: a linear rise, then half a cosine down to zero."""
    if done < config.warmup_share:
        return config.learning_rate * max(done / config.warmup_share, 0.01)
    falling = (done - config.warmup_share) / max(1 - config.warmup_share, 1e-9)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(falling, 1.0)))


@contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into an answer to a question; the second one acts at once."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, before[signal.Signals(number)])
        say("stopping after this step; once more to stop at once")

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: nobody sends it signals
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
