"""What the INPUT arguments of a command mean: files, folders, patterns, manifests, lists and stdin."""

import atexit
import codecs
import os
import re
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path, PurePath

from asr.errors import AsrError, DataError
from asr.manifest import read_manifest

RECORDING = re.compile(
    r"\.(3g2|3gp|aac|ac3|aif|aifc|aiff|amr|ape|asf|au|avi|awb|caf|eac3|flac|flv|gsm|m2ts|m4a|m4b|m4v|mka|mkv|mov|mp2|mp3|"
    r"mp4|mpe?g|mpga|mts|oga|ogg|ogv|opus|qt|rf64|snd|sph|spx|tta|voc|vob|w64|wave?|webm|wma|wmv|wv)",
    re.IGNORECASE,
)
"""The suffixes by which a recording is told in a folder. (`.ts` is left out: most such files are programs.)"""

MANIFESTS = (".jsonl", ".json")
LISTS = (".txt", ".lst", ".list", ".scp")

STDIN = "-"

UNSAFE = re.compile(r"[%/\\\x00-\x1f\x7f]|^\.")
"""What an id may hold and the name of a file may not, or had better not."""


@dataclass(frozen=True)
class Input:
    """A recording, or a stretch of one, that the user asked for."""

    source: str
    """What the user calls it."""
    path: Path
    name: PurePath
    """Of its outputs, without suffix: relative and without `..`, so that it stays below any folder it is joined to."""
    offset_s: float = 0.0
    duration_s: float | None = None
    """From `offset_s`; None: to the end."""
    id: str = ""
    """In the manifest or list that names it."""


def find(arguments: Sequence[str], raw_rate_hz: int | None = None) -> tuple[list[Input], list[AsrError]]:
    """The recordings that the arguments mean, in their order, each stretch once; and what could not be found.

    An argument is, in this order: `-`, for a recording on stdin; a folder, for the recordings in it and below, told by
    their suffixes, hidden ones left out; a manifest (.jsonl, .json); a list (.txt, .lst, .list: a path a line; .scp: or
    Kaldi's `ID PATH`), with paths relative to its own folder or else to the working folder; any other file, for a
    recording; a pattern of `*`, `?`, `[...]` and, for folders at any depth, `**`. No recording is opened.

    Outputs are called after a file's stem; in a folder or a pattern, after the path relative to the folder or to the
    part without wildcards; in a list, after the path; and wherever there is an id, after that, with `/` and the like as
    `%2F`.

    Args:
        raw_rate_hz: What comes on stdin are bare samples at this rate, 16 bits, little-endian, mono.
    """
    inputs: dict[tuple[Path, float, float | None], Input] = {}
    errors: list[AsrError] = []
    for argument in dict.fromkeys(arguments):  # stdin, above all, cannot be read twice
        try:
            for found in _meant(argument, raw_rate_hz):
                if isinstance(found, Input):
                    inputs.setdefault((found.path.resolve(), found.offset_s, found.duration_s), found)
                else:
                    errors.append(found)
        except AsrError as error:
            errors.append(error)
        except OSError as error:
            errors.append(DataError(f"{argument}: {error.strerror}"))
    return list(inputs.values()), errors


def _meant(argument: str, raw_rate_hz: int | None) -> Iterable[Input | AsrError]:
    path = Path(argument)
    if argument == STDIN:
        return [Input(STDIN, _spooled(raw_rate_hz), PurePath("stdin"))]
    if not argument:
        raise DataError("an input with an empty name")
    if path.is_dir():
        return _in_folder(path)
    if path.is_file():
        if path.suffix.lower() in MANIFESTS:
            return _in_manifest(path)
        if path.suffix.lower() in LISTS:
            return _in_list(path)
    elif has_magic(argument) and not path.exists():
        return _matching(path)
    return [_if_there(Input(argument, path, _less_suffix(PurePath(path.name))))]


def _if_there(wanted: Input) -> Input | AsrError:
    if not _exists(wanted.path):
        return DataError(f"{wanted.path}: no such file")
    if not wanted.path.is_file():
        return DataError(f"{wanted.path}: not a file; a stream is read from stdin, whose name is -")
    return wanted


def _exists(path: Path) -> bool:
    """Whether there is something at `path`; no also where its name is longer than any can be."""
    try:
        return path.exists()
    except OSError:
        return False


