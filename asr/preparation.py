"""Data preparation: every utterance looked at once, the usable ones into manifests, the others listed with a reason."""

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr.audio import read
from asr.errors import AsrError, DataError
from asr.features import FeatureConfig, frame_count
from asr.files import write_json_lines
from asr.lexicon.entries import Lexicon
from asr.manifest import Utterance, hours, to_record, write_manifest
from asr.model import output_frames
from asr.progress import say, track_in_threads
from asr.targets import Targets
from asr.text import Vocabulary, frames_needed, normalise


@dataclass(frozen=True)
class Checks:
    """What an utterance must meet to be trained on."""

    vocabulary: Vocabulary
    features: FeatureConfig
    subsampling: int
    lexicon: Lexicon | None = None
    """With phones: the pronunciations of all words."""

    def check(self, utterance: Utterance) -> Utterance:
        """The utterance with its text normalised, its duration measured and its samples summed up.

        Raises:
            AsrError: Why it cannot be used.
        """
        text = normalise(utterance.text)
        if not text:
            raise DataError("no transcript")
        heads = Targets(self.vocabulary, [("", text)], self.lexicon)[0]
        rate = self.features.sample_rate_hz
        waveform = read(utterance.audio_filepath, rate, utterance.offset_s, utterance.duration_s)
        if not waveform.any():
            raise DataError("silent: every sample is zero")
        frames = output_frames(frame_count(len(waveform), self.features), self.subsampling)
        ids = max(heads, key=frames_needed)
        if frames < frames_needed(ids):
            needed = frames_needed(ids)
            raise DataError(f"too short for its text: {frames} frames, and {len(ids)} tokens need {needed}")
        crc32 = f"{zlib.crc32(waveform.tobytes()):08x}"
        return replace(utterance, text=text, duration_s=round(len(waveform) / rate, 6), crc32=crc32)


def write_data(splits: Mapping[str, Sequence[Utterance]], checks: Checks, folder: Path) -> dict[str, list[Utterance]]:
    """Checks every utterance and writes `SPLIT.jsonl` manifests and `dropped.jsonl`.

    Returns:
        What was kept of each split.

    Raises:
        DataError: Nothing of a split could be kept; what was dropped is written all the same.
    """
    kept: dict[str, list[Utterance]] = {}
    dropped: list[dict[str, Any]] = []
    seen: set[str] = set()
    for split, utterances in splits.items():
        kept[split], left_out = _check_split(split, utterances, checks, seen, folder)
        dropped += left_out
        say(f"data-prep: {split}: {len(kept[split])} utterances, {hours(kept[split]):.2f} h")
    write_json_lines(folder / "dropped.jsonl", dropped)
    if dropped:
        reasons = Counter(re.split(r"[:,]| after ", record["reason"])[0] for record in dropped)
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        say(f"data-prep: {len(dropped)} left out ({counts}); see {folder / 'dropped.jsonl'}")
    if empty := [split for split, utterances in kept.items() if not utterances]:
        raise DataError(f"{folder}: no usable utterance in {', '.join(empty)}; see {folder / 'dropped.jsonl'}")
    for split, utterances in kept.items():
        write_manifest(folder / f"{split}.jsonl", utterances)
    return kept


def _check_split(
    split: str, utterances: Sequence[Utterance], checks: Checks, seen: set[str], folder: Path
) -> tuple[list[Utterance], list[dict[str, Any]]]:
    def outcome(utterance: Utterance) -> Utterance | AsrError:
        try:
            return checks.check(utterance)
        except AsrError as error:
            return error

    kept, dropped = [], []
    outcomes = track_in_threads(outcome, utterances, f"checking {split}")
    for utterance, result in zip(utterances, outcomes, strict=True):
        if utterance.id in seen:
            result = DataError("the id stands twice")
        if isinstance(result, Utterance):
            seen.add(utterance.id)
            kept.append(result)
        else:
            reason = str(result).removeprefix(f"{utterance.audio_filepath}: ")
            dropped.append({**to_record(utterance, folder), "split": split, "reason": reason})
    return kept, dropped
