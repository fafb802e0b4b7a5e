"""How a model is built and how it behaves: shapes, sizes, reach, memory, gates; as data and as tables to print.

Shapes: T feature frames, F mel bins.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr.cells import CELLS
from asr.checkpoint import Checkpoint
from asr.features import FeatureConfig, frame_count
from asr.inspection.layers import DIRECTIONS, Direction, looked_into, looks
from asr.inspection.memory import Memory, memory
from asr.model import CTCModel, parameter_count
from asr.recurrent import Bidirectional
from asr.tabular import plain
from asr.transformer import Transformer

SPEECH_S = (1, 10)
"""Of which the shapes are told."""

NOISE_S = 30.0
"""Of noise, where there is no recording."""

NOISE_CHANGES_S = 0.1
"""About as long as a sound of speech stays the same, so does the noise."""

OPEN, SHUT = 0.9, 0.1
"""Beyond which a gate counts as nearly open or shut."""

NOISE = f"{NOISE_S:g} s of random features"


@dataclass(frozen=True)
class Part:
    """A part of a model, from features to log-probabilities."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    """Of what it puts out for `SPEECH_S`: frames and width; of a convolution channels, frames and bins."""
    parameters: int
    bytes: int


@dataclass(frozen=True)
class Keeper:
    """The bias of the gate that keeps the past, and how long it keeps it if nothing else drives it."""

    layer: int
    direction: Direction
    gate: str
    mean: float
    least: float
    most: float
    span_frames: float
    """Until what is kept has shrunk to 1/e, with the mean bias: -1 / ln(sigmoid(bias))."""
    span_s: float


@dataclass(frozen=True)
class Activity:
    """How open a gate is, over all units and moments."""

    layer: int
    direction: Direction
    gate: str
    mean: float
    open: float
    """The share of more than `OPEN`."""
    shut: float
    """The share of less than `SHUT`."""


@dataclass(frozen=True)
class Anatomy:
    """How a model is built and how it behaves."""

    encoder: str
    parts: list[Part]
    parameters: int
    bytes: int
    sample_rate_hz: int
    subsampling: int
    frame_s: float
    """From one output frame to the next."""
    receptive_field_s: float
    """The sound that an output frame of the convolutions has heard."""
    keepers: list[Keeper]
    memory: Memory
    activities: list[Activity]
    measured_on: str
    """What the model heard for memory and activities."""


def anatomy(checkpoint: Checkpoint, features: Tensor | None = None, measured_on: str = NOISE) -> Anatomy:
    """How a model is built and how it behaves.

    Args:
        checkpoint: On the CPU.
        features: (T, F) of a recording, for what has to be measured; None: noise with the model's mean and deviation.
        measured_on: What `features` come from.
    """
    model, config = looked_into(checkpoint.model.eval()), checkpoint.features.config
    hop_s = config.hop_samples / config.sample_rate_hz
    if features is None:
        features = noise(config)
    return Anatomy(
        model.config.encoder,
        list(_parts(model, config)),
        parameter_count(model),
        _bytes(model),
        config.sample_rate_hz,
        model.config.subsampling,
        hop_s * model.config.subsampling,
        _receptive_field_s(model.subsampling.strides, config),
        _keepers(model, hop_s * model.config.subsampling),
        memory(model, features, model.config.subsampling, hop_s),
        _activities(model, features),
        measured_on,
    )


def noise(config: FeatureConfig) -> Tensor:
    """(T, F) random features with mean 0 and deviation 1, that change about as fast as those of speech."""
    drawn = torch.randn(
        round(NOISE_S * 1000 / config.hop_ms), config.mel_bins, generator=torch.Generator().manual_seed(1)
    )
    width = max(1, round(NOISE_CHANGES_S * 1000 / config.hop_ms)) // 2 * 2 + 1
    smooth = nn.functional.avg_pool1d(drawn.T, width, stride=1, padding=width // 2).T
    return (smooth - smooth.mean(0)) / smooth.std(0)


def _named_parts(model: CTCModel) -> Iterator[tuple[str, nn.Module, tuple[nn.Module, ...]]]:
    """Each part with a name, what puts out its shape, and all that it consists of."""
    for number, convolution in enumerate(model.subsampling.convolutions, start=1):
        yield f"convolution {number}", convolution, (convolution,)
    yield "projection", model.subsampling.norm, (model.subsampling.projection, model.subsampling.norm)
    for number, layer in enumerate(model.layers, start=1):
        if isinstance(layer, Transformer):
            for place, part in enumerate(layer.layers, start=1):
                yield f"transformer {place}", part, (part,)
            yield "norm", layer.norm, (layer.norm,)
        else:
            yield f"{model.config.encoder} {number}, both ways", layer, (layer,)
    yield "CTC head", model.head, (model.head,)


@torch.inference_mode()
def _parts(model: CTCModel, config: FeatureConfig) -> Iterator[Part]:
    frames = [frame_count(length_s * config.sample_rate_hz, config) for length_s in SPEECH_S]
    yield Part("log-mel", tuple((count, config.mel_bins) for count in frames), 0, 0)
    named = list(_named_parts(model))
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name, _, _ in named}

    def note(name: str, output: Tensor) -> None:
        shapes[name].append(tuple(output.shape[1:]))

    with ExitStack() as stack:
        for name, module, _ in named:
            hook = module.register_forward_hook(lambda _module, _inputs, output, name=name: note(name, output))
            stack.callback(hook.remove)
        for count in frames:
            model(torch.zeros(1, count, config.mel_bins), torch.tensor([count]))
    for name, _, members in named:
        yield Part(name, tuple(shapes[name]), sum(map(parameter_count, members)), sum(map(_bytes, members)))


def _bytes(module: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def _receptive_field_s(strides: Sequence[int], config: FeatureConfig) -> float:
    frames, step = 1, 1
    for stride in strides:
        frames, step = frames + 2 * step, step * stride
    return ((frames - 1) * config.hop_samples + config.window_samples) / config.sample_rate_hz


def _keepers(model: CTCModel, frame_s: float) -> list[Keeper]:
    found = []
    for number, layer in enumerate(model.layers, start=1):
        if not isinstance(layer, Bidirectional) or not (gate := CELLS[layer.cell].keeper):
            continue
        drives = CELLS[layer.cell].drives
        for direction, (_, _, bias_ih, bias_hh, *_) in zip(DIRECTIONS, layer.sides(), strict=True):
            bias = (bias_ih + bias_hh).detach().double().chunk(len(drives))[drives.index(gate)]
            span = span_frames(float(bias.mean()))
            figures = (float(bias.mean()), float(bias.min()), float(bias.max()))
            found.append(Keeper(number, direction, gate, *figures, span, span * frame_s))
    return found


def span_frames(bias: float) -> float:
    """The frames until a memory cell has shrunk to 1/e when its forget gate is driven by this bias alone.

    >>> round(span_frames(1.0), 2)
    3.19
    """
    return 1 / math.log1p(math.exp(-bias))


def _activities(model: CTCModel, features: Tensor) -> list[Activity]:
    return [
        Activity(look.layer, look.direction, name, *_opening(values))
        for look in looks(model, features)
        for name, values in look.trace.items()
        if look.direction and name.endswith("gate")
    ]


def _opening(gate: Tensor) -> tuple[float, float, float]:
    return float(gate.mean()), float((gate > OPEN).float().mean()), float((gate < SHUT).float().mean())


def told(anatomy: Anatomy) -> str:
    """The anatomy as tables."""
    rows = [["part", *(f"shape, {length_s} s" for length_s in SPEECH_S), "parameters", "MB"]]
    for part in anatomy.parts:
        rows.append([part.name, *(" x ".join(map(str, shape)) for shape in part.shapes), *_size(part)])
    parts = plain([*rows, ["total", *("" for _ in SPEECH_S), *_size(anatomy)]])
    facts = [
        ["encoder", anatomy.encoder],
        ["sound", f"{anatomy.sample_rate_hz} Hz"],
        ["frames", f"{1 / anatomy.frame_s:.4g} a second"],
        ["a frame", f"{1000 * anatomy.frame_s:g} ms, {anatomy.subsampling} of the features"],
        ["convolutions hear", f"{1000 * anatomy.receptive_field_s:g} ms"],
    ]
    blocks = [parts, plain(facts), _told_memory(anatomy)]
    if anatomy.keepers:
        blocks.append(_told_keepers(anatomy.keepers))
    if anatomy.activities:
        blocks.append(_told_activities(anatomy))
    return "\n\n".join(blocks)


def _size(sized: Part | Anatomy) -> list[str]:
    return [f"{sized.parameters:,}", f"{sized.bytes / 1e6:.2f}"]


def _told_memory(anatomy: Anatomy) -> str:
    found = anatomy.memory
    rows = [["share of the gradient", *(f"{share:.0%}" for share in found.shares)]]
    for name, distances_s in (("before", found.before_s), ("after", found.after_s)):
        rows.append([f"from the frames {name}, within s", *(f"{distance_s:.2f}" for distance_s in distances_s)])
    where = f"mean over {found.moments} moments, {found.seen_s:.1f} s to either side seen"
    return f"memory, on {anatomy.measured_on} ({where})\n{plain(rows)}"


def _told_keepers(keepers: Sequence[Keeper]) -> str:
    rows = [["layer", "direction", "mean", "least", "most", "span, frames", "span, s"]]
    for each in keepers:
        biases = [f"{bias:.2f}" for bias in (each.mean, each.least, each.most)]
        rows.append([str(each.layer), each.direction, *biases, f"{each.span_frames:.1f}", f"{each.span_s:.2f}"])
    return f"bias of the {keepers[0].gate}, and the memory span that it alone means\n{plain(rows)}"


def _told_activities(anatomy: Anatomy) -> str:
    rows = [["layer", "direction", "gate", "mean", f"> {OPEN:g}", f"< {SHUT:g}"]]
    for each in anatomy.activities:
        rows.append(
            [str(each.layer), each.direction, each.gate, f"{each.mean:.2f}", f"{each.open:.1%}", f"{each.shut:.1%}"]
        )
    return f"gates, on {anatomy.measured_on}: share of units and moments\n{plain(rows)}"
