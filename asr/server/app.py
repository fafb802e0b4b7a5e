"""The application: its addresses, and the way of a recording from an upload to an answer."""

import base64
import hashlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from asr.errors import AsrError
from asr.progress import say
from asr.server.guard import Guard
from asr.server.jobs import Advance, Jobs, Unwanted, outcome
from asr.server.refusal import Refusal, refuse
from asr.server.replies import reply, wish_of
from asr.server.uploads import Limits, receive
from asr.transcript import Transcript

PAGE = Path(__file__).with_name("page.html")


class Transcriber(Protocol):
    """A `Recognizer`, or whatever else writes down recordings; it is used by one thread at a time.

    It calls `advance` after each piece of sound, and what that raises ends the work.
    """

    def transcribe(self, audio: Path, *, advance: Advance) -> Transcript: ...


def create_app(
    recognizer: Transcriber, limits: Limits | None = None, model: str = "asr", host: str = "127.0.0.1"
) -> FastAPI:
    """The server over one recognizer.

    Args:
        model: The name that it goes by; a request may name any.
        host: Where it will be listened to; requests to other names than this and loopback are refused.
    """
    limits = limits or Limits()
    jobs = Jobs(limits.places)
    since_s = int(time.time())
    page = PAGE.read_text(encoding="utf-8")
    page_headers = {"Content-Security-Policy": policy(page)}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with TemporaryDirectory(prefix="asr-serve-") as scratch:
            app.state.scratch = scratch
            yield
            jobs.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)  # its pages load from elsewhere
    app.state.jobs = jobs
    app.add_middleware(Guard, host=host)
    app.add_exception_handler(HTTPException, refuse)
    app.add_exception_handler(Exception, refuse)

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers=page_headers)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        places = {"places": jobs.places, "free": jobs.free}
        return {"status": "ok", "model": model, "max_upload_bytes": limits.upload_bytes, **places}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": model, "object": "model", "created": since_s, "owned_by": "asr"}]}

    @app.post("/v1/audio/transcriptions")
    async def transcriptions(request: Request) -> Response:
        with ExitStack() as held:
            held.enter_context(jobs.place())
            path = Path(held.enter_context(TemporaryDirectory(dir=app.state.scratch))) / "recording"
            upload = await receive(request, path, limits)
            wish = wish_of(upload.fields)
            job = jobs.begin(partial(transcribe, recognizer, path, upload.name), held)
        return reply(await outcome(job, request, limits.timeout_s), wish)

    return app


def transcribe(recognizer: Transcriber, path: Path, name: str, advance: Advance) -> Transcript:
    """The transcript of a recording that its sender knows by another name.

    Raises:
        Refusal: It cannot be read.
        Unwanted: Nobody waits for it any more.
    """
    start_s = time.perf_counter()
    try:
        transcript = recognizer.transcribe(path, advance=advance)
    except Unwanted:
        say(f"{name}: given up after {time.perf_counter() - start_s:.1f} s")
        raise
    except AsrError as error:
        line = str(error).replace(str(path), name)
        say(line)
        raise Refusal(400, line, "file", "invalid_recording") from error
    say(f"{name}: {transcript.duration_s:.1f} s in {time.perf_counter() - start_s:.1f} s")
    return transcript


def policy(page: str) -> str:
    """The Content-Security-Policy under which a page runs what is written in it, and nothing from anywhere else."""

    def hashes(tag: str) -> str:
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (hashlib.sha256(body.encode()).digest() for body in bodies)
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; connect-src 'self'; "
        "media-src blob:; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
