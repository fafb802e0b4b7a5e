"""What must hold before the first step, found out in a minute instead of after an hour.

Each check gives a `Finding`, or raises an `AsrError` that says why training cannot begin and what to do. The last one,
`Trial`, takes growing parts of the longest batch forwards and backwards, so that trouble with memory comes first.
"""

import math
import platform
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
import torchaudio

from asr.dataset import Batch
from asr.device import available_memory_bytes, describe, peak_memory_bytes, reset_peak_memory
from asr.errors import AsrError, DataError
from asr.features import FeatureConfig, frame_count, length_mask
from asr.manifest import Utterance, hours
from asr.model import output_frames
from asr.progress import track_in_threads
from asr.targets import Targets
from asr.text import Vocabulary, frames_needed

SHARES = (1 / 16, 1 / 4, 1 / 2, 1)
"""The parts of the longest batch that are tried, in this order; a system that runs short kills without a word."""

GAPS_SHARE, GAPS_BYTES = 0.35, 600_000_000
"""What malloc may hold besides on a CPU, where batches of ever new lengths leave gaps: that share of what the longest
batch needs by itself, or so many bytes if they are more.
"""

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""How PyTorch, its CPU allocator, cuBLAS and cuDNN put it, in small letters."""


@dataclass(frozen=True)
class Finding:
    """What a check found out."""

    name: str
    detail: str
    advice: str = ""
    """Training can begin, but the user may want to mend this first."""

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" + (f"; warning: {self.advice}" if self.advice else "")


def environment(device: torch.device) -> Finding:
    """The versions at work, and that the device computes.

    Raises:
        AsrError: torch and torchaudio do not belong together, or an LSTM of one unit fails on the device.
    """
    versions = {package.__name__: str(package.__version__) for package in (torch, torchaudio)}
    if len({tuple(version.split(".")[:2]) for version in versions.values()}) > 1:
        both = " and ".join(f"{name} {version}" for name, version in versions.items())
        raise AsrError(f"{both} do not belong together: install both with the same two first numbers")
    try:
        with torch.random.fork_rng(devices=[]):  # the weights of a model may be drawn next
            total = torch.nn.LSTM(1, 1).to(device)(torch.ones(1, 2, 1, device=device))[0].sum()
            total.backward()
            total.item()  # waits for a GPU, so that what fails there fails here
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise AsrError(f"device {device}: PyTorch cannot compute on it ({reason}); try --device cpu") from error
    names = ", ".join(f"{name} {version}" for name, version in versions.items())
    return Finding("environment", f"Python {platform.python_version()}, {names}, on {describe(device)}")


def disk(folder: Path, needed_bytes: int) -> Finding:
    """The room where a folder is or will be.

    Raises:
        AsrError: Too little of it, or nothing can be written there.
    """
    there = folder
    try:
        there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        with tempfile.TemporaryFile(dir=there) as stream:
            stream.write(b"room?")
            stream.flush()
        free = shutil.disk_usage(there).free
    except OSError as error:
        raise AsrError(f"{there}: cannot be written ({error.strerror})") from error
    if free < needed_bytes:
        raise AsrError(f"{there}: about {_size(needed_bytes)} needed there, and {_size(free)} free")
    advice = f"little room to spare in {there}" if free < 2 * needed_bytes else ""
    return Finding("disk", f"{_size(free)} free, about {_size(needed_bytes)} needed", advice)


def manifests(splits: Mapping[str, Sequence[Utterance]]) -> Finding:
    """How much speech there is; what two splits have in common.

    Raises:
        DataError: A split is empty, an id stands twice in one, a duration is missing, or recordings are gone.
    """
    for split, utterances in splits.items():
        if not utterances:
            raise DataError(f"{split}: no utterances")
        if unmeasured := [u.id for u in utterances if not u.duration_s]:
            raise DataError(f"{split}: {unmeasured[0]!r} has no duration ({len(unmeasured)} in all); run data-prep")
        name, count = Counter(u.id for u in utterances).most_common(1)[0]
        if count > 1:
            raise DataError(f"{split}: {count} utterances with the id {name!r}")
    paths = list(dict.fromkeys(u.audio_filepath for utterances in splits.values() for u in utterances))
    present = track_in_threads(_is_there, paths, "looking for recordings")
    if gone := [path for path, there in zip(paths, present, strict=True) if not there]:
        raise DataError(f"{gone[0]}: not there ({len(gone)} of {len(paths)} recordings are gone); run data-prep again")
    details = [f"{split} {_count(len(them), 'utterance')}, {hours(them):.2f} h" for split, them in splits.items()]
    advice = []
    for first, second in combinations(splits, 2):
        if speakers := {u.speaker for u in splits[first]} & {u.speaker for u in splits[second]} - {""}:
            details.append(f"{_count(len(speakers), 'speaker')} in both {first} and {second}")
        marks = {mark for u in splits[first] for mark in _marks(u)}
        if same := [u.id for u in splits[second] if not marks.isdisjoint(_marks(u))]:
            these = f"{_count(len(same), 'utterance')} of {second} in {first} too, such as {same[0]!r}"
            advice.append(f"{these}: the WER on {second} will flatter")
    return Finding("manifests", "; ".join(details), "; ".join(advice))


def alphabet(vocabulary: Vocabulary, targets: Targets) -> Finding:
    """Which tokens of each head there are to learn from."""
    never, details = [], []
    names = {"tokens": vocabulary.tokens, "phones": vocabulary.phones}
    for head, (name, tokens) in enumerate((name, tokens) for name, tokens in names.items() if tokens):
        seen = {number for place in range(len(targets)) for number in targets[place][head]}
        never += [token for number, token in enumerate(tokens) if number and number not in seen]
        details.append(f"{len(seen)} of {len(tokens) - 1} {name}")
    shown = ", ".join(map(repr, never[:10])) + (f" and {len(never) - 10} more" if len(never) > 10 else "")
    detail = f"{' and '.join(details)} occur in training"
    return Finding("alphabet", detail, f"never in training: {shown}" if never else "")


def ctc(
    utterances: Sequence[Utterance],
    targets: Targets,
    features: FeatureConfig,
    subsampling: int,
    speeds: Sequence[float],
    tempo: float = 0.0,
) -> Finding:
    """Whether the frames of every utterance, after subsampling, suffice for its tokens, also when it is said fastest.

    Raises:
        DataError: At normal speed they do not; names utterances and settings.
    """

    def frames(utterance: Utterance, speed: float = 1.0, tempo: float = 0.0) -> int:
        samples = round((utterance.duration_s or 0.0) * features.sample_rate_hz / speed)
        return output_frames(round(frame_count(samples, features) * (1 - tempo)), subsampling)

    needs = [(utterance, max(map(frames_needed, targets[place]))) for place, utterance in enumerate(utterances)]
    if short := [(utterance, needed) for utterance, needed in needs if frames(utterance) < needed]:
        shown = ", ".join(f"{u.id!r} ({frames(u)} frames, {needed} needed)" for u, needed in short[:3])
        raise DataError(
            f"{_count(len(short), 'utterance')} with too few frames for CTC: {shown}; "
            f"lower model.subsampling ({subsampling}) or features.hop_ms ({features.hop_ms:g}), or run data-prep again"
        )
    tightest, needed = max(needs, key=lambda pair: pair[1] / frames(pair[0]))
    detail = f"the tightest utterance needs {needed} of its {frames(tightest)} frames"
    fastest = max(speeds)
    squeezed = sum(frames(utterance, fastest, tempo) < needed for utterance, needed in needs)
    how = f"at speed {fastest:g}" + (f" and a tempo that takes {tempo:.0%} off" if tempo else "")
    advice = f"{_count(squeezed, 'utterance')} with too few frames {how}: drawn at it, they teach nothing"
    return Finding("ctc", detail, advice if squeezed else "")


@dataclass(frozen=True)
class Memory:
    """The peak at the longest batch, as it was foretold from parts of the batch and as it was."""

    predicted_bytes: int
    measured_bytes: int
    training_bytes: int
    """About what a training will hold: also moments, recordings, and the gaps between blocks."""
    available_bytes: int | None

    @property
    def finding(self) -> Finding:
        there = "" if self.available_bytes is None else f", {_size(self.available_bytes)} there"
        peak = f"{_size(self.measured_bytes)} at the longest batch (predicted {_size(self.predicted_bytes)})"
        return Finding("memory", f"{peak}, about {_size(self.training_bytes)} in training{there}")


@dataclass(frozen=True)
class Trial:
    """The longest batch before the first step: whether its memory is there."""

    batch: Batch
    longest_s: float
    """The duration of its longest utterance, at its speed."""
    batch_s: float
    """The setting `training.batch_s`, for the advice."""
    device: torch.device

    def run(self, rehearse: Callable[[Batch], object], later_bytes: int = 0) -> Memory:
        """Takes growing parts of the batch, and the whole last; not the next one when the memory for it is not there.

        The peak is linear in the padded seconds of a batch, so two parts foretell the next.

        Args:
            rehearse: Takes a batch forwards and backwards and leaves no trace.
            later_bytes: What training will hold beyond that: moments of the optimiser, recordings kept in memory.

        Raises:
            AsrError: Out of memory, or it would be; names the duration and the batch budget, and what to change.
        """

        def part(share: float) -> tuple[Batch, float]:
            smaller = cut(self.batch, share)
            return smaller, smaller.waveforms.numel() / self.batch.waveforms.numel()

        def explain(problem: str, fits: float) -> AsrError:
            return _trouble(problem, self.batch, self.longest_s, self.batch_s, fits)

        return try_parts(part, rehearse, explain, self.device, later_bytes)


def try_parts(
    part: Callable[[float], tuple[Any, float]],
    rehearse: Callable[[Any], object],
    explain: Callable[[str, float], AsrError],
    device: torch.device,
    later_bytes: int = 0,
) -> Memory:
    """As `Trial.run`, of a batch of any kind.

    Args:
        part: About that share of the batch, and its true share; of 1, the whole.
        explain: The error for a problem, and for the share of the batch that is thought to fit.
    """
    peaks: list[tuple[float, int]] = []
    predicted = 0.0
    for share in SHARES:
        smaller, amount = part(share)
        if peaks and amount <= peaks[-1][0]:  # it is too small to be cut so finely
            continue
        if len(peaks) > 1:
            predicted = _foretell(peaks, amount, explain, device, later_bytes)
        reset_peak_memory(device)
        with out_of_memory(partial(explain, "out of memory before the first step", amount / 2)):
            rehearse(smaller)
        peaks.append((amount, peak_memory_bytes(device)))
        del smaller
    if len(peaks) > 1:
        _foretell(peaks, 1.0, explain, device, later_bytes)
    reset_peak_memory(device)
    measured = peaks[-1][1]
    gaps = max(round(GAPS_SHARE * measured), GAPS_BYTES) if device.type == "cpu" else 0
    training = measured + gaps + later_bytes
    return Memory(round(predicted), measured, training, available_memory_bytes(device))


def _foretell(
    peaks: list[tuple[float, int]],
    amount: float,
    explain: Callable[[str, float], AsrError],
    device: torch.device,
    later_bytes: int,
) -> float:
    """The peak at the whole batch; raises when already that at `amount` of it is more than there is."""
    (less, low), (more, high) = peaks[-2:]
    slope = max((high - low) / (more - less), 1.0)
    base = high - slope * more
    available = available_memory_bytes(device)
    if available is not None and base + slope * amount + later_bytes > available:
        needed = _size(base + slope + later_bytes)
        problem = f"not enough memory: about {needed} needed, {_size(available)} there"
        fits = 0.9 * (available - later_bytes - base) / slope  # a tenth for what the line does not know
        raise explain(problem, fits)
    return base + slope


@contextmanager
def memory_trouble(batch: Batch, longest_s: float, batch_s: float, when: str, fits: float = 0.5) -> Iterator[None]:
    """Makes one clear line of any of the ways in which memory runs out within the block.

    Args:
        batch: At work in the block.
        longest_s: The duration of its longest utterance, at its speed.
        batch_s: The setting `training.batch_s`.
        when: Such as `in epoch 3`.
        fits: The share of the batch that is thought to fit.

    Raises:
        AsrError: Out of memory; names the duration and the batch budget, and what to change.
    """
    with out_of_memory(lambda: _trouble(f"out of memory {when}", batch, longest_s, batch_s, fits)):
        yield


@contextmanager
def out_of_memory(explain: Callable[[], AsrError]) -> Iterator[None]:
    """Raises what `explain` gives in place of any of the ways in which memory runs out within the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if isinstance(error, RuntimeError) and not any(words in str(error).lower() for words in OUT_OF_MEMORY):
            raise
        raise explain() from error


