"""From letters to phones: a bidirectional LSTM reads a word, a second LSTM spells its phones and looks back at it.

Shapes: B words, L letters, P phones, Q phones at once (all of a word in training, one of each hypothesis in a search),
E units in each direction of the encoder, D units of the decoder, V phones and the boundary.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn

from asr.config import settings
from asr.features import length_mask
from asr.recurrent import Bidirectional, State, UnidirectionalLSTM


@settings
class G2PConfig:
    embedding: Annotated[int, Gt(0)] = 32
    """Numbers that stand for a letter, or a phone."""
    layers: Annotated[int, Gt(0)] = 2
    """Of the encoder; the decoder has one."""
    hidden: Annotated[int, Gt(0)] = 128
    """Units of each encoder layer in each direction."""
    decoder_hidden: Annotated[int, Gt(0)] = 192
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.2


@dataclass(frozen=True)
class Read:
    """Words as the encoder has read them."""

    outputs: Tensor
    """(B, L, 2E), zeros beyond each word."""
    inside: Tensor
    """(B, 1, L): whether there is a letter."""


class PronunciationNetwork(nn.Module):
    """Letters and the phones so far to the log-probability of each phone that may follow.

    What the decoder saw of the letters is not fed back into it ("input feeding"), so that in training it runs over all
    phones of a word in one call.

    Source: Sutskever et al. 2014 (one LSTM reads, another one writes); Bahdanau et al. 2015 (a bidirectional reader,
    attention; appendix A.2.2 for the first state of the writer); Luong et al. 2015, section 3.1 (global attention with
    the score "general", equation 5 for what becomes of it); Yao and Zweig 2015 (from letters to phones).
    """

    def __init__(self, letters: int, phones: int, config: G2PConfig) -> None:
        super().__init__()
        self.config = config
        both, decoder = 2 * config.hidden, config.decoder_hidden
        self.letters = nn.Embedding(letters, config.embedding)
        self.phones = nn.Embedding(phones + 1, config.embedding)
        self.encoder = nn.ModuleList(
            Bidirectional(both if number else config.embedding, config.hidden) for number in range(config.layers)
        )
        self.first = nn.Linear(config.hidden, decoder)
        self.decoder = UnidirectionalLSTM(config.embedding, decoder)
        self.query = nn.Linear(decoder, both, bias=False)
        self.combine = nn.Linear(both + decoder, decoder)
        self.head = nn.Linear(decoder, phones + 1)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, letters: Tensor, lengths: Tensor, phones: Tensor) -> Tensor:
        """Runs the network over a padded batch.

        Args:
            letters: (B, L) ids.
            lengths: (B,) letters.
            phones: (B, P) ids; the first of a word is its boundary.

        Returns:
            (B, P, V) natural log-probabilities in float32 of what follows each phone, meaningless beyond a word's end.
        """
        words, state = self.read(letters, lengths)
        outputs, _ = self.decoder(self.dropout(self.phones(phones)), state)
        return self.foretell(words, outputs)

    def read(self, letters: Tensor, lengths: Tensor) -> tuple[Read, State]:
        """The words, read, and the state in which the decoder begins."""
        outputs = self.letters(letters)
        for layer in self.encoder:
            outputs = layer(self.dropout(outputs), lengths)
        whole = outputs[:, 0, self.config.hidden :]  # what runs backwards has the whole word behind it there
        first = self.first(whole).tanh()[None]
        return Read(outputs, length_mask(lengths, letters.shape[1])[:, None]), (first, torch.zeros_like(first))

    def foretell(self, words: Read, outputs: Tensor) -> Tensor:
        """The log-probabilities of what follows, (B, Q, V), from the decoder's outputs, (B, Q, D)."""
        scores = self.query(outputs) @ words.outputs.transpose(1, 2)
        weights = scores.float().masked_fill(~words.inside, -torch.inf).softmax(2)
        context = weights.to(words.outputs.dtype) @ words.outputs
        seen = self.combine(torch.cat([context, outputs], dim=2)).tanh()
        logits: Tensor = self.head(self.dropout(seen))
        return logits.float().log_softmax(2)


def pronunciation_losses(log_probabilities: Tensor, phones: Tensor, lengths: Tensor, smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of each word's phones, its end included, in nats, (B,).

    Args:
        log_probabilities: (B, P, V).
        phones: (B, P) the ids that were to be foretold.
        lengths: (B,) how many count.
        smoothing: The share of the goal that is given to all tokens alike.

    Source: Szegedy et al. 2016, section 7 (label smoothing).
    """
    surprise = -log_probabilities.gather(2, phones[..., None])[..., 0]
    if smoothing:
        surprise = (1 - smoothing) * surprise - smoothing * log_probabilities.mean(2)
    return (surprise * length_mask(lengths, phones.shape[1])).sum(1)
