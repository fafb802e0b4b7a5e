"""Where the outputs of a transcription go: which files, what is there already, and what would overwrite what."""

import stat
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.errors import AsrError
from asr.files import make_folder, writing
from asr.inputs import STDIN, Input


@dataclass(frozen=True)
class Job:
    """An input and what is to be written of it."""

    input: Input
    paths: dict[str, Path]
    """By format; without those that are there already."""


@dataclass(frozen=True)
class Plan:
    """What to do with each input."""

    jobs: list[Job]
    kept: list[Input]
    """All of their outputs are there already."""
    errors: list[AsrError]
    """Why the others are left out, a line for each; for a folder that cannot be written, one for all in it."""


def plan(
    inputs: Sequence[Input],
    suffixes: Mapping[str, str],
    out: Path | None = None,
    overwrite: bool = False,
    arguments: Iterable[str] = (),
) -> Plan:
    """Which files to write of which inputs, decided before any work.

    A file that is there already is kept, unless `overwrite`. Inputs that would be written to one and the same file are
    left out, all of them, and so is one whose output would overwrite a recording or whatever else the user named.

    Of work that is shared out, plan the whole, then do the jobs of a shard's inputs: else two shards might clash.

    Args:
        suffixes: By format, such as `{"txt": ".txt"}`; all different.
        out: The folder for the outputs, made if need be; None: beside each recording, for stdin the working folder.
        arguments: What the user named as inputs: lists and manifests are among them.

    Raises:
        AsrError: Nothing can be written in `out`; names it.
    """
    if out and (trouble := _trouble_in(make_folder(out))):
        raise trouble
    candidates = [Job(each, _paths(each, suffixes, out)) for each in inputs]
    refused = _clashes(candidates, out) | _obstacles(candidates, arguments)
    jobs, kept = [], []
    for number, job in enumerate(candidates):
        missing = {format: path for format, path in job.paths.items() if overwrite or not _identity(path)}
        if number not in refused:
            jobs += [Job(job.input, missing)] if missing else []
            kept += [] if missing else [job.input]
    troubles = {folder: _trouble_in(folder) for folder in dict.fromkeys(map(_folder, jobs))} if not out else {}
    return Plan(
        [job for job in jobs if not troubles.get(_folder(job))],
        kept,
        [*(refused[number] for number in sorted(refused)), *filter(None, troubles.values())],
    )


def write(path: Path, text: str) -> None:
    """Puts a text into a file; a file name's bytes that are no UTF-8 come out as `\\udcff`.

    Raises:
        AsrError: It cannot be written, or the disk is full; names the path, where all is as it was.
    """
    with writing(path, "wb") as stream:
        stream.write(text.encode(errors="backslashreplace"))


def _paths(each: Input, suffixes: Mapping[str, str], out: Path | None) -> dict[str, Path]:
    beside = Path() if each.source == STDIN else each.path.parent
    stem = out / each.name if out else beside / each.name.name
    return {format: stem.with_name(stem.name + suffix) for format, suffix in suffixes.items()}


def _clashes(jobs: Sequence[Job], out: Path | None) -> dict[int, AsrError]:
    """By number, the jobs that would write to a file of another's."""
    claims: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    for number, job in enumerate(jobs):
        folded = _ignores_case(out or job.input.path)
        for path in job.paths.values():
            place = str(path.parent.resolve() / path.name)
            claims[place.casefold() if folded else place][number] = path
    errors = {}
    for rivals in claims.values():
        for number, path in rivals.items() if len(rivals) > 1 else ():
            other = next(other for other in rivals if other != number)
            each, another = (_called(jobs[rival].input) for rival in (number, other))
            errors[number] = AsrError(f"{path}: {each} is not transcribed, for {another} would be written here as well")
    return errors


def _obstacles(jobs: Sequence[Job], arguments: Iterable[str]) -> dict[int, AsrError]:
    """By number, the jobs that would overwrite what the user still needs, or cannot be written at all."""
    precious = {_identity(path) for path in (*(job.input.path for job in jobs), *map(Path, arguments))} - {None}
    errors = {}
    for number, job in enumerate(jobs):
        for path in job.paths.values():
            if reason := _obstacle(path, precious):
                errors[number] = AsrError(f"{path}: the output of {_called(job.input)} cannot be written ({reason})")
    return errors


def _obstacle(path: Path, precious: Collection[tuple[int, int] | None]) -> str:
    """Why there can be no output at `path`; empty: it can be there."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder"
    return "it is an input" if (status.st_dev, status.st_ino) in precious else ""


def _called(each: Input) -> str:
    return f"{each.source} ({each.id})" if each.id else each.source


def _folder(job: Job) -> Path:
    return next(iter(job.paths.values())).parent


def _trouble_in(folder: Path) -> AsrError | None:
    """Why no file can be written in a folder; None: one can."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return AsrError(f"{folder}: nothing can be written in this folder ({error.strerror})")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at `path` from all others, whatever its names; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _ignores_case(path: Path) -> bool:
    """Whether what is at `path` is also found under its name in the other case."""
    other = path.with_name(path.name.swapcase())
    return other.name != path.name and _identity(path) is not None and _identity(path) == _identity(other)
