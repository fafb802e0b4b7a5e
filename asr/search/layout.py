"""How tokens become the columns, and frames the rows, that flashlight-text sees.

Shapes: T frames, V tokens, token 0 is the blank.
"""

from collections.abc import Iterable
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

    def spelled(self, tokens: list[int]) -> list[list[int]]:
        """All spellings in columns of a word with these tokens."""

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]: ...

    def tokens(self, columns: list[int]) -> tuple[int, ...]:
        """What a path, one column a row, spells."""

    def correction(self, columns: list[int]) -> float:
        """What to add to the score of a path."""


class TokenLayout:
    """Tokens as they are."""

    columns_per_token = 1
    silence = BLANK_ID

    def spelled(self, tokens: list[int]) -> list[list[int]]:
        return [tokens]

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return matrix

    def tokens(self, columns: list[int]) -> tuple[int, ...]:
        return _collapse(columns)

    def correction(self, columns: list[int]) -> float:
        return 0.0


class SpacedLayout(TokenLayout):
    """Words of characters, each with the space behind it; after the last frame comes one that is a space.

    Hypotheses within a word cannot pass it but as a blank, at a price that is paid back when no others are left.
    """

    def __init__(self, space: int) -> None:
        self.silence = space

    def spelled(self, tokens: list[int]) -> list[list[int]]:
        return [[*tokens, self.silence]]

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        last = np.full((1, matrix.shape[1]), 2 * FLOOR)
        last[0, BLANK_ID] = FLOOR
        last[0, self.silence] = 0.0
        return np.concatenate([matrix, last])

    def tokens(self, columns: list[int]) -> tuple[int, ...]:
        """As spelled, without spaces that part no words.

        >>> SpacedLayout(1).tokens([1, 0, 2, 2, 1, 0, 1, 3, 1])
        (2, 1, 3)
        """
        tokens = _collapse(columns)
        following = (*tokens[1:], self.silence)
        kept = [pair for pair in zip(tokens, following, strict=True) if pair != (self.silence, self.silence)]
        words = [token for token, _ in kept]
        return tuple(words[1:] if words[:1] == [self.silence] else words)

    def correction(self, columns: list[int]) -> float:
        return 0.0 if columns[-1] == self.silence else -FLOOR


class PieceLayout(TokenLayout):
    """Words of pieces. The second column of token n is column n + V, in which the token lasts beyond the frame.

    A word's last piece in one frame is the first column; in more, it is the second column all along but for the last
    frame: so each path of CTC is a path here, and just one. To keep out what CTC reads otherwise, a blank between the
    columns, the second is open only before a frame in which the token is likelier than the blank. There remains a piece
    that is a whole word and lasts three frames or more: it can be scored as the word said twice, where that pays. Such
    paths, should they win, are read as CTC does: once. Silence is never heard.
    """

    columns_per_token = 2

    def __init__(self, size: int) -> None:
        self._size = size
        self.silence = 2 * size

    def spelled(self, tokens: list[int]) -> list[list[int]]:
        """Both spellings of a word.

        >>> PieceLayout(3).spelled([1, 2])
        [[1, 2], [1, 5, 2]]
        """
        return [tokens, [*tokens[:-1], tokens[-1] + self._size, tokens[-1]]]

    def emissions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        lasting = np.full_like(matrix, FLOOR)
        lasting[:-1] = np.where(matrix[1:] > matrix[1:, :1], matrix[:-1], FLOOR)
        silence = np.full((len(matrix), 1), 2 * FLOOR)
        return np.concatenate([matrix, lasting, silence], axis=1)

    def tokens(self, columns: list[int]) -> tuple[int, ...]:
        """As CTC reads the path.

        >>> PieceLayout(3).tokens([4, 4, 1, 5, 2, 0, 2])
        (1, 2, 2)
        """
        return _collapse([column % self._size if column < self.silence else BLANK_ID for column in columns])


def _collapse(path: Iterable[int]) -> tuple[int, ...]:
    return tuple(token for token, _ in groupby(path) if token != BLANK_ID)


def layout_of_words(vocabulary: Vocabulary) -> Layout:
    if vocabulary.sentencepiece is not None:
        return PieceLayout(len(vocabulary))
    if " " not in vocabulary.spellings:
        raise ConfigError("a lexicon is of no use: the model's alphabet has no space to part words with")
    return SpacedLayout(vocabulary.spellings.index(" "))
