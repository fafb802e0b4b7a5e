"""Several networks that hear as one, or one that hears several times.

Shapes: B utterances, T frames, F mel bins, V tokens of all heads.
"""

from collections.abc import Sequence
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from asr.model import CTCModel, ModelConfig
from asr.voices import warped


class Ensemble(nn.Module):
    """Networks of the same settings that begin with other weights: each learns by itself, and all are heard.

    Source: Hansen and Salamon 1990, "Neural network ensembles".
    """

    def __init__(self, mel_bins: int, heads: Sequence[int], config: ModelConfig) -> None:
        """As `CTCModel`, of which there are `config.members`."""
        super().__init__()
        self.config = config
        self.members = nn.ModuleList(CTCModel(mel_bins, heads, config) for _ in range(config.members))

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `CTCModel.forward`, with the mean of what the members put out.

        While training it is what each of them puts out, the columns of one behind those of the other.
        """
        heard, (frames, *_) = zip(*(member(features, lengths) for member in self.members), strict=True)
        return torch.cat(heard, dim=2) if self.training else _mean(heard), frames


AcousticModel = CTCModel | Ensemble


def acoustic_model(mel_bins: int, heads: Sequence[int], config: ModelConfig) -> AcousticModel:
    """The model of those settings, with random weights."""
    return (CTCModel if config.members == 1 else Ensemble)(mel_bins, heads, config)


def members(model: AcousticModel) -> list[CTCModel]:
    """The networks that a model consists of."""
    return [member for member in model.modules() if isinstance(member, CTCModel)]


class Revoiced:
    """A model that hears each utterance in several voices, and puts out the mean of their probabilities, in float32.

    Args:
        network: As `asr.model.CTCModel`.
        factors: By how much the vocal tracts of the voices are longer, see `asr.voices.warped`.
        dtype: What it computes in.
    """

    def __init__(self, network: Any, factors: Sequence[float], dtype: torch.dtype = torch.float32) -> None:
        self.network, self.factors, self.dtype, self.config = network, factors, dtype, network.config

    def __call__(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        voices = [warped(features, features.new_full((len(features),), factor)) for factor in self.factors]
        with torch.autocast(features.device.type, self.dtype, enabled=self.dtype != torch.float32):
            heard, (frames, *_) = zip(*(self.network(voice, lengths) for voice in voices), strict=True)
        return _mean(heard), frames

    def eval(self) -> None:
        self.network.eval()


def _mean(heard: Sequence[Tensor]) -> Tensor:
    """The mean of probabilities, of which the logarithms are given and taken, all of the same shape."""
    return torch.stack(tuple(heard)).logsumexp(0) - log(len(heard))
