"""Beam search over prefixes: from one matrix of log-probabilities to the likeliest token sequences.

A token sequence is heard along many paths (a path names one token a frame; repeats merge, blanks vanish), and its
probability is their sum. The search holds on to the best prefixes and sums the paths of each as the frames go by.
It is the readable engine; `asr.search.flashlight` does the same faster where it is installed.

Shapes: T frames, V tokens, token 0 is the blank.

Source: Graves & Jaitly 2014, Towards End-to-End Speech Recognition with Recurrent Neural Networks, section 4; Hannun et
al. 2014, First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs, algorithm 1,
with the language model added in logarithms and entries pruned by (prefix, ends in a blank?) instead of by prefix: with
one entry and no scorer the search then follows the best path, token by token.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from heapq import nlargest
from math import exp, inf, log1p
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from asr.errors import DataError

BLANK_ID = 0
TOKEN_THRESHOLD = 20.0
"""How far, in natural log units, below a frame's best token another may lie and still be tried."""

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True)
class Hypothesis:
    tokens: tuple[int, ...]
    """Token ids, no blanks."""
    score: float
    """Log of the summed probability of all paths that the beam kept, plus all that the scorer added."""
    words: tuple[tuple[str, int], ...] = ()
    """The words and how many of the tokens each has; none where the tokens spell the text. An empty word is silence."""
    language: float = 0.0
    """What of the score comes from the search's language model."""


class Scorer(Protocol[State]):
    """What a search listens to besides the matrix: a language model, a lexicon, hotwords."""

    def start(self) -> State: ...

    def extend(self, state: State, token: int) -> tuple[State, float] | None:
        """The state after one more token and what the token adds to the score; None: the token is not allowed here."""

    def finish(self, state: State) -> float | None:
        """What the end adds to the score; None: there may be no end here."""


class _Free:
    """Allows everything and adds nothing."""

    def start(self) -> None:
        return None

    def extend(self, state: None, token: int) -> tuple[None, float]:
        return None, 0.0

    def finish(self, state: None) -> float:
        return 0.0


class _Prefix:
    """A token sequence, linked to the one that is shorter by a token and to those, met so far, that are longer."""

    __slots__ = ("_longer", "added", "parent", "state", "token")

    def __init__(self, parent: "_Prefix | None", token: int, state: Any, added: float) -> None:
        self.parent = parent
        self.token = token
        self.state = state
        self.added = added
        self._longer: dict[int, _Prefix | None] = {}

    def extended(self, token: int, scorer: Scorer[Any]) -> "_Prefix | None":
        """The prefix with one more token, always the same object; None when the scorer forbids it."""
        if token not in self._longer:
            extension = scorer.extend(self.state, token)
            self._longer[token] = _Prefix(self, token, *extension) if extension else None
        return self._longer[token]

    def tokens(self) -> tuple[int, ...]:
        tokens, prefix = [], self
        while prefix.parent is not None:
            tokens.append(prefix.token)
            prefix = prefix.parent
        return tuple(reversed(tokens))


Beam: TypeAlias = dict[tuple[_Prefix, bool], float]
"""The score so far of each (prefix, do its paths end in a blank?)."""


def beam_search(
    log_probabilities: NDArray[Any],
    beam: int,
    scorer: Scorer[Any] | None = None,
    nbest: int = 1,
    score_threshold: float = inf,
    token_threshold: float = TOKEN_THRESHOLD,
) -> list[Hypothesis]:
    """The likeliest token sequences, best first; at least one, at most `nbest`.

    With a beam of 1 and no scorer it is the best path; with a beam and a threshold so wide that nothing is pruned,
    every score is the exact sum. Where the scorer lets none of the kept prefixes end (say, all stop within a word), the
    unfinished ones are returned, with what the scorer has added to them so far.

    Args:
        log_probabilities: (T, V), natural logarithms; T may be 0.
        beam: How many (prefix, ends in a blank?) are kept after each frame.
        score_threshold: Those so far below the best of their frame (natural log units) are not kept.
        token_threshold: Tokens so far below the best of their frame (natural log units) are passed over, except the
            blank and repeats.

    Raises:
        DataError: NaN, or a frame in which no token is possible; names the frame.
    """
    matrix = check_matrix(log_probabilities)
    scorer = scorer or _Free()
    entries: Beam = {(_Prefix(None, BLANK_ID, scorer.start(), 0.0), True): 0.0}
    for row in matrix:
        candidates = _advance(entries, row, scorer, token_threshold)
        least = max(candidates.values()) - score_threshold
        good = (item for item in candidates.items() if item[1] >= least)
        entries = dict(nlargest(beam, good, key=lambda item: item[1]))
    return _finish(entries, scorer, nbest)


def check_matrix(log_probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """The matrix in double precision.

    Raises:
        DataError: It holds a NaN, or a frame in which no token is possible; names the frame, counted from 0.
    """
    matrix = np.asarray(log_probabilities, dtype=np.float64)
    best = matrix.max(1) if len(matrix) else np.zeros(0)  # the maximum of a row with a NaN is NaN
    if len(broken := np.flatnonzero(~np.isfinite(best))):
        frame = broken[0]
        found = "NaN" if np.isnan(best[frame]) else f"a largest value of {best[frame]}"
        raise DataError(f"log-probabilities: frame {frame} of {len(matrix)} has {found}")
    return matrix


def _advance(entries: Beam, row: NDArray[np.float64], scorer: Scorer[Any], threshold: float) -> Beam:
    """All that one frame can make of the beam's entries; paths that meet in an entry are summed."""
    log_probability: list[float] = row.tolist()
    tried = row >= row.max() - threshold
    tried[BLANK_ID] = True
    likely: list[int] = np.flatnonzero(tried).tolist()
    candidates: Beam = {}
    for (prefix, ends_in_blank), score in entries.items():
        # in ascending order: among equal scores the search keeps the first, as argmax does
        for token in likely if tried[prefix.token] else sorted([*likely, prefix.token]):
            total = score + log_probability[token]
            if token == BLANK_ID:
                key = (prefix, True)
            elif token == prefix.token and not ends_in_blank:
                key = (prefix, False)
            elif longer := prefix.extended(token, scorer):
                key = (longer, False)
                total += longer.added
            else:
                continue
            candidates[key] = log_add(candidates[key], total) if key in candidates else total
    return candidates


def _finish(entries: Beam, scorer: Scorer[Any], nbest: int) -> list[Hypothesis]:
    unfinished: dict[_Prefix, float] = {}
    for (prefix, _), score in entries.items():
        unfinished[prefix] = log_add(unfinished[prefix], score) if prefix in unfinished else score
    ends = ((prefix, scorer.finish(prefix.state)) for prefix in unfinished)
    finished = {prefix: unfinished[prefix] + added for prefix, added in ends if added is not None}
    ends_well = max(finished.values(), default=-inf) > -inf
    best = nlargest(nbest, (finished if ends_well else unfinished).items(), key=lambda item: item[1])
    return [Hypothesis(prefix.tokens(), score) for prefix, score in best]


def log_add(left: float, right: float) -> float:
    """The logarithm of the sum of two numbers that are given by their logarithms."""
    high, low = (left, right) if left >= right else (right, left)
    return high if low == -inf else high + log1p(exp(low - high))
