"""What was asked for beside the recording, and the answer, in the shapes of OpenAI's transcription API."""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.datastructures import FormData

from asr.alignment import Word
from asr.formats import render
from asr.segments import Segment, segments
from asr.server.refusal import Refusal
from asr.transcript import Transcript

RESPONSE_FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
GRANULARITIES = ("segment", "word")
RENDERINGS = ("txt", "srt", "vtt")

WHISPER_FRAMES_PER_S = 100
"""The unit of a segment's `seek`."""


@dataclass(frozen=True)
class Wish:
    """The fields of a form that change the answer; all others are accepted and passed over."""

    response_format: str = "json"
    granularities: tuple[str, ...] = ("segment",)
    """What `verbose_json` tells the times of."""
    renderings: tuple[str, ...] = ()
    """Our own: what else `verbose_json` carries, so that the page need not send a recording twice."""
    language: str = "unknown"
    """Told back; a model knows one language and not its name."""


def wish_of(fields: FormData) -> Wish:
    """
    Raises:
        Refusal: A field has a value that it cannot have.
    """
    _check_temperature(fields)
    (response_format,) = _choices(fields, "response_format", RESPONSE_FORMATS)[-1:] or ("json",)
    return Wish(
        response_format,
        _choices(fields, "timestamp_granularities", GRANULARITIES) or ("segment",),
        _choices(fields, "renderings", RENDERINGS),
        str(fields.get("language") or "unknown"),
    )


def reply(transcript: Transcript, wish: Wish) -> Response:
    if wish.response_format == "json":
        return JSONResponse({"text": transcript.text, "usage": _usage(transcript)})
    if wish.response_format == "verbose_json":
        return JSONResponse(verbose(transcript, wish))
    if wish.response_format == "text":
        return PlainTextResponse(transcript.text + "\n")
    return PlainTextResponse(render(transcript, wish.response_format))


def verbose(transcript: Transcript, wish: Wish) -> dict[str, Any]:
    """All that is known of a transcript; seconds, and natural logarithms."""
    parts: dict[str, Any] = {}
    if "segment" in wish.granularities:
        parts["segments"] = [_segment(number, each) for number, each in enumerate(segments(transcript.words))]
    if "word" in wish.granularities:
        parts["words"] = [_word(word) for word in transcript.words]
    if wish.renderings:
        parts["renderings"] = {name: render(transcript, name) for name in wish.renderings}
    return {
        "task": "transcribe",
        "language": wish.language,
        "duration": round(transcript.duration_s, 3),
        "text": transcript.text,
        **parts,
        "usage": _usage(transcript),
    }


def _word(word: Word) -> dict[str, Any]:
    times = {"start": round(word.start_s, 3), "end": round(word.end_s, 3)}
    return {"word": word.text, **times, "confidence": round(word.confidence, 4)}


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    """A segment with the keys that clients expect; `no_speech_prob` is null, for a CTC model has no such thing."""
    spans = [span for word in segment.words for span in word.tokens]
    text = segment.text.encode()
    return {
        "id": number,
        "seek": round(segment.start_s * WHISPER_FRAMES_PER_S),
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        "tokens": [span.token for span in spans],
        "temperature": 0.0,
        "avg_logprob": fmean(span.log_probability for span in spans) if spans else None,
        "compression_ratio": len(text) / len(zlib.compress(text)),
        "no_speech_prob": None,
        "confidence": round(fmean(word.confidence for word in segment.words), 4),
    }


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(transcript.duration_s)}


def _choices(fields: FormData, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The values of a field, which may be called `name` or, as lists are, `name[]`; none when it is not there."""
    values = [str(value) for key in (name, f"{name}[]") for value in fields.getlist(key)]
    for value in values:
        if value not in known:
            raise Refusal(400, f"{name} {value!r} is not known; choose {', '.join(known)}", name, "invalid_value")
    return tuple(values)


def _check_temperature(fields: FormData) -> None:
    given = fields.get("temperature", "0")
    if not _is(lambda value: 0 <= float(value) <= 1, given):
        message = f"temperature {given!r} is not a number from 0 to 1"
        raise Refusal(400, message, "temperature", "invalid_value")


def _is(test: Callable[[str], bool], value: object) -> bool:
    try:
        return isinstance(value, str) and test(value)
    except ValueError:
        return False
