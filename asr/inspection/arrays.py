"""A recording as a model hears it: sound, features, what went on in a layer, log-probabilities, tokens, words.

Shapes: N samples, T feature frames, F mel bins, T' output frames, U units, V tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.alignment import Span, Word, greedy_spans
from asr.audio import Waveform, read_blocks
from asr.errors import AsrError
from asr.features import LogMel
from asr.files import writing
from asr.inspection.layers import Direction, Look, looked_into, looks
from asr.model import ModelConfig
from asr.recognizer import Recognizer

Floats = NDArray[np.float32]

STRETCH_S = 20.0
"""Of a recording, where no more is asked for."""

MOST_S = 60.0
"""At once."""

MOST_UNITS = 64
"""Of a layer, where none are named."""


@dataclass(frozen=True)
class View:
    """What went on in some units of a layer, in one direction."""

    layer: int
    """1 is the lowest."""
    direction: Direction | None
    """None: of a Transformer."""
    units: tuple[int, ...]
    """Their numbers, from 0, in the order in which their outputs peak."""
    of: int
    """So many the layer has in this direction."""
    maps: dict[str, Floats]
    """(T', U) by name, the units in the order of `units`: gates from 0 to 1, candidates and outputs from -1 to 1 (a
    Transformer's outputs beyond), memory cells (`cell`) of any size."""
    attention: Floats | None = None
    """(T', T'), a Transformer's: how much each frame, a row, attends to each; a row adds up to 1."""


@dataclass(frozen=True)
class Inspection:
    """A stretch of a recording as a model hears it."""

    source: str
    model: str
    config: ModelConfig
    start_s: float
    """Where in the recording the stretch begins; all other times count from there."""
    sample_rate_hz: int
    waveform: Waveform
    """(N,) in -1..1."""
    features: Floats
    """(T, F), normalised log-mel."""
    hop_s: float
    """From feature frame to feature frame."""
    mel_hz: Floats
    """(F,) where each bin is centred."""
    log_probabilities: Floats
    """(T', V), natural; token 0 is the blank."""
    frame_s: float
    """From output frame to output frame; the first is at the first sample."""
    spellings: tuple[str, ...]
    """(V,) what each token adds to a text."""
    tokens: tuple[Span, ...]
    """Of the best path."""
    words: tuple[Word, ...]
    views: tuple[View, ...]
    """The one that was asked for comes first."""

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate_hz


def read_stretch(
    path: Path, sample_rate_hz: int, start_s: float = 0.0, end_s: float | None = None
) -> tuple[Waveform, bool]:
    """A stretch of a recording, and whether there is more after it; without an end, the first `STRETCH_S`.

    Raises:
        AudioError: As `asr.audio.read`.
        AsrError: The stretch is empty or longer than `MOST_S`; names the recording.
    """
    wanted_s = STRETCH_S if end_s is None else end_s - start_s
    if not 0 < wanted_s <= MOST_S or start_s < 0:
        raise AsrError(
            f"{path}: {wanted_s:g} s from {start_s:g} s on were asked for; up to {MOST_S:g} s can be looked into"
        )
    if end_s is not None:
        return np.concatenate(list(read_blocks(path, sample_rate_hz, offset_s=start_s, duration_s=wanted_s))), False
    blocks = read_blocks(path, sample_rate_hz, wanted_s, start_s)
    return next(blocks), next(blocks, None) is not None


def inspect(
    recognizer: Recognizer,
    waveform: Waveform,
    source: str = "",
    start_s: float = 0.0,
    layer: int | None = None,
    direction: Direction | None = None,
    units: str = "auto",
    head: int | None = None,
    every: bool = False,
) -> Inspection:
    """What a model hears in a waveform, which is taken for a whole recording.

    Args:
        recognizer: Greedy, on the CPU.
        waveform: (N,) in -1..1, at the model's rate.
        source: What to call it.
        start_s: Where it begins in what it was taken from.
        layer: From 1; None: the highest.
        direction: Of recurrent layers; None: forward.
        units: Such as `0-31,40`; `auto`: those whose outputs vary most, up to `MOST_UNITS`.
        head: Of a Transformer's attention, from 1; None: the mean of all.
        every: With the views of all layers and directions, not just of the one.

    Raises:
        AsrError: No such layer, direction, unit or head; says what there is.
    """
    model, features = recognizer.checkpoint.model, recognizer.checkpoint.features
    layer, direction = _checked(model.config, layer, direction, head)
    chosen = parse_units(units, unit_count(model.config))
    frames = features_of(features, waveform)
    found = looks(looked_into(model), frames, None if every else layer, None if every else direction, head)
    found.sort(key=lambda look: (look.layer, look.direction) != (layer, direction))
    with torch.inference_mode():
        matrix = model(frames[None], torch.tensor([len(frames)]))[0][0].numpy()
    (reading,) = recognizer.reader.read([matrix], [len(waveform) / recognizer.sample_rate_hz])
    return Inspection(
        source,
        recognizer.name,
        model.config,
        start_s,
        recognizer.sample_rate_hz,
        waveform,
        frames.numpy(),
        features.config.hop_samples / recognizer.sample_rate_hz,
        mel_centres_hz(features),
        matrix,
        recognizer.frame_s,
        recognizer.checkpoint.vocabulary.spellings,
        tuple(greedy_spans(matrix)),
        reading.words,
        tuple(_view(look, chosen) for look in found),
    )


def save_arrays(inspection: Inspection, path: Path) -> None:
    """Writes what an inspection holds as NumPy's `.npz`, which `numpy.load(path)` reads without pickle.

    `waveform` (N,) in -1..1; `sample_rate_hz`; `start_s`, where it begins in the recording; `features` (T, F),
    normalised log-mel, `hop_s` apart; `mel_hz` (F,); `log_probabilities` (T', V), natural, `frame_s` apart; `spellings`
    (V,); `tokens`, `token_start_s`, `token_end_s` and `token_log_probability`, (S,) each, of the best path; `words`,
    `word_start_s`, `word_end_s` and `word_confidence`, (W,) each. Times are in seconds from `start_s` on.

    Of the layer: `layer`, from 1; `direction`; `units` (U,), in the order in which they peak; then what `asr.cells`
    traces, (T', U) each, such as `input_gate`, `forget_gate`, `output_gate` (0..1), `candidate`, `cell`, `output`; of a
    Transformer `output` and `attention` (T', T'), a row for each frame that attends.

    Raises:
        AsrError: The file cannot be written; names it.
    """
    with writing(path, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **_arrays(inspection))


def _arrays(inspection: Inspection) -> dict[str, Any]:
    view, tokens, words = inspection.views[0], inspection.tokens, inspection.words
    whole = ("start_s", "sample_rate_hz", "waveform", "features", "hop_s", "mel_hz", "log_probabilities", "frame_s")
    arrays: dict[str, Any] = {name: getattr(inspection, name) for name in whole}
    arrays |= {name.replace(" ", "_"): values for name, values in view.maps.items()}
    arrays |= {"layer": view.layer, "direction": view.direction or "", "units": np.array(view.units)}
    if view.attention is not None:
        arrays["attention"] = view.attention
    arrays["spellings"] = np.array(inspection.spellings, np.str_)
    arrays["tokens"] = np.array([span.token for span in tokens], np.int64)
    arrays["token_start_s"] = np.array([span.start * inspection.frame_s for span in tokens], np.float64)
    arrays["token_end_s"] = np.array([span.end * inspection.frame_s for span in tokens], np.float64)
    arrays["token_log_probability"] = np.array([span.log_probability for span in tokens], np.float64)
    arrays["words"] = np.array([word.text for word in words], np.str_)
    for name in ("start_s", "end_s", "confidence"):
        arrays[f"word_{name}"] = np.array([getattr(word, name) for word in words], np.float64)
    return arrays


def unit_count(config: ModelConfig) -> int:
    """The units of a layer in one direction, all of a Transformer's."""
    return 2 * config.hidden if config.encoder == "transformer" else config.hidden


def parse_units(text: str, count: int) -> list[int] | None:
    """The numbers of units in a text such as `0-31,40`; None for `auto`.

    Raises:
        AsrError: It is not of that form, or names units that there are not.

    >>> parse_units("0-2,5", 8)
    [0, 1, 2, 5]
    """
    if text.strip() == "auto":
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not all(bound.strip().isdecimal() for bound in ([first, last] if "-" in part else [first])):
            raise AsrError(f"--units {text}: numbers and ranges were expected, such as 0-31,40, or auto")
        numbers = range(int(first), int(last or first) + 1)
        if not numbers or numbers[-1] >= count:
            raise AsrError(f"--units {text}: {part} is not among the units, which are 0 to {count - 1}")
        found.update(numbers)
    return sorted(found)


def by_peak(maps: dict[str, Floats], chosen: Sequence[int] | None) -> list[int]:
    """The units to show, in the order in which their outputs peak: are as high as they get.

    Args:
        maps: (T', all units).
        chosen: None: those whose outputs vary most, up to `MOST_UNITS`.
    """
    output = maps["output"]
    units = np.argsort(-output.std(0), kind="stable")[:MOST_UNITS] if chosen is None else np.array(chosen)
    peaks = output[:, units].argmax(0)
    ordered: list[int] = units[np.lexsort((units, peaks))].tolist()
    return ordered


def features_of(features: LogMel, waveform: Waveform) -> Tensor:
    """The (T, F) features of a (N,) waveform as a recording of its own, on the CPU."""
    frames: Tensor = features(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))[0][0]
    return frames


