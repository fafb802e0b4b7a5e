"""Corpora from their publishers: fetched with patience, checked, and unpacked without trust."""

import hashlib
import http.client
import re
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

from annotated_types import MinLen

from asr.config import settings
from asr.errors import DownloadError
from asr.files import make_folder
from asr.progress import bar, say, track

CHECKSUM_DIGITS = {"md5": 32, "sha256": 64}
SILENCE_S = 30.0
"""How long a server may send nothing before the connection counts as broken."""
BLOCK_BYTES = 1 << 14
MEGABYTE = 10**6


class Interruption(Exception):
    """A connection failed in a way that may pass; never leaves this module."""


@settings
class Archive:
    """A tar file on a publisher's server."""

    url: str
    checksum: str
    """`md5:` or `sha256:` and hexadecimal digits."""
    holds: Annotated[str, MinLen(1)]
    """What is there once the archive is unpacked, as a path from the corpus folder."""


def download(archives: Sequence[Archive], folder: Path, strip: int = 0) -> None:
    """Fetches and unpacks into `folder` the archives whose content is not there yet; `strip` as in `unpack`.

    Raises:
        AsrError: As `fetch` and `unpack` do, or an archive does not hold what it should.
    """
    for archive in archives:
        held = folder / archive.holds
        if held.exists():
            continue
        say(f"downloading {archive.url} into {folder}")
        target = folder / (PurePosixPath(urlsplit(archive.url).path).name or "archive")
        fetch(archive.url, archive.checksum, target)
        say(f"unpacking {target}")
        unpack(target, folder, strip)
        if not held.exists():
            raise DownloadError(f"{target}: unpacked, but there is no {held}")
        target.unlink()


def fetch(archive_url: str, checksum: str, target: Path, attempts: int = 5, pause_s: float = 2.0) -> Path:
    """The file at `archive_url`, whole and checked, as `target`.

    What has arrived waits in `NAME.part`, so that a broken connection or a killed program costs only the rest. A file
    with another checksum is set aside as `NAME.bad` and fetched once more.

    Args:
        attempts: How many tries in a row may fail to get further.
        pause_s: Between two tries.

    Raises:
        AsrError: The server refuses, cannot be reached or sends a wrong file twice; the disk is full; `target` cannot
            be written. Names the address or the file.
    """
    expected = _normalized(checksum)
    part, bad = (target.with_name(target.name + ending) for ending in (".part", ".bad"))
    make_folder(target.parent)
    try:
        if target.exists() and not _set_aside(target, expected, bad):
            return target
        for _ in range(2):
            _fetch_part(archive_url, part, attempts, pause_s)
            if not (found := _set_aside(part, expected, bad)):
                return part.replace(target)
    except OSError as error:
        raise DownloadError(f"{target}: cannot be written ({_reason(error)})") from error
    raise DownloadError(f"{archive_url}: expected {expected}, found {found}, twice; the file is kept as {bad}")


def unpack(archive: Path, folder: Path, strip: int = 0) -> None:
    """Unpacks a tar file, compressed or not, into `folder`: all of it or nothing.

    Every member is judged before anything is written. A new folder appears in one step, so that a kill leaves no half
    of it; where one is there already, its files are replaced one by one. Modes, owners and times are not restored.

    Args:
        strip: How many leading parts each member's path loses.

    Raises:
        AsrError: The archive is broken off or damaged, has a member that is neither a file nor a folder or that leads
            out of `folder`, or does not fit on the disk. Names the archive and the member.
    """
    make_folder(folder)
    try:
        with tarfile.open(archive) as tar, tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as beside:
            paths = _judged(tar, folder, strip)
            _require_space(folder, sum(member.size for member in paths), f"what {archive} holds")
            for member in track(paths, f"unpacking {archive.name}"):
                _write_member(tar, member, Path(beside, paths[member]))
            _move_content(Path(beside), folder)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise DownloadError(f"{archive}: cannot be unpacked into {folder} ({_reason(error)})") from error


def _normalized(checksum: str) -> str:
    algorithm, _, digits = checksum.lower().partition(":")
    if len(digits) != CHECKSUM_DIGITS.get(algorithm) or not re.fullmatch("[0-9a-f]+", digits):
        known = " or ".join(f"{name}: and {count}" for name, count in CHECKSUM_DIGITS.items())
        raise DownloadError(f"checksum {checksum!r}: write {known} hexadecimal digits")
    return f"{algorithm}:{digits}"


def _set_aside(path: Path, expected: str, bad: Path) -> str:
    """The checksum of a wrong file, which becomes `bad`; empty for a right one, which stays."""
    algorithm = expected.partition(":")[0]
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False))
    found = f"{algorithm}:{digest.hexdigest()}"
    if found == expected:
        return ""
    say(f"{path}: expected {expected}, found {found}; set aside as {bad}")
    path.replace(bad)
    return found


