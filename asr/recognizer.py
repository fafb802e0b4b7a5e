"""A trained model at work: recordings in, text out.

Shapes: B utterances, N samples, T frames, V tokens.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from asr.audio import Waveform, read, resample
from asr.checkpoint import Checkpoint, kind_of, load_model
from asr.dataset import Batch
from asr.decoding import greedy
from asr.device import choose
from asr.errors import AsrError, AudioError, ModelError
from asr.features import length_mask
from asr.files import read_json
from asr.model import output_frames
from asr.progress import track
from asr.reading import Reader, Reading
from asr.transcript import Transcript
from asr.tuned import Search, greedy_reader, read_tuned, reader_for

CHUNK_S = 60.0
"""A longer recording goes through the LSTMs in pieces, each of which they begin anew: memory is that of a piece."""

CONTEXT_S = 5.0
"""What the LSTMs hear on either side of a piece before it counts: about as much as they remember."""


class Recognizer:
    """A model on its device, and how its log-probabilities are read: greedily, unless another reader is given."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, reader: Reader | None = None) -> None:
        self.checkpoint = checkpoint
        self.device = device
        self.reader = reader or Reader(checkpoint.vocabulary, self.frame_s)
        checkpoint.features.to(device)
        checkpoint.model.to(device)

    @property
    def sample_rate_hz(self) -> int:
        return self.checkpoint.features.config.sample_rate_hz

    @property
    def frame_s(self) -> float:
        """Seconds from one output frame to the next; frame 0 is at the recording's first sample."""
        subsampling = self.checkpoint.model.config.subsampling
        return self.checkpoint.features.config.hop_samples * subsampling / self.sample_rate_hz

    @torch.inference_mode()
    def log_probabilities(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N) waveforms at the model's rate and (B,) samples to (B, T, V) log-probabilities and (B,) frames."""
        self.checkpoint.model.eval()
        features = self.checkpoint.features(waveforms.to(self.device), lengths.to(self.device))
        log_probabilities, frames = self.checkpoint.model(*features)
        return log_probabilities, frames

    @torch.inference_mode()
    def matrix(self, waveform: Waveform | Tensor, chunk_s: float = CHUNK_S, context_s: float = CONTEXT_S) -> Tensor:
        """(N,) samples of one recording, however long, at the model's rate to (T, V) log-probabilities on the CPU.

        The features are those of the whole recording, and so are the frames, cut or not.

        Args:
            chunk_s: Longer recordings are cut; in whole output frames, as is `context_s`.
        """
        model = self.checkpoint.model.eval()
        features = self.checkpoint.features.of_recording(torch.as_tensor(waveform).to(self.device))
        chunk, context = (round(length_s / self.frame_s) for length_s in (chunk_s, context_s))
        frames = output_frames(len(features), model.config.subsampling)
        starts = range(0, max(1, frames - context), max(1, chunk))
        kept = []
        for start in track(starts, "listening") if len(starts) > 1 else starts:
            begin, end = max(0, start - context), start + chunk + context
            piece = features[begin * model.config.subsampling : end * model.config.subsampling]
            log_probabilities, _ = model(piece[None], torch.tensor([len(piece)], device=self.device))
            until = None if start == starts[-1] else start - begin + chunk
            kept.append(log_probabilities[0, start - begin : until].cpu())
        return torch.cat(kept)

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
        """The (T, V) log-probabilities of each utterance; of digital silence no frame."""
        samples = batch.waveform_lengths
        loud = (batch.waveforms.ne(0) & length_mask(samples, batch.waveforms.shape[1])).any(1)
        batch = batch.to(self.device)
        log_probabilities, frames = self.log_probabilities(batch.waveforms, batch.waveform_lengths)
        matrices = zip(log_probabilities.cpu(), (frames.cpu() * loud.cpu()).tolist(), strict=True)
        return [matrix[:count].numpy() for matrix, count in matrices]

    def transcribe(self, audio: str | Path | Waveform | Tensor, sample_rate_hz: int | None = None) -> Transcript:
        """The transcript of one recording.

        Args:
            audio: A file, or a waveform of shape (samples,) in -1..1.
            sample_rate_hz: The rate of a waveform, which cannot do without; a file knows its own.

        Raises:
            AudioError: The file cannot be read; or a waveform without a rate, of another shape, or with NaN.
        """
        if isinstance(audio, str | Path):
            source, waveform = str(audio), read(Path(audio), self.sample_rate_hz)
        else:
            source, waveform = "waveform", self._checked(audio, sample_rate_hz)
        duration_s = len(waveform) / self.sample_rate_hz
        matrix = self.matrix(waveform).numpy()
        matrix = matrix if waveform.any() else matrix[:0]  # digital silence says nothing
        (reading,) = self.reader.read([matrix], [duration_s])
        return Transcript(source, reading.text, duration_s, None, reading.words, reading.alternatives)

    def transcribe_many(self, paths: Sequence[str | Path]) -> Iterator[Transcript]:
        """A transcript for each file, in order; one that cannot be read has `error` set and an empty text."""
        for path in paths:
            try:
                yield self.transcribe(path)
            except AsrError as error:
                yield Transcript(str(path), "", 0.0, error)

    def _checked(self, audio: Waveform | Tensor, sample_rate_hz: int | None) -> Waveform:
        if sample_rate_hz is None:
            raise AudioError("a waveform needs its rate: transcribe(waveform, sample_rate_hz=16000)")
        waveform = np.asarray(audio, dtype=np.float32)
        if waveform.ndim != 1 or not waveform.size:
            raise AudioError(f"a waveform of shape (samples,) was expected, found {tuple(waveform.shape)}")
        if not np.isfinite(waveform).all():
            raise AudioError("the waveform holds NaN or infinite samples")
        return resample(waveform, sample_rate_hz, self.sample_rate_hz)


def load(folder: Path, device: str = "auto", greedy: bool = False, search: Search | None = None) -> Recognizer:
    """The recognizer in a model folder, on the device called `auto`, `cpu`, `cuda` or `mps`.

    Args:
        greedy: Without a beam search, even where one was tuned for the model.
        search: A beam search in place of the tuned one, or in addition to its settings.

    Raises:
        AsrError: The folder is not whole, or the device is not there.
    """
    recognizer = Recognizer(load_model(folder), choose(device))
    vocabulary, frame_s = recognizer.checkpoint.vocabulary, recognizer.frame_s
    if greedy:
        recognizer.reader = greedy_reader(read_tuned(folder), vocabulary, frame_s)
    else:
        recognizer.reader = reader_for(folder, vocabulary, frame_s, search)
    return recognizer


def find_model() -> Path:
    """The model folder to use when none is named: `$ASR_MODEL`, else the only one below `exp/` that is not of language.

    Raises:
        ModelError: There is none, or more than one to choose from.
    """
    if named := os.environ.get("ASR_MODEL"):
        return Path(named)
    paths = sorted(Path("exp").rglob("model/config.json"))
    found = [path.parent for path in paths if kind_of(read_json(path)) != "language model"]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ModelError("no model below exp/; train one, such as with 'asr run numbers', or name one with --model DIR")
    raise ModelError(f"several models below exp/; choose with --model: {', '.join(map(str, found))}")
