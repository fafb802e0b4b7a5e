"""N-gram models in a compact file, some two bytes an n-gram, that numpy reads in a fraction of a second.

A file is an `.npz` with the words, and for each order: how many words follow each n-gram of the order below, the steps
from one of these words to the next, and for probabilities and backoffs a byte each, the number of one of 256 levels.
Whole numbers lie there as their lowest bytes, then their second bytes, and so on, which packs better.

Source: Heafield 2011, KenLM, sections 2.2 and 3.2, for the trie and the levels.
"""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from asr.errors import ModelError
from asr.files import writing
from asr.lm.counts import Ids
from asr.lm.ngram import NGramModel, Table, closed

Arrays = Mapping[str, NDArray[Any]]
Floats = NDArray[np.float32]

ZIP = b"PK\x03\x04"
VERSION = 1
HEADER = "asr_ngrams"
"""The array that makes a file one of ours: the version and, for each order, how many n-grams there are."""
LEVELS = 256
ROUNDS = 3
"""In which the levels move to the means of what is nearest to them."""


def is_compact(path: Path) -> bool:
    """Whether a file begins like a compact one; False for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(ZIP)) == ZIP
    except OSError:
        return False


def write_compact(model: NGramModel, path: Path) -> None:
    """Writes a model with its probabilities and backoffs rounded; the same model gives the same bytes.

    Raises:
        AsrError: The file cannot be written; names it.
    """
    model = closed(model)
    arrays: dict[str, NDArray[Any]] = {
        HEADER: np.array([VERSION, *model.counts]),
        "words": np.frombuffer("\n".join(model.words).encode(), np.uint8),
    }
    for order, table in enumerate(model.tables, start=1):
        arrays[f"probability_{order}"], arrays[f"probabilities_{order}"] = _rounded(table.log10_probability)
        if order < model.order:
            arrays[f"backoff_{order}"], arrays[f"backoffs_{order}"] = _rounded(table.log10_backoff)
        if order > 1:
            contexts, words = np.divmod(table.keys, len(model.words))
            follows = np.diff(contexts, prepend=-1) == 0
            arrays[f"children_{order}"] = _bytes_of(np.bincount(contexts, minlength=model.counts[order - 2]))
            arrays[f"steps_{order}"] = _bytes_of(np.where(follows, np.diff(words, prepend=0), words))
    with writing(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_compact(path: Path) -> NGramModel:
    """Reads what `write_compact` has written.

    Raises:
        ModelError: Missing, damaged, cut off, of another version, or something else; names the file.
    """
    with _opened(path) as arrays:
        words, counts = _words(arrays), arrays[HEADER][1:].tolist()
        tables: list[Table] = []
        for order, count in enumerate(counts, start=1):
            keys = np.arange(len(words)) if order == 1 else _keys(arrays, order, counts[order - 2], len(words))
            probability = arrays[f"probability_{order}"][arrays[f"probabilities_{order}"]]
            last = order == len(counts)
            backoff = np.zeros_like(probability) if last else arrays[f"backoff_{order}"][arrays[f"backoffs_{order}"]]
            if not len(keys) == len(probability) == len(backoff) == count:
                raise ValueError(f"not {count} {order}-grams")
            tables.append(Table(keys, probability, backoff))
        return NGramModel(words, tables)


def read_compact_words(path: Path) -> list[str]:
    """The words of a model by id, the signs among them; the n-grams are not read.

    Raises:
        ModelError: As `read_compact`.
    """
    with _opened(path) as arrays:
        return _words(arrays)


@contextmanager
def _opened(path: Path) -> Iterator[Arrays]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if HEADER not in arrays:
                raise ModelError(f"{path}: a zip archive, but no compact language model")
            if (version := int(arrays[HEADER][0])) != VERSION:
                raise ModelError(f"{path}: a compact language model of version {version}, where {VERSION} is known")
            yield arrays
    except (BadZipFile, EOFError, IndexError, KeyError, NotImplementedError, ValueError, zlib.error) as error:
        raise ModelError(f"{path}: damaged or cut off ({error})") from error
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error


def _words(arrays: Arrays) -> list[str]:
    return arrays["words"].tobytes().decode().split("\n")


def _keys(arrays: Arrays, order: int, contexts: int, size: int) -> Ids:
    children, steps = (_numbers_of(arrays[f"{name}_{order}"]) for name in ("children", "steps"))
    if len(children) != contexts or children.sum() != len(steps):
        raise ValueError(f"{order}-grams do not fit those below")
    parents = np.flatnonzero(children)
    first = np.cumsum(children)[parents] - children[parents]
    reached = np.cumsum(steps)
    words = reached - np.repeat(reached[first] - steps[first], children[parents])
    if words.max(initial=0) >= size:
        raise ValueError(f"a {order}-gram has a word that there is not")
    keys: Ids = np.repeat(np.arange(contexts), children) * size + words
    return keys


def _rounded(values: Floats) -> tuple[Floats, NDArray[np.uint8]]:
    """Levels in increasing order, and for each value the number of the nearest; 0, which means much, stays 0."""
    others = values[values != 0].astype(np.float64)
    levels = np.unique(others)
    if len(levels) > LEVELS - 1:
        taken = np.unique(others.round(2))  # spread over these: most n-grams are rare, but the frequent ones count most
        levels = np.unique(np.quantile(taken, np.linspace(0, 1, LEVELS - 1)))
        for _ in range(ROUNDS):
            nearest = _nearest(levels, others)
            there = np.bincount(nearest, minlength=len(levels))
            sums = np.bincount(nearest, others, len(levels))
            levels = np.divide(sums, there, out=levels, where=there > 0)
    levels = np.union1d(levels, 0.0)
    return levels.astype(np.float32), _nearest(levels, values).astype(np.uint8)


def _nearest(levels: NDArray[np.float64], values: NDArray[Any]) -> Ids:
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values)


def _bytes_of(numbers: Ids) -> NDArray[np.uint8]:
    """(bytes, numbers): the lowest byte of each, then the second of each, as many as the largest number has."""
    most = max(1, (int(numbers.max(initial=0)).bit_length() + 7) // 8)
    return np.ascontiguousarray(numbers.astype("<i8").view(np.uint8).reshape(-1, 8).T[:most])


def _numbers_of(digits: NDArray[np.uint8]) -> Ids:
    numbers = np.zeros(digits.shape[1], np.int64)
    for place, row in enumerate(digits):
        numbers |= row.astype(np.int64) << 8 * place
    return numbers
