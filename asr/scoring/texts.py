"""References and hypotheses read from files of any kind, which is found by what they hold."""

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from asr.errors import DataError
from asr.files import STDIN, read_lines, read_text
from asr.scoring import parsers
from asr.scoring.entries import COMMENT, Entry, Source, check, distinct
from asr.scoring.parsers import Parser

__all__ = ["Entry", "Kind", "Texts", "read_speakers", "read_texts", "read_together"]

Kind = Literal[
    "manifest", "JSON lines", "JSON", "Kaldi text", "trn", "stm", "ctm", "CSV", "TSV", "plain lines", "folder of texts"
]

PARSERS: dict[Kind, Parser] = {
    "manifest": parsers.json_lines,
    "JSON lines": parsers.json_lines,
    "JSON": parsers.json_file,
    "trn": parsers.trn,
    "stm": parsers.stm,
    "ctm": parsers.ctm,
    "CSV": partial(parsers.table, delimiter=","),
    "TSV": partial(parsers.table, delimiter="\t"),
    "Kaldi text": parsers.kaldi_text,
    "plain lines": parsers.plain_lines,
}

LOOKED_AT = 1000
"""Lines of a file, to find its kind."""

MOST = 0.9
"""The share of these that have to be of a kind; one that is not will be named when it is read."""

NUMBER = r"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?nan|[-+]?inf|\*)"
LAYOUTS: dict[Kind, re.Pattern[str]] = {
    "trn": re.compile(r".*\([^()\s]+\)\s*"),
    "ctm": re.compile(rf"\s*\S+\s+\S+\s+({NUMBER})\s+({NUMBER})(?:\s+\S+){{1,4}}\s*", re.IGNORECASE),
    "stm": re.compile(rf"\s*\S+\s+\S+\s+\S+\s+({NUMBER})\s+({NUMBER})(?:\s.*)?", re.IGNORECASE),
}
"""How a line looks; the groups are times."""

ID = re.compile(r"(?=.*\d)(?:\d{3,}|(?=.*[^\W\d]|.*[-_./:]).{2,})")
"""A first word that hardly begins a sentence: digits, with a letter or a mark among them if they are few."""


@dataclass(frozen=True)
class Texts:
    """What a file says, utterance by utterance."""

    path: Path
    kind: Kind
    entries: dict[str, Entry]
    """By id, in the order of the file."""
    ignored: tuple[Entry, ...] = ()
    """Segments of an stm that are not to be scored."""


def read_texts(path: Path, hypothesis: bool = False) -> Texts:
    """The texts of a file by itself, by the rules of `read_together`.

    Args:
        hypothesis: Of a manifest or a table with both, the hypothesis is wanted, not the reference.
    """
    return _read_all([_open(path, hypothesis)])[0]


def read_together(reference: Path, hypotheses: Sequence[Path]) -> tuple[Texts, list[Texts]]:
    """The texts of a reference and of hypotheses for it; one of the files may be `-`, the standard input.

    What kind a file is, is found by its content. Its name counts in three cases only: an stm or ctm without a decimal
    point in its times, or with numbers for speakers or words, has to end in .stm or .ctm; a .csv or .tsv has to have
    the columns of a table; and of lines that all begin with a word of their own, the same words in both files, the name
    decides whether these are ids.

    Lines of words begin with the ids of Kaldi's `text` beside a file of a kind with ids; or if all first words of a
    file look like ids (digits with letters or marks, `84-121123-0001`), and those of the others do or are mostly the
    same. Else the files are plain, line by line, unless each first word occurs once and the files share most of them:
    then they are plain if they end in .txt, Kaldi's if they are called `text`, and otherwise refused.

    A folder is read as one utterance for each .txt in and below it.

    Raises:
        DataError: A file cannot be read, is not UTF-8, is of no known kind, or a line is not of the kind of the others;
            an id occurs twice; one file has ids and the other none; plain files differ in their number of lines. Names
            file, line and value.
    """
    if [reference, *hypotheses].count(STDIN) > 1:
        raise DataError("-: only one of the files can be the standard input")
    texts = _read_all([_open(reference, False), *(_open(path, True) for path in hypotheses)])
    for other in texts[1:]:
        _check_sides(texts[0], other)
    return texts[0], texts[1:]


