"""A trained model at work: recordings in, text out.

Shapes: B utterances, N samples, T frames, V tokens.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asr.audio import Waveform, read, resample
from asr.checkpoint import Checkpoint, kind_of, load_model
from asr.dataset import Batch
from asr.decoding import greedy
from asr.device import choose
from asr.errors import AsrError, AudioError, ModelError
from asr.files import read_json


@dataclass(frozen=True)
class Transcript:
    """What was said in one recording, or why it could not be read."""

    source: str
    text: str
    duration_s: float
    error: AsrError | None = None


class Recognizer:
    """A model on its device."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        self.checkpoint = checkpoint
        self.device = device
        checkpoint.features.to(device)
        checkpoint.model.to(device)

    @property
    def sample_rate_hz(self) -> int:
        return self.checkpoint.features.config.sample_rate_hz

    @torch.inference_mode()
    def log_probabilities(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N) waveforms at the model's rate and (B,) samples to (B, T, V) log-probabilities and (B,) frames."""
        self.checkpoint.model.eval()
        features = self.checkpoint.features(waveforms.to(self.device), lengths.to(self.device))
        log_probabilities, frames = self.checkpoint.model(*features)
        return log_probabilities, frames

    def texts(self, waveforms: Tensor, lengths: Tensor) -> list[str]:
        """The greedy transcript of each waveform of a padded batch; digital silence says nothing."""
        log_probabilities, frames = self.log_probabilities(waveforms, lengths)
        ids = (greedy(matrix[:count]) for matrix, count in zip(log_probabilities.cpu(), frames.tolist(), strict=True))
        heard = [bool(row[:count].any()) for row, count in zip(waveforms, lengths.tolist(), strict=True)]
        return [self.checkpoint.vocabulary.decode(row) if loud else "" for row, loud in zip(ids, heard, strict=True)]

    def decode(self, batches: Iterable[Batch]) -> Iterator[tuple[str, str]]:
        """The id and the greedy transcript of every utterance of the batches."""
        for batch in batches:
            batch = batch.to(self.device)
            yield from zip(batch.ids, self.texts(batch.waveforms, batch.waveform_lengths), strict=True)

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
        (text,) = self.texts(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
        return Transcript(source, text, duration_s)

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


def load(folder: Path, device: str = "auto") -> Recognizer:
    """The recognizer in a model folder, on the device called `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        AsrError: The folder is not whole, or the device is not there.
    """
    return Recognizer(load_model(folder), choose(device))


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
