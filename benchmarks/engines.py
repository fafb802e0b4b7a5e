"""What runs a model fastest on a CPU: PyTorch in float32 and bfloat16, ONNX Runtime in float32 and int8.

    python benchmarks/engines.py [--model DIR] [--manifest DEV_MANIFEST --utterances 200] [--threads 1 2]

Without a model, one of 4 layers of 2 x 320 units with random weights. All take their turns in one run, on the same
features; a figure is the median of the rounds. PyTorch's is in seconds of speech per second, the others' are its
multiples. On one thread, time is that of the processor, to which other programs do not add. With a manifest: the error
rates of each by greedy decoding, and how far its log-probabilities are off.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from asr.checkpoint import Checkpoint, create, load_model
from asr.config import to_table
from asr.device import choose, describe
from asr.export import TORCH, Network, compare
from asr.features import FeatureConfig
from asr.manifest import read_manifest
from asr.model import ModelConfig
from asr.onnx import FILE, INT8_FILE, OnnxModel, open_session, require, to_int8, to_onnx
from asr.text import Vocabulary

BFLOAT16 = "torch bfloat16"
GRAPHS = (FILE, INT8_FILE)
WINDOWS_S = (10, 30, 60)
BATCHES = (1, 4, 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="DIR")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--utterances", type=int, help="only the first so many")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    checkpoint = load_model(options.model) if options.model else random_model()
    checkpoint.model.eval()
    runtime = require("onnxruntime").__version__
    print(f"{options.model or 'random weights'}: {to_table(checkpoint.model.config)}")
    with tempfile.TemporaryDirectory() as folder:
        write_graphs(checkpoint, Path(folder))
        for threads in options.threads:
            torch.set_num_threads(threads)
            print(f"{describe(choose('cpu'))}; torch {torch.__version__}, onnxruntime {runtime}")
            networks = networks_of(checkpoint, Path(folder), threads)
            print("window  batch" + "".join(f"  {name:>15}" for name in networks))
            for window_s in WINDOWS_S:
                for batch in BATCHES:
                    seconds = measure(checkpoint, networks, window_s, batch, options.rounds, threads)
                    print(row(window_s, batch, seconds), flush=True)
        if options.manifest:
            for figures in compare(checkpoint, networks, read_manifest(options.manifest)[: options.utterances]):
                print(figures)


def random_model() -> Checkpoint:
    torch.manual_seed(0)
    features, model = FeatureConfig(), ModelConfig(layers=4, hidden=320)
    return create(features, model, Vocabulary.of_characters(" 'abcdefghijklmnopqrstuvwxyz"), {})


def write_graphs(checkpoint: Checkpoint, folder: Path) -> None:
    graph = to_onnx(checkpoint)
    (folder / FILE).write_bytes(graph)
    (folder / INT8_FILE).write_bytes(to_int8(graph))


def networks_of(checkpoint: Checkpoint, folder: Path, threads: int) -> dict[str, Network]:
    def in_torch(bfloat16: bool) -> Network:
        def run(features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            kind = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()
            with torch.inference_mode(), kind:
                return checkpoint.model(features, lengths)

        return run

    graphs = {name: OnnxModel(open_session(folder / name, threads), checkpoint.model.config) for name in GRAPHS}
    return {TORCH: in_torch(False), BFLOAT16: in_torch(True), **graphs}


def measure(
    checkpoint: Checkpoint, networks: Mapping[str, Network], window_s: float, batch: int, rounds: int, threads: int
) -> dict[str, float]:
    """Seconds that each network takes for a batch of windows of noise, full to the end."""
    config = checkpoint.features.config
    frames = round(window_s * config.sample_rate_hz / config.hop_samples)
    features, lengths = torch.randn(batch, frames, config.mel_bins), torch.full((batch,), frames)
    now = time.process_time if threads == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(rounds + 1):
        for name, network in networks.items():
            started = now()
            network(features, lengths)
            if number:  # the first round warms up
                times[name].append(now() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def row(window_s: float, batch: int, seconds: Mapping[str, float]) -> str:
    ours, *others = seconds.values()
    cells = [f"{window_s * batch / ours:.0f} x real time", *(f"{ours / other:.2f}" for other in others)]
    return f"{window_s:4} s  {batch:5}" + "".join(f"  {cell:>15}" for cell in cells)


if __name__ == "__main__":
    main()
