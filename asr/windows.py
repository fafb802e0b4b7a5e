"""Recordings of any length for a model that hears forwards and backwards: overlapping windows, in constant memory.

A recording is read twice: once to measure what its normalisation has to know of the whole, once for the windows. Of one
that is not long, what the first reading found is kept. Shapes: T frames, F mel bins.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from asr.audio import Waveform
from asr.features import LogMel, Statistics, frame_count

Item = TypeVar("Item")
Result = TypeVar("Result")

KEPT_S = 900.0
"""Of a longer recording, nothing is kept from the first reading."""

SILENCE = 2**-13
"""No sample of a silent recording is louder: the noise of 16-bit rounding, dithered, stays below."""

POOL = 8
"""So many batches' worth of windows are looked over for those of like length."""


@dataclass
class Sound:
    """A recording that was read once, ready to be cut into windows."""

    statistics: Statistics
    energies: Callable[[], Iterator[Tensor]]
    """Its mel energies from the beginning, piece by piece; may be called again."""
    duration_s: float

    @property
    def silent(self) -> bool:
        return self.statistics.peak <= SILENCE


@dataclass(frozen=True)
class Window:
    """A stretch of a recording's features with context on either side."""

    features: Tensor
    """(T, F), normalised over the whole recording."""
    index: int
    """0, 1, ... in its recording."""
    counting: slice
    """The output frames that count; the others are context."""
    last: bool


@torch.inference_mode()
def measure(blocks: Callable[[], Iterator[Waveform]], features: LogMel) -> Sound:
    """Reads a recording once.

    Args:
        blocks: Opens it: its samples at the rate of `features`, block by block; called again for a long one.

    Raises:
        AudioError: As `blocks` does, wherever in the recording the trouble is.
    """
    statistics, device = Statistics(), features.mean.device
    most = frame_count(round(KEPT_S * features.config.sample_rate_hz), features.config)

    def samples() -> Iterator[Tensor]:
        for block in blocks():
            samples = torch.from_numpy(block)
            statistics.add_samples(samples)
            yield samples.to(device)

    kept: list[Tensor] = []
    for piece in features.energies(samples()):
        statistics.add_energies(piece)
        kept = [*kept, piece] if statistics.frames <= most else []

    def again() -> Iterator[Tensor]:
        return iter(kept) if kept else features.energies(torch.from_numpy(block).to(device) for block in blocks())

    return Sound(statistics, again, statistics.samples / features.config.sample_rate_hz)


@torch.inference_mode()
def windows(sound: Sound, features: LogMel, subsampling: int, chunk: int, context: int) -> Iterator[Window]:
    """The windows of a recording, in order; what counts of them are all its output frames, each once.

    Args:
        subsampling: Feature frames for an output frame.
        chunk: Output frames that count in a window, but for the last.
        context: Output frames on either side that the model hears besides, as far as there are any.

    Raises:
        AudioError: A long recording can no longer be read.
    """
    frames = -(-sound.statistics.frames // subsampling)
    starts = range(0, max(1, frames - context), chunk)
    pieces = sound.energies()
    held, offset = next(pieces), 0
    for start in starts:
        last = start == starts[-1]
        begin, end = max(0, start - context), frames if last else start + chunk + context
        while offset + len(held) < min(end * subsampling, sound.statistics.frames):
            held = torch.cat([held, next(pieces)])
        held, offset = held[begin * subsampling - offset :], begin * subsampling
        energies = held[: (end - begin) * subsampling]
        count = end - start if last else chunk
        counting = slice(start - begin, start - begin + count)
        yield Window(features.of_recording(energies, sound.statistics), start // chunk, counting, last)


def batched(items: Iterable[Item], size: Callable[[Item], int], most: int) -> Iterator[list[Item]]:
    """Items in batches of like size, which padded to their largest come to at most `most` in all.

    The first batches leave as soon as they are full; later ones are chosen from ever more, up to `POOL` batches' worth.
    """
    waiting: list[Item] = []
    total, room = 0, most
    for item in items:
        waiting.append(item)
        total += size(item)
        if total >= room:
            room = min(2 * room, POOL * most)
            *full, waiting = _by_size(waiting, size, most)
            yield from full
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
    function: Callable[[Item], Result], items: Iterable[Item], executor: Executor, depth: int
) -> Iterator[Result]:
    """The function of every item, in their order, up to `depth` of them computed before they are asked for."""
    futures: deque[Future[Result]] = deque()
    try:
        for item in items:
            futures.append(executor.submit(function, item))
            if len(futures) > depth:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
