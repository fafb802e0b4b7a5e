"""Recordings in any common format, rate and channel count as mono float32 samples at the rate that is asked for."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from asr import ogg
from asr.errors import AudioError

Waveform = NDArray[np.float32]

PIECE_SAMPLES = 1 << 14
"""Decoded at a time, per channel."""

TOLERANCE_S = 0.2
"""How much earlier than promised a recording may end: AAC counts its run-in of 1024 samples, 0.13 s at 8 kHz."""

UNKNOWN_FRAMES = (1 << 63) - 1
UNKNOWN_BYTES = 0x7FFFF000
"""A program that streams a WAV cannot know its size; what it writes instead is this (sox) or more (FFmpeg, arecord)."""

MANY_CHANNELS = 8
"""Of so many, one array each, PyAV takes what lies behind the last array for further ones, and crashes."""

# libsndfile trims its own count to what the file holds; only its log still has the header's, in bytes.
CUT_DATA = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)

# The tag by which an MP3 knows its length, in its first frame: version bits, then the count of frames.
MP3_LENGTH = re.compile(
    rb"\xff([\xe0-\xff])..(?:.{9}|.{17}|.{32})(?:Xing|Info)\0{3}[\1\3\5\7\x09\x0b\x0d\x0f](.{4})", re.DOTALL
)


def read(path: Path, sample_rate_hz: int, offset_s: float = 0.0, duration_s: float | None = None) -> Waveform:
    """A recording, or `duration_s` of it from `offset_s`: (samples,), the channels averaged, resampled with soxr HQ.

    Full scale is 1; a float recording or a lossy decoder may go beyond it.

    Raises:
        AudioError: It is missing, empty, not a recording, damaged, cut short, shorter than asked for, or has no
            samples or NaN; names the path.
    """
    return np.concatenate(list(read_blocks(path, sample_rate_hz, offset_s=offset_s, duration_s=duration_s)))


def read_blocks(
    path: Path,
    sample_rate_hz: int,
    block_s: float = 30.0,
    offset_s: float = 0.0,
    duration_s: float | None = None,
) -> Iterator[Waveform]:
    """The samples of `read`, bit for bit, `block_s` at a time (the last block may be shorter), in constant memory.

    Raises:
        AudioError: As `read`, when the block with the trouble is reached; damage later in the file is not seen yet.
    """
    if not offset_s >= 0 or not (duration_s is None or duration_s > 0):
        raise AudioError(f"{path}: {_stretch(offset_s, duration_s)} was asked for")
    with _opened(path, offset_s) as recording:
        pieces = resampled(_checked(path, recording, offset_s, duration_s), recording.sample_rate_hz, sample_rate_hz)
        block = None
        for block in _regrouped(pieces, round(block_s * sample_rate_hz)):
            yield block
        if block is None:
            raise AudioError(f"{path}: no samples" + (f" after {offset_s:g} s" if offset_s else ""))


def duration_s(path: Path) -> float | None:
    """How long a recording is by its header, or about; nothing is decoded. None: it does not say, or cannot be read."""
    try:
        with _opened(path, 0.0) as recording:
            return recording.length_s
    except AudioError:
        return None


def resample(waveform: NDArray[np.floating[Any]], from_hz: float, to_hz: float) -> Waveform:
    """`waveform` (samples,) at another rate, with soxr HQ: what `read` does to a file, bit for bit."""
    samples = np.ascontiguousarray(waveform, dtype=np.float32)
    return samples if from_hz == to_hz else soxr.resample(samples, from_hz, to_hz, quality="HQ")


@dataclasses.dataclass(frozen=True)
class _Recording:
    sample_rate_hz: int
    promised_s: float | None
    """How long the header says the file is; None: it does not say, or guesses."""
    length_s: float | None
    """The same, or else a guess; None: nobody knows before the end."""
    pieces: Iterator[Waveform]
    """Mono, from the offset on; raises one of `_DECODER_ERRORS` where the file ends before it should."""


_DECODER_ERRORS = (soundfile.LibsndfileError, av.FFmpegError, EOFError)


@contextmanager
def _opened(path: Path, offset_s: float) -> Iterator[_Recording]:
    """The recording at `path`: with libsndfile where it knows the format and the length, otherwise with FFmpeg."""
    try:
        with path.open("rb") as stream:
            if not stream.peek(1):
                raise AudioError(f"{path}: the file is empty")
            is_mp3 = _goes_for_an_mp3(path, stream)
    except OSError as error:
        raise AudioError(f"{path}: {error.strerror}") from error
    with ExitStack() as stack:
        file = None
        with suppress(soundfile.LibsndfileError, UnicodeEncodeError):  # the latter: a name that is not UTF-8
            # Of an MP3 libsndfile reads only as much as it guesses that there is: 3.4 s of 20 s have been seen. And of
            # a damaged one its decoder complains on stderr.
            file = None if is_mp3 else stack.enter_context(soundfile.SoundFile(path))
        if file is not None and file.format != "MP3" and file.frames != UNKNOWN_FRAMES:
            yield _from_libsndfile(file, offset_s)
        else:
            yield _from_ffmpeg(path, stack.enter_context(_container(path)), offset_s)


def _goes_for_an_mp3(path: Path, stream: BinaryIO) -> bool:
    """Whether libsndfile would take a file for an MP3: by its beginning, else by its name."""
    head = stream.read(10)
    if head.startswith(b"ID3") and len(head) == 10:  # a tag, whose length has 7 bits to a byte
        stream.seek(10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)))
        head = stream.read(4)
    if head.startswith((b"RIFF", b"fLaC", b"OggS", b"FORM")):
        return False
    return path.suffix.lower() == ".mp3" or (len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0)


def _from_libsndfile(file: soundfile.SoundFile, offset_s: float) -> _Recording:
    offset = round(offset_s * file.samplerate)
    start = min(offset, file.frames) if file.seekable() else 0  # GSM is not seekable
    promised = file.frames
    if cut := CUT_DATA.search(file.extra_info):
        promised_bytes, bytes_there = (int(group) for group in cut.groups())
        if promised_bytes < UNKNOWN_BYTES:
            promised = promised * promised_bytes // max(bytes_there, 1)
    pieces = _skipped(_libsndfile_pieces(file, start, promised), offset - start)
    length_s = promised / file.samplerate
    return _Recording(file.samplerate, None if file.format == "OGG" else length_s, length_s, pieces)


def _libsndfile_pieces(file: soundfile.SoundFile, start: int, promised: int) -> Iterator[Waveform]:
    if start:
        file.seek(start)
    end = start
    while len(piece := file.read(PIECE_SAMPLES, dtype="float32", always_2d=True)):
        end += len(piece)
        yield _average(piece, axis=1)
    miscount = file.samplerate // 100  # headers that are off by a few bytes
    if end < promised - miscount or (file.format == "OGG" and not ogg.is_whole(Path(file.name))):
        raise EOFError


@contextmanager
def _container(path: Path) -> Iterator[InputContainer]:
    """`path` opened by FFmpeg; its first stream of sound is one that can be decoded."""
    trouble = f"{path}: no sound found in it: not a recording, or a damaged one"
    try:
        container = av.open(str(path.absolute()), metadata_errors="ignore")  # "10:30.m4a" alone would be a protocol
    except av.FFmpegError as error:
        raise AudioError(trouble) from error
    with container:
        if not any(map(_is_decodable, container.streams.audio[:1])):
            raise AudioError(trouble)
        yield container


def _is_decodable(stream: AudioStream) -> bool:
    """Whether there is a decoder; a FLAC without its header has one too, for what is left behind the lost half."""
    codec = stream.codec_context
    return bool(codec and stream.rate and (codec.name != "flac" or codec.extradata))


def _from_ffmpeg(path: Path, container: InputContainer, offset_s: float) -> _Recording:
    rate = container.streams.audio[0].rate
    promised_s = _promised_s(path, container)
    guess_s = None if container.duration is None else container.duration / av.time_base
    pieces = _skipped(_ffmpeg_pieces(container, promised_s), round(offset_s * rate))
    return _Recording(rate, promised_s, guess_s if promised_s is None else promised_s, pieces)


def _promised_s(path: Path, container: InputContainer) -> float | None:
    """How long the sound lasts by the header; None where it has no length and FFmpeg guesses from the bit rate."""
    stream, format_name = container.streams.audio[0], container.format.name
    length_s = None
    if stream.duration is not None and stream.time_base is not None:
        length_s = float(stream.duration * stream.time_base)
    elif container.duration is not None and len(container.streams) == 1:  # otherwise it may be the video's
        length_s = container.duration / av.time_base
    if format_name == "mp3" and length_s is not None:
        header_s = _mp3_header_s(path, stream.rate)
        return None if header_s is None else min(header_s, length_s)  # FFmpeg guesses for files joined end to end
    return length_s if format_name.startswith(("mov", "matroska")) else None


def _mp3_header_s(path: Path, sample_rate_hz: int) -> float | None:
    with path.open("rb") as stream:
        found = MP3_LENGTH.search(stream.read(1 << 16))
    if found is None:
        return None
    frame_samples = 1152 if found[1][0] & 0x08 else 576
    return int.from_bytes(found[2]) * frame_samples / sample_rate_hz


def _ffmpeg_pieces(container: InputContainer, promised_s: float | None) -> Iterator[Waveform]:
    """Of many frames each, as each would have its price in Python; what can be read comes before the error."""
    fifo, kind, damage = av.AudioFifo(), None, None
    try:
        for frame in _frames(container, promised_s):
            if (next_kind := (frame.format.name, frame.layout.name)) != kind:  # it would take one for the other
                yield from _rest(fifo)
                fifo, kind = av.AudioFifo(), next_kind
            frame.pts = None  # it knows no gaps
            fifo.write(frame)
            if fifo.samples >= PIECE_SAMPLES:
                yield from _rest(fifo)
    except _DECODER_ERRORS as error:
        damage = error
    yield from _rest(fifo)
    if damage:
        raise damage


def _rest(fifo: av.AudioFifo) -> Iterator[Waveform]:
    frame = fifo.read()
    if frame is not None:
        yield _mono(frame)


def _frames(container: InputContainer, promised_s: float | None) -> Iterator[AudioFrame]:
    stream = container.streams.audio[0]
    end_s = lost_s = 0.0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:  # a tag or junk between the packets, or after them, is not yet damage
            lost_s += float((packet.duration or 0) * packet.time_base)
            frames = []
        for frame in frames:
            if frame.sample_rate != stream.rate:
                raise EOFError
            # By the clock, not by the samples: the pauses of a call may never have been sent.
            end_s = (end_s if frame.time is None else frame.time) + frame.samples / frame.sample_rate
            yield frame
        if lost_s > TOLERANCE_S:
            raise EOFError
    if promised_s is not None and end_s < promised_s - TOLERANCE_S:
        raise EOFError
    if container.format.name == "ogg" and not ogg.is_whole(Path(container.name)):
        raise EOFError


def _mono(frame: AudioFrame) -> Waveform:
    """The average of a frame's channels. FFmpeg's own mix of float channels is 3 dB too loud."""
    if frame.format.is_planar and len(frame.layout.channels) >= MANY_CHANNELS:
        (frame,) = av.AudioResampler(format="flt").resample(frame)
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype == np.uint8:
        samples = samples / np.float32(128) - 1
    elif samples.dtype.kind == "i":
        samples = samples / np.float32(2 ** (8 * samples.itemsize - 1))
    return _average(samples, axis=0)


def _average(samples: NDArray[Any], axis: int) -> Waveform:
    if samples.shape[axis] == 1:
        return np.ascontiguousarray(samples.squeeze(axis), dtype=np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # `_checked` tells of such samples
        mono: Waveform = samples.mean(axis=axis, dtype=np.float32)
    return mono


def _skipped(pieces: Iterable[Waveform], samples: int) -> Iterator[Waveform]:
    """What is left of `pieces` after the first `samples`."""
    for piece in pieces:
        if samples < len(piece):
            yield piece[samples:]
        samples = max(0, samples - len(piece))


def _checked(path: Path, recording: _Recording, offset_s: float, duration_s: float | None) -> Iterator[Waveform]:
    """The pieces of a recording, as far as they are wanted.

    Raises:
        AudioError: NaN or infinite samples, damage, or an end before `duration_s` is full; names the path.
    """
    rate = recording.sample_rate_hz
    wanted = None if duration_s is None else round((offset_s + duration_s) * rate) - round(offset_s * rate)
    count = 0
    try:
        for piece in recording.pieces:
            piece = piece if wanted is None else piece[: wanted - count]
            if not np.isfinite(piece).all():
                raise AudioError(f"{path}: NaN or infinite samples after {offset_s + count / rate:.2f} s")
            yield piece
            count += len(piece)
            if count == wanted:
                return
    except _DECODER_ERRORS as error:
        most = f"at most {offset_s + count / rate:.2f} s"  # at most: the damage may lie before the offset
        whole = "" if recording.promised_s is None else f" of its {recording.promised_s:.2f} s"
        raise AudioError(f"{path}: damaged or cut short, {most}{whole} can be read") from error
    if wanted is not None and count < wanted - TOLERANCE_S * rate:
        raise AudioError(
            f"{path}: {_stretch(offset_s, duration_s)} was asked for, but only {count / rate:.2f} s is there"
        )


def _stretch(offset_s: float, duration_s: float | None) -> str:
    return f"{'all' if duration_s is None else f'{duration_s:g} s'} from {offset_s:g} s on"


def resampled(pieces: Iterable[Waveform], from_hz: int, to_hz: int) -> Iterator[Waveform]:
    if from_hz == to_hz:
        yield from pieces
        return
    stream = soxr.ResampleStream(from_hz, to_hz, num_channels=1, quality="HQ")
    for piece in pieces:
        yield stream.resample_chunk(piece)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _regrouped(pieces: Iterable[Waveform], block_samples: int) -> Iterator[Waveform]:
    """The same samples in blocks of `block_samples`, the last one perhaps shorter, none of them empty."""
    waiting: list[Waveform] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece)
        if count >= block_samples:
            *blocks, rest = np.split(np.concatenate(waiting), range(block_samples, count + 1, block_samples))
            yield from blocks
            waiting, count = [rest], len(rest)
    if count:
        yield np.concatenate(waiting)
