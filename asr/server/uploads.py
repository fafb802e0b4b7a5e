"""A form with a recording, read within limits of size and time."""

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import Message

from asr.server.refusal import NO_RETRY, Refusal

MAX_FIELDS = 50
MAX_FIELD_BYTES = 100_000
MAX_NAME = 80


@dataclass(frozen=True)
class Limits:
    """What one request may cost, and how many there may be at once."""

    upload_bytes: int = 200_000_000
    """Of a request's whole body: the recording and a few hundred bytes of form around it."""
    timeout_s: float = 600.0
    """To read an upload, and then again to transcribe it, the wait included."""
    places: int = 8
    """For requests that are uploaded, wait or are at work."""


@dataclass(frozen=True)
class Upload:
    """A form that has arrived whole."""

    name: str
    """The client's, to be shown and for nothing else."""
    fields: FormData


async def receive(request: Request, path: Path, limits: Limits) -> Upload:
    """Writes the form's `file` to `path`.

    Raises:
        Refusal: Too large, by its header or by what arrives; too slow; not a form, without a file, or cut off; no room.
    """
    _check_promise(request, limits)
    try:
        async with asyncio.timeout(limits.timeout_s):
            bounded = _bounded(request, limits)
            async with bounded.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES) as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise Refusal(
                        400, "a form (multipart/form-data) with a recording in its field 'file' is needed", "file"
                    )
                await run_in_threadpool(_copy, file, path)
                return Upload(shown(file.filename or ""), form)
    except TimeoutError as error:
        message = f"the upload took longer than {limits.timeout_s:g} s"
        raise Refusal(408, message, "file", "timeout", NO_RETRY | {"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise Refusal(499, "the client has gone") from error
    except OSError as error:
        raise Refusal(507, f"the server cannot store the upload ({error.strerror})", code="storage") from error


def shown(name: str) -> str:
    """A client's file name as it may be printed: no folders, nothing that moves a cursor, not endless.

    >>> shown("../../etc/pass\\x00wd")
    'passwd'
    """
    last = re.split(r"[/\\]", name)[-1]
    return "".join(character for character in last if character.isprintable())[:MAX_NAME] or "recording"


def _check_promise(request: Request, limits: Limits) -> None:
    promised = request.headers.get("content-length", "0")
    if int(promised) > limits.upload_bytes:  # the HTTP parser lets nothing but digits through
        raise _too_large(limits)


def _bounded(request: Request, limits: Limits) -> Request:
    """The same request, refused as soon as more has arrived than may."""
    arrived = 0

    async def receive() -> Message:
        nonlocal arrived
        message = await request.receive()
        arrived += len(message.get("body", b""))
        if arrived > limits.upload_bytes:
            raise _too_large(limits)
        return message

    return Request(request.scope, receive)


def _too_large(limits: Limits) -> Refusal:
    message = f"the upload is larger than {limits.upload_bytes / 1e6:g} MB"
    return Refusal(413, message, "file", "too_large", NO_RETRY)


def _copy(file: UploadFile, path: Path) -> None:
    with path.open("wb") as stream:
        shutil.copyfileobj(file.file, stream, 1 << 20)
