"""How sure the model is of a word, and how much that is worth: raw confidence, its calibration, and the proof of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asr.config import settings
from asr.errors import DataError

Floats = NDArray[np.float64]

FEWEST_WORDS = 20
"""Right ones and wrong ones, of each that many, to fit a calibration on: with fewer the fit is mostly chance."""

CLOSEST = 1e-6
"""A confidence is taken to be at least this far from 0 and from 1, so that it has a logit."""

NEWTON_STEPS = 50


@settings
class Calibration:
    """From a raw confidence to the probability that the word is right; as it stands, it changes nothing."""

    slope: float = 1.0
    """Of the logits; positive, so that the order of words stays."""
    offset: float = 0.0

    def __call__(self, confidences: ArrayLike) -> Floats:
        return _sigmoid(self.slope * _logit(confidences) + self.offset)


def fit(confidences: Sequence[float], right: Sequence[bool]) -> Calibration:
    """The calibration under which the words' being right or wrong is likeliest.

    Of R right and W wrong words, one that is right counts as right with probability (R + 1) / (R + 2), and one that is
    wrong with 1 / (W + 2), so that no finite sample gives certainty.

    Raises:
        DataError: Fewer than `FEWEST_WORDS` right ones or wrong ones; or the surer the model, the less it is right.

    Source: Platt 1999, Probabilistic outputs for support vector machines, section 2; Newton's method with a halved
        step as in Lin, Lin and Weng 2007.
    """
    labels = np.asarray(right, dtype=bool)
    count, wrong = int(labels.sum()), int((~labels).sum())
    if min(count, wrong) < FEWEST_WORDS:
        raise DataError(f"{count} right and {wrong} wrong words: confidence needs {FEWEST_WORDS} of each to calibrate")
    logits = _logit(confidences)
    targets = np.where(labels, (count + 1) / (count + 2), 1 / (wrong + 2))
    slope, offset = _logistic_regression(logits, targets)
    if slope <= 0:
        raise DataError(f"confidence cannot be calibrated: over {len(labels)} words it falls where more are right")
    return Calibration(slope, offset)


def shifted(confidences: Sequence[float], right: Sequence[bool]) -> Calibration:
    """The calibration that only brings the mean confidence to the share of right words, where few are wrong.

    Args:
        confidences: At least one.
        right: Of which R of N are; the share is taken to be (R + 1) / (N + 2).
    """
    logits, share = _logit(confidences), (sum(right) + 1) / (len(right) + 2)
    low, high = -50.0, 50.0
    while high - low > 1e-6:
        offset = (low + high) / 2
        low, high = (offset, high) if _sigmoid(logits + offset).mean() < share else (low, offset)
    return Calibration(1.0, low)


@dataclass(frozen=True)
class Bin:
    """The words whose confidence lies in `low`..`high`, and how many of them are right."""

    low: float
    high: float
    count: int
    confidence: float
    """Their mean; as `accuracy`, NaN where there are none."""
    accuracy: float


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """The words in bins of equal width; the upper edge is outside, but for the last bin's.

    Source: DeGroot and Fienberg 1983; Niculescu-Mizil and Caruana 2005 (reliability diagrams).
    """
    values, labels = np.asarray(confidences, np.float64), np.asarray(right, bool)
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    table = []
    for place in range(bins):
        inside = places == place
        count = int(inside.sum())
        means = (float(values[inside].mean()), float(labels[inside].mean())) if count else (np.nan, np.nan)
        table.append(Bin(float(edges[place]), float(edges[place + 1]), count, *means))
    return table


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """By how much confidence and accuracy differ: the mean over bins of equal width, weighted by their words.

    0 where there are no words.

    Source: Naeini et al. 2015, Obtaining well calibrated probabilities using Bayesian binning; Guo et al. 2017, On
        calibration of modern neural networks, equation 3.
    """
    full = [part for part in reliability(confidences, right, bins) if part.count]
    total = sum(part.count for part in full)
    return sum(part.count / total * abs(part.accuracy - part.confidence) for part in full)


def normalised_cross_entropy(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """What the confidences tell about which words are right: 1 all, 0 no more than their overall share, below 0 less.

    Raises:
        DataError: All words are right or all wrong, so that there is nothing to tell.

    Source: NIST 2009, The Rich Transcription evaluation plan (confidence measure NCE).
    """
    labels = np.asarray(right, bool)
    share = float(labels.mean()) if len(labels) else 0.0
    if share in (0.0, 1.0):
        raise DataError(f"{len(labels)} words, all right or all wrong: no entropy to explain")
    values = _inside(confidences)
    told = float(np.where(labels, np.log(values), np.log1p(-values)).sum())
    prior = -len(labels) * (share * np.log(share) + (1 - share) * np.log(1 - share))
    return float((prior + told) / prior)


def cross_fitted(groups: Mapping[str, tuple[Sequence[float], Sequence[bool]]]) -> tuple[list[float], list[bool]]:
    """Calibrated confidences of all words, each by a calibration that has not seen its group, and which are right.

    The groups, by number of words, go to one half and the other in turns; each half is calibrated by the other.

    Args:
        groups: Raw confidences of a speaker's (or an utterance's) words and which of them are right, by name.

    Raises:
        DataError: As `fit`, of either half.
    """
    order = sorted(groups, key=lambda name: (-len(groups[name][0]), name))
    halves = [_pooled([groups[name] for name in order[first::2]]) for first in range(2)]
    confidences: list[float] = []
    right: list[bool] = []
    for (values, labels), other in zip(halves, reversed(halves), strict=True):
        confidences += fit(*other)(values).tolist()
        right += labels
    return confidences, right


def reliability_table(bins: Sequence[Bin]) -> str:
    """The bins as a Markdown table, those without words left out."""
    lines = ["| confidence | words | mean confidence | right |", "|---|--:|--:|--:|"]
    for part in bins:
        if part.count:
            edges = f"{part.low:.0%} to {part.high:.0%}"
            lines.append(f"| {edges} | {part.count} | {part.confidence:.1%} | {part.accuracy:.1%} |")
    return "\n".join(lines) + "\n"


def _logistic_regression(inputs: Floats, targets: Floats) -> tuple[float, float]:
    """Slope and offset of least cross entropy, by Newton's method; a step that makes it worse is halved."""
    design = np.stack([inputs, np.ones_like(inputs)], axis=1)
    weights = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        outputs = _sigmoid(design @ weights)
        gradient = design.T @ (outputs - targets)
        curvature = (design * (outputs * (1 - outputs))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while _cross_entropy(design @ (weights - step), targets) > _cross_entropy(design @ weights, targets) + 1e-12:
            step /= 2
        weights = weights - step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def _cross_entropy(logits: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, logits) - targets * logits).sum())


def _pooled(parts: Sequence[tuple[Sequence[float], Sequence[bool]]]) -> tuple[list[float], list[bool]]:
    return [value for values, _ in parts for value in values], [label for _, labels in parts for label in labels]


def _inside(confidences: ArrayLike) -> Floats:
    return np.clip(np.asarray(confidences, np.float64), CLOSEST, 1 - CLOSEST)


def _logit(confidences: ArrayLike) -> Floats:
    values = _inside(confidences)
    return np.log(values) - np.log1p(-values)


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -logits)))
