"""How tokens become the columns, and frames the rows, that flashlight-text sees.

Shapes: T frames, V tokens, token 0 is the blank.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asr.errors import ConfigError
from asr.search.prefix import BLANK_ID
from asr.text import Vocabulary

FLOOR = -1e4
"""Stands for minus infinity, with which flashlight's sums would not be numbers."""


class Layout(Protocol):
    """How tokens become the columns, and frames the rows, that flashlight sees."""

    columns_per_token: int
    silence: int
    """The column that flashlight lets follow a word's end any number of times."""

    def spelled(self, tokens: Sequence[int]) -> list[list[int]]:
        """All spellings in columns of a word with these tokens."""

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]: ...

    def tokens(self, columns: Sequence[int]) -> tuple[int, ...]:
        """What a path, one column a row, spells."""

    def correction(self, columns: Sequence[int]) -> float:
        """What to add to the score of a path."""


class TokenLayout:
    """Tokens as they are."""

    columns_per_token = 1
    silence = BLANK_ID

    def spelled(self, tokens: Sequence[int]) -> list[list[int]]:
        return [[*tokens]]

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return matrix

    def tokens(self, columns: Sequence[int]) -> tuple[int, ...]:
        return _collapse(columns)

    def correction(self, columns: Sequence[int]) -> float:
        return 0.0


class SpacedLayout(TokenLayout):
    """Words of characters, each with the space behind it; after the last frame comes one that is a space.

    Hypotheses within a word cannot pass it but as a blank, at a price that is paid back when no others are left.
    """

    def __init__(self, space: int) -> None:
        self.silence = space

    def spelled(self, tokens: Sequence[int]) -> list[list[int]]:
        return [[*tokens, self.silence]]

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        last = np.full((1, matrix.shape[1]), 2 * FLOOR)
        last[0, BLANK_ID] = FLOOR
        last[0, self.silence] = 0.0
        return np.concatenate([matrix, last])

    def tokens(self, columns: Sequence[int]) -> tuple[int, ...]:
        """As spelled, without spaces that part no words.

        >>> SpacedLayout(1).tokens([1, 0, 2, 2, 1, 0, 1, 3, 1])
        (2, 1, 3)
        """
        tokens = _collapse(columns)
        following = (*tokens[1:], self.silence)
        kept = [pair for pair in zip(tokens, following, strict=True) if pair != (self.silence, self.silence)]
        words = [token for token, _ in kept]
        return tuple(words[1:] if words[:1] == [self.silence] else words)

    def correction(self, columns: Sequence[int]) -> float:
        return 0.0 if columns[-1] == self.silence else -FLOOR


class RunOnLayout(TokenLayout):
    """Words whose end no token tells: those of pieces, or of phones.

    flashlight starts anew at a word's end, so that the word's last token cannot go on for a second frame there. Each
    token therefore has further columns, of which a word is spelled so that each path of CTC is a path here, just one:

    * In its own column it is within a word, or ends one.
    * In the next, n + V, a word's last token lasts beyond the frame. It is open only before a frame in which the token
      is likelier than the blank, to keep out what CTC reads otherwise: a blank between the columns.
    * A word's only token, or one that stands there twice, lasts in its own column and ends in column n + 2 V, open only
      behind a frame such as the above; in one frame it is in column n + 3 V.
    * In the others ends a word that brings a discount.

    Where a word ends, flashlight does not see that a blank must part a token from an equal one. All but the first two
    are therefore closed where the token would rather go on: before a frame in which it is the likeliest, and column
    n + 3 V also behind one.
    """

    def __init__(self, size: int, silence: int | None = None, discounts: Sequence[float] = ()) -> None:
        """
        Args:
            size: How many tokens there are.
            silence: A token that may stand between words.
            discounts: What words may bring, in natural log units.
        """
        self._size = size
        self._discounts = discounts
        self.columns_per_token = 4 + len(discounts)
        self.closed = self.columns_per_token * size
        self.silence = self.closed if silence is None else silence

    def spelled(self, tokens: Sequence[int], discount: int = 0) -> list[list[int]]:
        """Both spellings of a word, its last token in one frame and in more; `discount` counts from 1, 0 is none.

        A discount is for those only that `takes_discount` names.

        >>> RunOnLayout(3).spelled([1, 2])
        [[1, 2], [1, 5, 2]]
        >>> RunOnLayout(3).spelled([2])
        [[11], [2, 8]]
        >>> RunOnLayout(3, discounts=[-0.7]).spelled([1, 2], 1)
        [[1, 14], [1, 5, 14]]
        """
        *first, last = tokens
        if not takes_discount(tokens):
            return [[*first, last + 3 * self._size], [*tokens, last + 2 * self._size]]
        end = last + (3 + discount) * self._size if discount else last
        return [[*first, end], [*first, last + self._size, end]]

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        lasting, alone, brief, ending = (np.full_like(matrix, FLOOR) for _ in range(4))
        heard = matrix > matrix[:, :1]
        likeliest = np.arange(matrix.shape[1]) == matrix.argmax(1)[:, None]
        lasting[:-1] = np.where(heard[1:], matrix[:-1], FLOOR)
        ending[:-1], ending[-1:] = np.where(likeliest[1:], FLOOR, matrix[:-1]), matrix[-1:]
        alone[1:] = np.where(heard[:-1], ending[1:], FLOOR)
        brief[1:], brief[:1] = np.where(likeliest[:-1], FLOOR, ending[1:]), ending[:1]
        closed = np.full((len(matrix), 1), 2 * FLOOR)
        return np.concatenate(
            [matrix, lasting, alone, brief, *(ending + each for each in self._discounts), closed], axis=1
        )

    def tokens(self, columns: Sequence[int]) -> tuple[int, ...]:
        """As CTC reads the path.

        >>> RunOnLayout(3).tokens([4, 4, 1, 5, 2, 0, 2])
        (1, 2, 2)
        """
        return _collapse([column % self._size if column != self.closed else BLANK_ID for column in columns])


def takes_discount(tokens: Sequence[int]) -> bool:
    """Whether a word can bring a discount: not one whose last token is its only one, or stands there twice."""
    return len(tokens) > 1 and tokens[-1] != tokens[-2]


def _collapse(path: Iterable[int]) -> tuple[int, ...]:
    return tuple(token for token, _ in groupby(path) if token != BLANK_ID)


def layout_of_words(vocabulary: Vocabulary) -> Layout:
    if vocabulary.sentencepiece is not None:
        return RunOnLayout(len(vocabulary.tokens))
    if " " not in vocabulary.spellings:
        raise ConfigError("a lexicon is of no use: the model's alphabet has no space to part words with")
    return SpacedLayout(vocabulary.spellings.index(" "))
