"""Tasks that cannot be done without remembering, from the LSTM's first paper, with sequences as long as one likes.

The lag is the least number of steps between the first input that has to be remembered and the step at which it is asked
for. Shapes: B sequences, T steps, D inputs, O outputs.

Source: Hochreiter and Schmidhuber 1997, "Long short-term memory", section 5.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

NOTHING = -100
"""The target of a step at which no symbol is asked for; `cross_entropy` passes over it."""

ORDER_SYMBOLS = "EBXYabcd"
"""The start, the end, the two that count, four that distract."""

REBER_SYMBOLS = "BTSXPVE"

REBER: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)
"""Reber's grammar: from each node, the symbols that may come and where they lead; node 7 is the end."""


@dataclass(frozen=True)
class Batch:
    """Sequences, padded at the end with zeros, and what is asked of them."""

    inputs: Tensor
    """(B, T, D)."""
    targets: Tensor
    """(B, T): symbols, `NOTHING` where none is asked for; or numbers, NaN where none is."""
    legal: Tensor
    """(B, T, O), bool: the symbols that are right, of which the target is one; all of them where none is asked for."""


@dataclass(frozen=True)
class Task:
    title: str
    inputs: int
    outputs: int
    draw: Callable[[int, int, Generator], Batch]
    """So many sequences of such a lag."""
    loss: Callable[[Tensor, Batch], Tensor]
    """Of outputs, (B, T, O), to be made small."""
    right: Callable[[Tensor, Batch], Tensor]
    """(B,), bool: the sequences that were answered rightly."""


def adding(count: int, lag: int, random: Generator) -> Batch:
    """Two numbers of many are marked; at the end, their sum is asked for.

    Each step has a number from -1 to 1 and a mark: 1 for the two numbers, -1 for the first and last step, else 0. The
    first of the two is in the first tenth, the other before the middle. What is asked for is 0.5 + (sum / 4).

    Source: section 5.4. Departure: there, a first step that is marked loses its number; here, it is never marked.
    """
    margin, lengths = _lengths(count, lag, random)
    rows = np.arange(count)
    numbers = random.uniform(-1, 1, (count, lengths.max())).astype(np.float32)
    marks = np.zeros_like(numbers)
    first = random.integers(1, margin, count, endpoint=True)
    second = random.integers(first + 1, max(lag // 2, margin + 2))
    marks[rows, first] = marks[rows, second] = 1
    marks[:, 0] = marks[rows, lengths - 1] = -1
    inside = np.arange(lengths.max()) < lengths[:, None]
    targets = np.full_like(numbers, np.nan)
    targets[rows, lengths - 1] = 0.5 + (numbers[rows, first] + numbers[rows, second]) / 4
    inputs = np.stack([numbers * inside, marks], axis=2)
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), torch.ones(count, lengths.max(), 1).bool())


