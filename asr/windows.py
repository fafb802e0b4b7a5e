"""Recordings of any length for a model that hears forwards and backwards: overlapping windows, in constant memory.

Shapes: T frames, F mel bins.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from asr.audio import Waveform
from asr.features import LogMel

Item = TypeVar("Item")
Result = TypeVar("Result")

POOL = 8
"""So many batches' worth of windows are looked over for those of like length."""


@dataclass(frozen=True)
class Window:
    """A stretch of a recording's features with context on either side."""

    features: Tensor
    """(T, F)."""
    index: int
    """0, 1, ... in its recording."""
    counting: slice
    """The output frames that count; the others are context."""
    last: bool
    loud: bool
    """There is any sound in it."""
    read_s: float
    """So much of the recording was read by then; with the last window, all."""


@torch.inference_mode()
def windows(
    blocks: Iterable[Waveform], features: LogMel, subsampling: int, chunk: int, context: int
) -> Iterator[Window]:
    """The windows of a recording, in order; what counts of them are all its output frames, each once.

    Args:
        blocks: The samples, at the rate of `features`.
        subsampling: Feature frames for an output frame.
        chunk: Output frames that count in a window, but for the last.
        context: Output frames on either side that the model hears besides, as far as there are any.
    """
    held: list[Tensor] = []
    begin = index = samples = 0  # the output frame that `held` begins with, the window to come, and samples read
    read = loud_until = 0  # feature frames: read so far, and as far as there was any sound

    def counted() -> Iterator[Tensor]:
        nonlocal samples
        for block in blocks:
            samples += len(block)
            yield torch.from_numpy(block)

    def window(last: bool) -> Window:
        start = index * chunk - begin
        frames = torch.cat(held)[: None if last else (start + chunk + context) * subsampling]
        stop = -(-len(frames) // subsampling) if last else start + chunk
        loud, read_s = loud_until > begin * subsampling, samples / features.config.sample_rate_hz
        return Window(frames, index, slice(start, stop), last, loud, read_s)

    for frames, loud in features.of_recording(counted()):
        held.append(frames)
        read += len(frames)
        loud_until = read if loud else loud_until
        while read > ((index + 1) * chunk + context) * subsampling:
            yield window(last=False)
            index += 1
            passed = max(0, index * chunk - context) - begin
            held = [torch.cat(held)[passed * subsampling :]]
            begin += passed
    yield window(last=True)


def batched(items: Iterable[Item], size: Callable[[Item], int], most: int) -> Iterator[list[Item]]:
    """Items in batches of like size, which padded to their largest come to at most `most` in all.

    The first batches leave as soon as they are full; later ones are chosen from ever more, up to `POOL` batches' worth.
    No item waits for long: one of an odd size leaves when twice as much has come after it.
    """
    waiting: list[Item] = []
    total, room = 0, most
    for item in items:
        waiting.append(item)
        total += size(item)
        if total >= room:
            room = min(2 * room, POOL * most)
            oldest = waiting[0]
            *full, waiting = _by_size(waiting, size, most)
            yield from full
            if any(item is oldest for item in waiting):  # it has waited long enough for others of its size
                yield waiting
                waiting = []
            total = sum(map(size, waiting))
    yield from _by_size(waiting, size, most)


def _by_size(items: list[Item], size: Callable[[Item], int], most: int) -> list[list[Item]]:
    batches: list[list[Item]] = []
    for item in sorted(items, key=size, reverse=True):
        if not batches or size(batches[-1][0]) * (len(batches[-1]) + 1) > most:
            batches.append([])
        batches[-1].append(item)
    return batches


def ahead(
    function: Callable[[Item], Iterator[Result]], items: Iterable[Item], executor: Executor, depth: int, room: int
) -> Iterator[Iterator[Result]]:
    """What the function yields for each item, in their order, computed in threads before it is asked for.

    What the function raises, they raise.

    Args:
        depth: So many items are begun ahead.
        room: As `computed_ahead`.
    """
    begun: deque[Iterator[Result]] = deque()
    for item in items:
        begun.append(computed_ahead(function(item), executor, room))
        if len(begun) > depth:
            yield begun.popleft()
    yield from begun


def computed_ahead(results: Iterator[Result], executor: Executor, room: int) -> Iterator[Result]:
    """The results, computed in another thread while the ones before are made use of.

    Args:
        room: So many at a time, at most; the first comes alone, so that nobody waits for the others.
    """

    def more(count: int) -> list[Result]:
        return list(islice(results, count))

    def taken(future: Future[list[Result]]) -> Iterator[Result]:
        count = 1
        while found := future.result():
            count = min(2 * count, room)
            future = executor.submit(more, count)
            yield from found

    return taken(executor.submit(more, 1))
