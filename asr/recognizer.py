"""A trained model at work: recordings in, text out.

Shapes: B utterances, N samples, T frames, V tokens.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asr.audio import Waveform, read_blocks, resample
from asr.checkpoint import Checkpoint, kind_of, load_model
from asr.dataset import Batch
from asr.decoding import greedy
from asr.device import choose, return_freed_memory, thread_pool
from asr.errors import AsrError, AudioError, ModelError
from asr.features import length_mask
from asr.files import read_json
from asr.model import CTCModel
from asr.onnx import OnnxModel
from asr.progress import bar
from asr.reading import Reader, Reading, joined
from asr.stretches import Stretch, Stretches
from asr.transcript import Transcript
from asr.tuned import Search, greedy_reader, read_tuned, reader_for
from asr.windows import SILENCE, Sound, Window, ahead, batched, measure, windows

Matrix = NDArray[Any]

WINDOW_S = 30.0
"""Of a recording, so much counts in each window that the model hears ..."""

CONTEXT_S = 3.0
"""... and so much it hears besides on either side: about as much as its LSTMs remember."""

BATCH_S = {"cpu": 120.0, "cuda": 4800.0, "mps": 600.0}
"""What goes through the model at once."""

BLOCK_S = 30.0
"""Of a recording, so much is in memory as samples at once."""

KEPT_BYTES = 7e8
"""A process that holds more, PyTorch's own 5e8 included, gives back what is free after each batch."""

READERS = 8
"""Threads that read recordings, at most."""

Advance = Callable[[float], object]
"""Told of so many more seconds that have been heard."""


@dataclass(frozen=True)
class Recording:
    """A recording that can be read, from its beginning, as often as need be."""

    source: str
    """What to call it."""
    blocks: Callable[[], Iterator[Waveform]]
    """Its samples at the model's rate, block by block."""


@dataclass(frozen=True)
class Piece:
    """Of the log-probabilities of one recording among several, those of a window; or why there are none."""

    number: int
    """Of the recording: 0, 1, ..."""
    sound: Sound | AsrError
    index: int
    """Of the window in its recording."""
    matrix: Matrix
    """(T, V)."""
    last: bool


