"""Encoders that see only the past, all of about one size, and what they cost.

Shapes: B sequences, T steps, D inputs, O outputs.
"""

import torch
from torch import Tensor, nn

from asr.cells import CELLS
from asr.model import Encoder, parameter_count
from asr.recurrent import one_way
from asr.transformer import TransformerLayer, positions

LAYERS, HEADS, FEED_FORWARD = 2, 2, 2
"""Of the Transformer; the feed-forward width is in multiples of its own."""


class Recurrent(nn.Module):
    """One layer of cells that run forwards."""

    def __init__(self, encoder: Encoder, inputs: int, hidden: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.cell = CELLS[encoder](inputs, hidden)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, D) to (B, T, H)."""
        return one_way(self.encoder, inputs, *self.cell.parameters())

    def operations(self, steps: int) -> int:
        """Multiplications with a weight, for one step."""
        matrices = self.cell.weight_ih.numel() + self.cell.weight_hh.numel()
        return matrices + sum(weight.numel() for name, weight in self.cell.named_parameters() if name == "peephole")


class CausalTransformer(nn.Module):
    """The Transformer of `asr.transformer` whose steps attend to themselves and to those before."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(inputs, hidden)
        self.layers = nn.ModuleList(TransformerLayer(hidden, HEADS, FEED_FORWARD * hidden, 0.0) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, D) to (B, T, H)."""
        frames = self.embedding(inputs)
        steps, width = frames.shape[1:]
        frames = frames + positions(steps, width, frames.device)
        past = torch.ones(steps, steps, dtype=torch.bool, device=frames.device).tril()
        for layer in self.layers:
            frames = layer(frames, past)
        normed: Tensor = self.norm(frames)
        return normed

    def operations(self, steps: int) -> int:
        """Multiply-accumulates for the last of so many steps, the keys and values of earlier ones being kept."""
        weights = sum(weight.numel() for weight in self.parameters() if weight.dim() == 2)
        return weights + LAYERS * 2 * self.norm.normalized_shape[0] * steps


class Network(nn.Module):
    """An encoder and what reads its outputs."""

    def __init__(self, encoder: Encoder, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.encoder = (
            CausalTransformer(inputs, hidden) if encoder == "transformer" else Recurrent(encoder, inputs, hidden)
        )
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, D) to (B, T, O)."""
        read: Tensor = self.readout(self.encoder(inputs))
        return read

    def operations(self, steps: int) -> int:
        """Multiply-accumulates of matrices for one step, the last of so many."""
        return self.encoder.operations(steps) + self.readout.weight.numel()


def widest(encoder: Encoder, inputs: int, outputs: int, parameters: int) -> int:
    """The most units with which a network has no more parameters than that; a Transformer's heads share them out.

    Draws random weights on the way.
    """
    step = 2 * HEADS if encoder == "transformer" else 1  # sines and cosines need an even width
    hidden = step
    while parameter_count(Network(encoder, inputs, outputs, hidden + step)) <= parameters:
        hidden += step
    return hidden
