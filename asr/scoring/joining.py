"""References and hypotheses joined by id, and what has to be said about that."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from asr.alignment import Word
from asr.errors import DataError
from asr.metrics import first_of
from asr.scoring.entries import Entry
from asr.scoring.result import Scored
from asr.scoring.texts import Texts, read_together

Normalise = Callable[[str], str]
Remarks = list[str]


@dataclass(frozen=True)
class Joined:
    """What one system heard, beside what was said, and remarks for who reads the figures, a sentence each."""

    scored: list[Scored]
    """In the order of the references."""
    remarks: tuple[str, ...]


def join(
    reference: Path,
    hypothesis: Path,
    normalise: Normalise,
    allow_missing: bool = False,
    speakers: Mapping[str, str] | None = None,
) -> Joined:
    """The utterances of two files, of any kinds that `read_together` knows, joined by id.

    Speaker, duration and recording come from the side that tells them, the reference first. Where neither tells a
    speaker, ids may: see `speakers_of`. What was heard keeps its times if its words, normalised one by one, are those
    of the whole text normalised.

    A ctm is laid on the segments of an stm as sclite does it: see `lay`.

    Args:
        normalise: Applied to both texts.
        allow_missing: Utterances without a hypothesis count as deletions, and hypotheses without a reference are left
            out, both with a remark.
        speakers: By id; before those of the files.

    Raises:
        DataError: As `read_together`; or an id is on one side only, and that is not allowed, or all are.
    """
    return join_all(reference, [hypothesis], normalise, allow_missing, speakers)[0]


def join_all(
    reference: Path,
    hypotheses: Sequence[Path],
    normalise: Normalise,
    allow_missing: bool = False,
    speakers: Mapping[str, str] | None = None,
) -> list[Joined]:
    """As `join`, for several systems: each has the same ids in the same order."""
    said, systems = read_together(reference, hypotheses)
    texts = _plain(said.path, said.entries, normalise)
    return [_join(said, texts, heard, normalise, allow_missing, speakers or {}) for heard in systems]


def _join(
    said: Texts,
    texts: Mapping[str, str],
    heard: Texts,
    normalise: Normalise,
    allow_missing: bool,
    speakers: Mapping[str, str],
) -> Joined:
    remarks = [f"{side}: {_told(found)}" for side, found in (("reference", said), ("hypothesis", heard))]
    if said.path == heard.path:
        remarks.append("reference and hypothesis are the same file")
    if (said.kind, heard.kind) == ("stm", "ctm"):
        hypotheses, extra = lay(said, heard, remarks)
    else:
        hypotheses = {name: entry for name, entry in heard.entries.items() if name in said.entries}
        extra = heard.entries.keys() - said.entries.keys()
    _check_ids(said, heard, hypotheses, extra, allow_missing, remarks)
    known = speakers_of(said, heard, speakers, remarks)
    words = _plain(heard.path, hypotheses, normalise)
    scored = [
        _scored(entry, texts[name], hypotheses.get(name), words.get(name, ""), normalise, known[name])
        for name, entry in said.entries.items()
    ]
    _remark_on_texts([each for each in scored if each.id in hypotheses], heard, remarks)
    return Joined(scored, tuple(remarks))


def lay(said: Texts, heard: Texts, remarks: Remarks) -> tuple[dict[str, Entry], set[str]]:
    """The words of a ctm on the segments of an stm, and the recordings of the ctm that the stm has not.

    Each word goes to the first segment of its file and channel, by their beginnings, that ends after the word's middle,
    and if there is none to the last, but never to one before that of the word before. So a word between two segments is
    heard in the second; and if that is one to be ignored, so is the word. A recording without words in the ctm has no
    segments here.

    Source: sclite 2.10, found by trial; its documentation tells of the middles only.
    """
    segments: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for segment in sorted((*said.entries.values(), *said.ignored), key=lambda segment: segment.offset_s):
        segments[segment.recording, segment.channel].append(segment)
    found: dict[str, Entry] = {}
    extra: set[str] = set()
    outside = ignored = 0
    for recording in heard.entries.values():
        here = segments.get((recording.recording, recording.channel))
        if here is None:
            extra.add(recording.id)
            continue
        shares = _shares(recording.words, here)
        for segment, words in zip(here, shares, strict=True):
            ignored += len(words) if segment.ignored else 0
            if not segment.ignored:
                outside += sum(not _within(word, segment) for word in words)
                found[segment.id] = _moved(segment, words)
    if said.ignored:
        remarks.append(f"words left out, heard in segments that are not to be scored: {ignored}")
    if outside:
        remarks.append(f"words heard outside all segments, scored in the next one or the last: {outside}")
    return found, extra


def speakers_of(said: Texts, heard: Texts, given: Mapping[str, str], remarks: Remarks) -> dict[str, str]:
    """The speaker of each reference, empty where not known.

    Where no speaker is told at all, the first parts of the ids do: in a trn, by sclite's convention (`-i spu_id`), what
    is before the first `-`, or before the first `_` of an id without `-`; in other files what is before the first of
    two `-` or more, as in LibriSpeech's `84-121123-0001`. Each id must have one, and they must be two at least, with
    two ids each in the mean, so that what merely numbers the utterances or names a split is no speaker. A wrong guess
    would change the interval and the table of speakers, but no rate of the whole.
    """
    found = {}
    for name, entry in said.entries.items():
        other = heard.entries.get(name)
        found[name] = given.get(name) or entry.speaker or (other.speaker if other else "")
    unknown = sum(not speaker for speaker in found.values())
    if unknown == len(found):
        parts = {name: _first_part(name, said.kind) for name in found}
        first = next(iter(parts))
        count = len(set(parts.values()))
        if all(parts.values()) and 1 < count <= len(parts) / 2:
            remarks.append(f"{count} speakers are known from the ids, such as {parts[first]!r} of {first!r}")
            return parts
        remarks.append("no speakers are known")
    elif unknown:
        remarks.append(f"the speakers of {unknown} of {len(found)} utterances are not known")
    return found


def _first_part(name: str, kind: str) -> str:
    if kind == "trn":
        return name.partition("-" if "-" in name else "_")[0] if "-" in name or "_" in name else ""
    return name.partition("-")[0] if name.count("-") >= 2 else ""


def _told(texts: Texts) -> str:
    ids = "" if texts.kind == "plain lines" else f" with ids such as {next(iter(texts.entries))!r}"
    entries = "recordings" if texts.kind == "ctm" else "utterances"
    return f"{texts.path} ({texts.kind}, {len(texts.entries)} {entries}{ids})"


def _check_ids(
    said: Texts,
    heard: Texts,
    hypotheses: Mapping[str, Entry],
    extra: Iterable[str],
    allow_missing: bool,
    remarks: Remarks,
) -> None:
    """
    Raises:
        DataError: An id is on one side only, and that is not allowed, or all are; names the first three.
    """
    missing, extra = said.entries.keys() - hypotheses.keys(), set(extra)
    complaints = []
    if missing:
        complaints.append(f"no hypothesis for {len(missing)} of {len(said.entries)} references ({first_of(missing)})")
    if extra:
        complaints.append(f"no reference for {len(extra)} of {len(heard.entries)} hypotheses ({first_of(extra)})")
    if complaints and not (allow_missing and hypotheses):
        silent = ""
        if missing and hypotheses and not allow_missing:
            ctm = "; a ctm has no lines where nothing was heard" if heard.kind == "ctm" else ""
            silent = f" (--allow-missing counts what is missing as deletions{ctm})"
        raise DataError(f"{heard.path}, for {said.path}: {'; '.join(complaints)}{silent}")
    if missing:
        remarks.append(f"{len(missing)} of {len(said.entries)} hypotheses are missing: deletions ({first_of(missing)})")
    if extra:
        remarks.append(
            f"{len(extra)} of {len(heard.entries)} hypotheses have no reference: left out ({first_of(extra)})"
        )


def _plain(path: Path, entries: Mapping[str, Entry], normalise: Normalise) -> dict[str, str]:
    """The texts normalised, by id.

    Raises:
        DataError: One cannot be; names file and line.
    """
    texts = {}
    for name, entry in entries.items():
        try:
            texts[name] = normalise(entry.text)
        except DataError as error:
            raise DataError(f"{path}:{entry.line}: {error}") from error
    return texts


def _scored(
    said: Entry, reference: str, heard: Entry | None, hypothesis: str, normalise: Normalise, speaker: str
) -> Scored:
    durations = [entry.duration_s for entry in (said, heard) if entry and entry.duration_s is not None]
    place = said if said.audio or heard is None or not heard.audio else heard
    return Scored(
        id=said.id,
        reference=reference,
        hypothesis=hypothesis,
        speaker=speaker,
        duration_s=durations[0] if durations else None,
        audio=place.audio,
        offset_s=place.offset_s,
        words=_normalised(heard.words, hypothesis, normalise) if heard and heard.words else (),
    )


def _normalised(words: Iterable[Word], hypothesis: str, normalise: Normalise) -> tuple[Word, ...]:
    """Those that are left, if they are the words of the hypothesis; else none."""
    spelled = ((word, " ".join(normalise(word.text).split())) for word in words)
    found = tuple(word if text == word.text else replace(word, text=text) for word, text in spelled if text)
    return found if [word.text for word in found] == hypothesis.split() else ()


def _remark_on_texts(scored: Sequence[Scored], heard: Texts, remarks: Remarks) -> None:
    for side, empty, what in (
        ("references", sum(not each.reference.split() for each in scored), "words heard there count as insertions"),
        ("hypotheses", sum(not each.hypothesis.split() for each in scored), "words said there count as deletions"),
    ):
        if empty:
            remarks.append(f"{empty} of {len(scored)} {side} are empty: {what}")
    untimed = sum(bool(each.hypothesis.split()) and not each.words for each in scored)
    if untimed and any(entry.words for entry in heard.entries.values()):
        remarks.append(f"the times of the words are not known in {untimed} of {len(scored)} utterances")


def _shares(words: Sequence[Word], segments: Sequence[Entry]) -> list[list[Word]]:
    """The words of each segment, both in order of their beginnings."""
    ends = list(accumulate(map(_end_s, segments), max))
    shares: list[list[Word]] = [[] for _ in segments]
    for word, middle_s in zip(words, accumulate(map(_middle_s, words), max), strict=True):
        shares[min(bisect_right(ends, middle_s), len(segments) - 1)].append(word)
    return shares


def _within(word: Word, segment: Entry) -> bool:
    return segment.offset_s <= _middle_s(word) < _end_s(segment)


def _end_s(segment: Entry) -> float:
    return round(segment.offset_s + (segment.duration_s or 0.0), 6)


def _middle_s(word: Word) -> float:
    """Rounded, as the end of a segment, so that one that is on the other is told from one before."""
    return round((word.start_s + word.end_s) / 2, 6)


def _moved(segment: Entry, words: Iterable[Word]) -> Entry:
    moved = tuple(
        replace(word, start_s=word.start_s - segment.offset_s, end_s=word.end_s - segment.offset_s) for word in words
    )
    return Entry(segment.id, " ".join(word.text for word in moved), segment.line, words=moved)
