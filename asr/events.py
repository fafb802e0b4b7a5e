"""The figures of a training for TensorBoard, where the extra `tensorboard` is installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.files import make_folder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter as Writer

PLACES = {"epoch", "epochs", "step", "steps", "kept"}
"""What says when, or which, and is no figure."""


class Events:
    """Writes figures for `tensorboard --logdir FOLDER`; does nothing where TensorBoard is not installed.

    A training that goes on writes into the same folder, and TensorBoard hides what was there of `next_epoch`,
    `next_step` and later ones, so that no point shows twice. It does so by number for a whole run, hence a run of
    its own for the epochs and one for the steps. A training from 1 removes what was there.

    Args:
        folder: Gets `epochs/` and `steps/`.
        next_epoch: The first epoch that will be written, from 1.
        next_step: The first step that may be written, from 1, counted through the whole training.

    Raises:
        AsrError: The folder cannot be made; names it.
    """

    def __init__(self, folder: Path, next_epoch: int, next_step: int) -> None:
        self._writers: dict[str, Writer] = {}
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            for name, first in {"epochs": next_epoch, "steps": next_step}.items():
                run = make_folder(folder / name)
                if first <= 1:
                    for file in run.glob("events.out.tfevents.*"):
                        file.unlink()
                # for a new training too: TensorBoard hides nothing by the first such mark of a run
                self._writers[name] = SummaryWriter(run, purge_step=first)

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Writes every number of an epoch's record, as `epoch/NAME`; it can be seen at once."""
        self._write("epochs", "epoch", record["epoch"], record)
        for writer in self._writers.values():
            writer.flush()

    def step(self, number: int, figures: Mapping[str, Any]) -> None:
        """Writes every number among a step's figures, as `step/NAME`.

        A figure takes some 0.1 ms: for a step now and then.
        """
        self._write("steps", "step", number, figures)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _write(self, run: str, group: str, number: int, figures: Mapping[str, Any]) -> None:
        if writer := self._writers.get(run):
            for name, value in figures.items():
                if isinstance(value, int | float) and name not in PLACES:
                    writer.add_scalar(f"{group}/{name}", value, number)
