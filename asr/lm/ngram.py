"""An n-gram model with backoff: how likely a word is after others, and the perplexity of texts."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from asr.lm.counts import Ids, find, find_suffixes
from asr.lm.units import END, START, UNKNOWN, Units, split, units_of

State = tuple[int, ...]
"""The ids of the words before the next one, as many as the model can make use of; equal states have equal futures."""

SENTENCES_PER_BLOCK = 10_000
MOST_REMEMBERED = 1 << 17
"""Scores, at some 400 bytes each: a search asks for the same ones again and again."""
LN_10 = math.log(10)


@dataclass(frozen=True, eq=False)
class Table:
    """The n-grams of one order."""

    keys: Ids
    """In increasing order: the row of the first n-1 words in the order below, times the words that the model has, plus
    the id of the last word."""
    log10_probability: NDArray[np.float32]
    log10_backoff: NDArray[np.float32]
    """Added when the n-gram is the context of a word that was not seen in it; 0 where it is nobody's context."""


@dataclass(frozen=True)
class Perplexity:
    """How well a model foretells texts; can be added up."""

    sentences: int = 0
    words: int = 0
    tokens: int = 0
    """What the model predicts, the ends of sentences aside: the words, or the characters with the spaces."""
    unknown: int = 0
    """The tokens that the model does not have."""
    log10_probability: float = 0.0
    """Of all tokens and ends of sentences."""
    log10_probability_without_unknown: float = 0.0

    def __add__(self, other: "Perplexity") -> "Perplexity":
        return Perplexity(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def perplexity(self) -> float:
        """Over tokens and ends of sentences, unknown ones at the probability of `<unk>`."""
        return _power(self.log10_probability, self.tokens + self.sentences)

    @property
    def perplexity_without_unknown(self) -> float:
        return _power(self.log10_probability_without_unknown, self.tokens + self.sentences - self.unknown)

    @property
    def perplexity_per_word(self) -> float:
        """Over words and ends of sentences, so that a model of characters can be held against one of words."""
        return _power(self.log10_probability, self.words + self.sentences)

    @property
    def unknown_rate(self) -> float:
        return self.unknown / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, eq=False)
