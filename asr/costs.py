"""What models cost beside each other: speed in training and decoding, and memory, over the same speech.

They are timed in turns, so that what else the machine does meets all of them alike, and of the times for a batch
the least counts.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from asr.config import settings
from asr.dataset import Batch, Draw
from asr.device import peak_memory_bytes, reset_peak_memory
from asr.learner import Learner
from asr.optimizer import OptimizerConfig
from asr.progress import bar
from asr.speech import SpeechTask

BATCHES, TURNS = 4, 5
"""Batches of training speech, from the shortest to the longest; how often each is taken."""

Work = Callable[[], object]


@settings
class Costs:
    """What a model costs on a device, without reading recordings, and without the search behind its probabilities."""

    weight_bytes: int
    training_speed: float
    """Seconds of speech for one of a training that goes forwards, with augmentation and features, and backwards."""
    decoding_speed: float
    """Seconds of speech for one of going from features to log-probabilities."""
    memory_bytes: int
    """What a training step takes at its peak beyond what the process holds before; 0 where the system does not say.

    On a CPU that is the process's resident memory; on CUDA, what tensors hold.
    """


def measure(tasks: Mapping[str, SpeechTask]) -> dict[str, Costs]:
    """The costs of each task's model.

    Args:
        tasks: By name, each in this process alone. Where data and batch sizes are equal, so are the batches.
    """
    training: dict[str, list[Work]] = {}
    decoding: dict[str, list[Work]] = {}
    heard_s, memory = {}, {}
    for name, task in tasks.items():
        learner = Learner(task, OptimizerConfig(), task.config.precision, task.config.seed)
        batches = sample(task)
        heard_s[name] = (
            sum(float(batch.waveform_lengths.sum()) for _, batch in batches) / task.recognizer.sample_rate_hz
        )
        training[name] = [_waited_for(task.device, learner.rehearse, batch, draws) for draws, batch in batches]
        decoding[name] = [_waited_for(task.device, _forward(task), *_features(task, b)) for _, b in batches]
        memory[name] = _memory_of(training[name][-1], task.device)
    with bar("measuring costs", 2 * TURNS) as advance:
        seconds = [time_in_turns(works, TURNS, advance) for works in (training, decoding)]
    return {
        name: Costs(
            sum(weight.numel() * weight.element_size() for weight in task.checkpoint.model.parameters()),
            heard_s[name] / seconds[0][name],
            heard_s[name] / seconds[1][name],
            memory[name],
        )
        for name, task in tasks.items()
    }


def sample(task: SpeechTask) -> list[tuple[list[Draw], Batch]]:
    """Batches as the first epoch has them, evenly from the shortest to the longest."""
    planned = task.plan(0)
    last = len(planned) - 1
    chosen = [planned[place] for place in sorted({round(last * part / (BATCHES - 1)) for part in range(BATCHES)})]
    return list(zip(chosen, task.load(chosen), strict=True))


def time_in_turns(
    works: Mapping[str, Sequence[Work]],
    turns: int,
    advance: Callable[[], Any] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """The seconds that each one's pieces of work take in all, each piece at its quickest."""
    least: dict[str, list[float]] = {name: [float("inf")] * len(pieces) for name, pieces in works.items()}
    for _ in range(turns):
        for name, pieces in works.items():
            for place, piece in enumerate(pieces):
                began = clock()
                piece()
                least[name][place] = min(least[name][place], clock() - began)
        advance()
    return {name: sum(seconds) for name, seconds in least.items()}


def _forward(task: SpeechTask) -> Callable[..., object]:
    """The bare model as decoding runs it."""
    model = task.checkpoint.model

    @torch.inference_mode()
    def forward(features: torch.Tensor, lengths: torch.Tensor) -> object:
        return model.eval()(features, lengths)

    return forward


@torch.inference_mode()
def _features(task: SpeechTask, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    on_device = batch.to(task.device)
    features, lengths = task.checkpoint.features(on_device.waveforms, on_device.waveform_lengths)
    return features, lengths


def _waited_for(device: torch.device, function: Callable[..., object], *arguments: Any) -> Work:
    """The call, ended only when a GPU has done what it was given."""

    def work() -> None:
        function(*arguments)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return work


def _memory_of(step: Work, device: torch.device) -> int:
    """The peak of a step that is not the first, for that also sets up what stays."""
    step()
    reset_peak_memory(device)
    before = peak_memory_bytes(device)
    step()
    return peak_memory_bytes(device) - before
