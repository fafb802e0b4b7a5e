"""Files that are whole or not there: written beside and renamed, read with errors that name them."""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from asr.errors import AsrError, DataError

UNFINISHED = ".unfinished"
"""How the names of files end that are being written."""

STDIN = Path("-")


@contextmanager
def writing(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """An open file that becomes `path` when the block ends well, and leaves no trace when it does not.

    Whoever reads `path` at any moment, also after a kill, finds the old content or the new, never a part.

    Raises:
        AsrError: The folder cannot be made or written; names the path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name[:40]}."  # a name that is as long as can be has no room for more
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=UNFINISHED)
    except OSError as error:
        raise AsrError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        os.close(handle)
        with Path(beside).open(mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(beside).chmod(0o666 & ~_umask())  # mkstemp lets only the owner read
        Path(beside).replace(path)
    except OSError as error:
        raise AsrError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        Path(beside).unlink(missing_ok=True)


def sweep(folder: Path, older_than_s: float = 0.0) -> None:
    """Removes what killed processes have left unfinished in a folder and in those right below it.

    Args:
        older_than_s: Where others may be at work, so that what they are just writing stays.
    """
    for path in (*folder.glob(f".*{UNFINISHED}"), *folder.glob(f"*/.*{UNFINISHED}")):
        with suppress(OSError):  # another process may have removed it, or finished it
            if time.time() - path.stat().st_mtime >= older_than_s:
                path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within the block the folder is this process's alone; the system frees it when the process ends, however it ends.

    A folder that did not exist and is empty at the end is taken away again. Where nothing can be written there is
    nothing to guard, and on systems without `flock` there is no lock.

    Raises:
        AsrError: Another process holds it; names the folder and the process. Or it cannot be made.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    path = make_folder(folder) / ".lock"
    try:
        import fcntl

        stream = path.open("a+", encoding="utf-8")
    except (ImportError, OSError):
        yield
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            raise AsrError(
                f"{folder}: another run ({stream.read().strip() or 'just begun'}) is at work in this folder; wait for "
                "its end, or name another folder (--exp, or --out)"
            ) from error
        except OSError:  # a file system that knows no locks
            pass
        os.register_at_fork(after_in_child=stream.close)  # else a reader of recordings that outlives us would keep it
        stream.truncate(0)
        stream.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        stream.flush()
        try:
            yield
        finally:
            if made and list(folder.iterdir()) == [path]:
                path.unlink()
                with suppress(OSError):  # somebody else may have come to like a parent
                    for parent in made:
                        parent.rmdir()


def make_folder(path: Path) -> Path:
    """The folder at `path`, made with its parents when it is not there.

    Raises:
        AsrError: It cannot be made; names the path.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AsrError(f"{path}: the folder cannot be made ({error.strerror})") from error
    return path


def write_json(path: Path, value: Any) -> None:
    with writing(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False)
        stream.write("\n")


def write_json_lines(path: Path, records: Iterable[Any]) -> None:
    with writing(path) as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        DataError: It is missing, unreadable or not JSON; names the path.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {_reason(error)}") from error


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a JSON Lines file; blank lines are passed over.

    Raises:
        DataError: It is missing, unreadable, or a line is not a JSON object; names the path and the line.
    """
    records = []
    for number, line in read_lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number}: not JSON ({error})") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: a JSON object was expected, found {line.strip()[:40]}")
        records.append(record)
    return records


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, each with its number, counted from 1.

    Raises:
        DataError: As `read_text`.
    """
    return [(number, line) for number, line in enumerate(read_text(path).splitlines(), start=1) if line.strip()]


def read_text(path: Path) -> str:
    """The text in a file, or on stdin where the path is `-`, without a byte order mark.

    Raises:
        DataError: It is missing, unreadable or not UTF-8; names the path and, of what is not UTF-8, the line.
    """
    try:
        data = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {_reason(error)}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: the file is UTF-16; save it as UTF-8")
    if (zero := data.find(b"\0")) >= 0:
        raise DataError(f"{path}: not text (byte {zero} is zero)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); is it Latin-1?") from error


def digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: Any) -> str:
    """The SHA-256 of a plain value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_of_listing(folder: Path) -> str:
    """The SHA-256 of a folder's file names, sizes and times of change: a corpus is too large to read for this."""
    listing = sorted(
        (path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and (status := path.stat())
    )
    return digest_of(listing)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