class Recognizer:
    """A model on its device, and how its log-probabilities are read: greedily, unless another reader is given."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, reader: Reader | None = None) -> None:
        self.checkpoint = checkpoint
        self.model: CTCModel | OnnxModel = checkpoint.model
        self.device = device
        self.name = ""
        """The folder that the model comes from."""
        self.window_s, self.context_s = WINDOW_S, CONTEXT_S
        self.reader = reader or Reader(checkpoint.vocabulary, self.frame_s)
        checkpoint.features.to(device)
        checkpoint.model.to(device)

    @property
    def sample_rate_hz(self) -> int:
        return self.checkpoint.features.config.sample_rate_hz

    @property
    def frame_s(self) -> float:
        """Seconds from one output frame to the next; frame 0 is at the recording's first sample."""
        subsampling = self.model.config.subsampling
        return self.checkpoint.features.config.hop_samples * subsampling / self.sample_rate_hz

    @torch.inference_mode()
    def log_probabilities(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N) waveforms at the model's rate and (B,) samples to (B, T, V) log-probabilities and (B,) frames."""
        self.model.eval()
        features = self.checkpoint.features(waveforms.to(self.device), lengths.to(self.device))
        log_probabilities, frames = self.model(*features)
        return log_probabilities, frames

    def matrix(self, audio: str | Path | Waveform | Tensor, sample_rate_hz: int | None = None) -> Matrix:
        """One recording, however long, to (T, V) log-probabilities.

        Args:
            audio: As `transcribe`.
            sample_rate_hz: As `transcribe`.

        Raises:
            AudioError: As `transcribe`.
        """
        parts = {}
        with bar("listening", None) as advance:
            for piece in chain.from_iterable(self.hear([self.recording(audio, sample_rate_hz)], advance)):
                if isinstance(piece.sound, AsrError):
                    raise piece.sound
                parts[piece.index] = piece.matrix
        return np.concatenate([parts[index] for index in sorted(parts)])

    @torch.inference_mode()
    def hear(self, recordings: Iterable[Recording], advance: Advance = lambda _: None) -> Iterator[list[Piece]]:
        """The log-probabilities of recordings of any number and length, batch by batch, in constant memory.

        Windows of several recordings go through the model together: a recording's pieces may come out of order, and
        mixed with those of its neighbours. A silent recording has one piece, of no frames.
        """
        model, features = self.model.eval(), self.checkpoint.features
        subsampling = model.config.subsampling
        chunk, context = (max(1, round(length_s / self.frame_s)) for length_s in (self.window_s, self.context_s))
        nothing = np.zeros((0, len(self.checkpoint.vocabulary)), np.float32)
        pieces: list[Piece] = []

        def cut() -> Iterator[tuple[int, Sound, Window]]:
            for number, sound in enumerate(self._sounds(recordings)):
                trouble: AsrError | None = sound if isinstance(sound, AsrError) else None
                if isinstance(sound, Sound) and not sound.silent:
                    try:
                        for window in windows(sound, features, subsampling, chunk, context):
                            yield number, sound, window
                        continue
                    except AsrError as error:
                        trouble = error
                pieces.append(Piece(number, trouble or sound, 0, nothing, True))

        most = round(BATCH_S[self.device.type] / self.frame_s) * subsampling
        for batch in batched(cut(), lambda item: len(item[2].features), most):
            frames = [window.features for _, _, window in batch]
            lengths = torch.tensor([len(each) for each in frames], device=self.device)
            log_probabilities = model(pad_sequence(frames, batch_first=True), lengths)[0].cpu().numpy()
            for row, (number, sound, window) in enumerate(batch):
                matrix = log_probabilities[row, window.counting]
                pieces.append(Piece(number, sound, window.index, matrix, window.last))
                advance(len(matrix) * self.frame_s)
            yield pieces
            pieces = []
            return_freed_memory(KEPT_BYTES)
        yield pieces

    def _sounds(self, recordings: Iterable[Recording]) -> Iterator[Sound | AsrError]:
        """Each recording read once, several at a time, in their order; or why it cannot be."""

        stopping = Event()  # or else a thread would read an hours-long recording to its end after Ctrl-C

        def read_once(recording: Recording) -> Sound | AsrError:
            def blocks() -> Iterator[Waveform]:
                return takewhile(lambda _: not stopping.is_set(), recording.blocks())

            try:
                return measure(blocks, self.checkpoint.features)
            except AsrError as error:
                return error

        threads = min(READERS, torch.get_num_threads())
        try:
            yield from ahead(read_once, recordings, thread_pool("readers", threads, 1), 2 * threads)
        finally:
            stopping.set()

    def decode(self, batches: Iterable[Batch]) -> Iterator[tuple[str, str]]:
        """The id and the greedy transcript of every utterance of the batches."""
        for batch in batches:
            paths = map(greedy, self.matrices(batch))
            yield from zip(batch.ids, map(self.checkpoint.vocabulary.decode, paths), strict=True)

    def read(self, batches: Iterable[Batch], readers: Sequence[Reader]) -> Iterator[tuple[str, list[Reading]]]:
        """The id of every utterance of the batches with what each of the readers makes of it."""
        for batch in batches:
            durations_s = [samples / self.sample_rate_hz for samples in batch.waveform_lengths.tolist()]
            matrices = self.matrices(batch)
            readings = [reader.read(matrices, durations_s) for reader in readers]
            yield from zip(batch.ids, map(list, zip(*readings, strict=True)), strict=True)

    def matrices(self, batch: Batch) -> list[NDArray[Any]]:
        """The (T, V) log-probabilities of each utterance; of silence no frame."""
        samples = batch.waveform_lengths
        loud = ((batch.waveforms.abs() > SILENCE) & length_mask(samples, batch.waveforms.shape[1])).any(1)
        batch = batch.to(self.device)
        log_probabilities, frames = self.log_probabilities(batch.waveforms, batch.waveform_lengths)
        matrices = zip(log_probabilities.cpu(), (frames.cpu() * loud.cpu()).tolist(), strict=True)
        return [matrix[:count].numpy() for matrix, count in matrices]

    def transcribe(
        self,
        audio: str | Path | Waveform | Tensor,
        sample_rate_hz: int | None = None,
        advance: Advance = lambda _: None,
    ) -> Transcript:
        """The transcript of one recording, however long.

        Args:
            audio: A file, or a waveform of shape (samples,) in -1..1.
            sample_rate_hz: The rate of a waveform, which cannot do without; a file knows its own.
            advance: Called with the seconds of each piece that has been heard; what it raises ends the work.

        Raises:
            AudioError: The file cannot be read; or a waveform without a rate, of another shape, or with NaN.
        """
        (transcript,) = self.transcribe_many([self.recording(audio, sample_rate_hz)], advance)
        if transcript.error:
            raise transcript.error
        return transcript

    def transcribe_many(
        self, recordings: Iterable[str | Path | Recording], advance: Advance = lambda _: None
    ) -> Iterator[Transcript]:
        """A transcript for each recording, in order; one that cannot be read has `error` set and an empty text.

        Args:
            recordings: Files, or what `recording` gave.
            advance: As in `transcribe`.
        """
        sources: list[str] = []

        def named() -> Iterator[Recording]:
            for each in recordings:
                recording = each if isinstance(each, Recording) else self.recording(each)
                sources.append(recording.source)
                yield recording

        jobs: dict[int, _Job] = {}
        number = 0
        with ThreadPoolExecutor(1, "reading") as thread:  # so that reading one batch goes on while the next is heard
            for pieces in self.hear(named(), advance):
                parts = []
                for piece in pieces:
                    job = jobs.setdefault(piece.number, _Job(self, sources[piece.number], piece.sound))
                    parts += [(job, stretch) for stretch in job.add(piece)]
                self._read_in(thread, parts)
                while number in jobs and jobs[number].complete:
                    yield jobs.pop(number).transcript()
                    number += 1
            for number in sorted(jobs):
                yield jobs[number].transcript()

    def _read_in(self, thread: ThreadPoolExecutor, parts: "Sequence[tuple[_Job, Stretch]]") -> None:
        if parts:
            matrices = [stretch.matrix for _, stretch in parts]
            durations_s = [job.duration_s - stretch.start * self.frame_s for job, stretch in parts]
            future = thread.submit(self.reader.read, matrices, durations_s)
            for place, (job, stretch) in enumerate(parts):
                job.readings.append((stretch.start, future, place))

    def recording(
        self,
        audio: str | Path | Waveform | Tensor,
        sample_rate_hz: int | None = None,
        source: str | None = None,
        offset_s: float = 0.0,
        duration_s: float | None = None,
    ) -> Recording:
        """A file or a waveform, as `transcribe_many` takes it.

        Args:
            audio: As `transcribe`.
            sample_rate_hz: As `transcribe`.
            source: What to call it, if not after the file.
            offset_s: Of a file: where to begin.
            duration_s: Of a file: how much of it; None: to its end.

        Raises:
            AudioError: A waveform without a rate, of another shape, or with NaN.
        """
        if isinstance(audio, str | Path):
            path, rate = Path(audio), self.sample_rate_hz
            return Recording(source or str(audio), lambda: read_blocks(path, rate, BLOCK_S, offset_s, duration_s))
        waveform = self._checked(audio, sample_rate_hz)
        block = round(BLOCK_S * self.sample_rate_hz)
        starts = range(0, len(waveform), block)
        return Recording(source or "waveform", lambda: (waveform[start : start + block] for start in starts))

    def _checked(self, audio: Waveform | Tensor, sample_rate_hz: int | None) -> Waveform:
        if sample_rate_hz is None:
            raise AudioError("a waveform needs its rate: transcribe(waveform, sample_rate_hz=16000)")
        waveform = np.asarray(audio, dtype=np.float32)
        if waveform.ndim != 1 or not waveform.size:
            raise AudioError(f"a waveform of shape (samples,) was expected, found {tuple(waveform.shape)}")
        if not np.isfinite(waveform).all():
            raise AudioError("the waveform holds NaN or infinite samples")
        return resample(waveform, sample_rate_hz, self.sample_rate_hz)


