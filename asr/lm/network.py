"""The recurrent language model: embedding, a stack of unidirectional LSTM layers, the log-probability of each token.

Shapes: B sentences, T tokens, H units, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor, nn

from asr.config import settings
from asr.features import length_mask
from asr.lm.units import Units
from asr.recurrent import State, UnidirectionalLSTM


@settings
class LanguageModelConfig:
    units: Units = "words"
    """What the model predicts one by one."""
    words: Annotated[int, Gt(0)] = 20_000
    """With words, how many: the most frequent ones of the training text; all others are `<unk>`."""
    alphabet: Annotated[str, MinLen(1)] = " 'abcdefghijklmnopqrstuvwxyz"
    """With characters, the tokens; with words, what they are made of. No text is read beyond it."""
    embedding: Annotated[int, Gt(0)] = 256
    layers: Annotated[int, Gt(0)] = 1
    hidden: Annotated[int, Gt(0)] = 256
    """Units of each layer."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    tie: bool = True
    """Where `hidden` equals `embedding`, one matrix serves to read tokens and to predict them."""


class LanguageNetwork(nn.Module):
    """Tokens so far to the log-probability of every token that may follow.

    Source: Zaremba et al. 2014 (dropout from layer to layer, not in time); Press and Wolf 2017 (one matrix for both
    ends).
    """

    def __init__(self, tokens: int, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(tokens, config.embedding)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.layers = nn.ModuleList(
            UnidirectionalLSTM(config.hidden if number else config.embedding, config.hidden)
            for number in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        tied = config.tie and config.hidden == config.embedding
        self.head = None if tied else nn.Parameter(torch.empty(tokens, config.hidden).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(tokens))

    def forward(self, tokens: Tensor, states: Sequence[State] | None = None) -> tuple[Tensor, list[State]]:
        """Runs the network over a padded batch.

        Args:
            tokens: (B, T) ids; the first of a sentence is its boundary.
            states: What an earlier call returned, to go on from there.

        Returns:
            (B, T, V) natural log-probabilities in float32 of the token that follows each, meaningless beyond a
            sentence's end; and the state of each layer after the last.
        """
        outputs, after = self.embedding(tokens), []
        for number, layer in enumerate(self.layers):
            outputs, state = layer(self.dropout(outputs), states[number] if states else None)
            after.append(state)
        weight = self.embedding.weight if self.head is None else self.head
        return nn.functional.linear(self.dropout(outputs), weight, self.bias).float().log_softmax(2), after


def sentence_log_probabilities(forward: Callable[[Tensor], Any], tokens: Tensor, lengths: Tensor) -> Tensor:
    """The natural log-probability of each sentence, its end included, (B,).

    Args:
        forward: A `LanguageNetwork`.
        tokens: (B, T + 1): a boundary, the tokens, a boundary, and anything behind.
        lengths: (B,) how many there are to predict: the tokens and the boundary at the end.
    """
    log_probabilities: Tensor = forward(tokens[:, :-1])[0]
    following = log_probabilities.gather(2, tokens[:, 1:, None])[..., 0]
    return (following * length_mask(lengths, following.shape[1])).sum(1)
