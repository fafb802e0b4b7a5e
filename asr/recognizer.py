"""A trained model at work: recordings in, text out.

Shapes: B utterances, N samples, T frames, V tokens.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.assembly import Assembly
from asr.audio import Waveform, read_blocks, resample
from asr.checkpoint import Checkpoint, load_model
from asr.dataset import Batch
from asr.decoder import DecodingConfig
from asr.device import choose, dtype_of
from asr.ensemble import Revoiced
from asr.errors import AudioError
from asr.features import SILENCE, length_mask
from asr.hearing import CONTEXT_S, WINDOW_S, Advance, Hearing, Matrix, Network, Recording
from asr.onnx import OnnxModel
from asr.progress import bar
from asr.reading import Decodes, Reader, Reading
from asr.shipped import name_of
from asr.transcript import Transcript
from asr.tuned import Search, config_for, greedy_reader, read_tuned, reader_for

BLOCK_S = 30.0
"""Of a recording, so much is in memory as samples at once."""


class Recognizer:
    """A model on its device, and how its log-probabilities are read: greedily, unless another reader is given."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, reader: Reader | None = None) -> None:
        self.checkpoint = checkpoint
        self.model: Network = checkpoint.model
        """What hears: the checkpoint's model, the same as ONNX, or either in several voices."""
        self.device = device
        self.name = ""
        """The folder that the model comes from, or the name of one of the package."""
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

    def hear_as(self, config: DecodingConfig) -> None:
        """From now on in the voices and in the precision of these settings."""
        model = self.model.network if isinstance(self.model, Revoiced) else self.model
        dtype = dtype_of(config.precision, self.device)
        plain = set(config.voices) == {1.0} and dtype == torch.float32
        self.model = model if plain else Revoiced(model, config.voices, dtype)

    def matrix(
        self,
        audio: str | Path | Waveform | Tensor,
        sample_rate_hz: int | None = None,
        window_s: float = WINDOW_S,
        context_s: float = CONTEXT_S,
    ) -> Matrix:
        """One recording, however long, to (T, V) log-probabilities.

        Args:
            audio: As `transcribe`.
            sample_rate_hz: As `transcribe`.
            window_s: A longer recording goes through the model in parts, each of which its LSTMs begin anew.
            context_s: What they hear besides on either side of a part.

        Raises:
            AudioError: As `transcribe`.
        """
        parts = {}
        with bar("listening", None) as advance:
            recordings = [self.recording(audio, sample_rate_hz)]
            for piece in chain.from_iterable(self.hearing.hear(recordings, advance, window_s, context_s)):
                if piece.error:
                    raise piece.error
                parts[piece.index] = piece.matrix
        return np.concatenate([parts[index] for index in sorted(parts)])

    @property
    def hearing(self) -> Hearing:
        features, tokens = self.checkpoint.features, len(self.checkpoint.vocabulary)
        return Hearing(self.model, features, self.frame_s, tokens, self.device)

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
        self.reader.check(self.name or "the model")
        sources: list[str] = []

        def named() -> Iterator[Recording]:
            for each in recordings:
                recording = each if isinstance(each, Recording) else self.recording(each)
                sources.append(recording.source)
                yield recording

        jobs: dict[int, Assembly] = {}
        nbest, number = self.reader.nbest, 0
        readings: Future[list[Reading]] | None = None
        thread = ThreadPoolExecutor(1, "reading")  # so that reading one batch goes on while the next is heard
        try:
            for pieces in self.hearing.hear(named(), advance):
                parts = []
                for piece in pieces:
                    vocabulary, source = self.checkpoint.vocabulary, sources[piece.number]
                    job = jobs.setdefault(piece.number, Assembly(source, vocabulary, self.frame_s))
                    parts += [(job, stretch) for stretch in job.add(piece)]
                matrices = [stretch.matrix for _, stretch in parts]
                durations_s = [job.until_s(stretch) for job, stretch in parts]
                if readings:
                    readings.result()  # a slow search would fall behind ever more, out of reach of `advance`
                readings = thread.submit(self.reader.read, matrices, durations_s)
                for place, (job, stretch) in enumerate(parts):
                    job.await_reading(stretch, readings, place)
                while number in jobs and jobs[number].complete:
                    yield jobs.pop(number).transcript(nbest, self.name)
                    number += 1
            for number in sorted(jobs):
                yield jobs[number].transcript(nbest, self.name)
        finally:
            thread.shutdown(cancel_futures=True)

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


def load(
    folder: Path,
    device: str = "auto",
    greedy: bool = False,
    search: Search | None = None,
    engine: Literal["torch", "onnx"] = "torch",
    cores: int | None = None,
    decoder: Decodes | None = None,
) -> Recognizer:
    """The recognizer in a model folder, on the device called `auto`, `cpu`, `cuda` or `mps`.

    Args:
        greedy: Without a beam search, even where one was tuned for the model.
        search: A beam search in place of the tuned one, or in addition to its settings.
        engine: What computes the log-probabilities: PyTorch, or ONNX Runtime with what `asr.export` has written.
        cores: Of the processor, how many to use at most; None: all.
        decoder: What `asr.head_start.begin` made of the same folder and search.

    Raises:
        AsrError: The folder is not whole, or the device is not there.
    """
    if cores:
        torch.set_num_threads(cores)
    recognizer = Recognizer(load_model(folder), choose(device))
    recognizer.name = name_of(folder)
    if engine == "onnx":
        recognizer.model = OnnxModel.load(folder, threads=cores, device=recognizer.device.type)
    vocabulary, frame_s = recognizer.checkpoint.vocabulary, recognizer.frame_s
    tuned = read_tuned(folder)
    if greedy:
        recognizer.reader = greedy_reader(tuned, vocabulary, frame_s)
    else:
        recognizer.reader = reader_for(folder, tuned, vocabulary, frame_s, search, decoder)
    recognizer.hear_as(config_for(tuned, search or Search()))
    if cores and recognizer.reader.decoder:
        recognizer.reader.decoder.cores = cores
    return recognizer
