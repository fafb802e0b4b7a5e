"""One recording at a time: a thread that does the work, and a bounded number of places for requests."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request

from asr.server.refusal import NO_RETRY, Refusal

Result = TypeVar("Result")

Advance = Callable[[float], object]
"""What work calls every now and then; raises `Unwanted` where it need not go on."""

RETRY_AFTER_S = 5


class Unwanted(Exception):
    """Nobody waits for the work any more."""


@dataclass(frozen=True)
class Job(Generic[Result]):
    """Work that waits, is being done or has ended."""

    future: "Future[Result]"
    unwanted: threading.Event
    """Once set, work that is being done ends when it next calls `advance`."""


class Jobs:
    """The work of all requests, in the order in which their uploads were complete.

    A place is taken before an upload is read, so that places also bound what lies on the disk, and is given back when
    the work has ended: a little later than its request, when that ran out of time.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.free = places
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._worker = ThreadPoolExecutor(1, "recognizer")

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place is taken within the block.

        Raises:
            Refusal: There is none left.
        """
        with self._changed:
            if not self.free:
                message = f"all {self.places} places are taken; try again in {RETRY_AFTER_S} s"
                raise Refusal(503, message, code="queue_full", headers={"Retry-After": str(RETRY_AFTER_S)})
            self.free -= 1
        try:
            yield
        finally:
            with self._changed:
                self.free += 1
                self._changed.notify_all()

    def begin(self, work: Callable[[Advance], Result], held: ExitStack) -> Job[Result]:
        """Queues work; what the stack holds, it holds until the work has ended or was dropped."""
        unwanted = threading.Event()

        def advance(_seconds: float) -> None:
            if unwanted.is_set() or self._closed.is_set():
                raise Unwanted

        job = Job(self._worker.submit(work, advance), unwanted)
        kept = held.pop_all()
        job.future.add_done_callback(lambda _: kept.close())
        return job

    def close(self) -> None:
        """Drops what waits, and what is at work; does not wait for its end."""
        self._closed.set()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def ended(self, timeout_s: float) -> bool:
        """Whether all places are free, at the latest after so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.free == self.places, timeout_s)


async def outcome(job: Job[Result], request: Request, timeout_s: float) -> Result:
    """What the work came to, if it does in time and somebody still wants to know; else it is dropped.

    Args:
        request: Its body has been read.

    Raises:
        Refusal: Time is up, the client has gone, or the server is stopping.
        Exception: The work's own.
    """
    work = asyncio.wrap_future(job.future)
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
        job.unwanted.set()
        work.cancel()  # and with it the job, where it has not begun
