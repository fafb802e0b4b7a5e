"""Recurrent layers: bidirectional, of any cell, in the form that is fastest on the device at hand; one with a state.

Shapes: B utterances, T frames, D inputs, H units in each direction. What a cell does is in `asr.cells`.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from asr.cells import CELLS, LSTM, Cell, unset
from asr.device import thread_pool
from asr.peephole import peephole_lstm

State = tuple[Tensor, Tensor]
"""What a unidirectional layer has kept of the past: its outputs and its memory cells, (1, B, H) each."""

MODULES: dict[str, Callable[..., nn.Module]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
"""PyTorch's own, by cell; they also keep their weights in one piece for cuDNN."""

KERNELS: dict[str, Callable[..., Any]] = {
    "rnn": torch._VF.rnn_tanh,
    "gru": torch._VF.gru,
    "lstm": torch._VF.lstm,
    "lstm_1997": torch._VF.lstm,
}
"""What `MODULES` call, by cell; with constants beside its weights, the LSTM of 1997 is a case of the later one."""

ALWAYS = 40.0
"""What makes a gate 1: 1 / (1 + exp(-40)) is the number 1 in float32 and in float64."""


class Bidirectional(nn.Module):
    """One layer: cells run over the frames forwards, others backwards, and their outputs stand side by side.

    The weights have the names of `torch.nn.LSTM(bidirectional=True)`, in a module `lstm`, `gru` or `rnn`. On CUDA they
    go to cuDNN with a packed batch. On a CPU a packed batch takes PyTorch's step-by-step path, with an LSTM 5 to 40
    times slower in training; there each direction runs as a plain layer, the backward one over sequences flipped within
    their own lengths, and the two at once, in a thread each. Threads that share the steps of one layer wait for each
    other at every step: about as fast on a quiet machine, but when another program takes a core away they stall.
    `benchmarks/lstm_forms.py` measures the forms, `benchmarks/cells.py` the cells.

    Source: Schuster and Paliwal 1997 (bidirectional); Graves et al. 2013 (deep bidirectional LSTM).
    """

    def __init__(self, inputs: int, hidden: int, cell: str = "lstm") -> None:
        super().__init__()
        self.cell = cell
        self.family = cell.partition("_")[0]
        self.add_module(self.family, _both_sides(cell, inputs, hidden))

    def sides(self) -> tuple[list[Tensor], list[Tensor]]:
        """The weights of the cells that run forwards, and of those that run backwards, in the order of `asr.cells`."""
        forwards: list[Tensor] = []
        backwards: list[Tensor] = []
        for name, weight in self.get_submodule(self.family).named_parameters():
            (backwards if name.endswith("_reverse") else forwards).append(weight)
        return forwards, backwards

    def matrices(self) -> Iterator[tuple[Tensor, int]]:
        """The weights from units to units, each with the number of its gates and candidates: see `asr.muon`."""
        return _matrices(self, CELLS[self.cell])

    def cells(self) -> tuple[Cell, Cell]:
        """The cells that run forwards and backwards, spelled out, with the weights of this layer: to look into them."""
        forwards, backwards = self.sides()
        return _spelled_out(self.cell, forwards), _spelled_out(self.cell, backwards)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Runs the layer over a padded batch.

        Args:
            inputs: (B, T, D).
            lengths: (B,) frames, on the same device.

        Returns:
            (B, T, 2H): forward units, then backward units; zeros beyond each length.
        """
        pack = inputs.is_cuda and self.cell in KERNELS
        return self.packed(inputs, lengths) if pack else self.flipped(inputs, lengths)

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, by way of a packed batch; for the cells in `KERNELS`."""
        batch = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        weights = [weight for side in self.sides() for weight in _as_kernel(self.cell, side)]
        state = _zeros(self.cell, inputs.new_zeros(2, len(inputs), weights[1].shape[1]))
        learning, whole = torch.is_grad_enabled(), self.cell in MODULES
        # with constants in between, weights do not lie in one piece, and cuDNN's caller warns that it has to copy them
        with nullcontext() if whole else warnings.catch_warnings(action="ignore", category=UserWarning):
            # has_biases, layers, dropout, training, bidirectional: the call that nn.LSTM itself makes
            data, *_ = KERNELS[self.cell](batch.data, batch.batch_sizes, state, weights, True, 1, 0.0, learning, True)
        outputs, _ = pad_packed_sequence(batch._replace(data=data), batch_first=True, total_length=inputs.shape[1])
        return outputs

    def flipped(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, by way of two plain layers."""
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        inside = positions < lengths[:, None]
        mirror = torch.where(inside, lengths[:, None] - 1 - positions, positions)[..., None]
        kind = inputs.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs.dtype
        both = zip((inputs, _take(inputs, mirror)), self.sides(), strict=True)
        sides = [[tensor.to(dtype) for tensor in (heard, *weights)] for heard, weights in both]
        with torch.autocast(kind, enabled=False):  # which the threads would not know of
            forward, backward = _side_by_side(self.cell, sides)
        return torch.cat([forward, _take(backward, mirror)], dim=2) * inside[..., None]


class UnidirectionalLSTM(nn.Module):
    """One layer of LSTM cells that run forwards alone, so that it can be taken step by step."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        LSTM.initialise(self.lstm.named_parameters())

    def matrices(self) -> Iterator[tuple[Tensor, int]]:
        """As those of `Bidirectional`."""
        return _matrices(self, LSTM)

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Runs the layer over a padded batch, which needs no packing: what is padding lies behind all that counts.

        Args:
            inputs: (B, T, D).
            state: Where an earlier call ended; None at the beginning.

        Returns:
            (B, T, H), meaningless beyond each length, and the state after the last of T.
        """
        kind = inputs.device.type
        autocast = torch.is_autocast_enabled(kind)
        if inputs.shape[1] == 1 and not autocast and not inputs.is_cuda:
            # for one step, oneDNN's layer takes ten times as long: it packs the weights anew
            before = state or _zeros("lstm", inputs.new_zeros(1, len(inputs), self.lstm.hidden_size))
            units, cells = torch.lstm_cell(inputs[:, 0], [each[0] for each in before], *self.lstm.parameters())
            return units[:, None], (units[None], cells[None])
        if inputs.is_cuda or not autocast:
            outputs: tuple[Tensor, State] = self.lstm(inputs, state)
            return outputs
        # by itself, autocast takes oneDNN's layer, which there is not on every processor
        dtype = torch.get_autocast_dtype(kind)
        state = state or _zeros("lstm", inputs.new_zeros(1, len(inputs), self.lstm.hidden_size))
        inputs, *tensors = (tensor.to(dtype) for tensor in (inputs, *state, *self.lstm.parameters()))
        with torch.autocast(kind, enabled=False):
            heard, *last = KERNELS["lstm"](inputs, tensors[:2], tensors[2:], True, 1, 0.0, self.training, False, True)
        return heard, (last[0], last[1])


def _matrices(layer: nn.Module, cell: type[Cell]) -> Iterator[tuple[Tensor, int]]:
    for name, weight in layer.named_parameters():
        if ".weight_" in name:
            yield weight, len(cell.drives)


class _Weights(nn.Module):
    """The weights of a cell in both directions, under the names that PyTorch would give them."""

    def __init__(self, cell: str, inputs: int, hidden: int) -> None:
        super().__init__()
        for side in ("", "_reverse"):
            for name, weight in CELLS[cell](inputs, hidden).named_parameters():
                self.register_parameter(f"{name}_l0{side}", weight)


def _both_sides(cell: str, inputs: int, hidden: int) -> nn.Module:
    if cell not in MODULES:
        return _Weights(cell, inputs, hidden)
    module = MODULES[cell](inputs, hidden, batch_first=True, bidirectional=True)
    CELLS[cell].initialise(module.named_parameters())
    return module


def _spelled_out(name: str, weights: Sequence[Tensor]) -> Cell:
    with unset():  # on `meta` it would take seconds of imports
        cell = CELLS[name](weights[0].shape[1], weights[1].shape[1])
    cell.load_state_dict(dict(zip(cell.state_dict(), weights, strict=True)), assign=True)
    return cell


def never_forgetting(weights: Sequence[Tensor]) -> list[Tensor]:
    """The weights of the LSTM with a forget gate that does what the LSTM of 1997 with these weights does."""
    whole = []
    for weight, forget in zip(weights, (0.0, 0.0, ALWAYS, 0.0), strict=True):  # only one bias is not zero
        entrance, candidate, exit = weight.chunk(3)
        whole.append(torch.cat([entrance, torch.full_like(entrance, forget), candidate, exit]))
    return whole


def _as_kernel(cell: str, weights: Sequence[Tensor]) -> list[Tensor]:
    return never_forgetting(weights) if cell == "lstm_1997" else list(weights)


def _zeros(cell: str, state: Tensor) -> Any:
    return (state, state) if CELLS[cell].states == 2 else state


class _SideBySide(torch.autograd.Function):
    """Two plain layers at once, forwards and, with their gradients, backwards.

    Takes the cell's name, the inputs and weights of one, then those of the other; returns the outputs of both.
    """

    @staticmethod
    def forward(context: Any, cell: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        def run(side: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
            leaves = [tensor.detach().requires_grad_() for tensor in side]
            with torch.enable_grad():
                return leaves, one_way(cell, *leaves)

        half = len(tensors) // 2
        context.sides = _both(run, (tensors[:half], tensors[half:]))
        return tuple(outputs.detach() for _, outputs in context.sides)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        def run(side: tuple[tuple[list[Tensor], Tensor], Tensor]) -> tuple[Tensor, ...]:
            (leaves, outputs), gradient = side
            return torch.autograd.grad(outputs, leaves, gradient)

        first, second = _both(run, list(zip(context.sides, gradients, strict=True)))
        return (None, *first, *second)


def _side_by_side(cell: str, sides: Sequence[Sequence[Tensor]]) -> Sequence[Tensor]:
    """The outputs of two plain layers from their inputs and weights."""

    def run(side: Sequence[Tensor]) -> Tensor:
        with torch.no_grad():  # a thread of its own starts with PyTorch's default, which is to learn
            return one_way(cell, *side)

    if sides[0][0].is_cuda:  # which works off a queue: threads would only fill it in another order
        return [one_way(cell, *side) for side in sides]
    if torch.is_grad_enabled():
        outputs: tuple[Tensor, Tensor] = _SideBySide.apply(cell, *sides[0], *sides[1])  # type: ignore[no-untyped-call]
        return outputs
    return _both(run, sides)


def one_way(cell: str, inputs: Tensor, *weights: Tensor) -> Tensor:
    """A layer in one direction over sequences of equal length: `asr.cells` in the fastest form for a CPU.

    Args:
        inputs: (B, T, D).
        weights: The cell's parameters, in their order.

    Returns:
        (B, T, H).
    """
    if cell not in KERNELS:
        return peephole_lstm(inputs, *weights)
    whole = _as_kernel(cell, weights)
    state = _zeros(cell, inputs.new_zeros(1, len(inputs), whole[1].shape[1]))
    # has_biases, layers, dropout, training, bidirectional, batch_first: the call that nn.LSTM itself makes
    outputs: Tensor = KERNELS[cell](inputs, state, whole, True, 1, 0.0, True, False, True)[0]
    return outputs


def _both(function: Callable[[Any], Any], sides: Sequence[Any]) -> list[Any]:
    """The function of both sides, at once where PyTorch may use more than one thread."""
    threads = torch.get_num_threads()
    pool = thread_pool("recurrent", 2, threads // 2) if threads > 1 else None
    return list(pool.map(function, sides) if pool else map(function, sides))


def _take(sequences: Tensor, positions: Tensor) -> Tensor:
    return sequences.gather(1, positions.expand(-1, -1, sequences.shape[2]))
