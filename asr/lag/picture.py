"""What came out, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr.files import writing
from asr.lag.gradient import CAROUSEL
from asr.lag.report import Row
from asr.lag.tasks import TASKS
from asr.lag.trial import LagConfig

INK = "#808890"
"""Stands out against a white page and a dark one, as do the colours."""

COLORS = {
    "rnn": "#d1495b",
    "lstm_1997": "#e08a1e",
    "lstm": "#2a8fc8",
    "lstm_peephole": "#6a7fd8",
    "gru": "#3a9a5b",
    "transformer": "#b04a9f",
    CAROUSEL: "#e08a1e",
}


def draw(rows: Sequence[Row], gradients: Mapping[str, Sequence[float]], config: LagConfig, path: Path) -> bool:
    """Writes a picture 1200 pixels wide: the gradient by lag, and the longest lag that each encoder learned.

    Returns:
        False without the extra `plot`.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    figure.patch.set_alpha(0)
    left, right = figure.subplots(1, 2)
    _draw_gradients(left, gradients)
    _draw_lags(right, rows, config)
    for axes in (left, right):
        axes.patch.set_alpha(0)
        axes.tick_params(colors=INK, which="both")
        axes.grid(axis="both" if axes is left else "x", color=INK, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[:].set_color(INK)
        axes.spines[["top", "right"]].set_visible(False)
    with writing(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120)
    return True


def _draw_gradients(axes: Any, gradients: Mapping[str, Sequence[float]]) -> None:
    """A line for each encoder from lag 1 on, with its name at the end."""
    for name, shares in gradients.items():
        style = "--" if name == CAROUSEL else "-"
        axes.plot(range(1, len(shares)), shares[1:], style, color=COLORS[name], linewidth=1.8)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    last = {name: shares[-1] for name, shares in gradients.items()}
    for (name, end), at in zip(last.items(), _apart(list(last.values()), (high / low) ** 0.05), strict=True):
        text = "lstm_1997, carousel alone" if name == CAROUSEL else name
        place = {"xy": (1, end), "xytext": (1.03, at), "xycoords": ("axes fraction", "data"), "va": "center"}
        line = {"arrowstyle": "-", "color": COLORS[name], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        axes.annotate(text, **place, color=COLORS[name], textcoords=("axes fraction", "data"), arrowprops=line)
    axes.set_xlim(1, max(map(len, gradients.values())) - 1)
    axes.set_xlabel("steps back", color=INK)
    axes.set_title("Gradient before training, relative to one step back", color=INK, fontsize=11)


def _draw_lags(axes: Any, rows: Sequence[Row], config: LagConfig) -> None:
    """A bar for each encoder, task by task, with its name at the end."""
    places, titles, foot = [], [], config.lags[0] / 2
    axes.set_xscale("log")
    for number, task in enumerate(config.tasks):
        top = number * (len(rows) + 1.2)
        places.append(top + (len(rows) - 1) / 2)
        titles.append(TASKS[task].title.replace(" ", "\n", 1))
        for place, row in enumerate(rows):
            found = row.findings[task]
            lag = found.lag or "none"
            text = f" {row.encoder}, {lag}{'' if found.failed_beyond else '+'}"
            end = max(found.lag, foot)
            axes.barh(top + place, end - foot, left=foot, height=0.75, color=COLORS[row.encoder])
            axes.text(end, top + place, text, va="center", color=COLORS[row.encoder], fontsize=9)
    axes.set_xlim(foot, config.lags[-1] * (config.lags[-1] / foot) ** 0.6)  # room for a name
    axes.set_xticks(config.lags, [str(lag) for lag in config.lags])
    axes.set_xticks([], minor=True)
    axes.set_yticks(places, titles)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlabel("lag, steps", color=INK)
    axes.set_title("Longest lag learned", color=INK, fontsize=11)


def _apart(values: Sequence[float], factor: float) -> list[float]:
    """The values, moved up where needed so that each is at least so many times the next lower one."""
    moved = list(values)
    lower = 0.0
    for index in sorted(range(len(values)), key=lambda index: values[index]):
        moved[index] = max(values[index], lower * factor)
        lower = moved[index]
    return moved
