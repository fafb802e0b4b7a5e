"""LibriSpeech in its publisher's layout: `SPLIT/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` beside the recordings.

LJSpeech, too, where a recipe takes from it: `metadata.csv`, whose lines are `id|text|text as it is said`, and `wavs/`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from asr.config import settings
from asr.corpus import Corpus
from asr.manifest import Utterance
from asr.progress import say
from asr.spoken import spoken

TRANSCRIPTS = ".trans.txt"
METADATA = "metadata.csv"
LJSPEECH_ID = re.compile(r"(LJ\d{3}-)(\d{4})")
LJSPEECH_SPEAKER = "LJ"


@settings
class Passages:
    """Which utterances of LJSpeech, by their ids: the same are found in the whole corpus and in a piece of it."""

    ranges: tuple[tuple[str, str], ...] = ()
    """Stretches of a chapter, each from one id to another; none: all that there is."""
    every: Annotated[int, Ge(1)] = 1
    """Of each stretch the first utterance, and those whose numbers are so many further on, again and again."""

    def __post_init__(self) -> None:
        if self.every > 1 and not self.ranges:
            raise ValueError(f"every = {self.every}: needs ranges to count from")
        for first, last in self.ranges:
            both = LJSPEECH_ID.fullmatch(first), LJSPEECH_ID.fullmatch(last)
            if not (both[0] and both[1] and both[0][1] == both[1][1] and first <= last):
                raise ValueError(
                    f"ranges: {first} to {last}: two ids such as LJ001-0001 are needed, in order, of one chapter"
                )

    def ids(self) -> Iterator[str]:
        """Every id that is asked for."""
        for first, last in self.ranges:
            chapter, numbers = first[:-4], range(int(first[-4:]), int(last[-4:]) + 1, self.every)
            yield from (f"{chapter}{number:04d}" for number in numbers)


EVERYTHING = Passages()


def prepare(
    corpus: Corpus, *, speakers: dict[str, tuple[str, ...]] | None = None, ljspeech: Passages = EVERYTHING
) -> dict[str, list[Utterance]]:
    """Every split in the corpus folder, under its publisher's name; LJSpeech beside it, under its folder's.

    A transcript without a recording and a recording without a transcript are utterances too: the check that follows
    leaves them out and lists them. So it is with what is asked for of LJSpeech, and not there.

    Args:
        speakers: By split: only these speakers, `19`, or chapters, `19/227`. Those that are not there are named.
        ljspeech: Only this of LJSpeech.
    """
    only = speakers or {}
    splits = {folder.name: _read_split(folder, only.get(folder.name)) for folder in _folders(corpus.folder)}
    for name in only.keys() - splits.keys():
        say(f"data-prep: speakers of {name}: no such split in {corpus.folder}")
    for folder in corpus.beside:
        if (folder / METADATA).is_file():
            splits[folder.name] = _read_ljspeech(folder, set(ljspeech.ids()))
    return {name: utterances for name, utterances in splits.items() if utterances}


def _read_split(folder: Path, only: tuple[str, ...] | None) -> list[Utterance]:
    chapters = {chapter: _names(chapter) for speaker in _folders(folder) for chapter in _folders(speaker)}
    if only is not None:
        if missing := sorted(set(only) - set().union(*chapters.values())):
            say(f"data-prep: {folder.name}: no speaker or chapter {', '.join(missing)} in {folder}")
        chapters = {chapter: names for chapter, names in chapters.items() if names & set(only)}
    return [utterance for chapter in chapters for utterance in _read_chapter(chapter)]


def _names(chapter: Path) -> set[str]:
    """What a chapter may be asked for by: its speaker, and speaker and chapter."""
    return {chapter.parent.name, f"{chapter.parent.name}/{chapter.name}"}


def _read_chapter(chapter: Path) -> list[Utterance]:
    speaker = chapter.parent.name
    transcripts = chapter / f"{speaker}-{chapter.name}{TRANSCRIPTS}"
    lines = _read_lines(transcripts) if transcripts.is_file() else []
    texts = {name: text for name, _, text in (line.partition(" ") for line in lines) if name}
    recordings = [path for path in _files(chapter) if path != transcripts]
    return _join(texts, recordings, chapter, ".flac", speaker)


def _read_ljspeech(folder: Path, only: set[str]) -> list[Utterance]:
    """The utterances with these ids; all where there are none."""
    rows = [[*line.split("|"), "", ""] for line in _read_lines(folder / METADATA) if line]
    texts = {name: spoken(text) for name, _, text, *_ in rows}
    recordings = _files(folder / "wavs")
    if only:
        texts = {name: texts.get(name, "") for name in only}
        recordings = [path for path in recordings if path.stem in only]
    return _join(texts, recordings, folder / "wavs", ".wav", LJSPEECH_SPEAKER)


def _join(texts: dict[str, str], recordings: list[Path], folder: Path, ending: str, speaker: str) -> list[Utterance]:
    """Texts with their recordings, in order; a text that has none gets the path that its publisher gives it."""
    missing = [folder / f"{name}{ending}" for name in texts.keys() - {path.stem for path in recordings}]
    return [Utterance(path.stem, path, texts.get(path.stem, ""), speaker) for path in sorted([*recordings, *missing])]


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir())


def _files(folder: Path) -> list[Path]:
    """The files in a folder, without hidden ones, of any audio format: copies may be smaller than what is published."""
    return [path for path in folder.glob("[!.]*.*") if path.is_file()]


def _read_lines(path: Path) -> list[str]:
    """Bytes that are no UTF-8 become a character outside every alphabet, and cost their line only."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        say(f"data-prep: {path}: {error.strerror}")
        return []