class _Job:
    """A recording on its way: pieces that wait for those before them, and the stretches that are being read."""

    def __init__(self, recognizer: Recognizer, source: str, sound: Sound | AsrError) -> None:
        tokens = recognizer.checkpoint.vocabulary.tokens
        self.recognizer, self.source, self.sound = recognizer, source, sound
        self.waiting: dict[int, Piece] = {}
        self.index, self.ended = 0, False
        self.stretches = Stretches(recognizer.frame_s, tokens.index(" ") if " " in tokens else None)
        self.readings: list[tuple[int, Future[list[Reading]], int]] = []

    @property
    def duration_s(self) -> float:
        return 0.0 if isinstance(self.sound, AsrError) else self.sound.duration_s

    @property
    def complete(self) -> bool:
        return self.ended and all(future.done() for _, future, _ in self.readings)

    def add(self, piece: Piece) -> Iterator[Stretch]:
        """The stretches that can be read now that the piece is there."""
        self.waiting[piece.index] = piece
        if isinstance(piece.sound, AsrError):
            self.sound, self.ended = piece.sound, True
            return
        while piece_next := self.waiting.pop(self.index, None):
            self.index, self.ended = self.index + 1, piece_next.last
            yield from self.stretches.add(piece_next.matrix, piece_next.last)

    def transcript(self) -> Transcript:
        if isinstance(self.sound, AsrError):
            return Transcript(self.source, "", 0.0, self.sound)
        parts = [(start, future.result()[place]) for start, future, place in self.readings]
        reading = parts[0][1]
        if len(parts) > 1:
            recognizer = self.recognizer
            reading = joined(parts, recognizer.frame_s, self.duration_s, recognizer.reader.nbest)
        words, alternatives, model = reading.words, reading.alternatives, self.recognizer.name
        return Transcript(self.source, reading.text, self.duration_s, None, words, alternatives, model)


