"""Variants of a recipe: each is an experiment of its own, in a folder of its own, and all are shown side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr.checkpoint import load_model
from asr.config import build, to_table
from asr.costs import BATCHES, TURNS, Costs, measure
from asr.device import choose, describe
from asr.distributed import Processes
from asr.experiment import STAGES, Experiment
from asr.files import digest, locked, read_json, write_json, writing
from asr.progress import say
from asr.recipe import Recipe
from asr.report import commit
from asr.scoring.figures import FILE as RESULTS
from asr.scoring.figures import read_results
from asr.side_by_side import Candidate, draw, page

COSTS, PICTURE = "costs.json", "comparison.png"
"""What is written beside RESULTS.md, in the folder that has the variants' own."""


@dataclass(frozen=True)
class Comparison:
    """The variants of a recipe at work, each in the folder of its name."""

    recipe: Recipe
    folder: Path
    experiments: dict[str, Experiment]
    """All, by name, in the order of the recipe."""
    chosen: Sequence[str]

    def run(self, first: str = STAGES[0], last: str = STAGES[-1], force: bool = False) -> None:
        """As `Experiment.run`, one variant after the other; after scoring, all that have results are compared.

        Raises:
            AsrError: As there; the variants before stay done.
        """
        for name in self.chosen:
            say(f"variant {name}:")
            self.experiments[name].run(first, last, force)
        if last == STAGES[-1]:
            self._processes.from_first(self.compare)

    def check(self) -> None:
        """As `Experiment.check`, one variant after the other."""
        for name in self.chosen:
            say(f"variant {name}:")
            self.experiments[name].check()

    def compare(self) -> None:
        """Writes RESULTS.md, its picture, and the costs, which are measured again only for other models.

        Raises:
            AsrError: Another run is at work on it, or a variant's files are damaged.
        """
        scored = {name: it for name, it in self.experiments.items() if (it.folder / RESULTS).is_file()}
        if missing := [name for name in self.experiments if name not in scored]:
            say(f"compare: no results yet of {', '.join(missing)}")
        if not scored:
            return
        with locked(self.folder):
            costs, measured = self._costs(scored)
            candidates = [_candidate(name, it, costs[name]) for name, it in scored.items()]
            splits = self.recipe.config.splits.test or self.recipe.config.splits.dev
            shown = [split for split in splits if any(each.figures(split) for each in candidates)]
            drawn = draw(candidates, shown, self.folder / PICTURE)
            with writing(self.folder / "RESULTS.md") as stream:
                stream.write(page(self.recipe.name, candidates, shown, measured, PICTURE if drawn else ""))
        say(f"compare: {self.folder / 'RESULTS.md'}")

    def _costs(self, scored: dict[str, Experiment]) -> tuple[dict[str, Costs], dict[str, str]]:
        """The costs of each by name, and how they were measured."""
        path = self.folder / COSTS
        models = {name: digest(it.folder / "model" / "config.json") for name, it in scored.items()}
        record: dict[str, Any] = read_json(path) if path.exists() else {}
        if record.get("models") != models:
            measured = measure({name: replace(it, processes=Processes()).task() for name, it in scored.items()})
            how = (
                f"{describe(choose(self._one.device))}, commit {commit()}, in turns over {BATCHES} batches of training "
                f"speech, each at its quickest of {TURNS} times"
            )
            costs = {name: to_table(cost) for name, cost in measured.items()}
            record = {"models": models, "facts": {"Costs measured on": how}, "costs": costs}
            write_json(path, record)
        return {name: build(Costs, cost, str(path)) for name, cost in record["costs"].items()}, record["facts"]

    @property
    def _one(self) -> Experiment:
        return next(iter(self.experiments.values()))

    @property
    def _processes(self) -> Processes:
        return self._one.processes


def _candidate(name: str, experiment: Experiment, costs: Costs) -> Candidate:
    trained = load_model(experiment.folder / "model")
    return Candidate(
        name, trained.model.config.encoder, read_results(experiment.folder / RESULTS), costs, trained.config
    )
