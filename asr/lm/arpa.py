"""ARPA files, the form in which n-gram models travel, written and read; gzipped ones too."""

import gzip
import io
import math
import re
import zlib
from collections.abc import Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from asr.errors import ModelError
from asr.files import writing
from asr.lm.counts import Ids, find
from asr.lm.ngram import NGramModel, Table
from asr.lm.units import END, START, UNKNOWN
from asr.progress import Advance, bar

NO_UNKNOWN_LOG10 = -100.0
"""The probability of `<unk>` where a file gives it none."""
LINES_PER_BLOCK = 100_000
COMPRESSION = 6
GZIP = b"\x1f\x8b"
KENLM_BINARY = b"mmap lm http://kheafield.com/code"


def write_arpa(model: NGramModel, path: Path) -> None:
    """Writes a model as an ARPA file, gzipped when the name ends in `.gz`; the same model gives the same bytes.

    Raises:
        AsrError: The file cannot be written; names it.
    """
    with writing(path, "wb") as file, bar(f"writing {path.name}", sum(model.counts)) as advance:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as stream:
                _write(model, io.BufferedWriter(stream, 1 << 20), advance)
        else:
            _write(model, file, advance)


def read_arpa(path: Path) -> NGramModel:
    """Reads an ARPA file, gzipped or not, by its content. A model without `<unk>` gets one of log10 probability -100.

    The context of every n-gram has to be there too, as every estimator but a few pruning tools has it.

    Raises:
        ModelError: Missing, damaged, cut off, or no ARPA file; names the file and, where one is at fault, the line.
    """
    return _read(path)


def read_arpa_words(path: Path) -> list[str]:
    """The words of an ARPA file's model, the signs among them; the longer n-grams are not read.

    Raises:
        ModelError: As `read_arpa`, as far as the unigrams.
    """
    return _read(path, most_order=1).words


def _read(path: Path, most_order: int | None = None) -> NGramModel:
    try:
        with path.open("rb") as file, bar(f"reading {path.name}", path.stat().st_size) as advance:
            start = file.read(len(KENLM_BINARY))
            file.seek(0)
            if not start:
                raise ModelError(f"{path}: the file is empty")
            if start == KENLM_BINARY:
                raise ModelError(f"{path}: a binary file of KenLM; the ARPA file that it was made from is needed")
            stream = io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 20) if start.startswith(GZIP) else file
            return _Reader(path, stream, file, advance).read(most_order)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ModelError(f"{path}: damaged or cut off ({error})") from error
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error


def _write(model: NGramModel, stream: IO[bytes], advance: Advance) -> None:
    counts = "".join(f"ngram {order}={count}\n" for order, count in enumerate(model.counts, start=1))
    stream.write(f"\\data\\\n{counts}".encode())
    words = np.array(model.words, object)
    for order, table in enumerate(model.tables, start=1):
        stream.write(f"\n\\{order}-grams:\n".encode())
        for begin in range(0, len(table.keys), LINES_PER_BLOCK):
            rows = np.arange(begin, min(begin + LINES_PER_BLOCK, len(table.keys)))
            grams = map(" ".join, zip(*(words[column] for column in model.columns(order, rows)), strict=True))
            probabilities = table.log10_probability[rows].tolist()
            if order < model.order:
                backoffs = table.log10_backoff[rows].tolist()
                lines = map("%.7g\t%s\t%.7g\n".__mod__, zip(probabilities, grams, backoffs, strict=True))
            else:
                lines = map("%.7g\t%s\n".__mod__, zip(probabilities, grams, strict=True))
            stream.write("".join(lines).encode())
            advance(len(rows))
    stream.write(b"\n\\end\\\n")
    stream.flush()


