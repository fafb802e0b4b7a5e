"""A plain Transformer encoder, to hold recurrent layers against.

Shapes: B utterances, T frames, W the width, N heads.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Transformer(nn.Module):
    """Layers that each look at all frames of an utterance at once; where a frame stands is added to it beforehand.

    Source: Vaswani et al. 2017 (encoder, positions); Xiong et al. 2020 (pre-norm: each part works on normalised frames
    and adds to those that are not). Departure: no dropout between frames and what attends to them, so that PyTorch's
    fused kernels apply, whose memory grows with the frames and not with their square.
    """

    def __init__(self, width: int, layers: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(width, heads, feed_forward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, W) and (B,), on the same device, to (B, T, W); meaningless beyond each length."""
        inside = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        frames = frames + positions(frames.shape[1], frames.shape[2], frames.device)
        for layer in self.layers:
            frames = layer(frames, inside[:, None, None, :])
        normed: Tensor = self.norm(frames)
        return normed


class TransformerLayer(nn.Module):
    """Attention of several heads, then a feed-forward network for each frame by itself."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        """Queries, keys and values."""
        self.projection = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feed_forward, width)
        )
        self.dropout = nn.Dropout(dropout)

    def matrices(self) -> Iterator[tuple[Tensor, int]]:
        """The weights from units to units, each with the number of blocks that its rows fall into: see `asr.muon`."""
        yield self.attention.weight, 3
        for layer in (self.projection, *self.feed_forward):
            if isinstance(layer, nn.Linear):
                yield layer.weight, 1

    def forward(self, frames: Tensor, inside: Tensor) -> Tensor:
        """(B, T, W) to (B, T, W), where (B, 1, 1, T) `inside` says which frames may be attended to."""
        frames = frames + self.dropout(self.attend(self.attention_norm(frames), inside))
        added: Tensor = frames + self.dropout(self.feed_forward(self.feed_forward_norm(frames)))
        return added

    def attend(self, frames: Tensor, inside: Tensor) -> Tensor:
        by_head = self.attention(frames).unflatten(2, (3, self.heads, -1))  # (B, T, 3, N, W / N)
        queries, keys, values = by_head.permute(2, 0, 3, 1, 4)
        heard = scaled_dot_product_attention(queries, keys, values, attn_mask=inside)
        projected: Tensor = self.projection(heard.transpose(1, 2).flatten(2))
        return projected


def positions(frames: int, width: int, device: torch.device) -> Tensor:
    """Waves of ever longer periods, (T, W): sines, then cosines.

    Source: Vaswani et al. 2017, section 3.5; there, sines and cosines take turns.
    """
    slowness = torch.arange(width // 2, device=device) * (-math.log(10_000) / (width // 2))
    angles = torch.arange(frames, device=device)[:, None] * slowness.exp()
    return torch.cat([angles.sin(), angles.cos()], dim=1)
