"""What a training shows while it runs: a table and a bar at a terminal, plain lines elsewhere; all on stderr.

Figures come as plain dicts, those of an epoch just as `history.jsonl` has them. Shares and error rates are in 0..1,
names in `_s` and `seconds` are seconds. What is missing, as in a history from an earlier version, is left out.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asr.progress import console, say, show

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

Figures = Mapping[str, Any]
"""What an epoch, or its steps so far, came to, by name."""

MOST_ROWS = 8
"""Epochs in the table while training runs; at the end it has all of them."""

OTHER_LINES = 8
"""What the table and the bar need of a terminal's height besides those rows."""

WIDTH = 80
"""Columns that the bar takes of a wider terminal."""

MUCH_WAITING = 0.30
"""The share of an epoch spent waiting for data beyond which the user hears how to do better."""

WORDS: dict[str, Callable[[float], str]] = {
    "loss": lambda loss: f"loss {loss:.3f}",
    "dev_wer": lambda rate: f"dev WER {rate:.2%}",
    "dev_cer": lambda rate: f"CER {rate:.2%}",
    "dev_per": lambda rate: f"PER {rate:.2%}",
    "dev_perplexity": lambda perplexity: f"dev perplexity {perplexity:.2f}",
    "learning_rate": lambda rate: f"learning rate {rate:.1e}",
    "gradient_norm": lambda norm: f"gradient {norm:.2f}",
    "blank_share": lambda share: f"blank {_percent(share)}",
    "seconds": lambda seconds: f"{seconds:.0f} s",
    "times_real_time": lambda times: f"{_times(times)} real time ({times / 3600:.3g} h/s)",
    "tokens_per_s": lambda tokens: f"{tokens:.0f} tokens/s",
    "waiting_share": lambda share: f"waiting for data {_percent(share)}",
    "left_s": lambda seconds: f"{_duration(seconds)} left",
    "skipped": lambda steps: _count(steps, "step", "skipped"),
    "infeasible": lambda utterances: _count(utterances, "utterance", "too short for CTC"),
}
"""Figures in a plain line, in this order."""

COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "epoch": ("epoch", lambda epoch: f"{epoch:.0f}"),
    "loss": ("loss", lambda loss: f"{loss:.3f}"),
    "dev WER": ("dev_wer", lambda rate: f"{rate:.2%}"),
    "CER": ("dev_cer", lambda rate: f"{rate:.2%}"),
    "PER": ("dev_per", lambda rate: f"{rate:.2%}"),
    "dev perplexity": ("dev_perplexity", lambda perplexity: f"{perplexity:.2f}"),
    "learning rate": ("learning_rate", lambda rate: f"{rate:.1e}"),
    "speed": ("times_real_time", lambda times: _times(times)),
    "tokens/s": ("tokens_per_s", lambda tokens: f"{tokens:.0f}"),
    "time": ("seconds", lambda seconds: _clock(seconds)),
}
"""Figures in the table, by heading; speech has some of them and text others."""

OF_SPEECH, OF_TEXT = ("dev WER", "CER", "PER", "speed"), ("dev perplexity", "tokens/s")

NOTES = {"skipped": "skipped", "infeasible": "too short"}
"""Figures noted behind a row when they are not 0; the plain line says more."""

GAP = "  "

DISPENSABLE = ("learning rate", "speed", "tokens/s", "time", "CER")
"""Columns that a narrow terminal goes without, in this order."""


