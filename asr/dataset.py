"""Utterances as padded batches: which belong together, and their waveforms and token ids.

Shapes: B utterances, N samples, L tokens. Waveforms are 16 bits a sample until they reach the device.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.audio import Waveform, read
from asr.manifest import Utterance, hours
from asr.progress import track_in_threads
from asr.text import Vocabulary

Samples = NDArray[np.int16]

Item = tuple[str, Samples, list[int]]
"""An utterance's id, waveform (samples,) and token ids."""

Draw = tuple[int, float]
"""An utterance's place in the data set, and the speed to play it at (done on the device, after loading)."""

FULL_SCALE = 32768
"""The 16-bit sample that stands for 1.0: a 16-bit recording goes through unchanged."""


@dataclass(frozen=True)
class Batch:
    ids: list[str]
    waveforms: Tensor
    """(B, N), zeros beyond each length; 16-bit integers as loaded, -1..1 after `to`."""
    waveform_lengths: Tensor
    tokens: Tensor
    """(B, L), zeros beyond each length."""
    token_lengths: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, its waveforms in -1..1."""
        waveforms = self.waveforms.to(device, non_blocking=True)
        if not waveforms.is_floating_point():
            waveforms = waveforms.float() / FULL_SCALE
        others = (self.waveform_lengths, self.tokens, self.token_lengths)
        return Batch(self.ids, waveforms, *(tensor.to(device, non_blocking=True) for tensor in others))


class SpeechDataset(Dataset[Item]):
    """Waveforms and token ids of utterances, by `Draw`."""

    def __init__(self, utterances: Sequence[Utterance], vocabulary: Vocabulary, sample_rate_hz: int) -> None:
        self.utterances = list(utterances)
        self.vocabulary = vocabulary
        self.sample_rate_hz = sample_rate_hz
        self.kept: list[Samples] = []

    @cached_property
    def tokens(self) -> list[list[int]]:
        """The token ids of each utterance."""
        return [self.vocabulary.encode(utterance.text) for utterance in self.utterances]

    def keep(self, most_hours: float) -> None:
        """Reads everything into memory, when it is not more than that; else leaves it on disk."""
        if hours(self.utterances) <= most_hours:
            self.kept = list(track_in_threads(self._read, self.utterances, "reading recordings"))

    def bytes_to_keep(self, most_hours: float) -> int:
        """The memory that `keep` will take."""
        duration_s = 3600 * hours(self.utterances)
        return round(2 * self.sample_rate_hz * duration_s) if duration_s <= 3600 * most_hours else 0

    def seconds(self, draw: Draw) -> float:
        """How long an utterance lasts at its speed."""
        place, speed = draw
        return (self.utterances[place].duration_s or 0.0) / speed

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, draw: Draw) -> Item:
        place, _ = draw
        utterance = self.utterances[place]
        waveform = self.kept[place] if self.kept else self._read(utterance)
        return utterance.id, waveform, self.tokens[place]

    def _read(self, utterance: Utterance) -> Samples:
        return _to_int16(read(utterance.audio_filepath, self.sample_rate_hz, utterance.offset_s, utterance.duration_s))


def plan(
    utterances: Sequence[Utterance], batch_s: float, speeds: Sequence[float] = (1.0,), seed: int = 0, epoch: int = 0
) -> list[list[Draw]]:
    """The batches of one epoch: utterances of like length together, padded to at most `batch_s` seconds in all.

    The plan depends on the arguments alone. In epoch 0 the batches come shortest first, which lets CTC find its
    alignments; afterwards in random order. An utterance longer than `batch_s` is a batch of its own.
    """
    chance = random.Random(f"{seed} {epoch}")
    draws = []
    for place, utterance in enumerate(utterances):
        speed = chance.choice(speeds)
        duration_s = (utterance.duration_s or 0.0) / speed
        draws.append((duration_s * chance.uniform(0.95, 1.05), duration_s, (place, speed)))
    batches: list[list[Draw]] = []
    longest_s = 0.0
    for _, duration_s, draw in sorted(draws):
        longest_s = max(longest_s, duration_s)
        if not batches or longest_s * (len(batches[-1]) + 1) > batch_s:
            batches.append([])
            longest_s = duration_s
        batches[-1].append(draw)
    if epoch > 0:
        chance.shuffle(batches)
    return batches


def load(dataset: SpeechDataset, batches: Sequence[list[Draw]], workers: int = 0) -> Iterator[Batch]:
    """The planned batches in their order, read by that many worker processes (0: in this one)."""
    yield from DataLoader(dataset, batch_sampler=batches, collate_fn=collate, num_workers=workers)


def collate(items: Sequence[Item]) -> Batch:
    ids, waveforms, tokens = zip(*items, strict=True)
    return Batch(list(ids), *pad(waveforms, np.int16), *pad(tokens, np.int64))


def pad(rows: Sequence[Sequence[int] | Samples], kind: type[np.generic]) -> tuple[Tensor, Tensor]:
    """(rows, longest) filled up with zeros, and (rows,) lengths."""
    padded = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=kind)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded), torch.tensor([len(row) for row in rows])


def _to_int16(waveform: Waveform) -> Samples:
    return (waveform * FULL_SCALE).round().clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
