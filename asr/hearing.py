"""Recordings of any number and length to log-probabilities: windows of many of them go through the model together.

Shapes: T frames, V tokens.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.audio import Waveform
from asr.device import return_freed_memory, thread_pool
from asr.errors import AsrError
from asr.features import LogMel
from asr.model import ModelConfig
from asr.windows import Window, ahead, batched, windows

Matrix = NDArray[Any]

WINDOW_S = 50.0
"""Of a recording, so much counts in each window that the model hears ..."""

CONTEXT_S = 5.0
"""... and so much it hears besides on either side: about as much as its LSTMs remember (`benchmarks/windows.py`)."""

BATCH_S = {"cpu": 100.0, "mps": 600.0, "cuda": 4800.0}
"""What goes through the model at once."""

KEPT_BYTES = 7e8
"""A process that holds more, PyTorch's own 5e8 included, gives back what is free after each batch."""

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
        pieces: list[Piece] = []

        def loud() -> Iterator[tuple[int, Window]]:
            for number, window in self._windows(recordings, window_s, context_s):
                if isinstance(window, AsrError):
                    pieces.append(Piece(number, 0, self.nothing[:0], True, 0.0, window))
                elif window.loud:
                    yield number, window
                else:
                    matrix = self.nothing.repeat(window.counting.stop - window.counting.start, axis=0)
                    pieces.append(self._piece(number, window, matrix, advance))

        most = round(BATCH_S[self.device.type] / self.frame_s) * self.network.config.subsampling
        for batch in batched(loud(), lambda item: len(item[1].features), most):
            frames = [window.features for _, window in batch]
            lengths = torch.tensor([len(each) for each in frames], device=self.device)
            matrices, _ = self.network(pad_sequence(frames, batch_first=True).to(self.device), lengths)
            for (number, window), matrix in zip(batch, matrices.cpu().numpy(), strict=True):
                pieces.append(self._piece(number, window, matrix[window.counting], advance))
            yield pieces
            pieces = []
            return_freed_memory(KEPT_BYTES)
        yield pieces

    def _piece(self, number: int, window: Window, matrix: Matrix, advance: Advance) -> Piece:
        advance(len(matrix) * self.frame_s)
        return Piece(number, window.index, matrix, window.last, window.read_s)

    def _windows(
        self, recordings: Iterable[Recording], window_s: float, context_s: float
    ) -> Iterator[tuple[int, Window | AsrError]]:
        """The windows of all recordings, in order, several recordings read at a time; or why one cannot be."""
        subsampling = self.network.config.subsampling
        chunk, context = (round(length_s / self.frame_s) for length_s in (window_s, context_s))

        def cut(recording: Recording) -> Iterator[Window]:
            return windows(recording.blocks(), self.features, subsampling, max(1, chunk), context)

        threads = min(READERS, torch.get_num_threads())
        room = max(1, round(BATCH_S[self.device.type] / window_s))
        found = ahead(cut, recordings, thread_pool("readers", threads, 1), 2 * threads, room)
        for number, cuts in enumerate(found):
            try:
                yield from ((number, window) for window in cuts)
            except AsrError as error:
                yield number, error
