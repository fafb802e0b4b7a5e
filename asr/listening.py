"""Live recognition: words while somebody speaks, first as a guess, then for good, and a final pass over all of it.

A step hears a window: from a little before the last word that was told up to now. Words that lie behind a pause, and
far enough from the window's end, are told for good; the others may still change.
"""

import math
import statistics
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import numpy as np

from asr.alignment import Word
from asr.audio import Waveform
from asr.errors import AudioError
from asr.microphone import Source
from asr.progress import console, say
from asr.transcript import Transcript

FULL_SCALE = 1 << 15
HEADER_BYTES = 44
"""Of the WAV files that Python's `wave` writes."""


class Transcriber(Protocol):
    """What listening needs of a recognizer."""

    @property
    def sample_rate_hz(self) -> int: ...

    def transcribe(self, audio: Waveform | Path, sample_rate_hz: int | None = None) -> Transcript: ...


Show = Callable[[Sequence[Word], Sequence[Word]], None]
"""Takes the words that a step told for good, and those that may still change."""


@dataclass(frozen=True)
class Pace:
    """How a window moves through the sound."""

    step_s: float = 1.0
    """From one window's end to the next one's."""
    window_s: float = 15.0
    """The longest window. When it is full and has no pause, its words are told up to the widest gap between two."""
    context_s: float = 3.0
    """What a window hears again of what has been told."""
    margin_s: float = 1.0
    """Before a window's end: what lies there is never told for good, as a word may be cut in two."""
    pause_s: float = 0.3
    """The shortest pause. Much of it lies within words: a token's peak is shorter than its sound."""


