"""The state of a run: all it needs to go on, in one file that is whole or not there."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from asr.checkpoint import Stored
from asr.errors import AsrError
from asr.files import writing
from asr.optimizer import Optimizer
from asr.task import Tally


@dataclass
class Progress:
    """Where a run is: the next update to make, and what it has seen."""

    epoch: int = 0
    step: int = 0
    """Updates made of this epoch."""
    best_wer: float = math.inf
    best_cer: float = math.inf
    best_per: float = math.inf
    """Phone error rate."""
    best_perplexity: float = math.inf
    """Of a language model, which has no error rates."""
    best_epoch: int = 0
    skipped_in_a_row: int = 0
    silent_epochs: int = 0
    """The last so many epochs in which nothing came out of the model on dev."""
    tally: Tally = field(default_factory=Tally)
    """Of this epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    task: dict[str, Any] = field(default_factory=dict)
    """The state of the task, when this was written."""

    def best(self, name: str) -> float:
        """The best so far of a figure on dev, such as WER."""
        value: float = getattr(self, f"best_{name.lower()}")
        return value

    def improves(self, epoch: int, figures: Mapping[str, float], anyhow: bool = False) -> bool:
        """Whether these figures on dev are the best so far, which are then noted as such.

        Args:
            epoch: From 1.
            figures: By the name that follows `best_`; the less, the better, the first first.
            anyhow: They count as the best whatever they are.
        """
        best = [getattr(self, f"best_{name}") for name in figures]
        if not (anyhow or list(figures.values()) < best):
            return False
        for name, value in figures.items():
            setattr(self, f"best_{name}", value)
        self.best_epoch = epoch
        return True


def write_state(path: Path, run_key: str, checkpoint: Stored, optimizer: Optimizer, progress: Progress) -> None:
    """Writes a run's state, and reads it back before it takes the old one's place.

    Args:
        path: The file.
        run_key: What makes this run this run.
        checkpoint: Its weights.
        optimizer: Its moments and averages.
        progress: The rest. Random states are not in it: what is random follows from the seed and the place in the run.

    Raises:
        AsrError: It cannot be written, or the disk gives back something else; the old state stays.
    """
    weights = {name: value.detach().cpu() for name, value in checkpoint.weights().items()}
    state = {"run_key": run_key, "weights": weights, "optimizer": optimizer.state(), "progress": asdict(progress)}
    with writing(path, "wb") as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:  # what torch makes of an OSError
            raise AsrError(f"{path}: cannot be written ({error.__context__ or error})") from error
        stream.flush()
        read = torch.load(stream.name, weights_only=True, mmap=True)["weights"]
        if not all(torch.equal(read[name], value) for name, value in weights.items()):
            raise AsrError(f"{path}: what the disk gives back is not what was written; the state before it is kept")


def read_state(path: Path, run_key: str, checkpoint: Stored, optimizer: Optimizer) -> Progress | None:
    """Takes up a saved run, and tells how far it is; None when there is none with this key.

    Raises:
        AsrError: The file is not a state; names it.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["run_key"] != run_key:
            return None
        with torch.no_grad():
            for name, value in checkpoint.weights().items():
                value.copy_(state["weights"][name])
        optimizer.load_state(state["optimizer"])
        return Progress(**{**state["progress"], "tally": Tally(**state["progress"]["tally"])})
    except FileNotFoundError:
        return None
    except Exception as error:  # torch raises many kinds for a file that is not its own
        raise AsrError(f"{path}: not a training state that can be read; remove it to start anew") from error
