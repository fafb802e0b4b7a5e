"""One training step of a layer of every cell, as ratios to `torch.nn.LSTM` in one run.

    python benchmarks/cells.py [--device cuda] [--threads 1]

`equations` is the cell as `asr.cells` spells it out, `fast` the form that the toolkit trains with; both in one
direction, forwards and backwards over sequences of equal length. On one thread of a CPU, time is that of the processor,
to which other programs do not add.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from asr.cells import CELLS
from asr.device import choose, describe, keep_freed_memory
from asr.recurrent import one_way

SHAPES = ((16, 400, 256, 256), (32, 400, 256, 256))
"""Sequences, steps, inputs, units."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose(options.device)
    keep_freed_memory()
    print(f"{describe(device)}, torch {torch.__version__}; median of {options.rounds} rounds, all in turn")
    for shape in SHAPES:
        seconds = measure(shape, device, options.rounds)
        bound = seconds.pop("torch.nn.LSTM")
        print(f"B, T, D, H = {shape}: torch.nn.LSTM {bound * 1e3:.0f} ms")
        for name, value in seconds.items():
            print(f"  {name:24} {value * 1e3:5.0f} ms ({value / bound:.2f}x)")


def measure(shape: tuple[int, int, int, int], device: torch.device, rounds: int) -> dict[str, float]:
    batch, steps, inputs, hidden = shape
    torch.manual_seed(0)
    sequences = torch.randn(batch, steps, inputs, device=device, requires_grad=True)
    lstm = torch.nn.LSTM(inputs, hidden, batch_first=True).to(device)
    forms: dict[str, Callable[[], Tensor]] = {"torch.nn.LSTM": lambda: lstm(sequences)[0]}
    for name, kind in CELLS.items():
        cell = kind(inputs, hidden).to(device)
        forms[f"{name}, fast"] = lambda name=name, cell=cell: one_way(name, sequences, *cell.parameters())
        forms[f"{name}, equations"] = lambda cell=cell: cell(sequences)[0]
    clock = clock_of(device)
    times: dict[str, list[float]] = {name: [] for name in forms}
    for number in range(rounds + 1):
        for name, form in forms.items():
            started = clock()
            form().sum().backward()
            if number:  # the first round warms up
                times[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def clock_of(device: torch.device) -> Callable[[], float]:
    def after_cuda() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    if device.type == "cuda":
        return after_cuda
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


if __name__ == "__main__":
    main()
