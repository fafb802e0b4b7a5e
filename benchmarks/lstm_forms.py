"""One training step of a bidirectional LSTM layer in every form that PyTorch offers, as ratios in one run.

    python benchmarks/lstm_forms.py [--device cuda]

`flipped` is what the toolkit uses on a CPU, `packed` on CUDA; `in turn` is `flipped` with one direction after the
other, all threads sharing each step; `unpadded` is PyTorch's own layer with no regard for lengths: wrong for a padded
batch, and the bound that a right form is held against.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from asr import recurrent
from asr.device import choose, describe, keep_freed_memory
from asr.recurrent import Bidirectional

SHAPES = ((32, 100, 256, 128), (16, 400, 512, 256), (32, 400, 640, 320))
"""Utterances, frames, inputs, units of each direction."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = choose(options.device)
    keep_freed_memory()
    print(f"{describe(device)}, torch {torch.__version__}; median of {options.rounds} rounds, all forms in turn")
    for shape in SHAPES:
        seconds = measure(shape, device, options.rounds)
        bound = seconds["unpadded"]
        print(
            f"B, T, D, H = {shape}: "
            + ", ".join(f"{n} {s * 1e3:.1f} ms ({s / bound:.2f}x)" for n, s in seconds.items())
        )


def measure(shape: tuple[int, int, int, int], device: torch.device, rounds: int) -> dict[str, float]:
    batch, frames, inputs, hidden = shape
    torch.manual_seed(0)
    layer = Bidirectional(inputs, hidden).to(device)
    sequences = torch.randn(batch, frames, inputs, device=device, requires_grad=True)
    lengths = torch.linspace(frames // 2, frames, batch, device=device).long()
    forms: dict[str, Callable[[], torch.Tensor]] = {
        "unpadded": lambda: layer.lstm(sequences)[0],
        "flipped": lambda: layer.flipped(sequences, lengths),
        "in turn": lambda: in_turn(layer, sequences, lengths),
        "packed": lambda: layer.packed(sequences, lengths),
    }
    times: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(rounds + 1):
        for name, form in forms.items():
            started = now(device)
            form().sum().backward()
            if number:  # the first round warms up
                times[name].append(now(device) - started)
    return {name: statistics.median(values) for name, values in times.items()}


def in_turn(layer: Bidirectional, sequences: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    at_once, recurrent._both = recurrent._both, lambda function, sides: list(map(function, sides))
    try:
        return layer.flipped(sequences, lengths)
    finally:
        recurrent._both = at_once


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
