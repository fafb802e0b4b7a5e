"""Which pronunciation of each word was said: the one on the best path of CTC through all of them.

Shapes: T frames, V tokens, token 0 is the blank; S states, E ways from one state to the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.alignment import IMPOSSIBLE, LONG_FRAMES
from asr.errors import DataError
from asr.progress import track

Floats = NDArray[np.float64]

Variants = Sequence[tuple[int, ...]]
"""The pronunciations of a word as tokens; an empty one lets the word be left out."""

BLANK = 0
NO_WORD = (-1, 0)


def choose(matrix: NDArray[Any], variants: Sequence[Variants], silence: int | None = None) -> list[int]:
    """For each word the number of the pronunciation that the most likely path of all goes through.

    Exact, in memory of E + S * sqrt(T) numbers: scores are kept every sqrt(T) frames only, and on the way back those
    between are computed again. Among equals the first pronunciation is taken.

    Args:
        matrix: (T, V), natural logarithms.
        variants: Of each word, at least one.
        silence: A token that may stand before, between and behind the words.

    Raises:
        DataError: The words need more frames than there are.

    Source: Graves et al. 2006, section 4.1 (the lattice), with the maximum in place of the sum and the words'
        pronunciations side by side; checkpoints as in `asr.alignment.align`.
    """
    if silence is not None:
        return choose(matrix, with_silence(variants, silence))[1::2]
    graph = _graph_of(variants)
    taken: dict[int, int] = dict(graph.words[state] for state in graph.best_states(np.maximum(matrix, IMPOSSIBLE)))
    return [taken[word] if word in taken else list(each).index(()) for word, each in enumerate(variants)]


def with_silence(variants: Sequence[Variants], silence: int) -> list[Variants]:
    """The words, and around each of them one that is silence or nothing.

    >>> with_silence([[(1, 2)]], 9)
    [((), (9,)), [(1, 2)], ((), (9,))]
    """
    pause: Variants = ((), (silence,))
    return [pause, *(each for word in variants for each in (word, pause))]


@dataclass
class _Graph:
    """States that emit a token each, in an order in which no way leads back."""

    tokens: list[int] = field(default_factory=list)
    words: list[tuple[int, int]] = field(default_factory=list)
    """Of each state the word and the number of its pronunciation; `NO_WORD` of a blank."""
    sources: list[list[int]] = field(default_factory=list)
    """Of each state those that it can come from, itself first."""
    ends: list[int] = field(default_factory=list)
    """The states in which all that was added so far can end."""

    def add(self, token: int, sources: Sequence[int], word: tuple[int, int] = NO_WORD) -> int:
        """A new state's number; no way leads from one token straight to an equal one."""
        state = len(self.tokens)
        self.tokens.append(token)
        self.words.append(word)
        self.sources.append([state, *(source for source in sources if self.tokens[source] != token)])
        return state

    def best_states(self, matrix: NDArray[Any]) -> list[int]:
        """The state at each frame of the most likely path, from the first state to one of the ends.

        Args:
            matrix: (T, V), finite.
        """
        frames, block = len(matrix), math.isqrt(len(matrix)) + 1
        ways, tokens = np.concatenate(self.sources), np.array(self.tokens)
        begins = np.cumsum([0, *map(len, self.sources[:-1])])

        def advance(scores: Floats, frame: int) -> Floats:
            moved: Floats = np.maximum.reduceat(scores[ways], begins) + matrix[frame, tokens]
            return moved

        scores = np.full(len(tokens), -np.inf)
        scores[0] = 0.0
        checkpoints, starts = [], range(0, frames, block)
        for start in track(starts, "choosing pronunciations") if frames > LONG_FRAMES else starts:
            checkpoints.append(scores)
            for frame in range(start, min(start + block, frames)):
                scores = advance(scores, frame)
        state = max(self.ends, key=lambda end: scores[end])
        if scores[state] == -np.inf:
            raise DataError(f"the words need more frames than the {frames} that there are")
        states: list[int] = []
        for start in reversed(starts):
            history = [checkpoints.pop()]
            for frame in range(start, min(start + block, frames) - 1):
                history.append(advance(history[-1], frame))
            for scores in reversed(history):
                states.append(state)
                state = max(self.sources[state], key=scores.__getitem__)
        return states[::-1]


def _graph_of(variants: Sequence[Variants]) -> _Graph:
    graph = _Graph()
    graph.ends = [graph.add(BLANK, ())]
    for word, pronunciations in enumerate(variants):
        before, lasts = graph.ends, []
        for number, tokens in enumerate(pronunciations):
            sources, last = before, None
            for token in tokens:
                if last is not None:
                    sources = [last, graph.add(BLANK, [last])]
                last = graph.add(token, sources, (word, number))
            lasts += [] if last is None else [last]
        behind = graph.add(BLANK, lasts)
        graph.ends = [*lasts, behind, *(before if () in pronunciations else ())]
    return graph