def _spooled(raw_rate_hz: int | None) -> Path:
    """All of stdin in a file, which any reader can read, and twice; it goes when the program ends.

    Bare samples get the header of a Sun AU file, the one that may leave the length open.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError("-: nothing is piped into stdin")
    if raw_rate_hz is not None and not 0 < raw_rate_hz < 1 << 31:
        raise DataError(f"-: stdin cannot have {raw_rate_hz} samples a second")
    folder = Path(tempfile.mkdtemp(prefix="asr-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path, header_bytes = folder / "stdin", 0
    try:
        with path.open("wb") as stream:
            if raw_rate_hz is not None:
                header_bytes = stream.write(struct.pack("<4s5I", b"dns.", 24, 0xFFFFFFFF, 3, raw_rate_hz, 1))
            shutil.copyfileobj(sys.stdin.buffer, stream)
    except OSError as error:
        raise DataError(f"-: stdin cannot be kept in {path} ({error.strerror})") from error
    if path.stat().st_size == header_bytes:
        raise DataError("-: stdin is empty")
    return path


def _in_folder(folder: Path) -> list[Input | AsrError]:
    paths, errors = _below(folder)
    found = [*errors, *(_relative(path, folder) for path in paths if _looks_like_a_recording(path))]
    return found or [DataError(f"{folder}: no recordings in this folder or below, to go by the suffixes")]


def _matching(pattern: Path) -> list[Input | AsrError]:
    """The files that fit a pattern. Where it leaves the suffix open, only those that look like recordings."""
    folder, wanted = Path(pattern.anchor), list(pattern.parts[bool(pattern.anchor) :])
    while len(wanted) > 1 and not (has_magic(wanted[0]) and not (folder / wanted[0]).exists()):
        folder /= wanted.pop(0)
    paths, errors = _below(folder, None if "**" in wanted else len(wanted))
    fitting = [path for path in paths if _fits(path.relative_to(folder).parts, wanted)]
    if not pattern.suffix or has_magic(pattern.suffix):
        fitting = list(filter(_looks_like_a_recording, fitting))
    found = [*errors, *(_relative(path, folder) for path in fitting)]
    return found or [DataError(f"{pattern}: no recording fits this pattern")]


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_fits(parts[start:], patterns[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])


def _below(folder: Path, depth: int | None = None) -> tuple[list[Path], list[AsrError]]:
    """The files in a folder and below, sorted, hidden ones left out; and the folders that cannot be read.

    Links are followed, and each folder is looked into once, so that a loop of links comes to an end.

    Args:
        depth: Of the files that count; 1: those of the folder itself, None: all.
    """
    paths: list[Path] = []
    errors: list[AsrError] = []
    seen = {folder.resolve()}

    def note(error: OSError) -> None:
        errors.append(DataError(f"{os.fsdecode(error.filename)}: {error.strerror}"))

    for here, folders, files in os.walk(folder, onerror=note, followlinks=True):
        place = Path(here)
        paths += [place / name for name in files if not name.startswith(".")]
        wanted = sorted(name for name in folders if not name.startswith("."))
        folders.clear()  # where os.walk looks up what comes next
        if depth is None or len(place.relative_to(folder).parts) + 1 < depth:
            for name in wanted:
                if (real := (place / name).resolve()) not in seen:
                    seen.add(real)
                    folders.append(name)
    return sorted(paths), errors


def _in_manifest(manifest: Path) -> Iterator[Input | AsrError]:
    for each in read_manifest(manifest):
        path = each.audio_filepath
        found = _if_there(Input(str(path), path, _safe(each.id), each.offset_s, each.duration_s, each.id))
        yield found if isinstance(found, Input) else DataError(f"{manifest}: {each.id}: {found}")


def _in_list(listing: Path) -> list[Input | AsrError]:
    """The recordings of a list; of one that names none at all, such as a text, only the first line is complained of."""
    lines = listing.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    entries = [(number, os.fsdecode(line).strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not entries:
        raise DataError(f"{listing}: the list is empty")
    found = [_listed(listing, number, entry) for number, entry in entries]
    if not any(isinstance(each, Input) for each in found):
        raise DataError(f"{found[0]}; nor does another line of this list name a recording")
    return found


def _listed(listing: Path, number: int, entry: str) -> Input | AsrError:
    id, written = "", entry
    if listing.suffix.lower() == ".scp":
        if entry.startswith("|") or entry.endswith("|"):
            return DataError(f"{listing}:{number}: {entry[:80]!r} is a command, and lists are only read, never run")
        if len(columns := entry.split(maxsplit=1)) == 2:
            id, written = columns
    path = next(filter(_exists, (listing.parent / written, Path(written))), None)
    if path is None:
        return DataError(f"{listing}:{number}: no such file as {written[:200]!r}")
    found = _if_there(Input(str(path), path, _safe(id) if id else _inside(PurePath(written), path), id=id))
    return found if isinstance(found, Input) else DataError(f"{listing}:{number}: {found}")


def _relative(path: Path, folder: Path) -> Input | AsrError:
    return _if_there(Input(str(path), path, _less_suffix(path.relative_to(folder))))


def _inside(written: PurePath, path: Path) -> PurePath:
    """The name for a listed path: as it is written, where that does not lead upwards; never with a root."""
    name = path.resolve() if ".." in written.parts else written
    return _less_suffix(name.relative_to(name.anchor))


def _less_suffix(name: PurePath) -> PurePath:
    return name if name.name.startswith(".") else name.with_suffix("")  # what is left of "...wav" leads upwards


def _safe(id: str) -> PurePath:
    """An id as the name of a file: one name, not hidden, and of no two ids the same."""
    return PurePath(UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", id))


def _looks_like_a_recording(path: Path) -> bool:
    return RECORDING.fullmatch(path.suffix) is not None
