"""An inspection as a page to move about in: one HTML file that needs nothing beside it.

Arrays go in as bytes, 0 to 255 for the range that they are drawn in.
"""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from asr.audio import Waveform, resample
from asr.files import writing
from asr.inspection.arrays import Floats, Inspection, View, value_range

TEMPLATE = Path(__file__).with_name("page.html")
"""Its style and its script lie beside it."""

HERE = "<!-- data -->"
"""Where the template takes its data."""

MOST_BYTES = 5_000_000
"""Views beyond the first are left out of a page that would be larger."""

PIXELS = 1200
"""So many columns a waveform has at most ..."""

ATTENTION_PIXELS = 400
"""... and attention rows and columns."""

LEAST_PROBABILITY = 0.01
"""Tokens that never reach it are left out."""

Json = dict[str, Any]


def write_page(inspection: Inspection, path: Path) -> int:
    """Writes the page, with the sound in it.

    Returns:
        How many views were left out, for the page would have become too large.

    Raises:
        AsrError: It cannot be written; names it.
    """
    sound = _flac(inspection.waveform, inspection.sample_rate_hz)
    first, *others = (_dumped(_view(view)) for view in inspection.views)
    start = _dumped(_heard(inspection))
    fits = len(sound) + len(start) + len(first) + sum(map(len, others)) <= MOST_BYTES
    views = ",".join([first, *(others if fits else [])])
    before, after = _template()
    with writing(path, "wb") as stream:
        content = f'{start[:-1]},"views":[{views}]}}'
        stream.write(f'{before}<script type="application/json" id="data">{content}</script>\n'.encode(errors="replace"))
        stream.write(b'<script type="text/plain" id="sound">%b</script>\n' % sound)
        stream.write(after.encode())
    return 0 if fits else len(others)


def packed(values: NDArray[Any], low: float, high: float) -> str:
    """Values as bytes, 0 for `low` and less, 255 for `high` and more, row after row, in base64."""
    scaled = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    return base64.b64encode(np.round(255 * scaled).astype(np.uint8).tobytes()).decode()


def _template() -> list[str]:
    """What comes before the data, and what after."""
    markup, style, script = (TEMPLATE.with_suffix(kind).read_text("utf-8") for kind in (".html", ".css", ".js"))
    return markup.replace("/* style */\n", style).replace("/* script */\n", script).split(HERE)


def _dumped(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _heard(inspection: Inspection) -> Json:
    """All but the views."""
    low, high = np.quantile(inspection.features, (0.01, 0.995)).tolist()
    return {
        "source": inspection.source,
        "model": inspection.model,
        "encoder": inspection.config.encoder,
        "start": inspection.start_s,
        "duration": inspection.duration_s,
        "frame": inspection.frame_s,
        "sound": _envelope(inspection.waveform),
        "features": _map("", inspection.features, low, high) | {"step": inspection.hop_s},
        "hertz": [round(hertz) for hertz in inspection.mel_hz.tolist()],
        "tokens": _tokens(inspection),
        "words": [
            (word.text, round(word.start_s, 3), round(word.end_s, 3), round(word.confidence, 3))
            for word in inspection.words
        ],
    }


def _envelope(waveform: Waveform) -> Json:
    """The least and the most of the samples in each column, and the largest magnitude."""
    starts = np.unique(np.linspace(0, len(waveform) - 1, min(PIXELS, len(waveform))).astype(int))
    most = max(0.01, float(np.abs(waveform).max()))
    bounds = [np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)]
    return _map("", np.stack(bounds, axis=1), -most, most)


def _tokens(inspection: Inspection) -> Json:
    """The probabilities of the blank and of the tokens that have any, and the best path."""
    probabilities = np.exp(inspection.log_probabilities)
    on_path = {span.token for span in inspection.tokens}
    likely = set(np.flatnonzero(probabilities.max(0) >= LEAST_PROBABILITY).tolist())
    kept = [0, *sorted((likely | on_path) - {0})]
    path = [(kept.index(span.token), span.start, span.end) for span in inspection.tokens]
    spellings = ["blank", *(inspection.spellings[token] for token in kept[1:])]
    return _map("", probabilities[:, kept], 0.0, 1.0) | {"spellings": spellings, "path": path}


def _view(view: View) -> Json:
    maps = [_map(name, values, *value_range(name, values)) for name, values in view.maps.items()]
    content: Json = {"layer": view.layer, "direction": view.direction, "units": view.units, "of": view.of, "maps": maps}
    if view.attention is not None:
        small = _pooled(view.attention)
        content["attention"] = _map("attention", small, 0.0, float(np.quantile(small, 0.999)))
    return content


def _map(name: str, values: NDArray[Any], low: float, high: float) -> Json:
    return {"name": name, "columns": values.shape[1], "low": low, "high": high, "data": packed(values, low, high)}


def _pooled(attention: Floats) -> NDArray[Any]:
    """Neighbouring rows and columns averaged until there are no more than `ATTENTION_PIXELS`."""
    count = len(attention)
    starts = np.unique(np.linspace(0, count, min(count, ATTENTION_PIXELS), endpoint=False).astype(int))
    sizes = np.diff(starts, append=count)
    sums = np.add.reduceat(np.add.reduceat(attention, starts, axis=0), starts, axis=1)
    means: NDArray[Any] = sums / np.outer(sizes, sizes)
    return means


def _flac(waveform: Waveform, sample_rate_hz: int) -> bytes:
    """The sound in base64."""
    rate = min(48_000, max(8_000, sample_rate_hz))  # which any browser plays
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(resample(waveform, sample_rate_hz, rate), -1, 1), rate, "PCM_16", format="FLAC")
    return base64.b64encode(buffer.getvalue())
