"""Interpolated modified Kneser-Ney smoothing, number for number as KenLM's lmplz does it.

Source: Chen & Goodman 1998, An Empirical Study of Smoothing Techniques for Language Modeling, section 3; Heafield et
al. 2013, Scalable Modified Kneser-Ney Language Model Estimation, section 3.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asr.errors import ConfigError
from asr.lm.counts import START_ID, Ids, NGramCounts, find_suffixes
from asr.lm.ngram import NGramModel, Table
from asr.progress import say

Floats = NDArray[np.float64]

FALLBACK = (0.0, 0.5, 1.0, 1.5)
"""The discounts of counts 0, 1, 2, 3 and more where the text does not tell them: lmplz --discount_fallback."""
LOWEST_LOG10 = -99.0
"""What ARPA files write for a probability of zero."""


def parse_prune(text: str, order: int) -> list[int]:
    """The threshold of each order; the last number holds for all higher orders.

    Raises:
        ConfigError: Thresholds that are no whole numbers, falling, more than the orders, or not 0 for unigrams.

    >>> parse_prune("0 0 1", 4)
    [0, 0, 1, 1]
    """
    words = text.split()
    if not words or not all(word.isdecimal() for word in words):
        raise ConfigError(f"prune {text!r}: whole numbers were expected, such as '0 0 1'")
    thresholds = [*map(int, words), *[int(words[-1])] * (order - len(words))]
    if len(thresholds) > order:
        raise ConfigError(f"prune {text!r}: {len(thresholds)} thresholds for a model of order {order}")
    if thresholds[0] != 0:
        raise ConfigError(f"prune {text!r}: unigrams are never left out; begin with 0")
    if thresholds != sorted(thresholds):
        raise ConfigError(f"prune {text!r}: a threshold is lower than that of the order before")
    return thresholds


def estimate(counts: NGramCounts, prune: Sequence[int] | None = None) -> NGramModel:
    """The model that counted n-grams give.

    Where an order has too few distinct n-grams to tell its discounts, as that of characters alone, `FALLBACK` is
    taken, and said so.

    Args:
        prune: For each order how often an n-gram may occur in the text and still be left out: 0 for unigrams, and no
            less than for the order below, as `parse_prune` makes sure (default: all stay).
    """
    thresholds = prune or [0] * counts.order
    size = len(counts.words)
    prefixes = [keys // size for keys in counts.keys]
    suffixes = find_suffixes(counts.keys, size)
    adjusted = _adjusted(counts, prefixes, suffixes)
    kept = [times > threshold for times, threshold in zip(counts.counts, thresholds, strict=True)]
    kept[0][:] = True

    tables: list[Table] = []
    probability: Floats = np.full(1, 1 / (size - 1))  # uniform over all that can follow, which <s> cannot
    rows = np.zeros(1, np.int64)
    for n, (keys, prefix, suffix) in enumerate(zip(counts.keys, prefixes, suffixes, strict=True)):
        discounts = _discounts(adjusted[n], n + 1)
        contexts = len(counts.keys[n - 1]) if n else 1
        probability, backoff = _interpolate(adjusted[n], kept[n], discounts, prefix, probability[suffix], contexts)
        if tables:
            tables[-1] = _with_backoff(tables[-1], backoff[kept[n - 1]])
        log10 = np.log10(np.maximum(probability[kept[n]], 10**LOWEST_LOG10)).astype(np.float32)
        tables.append(Table(rows[prefix[kept[n]]] * size + keys[kept[n]] % size, log10, np.zeros_like(log10)))
        rows = np.cumsum(kept[n]) - 1
    tables[0].log10_probability[START_ID] = LOWEST_LOG10
    return NGramModel(counts.words, tables)


def _adjusted(counts: NGramCounts, prefixes: Sequence[Ids], suffixes: Sequence[Ids]) -> list[Ids]:
    """Below the highest order, how many words an n-gram is seen after; one that begins a sentence keeps its count.

    Source: Heafield et al. 2013, section 3.1 (adjusted counts).
    """
    adjusted = []
    starts = np.arange(len(counts.words)) == START_ID
    for n, suffix in enumerate(suffixes[1:]):
        continuations = np.bincount(suffix, minlength=len(counts.keys[n]))
        adjusted.append(np.where(starts, counts.counts[n], continuations))
        starts = starts[prefixes[n + 1]]
    adjusted.append(counts.counts[-1].copy())
    adjusted[0][START_ID] = 0  # nothing comes before it, and it is never foretold
    return adjusted


def _discounts(adjusted: Ids, order: int) -> Floats:
    """What is taken from counts of 0, 1, 2, and 3 or more.

    Source: Chen & Goodman 1998, equation 26.
    """
    n = np.bincount(adjusted[adjusted < 5], minlength=5).astype(np.float64)
    if n[1:4].all():
        taken = np.arange(1, 4)
        discounts = taken - (taken + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
        if (discounts >= 0).all() and (discounts <= taken).all():
            return np.array([0.0, *discounts])
    say(f"{order}-grams: too few to tell their discounts; taking {FALLBACK[1]:g}, {FALLBACK[2]:g} and {FALLBACK[3]:g}")
    return np.array(FALLBACK)


def _interpolate(
    adjusted: Ids, kept: NDArray[np.bool_], discounts: Floats, prefix: Ids, lower: Floats, contexts: int
) -> tuple[Floats, Floats]:
    """The probabilities of an order's n-grams, and the backoff of every context.

    A context backs off with what was taken from its n-grams, and with all of those that are left out.

    Args:
        lower: The probability of each n-gram without its first word.

    Source: Heafield et al. 2013, sections 3.2 and 3.3.
    """
    discount = np.where(kept, discounts[np.minimum(adjusted, 3)], adjusted)
    total = np.bincount(prefix, adjusted, contexts)
    freed = np.bincount(prefix, discount, contexts)
    backoff = np.divide(freed, total, out=np.ones(contexts), where=total > 0)
    return (adjusted - discount) / total[prefix] + backoff[prefix] * lower, backoff


def _with_backoff(table: Table, backoff: Floats) -> Table:
    log10 = np.log10(np.maximum(backoff, 10**LOWEST_LOG10)).astype(np.float32)
    return Table(table.keys, table.log10_probability, log10)
