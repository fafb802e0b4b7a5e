"""Transcripts as text that other programs read: subtitles, tables, JSON, what scorers take, Praat's TextGrid.

Times are whole milliseconds. Files stay well formed whatever a recording is called and whatever its words hold.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from asr import __version__, textgrid
from asr.alignment import Phone, Word
from asr.config import nearest
from asr.errors import ConfigError, DataError
from asr.segments import Cue, Segment, cues, segments
from asr.transcript import Transcript

Part = TypeVar("Part", Word, Phone, Segment, Cue)


@dataclass(frozen=True)
class Timed:
    """A text that was read from a file: a cue, a segment or a word."""

    text: str
    start_s: float | None = None
    """None, as its end, where the format tells no times."""
    end_s: float | None = None
    confidence: float | None = None
    recording: str = ""
    """Its name, where each line has one."""


@dataclass(frozen=True)
class Format:
    """How a transcript is written, and what can be read from it."""

    suffix: str
    write: Callable[[Transcript], str]
    read: Callable[[str], list[Timed]]
    """From a text with plain ends of lines; a ValueError tells what is wrong with it."""
    times: bool = True
    """It is made of times, and has no place for a text without."""


def render(transcript: Transcript, name: str) -> str:
    """The content of a file with the transcript, in the format of that name, one of `FORMATS`.

    Raises:
        AsrError: The transcript's own error.
        ConfigError: There is no such format.
        DataError: The transcript tells no times of its words, and the format cannot do without.
    """
    found = format_named(name)
    if transcript.error:
        raise transcript.error
    if found.times and transcript.text and not transcript.words:
        raise DataError(f"{transcript.source}: {name} needs the times of the words, and the transcript has none")
    return found.write(_tidy(transcript))


def parse(text: str, name: str, source: str) -> list[Timed]:
    """What a file in the format of that name says: the cues of srt and vtt, the words of ctm, json and textgrid, the
    segments of the others; of a json or textgrid without words the segments.

    Args:
        text: The content, also with a byte order mark and with Windows' ends of lines.
        source: What the message calls it.

    Raises:
        ConfigError: There is no such format.
        DataError: The text is not in it; names the source and what is wrong.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    try:
        return format_named(name).read(lines)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{source}: not {name} ({error})") from error


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        ConfigError: There is none; tells the nearest, or all.
    """
    if name not in FORMATS:
        raise ConfigError(f"unknown format {name}{nearest(name, FORMATS)}")
    return FORMATS[name]


def timed(parts: Sequence[Part]) -> Iterator[tuple[int, int, Part]]:
    """Start and end of each part in milliseconds, and the part; none overlaps the one before.

    Each lasts 1 ms at least, for which those behind give way if they must: a word may have no length, as at the end of
    a recording, and WebVTT and Praat refuse what has none.
    """
    end = 0
    for part in parts:
        start = max(round(part.start_s * 1000), end)
        end = max(round(part.end_s * 1000), start + 1)
        yield start, end, part


def _tidy(transcript: Transcript) -> Transcript:
    """White space as single spaces, no empty words, and the bytes of the source escaped that are not UTF-8."""
    words = tuple(replace(word, text=_spaced(word.text)) for word in transcript.words if word.text.strip())
    source = transcript.source.encode("utf-8", "backslashreplace").decode()
    return replace(transcript, source=source, text=_spaced(transcript.text), words=words)


def _spaced(text: str, space: str = " ") -> str:
    return space.join(text.split())


def _lines(text: str, comment: str = "\n") -> list[str]:
    """Those that are not blank, and do not begin as a comment does."""
    return [line for line in text.split("\n") if line.strip() and not line.startswith(comment)]


def _fields(line: str, least: int, most: int, between: str | None = None) -> list[str]:
    """The fields of a line, `most` of them: the last holds the rest, and those that are not there are empty."""
    fields = line.split(between, most - 1)
    if len(fields) < least:
        raise ValueError(f"{least} fields were expected, found {line[:60]!r}")
    return [*fields, *[""] * (most - len(fields))]


def _write_txt(transcript: Transcript) -> str:
    texts = [segment.text for segment in segments(transcript.words)] or [transcript.text]
    return "".join(f"{text}\n" for text in texts if text)


def _read_txt(text: str) -> list[Timed]:
    return [Timed(line) for line in _lines(text)]


def _write_srt(transcript: Transcript) -> str:
    blocks = _blocks(transcript, ",")
    return "\n".join(f"{number}\n{times}\n{said}\n" for number, (times, said) in enumerate(blocks, start=1))


def _write_vtt(transcript: Transcript) -> str:
    blocks = _blocks(transcript, ".")
    return "WEBVTT\n" + "".join(f"\n{times}\n{html.escape(said, quote=False)}\n" for times, said in blocks)


def _blocks(transcript: Transcript, point: str) -> Iterator[tuple[str, str]]:
    """The times and the lines of each cue."""
    for start, end, cue in timed(cues(transcript.words, transcript.duration_s)):
        yield f"{_clock(start, point)} --> {_clock(end, point)}", "\n".join(cue.lines)


def _clock(time_ms: int, point: str) -> str:
    """Such as 00:01:02.003; of a hundred hours and more, all digits."""
    seconds, thousandths = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{thousandths:03}"


TIME = r"(?:(\d+):)?(\d+):(\d+)[.,](\d{3})"
CUE = re.compile(rf"^[ \t]*{TIME}[ \t]+-->[ \t]+{TIME}.*(?:\n|\Z)((?:.*\S.*(?:\n|\Z))*)", re.MULTILINE)


def _read_srt(text: str) -> list[Timed]:
    if odd := [line for line in _lines(CUE.sub("", text)) if not line.strip().isdecimal()]:
        raise ValueError(f"a number or times were expected, found {odd[0][:60]!r}")
    return [_cue(*match.groups(default="0")) for match in CUE.finditer(text)]


def _read_vtt(text: str) -> list[Timed]:
    if not re.match(r"WEBVTT\b", text):
        raise ValueError(f"WEBVTT was expected, found {text[:60]!r}")
    if odd := [line for line in _lines(CUE.sub("", text)) if "-->" in line]:
        raise ValueError(f"times were expected, found {odd[0][:60]!r}")
    found = [_cue(*match.groups(default="0")) for match in CUE.finditer(text)]
    return [replace(cue, text=html.unescape(re.sub(r"<[^>]*>", "", cue.text))) for cue in found]


def _cue(*groups: str) -> Timed:
    """A cue of what `CUE` has found: hours, minutes, seconds and milliseconds twice, the lines."""
    start, end = (
        ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(thousandths)
        for hours, minutes, seconds, thousandths in (groups[:4], groups[4:8])
    )
    return Timed(_spaced(groups[8]), start / 1000, end / 1000)


def _write_tsv(transcript: Transcript) -> str:
    rows = [f"{start}\t{end}\t{segment.text}\n" for start, end, segment in timed(segments(transcript.words))]
    return "start\tend\ttext\n" + "".join(rows)


def _read_tsv(text: str) -> list[Timed]:
    header, *rows = _lines(text) or [""]
    if header != "start\tend\ttext":
        raise ValueError(f"the columns start, end and text were expected, found {header[:60]!r}")
    fields = [_fields(row, 3, 3, "\t") for row in rows]
    return [Timed(said, int(start) / 1000, int(end) / 1000) for start, end, said in fields]


def _write_json(transcript: Transcript) -> str:
    value = {
        "source": transcript.source,
        "text": transcript.text,
        "duration_s": round(transcript.duration_s, 3),
        "model": transcript.model,
        "asr_version": __version__,
        "segments": [{**_times(segment), "text": segment.text} for segment in segments(transcript.words)],
        "words": [_word(word) for word in transcript.words],
    }
    if transcript.alternatives:
        value["alternatives"] = [{"text": each.text, "score": round(each.score, 3)} for each in transcript.alternatives]
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _word(word: Word) -> dict[str, object]:
    value = {"word": word.text, **_times(word), "confidence": round(word.confidence, 3)}
    if word.phones:
        value["phones"] = [
            {"phone": phone.name, **_times(phone), "confidence": round(phone.confidence, 3)} for phone in word.phones
        ]
    return value


def _times(part: Word | Phone | Segment) -> dict[str, float]:
    return {"start": round(part.start_s * 1000) / 1000, "end": round(part.end_s * 1000) / 1000}


def _read_json(text: str) -> list[Timed]:
    value = json.loads(text)
    try:
        found = [(word["word"], word) for word in value.get("words", [])]
        found = found or [(segment["text"], segment) for segment in value["segments"]]
        return [Timed(said, float(each["start"]), float(each["end"]), each.get("confidence")) for said, each in found]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"segments or words with start and end were expected, found {text[:60]!r}") from error


def _write_ctm(transcript: Transcript) -> str:
    """Of words; or of phones, where they are known."""
    parts: Iterable[tuple[int, int, str, float]]
    if phones := _phones(transcript):
        parts = ((start, end, phone.name, phone.confidence) for start, end, phone in timed(phones))
    else:
        parts = ((start, end, word.text, word.confidence) for start, end, word in timed(transcript.words))
    return "".join(
        f"{_name(transcript)} 1 {start / 1000:.3f} {(end - start) / 1000:.3f} {_spaced(said, '_')} {confidence:.3f}\n"
        for start, end, said, confidence in parts
    )


def _phones(transcript: Transcript) -> list[Phone]:
    return [phone for word in transcript.words for phone in word.phones]


def _read_ctm(text: str) -> list[Timed]:
    found = []
    for line in _lines(text, comment=";;"):
        name, _, start, duration, word, confidence, _ = _fields(line, 5, 7)
        end_s = round(float(start) + float(duration), 3)
        found.append(Timed(word, float(start), end_s, float(confidence) if confidence else None, name))
    return found


def _write_stm(transcript: Transcript) -> str:
    return "".join(
        f"{_name(transcript)} 1 unknown {start / 1000:.3f} {end / 1000:.3f} <o> {segment.text}\n"
        for start, end, segment in timed(segments(transcript.words))
    )


def _read_stm(text: str) -> list[Timed]:
    found = []
    for line in _lines(text, comment=";;"):
        name, _, _, start, end, said = _fields(line, 5, 6)
        found.append(Timed(re.sub(r"^<[^>]*>", "", said).strip(), float(start), float(end), recording=name))
    return found


def _name(transcript: Transcript) -> str:
    """The recording's name as scorers join by it: without folder, suffix and blanks; `;;` would begin a comment."""
    return _spaced(Path(transcript.source).stem, "_").lstrip(";") or "_"


