"""Speech made by espeak-ng, noise added, the same to the last bit each time it is made.

espeak-ng's library comes with the extra `asr[synth]` and is spoken to through ctypes. Its formant speech is good for
trying things out, and no ground for a claim about the speech of people.
"""

import ctypes
import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from asr.config import nearest
from asr.errors import AsrError, DataError
from asr.files import digest, digest_of, read_json, write_json, writing
from asr.progress import bar

Samples = npt.NDArray[np.float32]

RECORDINGS_PER_PROCESS = 250
"""Fixed, whatever the number of cores: espeak-ng repeats itself only when a fresh process says the same sequence."""

SILENCE_S = (0.1, 0.3)
"""Least and most silence before the speech, and again after it."""

# Numbers of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _KEEP_RUNNING, _UTF8 = 2, 0x8000, 1
_RATE, _VOLUME, _PITCH = 1, 2, 3
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

_QUIET = 50
"""Half of espeak-ng's usual volume, at which many of its voices clip."""


@dataclasses.dataclass(frozen=True)
class Speech:
    """What is said, by whom and how."""

    text: str
    voice: str
    """A language of espeak-ng and, after a plus, one of its variants, letter for letter: `en-us+f3`."""
    words_per_minute: int
    """From 80 to 450."""
    pitch: int
    """From 0 to 99; 50 is the voice's own."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """A `.flac` or `.wav` file to be made."""

    speech: Speech
    path: Path
    noise_snr_db: float | None
    """How far the noise lies below the speech; None: no noise."""
    seed: int
    """Of the noise and the silence around the speech."""


def synthesise(speeches: Iterable[Speech], sample_rate_hz: int) -> Iterator[Samples]:
    """The speeches in turn, mono, between -1 and 1.

    espeak-ng's state runs on from one speech to the next, so samples depend on all that this process said before;
    `write_speech` does not have this trouble.

    Raises:
        AsrError: The extra is missing, espeak-ng does not start, has no such voice, or has nothing to say.
    """
    for speech in speeches:
        samples = _espeak().say(speech).astype(np.float32) / 32768
        yield soxr.resample(samples, _espeak().sample_rate_hz, sample_rate_hz, quality="HQ")


def add_noise(samples: Samples, snr_db: float, generator: np.random.Generator) -> Samples:
    """The samples with noise of `snr_db` less power than they have on average, of a colour from white to pink."""
    size = 2 ** len(samples).bit_length()  # a quick one for the FFT
    real, imaginary = generator.standard_normal((2, size // 2 + 1))
    slope = generator.uniform(0.0, 0.5)  # of the amplitude: power falls as 1/f in pink noise
    spectrum = (real + 1j * imaginary) * np.arange(1, size // 2 + 2) ** -slope
    noise = np.fft.irfft(spectrum, size)[: len(samples)]
    gain = _loudness(samples) / _loudness(noise) * 10 ** (-snr_db / 20)
    return (samples + gain * noise).astype(np.float32)


def write_speech(recordings: Sequence[Recording], sample_rate_hz: int) -> list[float]:
    """Makes the recordings, 16 bits and mono, on all cores; gives the seconds that each lasts.

    The same recordings in the same order have the same samples every time, as long as `version` is the same.

    Raises:
        AsrError: As `synthesise`, or a file cannot be written.
    """
    starts = range(0, len(recordings), RECORDINGS_PER_PROCESS)
    shards = [recordings[start : start + RECORDINGS_PER_PROCESS] for start in starts]
    workers = max(1, min(len(shards), os.cpu_count() or 1))
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=spawn, max_tasks_per_child=1) as pool,
        bar("speech", len(recordings)) as advance,
    ):
        futures = [pool.submit(_write_shard, shard, sample_rate_hz) for shard in shards]
        try:
            for future in as_completed(futures):
                advance(len(future.result()))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [duration_s for future in futures for duration_s in future.result()]


def write_speech_once(recordings: Sequence[Recording], sample_rate_hz: int, receipt: Path) -> list[float]:
    """As `write_speech`, but nothing is made when `receipt`, a JSON file, says that these very files are there."""
    order = digest_of([version(), sample_rate_hz, [_to_record(recording, receipt.parent) for recording in recordings]])
    paths = [recording.path for recording in recordings]
    try:
        made = read_json(receipt)
        if made["order"] == order and made["audio"] == digest_of([digest(path) for path in paths]):
            return list(made["durations_s"])
    except (DataError, OSError, KeyError, TypeError):
        pass  # there is no such receipt, or a file of it is gone
    receipt.unlink(missing_ok=True)
    durations_s = write_speech(recordings, sample_rate_hz)
    audio = digest_of([digest(path) for path in paths])
    write_json(receipt, {"order": order, "audio": audio, "durations_s": durations_s})
    return durations_s


def version() -> str:
    """All that the samples of a recording depend on, besides the recording and the machine."""
    return f"espeak-ng {_espeak().version}, soxr {soxr.__version__}, numpy {np.__version__}, {digest(Path(__file__))}"


class _Espeak:
    """The espeak-ng of this process."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            message = "this recipe makes its own speech with espeak-ng: pip install 'asr[synth]'"
            raise AsrError(message) from error
        data = Path(espeakng_loader.get_data_path())
        self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self._library.espeak_Info.restype = ctypes.c_char_p
        self.sample_rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(data), _KEEP_RUNNING)
        if self.sample_rate_hz <= 0:
            raise AsrError(f"{data}: espeak-ng cannot read its data; 160 characters of path are too many for it")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # espeak-ng took the time of day, for its breath
        self.version: str = self._library.espeak_Info(None).decode()
        self._variants = {path.name for path in data.glob("voices/!v/*")}
        self._parts: list[bytes] = []
        self._callback = _CALLBACK(self._collect)  # ctypes frees a callback that nobody holds
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, speech: Speech) -> npt.NDArray[np.int16]:
        self._choose(speech.voice)
        for parameter, value in ((_RATE, speech.words_per_minute), (_VOLUME, _QUIET), (_PITCH, speech.pitch)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._parts.clear()
        text = speech.text.encode()
        self._library.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None)
        samples = np.frombuffer(b"".join(self._parts), np.int16)
        if not samples.any():
            raise AsrError(f"espeak-ng has nothing to say for {speech.text!r} with the voice {speech.voice!r}")
        return samples

    def _choose(self, voice: str) -> None:
        variant = voice.partition("+")[2]
        if variant and variant not in self._variants:  # espeak-ng would say it without a variant
            raise AsrError(f"espeak-ng has no voice {voice!r}{nearest(variant, self._variants)}")
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise AsrError(f"espeak-ng has no voice {voice!r}")

    def _collect(self, samples: int | None, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._parts.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()


def _write_shard(recordings: Sequence[Recording], sample_rate_hz: int) -> list[float]:
    speeches = synthesise((recording.speech for recording in recordings), sample_rate_hz)
    return [_write(recording, next(speeches), sample_rate_hz) for recording in recordings]


def _write(recording: Recording, samples: Samples, sample_rate_hz: int) -> float:
    generator = np.random.default_rng(recording.seed)
    samples = np.pad(samples, [int(generator.uniform(*SILENCE_S) * sample_rate_hz) for _ in range(2)])
    if recording.noise_snr_db is not None:
        samples = add_noise(samples, recording.noise_snr_db, generator)
    samples = samples / max(1.0, float(np.abs(samples).max()))
    with writing(recording.path, "wb") as stream:
        soundfile.write(stream, samples, sample_rate_hz, "PCM_16", format=recording.path.suffix[1:])
    return len(samples) / sample_rate_hz


def _to_record(recording: Recording, folder: Path) -> dict[str, Any]:
    path = os.path.relpath(recording.path, folder)
    return {**dataclasses.asdict(recording), "path": path}


def _loudness(samples: npt.NDArray[Any]) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(samples))))
