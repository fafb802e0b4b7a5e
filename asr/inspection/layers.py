"""What went on in each layer of a model while it heard something.

Shapes: T feature frames, F mel bins, T' output frames, D inputs of a layer, U units of one direction, N heads.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from asr.cells import Trace
from asr.ensemble import AcousticModel, members
from asr.model import CTCModel
from asr.progress import say
from asr.recurrent import Bidirectional
from asr.transformer import Transformer, TransformerLayer, positions

Direction = Literal["forward", "backward"]

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")


@dataclass(frozen=True)
class Look:
    """What went on in a layer, of recurrent cells in one direction."""

    layer: int
    """1 is the lowest."""
    direction: Direction | None
    """None: the layer has none, for it is a Transformer's."""
    trace: Trace = field(repr=False)
    """(T', U) by name, as `asr.cells` names it; of a Transformer's layer its outputs alone."""
    attention: Tensor | None = field(default=None, repr=False)
    """(T', T'): how much each frame, a row, attends to each; of a Transformer only."""


def looked_into(model: AcousticModel) -> CTCModel:
    """The network to look into: of several that hear as one, the first, and that is told."""
    first, *others = members(model)
    if others:
        say(f"inspect: looks into the first of {1 + len(others)} networks that hear as one")
    return first


def heard_by_layers(model: CTCModel, features: Tensor) -> Iterator[tuple[nn.Module, Tensor]]:
    """The layers of the encoder from below, each with the (1, T', D) frames that it hears of (T, F) features."""
    frames, lengths = model.subsampling(features[None], torch.tensor([len(features)], device=features.device))
    for layer in model.layers:
        if not isinstance(layer, Transformer):
            yield layer, frames
            frames = layer(frames, lengths)
            continue
        frames = frames + positions(frames.shape[1], frames.shape[2], frames.device)
        for part in layer.layers:
            yield part, frames
            frames = part(frames, frames.new_ones(1, 1, 1, frames.shape[1], dtype=torch.bool))


@torch.no_grad()
def looks(
    model: CTCModel,
    features: Tensor,
    layer: int | None = None,
    direction: Direction | None = None,
    head: int | None = None,
) -> list[Look]:
    """What went on in the layers of a model, those of a lower layer first, forward cells before backward ones.

    Args:
        features: (T, F), on the model's device.
        layer: From 1; only this one.
        direction: Only this one; a Transformer's layers have none and are looked at all the same.
        head: From 1; attention of this head in place of the mean over all.
    """
    model.eval()
    found = []
    for number, (module, frames) in enumerate(heard_by_layers(model, features), start=1):
        if layer not in (None, number):
            continue
        if isinstance(module, TransformerLayer):
            found.append(_look_at_attention(number, module, frames, head))
        else:
            assert isinstance(module, Bidirectional)
            wanted = [each for each in DIRECTIONS if direction in (None, each)]
            found += [Look(number, each, trace_cells(module, frames, each)) for each in wanted]
    return found


def trace_cells(layer: Bidirectional, frames: Tensor, direction: Direction) -> Trace:
    """All that went on in a layer's cells of one direction, (T', U) each and in the order of time, from (1, T', D)."""
    backward = direction == "backward"
    cell = layer.cells()[backward]
    trace = cell.trace(frames.flip(1) if backward else frames)
    return {name: (values.flip(1) if backward else values)[0] for name, values in trace.items()}


def attention_of(layer: TransformerLayer, frames: Tensor) -> Tensor:
    """(N, T', T'): how much each frame, a row, attends to each, in each head; a row adds up to 1. From (1, T', D)."""
    by_head = layer.attention(layer.attention_norm(frames)).unflatten(2, (3, layer.heads, -1))
    queries, keys, _ = by_head[0].permute(1, 2, 0, 3)  # (N, T', D / N) each
    attention: Tensor = (queries @ keys.transpose(1, 2) / keys.shape[2] ** 0.5).softmax(2)
    return attention


def _look_at_attention(number: int, layer: TransformerLayer, frames: Tensor, head: int | None) -> Look:
    by_head = attention_of(layer, frames)
    output = layer(frames, frames.new_ones(1, 1, 1, frames.shape[1], dtype=torch.bool))[0]
    return Look(number, None, {"output": output}, by_head.mean(0) if head is None else by_head[head - 1])
