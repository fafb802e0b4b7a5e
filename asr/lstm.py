"""The LSTM layers: bidirectional, in the form that is fastest on the device at hand, and unidirectional with a state.

Shapes: B utterances, T frames, D inputs, H units in each direction.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.device import thread_pool

State = tuple[Tensor, Tensor]
"""What a unidirectional layer has kept of the past: its outputs and its memory cells, (1, B, H) each."""

WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class BidirectionalLSTM(nn.Module):
    """One layer: memory cells run over the frames forwards, others backwards, and their outputs stand side by side.

    The weights are those of `torch.nn.LSTM(bidirectional=True)`. On CUDA they go to cuDNN as a packed batch. On a CPU a
    packed batch takes PyTorch's step-by-step path, 5 to 40 times slower in training; there each direction runs as a
    plain LSTM, the backward one over sequences flipped within their own lengths, and the two at once, in a thread
    each. Threads that share the steps of one LSTM wait for each other at every step: about as fast on a quiet machine,
    but when another program takes a core away they stall. `benchmarks/lstm_forms.py` measures the forms.

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000 (forget gate); Graves et al. 2013 (deep bidirectional).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
        _initialise(self.lstm)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Runs the layer over a padded batch.

        Args:
            inputs: (B, T, D).
            lengths: (B,) frames, on the same device.

        Returns:
            (B, T, 2H): forward units, then backward units; zeros beyond each length.
        """
        return self.packed(inputs, lengths) if inputs.is_cuda else self.flipped(inputs, lengths)

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, by way of a packed batch."""
        batch = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(batch)[0], batch_first=True, total_length=inputs.shape[1])
        return outputs

    def flipped(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, by way of two plain LSTMs."""
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        inside = positions < lengths[:, None]
        mirror = torch.where(inside, lengths[:, None] - 1 - positions, positions)[..., None]
        kind = inputs.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs.dtype
        forwards = (inputs, *(getattr(self.lstm, name) for name in WEIGHTS))
        backwards = (_take(inputs, mirror), *(getattr(self.lstm, f"{name}_reverse") for name in WEIGHTS))
        sides = [[tensor.to(dtype) for tensor in side] for side in (forwards, backwards)]
        with torch.autocast(kind, enabled=False):  # which the threads would not know of
            forward, backward = _learn(*sides[0], *sides[1]) if torch.is_grad_enabled() else _both(_plain_lstm, sides)
        return torch.cat([forward, _take(backward, mirror)], dim=2) * inside[..., None]


class UnidirectionalLSTM(nn.Module):
    """One layer whose memory cells run forwards alone, so that it can be taken step by step.

    Source: as `BidirectionalLSTM`.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        _initialise(self.lstm)

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Runs the layer over a padded batch, which needs no packing: what is padding lies behind all that counts.

        Args:
            inputs: (B, T, D).
            state: Where an earlier call ended; None at the beginning.

        Returns:
            (B, T, H), meaningless beyond each length, and the state after the last of T.
        """
        outputs: tuple[Tensor, State] = self.lstm(inputs, state)
        return outputs


def _initialise(lstm: nn.LSTM) -> None:
    """Orthogonal from step to step, Xavier's from below, all gates without a bias but for an open forget gate."""
    for name, weight in lstm.named_parameters():
        if name.startswith("weight_hh"):
            for gate in weight.chunk(4):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            for gate in weight.chunk(4):
                nn.init.xavier_uniform_(gate)
        else:
            nn.init.zeros_(weight)
        if name.startswith("bias_ih"):
            # PyTorch orders the gates i, f, g, o; a forget gate open at the start lets gradients pass early on.
            nn.init.ones_(weight[lstm.hidden_size : 2 * lstm.hidden_size])


class _SideBySide(torch.autograd.Function):
    """Two plain LSTMs at once, forwards and, with their gradients, backwards.

    Takes the inputs and weights of one, then those of the other; returns the outputs of both.
    """

    @staticmethod
    def forward(context: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        half = len(tensors) // 2
        context.sides = _both(_plain_lstm_with_graph, (tensors[:half], tensors[half:]))
        return tuple(outputs.detach() for _, outputs in context.sides)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        def run(side: tuple[tuple[list[Tensor], Tensor], Tensor]) -> tuple[Tensor, ...]:
            (leaves, outputs), gradient = side
            return torch.autograd.grad(outputs, leaves, gradient)

        first, second = _both(run, list(zip(context.sides, gradients, strict=True)))
        return (*first, *second)


def _learn(*tensors: Tensor) -> tuple[Tensor, Tensor]:
    outputs: tuple[Tensor, Tensor] = _SideBySide.apply(*tensors)  # type: ignore[no-untyped-call]
    return outputs


def _plain_lstm_with_graph(side: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in side]
    with torch.enable_grad():
        return leaves, _run(leaves)


def _plain_lstm(side: Sequence[Tensor]) -> Tensor:
    with torch.no_grad():  # a thread of its own starts with PyTorch's default, which is to learn
        return _run(side)


def _run(side: Sequence[Tensor]) -> Tensor:
    inputs, *weights = side
    state = inputs.new_zeros(1, inputs.shape[0], weights[1].shape[1])
    # has_biases, layers, dropout, training, bidirectional, batch_first: the call that nn.LSTM itself makes
    outputs: Tensor = torch._VF.lstm(inputs, (state, state), weights, True, 1, 0.0, True, False, True)[0]
    return outputs


def _both(function: Callable[[Any], Any], sides: Sequence[Any]) -> list[Any]:
    """The function of both sides, at once where PyTorch may use more than one thread."""
    threads = torch.get_num_threads()
    pool = thread_pool("lstm", 2, threads // 2) if threads > 1 else None
    return list(pool.map(function, sides) if pool else map(function, sides))


def _take(sequences: Tensor, positions: Tensor) -> Tensor:
    return sequences.gather(1, positions.expand(-1, -1, sequences.shape[2]))
