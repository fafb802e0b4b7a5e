"""An inspection as a picture: panels above each other that share the time."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from asr.errors import AsrError
from asr.files import writing
from asr.inspection.arrays import Floats, Inspection, View, value_range

WIDTH_PX, DPI = 1200, 100

PANEL_IN, GAP_IN = 0.95, 0.24
"""The height of a panel of height 1, and of what lies between two."""

SCALE = "0.4"
"""The grey of what explains."""

MEL_HZ = (250, 500, 1000, 2000, 4000)
"""Where the axis of the features has its marks."""

PANEL_PX = 1080
"""The width of a panel."""

LABEL_PX, LETTER_PX = 9, 7.4
"""The width of a token above its spike, and of a letter of a word below."""

ROWS = 4
"""Labels that would lie on each other are put into so many rows."""


def require_matplotlib() -> None:
    """Raises `AsrError` where pictures cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise AsrError("a picture needs matplotlib: pip install 'asr[plot]'; --html and --npz do without")


def draw_inspection(inspection: Inspection, path: Path) -> None:
    """Writes a PNG, 1200 pixels wide: sound, features, the first view, probabilities of the tokens, words.

    Raises:
        AsrError: There is no matplotlib, or the file cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure  # not pyplot, which looks for a screen

    view = inspection.views[0]
    heights = [0.5, 1.1, *([3.2] if view.attention is not None else []), *(1.05 for _ in view.maps), 1.4, 0.6]
    height = PANEL_IN * sum(heights) + GAP_IN * len(heights) + 0.8
    figure = Figure(figsize=(WIDTH_PX / DPI, height), dpi=DPI)
    place = {"left": 0.05, "right": 0.965, "top": 1 - 0.6 / height, "bottom": 0.45 / height, "wspace": 0.02}
    gap = GAP_IN / (PANEL_IN * sum(heights) / len(heights))
    grid = figure.add_gridspec(len(heights), 2, width_ratios=[1, 0.012], height_ratios=heights, hspace=gap, **place)
    panels = [figure.add_subplot(grid[row, 0]) for row in range(len(heights))]
    scales = [figure.add_subplot(grid[row, 1]) for row in range(len(heights))]
    title = f"{_short(inspection.source)}: {caption(inspection, view)}"
    figure.text(0.05, 1 - 0.13 / height, title, va="top", size=11, parse_math=False)
    _draw_waveform(panels[0], inspection)
    _draw_features(panels[1], scales[1], inspection)
    if view.attention is not None:
        _draw_attention(panels[2], scales[2], inspection, view.attention)
    first = len(panels) - 2 - len(view.maps)
    for axes, scale, (name, values) in zip(panels[first:-2], scales[first:-2], view.maps.items(), strict=True):
        _draw_map(axes, scale, name, values, inspection.frame_s)
    _draw_tokens(panels[-2], inspection)
    _draw_words(panels[-1], inspection)
    _arrange(panels, scales, inspection)
    with writing(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, pil_kwargs={"optimize": True})


def caption(inspection: Inspection, view: View) -> str:
    """What a view shows, in words."""
    layer = f"layer {view.layer} of {inspection.config.layers}, {inspection.config.encoder}"
    direction = f", {view.direction}" if view.direction else ""
    units = f"all {view.of}" if len(view.units) == view.of else f"{len(view.units)} of {view.of}"
    return f"{layer}{direction}; {units} units, ordered by when their outputs peak"


def rows_of(starts: Sequence[float], ends: Sequence[float], rows: int = ROWS) -> list[int]:
    """For labels from left to right, the first row in which each has room; where none has, the one with the most.

    >>> rows_of([0, 1, 3], [2, 4, 5])
    [0, 1, 0]
    """
    until = [-np.inf] * rows
    found = []
    for start, end in zip(starts, ends, strict=True):
        row = next((row for row in range(rows) if until[row] <= start), int(np.argmin(until)))
        until[row] = end
        found.append(row)
    return found


def _draw_waveform(axes: Any, inspection: Inspection) -> None:
    """The least and the most of the samples in each pixel."""
    samples = inspection.waveform
    starts = np.unique(np.linspace(0, len(samples) - 1, min(WIDTH_PX, len(samples))).astype(int))
    times_s = starts / inspection.sample_rate_hz
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    axes.fill_between(times_s, low, high, color="0.25", linewidth=0.5)
    most = max(0.01, float(np.abs(samples).max()))
    axes.set_ylim(-most, most)
    _title(axes, "sound")


def _draw_features(axes: Any, scale: Any, inspection: Inspection) -> None:
    low, high = np.quantile(inspection.features, (0.01, 0.995))
    _draw_image(axes, scale, inspection.features, inspection.hop_s, "magma", low, high)
    marks = [hertz for hertz in MEL_HZ if inspection.mel_hz[0] <= hertz <= inspection.mel_hz[-1]]
    bins = np.interp(marks, inspection.mel_hz, np.arange(len(inspection.mel_hz)))
    axes.set_yticks(bins, [f"{hertz / 1000:g}" for hertz in marks])
    axes.set_ylabel("kHz")
    _title(axes, "log-mel features, normalised")


def _draw_attention(axes: Any, scale: Any, inspection: Inspection, attention: Floats) -> None:
    end_s = (len(attention) - 0.5) * inspection.frame_s
    image = axes.imshow(
        attention.T, extent=(-0.5 * inspection.frame_s, end_s, -0.5 * inspection.frame_s, end_s), origin="lower",
        aspect="auto", interpolation="nearest", cmap="viridis", vmin=0, vmax=np.quantile(attention, 0.999),
    )  # fmt: skip
    axes.set_ylabel("attended to, s")
    _title(axes, "attention: where the frame at each moment looks")
    axes.figure.colorbar(image, cax=scale)


def _draw_map(axes: Any, scale: Any, name: str, values: Floats, frame_s: float) -> None:
    low, high = value_range(name, values)
    _draw_image(axes, scale, values, frame_s, "RdBu_r" if low < 0 else "viridis", low, high)
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.set_ylabel("units")
    _title(axes, "cell state" if name == "cell" else name)


def _draw_image(axes: Any, scale: Any, values: Floats, step_s: float, colours: str, low: float, high: float) -> None:
    """(steps, rows) values, each step centred at its time."""
    extent = (-0.5 * step_s, (len(values) - 0.5) * step_s, -0.5, values.shape[1] - 0.5)
    image = axes.imshow(
        values.T,
        extent=extent,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=low,
        vmax=high,
    )
    axes.figure.colorbar(image, cax=scale)


def _draw_tokens(axes: Any, inspection: Inspection) -> None:
    """The probabilities of the tokens of the best path, with the tokens above their spikes; the blank's in grey."""
    probabilities, frame_s = np.exp(inspection.log_probabilities), inspection.frame_s
    times_s = np.arange(len(probabilities)) * frame_s
    axes.fill_between(times_s, probabilities[:, 0], color="0.9", linewidth=0, label="blank")
    colours = {
        token: f"C{place % 10}" for place, token in enumerate(sorted({span.token for span in inspection.tokens}))
    }
    for token, colour in colours.items():
        axes.plot(times_s, probabilities[:, token], color=colour, linewidth=1)
    peaks = [span.start + int(probabilities[span.start : span.end, span.token].argmax()) for span in inspection.tokens]
    half_s = LABEL_PX / 2 * inspection.duration_s / PANEL_PX
    rows = rows_of([peak * frame_s - half_s for peak in peaks], [peak * frame_s + half_s for peak in peaks])
    for span, peak, row in zip(inspection.tokens, peaks, rows, strict=True):
        text = inspection.spellings[span.token].replace(" ", "\N{OPEN BOX}")
        look = {"size": 8, "ha": "center", "va": "bottom", "clip_on": True, "parse_math": False}
        axes.text(peak * frame_s, 1.03 + 0.17 * row, text, color=colours[span.token], **look)
    axes.set_ylim(0, 1.22 + 0.17 * max(rows, default=0))
    axes.set_yticks([0, 0.5, 1])
    _title(axes, "CTC: probability of each token, of the blank in grey")