class Dashboard:
    """Shows a training, step by step and epoch by epoch, from `with` to the end of the block.

    A terminal gets a table of the last epochs, its last row the epoch that runs, and a bar with the time left. What
    others say appears above, and the whole table stays on the screen when the block ends. Elsewhere, such as in a
    log file, there is one plain line an epoch, and one now and then in between.

    Args:
        epochs: Of the whole training.
        history: The epochs done before, when a training goes on.
        line_every_s: How often a plain line tells of the steps.
    """

    def __init__(self, epochs: int, history: Sequence[Figures] = (), line_every_s: float = 60.0) -> None:
        self.epochs = epochs
        self.line_every_s = line_every_s
        self._records = list(history)
        self._advised = any(map(_waits_much, history))
        self._running: Figures | None = None
        self._first_step = (0, 0.0)  # the first of this epoch that was seen, and when
        self._began = self._spoke = time.monotonic()  # this epoch, and the last plain line
        self._live: Live | None = None
        self._ended = False

    def __enter__(self) -> "Dashboard":
        if console().is_interactive and not console().quiet:
            from rich.live import Live

            live = Live(self, console=console(), refresh_per_second=2, redirect_stdout=False)
            self._live = live if show(live) else None
        self._began = self._spoke = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        if self._live:
            self._live.stop()

    def step(self, figures: Figures) -> None:
        """Takes what the epoch has come to so far; cheap enough to be called after every step.

        Args:
            figures: `epoch`, `epochs`, `step` and `steps`, counted from 1, and what there is of `loss`,
                `learning_rate`, `gradient_norm`, `blank_share`, `times_real_time`, `waiting_share` and `left_s`, the
                time that the whole training still takes.
        """
        now, step = time.monotonic(), figures["step"]
        if self._running is None:
            self._first_step = step, now
        first, seen = self._first_step
        epoch_left_s = (figures["steps"] - step) * (now - seen) / (step - first) if step > first else None
        self._running = {"seconds": now - self._began, "epoch_left_s": epoch_left_s, **figures}
        if not self._live and now - self._spoke >= self.line_every_s:
            self._spoke = now
            say(step_line(figures))

    def epoch(self, record: Figures) -> None:
        """Takes what a finished epoch has come to: a new row of the table, or a plain line."""
        self._running = None
        self._records.append(record)
        self._began = self._spoke = time.monotonic()
        if not self._live:
            say(epoch_line(record, self.epochs))
        if _waits_much(record) and not self._advised:
            self._advised = True
            say(
                f"advice: {_percent(record['waiting_share'])} of the time went into waiting for data: "
                "raise training.workers, or training.keep_hours so that recordings stay in memory"
            )

    def __rich__(self) -> "Group":
        """The table and the bar as of now; Rich asks for them twice a second."""
        from rich.console import Group

        records, running = list(self._records), self._running
        kept = kept_epoch(records)
        rows = records
        if not self._ended:
            rows = records[-max(1, min(MOST_ROWS, console().height - OTHER_LINES)) :]
            rows = [kept, *rows] if kept and kept not in rows else rows
        parts: list[RenderableType] = []
        if rows or running:
            parts.append(_table(rows, kept, running))
        if not self._ended and len(records) < self.epochs:
            parts += _foot(running or {"epoch": len(records) + 1}, self.epochs)
        return Group(*parts)


def kept_epoch(history: Sequence[Figures]) -> Figures | None:
    """The record of the epoch whose model is there at the end: the last that is `kept`; None without any."""
    return next((record for record in reversed(history) if record.get("kept")), None)


def step_line(figures: Figures) -> str:
    """One plain line about the steps so far."""
    place = "epoch {epoch}/{epochs}, step {step}/{steps}".format_map(figures)
    return f"{place}: {_in_words(figures, *(name for name in WORDS if name != 'seconds'))}"


def epoch_line(record: Figures, epochs: int) -> str:
    """One plain line about a finished epoch."""
    return f"epoch {record['epoch']}/{epochs}: {_in_words(record, *WORDS)}"


def _in_words(figures: Figures, *names: str) -> str:
    return ", ".join(filter(None, (_text(figures, name, WORDS[name]) for name in names)))


