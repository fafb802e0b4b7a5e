"""Variants of a recipe side by side: each is an experiment of its own, in a folder of its own."""

from dataclasses import dataclass
from pathlib import Path

from asr.experiment import STAGES, Experiment
from asr.progress import say
from asr.recipe import Recipe


@dataclass(frozen=True)
class Comparison:
    """The variants of a recipe at work, each in the folder of its name."""

    recipe: Recipe
    folder: Path
    experiments: dict[str, Experiment]
    """Those that were chosen, by name."""

    def run(self, first: str = STAGES[0], last: str = STAGES[-1], force: bool = False) -> None:
        """As `Experiment.run`, one variant after the other; what is done already is not done again.

        Raises:
            AsrError: As there; the variants before stay done.
        """
        for name, experiment in self.experiments.items():
            say(f"variant {name}:")
            experiment.run(first, last, force)

    def check(self) -> None:
        """As `Experiment.check`, one variant after the other."""
        for name, experiment in self.experiments.items():
            say(f"variant {name}:")
            experiment.check()
