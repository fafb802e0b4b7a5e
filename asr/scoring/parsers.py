"""What files of transcripts hold: a parser for each kind, all with the same entries."""

import csv
import io
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from asr.alignment import Word
from asr.manifest import from_record
from asr.scoring.entries import COMMENT, Entry, Source

HYPOTHESIS_KEY = "pred_text"
"""NeMo's manifests of results hold the hypothesis there, beside the reference."""

IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
UTTERANCE_IN_TRN = re.compile(r"(.*?)\(([^()\s]+)\)\s*", re.DOTALL)
NOT_A_WORD = re.compile(r"[{}]|(?<!\S)@(?!\S)|(?<!\S)\([^()\s]*\)(?!\S)")
"""Marks of alternations, `{ a / b }` and `@` for no word, and of words that may be left out, `(uh)`."""

_SAID = ("text", "transcript", "transcription", "sentence")
REFERENCE_COLUMNS = ("reference", "ref", *_SAID)
HYPOTHESIS_COLUMNS = ("hypothesis", "hyp", HYPOTHESIS_KEY, "prediction", *_SAID)
COLUMNS = {
    "id": ("id", "utterance", "utterance_id", "utt", "utt_id"),
    "recording": ("audio_filepath", "path", "audio", "file", "filename", "wav"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "duration": ("duration", "duration_s"),
    "offset": ("offset", "offset_s"),
}
"""The names of columns that are understood; of several in one file the first here is taken."""

Parser = Callable[[Source], Iterator[Entry]]


def plain_lines(source: Source) -> Iterator[Entry]:
    """Every line is an utterance, also a blank one, and its number is the id."""
    for number, line in enumerate(source.lines, start=1):
        yield Entry(str(number), line.strip(), number)


def kaldi_text(source: Source) -> Iterator[Entry]:
    """`id word word ...`; an id alone has an empty transcript."""
    for number, line in source.numbered():
        name, *rest = line.split(maxsplit=1)
        yield Entry(name, "".join(rest).strip(), number)


def trn(source: Source) -> Iterator[Entry]:
    """sclite's `word word (id)`."""
    for number, line in source.numbered(COMMENT):
        match = UTTERANCE_IN_TRN.fullmatch(line)
        if not match:
            raise source.error(number, f"a trn's line ends in (id), found {line.strip()[-40:]!r}")
        yield Entry(match[2], _words_only(source, number, match[1]), number)


def stm(source: Source) -> Iterator[Entry]:
    """`file channel speaker begin end <label> text`, the label optional.

    Ids are `file-channel-begin-end`, with the times to the millisecond.
    """
    for number, line in source.numbered(COMMENT):
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            raise source.error(number, f"an stm's line has file, channel, speaker, begin and end, found {line[:60]!r}")
        recording, channel, speaker = fields[:3]
        begin_s, end_s = (source.seconds(number, name, fields[i]) for i, name in ((3, "begin"), (4, "end")))
        if end_s < begin_s:
            raise source.error(number, f"the segment ends at {end_s:g} s, before it begins at {begin_s:g} s")
        text = re.sub(r"^<[^>\s]*>(?=\s|$)", "", "".join(fields[5:])).strip()
        yield Entry(
            id=f"{recording}-{channel}-{begin_s:.3f}-{end_s:.3f}",
            text=_words_only(source, number, text),
            line=number,
            speaker="" if speaker.lower() == "unknown" else speaker,
            duration_s=end_s - begin_s,
            offset_s=begin_s,
            recording=recording,
            channel=channel,
            ignored=text.upper() == IGNORED,
        )


def ctm(source: Source) -> Iterator[Entry]:
    """`file channel start duration word [confidence [type]]`: an entry for each channel of each file.

    It is called after the file, and with `-channel` behind where the file has several. Words may overlap, but their
    starts must not decrease.
    """
    heard: dict[tuple[str, str], list[Word]] = {}
    began: dict[tuple[str, str], int] = {}
    for number, line in source.numbered(COMMENT):
        recording, channel, word = _ctm_word(source, number, line)
        key = recording, channel
        words = heard.setdefault(key, [])
        began.setdefault(key, number)
        if words and word.start_s < words[-1].start_s:
            raise source.error(
                number, f"a word at {word.start_s:g} s behind one at {words[-1].start_s:g} s; sort the words by time"
            )
        words.append(word)
    channels = Counter(recording for recording, _ in heard)
    for (recording, channel), words in heard.items():
        name = f"{recording}-{channel}" if channels[recording] > 1 else recording
        text = " ".join(word.text for word in words)
        first = began[recording, channel]
        yield Entry(name, text, first, words=tuple(words), recording=recording, channel=channel)


def json_lines(source: Source) -> Iterator[Entry]:
    """A manifest, or what decoding writes: id, text, words with their times.

    In a manifest with hypotheses each line has to have one, lest the reference of a line without is taken for it.
    """
    results = source.hypothesis and any(f'"{HYPOTHESIS_KEY}"' in line for line in source.lines)
    for number, line in source.numbered():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise source.error(number, f"not JSON ({error})") from error
        if not isinstance(record, dict):
            raise source.error(number, f"a JSON object was expected, found {line.strip()[:40]}")
        yield _json_entry(source, number, record, HYPOTHESIS_KEY if results else "text")


def json_file(source: Source) -> Iterator[Entry]:
    """One object in the whole file, as `asr transcribe --format json` writes it: one utterance, called after the
    recording without its suffix, or after the file.
    """
    record = {"source": source.path.name, **json.loads("\n".join(source.lines))}
    yield _json_entry(source, 1, record, "text")


def table(source: Source, delimiter: str) -> Iterator[Entry]:
    """Columns with a header, quoted as the csv module has it; without a column of ids, the recordings' names are taken,
    less folder and suffix.
    """
    rows = csv.reader(io.StringIO("\n".join(source.lines)), delimiter=delimiter, strict=True)
    number = 1
    try:
        header = next(rows)
        columns = named_columns(source, header)
        number = rows.line_num + 1
        for row in rows:
            if len(row) != len(header) and "".join(row).strip():
                raise source.error(number, f"{len(row)} columns, but the header has {len(header)}")
            if "".join(row).strip():
                yield _row(source, number, {name: row[index].strip() for name, index in columns.items()})
            number = rows.line_num + 1
    except csv.Error as error:
        raise source.error(number, f"the table is damaged ({error})") from error


def named_columns(source: Source, header: list[str]) -> dict[str, int]:
    """Where the columns are that are understood: `text` and those of `COLUMNS` that are there.

    Raises:
        DataError: There is none for the text, or neither an id nor a recording; names those that were found.
    """
    names = [name.strip().lower() for name in header]
    wanted = {"text": HYPOTHESIS_COLUMNS if source.hypothesis else REFERENCE_COLUMNS, **COLUMNS}
    first = {key: next((name for name in known if name in names), None) for key, known in wanted.items()}
    found = {key: names.index(name) for key, name in first.items() if name is not None}
    for key, there in (("id", "id" in found or "recording" in found), ("text", "text" in found)):
        if not there:
            seen = ", ".join(header)[:200]
            raise source.error(1, f"no column for the {key} (such as {', '.join(wanted[key][:3])}), only {seen}")
    return found


def file_of_one(path: Path, text: str) -> Entry:
    """A whole file that is one utterance, called after the file without its suffix."""
    return Entry(path.stem, " ".join(text.split()), 1)


def _row(source: Source, number: int, row: Mapping[str, str]) -> Entry:
    recording = row.get("recording", "")
    name = row.get("id", Path(recording).stem)
    if not name:
        raise source.error(number, "the id is empty")
    return Entry(
        id=name,
        text=row["text"],
        line=number,
        speaker=row.get("speaker", ""),
        duration_s=source.seconds(number, "duration", row["duration"]) if row.get("duration") else None,
        audio=source.path.parent / recording if recording else None,
        offset_s=source.seconds(number, "offset", row["offset"]) if row.get("offset") else 0.0,
    )


def _json_entry(source: Source, number: int, record: dict[str, Any], key: str) -> Entry:
    text = record.get(key)
    if not isinstance(text, str):
        raise source.error(number, f"{key} has to be a string, found {text!r:.40}" if key in record else f"no {key!r}")
    words = tuple(_json_words(source, number, record.get("words") or []))
    entry = _manifest_entry if "audio_filepath" in record else _decoded_entry
    return entry(source, number, record, text.strip(), words)


def _manifest_entry(source: Source, number: int, record: dict[str, Any], text: str, words: tuple[Word, ...]) -> Entry:
    if not isinstance(record["audio_filepath"], str):
        raise source.error(number, f"audio_filepath has to be a string, found {record['audio_filepath']!r:.40}")
    for name in ("duration", "offset"):
        if record.get(name) is not None:
            source.seconds(number, name, record[name])
    utterance = from_record({"duration": None, **record}, source.path.parent)
    return Entry(
        id=utterance.id,
        text=text,
        line=number,
        speaker=utterance.speaker,
        duration_s=utterance.duration_s,
        audio=utterance.audio_filepath,
        offset_s=utterance.offset_s,
        words=words,
    )


def _decoded_entry(source: Source, number: int, record: dict[str, Any], text: str, words: tuple[Word, ...]) -> Entry:
    recording, name = record.get("source"), record.get("id")
    if name is None and isinstance(recording, str):
        name = Path(recording).stem
    if name in (None, ""):
        raise source.error(number, f"no 'id' and no 'audio_filepath', only {', '.join(map(repr, record))[:100]}")
    duration_s = record.get("duration_s")
    return Entry(
        id=str(name),
        text=text,
        line=number,
        speaker=str(record.get("speaker") or ""),
        duration_s=None if duration_s is None else source.seconds(number, "duration_s", duration_s),
        words=words,
    )


def _json_words(source: Source, number: int, records: Any) -> Iterator[Word]:
    try:
        for record in records:
            start_s = source.seconds(number, "start", record["start"])
            end_s = source.seconds(number, "end", record["end"])
            yield Word(str(record["word"]), start_s, end_s, _confidence(record.get("confidence")))
    except (KeyError, TypeError, AttributeError) as error:
        raise source.error(number, "words have to be objects with word, start, end and perhaps confidence") from error


def _ctm_word(source: Source, number: int, line: str) -> tuple[str, str, Word]:
    fields = line.split()
    if not 5 <= len(fields) <= 8:
        raise source.error(number, f"a ctm's line has file, channel, start, duration and word, found {line[:60]!r}")
    recording, channel, start, duration, word = fields[:5]
    if word in ("<ALT_BEGIN>", "<ALT>", "<ALT_END>"):
        raise source.error(number, f"alternations are not supported ({word})")
    start_s = source.seconds(number, "start", start)
    end_s = round(start_s + source.seconds(number, "duration", duration), 6)
    return recording, channel, Word(word, start_s, end_s, _confidence(fields[5] if len(fields) > 5 else None))


def _confidence(value: Any) -> float:
    """1 for none, also if it is not a number, as a ctm's `NA`."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return 1.0
    return found if math.isfinite(found) else 1.0


def _words_only(source: Source, number: int, text: str) -> str:
    """The text, stripped.

    Raises:
        DataError: It has marks that stand for no word, or for one of several.
    """
    if match := NOT_A_WORD.search(text):
        raise source.error(
            number, f"alternations and optional words are not supported ({match[0]}); resolve them first"
        )
    return text.strip()
