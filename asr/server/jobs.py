"""One recording at a time: a thread that does the work, and a bounded number of places for requests."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from fastapi import Request

from asr.server.refusal import NO_RETRY, Refusal

Result = TypeVar("Result")

RETRY_AFTER_S = 5


class Jobs:
    """The work of all requests, in the order in which their uploads were complete.

    A place is taken before an upload is read, so that places also bound what lies on the disk, and is given back when
    the work has ended: later than its request, when that ran out of time.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.free = places
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "recognizer")

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place is taken within the block.

        Raises:
            Refusal: There is none left.
        """
        with self._lock:
            if not self.free:
                message = f"all {self.places} places are taken; try again in {RETRY_AFTER_S} s"
                raise Refusal(503, message, code="queue_full", headers={"Retry-After": str(RETRY_AFTER_S)})
            self.free -= 1
        try:
            yield
        finally:
            with self._lock:
                self.free += 1

    def begin(self, work: Callable[[], Result], held: ExitStack) -> "Future[Result]":
        """Queues work; what the stack holds, it holds until the work has ended or was dropped."""
        future = self._worker.submit(work)
        kept = held.pop_all()
        future.add_done_callback(lambda _: kept.close())
        return future

    def close(self) -> None:
        """Drops what waits; what is at work cannot be stopped."""
        self._worker.shutdown(wait=False, cancel_futures=True)


async def outcome(future: "Future[Result]", request: Request, timeout_s: float) -> Result:
    """What the work came to, if it does in time and somebody still wants to know; else it is dropped, unless begun.

    Args:
        request: Its body has been read.

    Raises:
        Refusal: Time is up, the client has gone, or the server is stopping.
        Exception: The work's own.
    """
    work = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((work, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        if gone.done():
            raise Refusal(499, "the client has gone")
        raise Refusal(504, f"the transcription took longer than {timeout_s:g} s", code="timeout", headers=NO_RETRY)
    except asyncio.CancelledError as error:
        raise Refusal(503, "the server is stopping", code="stopping", headers=NO_RETRY) from error
    finally:
        gone.cancel()
        work.cancel()