def read_speakers(path: Path) -> dict[str, str]:
    """The speaker of each id, as Kaldi's `utt2spk` tells them.

    Raises:
        DataError: A line does not have an id and a speaker; names file and line.
    """
    speakers = {}
    for number, line in read_lines(path):
        fields = line.split()
        if len(fields) != 2:
            raise DataError(f"{path}:{number}: an id and a speaker were expected, found {line.strip()[:60]!r}")
        speakers[fields[0]] = fields[1]
    return speakers


def _read_all(opened: Sequence[Source | Texts]) -> list[Texts]:
    """Those that are not read yet are read, the kinds of lines of words chosen together."""
    kinds = [found.kind if isinstance(found, Texts) else _kind(found) for found in opened]
    undecided = [found for found, kind in zip(opened, kinds, strict=True) if kind is None and isinstance(found, Source)]
    chosen: Kind = "Kaldi text" if any(kinds) or _have_ids(undecided) else "plain lines"
    texts = [
        found if isinstance(found, Texts) else _parse(found, kind or chosen)
        for found, kind in zip(opened, kinds, strict=True)
    ]
    known = next((text for text, kind in zip(texts, kinds, strict=True) if kind), None)
    for text in texts:
        if known and text.kind == "Kaldi text" and not text.entries.keys() & known.entries.keys():
            first = next(iter(text.entries))
            raise DataError(
                f"{text.path}: its lines begin with no id of {known.path} ({known.kind}), the first with {first!r}; "
                "lines without ids can be joined with such lines only"
            )
    return texts


def _parse(source: Source, kind: Kind) -> Texts:
    scored: list[Entry] = []
    ignored: list[Entry] = []
    for entry in PARSERS[kind](source):
        (ignored if entry.ignored else scored).append(entry)
    return Texts(source.path, kind, distinct(source.path, scored), tuple(ignored))


def _check_sides(reference: Texts, hypothesis: Texts) -> None:
    """Refuses what is most likely given in the wrong order, and plain files that do not go together."""
    r, h = reference, hypothesis
    times_heard = r.kind in ("JSON lines", "JSON") and any(entry.words for entry in r.entries.values())
    if (r.kind, h.kind) == ("ctm", "stm") or (times_heard and h.kind == "manifest"):
        raise DataError(f"{r.path} ({r.kind}) is a hypothesis, and {h.path} ({h.kind}) a reference: swap the two")
    if r.kind == h.kind == "plain lines" and len(r.entries) != len(h.entries):
        raise DataError(
            f"{h.path} has {len(h.entries)} lines, but {r.path} has {len(r.entries)}: without ids they cannot be joined"
        )


def _have_ids(sources: Sequence[Source]) -> bool:
    """Whether the lines of all these files begin with ids; the rules are told at `read_together`.

    Raises:
        DataError: It cannot be told, or it is so in one file and not in the other.
    """
    heads = [[line.split(maxsplit=1)[0] for _, line in source.numbered()] for source in sources]
    like = [bool(words) and all(map(ID.fullmatch, words)) for words in heads]
    share = all(2 * len({*heads[0]} & {*words}) >= len(words) for words in heads[1:])
    if all(like) or (any(like) and len(like) > 1 and share):
        return True
    if any(like):
        yes, no = like.index(True), like.index(False)
        raise DataError(
            f"{sources[yes].path}: its lines begin with ids, such as {heads[yes][0]!r}, those of {sources[no].path} not"
        )
    if not (share and all(heads) and all(len(set(words)) == len(words) for words in heads)):
        return False
    if all(source.path.name == "text" for source in sources):
        return True
    if len(sources) == 1 or all(source.path.suffix == ".txt" for source in sources):
        return False
    raise DataError(
        f"{sources[0].path}: each line begins with a word of its own, such as {heads[0][0]!r}, that is in "
        f"{sources[1].path} too; is it an id, or was it said? Call both files text, or let them end in .txt"
    )


