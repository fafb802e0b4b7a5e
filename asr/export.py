"""Writes a model into its folder in other programs' form, once that form is seen to do what PyTorch does.

Shapes: B utterances, T feature frames, F mel bins, T' output frames, V tokens.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from asr.checkpoint import Checkpoint, load_model
from asr.dataset import SpeechDataset, load, plan
from asr.decoding import greedy
from asr.errors import DataError, ModelError
from asr.features import length_mask
from asr.files import writing
from asr.manifest import Utterance, read_manifest
from asr.metrics import Errors, score, total
from asr.onnx import FILE, INT8_FILE, OnnxModel, marked, open_session, require, to_int8, to_onnx
from asr.progress import bar
from asr.shipped import require_own

TORCH = "torch"

CLOSE = {FILE: 1e-3}
"""How far log-probabilities may be from PyTorch's. Of 8 bits, they are off, and the error rates have to tell."""

PROBES = ((1, 1), (1, 37), (2, 801), (5, 200))
"""Noise that every file is tried on: utterances in the batch, feature frames of the longest."""

BATCH_S = 60.0
"""Of a manifest's recordings, so many seconds are in a batch."""

Network = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""What is called like `CTCModel`."""

Inputs = tuple[list[str], Tensor, Tensor]
"""The ids of utterances, their (B, T, F) features and (B,) frames."""


@dataclass(frozen=True)
class Figures:
    """How a model did in one of its forms."""

    name: str
    """`torch`, or the file's name."""
    difference: float
    """The largest between a log-probability and PyTorch's."""
    errors: Errors | None
    """By greedy decoding; None without a manifest."""

    def __str__(self) -> str:
        rates = f"  WER {self.errors.wer:.2%}  CER {self.errors.cer:.2%}" if self.errors else ""
        return f"{self.name:{len(INT8_FILE)}}  largest difference {self.difference:<7.2g}{rates}".rstrip()


def export(folder: Path, int8: bool, manifest: Path | None = None, utterances: int | None = None) -> list[Figures]:
    """Writes `model.onnx` into a model folder, and `model.int8.onnx` if asked to.

    Args:
        int8: As `asr.onnx.to_int8`.
        manifest: Recordings with their texts, to compare error rates on.
        utterances: Only the first so many of them.

    Returns:
        The figures of PyTorch, then of each file.

    Raises:
        AsrError: The extra `onnx` is not installed, the folder is not a model's, is the package's or cannot be written,
            the manifest or a recording cannot be used, or log-probabilities are too far off. Then the folder is as it
            was.
    """
    require_own(folder)
    require("onnx")
    require("onnxruntime")
    checkpoint = load_model(folder)
    chosen = read_manifest(manifest)[:utterances] if manifest else []
    if manifest and not chosen:
        raise DataError(f"{manifest}: no utterances to compare error rates on")
    with ExitStack() as files:  # what cannot be written is found out first, and what fails leaves nothing
        networks: dict[str, Network] = {TORCH: checkpoint.model}
        graph = to_onnx(checkpoint)
        for name in (FILE, INT8_FILE) if int8 else (FILE,):
            stream = files.enter_context(writing(folder / name, "wb"))
            small = name == INT8_FILE
            stream.write(marked(to_int8(graph) if small else graph, folder, small))
            stream.flush()
            networks[name] = OnnxModel(open_session(Path(stream.name)), checkpoint.model.config)
        return compare(checkpoint, networks, chosen)


@torch.inference_mode()
def compare(checkpoint: Checkpoint, networks: Mapping[str, Network], utterances: Sequence[Utterance]) -> list[Figures]:
    """How far the log-probabilities of networks are from those of the first, and the error rates of all.

    Args:
        networks: By name; more than `CLOSE` allows a name is not accepted.
        utterances: There may be none; then there are no error rates, nor are there any of a model of phones alone.

    Raises:
        ModelError: Log-probabilities are too far off.
        AudioError: A recording cannot be read.
    """
    vocabulary = checkpoint.vocabulary
    heard: dict[str, dict[str, str]] = {name: {} for name in networks}
    furthest = dict.fromkeys(networks, 0.0)
    with bar("comparing", len(utterances)) as advance:
        for ids, features, lengths in _inputs(checkpoint, utterances):
            outputs = {name: _matrices(network, features, lengths) for name, network in networks.items()}
            true = next(iter(outputs.values()))
            for name, matrices in outputs.items():
                furthest[name] = max(furthest[name], _difference(name, true, matrices))
                if vocabulary.spells:
                    texts = (vocabulary.decode(greedy(vocabulary.of_text(matrix))) for matrix in matrices)
                    heard[name] |= zip(ids, texts, strict=False)  # noise has no ids
            advance(len(ids))
    references = {utterance.id: utterance.text for utterance in utterances if vocabulary.spells}
    errors = {name: total(score(references, heard[name]).values()) if references else None for name in networks}
    return [Figures(name, furthest[name], errors[name]) for name in networks]


def _inputs(checkpoint: Checkpoint, utterances: Sequence[Utterance]) -> Iterator[Inputs]:
    """Batches of noise, of many shapes and lengths, then of the utterances."""
    features, chance = checkpoint.features, torch.Generator().manual_seed(0)
    for count, longest in PROBES:
        lengths = torch.linspace(longest, max(1, longest // 3), count).long()
        noise = torch.randn(count, longest, features.config.mel_bins, generator=chance)
        yield [], noise * length_mask(lengths, longest)[..., None], lengths
    dataset = SpeechDataset(utterances, features.config.sample_rate_hz)
    for batch in load(dataset, plan(utterances, BATCH_S)):
        batch = batch.to(torch.device("cpu"))
        yield batch.ids, *features(batch.waveforms, batch.waveform_lengths)


def _matrices(network: Network, features: Tensor, lengths: Tensor) -> list[Tensor]:
    """The (T', V) log-probabilities of each utterance."""
    log_probabilities, frames = network(features, lengths)
    return [matrix[:count] for matrix, count in zip(log_probabilities, frames.tolist(), strict=True)]


def _difference(name: str, true: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """The largest between log-probabilities.

    Raises:
        ModelError: It is more than `CLOSE` allows that name, or not a number.
    """
    off = (torch.cat(list(true)) - torch.cat(list(found))).abs().max().item()
    if not off <= CLOSE.get(name, math.inf):
        raise ModelError(f"{name}: a log-probability differs by {off:.1e} from PyTorch's; nothing was exported")
    return off
