"""Decoding settings found on dev: the weights with the fewest word errors, then the narrowest search that keeps them.

Shapes: T frames, V tokens.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from numpy.typing import NDArray

from asr.decoder import DecodingConfig
from asr.metrics import count_errors
from asr.progress import say

Decode = Callable[[DecodingConfig, Sequence[NDArray[Any]]], list[str]]
"""The text of each matrix by some settings."""

STEPS = (
    {"lm_weight": 0.4, "word_score": 0.8, "prior_weight": 0.4},
    {"lm_weight": 0.2, "word_score": 0.4, "prior_weight": 0.2},
    {"lm_weight": 0.1, "word_score": 0.2, "prior_weight": 0.1},
)
"""How far apart the values that are tried lie, round by round."""

WIDTHS: Mapping[str, Sequence[float]] = {
    "tokens_per_frame": (3, 4, 5, 6),
    "beam": (10, 25, 50, 100, 200, 400, 800),
    "score_threshold": (6.0, 8.0, 10.0, 12.0),
}
"""What makes a search narrow or wide, in the order of trial; what the settings have by themselves is tried, too."""

ALLOWANCE = 0.01
"""By how large a share the word errors may grow for a narrower search: chance alone makes a larger difference."""

SKETCH = 250
"""Utterances, spread over all of dev, on which all is tried but the last round of weights."""


@dataclass(frozen=True)
class Trial:
    """Some settings and what they do on dev, or on a part of it."""

    config: DecodingConfig
    utterances: int
    words: int
    word_errors: int
    seconds: float

    @property
    def wer(self) -> float:
        return self.word_errors / max(self.words, 1)


@dataclass
class Tuning:
    """A search for settings that remembers all its trials."""

    decode: Decode
    matrices: Sequence[NDArray[Any]]
    references: Sequence[str]
    with_word_score: bool = True
    """Whether to try other word scores, too."""
    widths: Mapping[str, Sequence[float]] = field(default_factory=lambda: WIDTHS)
    trials: dict[tuple[DecodingConfig, int], Trial] = field(default_factory=dict)
    """By settings and how many utterances lie between two that are decoded."""

    def run(self, start: DecodingConfig) -> DecodingConfig:
        """The settings with the fewest word errors on dev.

        Goes from the start to the best neighbour as long as there is a better one, first in large steps on a part of
        dev, at last in small ones on all of it; then tries other widths, again on the part. Among equals the first,
        nearest to the start, wins, and the narrowest search of those that are about as good.
        """
        config = self.weights(start)
        for name, values in self.widths.items():
            config = self.narrowed(config, name, values)
        return config

    def narrowed(self, config: DecodingConfig, name: str, values: Sequence[float]) -> DecodingConfig:
        """With the smallest of the values, or of what the settings have, that is as good as the best of them."""
        choices = [replace(config, **{name: value}) for value in sorted({*values, getattr(config, name)})]
        trials = [self.trial(choice, self._stride) for choice in choices]
        fewest = min(trial.word_errors for trial in trials)
        return next(trial.config for trial in trials if trial.word_errors <= (1 + ALLOWANCE) * fewest)

    def weights(self, start: DecodingConfig) -> DecodingConfig:
        """As `run`, with the beam that it starts with."""
        config = start
        for steps in STEPS[:-1]:
            config = self._descend(config, steps, self._stride)
        return self._descend(config, STEPS[-1], 1)

    def trial(self, config: DecodingConfig, stride: int = 1) -> Trial:
        """What the settings do on every `stride`-th utterance of dev."""
        if (config, stride) not in self.trials:
            began = time.monotonic()
            texts = self.decode(config, self.matrices[::stride])
            seconds = time.monotonic() - began
            pairs = zip(self.references[::stride], texts, strict=True)
            counts = [count_errors(reference, text) for reference, text in pairs]
            words, errors = sum(count.words for count in counts), sum(count.word_errors for count in counts)
            trial = Trial(config, len(texts), words, errors, seconds)
            self.trials[config, stride] = trial
            say(f"tune: {_in_words(config)}: WER {trial.wer:.2%} on {len(texts)} utterances, {seconds:.1f} s")
        return self.trials[config, stride]

    @property
    def _stride(self) -> int:
        return max(1, len(self.matrices) // SKETCH)

    def _descend(self, config: DecodingConfig, steps: Mapping[str, float], stride: int) -> DecodingConfig:
        while True:
            near = [config, *_neighbours(config, steps)]
            near = [each for each in near if self.with_word_score or each.word_score == config.word_score]
            best = min(near, key=lambda candidate: self.trial(candidate, stride).word_errors)
            if best == config:
                return config
            config = best


def _neighbours(config: DecodingConfig, steps: Mapping[str, float]) -> list[DecodingConfig]:
    """The settings a step away, within what each may be."""
    moves = [(name, way * step) for name, step in steps.items() for way in (1, -1)]
    points = [(name, round(getattr(config, name) + move, 3)) for name, move in moves]
    allowed = {"lm_weight": (0.0, inf), "word_score": (-inf, inf), "prior_weight": (0.0, 1.0)}
    inside = [(name, value) for name, value in points if allowed[name][0] <= value <= allowed[name][1]]
    return [replace(config, **{name: value}) for name, value in inside]


def _in_words(config: DecodingConfig) -> str:
    names = (*STEPS[0], *WIDTHS)
    return ", ".join(f"{name} {getattr(config, name):g}" for name in names)
