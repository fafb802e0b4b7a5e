"""Tokens at both ends of a language model: one set of vectors to read them by and to predict them by.

Shapes: N places, W width, V tokens.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear

SHRINKING = 4
"""How many times narrower the vectors of each band are than those of the band before."""


class TokenVectors(nn.Module):
    """Wide vectors for frequent tokens, narrower ones for rare ones, which take less room and, mostly, no time.

    Tokens, the most frequent first, fall into bands. The vectors of each band behind the first are `SHRINKING` times
    narrower, and a matrix widens them. The first band is predicted together with the bands behind it, as one choice;
    a rare token's probability is that of its band, times its own within the band, so that the rare ones need to be
    computed only where one follows. With one band, this is an ordinary softmax.

    Source: Press and Wolf 2017 (one matrix for both ends); Grave et al. 2017, "Efficient softmax approximation for
    GPUs"; Baevski and Auli 2019, "Adaptive input representations for neural language modeling" (both at once).
    """

    def __init__(self, tokens: int, width: int, bands: Sequence[int] = ()) -> None:
        """
        Args:
            tokens: V.
            width: Of the first band.
            bands: Where each band behind the first begins, in ascending order; those beyond V are left out.
        """
        super().__init__()
        self.bounds = [0, *(start for start in bands if start < tokens), tokens]
        sizes = [end - start for start, end in pairwise(self.bounds)]
        widths = [max(width // SHRINKING**number, 1) for number in range(len(sizes))]
        self.vectors = nn.ParameterList(
            torch.empty(size, narrow).uniform_(-0.1, 0.1) for size, narrow in zip(sizes, widths, strict=True)
        )
        self.widening = nn.ParameterList(torch.empty(narrow, width).normal_(0, narrow**-0.5) for narrow in widths[1:])
        self.bands = nn.Parameter(torch.zeros(len(widths) - 1, width))
        self.bias = nn.Parameter(torch.zeros(tokens + len(self.bands)))
        """Of the tokens, then of the bands behind the first."""

    def read(self, tokens: Tensor) -> Tensor:
        """The vectors of tokens, any shape, with W as one more dimension."""
        read: Tensor = self.vectors[0].new_empty(*tokens.shape, self.bands.shape[1])
        for number, (start, end) in enumerate(pairwise(self.bounds)):
            inside = (tokens >= start) & (tokens < end)
            found = embedding(tokens[inside] - start, self.vectors[number])
            read[inside] = (found if number == 0 else found @ self.widening[number - 1]).to(read.dtype)
        return read

    def log_probability(self, outputs: Tensor, following: Tensor) -> Tensor:
        """The natural log-probability, (N,) in float32, of the tokens `following`, (N,), behind `outputs`, (N, W)."""
        band = torch.bucketize(following, following.new_tensor(self.bounds[1:-1]), right=True)
        choice = torch.where(band == 0, following, self.bounds[1] - 1 + band)
        found = -cross_entropy(self._first(outputs), choice, reduction="none")
        for number in range(1, len(self.vectors)):
            places = (band == number).nonzero()[:, 0]
            own = following[places] - self.bounds[number]
            found = found.index_add(
                0, places, -cross_entropy(self._behind(number, outputs[places]), own, reduction="none")
            )
        return found

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """The natural log-probabilities of all tokens, (N, V) in float32, behind `outputs`, (N, W)."""
        first = self._first(outputs).log_softmax(1)
        parts = [first[:, : self.bounds[1]]]
        for number in range(1, len(self.vectors)):
            chosen = first[:, self.bounds[1] - 1 + number, None]
            parts.append(chosen + self._behind(number, outputs).log_softmax(1))
        return torch.cat(parts, 1)

    def _first(self, outputs: Tensor) -> Tensor:
        """Logits of the tokens of the first band and of the bands behind it."""
        tokens = linear(outputs, self.vectors[0], self.bias[: self.bounds[1]])
        return torch.cat([tokens, linear(outputs, self.bands, self.bias[self.bounds[-1] :])], 1).float()

    def _behind(self, number: int, outputs: Tensor) -> Tensor:
        """Logits of the tokens of a band behind the first, within it."""
        start, end = self.bounds[number : number + 2]
        narrow = linear(outputs, self.widening[number - 1])
        return linear(narrow, self.vectors[number], self.bias[start:end]).float()