def _kind(source: Source) -> Kind | None:
    """What the lines are; None for lines of words, which have to be looked at together with the other files'."""
    lines = [line for _, line in itertools.islice(source.numbered(COMMENT), LOOKED_AT)]
    if not lines:
        if any(source.numbered()):
            raise DataError(f"{source.path}: no utterance in it, only comments")
        return None
    return _json_kind(source, lines) or _layout(source, lines) or _table(source, lines)


def _json_kind(source: Source, lines: Sequence[str]) -> Kind | None:
    if not lines[0].lstrip().startswith("{"):
        return None
    for text in (lines[0], "\n".join(source.lines)):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if "audio_filepath" in record:
            return "manifest"
        return "JSON lines" if text is lines[0] and ("id" in record or len(lines) > 1) else "JSON"
    if re.match(r'\s*\{\s*("|$)', lines[0]):
        raise source.error(1, "neither JSON nor JSON lines")
    return None


def _layout(source: Source, lines: Sequence[str]) -> Kind | None:
    suffix = source.path.suffix.lower()
    like = [kind for kind, pattern in LAYOUTS.items() if _share(pattern, lines) >= MOST]
    named: list[Kind] = [kind for kind in like if suffix == f".{kind}"]
    if named or "trn" in like:
        return (named or ["trn"])[0]
    timed = [kind for kind in like if _has_points(LAYOUTS[kind], lines)]
    return timed[0] if timed else None


def _share(pattern: re.Pattern[str], lines: Sequence[str]) -> float:
    return sum(pattern.fullmatch(line) is not None for line in lines) / len(lines)


def _has_points(pattern: re.Pattern[str], lines: Sequence[str]) -> bool:
    """Whether both times have a decimal point in some line, as numbers that were said hardly do."""
    matches = filter(None, map(pattern.fullmatch, lines))
    return any(all("." in time for time in match.groups()) for match in matches)


def _table(source: Source, lines: Sequence[str]) -> Kind | None:
    """A table has a header with the columns that are needed, or is called so; two columns without are ids and texts."""
    tabs = [line.count("\t") for line in lines]
    kind: Kind = "TSV" if tabs[0] else "CSV"
    delimiter = "\t" if tabs[0] else ","
    header = [name.strip('" ') for name in lines[0].split(delimiter)]
    if [name.lower() for name in header] == ["start", "end", "text"]:
        raise source.error(1, "segments of one recording (start, end, text) have no id; take its JSON")
    try:
        parsers.named_columns(source, header)
    except DataError:
        if set(tabs) == {1} and not any(" " in line.partition("\t")[0] for line in lines):
            return "Kaldi text"
        if source.path.suffix.lower() == f".{kind.lower()}":
            raise
        return None
    return kind


def _open(path: Path, hypothesis: bool) -> Source | Texts:
    if path.is_dir():
        return _folder(path)
    lines = _read(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return Source(path, lines if lines[-1] else lines[:-1], hypothesis)


def _folder(path: Path) -> Texts:
    files = sorted(path.rglob("*.txt"))
    if not files:
        raise DataError(f"{path}: a folder, and no .txt in it")
    found: dict[str, tuple[Path, Entry]] = {}
    for file in files:
        entry = check(file, parsers.file_of_one(file, _read(file, empty=True)))
        if entry.id in found:
            raise DataError(f"{file}: the id {entry.id!r} is also that of {found[entry.id][0]}")
        found[entry.id] = file, entry
    return Texts(path, "folder of texts", {name: entry for name, (_, entry) in found.items()})


def _read(path: Path, empty: bool = False) -> str:
    text = read_text(path)
    if not text and not empty:
        raise DataError(f"{path}: the file is empty")
    return text
