"""Recordings of any number and length to log-probabilities: windows of many of them go through the model together.

Shapes: T frames, V tokens.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.audio import Waveform
from asr.device import resident_memory_bytes, return_freed_memory, thread_pool
from asr.errors import AsrError
from asr.features import LogMel
from asr.model import ModelConfig
from asr.windows import POOL, Window, ahead, batched, computed_ahead, windows

Matrix = NDArray[Any]

WINDOW_S = 50.0
"""Of a recording, so much counts in each window that the model hears ..."""

CONTEXT_S = 5.0
"""... and so much it hears besides on either side: about as much as its LSTMs remember (`benchmarks/windows.py`)."""

BATCH_S = {"cpu": 100.0, "mps": 600.0, "cuda": 4800.0}
"""What goes through the model at once."""

KEPT_BYTES = 2.5e8
"""When memory has grown by so much since the beginning, what is free of it is given back. (Done after each batch, it
would take a fifth of the time, for what is given back has to be asked for again.)
"""

READERS = 8
"""Threads that read recordings, at most."""

UNHEARD = -30.0
"""The log-probability of all but the blank where there is no sound."""

Advance = Callable[[float], object]
"""Told of so many more seconds that have been heard."""


class Network(Protocol):
    """An acoustic model, by whatever engine: as `asr.model.CTCModel`."""

    config: ModelConfig

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]: ...

    def eval(self) -> Any: ...


@dataclass(frozen=True)
class Recording:
    """A recording that can be read."""

    source: str
    """What to call it."""
    blocks: Callable[[], Iterable[Waveform]]
    """Its samples at the model's rate, block by block; raises `AudioError` where they cannot be read."""


@dataclass(frozen=True)
class Piece:
    """Of the log-probabilities of one recording among several, those of a window; or why there are none."""

    number: int
    """Of the recording: 0, 1, ..."""
    index: int
    """Of the window in its recording."""
    matrix: Matrix
    """(T, V)."""
    last: bool
    read_s: float
    """So much of the recording was read by then; with the last piece, all."""
    error: AsrError | None = None


class Hearing:
    """A model at work on recordings.

    Args:
        network: On its device.
        features: Of which a copy is used, on the CPU.
        frame_s: Seconds from one output frame to the next.
        tokens: How many the model has.
    """

    def __init__(self, network: Network, features: LogMel, frame_s: float, tokens: int, device: torch.device) -> None:
        self.network, self.frame_s, self.device = network, frame_s, device
        self.features = features if device.type == "cpu" else deepcopy(features).cpu()
        self.nothing = np.full((1, tokens), UNHEARD, np.float32)
        self.nothing[0, 0] = 0.0

    @torch.inference_mode()
    def hear(
        self,
        recordings: Iterable[Recording],
        advance: Advance = lambda _: None,
        window_s: float = WINDOW_S,
        context_s: float = CONTEXT_S,
    ) -> Iterator[list[Piece]]:
        """The log-probabilities of recordings, batch by batch, in constant memory.

        A recording's pieces may come out of order, and mixed with those of its neighbours.
        """
        self.network.eval()
        most_bytes = resident_memory_bytes() + KEPT_BYTES
        chunk, context = (round(length_s / self.frame_s) for length_s in (window_s, context_s))
        subsampling, batch_s = self.network.config.subsampling, BATCH_S[self.device.type]

        def cut(recording: Recording) -> Iterator[Window]:
            return windows(recording.blocks(), self.features, subsampling, max(1, chunk), context)

        threads = min(READERS, torch.get_num_threads())
        room = max(1, round(batch_s / window_s))
        found = _numbered(ahead(cut, recordings, thread_pool("readers", threads, 1), 2 * threads, room))
        batches = batched(found, _frames, round(batch_s / self.frame_s) * subsampling)
        for batch in computed_ahead(batches, thread_pool("batches", 1, 1), POOL):
            pieces = self._heard([(number, what) for number, what in batch if isinstance(what, Window) and what.loud])
            for number, what in batch:
                if isinstance(what, AsrError):
                    pieces.append(Piece(number, 0, self.nothing[:0], True, 0.0, what))
                elif not what.loud:
                    silence = self.nothing.repeat(what.counting.stop - what.counting.start, axis=0)
                    pieces.append(_piece(number, what, silence))
            for piece in pieces:
                advance(len(piece.matrix) * self.frame_s)
            yield pieces
            return_freed_memory(most_bytes)

    def _heard(self, batch: Sequence[tuple[int, Window]]) -> list[Piece]:
        if not batch:
            return []
        frames = [window.features for _, window in batch]
        lengths = torch.tensor([len(each) for each in frames], device=self.device)
        matrices, _ = self.network(pad_sequence(frames, batch_first=True).to(self.device), lengths)
        arrays = zip(batch, matrices.cpu().numpy(), strict=True)
        return [_piece(number, window, matrix[window.counting]) for (number, window), matrix in arrays]


def _numbered(recordings: Iterable[Iterator[Window]]) -> Iterator[tuple[int, Window | AsrError]]:
    """The windows of each recording with its number; or why it cannot be read."""
    for number, found in enumerate(recordings):
        try:
            yield from ((number, window) for window in found)
        except AsrError as error:
            yield number, error


def _frames(item: tuple[int, Window | AsrError]) -> int:
    _, what = item
    return len(what.features) if isinstance(what, Window) else 1


def _piece(number: int, window: Window, matrix: Matrix) -> Piece:
    return Piece(number, window.index, matrix, window.last, window.read_s)
