"""Utterances as padded batches: which belong together, their waveforms and what is to be heard in them.

Shapes: B utterances, N samples, L tokens of a head. Waveforms are 16 bits a sample until they reach the device.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from asr.audio import Waveform, read
from asr.manifest import Utterance, hours
from asr.progress import track_in_threads
from asr.targets import Targets

Samples = NDArray[np.int16]

Item = tuple[str, Samples, Sequence[list[int]]]
"""An utterance's id, waveform (samples,) and the token ids for each head of the model."""

Padded = tuple[Tensor, Tensor]
"""(B, L) token ids, zeros beyond each length, and (B,) lengths."""

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
    targets: tuple[Padded, ...] = ()
    """What each head of the model is to hear."""

    def to(self, device: torch.device) -> "Batch":
        """The batch on a device, its waveforms in -1..1."""
        waveforms = self.waveforms.to(device, non_blocking=True)
        if not waveforms.is_floating_point():
            waveforms = waveforms.float() / FULL_SCALE
        targets = tuple((ids.to(device, non_blocking=True), n.to(device, non_blocking=True)) for ids, n in self.targets)
        return Batch(self.ids, waveforms, self.waveform_lengths.to(device, non_blocking=True), targets)


class SpeechDataset(Dataset[Item]):
    """Waveforms and, where there is something to learn, targets of utterances, by `Draw`."""

    def __init__(self, utterances: Sequence[Utterance], sample_rate_hz: int, targets: Targets | None = None) -> None:
        self.utterances = list(utterances)
        self.sample_rate_hz = sample_rate_hz
        self.targets = targets
        self.kept: list[Samples] = []

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
        return utterance.id, waveform, self.targets[place] if self.targets else ()

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
    ids, waveforms, targets = zip(*items, strict=True)
    return Batch(
        list(ids), *pad(waveforms, np.int16), tuple(pad(head, np.int64) for head in zip(*targets, strict=True))
    )


def pad(rows: Sequence[Sequence[int] | Samples], kind: type[np.generic]) -> tuple[Tensor, Tensor]:
    """(rows, longest) filled up with zeros, and (rows,) lengths."""
    padded = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=kind)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return torch.from_numpy(padded), torch.tensor([len(row) for row in rows])


def _to_int16(waveform: Waveform) -> Samples:
    return (waveform * FULL_SCALE).round().clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
