"""Pages that need nothing beside them: one HTML file made of a template, its style and script, data and sounds."""

import base64
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from asr.files import writing

HERE = "<!-- data -->"
"""Where a template takes its data."""


def write_page(path: Path, template: Path, data: str, sounds: Iterable[tuple[str, bytes]] = ()) -> None:
    """Writes a page of a template, whose style and script lie beside it as `.css` and `.js`.

    The data is in the element `data`, each sound in that of its name.

    Args:
        data: As `dumped` gives it.
        sounds: Names, and what `embedded` makes of them.

    Raises:
        AsrError: It cannot be written; names it.
    """
    markup, style, script = (template.with_suffix(kind).read_text("utf-8") for kind in (".html", ".css", ".js"))
    page = markup.replace("/* style */\n", style).replace("/* script */\n", script)
    before, after = page.split(HERE)
    with writing(path, "wb") as stream:
        stream.write(f'{before}<script type="application/json" id="data">{data}</script>\n'.encode(errors="replace"))
        for name, sound in sounds:
            stream.write(b'<script type="text/plain" id="%b">%b</script>\n' % (name.encode(), sound))
        stream.write(after.encode())


def dumped(content: Mapping[str, Any]) -> str:
    """JSON in which nothing can end the element that it stands in, whatever the texts hold."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def embedded(waveform: NDArray[np.float32], sample_rate_hz: int) -> bytes:
    """A sound of one channel as FLAC of 16 bits, in base64: at 16 kHz about 1.5 MB for a minute."""
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, sample_rate_hz, "PCM_16", format="FLAC")
    return base64.b64encode(buffer.getvalue())
