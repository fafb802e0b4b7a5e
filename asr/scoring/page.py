"""A scoring to look at: one HTML file with pictures, tables and every utterance, for one system or for two."""

import base64
import io
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import soundfile

from asr.audio import read
from asr.errors import AudioError
from asr.files import writing
from asr.metrics import Column, align
from asr.progress import say, track_in_threads
from asr.scoring.bootstrap import Interval
from asr.scoring.comparison import Comparison, probability, verdict
from asr.scoring.result import Result, Scored, finite
from asr.scoring.tables import DURATIONS_S, LENGTHS

TEMPLATE = Path(__file__).with_name("report.html")
"""Its style and its script lie beside it."""

HERE = "<!-- data -->"
"""Where the template takes its data."""

EMBEDDED_RATE_HZ = 16000

Json = dict[str, Any]


def write_report(
    result: Result,
    path: Path,
    facts: Mapping[str, str] = {},
    embed_audio: bool = False,
    lexicon: Collection[str] | None = None,
) -> None:
    """One system's errors as a page that needs nothing beside it but the recordings, and with `embed_audio` not those.

    Recordings are linked by their way from the page's folder, so that both can be moved together. One that cannot be
    embedded is told of on stderr and left out.

    Args:
        facts: Where the result comes from: command, commit, model ...; those that are empty are left out.
        embed_audio: About 1.5 MB for a minute of speech.
        lexicon: Words that the system can put out; words of the references that are not among them are marked.

    Raises:
        AsrError: There is no utterance, or the page cannot be written.
    """
    more: Json = {}
    if lexicon is not None:
        words = {word for utterance in result.utterances for word in utterance.reference.split()}
        more["unknown"] = sorted(words - set(lexicon))
    _write(path, [result], facts, embed_audio, more)


def write_comparison(
    comparison: Comparison,
    path: Path,
    facts: Mapping[str, str] = {},
    embed_audio: bool = False,
) -> None:
    """Two systems' errors on the same utterances, what follows from them, and otherwise as `write_report`.

    Raises:
        AsrError: There is no utterance, or the page cannot be written.
    """
    change = comparison.difference
    shown = {"value": finite(change.value), "improved": change.improved, **_bounds(change.interval)}
    tests = {"MAPSSWE": probability(comparison.mapsswe.p), "McNemar": probability(comparison.mcnemar.p)}
    more = {"difference": shown, "summary": list(tests.items()), "verdict": verdict(comparison)}
    _write(path, [comparison.a, comparison.b], facts, embed_audio, more)


def _write(path: Path, results: Sequence[Result], facts: Mapping[str, str], embed_audio: bool, more: Json) -> None:
    by_id = [{utterance.id: utterance for utterance in result.utterances} for result in results]
    heard = [[system[first.id] for system in by_id] for first in results[0].utterances]
    spoken = [next((each for each in systems if each.audio), systems[0]) for systems in heard]
    folder = None if embed_audio else path.parent
    content = {
        "systems": [_system(result) for result in results],
        "hours": results[0].hours,
        "bounds": {"duration": DURATIONS_S, "length": LENGTHS},
        "facts": [(name, value.strip("`")) for name, value in facts.items() if value],
        "utterances": [_utterance(*each, folder) for each in zip(spoken, heard, strict=True)],
    }
    text = json.dumps(content | more, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    before, after = _template()
    with writing(path, "wb") as stream:
        stream.write(f'{before}<script type="application/json" id="data">{text}</script>\n'.encode(errors="replace"))
        for number, recording in _recordings(spoken if embed_audio else ()):
            stream.write(b'<script type="text/plain" id="audio-%d">%b</script>\n' % (number, recording))
        stream.write(after.encode())


def _template() -> list[str]:
    """What comes before the data, and what after."""
    markup, style, script = (TEMPLATE.with_suffix(kind).read_text("utf-8") for kind in (".html", ".css", ".js"))
    return markup.replace("/* style */\n", style).replace("/* script */\n", script).split(HERE)


def _system(result: Result) -> Json:
    about = {"title": result.title, "normalisation": result.normalisation, "remarks": result.remarks}
    return about | vars(result.total) | _bounds(result.interval)


def _bounds(interval: Interval) -> Json:
    return {"low": finite(interval.low), "high": finite(interval.high), "unit": interval.unit}


def _utterance(spoken: Scored, systems: Sequence[Scored], folder: Path | None) -> Json:
    """An utterance as each system heard it; without a folder to link from, without its recording."""
    heard = [{"columns": list(map(_column, each.columns)), "times": _times(each)} for each in systems]
    content: Json = {"id": spoken.id, "speaker": spoken.speaker, "duration": spoken.duration_s, "heard": heard}
    if folder is not None and spoken.audio is not None:
        content |= {"audio": _link(spoken.audio, folder), "offset": spoken.offset_s}
    return content


def _column(column: Column) -> str | tuple[str, str]:
    """What was said and what was heard; only once where it is the same."""
    return column.said if column.kind == "equal" else (column.said, column.heard)


def _times(utterance: Scored) -> list[float]:
    """When each word of the hypothesis begins, as far as that is known.

    Normalisation may have made other words, or more or fewer, of what was heard: such a word begins with the nearest
    before it that it can have been made of.
    """
    if not utterance.words:
        return []
    starts = [round(word.start_s, 2) for word in utterance.words]
    texts = ["".join(word.text.split()) or "-" for word in utterance.words]
    if len(texts) == len(utterance.hypothesis.split()):
        return starts
    times, passed = [], -1
    for kind, _, _ in align(" ".join(texts).lower(), utterance.hypothesis.lower()):
        passed += kind != "insert"
        if kind != "delete":
            times.append(starts[max(passed, 0)])
    return times


def _link(audio: Path, folder: Path) -> str:
    """The recording's URL, relative where one drive holds both."""
    try:
        way = Path(os.path.relpath(audio, folder)).as_posix()
    except ValueError:
        return audio.absolute().as_uri()
    return quote(os.fsencode(way))


def _recordings(utterances: Sequence[Scored]) -> Iterator[tuple[int, bytes]]:
    """The utterances' recordings in base64, with the utterance's number."""
    there = [(number, utterance) for number, utterance in enumerate(utterances) if utterance.audio]
    lost: list[AudioError] = []
    encoded = track_in_threads(_encoded, [utterance for _, utterance in there], "embedding")
    for (number, _), recording in zip(there, encoded, strict=True):
        if isinstance(recording, AudioError):
            lost.append(recording)
        else:
            yield number, recording
    if lost:
        say(f"{len(lost)} of {len(there)} recordings are not in the page, the first: {lost[0]}")


def _encoded(utterance: Scored) -> bytes | AudioError:
    assert utterance.audio
    try:
        samples = read(utterance.audio, EMBEDDED_RATE_HZ, utterance.offset_s, utterance.duration_s)
    except AudioError as error:
        return error
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, EMBEDDED_RATE_HZ, "PCM_16", format="FLAC")
    return base64.b64encode(buffer.getvalue())
