"""How much of the gradient comes back over a lag, before anything is learned.

Source: Hochreiter 1991, "Untersuchungen zu dynamischen neuronalen Netzen"; Bengio, Simard and Frasconi 1994, "Learning
long-term dependencies with gradient descent is difficult".
"""

import numpy as np
import torch
from torch import Tensor

from asr.cells import LSTM1997
from asr.lag.network import Network
from asr.lag.tasks import TASKS
from asr.lag.trial import LagConfig, network_for
from asr.model import Encoder

SEQUENCES = 64
CAROUSEL = "carousel"
"""What the memory cells of the LSTM of 1997 are to themselves."""


def gradient_by_lag(encoder: Encoder, config: LagConfig) -> list[float]:
    """The norm of the gradient of the last output with respect to the input so many steps before, from 0 steps on.

    Of one random direction of the outputs for each of some sequences of the temporal order task, in the mean over them
    and over the seeds; relative to that of 1 step before.
    """
    return _mean([_of_inputs(encoder, config, seed) for seed in range(config.seeds)])


def carousel_by_lag(config: LagConfig) -> list[float]:
    """As `gradient_by_lag`, but of the memory cells of the LSTM of 1997 with respect to themselves.

    Along the carousel alone, as in the paper: the gradient that goes back through the gates is cut off.
    """
    return _mean([_of_cells(config, seed) for seed in range(config.seeds)])


def norms_back(network: Network, inputs: Tensor, directions: Tensor) -> Tensor:
    """Of the gradient of where the last output lies in its direction, with respect to each input, the last one first.

    Args:
        inputs: (B, T, D).
        directions: (B, H).

    Returns:
        (T,), the mean over sequences.
    """
    leaf = inputs.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((network.encoder(leaf)[:, -1] * directions).sum(), leaf)
    norms: Tensor = gradient.norm(dim=2).mean(0).flip(0)
    return norms


def _of_inputs(encoder: Encoder, config: LagConfig, seed: int) -> Tensor:
    network = network_for("order", encoder, config.trial.parameters, seed).double()
    return norms_back(network, _sequences(config, seed), _directions(network.hidden, seed))


def _of_cells(config: LagConfig, seed: int) -> Tensor:
    inputs = _sequences(config, seed)
    cell = network_for("order", "lstm_1997", config.trial.parameters, seed).double().encoder.cell
    assert isinstance(cell, LSTM1997)
    memory = inputs.new_zeros(len(inputs), cell.weight_hh.shape[1]).requires_grad_()
    output, memories = torch.zeros_like(memory), []
    for projected in (inputs @ cell.weight_ih.t() + cell.bias_ih).unbind(1):
        (output, memory), _ = cell.step(projected, (output.detach(), memory))
        memories.append(memory)
    gradients = torch.autograd.grad((memory * _directions(memory.shape[1], seed)).sum(), memories)
    return torch.stack([gradient.norm(dim=1).mean() for gradient in reversed(gradients)])


def _sequences(config: LagConfig, seed: int) -> Tensor:
    """As many steps as the gradient is followed back, and the last."""
    steps = config.gradient_lag + 1
    batch = TASKS["order"].draw(SEQUENCES, max(steps, 8), np.random.default_rng(seed))
    return batch.inputs[:, :steps].double()


def _directions(hidden: int, seed: int) -> Tensor:
    """(sequences, H)."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((SEQUENCES, hidden)))


def _mean(norms: list[Tensor]) -> list[float]:
    mean = torch.stack(norms).mean(0)
    shares: list[float] = (mean / mean[1]).tolist()
    return shares
