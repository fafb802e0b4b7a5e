"""The recurrent language model: embedding, a stack of unidirectional LSTM layers, the log-probability of each token.

Shapes: B sentences, T tokens, H units, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor, nn

from asr.config import settings
from asr.features import length_mask
from asr.lm.tokens import TokenVectors
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
    bands: tuple[Annotated[int, Gt(0)], ...] = ()
    """From which word on, counted from the most frequent one, vectors are four times narrower, and then again: large
    vocabularies take less room and time. See `asr.lm.tokens`.
    """
    embedding: Annotated[int, Gt(0)] = 256
    """The width of a token's vector, by which it is read and predicted."""
    layers: Annotated[int, Gt(0)] = 1
    hidden: Annotated[int, Gt(0)] = 256
    """Units of each layer."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1

    def __post_init__(self) -> None:
        if any(start >= following for start, following in pairwise(self.bands)):
            raise ValueError(f"bands = {[*self.bands]}: each must begin behind the one before")


class LanguageNetwork(nn.Module):
    """Tokens so far to the log-probability of every token that may follow.

    Source: Zaremba et al. 2014 (dropout from layer to layer, not in time); the tokens' vectors: `asr.lm.tokens`.
    """

    def __init__(self, tokens: int, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = TokenVectors(tokens, config.embedding, config.bands)
        self.layers = nn.ModuleList(
            UnidirectionalLSTM(config.hidden if number else config.embedding, config.hidden)
            for number in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        alike = config.hidden == config.embedding
        self.projection = nn.Identity() if alike else nn.Linear(config.hidden, config.embedding, bias=False)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The natural log-probability of each sentence, its end included, (B,) in float32.

        Args:
            tokens: (B, T + 1): a boundary, the tokens, a boundary, and anything behind.
            lengths: (B,) how many there are to predict: the tokens and the boundary at the end.
        """
        outputs, _ = self._run(tokens[:, :-1])
        inside = length_mask(lengths, outputs.shape[1])
        following = self.tokens.log_probability(outputs[inside], tokens[:, 1:][inside])
        return following.new_zeros(inside.shape).masked_scatter(inside, following).sum(1)

    def step(self, tokens: Tensor, states: Sequence[State] | None = None) -> tuple[Tensor, list[State]]:
        """What may follow each of some tokens.

        Args:
            tokens: (B, T) ids; the first of a sentence is its boundary.
            states: What an earlier call returned, to go on from there.

        Returns:
            (B, T, V) natural log-probabilities in float32 of the token that follows each, meaningless beyond a
            sentence's end; and the state of each layer after the last.
        """
        outputs, after = self._run(tokens, states)
        return self.tokens.log_probabilities(outputs.flatten(0, 1)).view(*tokens.shape, -1), after

    def branch(
        self, tokens: Tensor, states: Sequence[State] | None, parents: Tensor, following: Tensor
    ) -> tuple[Tensor, list[State]]:
        """How likely some tokens are behind each of several beginnings.

        Args:
            tokens: (N,) the last of each beginning.
            states: Of the beginnings before it; None where there is nothing before it.
            parents: (M,) which beginning each branch goes on from.
            following: (M,) the token that it goes on with.

        Returns:
            (M,) natural log-probabilities in float32; and the states of each branch before its token.
        """
        outputs, after = self._run(tokens[:, None], states)
        found = self.tokens.log_probability(outputs[parents, 0], following)
        return found, [(units[:, parents], cells[:, parents]) for units, cells in after]

    def _run(self, tokens: Tensor, states: Sequence[State] | None = None) -> tuple[Tensor, list[State]]:
        """What predicts the token behind each, (B, T, embedding), and the states after the last."""
        outputs, after = self.tokens.read(tokens), []
        for number, layer in enumerate(self.layers):
            outputs, state = layer(self.dropout(outputs), states[number] if states else None)
            after.append(state)
        return self.projection(self.dropout(outputs)), after
