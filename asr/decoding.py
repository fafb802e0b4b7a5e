"""From one matrix of log-probabilities to token ids; knows neither files nor text.

Shapes: T frames, V tokens, token 0 is the blank.
"""

from itertools import groupby
from typing import Any

from numpy.typing import NDArray
from torch import Tensor


def greedy(log_probabilities: Tensor | NDArray[Any]) -> list[int]:
    """The token ids of the best path: the best token of each frame, repeats merged, blanks removed.

    Source: Graves et al. 2006, section 3.2 (best path decoding).

    Args:
        log_probabilities: (T, V); T may be 0.
    """
    path = log_probabilities.argmax(1).tolist() if len(log_probabilities) else []
    return [token for token, _ in groupby(path) if token != 0]
