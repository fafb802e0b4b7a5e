"""The training loop against its bound, against packed sequences, against a peer; and what memory it takes.

    python benchmarks/training.py [--manifest exp/librispeech/mini/data/train-clean-5.jsonl] [--device cuda]
        [--peer-python OTHER/bin/python]

- loop: what `asr train` does: reading, speeds, rooms, noise, features, masks, model, CTC, optimiser, average, figures.
- bound: the bare model, CTC and optimiser on batches of the same shapes whose features are there already.
- packed: the bound with its LSTM layers run by way of `pack_padded_sequence`.

These take turns batch by batch, so that a noisy machine treats them alike. The rest runs in processes of its own:

- malloc: the loop with glibc's allocator as it comes, and as `asr.device.keep_freed_memory` sets it.
- memory: what the pre-flight foretells for the training against the peak of three epochs, and the peak epoch by epoch.
- peer: SpeechBrain on the same recordings (see peer_speechbrain.py), before and after a loop of ours; needs a manifest.

Without a manifest the recordings are noise of 4 to 14 s, which takes as long to train on as speech.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from asr.augment import Augmentation, AugmentationConfig, chances
from asr.checkpoint import create
from asr.config import to_table
from asr.dashboard import Dashboard
from asr.dataset import Draw, load
from asr.device import choose, describe, keep_freed_memory
from asr.features import FeatureConfig
from asr.losses import ctc
from asr.manifest import Utterance, read_manifest
from asr.model import CTCModel, ModelConfig, parameter_count
from asr.optimizer import Optimizer, OptimizerConfig
from asr.recurrent import Bidirectional
from asr.speech import SpeechTask, TrainingConfig
from asr.text import Vocabulary
from asr.training import Trainer

AUGMENTATION = AugmentationConfig(
    speeds=(0.9, 1.0, 1.1),
    gain_db=6.0,
    noise_share=0.5,
    frequency_masks=2,
    time_masks=10,
    time_masks_per_s=1.0,
    time_mask_share=0.05,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--batch-seconds", type=float, default=120.0)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--steps", type=int, default=10, help="that are timed, after two that are not")
    parser.add_argument("--packed-steps", type=int, default=2)
    parser.add_argument("--peer-python", help="a Python that has SpeechBrain")
    parser.add_argument("--part", choices=("turns", "loop", "memory"), help="one part alone, as JSON")
    parser.add_argument("--malloc", choices=("set", "default"), default="set")
    options = parser.parse_args()
    if options.part:
        if options.malloc == "set":
            keep_freed_memory()
        print(json.dumps({"turns": turns, "loop": loop, "memory": memory}[options.part](options)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    found = part(options, "turns")
    print(f"{found['device']}, {found['parameters'] / 1e6:.1f} M parameters, batches of {options.batch_seconds:g} s")
    print(f"loop   {hours_per_s(found, 'loop')}, {found['of_bound']:.3f} of the bound (median of the turns)")
    print(f"bound  {hours_per_s(found, 'bound')}")
    print(f"packed {hours_per_s(found, 'packed')}: the loop is {found['times_packed']:.1f}x as fast")
    print(f"the loop's time beyond the bound: {found['beyond']}")
    if found["device"].startswith("cpu"):
        plain, ours = part(options, "loop", "--malloc=default"), part(options, "loop")
        print(
            f"malloc as it comes: {plain['page_faults_a_step']:.0f} page faults a step, {hours_per_s(plain, 'loop')}; "
            f"set: {ours['page_faults_a_step']:.0f}, {hours_per_s(ours, 'loop')}"
        )
    peaks = part(options, "memory")
    print(
        f"memory: {peaks['predicted_gb']:.2f} GB foretold, {peaks['peak_gb']:.2f} GB at most "
        f"({peaks['predicted_gb'] / peaks['peak_gb']:.2f}); peak after each epoch: {peaks['by_epoch_gb']}"
    )
    if options.peer_python and options.manifest:
        against_peer(options)


def part(options: argparse.Namespace, name: str, *more: str) -> dict:
    given = {name: value for name, value in vars(options).items() if value is not None}
    for without in ("peer_python", "part", "malloc"):
        given.pop(without, None)
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    command = [sys.executable, __file__, f"--part={name}", *arguments, *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def against_peer(options: argparse.Namespace) -> None:
    peer = [options.peer_python, str(Path(__file__).with_name("peer_speechbrain.py")), f"--manifest={options.manifest}"]
    sizes = [f"--hidden={options.hidden}", f"--layers={options.layers}", f"--batch-seconds={options.batch_seconds}"]
    command = [*peer, *sizes, f"--updates={options.steps}", f"--device={'cuda' if options.device == 'cuda' else 'cpu'}"]
    theirs, ours = [], []
    for _ in range(2):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        theirs.append(found["hours_per_s"])
        own = part(options, "loop")
        ours.append(own["audio_s"] / own["loop_s"] / 3600)
    rates = [", ".join(f"{rate:.4f}" for rate in each) for each in (theirs, ours)]
    print(
        f"peer   {found['peer']}, {found['parameters'] / 1e6:.1f} M parameters: {rates[0]} h/s; ours {rates[1]} h/s: "
        f"{min(ours) / max(theirs):.2f}x (our slower over their faster)"
    )


def turns(options: argparse.Namespace) -> dict:
    """Loop, bound and packed on the same batches, in turn."""
    trainer, device = make_trainer(options), choose(options.device)
    bare = Bare(trainer)
    batches = trainer.task.plan(1)
    times: dict[str, list[float]] = {"loop": [], "bound": [], "packed": []}
    began = now(device)

    def between() -> bool:
        nonlocal began
        times["loop"].append(now(device) - began)
        draws = batches[len(times["loop"]) - 1]
        features = bare.features(draws)
        times["bound"].append(timed(device, lambda: bare.step(*features)))
        if len(times["packed"]) < options.packed_steps:
            with packed_layers():
                times["packed"].append(timed(device, lambda: bare.step(*features)))
        began = now(device)
        return len(times["loop"]) == options.steps + 2

    trainer._train_epoch(between, lambda: None)
    audio_s = [sum(map(trainer.task.train_set.seconds, draws)) for draws in batches[: len(times["loop"])]]
    ratios = [bound / loop for bound, loop in zip(times["bound"][2:], times["loop"][2:], strict=True)]
    packed = [slow / quick for slow, quick in zip(times["packed"], times["loop"][: len(times["packed"])], strict=True)]
    return {
        "device": describe(device),
        "parameters": parameter_count(trainer.checkpoint.model),
        "audio_s": sum(audio_s[2:]),
        "loop_s": sum(times["loop"][2:]),
        "bound_s": sum(times["bound"][2:]),
        "packed_s": sum(times["packed"]) * sum(audio_s[2:]) / sum(audio_s[: len(times["packed"])]),
        "of_bound": statistics.median(ratios),
        "times_packed": statistics.median(packed),
        "beyond": bare.beyond(batches[2]),
    }


def loop(options: argparse.Namespace) -> dict:
    """The loop alone, and its page faults."""
    trainer, device = make_trainer(options), choose(options.device)
    marks: list[tuple[float, int]] = []

    def mark() -> bool:
        marks.append((now(device), resource.getrusage(resource.RUSAGE_SELF).ru_minflt))
        return len(marks) == options.steps + 2

    trainer._train_epoch(mark, lambda: None)
    (began, faults_before), (ended, faults_after) = marks[1], marks[-1]
    batches = trainer.task.plan(1)
    audio_s = sum(trainer.task.train_set.seconds(draw) for draws in batches[2 : len(marks)] for draw in draws)
    faults = (faults_after - faults_before) / (len(marks) - 2)
    return {"audio_s": audio_s, "loop_s": ended - began, "page_faults_a_step": faults}


def memory(options: argparse.Namespace) -> dict:
    """A whole training of three short epochs."""
    trainer = make_trainer(options, epochs=3, epoch=0)
    trainer.task.train = trainer.task.train_set.utterances = trainer.task.train_set.utterances[: 12 * options.steps]
    trainer.task.train_set.keep = trainer.task.dev_set.keep = lambda _: None  # they are there
    foretold: list[float] = []
    check = trainer.check

    def listen(folder: Path):
        for finding in check(folder):
            if finding.name == "memory":
                foretold.append(trainer.expected_bytes / 1e9)
            yield finding

    trainer.check = listen
    with tempfile.TemporaryDirectory() as folder:
        progress = trainer.run(Path(folder, "state.pt"), Path(folder, "model"), "benchmark", lambda _: "")
    peaks = [record["memory_gb"] for record in progress.history]
    return {"predicted_gb": foretold[0], "peak_gb": max(peaks), "by_epoch_gb": peaks}


def make_trainer(options: argparse.Namespace, epochs: int = 2, epoch: int = 1) -> Trainer:
    vocabulary, features = Vocabulary.of_characters(" 'abcdefghijklmnopqrstuvwxyz"), FeatureConfig()
    model = ModelConfig(hidden=options.hidden, layers=options.layers)
    torch.manual_seed(1)
    table = {"features": to_table(features), "model": to_table(model)}
    checkpoint = create(features, model, vocabulary, table)
    if options.manifest:
        utterances = read_manifest(options.manifest)
        chosen = np.random.default_rng(0).permutation(len(utterances))[: max(300, 30 * options.steps)]
        utterances = [utterances[place] for place in sorted(chosen)]
    else:
        utterances = noise_utterances(24 * (options.steps + 2))
    config = TrainingConfig(epochs=epochs, batch_s=options.batch_seconds, precision=options.precision)
    optimizer = OptimizerConfig(average_decay=0.999)
    augmentation = Augmentation(AUGMENTATION, features.sample_rate_hz)
    device = choose(options.device)
    task = SpeechTask(checkpoint, utterances, utterances[:4], config, augmentation, device)
    trainer = Trainer(task, config, optimizer)
    if options.manifest:
        trainer.task.train_set.keep(config.keep_hours)
    else:
        noise = (np.random.default_rng(0).standard_normal(16000 * 14) * 3000).astype(np.int16)
        for data_set in (trainer.task.train_set, trainer.task.dev_set):
            data_set.kept = [noise[: round(16000 * utterance.duration_s)] for utterance in data_set.utterances]
    trainer.progress.epoch = epoch  # the first one is sorted by length
    trainer.dashboard = Dashboard(epochs)
    return trainer


def noise_utterances(count: int) -> list[Utterance]:
    durations_s = np.random.default_rng(0).uniform(4, 14, count).round(3)
    text = "the quick brown fox jumps over the lazy dog and away "
    return [
        Utterance(str(number), Path(__file__), text[: int(8 * duration_s)].strip(), duration_s=float(duration_s))
        for number, duration_s in enumerate(durations_s)
    ]


class Bare:
    """A second model like the trainer's, with its own optimiser and nothing else."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        ours = trainer.checkpoint.model
        self.model = CTCModel(trainer.checkpoint.features.config.mel_bins, ours.heads, ours.config)
        self.model.to(trainer.device).train()
        self.optimizer = Optimizer(self.model, OptimizerConfig())

    def features(self, draws: list[Draw]):
        """A batch on the device, and its features."""
        trainer = self.trainer
        batch = next(load(trainer.task.train_set, [draws])).to(trainer.device)
        with torch.no_grad():
            heard = trainer.task.augmentation.waveforms(
                batch.waveforms, batch.waveform_lengths, [speed for _, speed in draws], self.chance(draws)
            )
            return batch, *trainer.checkpoint.features(*heard)

    def step(self, batch, features: torch.Tensor, lengths: torch.Tensor) -> None:
        learner = self.trainer.learner
        with torch.autocast(learner.device.type, learner.dtype, enabled=learner.dtype != torch.float32):
            log_probabilities, frames = self.model(features, lengths)
        (ctc(log_probabilities, frames, batch.targets[0]).sum() / batch.targets[0][1].sum()).backward()
        self.optimizer.update(0.5)

    def chance(self, draws: list[Draw]):
        return chances(1, 1, [place for place, _ in draws])

    def beyond(self, draws: list[Draw]) -> str:
        """Where the loop's time beyond the bound goes: each part alone, best of five."""
        trainer, device = self.trainer, self.trainer.device
        there, features, lengths = self.features(draws)
        speeds = [speed for _, speed in draws]
        given = (there.waveforms, there.waveform_lengths)
        augmentation, chance = trainer.task.augmentation, self.chance(draws)
        parts = {
            "reading": lambda: next(load(trainer.task.train_set, [draws])).to(device),
            "speeds, noise, gain": lambda: augmentation.waveforms(*given, speeds, self.chance(draws)),
            "features": lambda: trainer.checkpoint.features(*given),
            "masks": lambda: augmentation.features(features, lengths, chance, 100.0),
        }
        best = {name: min(timed(device, work) for _ in range(5)) for name, work in parts.items()}
        return ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in best.items())


class packed_layers:
    """In the block every LSTM layer takes the packed form."""

    def __enter__(self) -> None:
        self.forward = Bidirectional.forward
        Bidirectional.forward = Bidirectional.packed  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Bidirectional.forward = self.forward  # type: ignore[method-assign]


def hours_per_s(found: dict, name: str) -> str:
    rate = found["audio_s"] / found[f"{name}_s"]
    return f"{rate / 3600:.4f} h/s ({rate:.0f}x real time)"


def timed(device: torch.device, work) -> float:
    began = now(device)
    work()
    return now(device) - began


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
