"""N-grams that hardly change what a model says are left out, and the others' backoffs made to fit.

Source: Stolcke 1998, Entropy-based Pruning of Backoff Language Models, sections 2 and 3, with two departures. An n-gram
stays when a longer one that stays begins or ends in it. And how often a history occurs is taken from what the model
would write in the long run: the lower orders of a Kneser-Ney model, which Stolcke multiplies for it, tell how many
words something follows, not how often it occurs (Chelba et al. 2010, Study on Interaction between Entropy Pruning and
Kneser-Ney Smoothing).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.errors import ConfigError
from asr.lm.counts import Ids, find_suffixes
from asr.lm.ngram import LN_10, NGramModel, Table, closed
from asr.lm.units import END, START

Floats = NDArray[np.float64]

ROUNDS = 8
"""In which the frequencies of histories settle, but for some thousandths."""
LEAST = 1e-12
"""The probability that is left at least for the words not seen after a history."""


@dataclass(frozen=True, eq=False)
class _Level:
    """The n-grams of one order; that of order 0 is the one without words."""

    contexts: Ids
    """Of each n-gram the row of what it begins with, all but its last word, in the order below."""
    suffixes: Ids
    """The row of what it ends in, all but its first word."""
    probability: Floats
    backoff: Floats

    def begun(self, values: NDArray[Any], below: "_Level") -> Floats:
        """The sums of the n-grams' values over those with the same beginning, for all of the order below."""
        return np.bincount(self.contexts, values, len(below.probability)).astype(np.float64)

    def ended(self, values: Floats, below: "_Level") -> Floats:
        """The same over those with the same end."""
        return np.bincount(self.suffixes, values, len(below.probability)).astype(np.float64)


def prune(model: NGramModel, threshold: float = 0.0, ngrams: int | None = None) -> NGramModel:
    """The model without the n-grams that count least; its probabilities still add up to 1.

    Args:
        threshold: An n-gram goes when the perplexity of what the model itself writes rises by no more than this share.
        ngrams: How many are to be left at most, words included, in place of a threshold.

    Raises:
        ConfigError: Fewer n-grams than the model has words, which all stay.
    """
    model = closed(model)
    if ngrams is not None and (few := len(model.words) - ngrams) > 0:
        raise ConfigError(f"ngrams = {ngrams}: fewer n-grams than words, {few} too few: all the words stay")
    levels = _levels(model)
    found = frequencies(levels, model.ids[START], model.ids[END])
    worth = _with_what_is_needed(levels, [np.expm1(loss) for loss in losses(levels, found)])
    if ngrams is not None:
        threshold = _threshold(worth, ngrams - len(model.words))
    return _cut(model, levels, [each > threshold for each in worth])


def _levels(model: NGramModel) -> list[_Level]:
    size = len(model.words)
    suffixes = find_suffixes([table.keys for table in model.tables], size)
    one = np.ones(1)
    levels = [_Level(np.zeros(1, np.int64), np.zeros(1, np.int64), one, one)]
    for order, table in enumerate(model.tables, start=1):
        contexts = table.keys // size if order > 1 else suffixes[0]
        probability, backoff = (
            np.exp(LN_10 * log10.astype(np.float64)) for log10 in (table.log10_probability, table.log10_backoff)
        )
        levels.append(_Level(contexts, suffixes[order - 1], probability, backoff))
    return levels


def frequencies(levels: Sequence[_Level], start: int, end: int, rounds: int = ROUNDS) -> list[Floats]:
    """By order, from 0, how often each n-gram stands at a place of the text that the model would write in the long run.

    A word stands behind a history h' because of each longer history that ends in h': by an n-gram of its own there, or
    because the longer one backs off to h'.
    """
    found = [np.ones(1), _with_start(levels[1].probability, start, end)]
    for level in levels[2:]:
        found.append(found[-1][level.contexts] * level.probability)
    for _ in range(rounds):
        arrived = found[-2].copy()  # of each history of an order, how often a word is looked for there
        longer, through = np.zeros_like(found[-1]), np.zeros_like(found[-1])
        for order in range(len(levels) - 1, 0, -1):
            level, below = levels[order], levels[order - 1]
            if order == 2:
                arrived[end] = 0  # behind it nothing is foretold
            found[order] = longer + np.maximum(arrived[level.contexts] - through, 0) * level.probability
            longer = level.ended(found[order], below)
            backing_off = arrived * below.backoff
            through = level.ended(backing_off[level.contexts], below)
            if order > 1:  # there a word is looked for first where no longer history is known
                arrived = found[order - 2] + below.ended(backing_off - found[order - 1], levels[order - 2])
        found[1] = _with_start(found[1], start, end)
    return found


def _with_start(words: Floats, start: int, end: int) -> Floats:
    """A sentence begins as often as one ends, though nothing foretells it."""
    words = words.copy()
    words[start] = words[end]
    return words / float(words.sum())


def losses(levels: Sequence[_Level], found: Sequence[Floats]) -> list[Floats]:
    """Of each n-gram from order 2 on, the relative entropy in natural units between the model with and without it.

    Source: Stolcke 1998, equations 3 to 6.
    """
    result = []
    for history, below, level in zip(found[1:], levels[1:], levels[2:], strict=False):
        lower = below.probability[level.suffixes]
        left = np.maximum(1 - level.begun(lower, below), LEAST)
        unseen = below.backoff * left
        probability, before = level.probability, below.backoff[level.contexts]
        after = (unseen[level.contexts] + probability) / (left[level.contexts] + lower)
        of_itself = probability * np.log(probability / (after * lower))
        of_the_others = unseen[level.contexts] * np.log(before / after)
        result.append(history[level.contexts] * (of_itself + of_the_others))
    return result


def _with_what_is_needed(levels: Sequence[_Level], worth: list[Floats]) -> list[Floats]:
    """What each n-gram is worth, or the most that one is which needs it."""
    for number in range(len(worth) - 1, 0, -1):
        level = levels[number + 2]
        for rows in (level.contexts, level.suffixes):
            np.maximum.at(worth[number - 1], rows, worth[number])
    return worth


def _threshold(worth: Sequence[Floats], most: int) -> float:
    """No more than so many are worth more."""
    values = np.concatenate([np.empty(0), *worth])
    if most >= len(values):
        return -np.inf
    return float(np.partition(values, len(values) - most - 1)[len(values) - most - 1])


def _cut(model: NGramModel, levels: Sequence[_Level], kept: Sequence[NDArray[np.bool_]]) -> NGramModel:
    """The model with some of its n-grams from order 2 on; where some are left out, the backoff is computed anew.

    Source: Stolcke 1998, equation 1.
    """
    size = len(model.words)
    tables = [model.tables[0]]
    stay, rows = np.ones(size, np.bool_), np.arange(size)
    for stays, table, below, level in zip(kept, model.tables[1:], levels[1:-1], levels[2:], strict=True):
        free = 1 - level.begun(level.probability * stays, below)
        free_below = 1 - level.begun(below.probability[level.suffixes] * stays, below)
        anew = np.log10(np.maximum(free, LEAST) / np.maximum(free_below, LEAST)).astype(np.float32)
        fewer = level.begun(~stays, below)[stay] > 0
        shorter = tables[-1]
        backoff = np.where(fewer, anew[stay], shorter.log10_backoff)
        tables[-1] = Table(shorter.keys, shorter.log10_probability, backoff)
        keys = rows[level.contexts[stays]] * size + table.keys[stays] % size
        tables.append(Table(keys, table.log10_probability[stays], table.log10_backoff[stays]))
        stay, rows = stays, np.cumsum(stays) - 1
    return NGramModel(model.words, tables)