class _Reader:
    """Goes through an ARPA file once, from the first line to the last."""

    def __init__(self, path: Path, stream: IO[bytes], file: IO[bytes], advance: Advance) -> None:
        self._path = path
        self._stream = stream
        self._file = file
        self._advance = advance
        self._line = self._place = 0
        self._ids: dict[bytes, int] = {}
        self._tables: list[Table] = []

    def read(self, most_order: int | None = None) -> NGramModel:
        counts = self._header()
        for order, count in enumerate(counts[:most_order], start=1):
            self._expect(f"\\{order}-grams:")
            self._tables.append(self._section(order, count))
        if most_order is None:
            self._expect("\\end\\")
        try:
            return NGramModel([word.decode() for word in self._ids], self._tables)
        except UnicodeDecodeError as error:
            raise ModelError(f"{self._path}: a word is not UTF-8 text: {error.object!r}") from error

    def _header(self) -> list[int]:
        if (first := self._filled_line()) != b"\\data\\":
            raise self._error(f"not an ARPA file: it begins with {_shown(first)}, not with '\\data\\'")
        counts: list[int] = []
        while line := self._next_line():
            match = re.fullmatch(rb"ngram\s+(\d+)\s*=\s*(\d+)", line)
            if not match or int(match[1]) != len(counts) + 1:
                raise self._error(f"'ngram {len(counts) + 1}=COUNT' was expected, found {_shown(line)}")
            counts.append(int(match[2]))
        if not counts:
            raise self._error("the header counts no n-grams")
        return counts

    def _section(self, order: int, count: int) -> Table:
        keys, numbers = [np.empty(0, np.int64)], [np.empty((2, 0))]
        for read in range(0, count, LINES_PER_BLOCK):
            first, expected = self._line + 1, min(LINES_PER_BLOCK, count - read)
            fields = self._fields(expected)
            for number, line in enumerate(fields, start=first):
                if len(line) not in (order + 1, order + 2):
                    raise self._error(f"not a {order}-gram: {_shown(b' '.join(line))}", number)
            if (there := read + len(fields)) < read + expected:
                raise self._error(
                    f"the header counts {count} {order}-grams, the section has {there}", first + len(fields)
                )
            numbers.append(self._numbers(fields, order, first))
            keys.append(self._words(fields, first) if order == 1 else self._keys(fields, order, first))
        return self._table(order, np.concatenate(keys), np.concatenate(numbers, axis=1).astype(np.float32))

    def _table(self, order: int, keys: Ids, numbers: NDArray[np.float32]) -> Table:
        if order == 1:
            if missing := [sign for sign in (START, END) if sign.encode() not in self._ids]:
                raise ModelError(f"{self._path}: the word {missing[0]!r} is not among the unigrams")
            if UNKNOWN.encode() not in self._ids:
                self._ids[UNKNOWN.encode()] = len(keys)
                keys = np.arange(len(self._ids))
                numbers = np.append(numbers, np.array([[NO_UNKNOWN_LOG10], [0]], np.float32), axis=1)
        by_key = np.argsort(keys, kind="stable")
        keys = keys[by_key]
        if (twice := np.flatnonzero(keys[1:] == keys[:-1])).size:
            words = list(self._ids)
            last = words[int(keys[twice[0]]) % len(words)]
            raise ModelError(f"{self._path}: a {order}-gram stands twice; it ends in {_shown(last)}")
        return Table(keys, *numbers[:, by_key])

    def _fields(self, count: int) -> list[list[bytes]]:
        """Those of the next lines, fewer where the section or the file ends before."""
        lines = list(islice(self._stream, count))
        self._line += len(lines)
        place = self._file.tell()
        self._advance(place - self._place)
        self._place = place
        return [line.split() for line in takewhile(lambda line: line.strip() and not line.startswith(b"\\"), lines)]

    def _numbers(self, fields: list[list[bytes]], order: int, first: int) -> NDArray[np.float64]:
        """(2, lines): log10 probabilities and backoffs; a backoff that is not written is 0."""
        backoffs = [line[-1] if len(line) == order + 2 else b"0" for line in fields]
        numbers = np.array([_floats([line[0] for line in fields]), _floats(backoffs)])
        wrong = ~np.isfinite(numbers).all(0) | (numbers[0] > 0)
        if wrong.any():
            at = int(wrong.argmax())
            raise self._error(f"no log10 probability and backoff: {_shown(b' '.join(fields[at]))}", first + at)
        return numbers

    def _words(self, fields: list[list[bytes]], first: int) -> Ids:
        begin = len(self._ids)
        for number, line in enumerate(fields, start=first):
            if line[1] in self._ids:
                raise self._error(f"the word {_shown(line[1])} stands twice", number)
            self._ids[line[1]] = len(self._ids)
        return np.arange(begin, len(self._ids))

    def _keys(self, fields: list[list[bytes]], order: int, first: int) -> Ids:
        rows = self._column(fields, 1, first)
        for column in range(2, order):
            rows = find(self._tables[column - 1].keys, rows * len(self._ids) + self._column(fields, column, first))
        if (missing := rows < 0).any():
            at = int(missing.argmax())
            context = _shown(b" ".join(fields[at][1:order]))
            raise self._error(f"{context}, the context of a {order}-gram, is not in the model", first + at)
        return rows * len(self._ids) + self._column(fields, order, first)

    def _column(self, fields: list[list[bytes]], column: int, first: int) -> Ids:
        try:
            return np.array([self._ids[line[column]] for line in fields], np.int64)
        except KeyError as error:
            at = next(number for number, line in enumerate(fields) if line[column] not in self._ids)
            raise self._error(f"the word {_shown(fields[at][column])} is not among the unigrams", first + at) from error

    def _expect(self, heading: str) -> None:
        if (line := self._filled_line()) != heading.encode():
            found = f"found {_shown(line)}" if line else "the file is cut off"
            raise self._error(f"'{heading}' was expected, {found}")

    def _filled_line(self) -> bytes:
        """The next line that is not blank; empty at the end of the file."""
        while raw := self._stream.readline():
            self._line += 1
            if line := raw.strip():
                return line
        return b""

    def _next_line(self) -> bytes:
        self._line += 1
        return self._stream.readline().strip()

    def _error(self, message: str, line: int | None = None) -> ModelError:
        return ModelError(f"{self._path}:{line or self._line}: {message}")


def _floats(texts: Sequence[bytes]) -> list[float]:
    """NaN for what is no number."""
    try:
        return list(map(float, texts))
    except ValueError:
        return [
            float(text) if re.fullmatch(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) else math.nan for text in texts
        ]


def _shown(line: bytes) -> str:
    return f"'{line[:60].decode(errors='replace')}'"
