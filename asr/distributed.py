"""Several processes that work as one: who this one is, and how they agree.

`torchrun --nproc-per-node N $(which asr) train RECIPE` starts N of them, tells each its rank by environment variables,
and starts all again when one dies. Without torchrun there is one process, and everything here is a plain call.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import distributed

from asr.errors import AsrError
from asr.progress import hush, say

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = timedelta(days=2)
"""How long a process waits for the others; when one dies, torchrun ends the wait of the rest."""

AT_ONCE: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""What a second request does in a process that a shell has started in the background, deaf to Ctrl-C."""


@dataclass(frozen=True)
class Processes:
    """This process among its peers."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """True for the one that writes files and speaks."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every `count`-th item, beginning with this process's own: together they have each item once."""
        return items[self.rank :: self.count]

    def sum(self, values: Sequence[float]) -> list[float]:
        """The sum over all processes, value by value, the same in each."""
        if self.count == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64)  # on the CPU, so that no GPU has to be waited for
        distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def gather(self, value: Item) -> list[Item]:
        """The value of every process, in the order of rank, in each."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def with_all(self, function: Callable[[], Result]) -> Result:
        """What the function gives in this process, once it has given something in each.

        Raises:
            AsrError: In every process, when the function raises it in one.
        """
        result, trouble = None, None
        try:
            result = function()
        except AsrError as error:
            trouble = error
        if troubles := [error for error in self.gather(trouble) if error]:
            raise troubles[0]
        return result  # type: ignore[return-value]

    def from_first(self, function: Callable[[], Result]) -> Result:
        """What the function gives in the first process, which alone calls it, in each.

        Raises:
            AsrError: In every process, when the function raises it in the first.
        """
        if self.count == 1:
            return function()
        outcome: list[Any] = [None]
        if self.first:
            try:
                outcome = [function()]
            except AsrError as error:
                outcome = [error]
        distributed.broadcast_object_list(outcome)
        if isinstance(outcome[0], AsrError):
            raise outcome[0]
        result: Result = outcome[0]
        return result


@contextmanager
def together() -> Iterator[Processes]:
    """This process among those that torchrun started, once they have all met; alone when it started none.

    In the block only the first of them speaks, save for errors.

    Raises:
        AsrError: Another of the processes is gone.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    rank = int(os.environ["RANK"])
    if rank:
        hush()
    try:
        store, _, _ = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
        # torchrun keeps the store when it starts all again: without a prefix they would call those who are gone
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = distributed.PrefixStore(attempt, store)  # type: ignore[attr-defined]
        engines = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(engines, store=store, rank=rank, world_size=count, timeout=PATIENCE)
        yield Processes(rank, count)
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            reason = str(error).splitlines()[0]
            raise AsrError(f"process {rank}: lost touch with the others ({reason})") from error
        raise
    distributed.destroy_process_group()


def restarted() -> bool:
    """True when torchrun has started this process again after one of the run had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into an answer to a question; the second one acts at once."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)
        handler = before[signal.Signals(number)]
        signal.signal(number, AT_ONCE[number] if handler is signal.SIG_IGN else handler)
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
