"""The training loop against its bound: the bare model, forwards and backwards, on batches that are already there.

    python benchmarks/training.py [--device cuda]

Both take the same steps in turn, so that a noisy machine treats them alike; the ratio is what counts. The loop's
share is reading from memory, changing speed, noise, features, masks and the optimiser.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch.nn.functional import ctc_loss

from asr.augment import AugmentationConfig
from asr.checkpoint import create
from asr.dataset import Batch, load, plan
from asr.device import choose, describe, keep_freed_memory
from asr.features import FeatureConfig
from asr.manifest import Utterance
from asr.model import ModelConfig, parameter_count
from asr.text import Vocabulary
from asr.training import Trainer, TrainingConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    device = choose(options.device)
    keep_freed_memory()
    trainer = make_trainer(device, options.hidden, options.layers)
    batches = plan(trainer.train_set.utterances, trainer.config.batch_s, trainer.augmentation.speeds)
    loop, bare, audio_s = [], [], 0.0
    for number, batch in enumerate(batches[: options.steps + 1]):
        loop.append(timed(device, lambda draws=batch: trainer.step(next(load(trainer.train_set, [draws])), 1.0)))
        resident = next(load(trainer.train_set, [batch])).to(device)
        with torch.no_grad():
            features = trainer.checkpoint.features(resident.waveforms, resident.waveform_lengths)
        bare.append(timed(device, lambda there=resident, ready=features: model_step(trainer, there, *ready)))
        audio_s += number and float(resident.waveform_lengths.sum()) / 16000
    loop_s, bare_s = sum(loop[1:]), sum(bare[1:])  # the first step warms up
    ratio = statistics.median(a / b for a, b in zip(loop[1:], bare[1:], strict=True))
    millions = parameter_count(trainer.checkpoint.model) / 1e6
    print(f"{describe(device)}, {millions:.1f} M parameters, batches of {trainer.config.batch_s:g} s")
    print(f"loop {audio_s / loop_s:.0f}x real time, bare model {audio_s / bare_s:.0f}x, loop / bare {ratio:.2f}")


def make_trainer(device: torch.device, hidden: int, layers: int) -> Trainer:
    vocabulary = Vocabulary.of_characters(" abcdefghijklmnopqrstuvwxyz")
    checkpoint = create(FeatureConfig(), ModelConfig(hidden=hidden, layers=layers), vocabulary, {})
    augmentation = AugmentationConfig((0.9, 1.0, 1.1), 6.0, 0.5, frequency_masks=2, time_masks=2)
    rng = np.random.default_rng(0)
    utterances = [
        Utterance(str(number), None, "one two three four " * 2, duration_s=duration_s)  # type: ignore[arg-type]
        for number, duration_s in enumerate(rng.uniform(4, 14, 150))
    ]
    trainer = Trainer(checkpoint, utterances, utterances[:1], TrainingConfig(), augmentation, device)
    noise = (rng.standard_normal(16000 * 14) * 3000).astype(np.int16)
    trainer.train_set.kept = [noise[: int(u.duration_s * 16000)] for u in utterances]
    return trainer


def model_step(trainer: Trainer, batch: Batch, features: torch.Tensor, lengths: torch.Tensor) -> None:
    trainer.checkpoint.model.zero_grad()
    log_probabilities, frames = trainer.checkpoint.model(features, lengths)
    ctc_loss(log_probabilities.transpose(0, 1), batch.tokens, frames, batch.token_lengths).backward()


def timed(device: torch.device, work) -> float:
    started = now(device)
    work()
    return now(device) - started


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
