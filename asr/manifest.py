"""Manifests: which recording holds which words, one JSON object a line, in NeMo's keys."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asr.errors import DataError
from asr.files import read_json_lines, write_json_lines


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A stretch of speech in a recording, with the words said in it."""

    id: str
    audio_filepath: Path
    text: str = ""
    speaker: str = ""
    offset_s: float = 0.0
    duration_s: float | None = None
    """From `offset_s`; None: to the end of the recording, which nobody has measured yet."""
    crc32: str = ""
    """Of the samples, so that a manifest changes when a recording does."""


def read_manifest(path: Path) -> list[Utterance]:
    """The utterances of a manifest, in its order.

    A relative `audio_filepath` counts from the manifest's folder. An utterance without `id`, as in NeMo's own
    manifests, is called after its file, with `@offset` where it has one. Keys that are not ours are passed over.

    Raises:
        DataError: Not a manifest, a key missing or of the wrong kind, two utterances with one id; names file and line.
    """
    utterances: dict[str, Utterance] = {}
    for number, record in enumerate(read_json_lines(path), start=1):
        try:
            utterance = from_record(record, path.parent)
        except KeyError as error:
            raise DataError(f"{path}: entry {number} has no {error}") from error
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: entry {number}: {error}") from error
        if utterance.id in utterances:
            raise DataError(f"{path}: entry {number} repeats the id {utterance.id!r}")
        utterances[utterance.id] = utterance
    return list(utterances.values())


def write_manifest(path: Path, utterances: Iterable[Utterance]) -> None:
    """Writes a manifest that `read_manifest` and NeMo read; recordings below its folder are named relative to it.

    Raises:
        DataError: Two utterances with one id.
    """
    records: dict[str, dict[str, Any]] = {}
    for utterance in utterances:
        if utterance.id in records:
            raise DataError(f"{path}: two utterances with the id {utterance.id!r}")
        records[utterance.id] = to_record(utterance, path.parent)
    write_json_lines(path, records.values())


def to_record(utterance: Utterance, folder: Path) -> dict[str, Any]:
    """The manifest line for an utterance; a recording below `folder` is named relative to it."""
    audio, folder = utterance.audio_filepath.absolute(), folder.absolute()
    record: dict[str, Any] = {
        "id": utterance.id,
        "audio_filepath": audio.relative_to(folder).as_posix() if audio.is_relative_to(folder) else str(audio),
        "duration": utterance.duration_s,
        "text": utterance.text,
        "speaker": utterance.speaker,
    }
    if utterance.offset_s:
        record["offset"] = utterance.offset_s
    if utterance.crc32:
        record["crc32"] = utterance.crc32
    return record


def hours(utterances: Iterable[Utterance]) -> float:
    return sum(utterance.duration_s or 0.0 for utterance in utterances) / 3600


def from_record(record: dict[str, Any], folder: Path) -> Utterance:
    """The utterance in a manifest's line; a relative `audio_filepath` counts from the folder.

    Raises:
        KeyError: There is no `audio_filepath` or no `duration`.
        TypeError, ValueError: A value is of the wrong kind.
    """
    audio = folder / record["audio_filepath"]
    offset_s = float(record.get("offset") or 0.0)
    duration = record["duration"]
    return Utterance(
        id=str(record.get("id") or (f"{audio.stem}@{offset_s:g}" if offset_s else audio.stem)),
        audio_filepath=audio,
        text=str(record.get("text") or ""),
        speaker=str(record.get("speaker") or ""),
        offset_s=offset_s,
        duration_s=None if duration is None else float(duration),
        crc32=str(record.get("crc32") or ""),
    )
