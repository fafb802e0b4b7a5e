"""Where a recipe's recordings are: given, known from last time, under `$ASR_CORPORA`, or fetched from the publisher."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from asr.config import settings
from asr.download import Archive, download
from asr.errors import DataError


@settings
class CorpusConfig:
    folder: str = ""
    """The corpus's folder below `$ASR_CORPORA`; empty for a recipe that makes its own speech."""
    beside: tuple[str, ...] = ()
    """Folders of further corpora, next to that one, from which the recipe takes what is there."""
    licence: str = ""
    language: str = ""
    """Its code, such as `en`, for the model card."""
    archives: tuple[Archive, ...] = ()
    strip: Annotated[int, Ge(0)] = 0
    """Leading folders inside the archives that are left away, but for those of corpora beside."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for the recipe's `prepare`."""


@dataclass(frozen=True)
class Corpus:
    """What a recipe's `prepare` is given."""

    folder: Path
    """The corpus, to be read."""
    made: Path
    """A folder of the experiment for recordings that the recipe makes itself."""
    beside: tuple[Path, ...] = ()
    """Further corpora, to be read: those that the recipe names and that are there."""


def corpora() -> Path:
    """The folder that has a folder for each corpus, and texts: `$ASR_CORPORA`, else `corpora` here."""
    return Path(os.environ.get("ASR_CORPORA") or "corpora")


def locate(config: CorpusConfig, given: Path | None, known: Path | None) -> Path:
    """The folder that holds the corpus, or would after a download."""
    if given:
        return given
    if known and known.is_dir():
        return known
    return corpora() / config.folder


def fetch(config: CorpusConfig, folder: Path, splits: Collection[str]) -> None:
    """Downloads from the publisher what the splits need and the folder lacks.

    Raises:
        DataError: The recipe knows no archives.
        DownloadError: An archive cannot be fetched, is not what it should be, or is not safe to unpack.
    """
    if not config.archives and not folder.is_dir():
        raise DataError(f"this recipe cannot download {config.folder or 'anything'}; its README says where to get it")
    needed = [archive for archive in config.archives if archive.holds in splits or len(config.archives) == 1]
    beside = [archive for archive in needed if archive.holds in config.beside]
    download([archive for archive in needed if archive not in beside], folder, config.strip)
    if beside:
        download(beside, folder.absolute().parent)


def neighbours(config: CorpusConfig, folder: Path) -> tuple[Path, ...]:
    """The folders of further corpora that are there, next to a corpus folder."""
    return tuple(path for name in config.beside if (path := folder.absolute().parent / name).is_dir())


def require(folder: Path) -> Path:
    """The folder, when it is there.

    Raises:
        DataError: It is not; says what to do.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such corpus folder; name it with --corpus DIR, set ASR_CORPORA to the folder "
            f"that holds {folder.name}, or add --download"
        )
    return folder
