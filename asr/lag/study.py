"""The whole study in a folder: `trials.jsonl`, `settings.json`, `RESULTS.md` and a picture.

A trial that has ended is not run again, also after a kill, unless settings change that it depends on.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from asr.config import build, differences, settings, to_table
from asr.device import describe
from asr.errors import Interrupted
from asr.files import locked, read_json, read_json_lines, sweep, write_json, write_json_lines, writing
from asr.lag.gradient import CAROUSEL, carousel_by_lag, gradient_by_lag
from asr.lag.picture import draw
from asr.lag.report import Row, page
from asr.lag.search import Outcomes, carry_out, finding
from asr.lag.trial import LagConfig, Outcome, Trial, network_for
from asr.model import Encoder, parameter_count
from asr.progress import bar, say, track
from asr.report import commit

PICTURE = "long_lag.png"


@settings
class _Line:
    """Of `trials.jsonl`."""

    trial: Trial
    outcome: Outcome


def run_study(name: str, config: LagConfig, folder: Path, command: str, force: bool = False) -> None:
    """Runs what trials are needed and writes the results.

    As many trials run at once as PyTorch may have threads.

    Raises:
        Interrupted: Ctrl-C; what has ended is kept.
        AsrError: Another run is at work in the folder, or it cannot be written.
    """
    with locked(folder):
        sweep(folder)
        outcomes = _known(config, folder, force)
        before = len(outcomes)
        workers = torch.get_num_threads()
        try:
            with bar(name, len(config.tasks) * len(config.encoders) * len(config.lags)) as advance:
                for trial, outcome in carry_out(config, outcomes.copy(), workers, advance):
                    outcomes[trial] = outcome
                    _write(outcomes, folder)
        except KeyboardInterrupt:
            raise Interrupted(f"{name}: stopped after {len(outcomes)} trials: the same command goes on there") from None
        say(f"{name}: {len(outcomes) - before} trials run, {before} known from before")
        gradients: dict[str, list[float]] = {}
        for encoder in track(config.encoders, "gradients"):
            gradients[encoder] = gradient_by_lag(encoder, config)
        rows = [_row(encoder, config, outcomes, gradients[encoder][-1]) for encoder in config.encoders]
        if "lstm_1997" in config.encoders:
            gradients[CAROUSEL] = carousel_by_lag(config)
        _report(name, config, rows, gradients, outcomes, folder, command)


def _known(config: LagConfig, folder: Path, force: bool) -> Outcomes:
    """The trials that have ended before with the same settings."""
    path, trials = folder / "settings.json", folder / "trials.jsonl"
    now = to_table(config.trial)
    if trials.exists() and path.exists():
        changes = ["--force"] if force else differences(read_json(path), now)
        if not changes:
            lines = [build(_Line, line, f"{trials}:{n}") for n, line in enumerate(read_json_lines(trials), start=1)]
            return {line.trial: line.outcome for line in lines}
        say(f"all trials again, because {', '.join(changes)}")
    trials.unlink(missing_ok=True)
    write_json(path, now)
    return {}


def _write(outcomes: Outcomes, folder: Path) -> None:
    write_json_lines(
        folder / "trials.jsonl",
        ({"trial": asdict(trial), "outcome": asdict(outcome)} for trial, outcome in outcomes.items()),
    )


def _row(encoder: Encoder, config: LagConfig, outcomes: Outcomes, gradient: float) -> Row:
    networks = [network_for(task, encoder, config.trial.parameters, 0) for task in config.tasks]
    return Row(
        encoder,
        [network.hidden for network in networks],
        [parameter_count(network) for network in networks],
        [network.operations(config.gradient_lag) for network in networks],
        {task: finding(task, encoder, config, outcomes) for task in config.tasks},
        gradient,
    )


def _report(
    name: str,
    config: LagConfig,
    rows: list[Row],
    gradients: Mapping[str, list[float]],
    outcomes: Outcomes,
    folder: Path,
    command: str,
) -> None:
    drawn = draw(rows, gradients, config, folder / PICTURE)
    needed = sum(outcome.cpu_s for outcome in outcomes.values())
    facts = {
        "Command": f"`{command}`",
        "Commit": commit(),
        "Hardware": describe(torch.device("cpu")),
        "Trials": f"{len(outcomes)}, {needed / 60:.0f} minutes of one core in all",
        "Date": time.strftime("%Y-%m-%d"),
    }
    with writing(folder / "RESULTS.md") as stream:
        stream.write(page(name, config, rows, facts, PICTURE if drawn else ""))
    say(f"{name}: {folder / 'RESULTS.md'}")
