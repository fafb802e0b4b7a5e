"""What it costs to hear a long recording in windows: how far they are from the recording heard whole, by their context.

    python benchmarks/windows.py [MODEL RECORDINGS...] [--minutes 10] [--chunk 20] [--plot FILE.png]

Recordings, or all that lie in folders, are joined to one of so many minutes. A bidirectional LSTM begins anew in each
window; the context is what it hears on either side of the part that counts. Differences are between the model's
log-probabilities, and between its probabilities, of the same frame; edits are those between the two greedy transcripts.
Short windows are asked for, so that there are many seams.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.audio import Waveform, read
from asr.decoding import greedy
from asr.device import describe
from asr.errors import AudioError
from asr.metrics import count_errors
from asr.recognizer import Recognizer, load

CONTEXTS_S = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
SUFFIXES = {".flac", ".wav", ".mp3", ".opus", ".ogg", ".m4a"}

LINES = (
    ("largest_log", "largest difference of log-probabilities", "#2a7fb8", "o"),
    ("mean_log", "mean difference of log-probabilities", "#2a7fb8", "s"),
    ("largest", "largest difference of probabilities", "#d1662b", "o"),
    ("mean", "mean difference of probabilities", "#d1662b", "s"),
    ("other_tokens", "share of frames with another best token", "#3a9a5b", "D"),
    ("edit_rate", "share of characters edited", "#b04a8f", "^"),
)
INK = "#808890"
"""Stands out against a white page and a dark one."""


@dataclass(frozen=True)
class Difference:
    """Between windows with some context and the whole."""

    context_s: float
    largest_log: float
    mean_log: float
    largest: float
    mean: float
    other_tokens: float
    """Share of the frames whose best token is another."""
    edits: int
    characters: int

    @property
    def edit_rate(self) -> float:
        return self.edits / max(1, self.characters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=Path("exp/numbers/model"))
    parser.add_argument("recordings", type=Path, nargs="*", default=[Path("exp/numbers/data/audio/dev")])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--chunk", type=float, default=20.0, help="seconds of a window that count")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    if not options.model.is_dir():
        parser.exit(message=f"{options.model} is not there: name a model, or run 'asr run numbers' first\n")
    recognizer = load(options.model, options.device, greedy=True)
    waveform = joined(options.recordings, 60 * options.minutes, recognizer.sample_rate_hz)
    duration_s = len(waveform) / recognizer.sample_rate_hz
    print(f"{duration_s / 60:.1f} minutes in windows of {options.chunk:g} s and a context on either side")
    print(f"{describe(recognizer.device)}; frames of {recognizer.frame_s * 1e3:g} ms")
    print("context  |log p|: largest    mean    |p|: largest    mean   other tokens  characters edited")
    found = []
    for difference in differences(recognizer, waveform, options.chunk):
        found.append(difference)
        print(
            f"{difference.context_s:5g} s {difference.largest_log:14.4f} {difference.mean_log:11.6f} "
            f"{difference.largest:9.4f} {difference.mean:11.7f} {difference.other_tokens:10.4%} "
            f"{difference.edits:8} of {difference.characters}",
            flush=True,
        )
    if options.plot:
        draw(found, options.chunk, options.plot)


def joined(paths: Sequence[Path], duration_s: float, sample_rate_hz: int) -> Waveform:
    """(samples,) of the recordings one after the other, as far as they are needed."""
    parts: list[Waveform] = []
    left = round(duration_s * sample_rate_hz)
    for path in recordings(paths):
        parts.append(read(path, sample_rate_hz)[:left])
        left -= len(parts[-1])
        if left <= 0:
            break
    if not parts:
        raise AudioError(f"{', '.join(map(str, paths))}: no recordings found")
    return np.concatenate(parts)


def recordings(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (found for found in sorted(path.rglob("*")) if found.suffix in SUFFIXES)
        else:
            yield path


def differences(recognizer: Recognizer, waveform: Waveform, chunk_s: float) -> Iterator[Difference]:
    """One for each context."""
    rate = recognizer.sample_rate_hz
    whole = recognizer.matrix(waveform, rate, window_s=len(waveform) / rate)
    text = recognizer.checkpoint.vocabulary.decode(greedy(whole))
    for context_s in CONTEXTS_S:
        cut = recognizer.matrix(waveform, rate, chunk_s, context_s)
        errors = count_errors(text, recognizer.checkpoint.vocabulary.decode(greedy(cut)))
        yield Difference(
            context_s,
            *largest_and_mean(whole - cut),
            *largest_and_mean(np.exp(whole) - np.exp(cut)),
            float((whole.argmax(1) != cut.argmax(1)).mean()),
            errors.character_errors,
            errors.characters,
        )


def largest_and_mean(differences: NDArray[Any]) -> tuple[float, float]:
    sizes = np.abs(differences)
    return float(sizes.max()), float(sizes.mean())


def draw(found: Sequence[Difference], chunk_s: float, path: Path) -> None:
    """A picture of 1200 pixels in width: the differences by context, in logarithms."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    for name, label, color, marker in LINES:
        points = [(each.context_s, getattr(each, name)) for each in found if getattr(each, name) > 0]
        axes.plot(*zip(*points, strict=True), marker=marker, markersize=5, color=color, label=label)
    axes.set_yscale("log")
    axes.set_xlabel("context on either side, s", color=INK)
    axes.set_title(f"Windows of {chunk_s:g} s against the recording heard whole", color=INK)
    axes.tick_params(colors=INK, which="both")
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    axes.spines[:].set_color(INK)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=120)


if __name__ == "__main__":
    main()
