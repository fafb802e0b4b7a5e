"""Text for a recurrent language model: sentences held as numbers, in padded batches.

Shapes: B sentences, T tokens.
"""

import math
import random
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.lm.corpus import read_sentences
from asr.lm.units import Units
from asr.lm.vocabulary import BOUNDARY, LanguageVocabulary, split


@dataclass(frozen=True)
class Sentences:
    """Sentences as token ids, without boundaries: four bytes a token."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    """(sentences + 1,): where in `ids` each begins."""

    @classmethod
    def of(cls, rows: Iterable[Iterable[int]]) -> "Sentences":
        ids, offsets = array("i"), array("q", [0])
        for row in rows:
            ids.extend(row)
            offsets.append(len(ids))
        return cls(np.frombuffer(ids, np.int32), np.frombuffer(offsets, np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[place] : self.offsets[place + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(sentences,): how many tokens there are to predict in each, the boundary at its end included."""
        return np.diff(self.offsets) + 1

    def take(self, wanted: NDArray[np.bool_]) -> "Sentences":
        """Those sentences for which `wanted`, (sentences,), is true."""
        lengths = np.diff(self.offsets)
        offsets = np.concatenate([[0], np.cumsum(lengths[wanted])])
        return Sentences(self.ids[np.repeat(wanted, lengths)], offsets.astype(np.int64))

    def batch(self, places: Sequence[int]) -> "SentenceBatch":
        rows = [self[place] for place in places]
        tokens = np.full((len(rows), max(map(len, rows)) + 2), BOUNDARY, dtype=np.int64)
        for number, row in enumerate(rows):
            tokens[number, 1 : len(row) + 1] = row
        names = [f"sentence {place + 1}" for place in places]
        return SentenceBatch(names, torch.from_numpy(tokens), torch.tensor([len(row) + 1 for row in rows]))


@dataclass(frozen=True)
class SentenceBatch:
    ids: list[str]
    tokens: Tensor
    """(B, T + 1): a boundary, the tokens, and boundaries to the end."""
    lengths: Tensor
    """(B,): how many there are to predict, of T."""

    @property
    def size(self) -> int:
        """Tokens, padding included."""
        return self.tokens.numel()

    def __str__(self) -> str:
        return f"{len(self.ids)} sentences of up to {self.tokens.shape[1] - 1} tokens"

    def to(self, device: torch.device) -> "SentenceBatch":
        return SentenceBatch(self.ids, self.tokens.to(device), self.lengths.to(device))

    def cut(self, share: float) -> "SentenceBatch":
        """About that share of the padded tokens: fewer sentences, each a little shorter where need be."""
        count, longest = self.tokens.shape
        rows = math.ceil(count * share)
        columns = max(math.ceil(longest * (count * share / rows)), 2)
        return SentenceBatch(self.ids[:rows], self.tokens[:rows, :columns], self.lengths[:rows].clamp(max=columns - 1))


def read_text(paths: Sequence[Path], units: Units, alphabet: str) -> tuple[Sentences, list[str]]:
    """Text files as numbers in the order in which words, or characters, first appear; and these, by number.

    The files are read once, and of the text only the numbers stay in memory.

    Raises:
        DataError: A file cannot be read, or there is no sentence in any.
    """
    numbers: dict[str, int] = {}
    found = Sentences.of(
        [numbers.setdefault(unit, len(numbers)) for unit in split(text, units)]
        for text in read_sentences(paths, alphabet)
    )
    return found, list(numbers)


def encode(found: Sentences, names: Sequence[str], vocabulary: LanguageVocabulary) -> Sentences:
    """What `read_text` gave, in the ids of a vocabulary."""
    return Sentences(np.array([vocabulary.id(name) for name in names], np.int32)[found.ids], found.offsets)


def counts(found: Sentences, names: Sequence[str]) -> dict[str, int]:
    """How often each of the words or characters that `read_text` gave stands in the sentences; left out where never."""
    often = np.bincount(found.ids, minlength=len(names)).tolist()
    return {name: count for name, count in zip(names, often, strict=True) if count}


def plan(lengths: NDArray[np.int64], batch_tokens: int, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    """The batches of one epoch: places of sentences of like length, padded to at most `batch_tokens` in all.

    The plan depends on the arguments alone, and its batches come in random order. A sentence longer than
    `batch_tokens` is a batch of its own.
    """
    chance = random.Random(f"{seed} {epoch}")
    jitter = np.random.default_rng(chance.getrandbits(64)).uniform(0.95, 1.05, len(lengths))
    order = np.argsort(lengths * jitter, kind="stable").tolist()
    starts, longest = [0], 0
    for place, length in enumerate(lengths[order].tolist()):
        longest = max(longest, length)
        if place > starts[-1] and longest * (place + 1 - starts[-1]) > batch_tokens:
            starts.append(place)
            longest = length
    batches = [order[start:end] for start, end in pairwise([*starts, len(order)]) if end > start]
    chance.shuffle(batches)
    return batches