def load(
    folder: Path,
    device: str = "auto",
    greedy: bool = False,
    search: Search | None = None,
    engine: Literal["torch", "onnx"] = "torch",
    cores: int | None = None,
) -> Recognizer:
    """The recognizer in a model folder, on the device called `auto`, `cpu`, `cuda` or `mps`.

    Args:
        greedy: Without a beam search, even where one was tuned for the model.
        search: A beam search in place of the tuned one, or in addition to its settings.
        engine: What computes the log-probabilities: PyTorch, or ONNX Runtime with what `asr.export` has written.
        cores: Of the processor, how many to use at most; None: all.

    Raises:
        AsrError: The folder is not whole, or the device is not there.
    """
    if cores:
        torch.set_num_threads(cores)
    recognizer = Recognizer(load_model(folder), choose(device))
    recognizer.name = str(folder)
    if engine == "onnx":
        recognizer.model = OnnxModel.load(folder, threads=cores, device=recognizer.device.type)
    vocabulary, frame_s = recognizer.checkpoint.vocabulary, recognizer.frame_s
    if greedy:
        recognizer.reader = greedy_reader(read_tuned(folder), vocabulary, frame_s)
    else:
        recognizer.reader = reader_for(folder, vocabulary, frame_s, search)
    if cores and recognizer.reader.decoder:
        recognizer.reader.decoder.cores = cores
    return recognizer


def find_model(named: str | None = None) -> Path:
    """The model folder to use: the one of that name, or that of the experiment of that name below `exp/`.

    Where none is named it is `$ASR_MODEL`, else the only one below `exp/` that is not of language.

    Raises:
        ModelError: There is none, or more than one to choose from.
    """
    if named or (named := os.environ.get("ASR_MODEL")):
        experiment = Path("exp") / named / "model"
        return experiment if experiment.is_dir() and not (Path(named) / "config.json").is_file() else Path(named)
    paths = sorted(Path("exp").rglob("model/config.json"))
    found = [path.parent for path in paths if kind_of(read_json(path)) != "language model"]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ModelError("no model below exp/; train one, such as with 'asr run numbers', or name one with --model DIR")
    raise ModelError(f"several models below exp/; choose with --model: {', '.join(map(str, found))}")
