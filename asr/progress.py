"""What a waiting user sees: one Rich bar and plain lines, all on stderr."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


class Advance(Protocol):
    """Moves a bar on by some amount, and may change the words before it."""

    def __call__(self, amount: float = 1, description: str | None = None) -> None: ...


@cache
def console() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def hush() -> None:
    """From here on this process shows no lines and no bars."""
    console().quiet = True


def say(message: str) -> None:
    """Prints one line on stderr, above a bar that may be running."""
    console().print(message, markup=False, emoji=False, soft_wrap=True)


def show(display: "Live | Progress") -> bool:
    """Starts a display of Rich's; False when there is one already and Rich, before 14.1, shows one at a time."""
    from rich.errors import LiveError

    try:
        display.start()
    except LiveError:
        return False
    return True


@contextmanager
def bar(description: str, total: float | None) -> Iterator[Advance]:
    """A progress bar with the time left; nothing at all when stderr is not a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(
        *columns,
        console=console(),
        disable=not console().is_terminal,
        transient=True,
        redirect_stdout=False,  # what a command prints is none of the bar's business
    )
    if not show(progress):
        progress.disable = True
    try:
        task = progress.add_task(description, total=total)

        def advance(amount: float = 1, description: str | None = None) -> None:
            progress.update(task, advance=amount, description=description)

        yield advance
    finally:
        if not progress.disable:  # else Rich before 14.1 prints an empty line
            progress.stop()


def track(items: Iterable[Item], description: str, total: float | None = None) -> Iterator[Item]:
    """The items one by one, under a progress bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(description, total) as advance:
        for item in items:
            yield item
            advance()


def track_in_threads(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> Iterator[Result]:
    """The function of every item, in their order, computed by threads, under a progress bar.

    For work that lets go of the GIL, such as decoding audio. When the caller stops, what has not begun is dropped.
    """
    pool = ThreadPoolExecutor()
    try:
        yield from track(pool.map(function, items), description, len(items))
    finally:
        pool.shutdown(cancel_futures=True)
