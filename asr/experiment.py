"""Experiments: a recipe's stages at work in a folder, each skipped when nothing that it reads has changed.

What a stage reads is settings and the content of files; `stages.json` holds what they were when it last ended well.
"""

from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

from asr.config import Table, nearest
from asr.distributed import restarted
from asr.errors import ConfigError
from asr.files import locked, sweep
from asr.progress import say
from asr.report import commit
from asr.speech import SpeechTask
from asr.stages import data_prep, decode, language_model, score, train, tune
from asr.stages.workplace import Workplace


class Stage(Protocol):
    """What each module of `asr.stages` that is named here has."""

    def inputs(self, place: Workplace) -> Table | None:
        """What the stage reads: settings, and files by their digests. None: it cannot be done, and need not be."""

    def work(self, place: Workplace) -> list[Path]:
        """Does it, and names the files that were written."""


WORK: dict[str, Stage] = {
    "data-prep": data_prep,
    "language-model": language_model,
    "train": train,
    "tune": tune,
    "decode": decode,
    "score": score,
}

STAGES = tuple(WORK)
"""In their order."""

OF_LANGUAGE_MODELS = ("language-model", "tune")
"""Those that a recipe without a language model has not."""

SHARED_STAGES = ("train", "decode")
"""Those in which several processes work together; the others are the first one's."""


class Experiment(Workplace):
    """A recipe at work in its folder, stage by stage."""

    def run(self, first: str = STAGES[0], last: str = STAGES[-1], force: bool = False) -> None:
        """Runs the stages from `first` to `last`, except those whose inputs have not changed.

        Raises:
            AsrError: A stage cannot be done, or another run is at work in the folder; the earlier stages stay done.
        """
        stages = self._between(first, last)
        with locked(self.folder) if self.processes.first else nullcontext():
            if self.processes.first:
                sweep(self.folder)
            for name in stages:
                self._run_stage(name, force and not restarted())

    def check(self) -> None:
        """As `asr.stages.train.check`."""
        train.check(self)

    def task(self) -> SpeechTask:
        """As `asr.stages.train.task_of`."""
        return train.task_of(self)

    def _between(self, first: str, last: str) -> list[str]:
        """The recipe's stages from one to another.

        Raises:
            ConfigError: There is no such stage, or not in this recipe; or the first comes after the last.
        """
        start, end = _stage(first), _stage(last)
        if start > end:
            raise ConfigError(f"--from {first} comes after --to {last}; the stages are {', '.join(STAGES)}")
        missing = () if self.recipe.config.language_model.texts else OF_LANGUAGE_MODELS
        for option, name in (("--from", first), ("--to", last)):
            if name in missing:
                hint = "its table [language_model] would name the texts for one"
                raise ConfigError(f"{option} {name}: {self.recipe.name} has no language model; {hint}")
        return [name for name in STAGES[start : end + 1] if name not in missing]

    def _run_stage(self, name: str, force: bool) -> None:
        now = self.processes.from_first(lambda: self._begin(name, force))
        if now is None:
            return
        work = WORK[name].work
        written = work(self) if name in SHARED_STAGES else self.processes.from_first(lambda: work(self))
        if self.processes.first:
            origin = {"command": self.command, "commit": commit(), "hardware": self.hardware}
            self.records.end(name, now, written, **origin)

    def _begin(self, name: str, force: bool) -> Table | None:
        """What the stage reads, when there is something to do; else None."""
        before, now = self.records.last(name), WORK[name].inputs(self)
        if now is None:
            return None
        if before and not force:
            changes = self.records.changes(name, now)
            if not changes:
                say(f"{name}: up to date")
                return None
            say(f"{name}: again, because {_changes_in_words(changes)}")
        if before or force:
            self.records.begin(name)
            if name == "train":  # what is left of an earlier one is not taken up
                self.state.unlink(missing_ok=True)
        return now


def _stage(name: str) -> int:
    if name not in STAGES:
        raise ConfigError(f"unknown stage {name!r}{nearest(name, STAGES)}")
    return STAGES.index(name)


def _changes_in_words(changes: list[str]) -> str:
    shown = [change if len(change) < 80 else f"{change.split()[0]} changed" for change in changes[:3]]
    return ", ".join(shown) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")
