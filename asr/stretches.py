"""A long recording's log-probabilities cut where nobody speaks, so that each part can be read by itself.

Shapes: T frames, V tokens. Beam search keeps every hypothesis of every frame: hours at once would not fit in memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_S = 60.0
SHORTEST_S = 10.0
PAUSE_S = 0.4
"""A silence of this length lies between words, whatever the model puts out in it."""

BLANK = 0


@dataclass(frozen=True)
class Stretch:
    start: int
    """The frame of the recording at which it begins."""
    matrix: NDArray[Any]
    """(T, V)."""


class Stretches:
    """Takes a matrix piece by piece, and gives it out in stretches.

    Args:
        frame_s: Seconds from one frame to the next.
        space: The token between words; None where no token is a space by itself.
        columns: Those of the matrix that tell where nobody speaks, the blank first.
    """

    def __init__(self, frame_s: float, space: int | None, columns: slice = slice(None)) -> None:
        self.longest, self.shortest, self.pause = (round(s / frame_s) for s in (LONGEST_S, SHORTEST_S, PAUSE_S))
        self.columns = columns
        self.quiet = [BLANK] if space is None else [BLANK, space]
        self.start = 0
        self.held: list[NDArray[Any]] = []

    def add(self, matrix: NDArray[Any], last: bool) -> Iterator[Stretch]:
        """The stretches that are complete with the next (T, V) of the matrix; with the last, all that is left.

        A recording of at most `LONGEST_S` is one stretch.
        """
        self.held.append(matrix)
        while sum(map(len, self.held)) > self.longest:
            whole = np.concatenate(self.held)
            cut = self._cut(whole[: self.longest, self.columns].argmax(1))
            yield Stretch(self.start, whole[:cut])
            self.held, self.start = [whole[cut:]], self.start + cut
        if last:
            yield Stretch(self.start, np.concatenate(self.held))

    def _cut(self, tokens: NDArray[np.int64]) -> int:
        """Where to cut, given the likeliest token of each frame: in the middle of the longest silence between words."""
        quiet = np.isin(tokens, self.quiet)
        edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
        found = [
            (self._between_words(tokens[begin:end]), end - begin, (begin + end) // 2)
            for begin, end in edges.reshape(-1, 2).tolist()
            if (begin + end) // 2 >= self.shortest
        ]
        return max(found)[2] if found else len(tokens)

    def _between_words(self, tokens: Sequence[int] | NDArray[np.int64]) -> bool:
        return len(tokens) >= self.pause or any(token in self.quiet[1:] for token in tokens)