def cut(batch: Batch, share: float) -> Batch:
    """About that share of a batch's padded samples: fewer utterances, each a little shorter where need be.

    Tokens are cut as the samples are, so that CTC can still spell them.
    """
    count, longest = batch.waveforms.shape
    rows = math.ceil(count * share)
    samples = math.ceil(longest * (count * share / rows))
    lengths = batch.waveform_lengths[:rows].clamp(max=samples)
    targets = []
    for tokens, token_lengths in batch.targets:
        kept = (token_lengths[:rows] * lengths // batch.waveform_lengths[:rows]).clamp(min=1)
        tokens = tokens[:rows, : int(kept.max())]
        targets.append((tokens * length_mask(kept, tokens.shape[1]), kept))
    return Batch(batch.ids[:rows], batch.waveforms[:rows, :samples], lengths, tuple(targets))


def _trouble(problem: str, batch: Batch, longest_s: float, batch_s: float, fits: float) -> AsrError:
    """One line: the problem, the batch at hand, and the setting to change."""
    rows = len(batch.ids)
    fits_s = fits * rows * longest_s
    advice = f"lower training.batch_s to about {_rounded(fits * batch_s)}"
    if fits <= 0:
        advice = "no batch would fit: lower training.keep_hours, or make the model smaller"
    elif rows == 1:
        advice = f"leave out utterances longer than about {_rounded(fits_s)} s; a lower batch_s would not cut them"
    elif fits_s < longest_s:
        advice += f" and leave out utterances longer than {_rounded(fits_s)} s"
    held = f"{rows} utterances of up to" if rows > 1 else "one utterance of"
    return AsrError(f"{problem}: the batch holds {held} {longest_s:.1f} s (training.batch_s = {batch_s:g}): {advice}")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _marks(utterance: Utterance) -> list[tuple[object, ...]]:
    """What gives away that two utterances are one: the id, or the samples (CRC-32 alone meets by chance in 100 h)."""
    same_samples = [(utterance.crc32, utterance.duration_s)] if utterance.crc32 else []
    return [(utterance.id,), *same_samples]


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _rounded(value: float) -> str:
    """To two figures: a piece of advice, not a measurement."""
    return f"{float(f'{value:.2g}'):g}"


def _size(number: float) -> str:
    return f"{number / 1e6:.0f} MB" if number < 1e8 else f"{number / 1e9:.1f} GB"