def _draw_words(axes: Any, inspection: Inspection) -> None:
    """The words, each below the bar from its start to its end."""
    letter_s = LETTER_PX * inspection.duration_s / PANEL_PX
    middles = [(word.start_s + word.end_s) / 2 for word in inspection.words]
    halves = [letter_s * (len(word.text) + 1) / 2 for word in inspection.words]
    edges = [(middle - half, middle + half) for middle, half in zip(middles, halves, strict=True)]
    rows = rows_of([start for start, _ in edges], [end for _, end in edges])
    for word, middle, row in zip(inspection.words, middles, rows, strict=True):
        axes.plot([word.start_s, word.end_s], [0, 0], color="C0", linewidth=4, solid_capstyle="butt")
        look = {"size": 9, "ha": "center", "va": "top", "clip_on": True, "parse_math": False}
        axes.text(middle, -0.35 - 0.75 * row, word.text, **look)
    axes.set_ylim(-1.1 - 0.75 * max(rows, default=0), 0.3)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _arrange(panels: Sequence[Any], scales: Sequence[Any], inspection: Inspection) -> None:
    """One time for all, and titles that take little room."""
    for axes in panels:
        axes.set_xlim(0, max(inspection.duration_s, inspection.frame_s))
        axes.tick_params(labelsize=8, color=SCALE, labelbottom=axes is panels[-1])
        axes.yaxis.label.set(size=8, color=SCALE)
        axes.spines[["top", "right"]].set_visible(False)
    for scale in scales:
        scale.tick_params(labelsize=7, color=SCALE)
        scale.set_visible(scale.has_data())
    panels[-1].set_xlabel(f"s, from {inspection.start_s:g} s on" if inspection.start_s else "s", size=8)


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, loc="left", size=9, pad=3)


def _short(source: str) -> str:
    return source if len(source) <= 60 else f"...{source[-57:]}"
