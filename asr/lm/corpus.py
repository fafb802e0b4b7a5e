"""Sentences for a language model from text files, as they would be said."""

import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asr.errors import DataError
from asr.manifest import read_manifest
from asr.progress import bar
from asr.spoken import lost_letters, spoken

GZIP, XZ = b"\x1f\x8b", b"\xfd7zXZ\0"
"""How compressed files begin."""
MOST_LOST = 0.5
"""The share of its letters that a text may lose; one that loses more is in another script."""
LINES_PER_ADVANCE = 10_000


def read_sentences(paths: Sequence[Path], alphabet: str = " 'abcdefghijklmnopqrstuvwxyz") -> Iterator[str]:
    """The sentences of text files, a line each, as `asr.spoken.spoken` says them; empty ones are passed over.

    A file is plain or compressed (gzip, xz) UTF-8 text, a LibriSpeech `.trans.txt` with an id before each sentence,
    or a manifest (`.jsonl`), of which the texts are read.

    Raises:
        DataError: A file is missing, no UTF-8 text, damaged, mostly in letters beyond the alphabet, or has no sentence;
            names the file.
    """
    for path in paths:
        yield from _sentences_of(path, alphabet)


def _sentences_of(path: Path, alphabet: str) -> Iterator[str]:
    lost: Counter[str] = Counter()
    kept = 0
    for line in _lines(path):
        lost.update(lost_letters(line, alphabet))
        if sentence := spoken(line, alphabet):
            kept += len(sentence) - sentence.count(" ")
            yield sentence
    if (rate := lost.total() / max(1, kept + lost.total())) > MOST_LOST:
        samples = " ".join(repr(letter) for letter, _ in lost.most_common(3))
        raise DataError(f"{path}: {rate:.0%} of its letters are outside the alphabet (such as {samples})")
    if not kept:
        raise DataError(f"{path}: no sentence in it")


def _lines(path: Path) -> Iterable[str]:
    if path.suffix == ".jsonl":
        return [utterance.text for utterance in read_manifest(path)]
    lines = _text_lines(path)
    if path.name.endswith(".trans.txt"):
        return (line.partition(" ")[2] for line in lines)
    return lines


def _text_lines(path: Path) -> Iterator[str]:
    number = place = 0
    try:
        with path.open("rb") as file, bar(f"reading {path.name}", path.stat().st_size) as advance:
            for line in io.TextIOWrapper(decompressed(file), encoding="utf-8-sig"):
                number += 1
                if "\0" in line:
                    raise DataError(f"{path}:{number}: not a text (it has zero bytes)")
                if number % LINES_PER_ADVANCE == 0:
                    advance(file.tell() - place)
                    place = file.tell()
                yield line
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} after line {number})") from error
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: damaged or cut short ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def decompressed(file: io.BufferedReader) -> io.BufferedReader:
    """What an open file holds, decompressed when it begins as gzip or xz does."""
    start = file.read(len(XZ))
    file.seek(0)
    if start.startswith(GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=file))
    if start == XZ:
        return io.BufferedReader(lzma.LZMAFile(file))
    return file