def temporal_order(count: int, lag: int, random: Generator) -> Batch:
    """Among symbols that distract, X or Y comes twice; at the end, their order is asked for: XX, XY, YX or YY.

    The first is in the first tenth, the second shortly behind the middle.

    Source: section 5.6, experiment 6a.
    """
    margin, lengths = _lengths(count, lag, random)
    rows = np.arange(count)
    symbols = random.integers(4, 8, (count, lengths.max()))
    first = random.integers(1, margin, count, endpoint=True)
    second = random.integers(lag // 2, lag // 2 + margin, count, endpoint=True)
    kinds = random.integers(0, 2, (count, 2))
    symbols[rows, first], symbols[rows, second] = 2 + kinds.T
    symbols[:, 0], symbols[rows, lengths - 1] = 0, 1
    targets = np.full(symbols.shape, NOTHING)
    targets[rows, lengths - 1] = 2 * kinds[:, 0] + kinds[:, 1]
    asked = targets != NOTHING
    legal = (targets[..., None] == np.arange(4)) | ~asked[..., None]
    inside = np.arange(lengths.max()) < lengths[:, None]
    return _symbolic(symbols, inside, targets, legal, len(ORDER_SYMBOLS))


def embedded_reber(count: int, lag: int, random: Generator) -> Batch:
    """At each step the next symbol is asked for, and the last but one is the second again.

    A string is B, then T or P, then a string of Reber's grammar, then the T or P of before, then E. Any symbol that may
    come is right.

    Source: section 5.1. Departures: there, strings are as long as chance makes them, about 12 symbols, and all symbols
    that may come have to be held likelier than those that may not; here, the walk through Reber's grammar turns back
    until the lag is reached, and the likeliest symbol has to be one that may come.
    """
    symbols, legal = _embed(*_walk(count, lag, random), random.integers(0, 2, count))
    targets = np.where(symbols[:, 1:] >= 0, symbols[:, 1:], NOTHING)
    asked = targets != NOTHING
    return _symbolic(symbols[:, :-1], asked, targets, legal[:, 1:] | ~asked[..., None], len(REBER_SYMBOLS))


def _lengths(count: int, lag: int, random: Generator) -> tuple[int, NDArray[np.int64]]:
    """A tenth of the lag, and (B,) lengths that leave the lag behind a first tenth."""
    margin = max(lag // 10, 1)
    return margin, random.integers(lag + margin + 1, lag + 2 * margin + 1, count, endpoint=True)


def _walk(count: int, least: int, random: Generator) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Strings of Reber's grammar of at least so many symbols.

    Returns:
        (B, N), -1 behind the end, and what may stand there, (B, N, O).
    """
    choices = [list(node.items()) for node in REBER]
    pairs = [(arcs[0], arcs[-1]) for arcs in choices]
    symbol_of = np.array([[REBER_SYMBOLS.index(symbol) for symbol, _ in arcs] for arcs in pairs])
    next_of = np.array([[node for _, node in arcs] for arcs in pairs])
    may_come = np.array([[symbol in node for symbol in REBER_SYMBOLS] for node in REBER] + [[False] * 7])
    nodes = np.zeros(count, dtype=np.int64)
    symbols: list[NDArray[np.int64]] = []
    legal: list[NDArray[np.bool_]] = []
    while (nodes < 7).any():
        inside, now = nodes < 7, np.minimum(nodes, 6)
        way = random.integers(0, 2, count)
        if len(symbols) < least - 2:  # the second way leads to the last node but one from there, and an E follows
            way = np.where(np.isin(now, (4, 5)), 0, way)
        symbols.append(np.where(inside, symbol_of[now, way], -1))
        legal.append(may_come[nodes])
        nodes = np.where(inside, next_of[now, way], 7)
    return np.stack(symbols, axis=1), np.stack(legal, axis=1)


def _embed(
    inner: NDArray[np.int64], inner_legal: NDArray[np.bool_], kinds: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """What stands around strings: B and, by kind, T or P before, the same and E behind."""
    count, width = inner.shape
    rows, ends = np.arange(count), 2 + (inner >= 0).sum(1)
    start, first, second, end = (REBER_SYMBOLS.index(symbol) for symbol in "BTPE")
    kind = np.where(kinds == 0, first, second)
    symbols = np.full((count, width + 4), -1)
    symbols[:, 0], symbols[:, 1], symbols[:, 2:-2] = start, kind, inner
    symbols[rows, ends], symbols[rows, ends + 1] = kind, end
    legal = np.zeros((*symbols.shape, len(REBER_SYMBOLS)), dtype=bool)
    legal[:, 0, start] = legal[:, 1, first] = legal[:, 1, second] = True
    legal[:, 2:-2] = inner_legal
    legal[rows, ends, kind] = legal[rows, ends + 1, end] = True
    return symbols, legal


def _symbolic(
    symbols: NDArray[np.int64],
    inside: NDArray[np.bool_],
    targets: NDArray[np.int64],
    legal: NDArray[np.bool_],
    known: int,
) -> Batch:
    """A batch with one input for each known symbol."""
    inputs = one_hot(torch.from_numpy(np.where(inside, symbols, 0)), known) * torch.from_numpy(inside)[..., None]
    return Batch(inputs.float(), torch.from_numpy(targets), torch.from_numpy(legal))


def _squared(outputs: Tensor, batch: Batch) -> Tensor:
    asked = ~batch.targets.isnan()
    return (outputs[..., 0][asked] - batch.targets[asked]).square().mean()


def _near(outputs: Tensor, batch: Batch) -> Tensor:
    """Within 0.04, as in the paper."""
    return (((outputs[..., 0] - batch.targets).abs() < 0.04) | batch.targets.isnan()).all(1)


def _surprise(outputs: Tensor, batch: Batch) -> Tensor:
    return cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), ignore_index=NOTHING)


def _legal(outputs: Tensor, batch: Batch) -> Tensor:
    """The likeliest symbol is right at every step."""
    return batch.legal.gather(2, outputs.argmax(2, keepdim=True)).squeeze(2).all(1)


TASKS = {
    "adding": Task("adding problem", 2, 1, adding, _squared, _near),
    "order": Task("temporal order", len(ORDER_SYMBOLS), 4, temporal_order, _surprise, _legal),
    "reber": Task("embedded Reber grammar", len(REBER_SYMBOLS), len(REBER_SYMBOLS), embedded_reber, _surprise, _legal),
}
"""By the name that settings call them."""
