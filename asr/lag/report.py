"""What came out, in words: RESULTS.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asr.lag.network import FEED_FORWARD, HEADS, LAYERS
from asr.lag.search import GIVE_UP, Finding
from asr.lag.tasks import TASKS
from asr.lag.trial import LagConfig, TaskName
from asr.model import ENCODERS, Encoder


@dataclass(frozen=True)
class Row:
    """All about one encoder; figures that depend on the task stand for one task each."""

    encoder: Encoder
    units: Sequence[int]
    parameters: Sequence[int]
    operations: Sequence[int]
    """Multiply-accumulates a step."""
    findings: Mapping[TaskName, Finding]
    gradient: float
    """What of it comes back over the longest lag that is looked at, relative to that over 1."""


def page(name: str, config: LagConfig, rows: Sequence[Row], facts: Mapping[str, str], picture: str) -> str:
    """RESULTS.md; `picture` is a file beside it, or empty."""
    lines = [f"# Results of {name}", "", *table(config, rows), "", *explanation(config, rows), ""]
    if picture:
        lines += [f"![Gradient by lag, and the longest lag learned]({picture})", ""]
    return "\n".join([*lines, "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items()), ""])


def table(config: LagConfig, rows: Sequence[Row]) -> list[str]:
    """One line for each encoder."""
    titles = [TASKS[task].title for task in config.tasks]
    heads = ["encoder", "year", "units", "parameters", "operations a step", *titles]
    heads.append(f"gradient at lag {config.gradient_lag}")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        cells = [
            f"`{row.encoder}`",
            str(ENCODERS[row.encoder].year),
            *map(_range, (row.units, row.parameters, row.operations)),
        ]
        cells += [in_words(row.findings[task], config) for task in config.tasks]
        lines.append(f"| {' | '.join([*cells, f'{row.gradient:.1e}'])} |")
    return lines


def explanation(config: LagConfig, rows: Sequence[Row]) -> list[str]:
    """What the table means, with the settings that it was made with."""
    trial = config.trial
    rates = ", ".join(f"{rate:g}" for rate in config.learning_rates)
    lines = [
        f"For each task, the longest lag learned, of {', '.join(map(str, config.lags))}, and by how many seeds. "
        f"A trial learns a lag when, within {trial.sequences:,} sequences, {trial.share_right:.0%} of {trial.held_out} "
        f"new ones are answered rightly; a lag counts when {config.majority} of {config.seeds} seeds learn it with the "
        f"same learning rate, of {rates}. After {GIVE_UP} lags in a row that are not learned, longer "
        "ones are not tried. A plus says that the longest of all was learned.",
        "",
        f"All networks have at most {trial.parameters:,} parameters, the readout included; figures that differ by task "
        "are given from the least to the most. Operations are multiplications with a weight, and for the Transformer "
        f"those of attention at step {config.gradient_lag}. The gradient is that of the last output with respect to an "
        f"input, before training, relative to lag 1; mean over {config.seeds} seeds.",
    ]
    if any(row.encoder == "transformer" for row in rows):
        lines[-1] += (
            f" The Transformer has {LAYERS} layers of {HEADS} heads, a feed-forward width of {FEED_FORWARD} times its "
            "own, and sees no later step."
        )
    return lines


def in_words(finding: Finding, config: LagConfig) -> str:
    """A cell of the table."""
    if not finding.lag:
        return "none"
    return f"{finding.lag}{'' if finding.failed_beyond else '+'} ({finding.seeds} of {config.seeds})"


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
