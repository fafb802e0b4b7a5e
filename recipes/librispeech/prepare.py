"""LibriSpeech in its publisher's layout: `SPLIT/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` beside the recordings."""

from pathlib import Path

from asr.corpus import Corpus
from asr.manifest import Utterance
from asr.progress import say

TRANSCRIPTS = ".trans.txt"


def prepare(corpus: Corpus) -> dict[str, list[Utterance]]:
    """Every split in the corpus folder, under its publisher's name.

    A transcript without a recording and a recording without a transcript are utterances too: the check that follows
    leaves them out and lists them.
    """
    splits = {folder.name: _read_split(folder) for folder in _folders(corpus.folder)}
    return {name: utterances for name, utterances in splits.items() if utterances}


def _read_split(folder: Path) -> list[Utterance]:
    utterances = []
    for chapter in (chapter for speaker in _folders(folder) for chapter in _folders(speaker)):
        speaker = chapter.parent.name
        transcripts = chapter / f"{speaker}-{chapter.name}{TRANSCRIPTS}"
        texts = _read_transcripts(transcripts) if transcripts.is_file() else {}
        # any audio extension: the publisher's files are FLAC, copies may be smaller
        recordings = [path for path in chapter.glob("[!.]*.*") if path.is_file() and path != transcripts]
        missing = [chapter / f"{name}.flac" for name in texts.keys() - {path.stem for path in recordings}]
        for audio in sorted([*recordings, *missing]):
            utterances.append(Utterance(audio.stem, audio, texts.get(audio.stem, ""), speaker))
    return utterances


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, without hidden ones."""
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir())


def _read_transcripts(path: Path) -> dict[str, str]:
    """The texts by id; bytes that are no UTF-8 become a character outside every alphabet, and cost their line only."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        say(f"data-prep: {path}: {error.strerror}")
        return {}
    return {name: text for name, _, text in (line.partition(" ") for line in lines) if name}