def _table(rows: Sequence[Figures], kept: Figures | None, running: Figures | None) -> "Text":
    """The epochs in lines, with fewer columns where the terminal is narrow."""
    from rich.text import Text  # a table of Rich's takes 5 ms to draw, this takes 1

    rows = [*rows, running] if running else rows
    columns = {heading: _column(heading, [_text(row, *figure) for row in rows]) for heading, figure in COLUMNS.items()}
    notes = ["", *(_notes(row, row is kept) for row in rows)]
    hidden = set(OF_SPEECH if any("tokens_per_s" in row for row in rows) else OF_TEXT)
    found = {heading for heading, (name, _) in COLUMNS.items() if any(name in row for row in rows)}
    hidden |= {"dev WER", "CER", "dev perplexity"} if "PER" in found else {"PER"}
    for heading in hidden - found:
        del columns[heading]
    for heading in DISPENSABLE:
        if (
            heading in columns
            and sum(len(cells[0] + GAP) for cells in columns.values()) + max(map(len, notes)) > console().width
        ):
            del columns[heading]
    first, *lines = map(GAP.join, zip(*columns.values(), notes, strict=True))
    table = Text(no_wrap=True, overflow="ellipsis").append(first.rstrip(), "bold underline")
    for row, line in zip(rows, lines, strict=True):
        table.append(f"\n{line.rstrip()}", "bold green" if row is kept else "cyan" if row is running else None)
    return table


def _column(heading: str, cells: Sequence[str]) -> list[str]:
    width = max(map(len, (heading, *cells)))
    return [cell.rjust(width) for cell in (heading, *cells)]


def _notes(record: Figures, is_kept: bool) -> str:
    troubles = (f"{number:.0f} {what}" for name, what in NOTES.items() if (number := _number(record, name)))
    return ", ".join([*(["kept"] if is_kept else []), *troubles])


def _foot(running: Figures, epochs: int) -> "list[RenderableType]":
    """The bar of the epoch that runs, the time left, and figures that the table has no room for."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    step, steps = running.get("step", 0), running.get("steps")
    left = [
        _text(running, "epoch_left_s", _duration),
        _text(running, "left_s", lambda seconds: f"training {_duration(seconds)}"),
    ]
    line = Table.grid(padding=(0, 2, 0, 0))
    line.width = min(WIDTH, console().width)
    for ratio in (None, 1, None, None):
        line.add_column(ratio=ratio, no_wrap=True)
    line.add_row(
        f"epoch {running['epoch']}/{epochs}",
        ProgressBar(total=steps, completed=step, pulse=not steps),
        f"{step}/{steps}" if steps else "waiting for the first batch",
        "scoring dev" if step == steps else f"left: {', '.join(filter(None, left))}" if any(left) else "",
    )
    remarks = _in_words(running, "gradient_norm", "blank_share", "times_real_time", "tokens_per_s", "waiting_share")
    return [Text(), line, *([Text(remarks, style="dim")] if remarks else [])]


def _waits_much(record: Figures) -> bool:
    of_speech = "tokens_per_s" not in record  # text has no workers that could read ahead
    return of_speech and (_number(record, "waiting_share") or 0.0) > MUCH_WAITING


def _number(figures: Figures, name: str) -> float | None:
    value = figures.get(name)
    return value if isinstance(value, int | float) else None


def _text(figures: Figures, name: str, form: Callable[[float], str]) -> str:
    """The figure of that name in its form; empty when there is none."""
    value = _number(figures, name)
    return "" if value is None else form(value)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _times(times: float) -> str:
    return f"{times:.0f}x" if times >= 10 else f"{times:.1f}x"


def _count(number: float, unit: str, what: str) -> str:
    """`2 steps skipped`; empty when there is none."""
    return f"{number:.0f} {unit}{'' if number == 1 else 's'} {what}" if number else ""


def _duration(seconds: float) -> str:
    """Roughly: `45 s`, `12 min`, `3.2 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"


def _clock(seconds: float) -> str:
    """`1:02`, or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