def _fetch_part(url: str, part: Path, attempts: int, pause_s: float) -> None:
    """Makes `part` whole, in as many tries as get further than any before and `attempts` in a row that do not."""
    furthest, failures = _size_bytes(part), 0
    while True:
        try:
            return _fetch_rest(url, part)
        except Interruption as interruption:
            size = _size_bytes(part)
            failures = 0 if size > furthest else failures + 1
            furthest = max(furthest, size)
            if failures >= attempts:
                raise DownloadError(f"{url}: {interruption}; gave up after {attempts} attempts") from interruption
            say(f"{url}: {interruption}; going on from {size / MEGABYTE:.1f} MB")
            time.sleep(pause_s)


def _fetch_rest(url: str, part: Path) -> None:
    """Adds to `part` what it lacks, in one request."""
    size = _size_bytes(part)
    with _open(url, size) as response:
        start, total = _extent(response)
        if size and start == size == total:
            return
        if start not in (0, size):
            part.unlink(missing_ok=True)
            raise Interruption(f"the server has no answer to a request for the bytes from {size} on")
        total_megabytes = None if total is None else total / MEGABYTE
        with part.open("ab" if start else "wb") as stream, bar(f"{part.stem} (MB)", total_megabytes) as advance:
            _require_space(part.parent, (total or 0) - start, f"the rest of {url}")
            advance(start / MEGABYTE)
            for block in _blocks(response):
                stream.write(block)
                advance(len(block) / MEGABYTE)
    if total is not None and _size_bytes(part) < total:
        raise Interruption(f"broke off after {_size_bytes(part)} of {total} bytes")


def _open(url: str, offset: int) -> Any:
    """The response to a request for the bytes from `offset` on; also a 416, which tells how long the file is."""
    headers = {"User-Agent": "asr"} | ({"Range": f"bytes={offset}-"} if offset else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SILENCE_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and offset:
            return error
        error.close()
        message = f"HTTP {error.code} {error.reason}"
        if error.code in (408, 429) or error.code >= 500:  # too slow, too busy, out of order: may pass
            raise Interruption(message) from error
        raise DownloadError(f"{url}: {message}") from error
    except (ValueError, http.client.InvalidURL) as error:
        raise DownloadError(f"{url}: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Interruption(_reason(error)) from error


def _extent(response: Any) -> tuple[int | None, int | None]:
    """Where in the file a response's body starts, and the file's size in bytes; None where the server does not say."""
    if response.status not in (206, 416):
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+)", response.headers.get("Content-Range", ""))
    return (int(found[1] or found[2]), int(found[2])) if found else (None, None)


def _blocks(response: Any) -> Iterator[bytes]:
    try:
        while block := response.read(BLOCK_BYTES):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise Interruption(_reason(error)) from error


def _judged(tar: tarfile.TarFile, folder: Path, strip: int) -> dict[tarfile.TarInfo, Path]:
    """The members' paths below `folder`, once the archive is read to its end and nothing is wrong with any."""
    root, paths = folder.resolve(), {}
    for member in tar:
        name = PurePosixPath(member.name)
        path = Path(*name.parts[strip:])
        refused = f"{tar.name!s}: nothing is unpacked, for its member {member.name!r}"
        if not (member.isreg() or member.isdir()) or member.size < 0:
            raise DownloadError(f"{refused} is neither a file nor a folder")
        if name.is_absolute() or ".." in name.parts or not (root / path).resolve().is_relative_to(root):
            raise DownloadError(f"{refused} leads out of {folder}")
        if member.isreg() and not path.parts:
            raise DownloadError(f"{refused} has no name left without {strip} leading parts")
        paths[member] = path
    while tar.fileobj and tar.fileobj.read(BLOCK_BYTES):
        pass  # gzip's own checksum comes after the last that tarfile reads
    return paths


def _write_member(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
    elif content := tar.extractfile(member):
        path.parent.mkdir(parents=True, exist_ok=True)
        with content, path.open("wb") as stream:
            shutil.copyfileobj(content, stream)


def _move_content(source: Path, target: Path) -> None:
    """Moves files before folders: a corpus's tables are there before the split that announces it."""
    for path in sorted(source.iterdir(), key=Path.is_dir):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move_content(path, place)
        else:
            path.replace(place)


def _require_space(folder: Path, needed_bytes: int, what: str) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        needed, free = (f"{count / MEGABYTE:.1f} MB" for count in (needed_bytes, free_bytes))
        raise DownloadError(f"{folder}: {what} takes {needed}, the disk has {free} free")


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    """The innermost cause of an error, in one line."""
    cause = getattr(error, "reason", error)
    text = str(getattr(cause, "strerror", None) or cause) or type(cause).__name__
    return text.splitlines()[0].rstrip(":")