class Spool:
    """The sound so far, in a WAV of 16 bits that is whole after every block; memory is that of a block.

    Raises:
        AudioError: The file is there already, or cannot be written; names it.
    """

    def __init__(self, path: Path, sample_rate_hz: int) -> None:
        self.path = path
        self.sample_rate_hz = sample_rate_hz
        self._samples = 0
        self._open = ExitStack()
        with self._named_errors():
            file = self._open.enter_context(path.open("xb", buffering=0))
        self._writer = self._open.enter_context(wave.Wave_write(file))
        self._writer.setparams((1, 2, sample_rate_hz, 0, "NONE", ""))

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def duration_s(self) -> float:
        return self._samples / self.sample_rate_hz

    def append(self, block: Waveform) -> None:
        samples = np.clip(np.rint(block * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i2")
        with self._named_errors():
            self._writer.writeframes(samples.tobytes())
        self._samples += len(samples)

    def read(self, begin_s: float, end_s: float) -> Waveform:
        """(samples,) of a stretch, as a reader of the file would hear it."""
        begin, end = (round(at_s * self.sample_rate_hz) for at_s in (begin_s, end_s))
        samples = np.fromfile(self.path, "<i2", end - begin, offset=HEADER_BYTES + 2 * begin)
        return samples.astype(np.float32) / np.float32(FULL_SCALE)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError as error:
            raise AudioError(f"{self.path}: there is such a file already; name another, or move it away") from error
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be written ({error.strerror})") from error


class Listener:
    """Tells the words of a growing recording, each of them once."""

    def __init__(self, recognizer: Transcriber, recording: Spool, pace: Pace) -> None:
        self._recognizer = recognizer
        self._recording = recording
        self._pace = pace
        self.told_s = 0.0
        """Words whose middle lies before have been told."""

    def step(self) -> tuple[list[Word], list[Word]]:
        """The words to be told now, and those behind them that may still change."""
        begin_s, end_s = self._window()
        words = self._fresh_words(begin_s, end_s)
        full = self._recording.duration_s >= begin_s + self._pace.window_s
        cut_s = settled_until(words, self.told_s, end_s - self._pace.margin_s, self._pace.pause_s, full)
        count = sum(_middle_s(word) < cut_s for word in words)
        self.told_s = cut_s
        return words[:count], words[count:]

    def finish(self) -> list[Word]:
        """All words that have not been told, when nothing comes after them."""
        told = []
        while self._window()[1] < self._recording.duration_s:
            told += self.step()[0]
        told += self._fresh_words(*self._window())
        self.told_s = self._recording.duration_s
        return told

    def _window(self) -> tuple[float, float]:
        begin_s = max(0.0, self.told_s - self._pace.context_s)
        return begin_s, min(self._recording.duration_s, begin_s + self._pace.window_s)

    def _fresh_words(self, begin_s: float, end_s: float) -> list[Word]:
        waveform = self._recording.read(begin_s, end_s)
        if not len(waveform):
            return []
        heard = self._recognizer.transcribe(waveform, self._recording.sample_rate_hz).words
        words = [replace(word, start_s=begin_s + word.start_s, end_s=begin_s + word.end_s) for word in heard]
        return [word for word in words if _middle_s(word) >= self.told_s]


def settled_until(words: Sequence[Word], told_s: float, until_s: float, pause_s: float, full: bool) -> float:
    """Up to when the words of a window can be told for good: the middle of its last pause.

    Args:
        words: In order, their middles after `told_s`.
        told_s: What is returned when there is no pause.
        until_s: What lies after it may be cut in two, or be followed by what is not heard yet.
        full: The window cannot grow. Without a pause, the widest gap in its later half will do.
    """
    begins_s = [told_s, *(word.end_s for word in words)]
    ends_s = [*(word.start_s for word in words), math.inf]
    gaps = [(begin_s, min(end_s, until_s)) for begin_s, end_s in zip(begins_s, ends_s, strict=True)]
    if pauses := [gap for gap in gaps if gap[1] - gap[0] >= pause_s]:
        return statistics.mean(pauses[-1])
    if not full:
        return told_s
    half_s = (told_s + until_s) / 2
    late = [gap for gap in gaps if half_s <= gap[0] <= gap[1]]
    widest = max(late, key=lambda gap: gap[1] - gap[0], default=(until_s, until_s))
    return max(told_s, statistics.mean(widest))


@dataclass
class Figures:
    """How it went."""

    audio_s: float = 0.0
    step_latencies_s: list[float] = field(default_factory=list)
    """From a sound's arrival to the display of the first window with it."""
    late_steps: int = 0
    """Put off, as sound was waiting."""

    def __str__(self) -> str:
        steps = f"heard {self.audio_s:.1f} s in {len(self.step_latencies_s)} steps"
        if not self.step_latencies_s:
            return steps
        median_s, most_s = statistics.median(self.step_latencies_s), max(self.step_latencies_s)
        return f"{steps}, shown {median_s:.2f} s after the sound (median; at most {most_s:.2f} s)"


def session(
    recognizer: Transcriber,
    source: Source,
    out: Path | None = None,
    stopping: Callable[[], bool] = lambda: False,
    seconds: float = math.inf,
    tell: Callable[[str], None] | None = None,
) -> Transcript:
    """Listens, with all that the user sees of it on stderr, and then hears the whole recording once more.

    Args:
        out: The WAV file to be written; None: one for the time being.
        stopping: Asked after every block.
        tell: Gets each stretch of words as soon as it may not change any more, and an empty line after the last.

    Raises:
        AudioError: The source cannot be heard or says nothing, or the recording cannot be written.
    """
    with TemporaryDirectory() as folder:
        path = out or Path(folder) / "heard.wav"
        with Spool(path, recognizer.sample_rate_hz) as recording, display(tell) as show:
            figures = listen(recognizer, source, recording, show, stopping, seconds)
        if not figures.audio_s:
            raise AudioError("no sound has come in")
        if source.losses:
            say(f"warning: {source.losses}")
        began_s = time.monotonic()
        transcript = recognizer.transcribe(path)
        taken_s = time.monotonic() - began_s
    say(f"{figures}; final pass {taken_s:.2f} s, {taken_s / figures.audio_s:.3f} of real time")
    if tell:
        tell("")
    return transcript


def listen(
    recognizer: Transcriber,
    source: Source,
    recording: Spool,
    show: Show,
    stopping: Callable[[], bool] = lambda: False,
    seconds: float = math.inf,
    pace: Pace = Pace(),
) -> Figures:
    """Listens until the source ends, somebody asks to stop, or for so many seconds; then all words have been shown.

    Raises:
        AudioError: The source cannot be heard, or the recording not be written.
    """
    listener, figures, next_s = Listener(recognizer, recording, pace), Figures(), pace.step_s
    for block in source.blocks(recording.sample_rate_hz):
        recording.append(block)
        if stopping() or recording.duration_s >= seconds:
            break
        if recording.duration_s < next_s:
            continue
        if source.waiting_s >= pace.step_s:
            if not figures.late_steps:
                say("recognition is slower than the speech: fewer guesses are shown, no sound is lost")
            figures.late_steps += 1
        else:
            arrived_s = time.monotonic() - source.waiting_s
            show(*listener.step())
            figures.step_latencies_s.append(time.monotonic() - arrived_s)
        next_s = recording.duration_s + pace.step_s
    figures.audio_s = recording.duration_s
    show(listener.finish(), [])
    return figures


@contextmanager
def display(tell: Callable[[str], None] | None = None) -> Iterator[Show]:
    """Hands what is told to `tell`; a terminal shows it too and, below, dim and changing, what may still change."""
    from rich.live import Live
    from rich.text import Text

    live = Live(console=console(), transient=True, auto_refresh=False, redirect_stdout=False)
    visible = console().is_terminal

    def show(told: Sequence[Word], others: Sequence[Word]) -> None:
        if told and tell:
            tell(text_of(told))
        if told and visible:
            say(text_of(told))
        if visible:
            live.update(Text(text_of(others), style="dim"), refresh=True)

    with live if visible else nullcontext():
        yield show


def text_of(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2