class NGramModel:
    words: list[str]
    """By id; `<unk>`, `<s>` and `</s>` are among them."""
    tables: list[Table]
    """By order, from 1; a unigram's row is the id of its word."""
    _remembered: dict[tuple[State, int], tuple[State, float]] = field(default_factory=dict, init=False, repr=False)

    @property
    def order(self) -> int:
        return len(self.tables)

    @property
    def counts(self) -> list[int]:
        """How many n-grams there are of each order."""
        return [len(table.keys) for table in self.tables]

    def columns(self, order: int, rows: Ids | None = None) -> list[Ids]:
        """The first, second, ... word ids of the n-grams of an order, of all or of those in some rows."""
        rows = np.arange(len(self.tables[order - 1].keys)) if rows is None else rows
        columns: list[Ids] = []
        for table in reversed(self.tables[:order]):
            rows, last = np.divmod(table.keys[rows], len(self.words))
            columns.insert(0, last)
        return columns

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    @cached_property
    def units(self) -> Units:
        return units_of(self.words)

    def start(self) -> State:
        """Before the first word of a sentence."""
        return self._shortened((self.ids[START],))

    def score(self, state: State, word: str) -> tuple[State, float]:
        """The state after a word, and the word's natural log probability; one that the model lacks is `<unk>`."""
        number = self.ids.get(word)
        return self._score(state, self.ids[UNKNOWN] if number is None else number)

    def finish(self, state: State) -> float:
        """The natural log probability that the sentence ends here."""
        return self._score(state, self.ids[END])[1]

    def log_probability(self, units: Iterable[str]) -> float:
        """Of a whole sentence, its end included; natural."""
        state, total = self.start(), 0.0
        for unit in units:
            state, found = self.score(state, unit)
            total += found
        return total + self.finish(state)

    def perplexity(self, sentences: Iterable[str]) -> Perplexity:
        """Of normalised sentences, which are split here into what the model's words are."""
        remaining = iter(sentences)
        blocks = iter(lambda: list(islice(remaining, SENTENCES_PER_BLOCK)), [])
        return sum(map(self._perplexity, blocks), Perplexity())

    def _perplexity(self, sentences: Sequence[str]) -> Perplexity:
        ids = np.fromiter(self._ids_of(sentences), np.int64)
        predicted = ids != self.ids[START]
        log10 = self._log10_probabilities(ids)[predicted]
        unknown = ids[predicted] == self.ids[UNKNOWN]
        return Perplexity(
            sentences=len(sentences),
            words=sum(len(sentence.split()) for sentence in sentences),
            tokens=len(log10) - len(sentences),
            unknown=int(unknown.sum()),
            log10_probability=float(log10.sum()),
            log10_probability_without_unknown=float(log10[~unknown].sum()),
        )

    def _ids_of(self, sentences: Iterable[str]) -> Iterator[int]:
        unknown = self.ids[UNKNOWN]
        for sentence in sentences:
            yield self.ids[START]
            for word in split(sentence, self.units):
                yield self.ids.get(word, unknown)
            yield self.ids[END]

    def _log10_probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """Of each word after those before it; no n-gram goes from one sentence into the next, for none was counted."""
        rows = ids
        log10 = self.tables[0].log10_probability[ids].astype(np.float64)
        for shorter, table in zip(self.tables, self.tables[1:], strict=False):
            contexts = np.concatenate([[-1], rows[:-1]])
            rows = find(table.keys, contexts * len(self.words) + ids)
            backoff = np.where(contexts >= 0, shorter.log10_backoff[contexts], 0.0)
            log10 = np.where(rows >= 0, table.log10_probability[rows] if len(table.keys) else 0.0, log10 + backoff)
        return log10

    def _score(self, state: State, number: int) -> tuple[State, float]:
        if (found := self._remembered.get((state, number))) is None:
            if len(self._remembered) >= MOST_REMEMBERED:
                self._remembered.clear()
            history = (*state, number)
            following = self._shortened(history[max(0, len(history) - self.order + 1) :])
            found = following, LN_10 * self._log10_probability(state, number)
            self._remembered[state, number] = found
        return found

    def _log10_probability(self, state: State, number: int) -> float:
        total = 0.0
        for begin in range(len(state)):
            context = self._row(state[begin:])
            if context is None:
                continue
            if (row := self._next(len(state) - begin, context, number)) is not None:
                return total + float(self.tables[len(state) - begin].log10_probability[row])
            total += float(self.tables[len(state) - begin - 1].log10_backoff[context])
        return total + float(self.tables[0].log10_probability[number])

    def _shortened(self, state: State) -> State:
        """The longest end of a history that changes what the model says."""
        while state and not self._matters(state):
            state = state[1:]
        return state

    def _matters(self, state: State) -> bool:
        if len(state) >= self.order or (row := self._row(state)) is None:
            return False
        if self.tables[len(state) - 1].log10_backoff[row] != 0:
            return True
        begin, end = np.searchsorted(self.tables[len(state)].keys, [row * len(self.words), (row + 1) * len(self.words)])
        return bool(begin < end)

    def _row(self, words: State) -> int | None:
        row: int | None = words[0]
        for order, number in enumerate(words[1:], start=1):
            if row is not None:
                row = self._next(order, row, number)
        return row

    def _next(self, order: int, row: int, number: int) -> int | None:
        """The row of the n-gram that a word makes of one of `order` words."""
        keys, key = self.tables[order].keys, row * len(self.words) + number
        place = int(keys.searchsorted(key))
        return place if place < len(keys) and keys[place] == key else None


def closed(model: NGramModel) -> NGramModel:
    """The same model, having with every n-gram also all that it ends in, as some pruned ones have not.

    What is added has the probability that backing off gives it, so that no text's changes.
    """
    size = len(model.words)
    suffixes = find_suffixes([table.keys for table in model.tables], size)
    if all(rows.min(initial=0) >= 0 for rows in suffixes):
        return model
    added: list[set[State]] = [set() for _ in model.tables]
    for order in range(model.order, 2, -1):
        columns = model.columns(order, np.flatnonzero(suffixes[order - 1] < 0))
        ends = {gram[1:] for gram in (*zip(*(column.tolist() for column in columns), strict=True), *added[order - 1])}
        added[order - 2] = {gram for gram in ends if model._row(gram) is None}
    tables: list[Table] = []
    rows = np.zeros(1, np.int64)  # of a context in its new table
    for table, grams in zip(model.tables, map(sorted, added), strict=True):
        shorter = NGramModel(model.words, tables)
        contexts, last = np.divmod(table.keys, size)
        new = np.array([(shorter._row(gram[:-1]), gram[-1]) for gram in grams], np.int64).reshape(-1, 2)
        keys = np.concatenate([rows[contexts] * size + last, new[:, 0] * size + new[:, 1]])
        by_key = np.argsort(keys)
        log10 = [model._log10_probability(gram[:-1], gram[-1]) for gram in grams]
        probability = np.append(table.log10_probability, np.array(log10, np.float32))
        backoff = np.append(table.log10_backoff, np.zeros(len(grams), np.float32))
        tables.append(Table(keys[by_key], probability[by_key], backoff[by_key]))
        rows = np.argsort(by_key)
    return NGramModel(model.words, tables)


def _power(log10_probability: float, predictions: int) -> float:
    """Infinite for a probability too small to be written, and 1 where there was nothing to foretell."""
    exponent = -log10_probability / predictions if predictions else 0.0
    return 10**exponent if exponent < 300 else math.inf