def _write_textgrid(transcript: Transcript) -> str:
    tiers = {
        "words": [(start, end, word.text) for start, end, word in timed(transcript.words)],
        "segments": [(start, end, segment.text) for start, end, segment in timed(segments(transcript.words))],
    }
    if phones := _phones(transcript):
        tiers["phones"] = [(start, end, phone.name) for start, end, phone in timed(phones)]
    return textgrid.write(tiers, round(transcript.duration_s * 1000))


def _read_textgrid(text: str) -> list[Timed]:
    tiers = textgrid.read(text)
    tier = tiers.get("words") or next(filter(None, tiers.values()), [])
    return [Timed(said, start / 1000, end / 1000) for start, end, said in tier]


FORMATS = {
    "txt": Format(".txt", _write_txt, _read_txt, times=False),
    "srt": Format(".srt", _write_srt, _read_srt),
    "vtt": Format(".vtt", _write_vtt, _read_vtt),
    "tsv": Format(".tsv", _write_tsv, _read_tsv),
    "json": Format(".json", _write_json, _read_json, times=False),
    "ctm": Format(".ctm", _write_ctm, _read_ctm),
    "textgrid": Format(".TextGrid", _write_textgrid, _read_textgrid),
    "stm": Format(".stm", _write_stm, _read_stm),
}