def value_range(name: str, values: Floats) -> tuple[float, float]:
    """What the colours of a map go from and to: 0 to 1 for gates, else as far below zero as above."""
    if name.endswith("gate"):
        return 0.0, 1.0
    most = float(np.quantile(np.abs(values), 0.995)) if name == "cell" or np.abs(values).max() > 1 else 1.0
    return -(most or 1.0), most or 1.0


def mel_centres_hz(features: LogMel) -> Floats:
    """(F,) where each mel bin is centred: at the peak of its triangle, all as far apart as their feet."""
    mel = features.mel
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (mel.f_min, mel.sample_rate / 2))
    centres: Floats = (700 * (10 ** (np.linspace(low, high, mel.n_mels + 2)[1:-1] / 2595) - 1)).astype(np.float32)
    return centres


def _checked(
    config: ModelConfig, layer: int | None, direction: Direction | None, head: int | None
) -> tuple[int, Direction | None]:
    """The layer and direction to look at."""
    if layer is not None and not 1 <= layer <= config.layers:
        raise AsrError(f"--layer {layer}: the model has layers 1 to {config.layers}")
    if config.encoder != "transformer":
        if head is not None:
            raise AsrError(f"--head {head}: the model is no Transformer, its encoder is {config.encoder}")
        return layer or config.layers, direction or "forward"
    if direction is not None:
        raise AsrError(f"--direction {direction}: the model is a Transformer, which hears both ways at once")
    if head is not None and not 1 <= head <= config.heads:
        raise AsrError(f"--head {head}: the model has heads 1 to {config.heads}")
    return layer or config.layers, None


def _view(look: Look, chosen: Sequence[int] | None) -> View:
    maps = {name: values.numpy() for name, values in look.trace.items()}
    units = by_peak(maps, chosen)
    attention = None if look.attention is None else look.attention.numpy()
    count = maps["output"].shape[1]
    return View(
        look.layer,
        look.direction,
        tuple(units),
        count,
        {name: each[:, units] for name, each in maps.items()},
        attention,
    )
