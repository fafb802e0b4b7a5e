"""N-gram models in KenLM's binary form ("probing", version 5), which it loads without reading a line.

Words and n-grams are known by their hashes alone; each order is a hash table with linear probing.

Source: Heafield 2011, KenLM: Faster and Smaller Language Model Queries, section 2.1. The layout is that of the files
that KenLM's `build_binary` writes; only the order of entries within a table differs, and that every n-gram is said to
be the end of a longer one, which costs a look-up and changes no score.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from asr.lm.counts import Ids
from asr.lm.ngram import NGramModel, Table
from asr.lm.units import UNKNOWN

Hashes = NDArray[np.uint64]

MAGIC = b"mmap lm http://kheafield.com/code format version 5\n"
BUCKETS_PER_ENTRY = np.float32(1.5)
ENTRY = [("hash", "<u8")]
PROBABILITY = [("probability", "<f4")]
WEIGHTS = [*PROBABILITY, ("backoff", "<f4")]


@contextmanager
def kenlm_file(model: NGramModel) -> Iterator[Path]:
    """The path of a model's binary form, for KenLM to load within the block: on Linux in memory, else a temporary file.

    Raises:
        OSError: The memory or the disk is full.
    """
    if sys.platform.startswith("linux"):
        with os.fdopen(os.memfd_create("lm"), "wb") as file:
            write_kenlm(model, file)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
        return
    with TemporaryDirectory(prefix="asr-lm-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "lm.kenlm"
        with path.open("wb") as file:
            write_kenlm(model, file)
        yield path


def write_kenlm(model: NGramModel, file: IO[bytes]) -> None:
    """Writes a model in which every n-gram's end is there too, as `asr.lm.ngram.closed` makes sure."""
    if model.order == 1:  # KenLM knows no such models
        none = np.empty(0, np.float32)
        model = NGramModel(model.words, [*model.tables, Table(np.empty(0, np.int64), none, none)])
    numbers = _numbers(model)
    known, size = numbers > 0, len(numbers)
    words = _probing(_hashes_of_words(model.words)[known], numbers[known].astype([("number", "<u4")]), size)
    unigrams = np.zeros(size + 1, WEIGHTS)  # KenLM leaves room for an <unk> that may be missing
    unigrams[numbers] = _weights(model, 1)
    tables = [words, unigrams]
    for order, count in enumerate(model.counts[1:], start=2):
        tables.append(_probing(_hashes_of_ngrams(model, order, numbers), _weights(model, order), count))
    file.write(_header(model.counts))
    file.write(np.array([0, size], "<u4").data)  # the version of the vocabulary's layout
    for table in tables:
        file.write(table.data)


def _header(counts: Sequence[int]) -> bytes:
    layout = np.dtype(
        [
            ("magic", "S56"),
            ("floats", "<f4", 3),
            ("words", "<u4", 3),
            ("one", "<u8"),
            ("order", "<u4"),
            ("buckets_per_entry", "<f4"),
            ("model_type", "<u4"),
            ("has_words", "<u4"),
            ("search_version", "<u4"),
            ("counts", "<u8", len(counts)),
        ]
    )
    values = (MAGIC, (0, 1, -0.5), (1, 2**32 - 1, 0), 1, len(counts), BUCKETS_PER_ENTRY, 0, 0, 0, counts)
    header = np.array(values, layout).tobytes()
    return header + bytes(-len(header) % 8)


def _numbers(model: NGramModel) -> Ids:
    """KenLM's numbers of the words by id: `<unk>` is 0, the others keep their order."""
    numbers = np.arange(len(model.words))
    unknown = model.ids[UNKNOWN]
    numbers[:unknown] += 1
    numbers[unknown] = 0
    return numbers


def _weights(model: NGramModel, order: int) -> NDArray[Any]:
    """Log10. A probability without its minus has longer n-grams that end in its n-gram, a backoff of 0 has n-grams that
    begin so, and one of -0 has none."""
    table = model.tables[order - 1]
    if order == model.order:
        return table.log10_probability.astype(PROBABILITY)
    context = np.zeros(len(table.keys), np.bool_)
    context[model.tables[order].keys // len(model.words)] = True
    weights = np.empty(len(table.keys), WEIGHTS)
    weights["probability"] = np.abs(table.log10_probability)
    weights["backoff"] = np.where(table.log10_backoff == 0, np.where(context, 0.0, -0.0), table.log10_backoff)
    return weights


def _probing(hashes: Hashes, values: NDArray[Any], entries: int) -> NDArray[Any]:
    """A hash table: each entry in the first free bucket from its own on, round the end.

    Filled in the order of their own buckets, entry i comes to max(its own bucket, the bucket of entry i-1, plus 1).
    """
    buckets = max(entries + 1, int(BUCKETS_PER_ENTRY * np.float32(entries)))
    ideal = (hashes % np.uint64(buckets)).astype(np.int64)
    by_ideal = np.sort(ideal << 32 | np.arange(len(ideal)))  # faster than argsort
    ideal, rows = by_ideal >> 32, by_ideal & 0xFFFFFFFF
    beyond = int((_in_turn(ideal) >= buckets).sum())  # these go round the end, and are the first there
    ideal, rows = np.roll(ideal, beyond), np.roll(rows, beyond)
    ideal[:beyond] = 0
    table = np.zeros(buckets, [*ENTRY, *values.dtype.descr])
    places = _in_turn(ideal)
    table["hash"][places] = hashes[rows]
    for name in values.dtype.names or ():
        table[name][places] = values[name][rows]
    return table


def _in_turn(ideal: Ids) -> Ids:
    places = np.arange(len(ideal))
    return places + np.maximum.accumulate(ideal - places)


def _hashes_of_ngrams(model: NGramModel, order: int, numbers: Ids) -> Hashes:
    """Combined from the last word to the first."""
    *others, last = (numbers[column].astype(np.uint64) for column in model.columns(order))
    for column in reversed(others):
        last = last * np.uint64(8978948897894561157) ^ (column + np.uint64(1)) * np.uint64(17894857484156487943)
    return last


def _hashes_of_words(words: Sequence[str]) -> Hashes:
    """MurmurHash64A of the words' UTF-8 with seed 0, eight bytes at a time of all words at once."""
    texts = np.array([word.encode() for word in words])
    lengths = np.char.str_len(texts).astype(np.uint64)
    blocks = texts.astype(f"S{(texts.itemsize // 8 + 1) * 8}").view("<u8").reshape(len(words), -1)
    factor, shift = np.uint64(0xC6A4A7935BD1E995), np.uint64(47)
    hashes = lengths * factor
    for number, block in enumerate(blocks.T):
        mixed = block * factor
        mixed = (mixed ^ mixed >> shift) * factor
        whole, part = lengths >= 8 * (number + 1), (lengths // 8 == number) & (lengths % 8 > 0)
        hashes = np.where(whole, (hashes ^ mixed) * factor, np.where(part, (hashes ^ block) * factor, hashes))
    hashes = (hashes ^ hashes >> shift) * factor
    return hashes ^ hashes >> shift
