"""Words with their pronunciations as numbers, in padded batches.

Shapes: B words, L letters, P phones.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from asr.g2p.vocabulary import BOUNDARY, PronunciationVocabulary
from asr.lexicon.entries import Lexicon
from asr.lm.sentences import plan


@dataclass(frozen=True)
class WordBatch:
    ids: list[str]
    """The words."""
    letters: Tensor
    """(B, L)."""
    letter_lengths: Tensor
    """(B,)."""
    phones: Tensor
    """(B, P + 1): a boundary, the phones, and boundaries to the end."""
    lengths: Tensor
    """(B,): how many there are to predict, of P: the phones and the boundary behind them."""

    @property
    def size(self) -> int:
        """Words."""
        return len(self.ids)

    def __str__(self) -> str:
        return f"{len(self.ids)} words of up to {self.letters.shape[1]} letters"

    def to(self, device: torch.device) -> "WordBatch":
        tensors = (self.letters, self.letter_lengths, self.phones, self.lengths)
        return WordBatch(self.ids, *(tensor.to(device) for tensor in tensors))

    def cut(self, share: float) -> "WordBatch":
        """About that share of the words."""
        rows = math.ceil(len(self.ids) * share)
        tensors = (self.letters, self.letter_lengths, self.phones, self.lengths)
        return WordBatch(self.ids[:rows], *(tensor[:rows] for tensor in tensors))


class Examples:
    """The pronunciations of a dictionary, to learn from; each has a number."""

    def __init__(self, lexicon: Lexicon, vocabulary: PronunciationVocabulary) -> None:
        self.words = [word for word, said in lexicon.entries.items() for _ in said]
        self.letters = [vocabulary.encode(word) for word in self.words]
        said = [each for pronunciations in lexicon.entries.values() for each in pronunciations]
        self.phones = [vocabulary.encode_phones(each.phones) for each in said]
        self.probabilities = [each.probability for each in said]
        self.offsets = [0, *accumulate(map(len, lexicon.entries.values()))]
        """(words + 1,): with which number the pronunciations of each word begin."""

    def plan(self, batch_tokens: int, seed: int, epoch: int) -> list[list[int]]:
        """The batches of one epoch: one pronunciation of each word, drawn in proportion to their probabilities.

        The plan depends on the arguments alone. Words of like length are together, and a batch is padded to at most
        `batch_tokens` letters, phones and boundaries in all.
        """
        chance = random.Random(f"{seed} {epoch}")
        drawn = [
            chance.choices(range(first, end), self.probabilities[first:end])[0] if end > first + 1 else first
            for first, end in pairwise(self.offsets)
        ]
        lengths = np.array([len(self.letters[number]) + len(self.phones[number]) + 1 for number in drawn])
        return [[drawn[place] for place in places] for places in plan(lengths, batch_tokens, seed, epoch)]

    def batch(self, numbers: Sequence[int]) -> WordBatch:
        letters, letter_lengths = padded([self.letters[number] for number in numbers])
        phones, lengths = padded([[BOUNDARY, *self.phones[number], BOUNDARY] for number in numbers])
        return WordBatch([self.words[number] for number in numbers], letters, letter_lengths, phones, lengths - 1)


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """The rows one below the other, with zeros behind the shorter ones, and their lengths."""
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows]), torch.tensor(lengths)
