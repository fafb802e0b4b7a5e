"""Free Spoken Digit Dataset: single digits, and strings of digits joined by a fixed list.

The publisher's split is by index: recordings 0-4 of each digit and speaker are the test set, the others for training.
"""

from pathlib import Path

import numpy as np
import soundfile

from asr.audio import read
from asr.corpus import Corpus
from asr.errors import AsrError, DataError
from asr.files import writing
from asr.manifest import Utterance
from asr.progress import say, track

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SAMPLE_RATE_HZ = 8000
STRINGS = Path(__file__).with_name("strings.txt")


def prepare(corpus: Corpus, *, unseen_speakers: tuple[str, ...] = ()) -> dict[str, list[Utterance]]:
    """The splits `train`, `dev` (index 5-9) and `official` (index 0-4, singles), `connected` (its strings), `unseen`.

    Args:
        corpus: The folder holds `recordings/{digit}_{speaker}_{index}.wav`, or `.flac`; joined strings are written
            to `made`.
        unseen_speakers: All that they say is in `unseen`, and nowhere else.
    """
    recordings = _recordings(corpus.folder)
    speakers = {name.split("_")[1] for name in recordings}
    if unknown := sorted(set(unseen_speakers) - speakers):
        raise DataError(
            f"{corpus.folder}: unseen_speakers: {', '.join(unknown)} not among {', '.join(sorted(speakers))}"
        )
    splits: dict[str, list[Utterance]] = {name: [] for name in ("train", "dev", "official", "connected", "unseen")}
    for name, path in recordings.items():
        digit, speaker, index = name.split("_")
        split = "unseen" if speaker in unseen_speakers else _split(int(index))
        splits[split].append(Utterance(name, path, WORDS[int(digit)], speaker))
    for part, joined in _join(recordings, corpus.made):
        split = "unseen" if joined.speaker in unseen_speakers else part
        splits[split].append(joined)
    return {name: utterances for name, utterances in splits.items() if utterances}


def _recordings(folder: Path) -> dict[str, Path]:
    """The recordings by name, without those that are not called `{digit}_{speaker}_{index}`."""
    paths = sorted(path for path in (folder / "recordings").glob("*_*_*") if path.suffix in (".wav", ".flac"))
    named = {path.stem: path for path in paths if _is_name(path.stem)}
    if not named:
        raise DataError(f"{folder / 'recordings'}: no recordings called DIGIT_SPEAKER_INDEX.wav or .flac")
    if len(named) < len(paths):
        odd = [path.name for path in paths if not _is_name(path.stem)]
        say(f"data-prep: {len(odd)} files not called DIGIT_SPEAKER_INDEX are passed over: {', '.join(odd[:3])}")
    return named


def _is_name(stem: str) -> bool:
    digit, speaker, index = stem.rsplit("_", 2)[0:3] if stem.count("_") == 2 else ("", "", "")
    return digit.isdecimal() and int(digit) < 10 and bool(speaker) and index.isdecimal()


def _split(index: int) -> str:
    return "official" if index < 5 else "dev" if index < 10 else "train"


def _join(recordings: dict[str, Path], folder: Path) -> list[tuple[str, Utterance]]:
    """Writes the strings of the list whose recordings are all there, each with its split."""
    joined = []
    for line in track(STRINGS.read_text().splitlines(), "joining digits"):
        split, name, *parts = line.split()
        if any(part not in recordings for part in parts):
            continue
        path = folder / f"{name}.flac"
        try:
            waveform = np.concatenate([read(recordings[part], SAMPLE_RATE_HZ) for part in parts])
        except AsrError as error:  # the recording itself is listed as dropped
            say(f"data-prep: {name} not joined: {error}")
            continue
        with writing(path, "wb") as stream:
            soundfile.write(stream, waveform, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
        text = " ".join(WORDS[int(part[0])] for part in parts)
        joined.append((split, Utterance(name, path, text, name.split("-")[0])))
    return joined
