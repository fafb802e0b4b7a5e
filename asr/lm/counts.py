"""Counts of n-grams of every order, in numpy; what does not fit the memory is sorted on disk.

An n-gram is one integer, its key: the row of its first n-1 words in the table of the order below, times the size of the
vocabulary, plus its last word. Keys stand in increasing order, and so each order is a level of a trie.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from asr.errors import AsrError, DataError
from asr.lm.units import END, SIGNS, START, UNKNOWN, Units, split
from asr.progress import track

Ids = NDArray[np.int64]
Run = tuple[Ids, Ids]
"""Distinct keys in increasing order, and how often each occurs."""

UNKNOWN_ID, START_ID, END_ID = range(len(SIGNS))
BYTES_PER_TOKEN = 64
"""What sorting takes for each token of a block, with all the copies."""


@dataclass(frozen=True, eq=False)
class NGramCounts:
    words: list[str]
    """By id: `<unk>`, `<s>`, `</s>`, then from the most frequent to the rarest, equal ones by the alphabet."""
    keys: list[Ids]
    """Of each order, from 1."""
    counts: list[Ids]
    """How often the n-gram of each key occurs; `<s>` and `</s>` occur once in each sentence."""

    @property
    def order(self) -> int:
        return len(self.keys)


def count_ngrams(
    sentences: Iterable[str],
    order: int,
    units: Units = "words",
    vocabulary_size: int | None = None,
    memory_bytes: int = 2 << 30,
    folder: Path | None = None,
) -> NGramCounts:
    """All n-grams up to an order within the sentences, each with a `<s>` before and a `</s>` behind it.

    Args:
        vocabulary_size: The most words, the three signs aside; the rarer ones are counted as `<unk>`.
        memory_bytes: For sorting; beyond it, sorted runs wait in `folder`. The distinct n-grams have to fit besides.
        folder: For temporary files, which hold the text as numbers (default: the system's).

    Raises:
        DataError: No sentence, none long enough for an n-gram of that order, or a word that reads `<s>` or `</s>`.
        AsrError: The folder cannot be written, as when it is full; names it.
    """
    try:
        with TemporaryDirectory(prefix="asr-lm-", dir=folder) as name:
            return _count(sentences, order, units, vocabulary_size, memory_bytes, Path(name))
    except OSError as error:
        raise AsrError(f"{folder or 'temporary files'}: cannot be written ({error.strerror or error})") from error


def find(keys: Ids, wanted: Ids) -> Ids:
    """The rows of keys in a table; -1 where it lacks one."""
    if not len(keys):
        return np.full(len(wanted), -1)
    rows = np.searchsorted(keys, wanted)
    rows[rows == len(keys)] = 0
    rows[keys[rows] != wanted] = -1
    return rows


def find_suffixes(keys: Sequence[Ids], size: int) -> list[Ids]:
    """For each order, the row of every n-gram without its first word in the order below; -1 where it is not there.

    Args:
        size: Of the vocabulary.
    """
    suffixes = [np.zeros(len(keys[0]), np.int64)]
    for order, (below, these) in enumerate(pairwise(keys), start=2):
        contexts, last = np.divmod(these, size)
        suffixes.append(last if order == 2 else find(below, suffixes[-1][contexts] * size + last))
    return suffixes


class Runs:
    """Collects keys block by block and counts how often each was there."""

    def __init__(self, memory_bytes: int, folder: Path) -> None:
        self._memory_bytes = memory_bytes
        self._folder = folder
        self._held: list[Run] = []
        self._spilled: list[Run] = []

    def add(self, keys: Ids) -> None:
        """Takes keys in any order; the array is sorted in place."""
        keys.sort()
        starts = np.flatnonzero(np.diff(keys, prepend=-1))
        self._held.append((keys[starts], np.diff(starts, append=len(keys))))
        if sum(keys.nbytes + counts.nbytes for keys, counts in self._held) > self._memory_bytes // 4:
            self._spill()

    def merge(self) -> Run:
        """All distinct keys, in increasing order, with their counts."""
        if not self._spilled:
            return _combine(self._held)
        if self._held:
            self._spill()
        chunk = max(1, self._memory_bytes // BYTES_PER_TOKEN // len(self._spilled))
        pieces = list(_merge(self._spilled, chunk))
        return np.concatenate([keys for keys, _ in pieces]), np.concatenate([counts for _, counts in pieces])

    def _spill(self) -> None:
        run = []
        for name, values in zip(("keys", "counts"), _combine(self._held), strict=True):
            path = self._folder / f"{name}-{len(self._spilled)}.npy"
            np.save(path, values)
            run.append(np.load(path, mmap_mode="r"))
        self._spilled.append((run[0], run[1]))
        self._held = []


def _combine(runs: list[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    keys = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in runs)])
    counts = np.concatenate([np.empty(0, np.int64), *(counts for _, counts in runs)])
    by_key = np.argsort(keys, kind="stable")
    keys, counts = keys[by_key], counts[by_key]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return keys[starts], np.add.reduceat(counts, starts) if len(starts) else counts


def _merge(runs: list[Run], chunk: int) -> Iterator[Run]:
    """The runs as one, piece by piece; no more than `chunk` entries of each are in memory."""
    places = [0] * len(runs)
    while heads := [
        (number, keys[place : place + chunk])
        for number, ((keys, _), place) in enumerate(zip(runs, places, strict=True))
        if place < len(keys)
    ]:
        last = min(int(head[-1]) for _, head in heads)
        pieces = []
        for number, head in heads:
            begin = places[number]
            places[number] = end = begin + int(np.searchsorted(head, last, side="right"))
            pieces.append((np.asarray(runs[number][0][begin:end]), np.asarray(runs[number][1][begin:end])))
        yield _combine(pieces)


def _count(
    sentences: Iterable[str], order: int, units: Units, vocabulary_size: int | None, memory_bytes: int, folder: Path
) -> NGramCounts:
    block = max(1, memory_bytes // BYTES_PER_TOKEN)
    numbers = _write_ids(sentences, units, folder / "text", block)
    if signs := {START, END} & numbers.keys():
        raise DataError(f"the text has the word {min(signs)!r}, which stands for a sentence's begin or end")
    text = np.memmap(folder / "text", np.int32, "r+")
    words, counts = _keep_most_frequent(text, numbers, vocabulary_size, block)
    # of the n-gram that begins at each place of the text; -1 where the sentence is too short for one
    rows = np.memmap(folder / "rows", np.int64, "w+", shape=text.shape)
    all_keys, all_counts = [np.arange(len(words))], [counts]
    for n in track(range(2, order + 1), "counting n-grams"):
        runs = Runs(memory_bytes, folder)
        for begin in range(0, len(text) - n + 1, block):
            end = min(begin + block, len(text) - n + 1)
            last = text[begin + n - 2 : end + n - 2]
            prefixes = last.astype(np.int64) if n == 2 else find(all_keys[-1], rows[begin:end] * len(words) + last)
            prefixes[last == END_ID] = -1
            rows[begin:end] = prefixes
            there = prefixes >= 0
            runs.add(prefixes[there] * len(words) + text[begin + n - 1 : end + n - 1][there])
        keys, counts = runs.merge()
        if not len(keys):
            raise DataError(f"no {n}-gram in the text: all sentences are shorter; choose a lower order")
        all_keys.append(keys)
        all_counts.append(counts)
    return NGramCounts(words, all_keys, all_counts)


class _Numbers(dict[str, int]):
    """Numbers words as they come, after the signs."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self) + len(SIGNS)
        return number


def _write_ids(sentences: Iterable[str], units: Units, path: Path, block: int) -> _Numbers:
    """Writes the text as int32 numbers, each sentence with its signs; gives the number of each word."""
    numbers = _Numbers()
    with path.open("wb") as stream:
        held = array("i")
        for sentence in sentences:
            held.append(START_ID)
            held.extend([numbers[word] for word in split(sentence, units)])
            held.append(END_ID)
            if len(held) >= block:
                held.tofile(stream)
                held = array("i")
        held.tofile(stream)
    if not path.stat().st_size:
        raise DataError("no sentence to count n-grams in")
    return numbers


def _keep_most_frequent(
    text: NDArray[np.int32], numbers: _Numbers, vocabulary_size: int | None, block: int
) -> tuple[list[str], Ids]:
    """Puts the final ids in place of the numbers; gives the words by id, and how often each is there."""
    blocks = range(0, len(text), block)
    size = len(SIGNS) + len(numbers)
    counts = np.zeros(size, np.int64)
    for begin in blocks:
        counts += np.bincount(text[begin : begin + block], minlength=size)
    frequency = dict(zip(numbers, counts[len(SIGNS) :].tolist(), strict=True))
    frequency.pop(UNKNOWN, None)
    ranked = sorted(frequency, key=lambda word: (-frequency[word], word))[:vocabulary_size]
    ids = {word: number for number, word in enumerate(ranked, start=len(SIGNS))}
    new = np.array([*range(len(SIGNS)), *(ids.get(word, UNKNOWN_ID) for word in numbers)], np.int32)
    for begin in blocks:
        text[begin : begin + block] = new[text[begin : begin + block]]
    return [*SIGNS, *ranked], np.bincount(new, counts, len(ids) + len(SIGNS)).astype(np.int64)
