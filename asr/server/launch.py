"""From a recognizer to a server that runs until Ctrl-C."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import active_children

import uvicorn

from asr.errors import AsrError, Interrupted
from asr.progress import say
from asr.server.app import Transcriber, create_app
from asr.server.guard import is_loopback
from asr.server.uploads import Limits

GRACE_S = 10
"""How long Ctrl-C waits for what is at work ..."""

PIECE_S = 10
"""... and then for the end of the piece of sound that it is at."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that takes connections already, so that a mistake shows before a model is loaded.

    Raises:
        AsrError: The port is in use, or the host is not this machine's; names both.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.create_server(address[:2], family=family)
        opened.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )  # for all connections; else an answer may take 40 ms
    except (OSError, UnicodeError) as error:
        raise AsrError(f"--host {host} --port {port}: cannot be listened to ({_reason(error)})") from error
    with opened:
        yield opened


def serve(recognizer: Transcriber, opened: socket.socket, host: str, limits: Limits, model: str) -> None:
    """Serves at an open socket until Ctrl-C, which waits a little for what is at work; a second one does not.

    Raises:
        Interrupted: That was it. Where work goes on all the same, the process ends here and now.
    """
    if not is_loopback(host):
        say(f"warning: --host {host} lets other machines in, without a password and in the clear")
    app = create_app(recognizer, limits, model, host)
    config = uvicorn.Config(
        app, http="h11", log_level="warning", server_header=False, timeout_graceful_shutdown=GRACE_S
    )
    say(f"{model} at http://{_authority(host, opened)}; Ctrl-C stops")
    server, jobs = uvicorn.Server(config), app.state.jobs
    with suppress(KeyboardInterrupt):
        server.run(sockets=[opened])
    jobs.close()
    ended = False
    with suppress(KeyboardInterrupt):
        ended = jobs.ended(0 if server.force_exit else PIECE_S)
    if not ended:  # Python would wait for the end of the worker's thread
        shutil.rmtree(app.state.scratch, ignore_errors=True)
        for process in active_children():  # of a beam search
            process.kill()
        say("asr: stopped in the middle of a recording")
        os._exit(130)
    raise Interrupted("stopped")


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)  # `create_server` adds the address to it, which the line has already
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _authority(host: str, opened: socket.socket) -> str:
    port = opened.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
