"""Minimum Bayes risk: of the texts that may have been said, the one with the fewest word errors to be expected.

The likeliest text is the best bet on not one word being wrong. Where most texts have a wrong word or two, the better
one shares the most words with all that are likely.

Source: Stolcke, König and Weintraub 1997, Explicit word error minimization in N-best list rescoring.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cdist

CANDIDATES = 100
"""How many hypotheses of a search are weighed: with 30 of them half of what it gains is gone, with more nothing more
is gained."""

SCALES = (0.0, 0.2, 0.3, 0.5, 0.7, 1.0)
"""The values of `decoding.mbr_scale` that `asr tune` tries."""


def expected_errors(texts: Sequence[str], scores: ArrayLike, scale: float) -> NDArray[np.float64]:
    """The word errors to be expected of each text, (N,), if what was said is one of them.

    Args:
        texts: N of them, at least one.
        scores: (N,), of which `scale` times makes log-probabilities, but for a constant.
    """
    words = [text.split() for text in texts]
    logs = scale * np.asarray(scores, np.float64)
    probabilities = np.exp(logs - np.logaddexp.reduce(logs))
    errors: NDArray[np.float64] = cdist(words, words, scorer=Levenshtein.distance, dtype=np.float64) @ probabilities
    return errors
