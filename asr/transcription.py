"""Many recordings transcribed by one command: inputs found, outputs planned, the work shared out, files written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr.errors import AsrError
from asr.files import sweep
from asr.formats import format_named, render
from asr.inputs import STDIN, Input, find
from asr.outputs import Job, plan, write
from asr.progress import bar, console, hush
from asr.shards import lengths_s, parse_shard, shard_of_environment, share
from asr.transcript import Transcript

if TYPE_CHECKING:
    from asr.recognizer import Recognizer

ABANDONED_S = 3600.0
"""An unfinished file of that age is one that nobody is writing any more."""

ESCAPES = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})
"""A name may hold what would break a line."""


@dataclass(frozen=True)
class Batch:
    """What is to be done."""

    jobs: list[Job]
    """With the files to write of each; none where the texts are only printed."""
    kept: int
    """So many inputs have all their files already."""
    errors: list[AsrError]
    """Why others are left out."""
    seconds: float | None
    """How long the inputs of all jobs are together, as far as headers tell; None: nobody has asked them."""
    single: bool
    """One recording is all that the user named."""

    @property
    def prints(self) -> bool:
        """Whether the texts go to stdout: those that are not written, and that of a single recording anyhow."""
        return self.single or not any(job.paths for job in self.jobs)

    def label(self, transcript: Transcript) -> str:
        """What stands before each line of a recording's on stdout."""
        return "" if self.single else transcript.source.translate(ESCAPES) + "\t"


@dataclass
class Tally:
    """What became of the recordings of a batch."""

    kept: int
    """Had their files already."""
    failed: int
    transcribed: int = 0
    sound_s: float = 0.0

    def count(self, transcript: Transcript) -> None:
        if transcript.error:
            self.failed += 1
        else:
            self.transcribed += 1
            self.sound_s += transcript.duration_s

    def told(self, wall_s: float) -> str:
        """All of it in a line, for a batch that took so long."""
        counts = {"transcribed": self.transcribed, "there already": self.kept, "could not be": self.failed}
        line = ", ".join(f"{count} {fate}" for fate, count in counts.items() if count or fate == "transcribed")
        if not self.transcribed:
            return line
        pace = self.sound_s / max(wall_s, 1e-3)
        return f"{line}; {self.sound_s / 3600:.2f} h of sound in {wall_s:.1f} s, {pace:.0f} times real time"


def prepare(
    arguments: Sequence[str],
    formats: Sequence[str] = (),
    out: Path | None = None,
    overwrite: bool = False,
    raw_rate_hz: int | None = None,
    shard: str | None = None,
) -> Batch:
    """What arguments mean, before any recording is opened.

    Args:
        arguments: As `asr.inputs.find` takes them.
        formats: Of the files to write; none: there are none to write.
        out: Where to write them; None: beside the recordings.
        overwrite: Files that are there already, too.
        raw_rate_hz: Of bare samples on stdin.
        shard: Such as 3/16; None: all, or under torchrun this process's share. What is wrong with the inputs is told
            in the first.

    Raises:
        ConfigError: No such format.
        AsrError: Nothing can be written in `out`, or there is no such share.
    """
    suffixes = {name: format_named(name).suffix for name in formats}
    number, count = parse_shard(shard) if shard else shard_of_environment() or (1, 1)
    inputs, errors = find(arguments, raw_rate_hz)
    mine, seconds = set(inputs), None
    if count > 1 or console().is_terminal:
        durations_s = lengths_s(inputs)
        mine = set(share(inputs, durations_s, number, count))
        seconds = sum(duration_s for each, duration_s in zip(inputs, durations_s, strict=True) if each in mine)
    single = len(inputs) + len(errors) == 1
    if number > 1:  # the first share tells of what concerns all, and under torchrun has the terminal to itself
        errors = []
        if not shard:
            hush()
    if not formats:
        return Batch([Job(each, {}) for each in inputs if each in mine], 0, errors, seconds, single)
    planned = plan(inputs, suffixes, out, overwrite, arguments)
    jobs = [job for job in planned.jobs if job.input in mine]
    for folder in {path.parent for job in jobs for path in job.paths.values()}:
        sweep(folder, ABANDONED_S)
    kept = sum(each in mine for each in planned.kept)
    return Batch(jobs, kept, [*errors, *planned.errors] if number == 1 else [], seconds, single)


def transcribe(recognizer: "Recognizer", batch: Batch) -> Iterator[Transcript]:
    """The transcript of each job, in order, once its files are written; its error tells why there is none."""
    with bar("transcribing", batch.seconds) as advance:
        recordings = (
            recognizer.recording(
                each.path, source=each.id or each.source, offset_s=each.offset_s, duration_s=each.duration_s
            )
            for each in (job.input for job in batch.jobs)
        )
        for job, transcript in zip(batch.jobs, recognizer.transcribe_many(recordings, advance), strict=True):
            yield _named(job.input, transcript) if transcript.error else _written(job, transcript)


def _named(each: Input, transcript: Transcript) -> Transcript:
    """What came on stdin lies in a file whose name says nothing to the user."""
    if each.source == STDIN and transcript.error:
        return replace(transcript, error=type(transcript.error)(str(transcript.error).replace(str(each.path), STDIN)))
    return transcript


def _written(job: Job, transcript: Transcript) -> Transcript:
    try:
        for name, path in job.paths.items():
            write(path, render(transcript, name))
    except AsrError as error:
        return replace(transcript, error=error)
    return transcript
