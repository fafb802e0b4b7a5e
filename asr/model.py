"""The acoustic model: convolutional subsampling, an encoder, a CTC head or two.

The encoder is a stack of bidirectional recurrent layers, of LSTM cells unless settings say otherwise, or a Transformer.

Shapes: B utterances, T frames, F mel bins, C channels, H units in each direction, V tokens of all heads. Integer
lengths travel with every padded tensor, and a batch gives what its utterances give one by one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from asr.config import settings
from asr.features import length_mask
from asr.recurrent import Bidirectional
from asr.transformer import Transformer

Encoder = Literal["lstm", "lstm_1997", "lstm_peephole", "gru", "rnn", "transformer"]


@dataclass(frozen=True)
class EncoderInfo:
    """Where an encoder comes from, for tables."""

    year: int
    mechanism: str
    source: str
    """In full, with the departures from it: `asr.cells` and `asr.transformer`."""


ENCODERS: dict[Encoder, EncoderInfo] = {
    "rnn": EncoderInfo(1990, "outputs that hear themselves a step later", "Elman 1990"),
    "lstm_1997": EncoderInfo(1997, "memory cells that keep all, behind gates", "Hochreiter and Schmidhuber 1997"),
    "lstm": EncoderInfo(2000, "a gate that lets memory cells forget", "Gers, Schmidhuber and Cummins 2000"),
    "lstm_peephole": EncoderInfo(2000, "gates that see the memory cells", "Gers and Schmidhuber 2000"),
    "gru": EncoderInfo(2014, "two gates, no memory cells", "Cho et al. 2014"),
    "transformer": EncoderInfo(2017, "attention to all frames at once", "Vaswani et al. 2017"),
}
"""Every encoder, the oldest first."""


@settings
class ModelConfig:
    subsampling: Literal[1, 2, 3, 4] = 4
    """Feature frames for one output frame."""
    channels: Annotated[int, Gt(0)] = 32
    encoder: Encoder = "lstm"
    """The cell of the bidirectional layers (`asr.cells`), or a Transformer of the same width."""
    layers: Annotated[int, Gt(0)] = 3
    hidden: Annotated[int, Gt(0)] = 256
    """Units of each direction of each layer; a Transformer is twice as wide."""
    heads: Annotated[int, Gt(0)] = 4
    """Of a Transformer: what a layer attends to at once; they share out its width, so they divide it."""
    feed_forward: Annotated[int, Gt(0)] = 4
    """Of a Transformer: the width between the two halves of its feed-forward layers, in multiples of its own."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    members: Annotated[int, Gt(0)] = 1
    """Networks that learn side by side from other first weights; the mean of their probabilities is put out."""

    def __post_init__(self) -> None:
        if self.encoder == "transformer" and 2 * self.hidden % self.heads:
            raise ValueError(f"heads = {self.heads} must divide twice hidden = {self.hidden}")


def output_frames(frames: int, subsampling: int) -> int:
    """The frames that the model puts out for that many feature frames; the last may stand for fewer than the others."""
    return -(-frames // subsampling)


class Subsampling(nn.Module):
    """Two 3x3 convolutions that halve frequency and take steps in time, then a projection to the encoder's width."""

    def __init__(self, mel_bins: int, config: ModelConfig) -> None:
        super().__init__()
        self.strides = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2)}[config.subsampling]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, config.channels, 3, stride=(stride, 2), padding=1)
            for inputs, stride in zip((1, config.channels), self.strides, strict=True)
        )
        bins = output_frames(mel_bins, 4)
        self.projection = nn.Linear(config.channels * bins, 2 * config.hidden)
        self.norm = nn.LayerNorm(2 * config.hidden)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, F) and (B,) to (B, T', 2H) and (B,)."""
        images = features[:, None]
        for convolution, stride in zip(self.convolutions, self.strides, strict=True):
            images = images * length_mask(lengths, images.shape[2])[:, None, :, None]  # padding is zero for all
            images = nn.functional.relu(convolution(images))
            lengths = (lengths - 1) // stride + 1
        frames = images.permute(0, 2, 1, 3).flatten(2)
        return self.norm(self.projection(frames)), lengths


class CTCModel(nn.Module):
    """Features to the log-probability of every token at every output frame."""

    def __init__(self, mel_bins: int, heads: Sequence[int], config: ModelConfig) -> None:
        """
        Args:
            heads: How many tokens each head tells apart, its blank among them.
        """
        super().__init__()
        self.config = config
        self.heads = tuple(heads)
        self.subsampling = Subsampling(mel_bins, config)
        self.layers = nn.ModuleList(_layers(config))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * config.hidden, sum(self.heads))

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the model over a padded batch.

        Args:
            features: (B, T, F).
            lengths: (B,) frames.

        Returns:
            (B, T', V) natural log-probabilities in float32, meaningless beyond each length, and (B,) output frames. The
            columns of one head stand behind those of the other; each head's probabilities add up to 1.
        """
        frames, lengths = self.subsampling(features, lengths)
        for layer in self.layers:
            frames = layer(self.dropout(frames), lengths)
        scores = self.head(self.dropout(frames)).float().split(self.heads, dim=2)
        return torch.cat([head.log_softmax(2) for head in scores], dim=2), lengths


def _layers(config: ModelConfig) -> Iterator[nn.Module]:
    """What takes (B, T', 2H) and (B,) to (B, T', 2H)."""
    width = 2 * config.hidden
    if config.encoder == "transformer":
        yield Transformer(width, config.layers, config.heads, config.feed_forward * width, config.dropout)
    else:
        yield from (Bidirectional(width, config.hidden, config.encoder) for _ in range(config.layers))


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
