"""Recurrent cells, each straight from the equations of the paper that it comes from.

They are here to be read, to be looked into while they run, and to hold the fast forms in `asr.recurrent` against.

Shapes: B sequences, T steps, D inputs, H units. In the equations x is the input, h the output, c the memory cell, and
s(x) = 1 / (1 + exp(-x)); `*` is unit by unit. Weights have PyTorch's names, shapes and order of gates wherever PyTorch
has the cell, so that they load both ways; like PyTorch's, each cell has two biases where one would do.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

State = tuple[Tensor, ...]
"""What a cell keeps from step to step, (B, H) each: its outputs and, where it has them, its memory cells."""

Trace = dict[str, Tensor]
"""What went on in a cell, by name: its gates, what it was about to write, its memory, its outputs."""

_unset = ContextVar("_unset", default=False)


@contextmanager
def unset() -> Iterator[None]:
    """Within the block, cells get no weights to begin with: theirs are about to be read.

    Orthogonal ones take several times as long to draw as a model's file takes to read.
    """
    token = _unset.set(True)
    try:
        yield
    finally:
        _unset.reset(token)


class Cell(nn.Module):
    """A layer of H units that hear the input and what they all put out a step ago."""

    drives: ClassVar[tuple[str, ...]]
    """What each H rows of the weights drive, from the top."""
    keeper: ClassVar[str | None] = None
    """The gate that keeps the past when it is open, as it is at first."""
    states: ClassVar[int] = 1

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        rows = len(self.drives) * hidden
        self.weight_ih = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden))
        self.bias_ih = nn.Parameter(torch.empty(rows))
        self.bias_hh = nn.Parameter(torch.empty(rows))
        self.initialise(self.named_parameters())

    def step(self, projected: Tensor, state: State) -> tuple[State, Trace]:
        """One step.

        Args:
            projected: (B, rows of the weights), W_ih x_t + b_ih.
            state: After the step before.

        Returns:
            The state after this one, and what went on in it, (B, H) each.
        """
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Runs the cell over sequences of equal length.

        Args:
            inputs: (B, T, D).
            state: Where an earlier call ended; None: zeros.

        Returns:
            The outputs, (B, T, H), and the state after the last step.
        """
        states = [state for state, _ in self._steps(inputs, state)]
        return torch.stack([outputs for outputs, *_ in states], dim=1), states[-1]

    def trace(self, inputs: Tensor, state: State | None = None) -> Trace:
        """As `forward`, but gives all that went on in the cell, (B, T, H) each."""
        traces = [trace for _, trace in self._steps(inputs, state)]
        return {name: torch.stack([trace[name] for trace in traces], dim=1) for name in traces[0]}

    def _steps(self, inputs: Tensor, state: State | None) -> Iterator[tuple[State, Trace]]:
        hidden = self.weight_hh.shape[1]
        state = state or (inputs.new_zeros(len(inputs), hidden),) * self.states
        for projected in linear(inputs, self.weight_ih, self.bias_ih).unbind(1):  # of all steps at once
            state, trace = self.step(projected, state)
            yield state, trace

    def _heard(self, outputs: Tensor) -> Tensor:
        """What the units hear of themselves, W_hh h_{t-1} + b_hh."""
        return linear(outputs, self.weight_hh, self.bias_hh)

    def _driven(self, projected: Tensor, outputs: Tensor) -> tuple[Tensor, ...]:
        """The sum of what comes from below and from the step before, for each of `drives`, (B, H)."""
        return (projected + self._heard(outputs)).chunk(len(self.drives), dim=1)

    @classmethod
    def initialise(cls, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Orthogonal from step to step, Xavier's from below, and no bias but for the gate that keeps the past.

        A gate that is open at the start lets gradients pass early on.

        Args:
            weights: With their names, which may go on after PyTorch's, as in `weight_ih_l0`.

        Source: Jozefowicz et al. 2015 (a bias of 1 for the forget gate); by analogy, GRU's update gate gets it too.
        """
        if _unset.get():
            return
        for name, weight in weights:
            parts = weight.chunk(len(cls.drives))
            for part in parts:
                if name.startswith("weight_hh"):
                    nn.init.orthogonal_(part)
                elif name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(part)
                else:
                    nn.init.zeros_(part)
            if name.startswith("bias_ih") and cls.keeper:
                nn.init.ones_(parts[cls.drives.index(cls.keeper)])


class RNN(Cell):
    """The simple recurrent network: all that it remembers is what it put out a step ago.

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)

    Source: Elman 1990, "Finding structure in time". His units are logistic, and his gradient goes back one step.
    """

    drives = ("output",)

    def step(self, projected: Tensor, state: State) -> tuple[State, Trace]:
        (driven,) = self._driven(projected, state[0])
        output = driven.tanh()
        return (output,), {"output": output}


class LSTM1997(Cell):
    """The first LSTM: a memory cell is connected to itself with weight 1, and gates guard what goes in and out.

        i_t = s(W_i x_t + U_i h_{t-1} + b_i)        input gate
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)     candidate
        o_t = s(W_o x_t + U_o h_{t-1} + b_o)        output gate
        c_t = c_{t-1} + i_t * g_t                   the constant error carousel
        h_t = o_t * tanh(c_t)

    Nothing is ever forgotten: through c the gradient comes back from any distance as it was.

    Source: Hochreiter and Schmidhuber 1997, "Long short-term memory". Departures: the paper squashes the candidate to
    (-2, 2) by g(x) = 4 s(x) - 2 and the cell to (-1, 1) by h(x) = 2 s(x) - 1, here both are tanh; its gradient is cut
    off where it would flow from gates and candidate to the step before, here all of it flows; its cells may share gates
    in blocks, here each has its own.
    """

    drives = ("input gate", "candidate", "output gate")
    states = 2

    def step(self, projected: Tensor, state: State) -> tuple[State, Trace]:
        output, cell = state
        entrance, candidate, exit = self._driven(projected, output)
        entrance, candidate, exit = entrance.sigmoid(), candidate.tanh(), exit.sigmoid()
        cell = cell + entrance * candidate
        output = exit * cell.tanh()
        trace = {"input gate": entrance, "candidate": candidate, "output gate": exit, "cell": cell, "output": output}
        return (output, cell), trace


class LSTM(Cell):
    """The LSTM as most know it: a forget gate lets the memory cell go, so that it can take up something new.

        i_t = s(W_i x_t + U_i h_{t-1} + b_i)        input gate
        f_t = s(W_f x_t + U_f h_{t-1} + b_f)        forget gate
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)     candidate
        o_t = s(W_o x_t + U_o h_{t-1} + b_o)        output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    Source: Gers, Schmidhuber and Cummins 2000, "Learning to forget: continual prediction with LSTM"; tanh and the whole
    gradient as in Graves and Schmidhuber 2005, "Framewise phoneme classification with bidirectional LSTM".
    """

    drives = ("input gate", "forget gate", "candidate", "output gate")
    keeper = "forget gate"
    states = 2

    def step(self, projected: Tensor, state: State) -> tuple[State, Trace]:
        output, cell = state
        entrance, forget, candidate, exit = self._driven(projected, output)
        entrance, forget = entrance.sigmoid(), forget.sigmoid()
        candidate, exit = candidate.tanh(), exit.sigmoid()
        cell = forget * cell + entrance * candidate
        output = exit * cell.tanh()
        trace = {"input gate": entrance, "forget gate": forget, "candidate": candidate, "output gate": exit}
        return (output, cell), {**trace, "cell": cell, "output": output}


class PeepholeLSTM(LSTM):
    """An LSTM whose gates see its memory cells, also while the output gate hides them from the rest.

        i_t = s(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = s(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        c_t = f_t * c_{t-1} + i_t * g_t
        o_t = s(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)
        h_t = o_t * tanh(c_t)

    `peephole` is (3, H): p_i, p_f, p_o, zeros at first. A cell is seen by its own gates only.

    Source: Gers and Schmidhuber 2000, "Recurrent nets that time and count"; in this form Graves 2013, "Generating
    sequences with recurrent neural networks", equations 7 to 11.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.peephole = nn.Parameter(torch.zeros(3, hidden))

    def step(self, projected: Tensor, state: State) -> tuple[State, Trace]:
        output, cell = state
        to_entrance, to_forget, to_exit = self.peephole
        entrance, forget, candidate, exit = self._driven(projected, output)
        entrance, forget = (entrance + to_entrance * cell).sigmoid(), (forget + to_forget * cell).sigmoid()
        candidate = candidate.tanh()
        cell = forget * cell + entrance * candidate
        exit = (exit + to_exit * cell).sigmoid()
        output = exit * cell.tanh()
        trace = {"input gate": entrance, "forget gate": forget, "candidate": candidate, "output gate": exit}
        return (output, cell), {**trace, "cell": cell, "output": output}


class GRU(Cell):
    """The gated recurrent unit: no memory cell, and one gate that weighs the past against something new.

        r_t = s(W_r x_t + b_r + U_r h_{t-1} + d_r)              reset gate
        z_t = s(W_z x_t + b_z + U_z h_{t-1} + d_z)              update gate
        n_t = tanh(W_n x_t + b_n + r_t * (U_n h_{t-1} + d_n))   candidate
        h_t = z_t * h_{t-1} + (1 - z_t) * n_t

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder". Departure, as in PyTorch and
    cuDNN: the paper resets before the product, U_n (r_t * h_{t-1}); reset after it, one product serves all three.
    """

    drives = ("reset gate", "update gate", "candidate")
    keeper = "update gate"

    def step(self, projected: Tensor, state: State) -> tuple[State, Trace]:
        (output,) = state
        reset, update, candidate = projected.chunk(3, dim=1)
        to_reset, to_update, to_candidate = self._heard(output).chunk(3, dim=1)
        reset, update = (reset + to_reset).sigmoid(), (update + to_update).sigmoid()
        candidate = (candidate + reset * to_candidate).tanh()
        output = update * output + (1 - update) * candidate
        return (output,), {"reset gate": reset, "update gate": update, "candidate": candidate, "output": output}


CELLS: dict[str, type[Cell]] = {
    "lstm": LSTM,
    "lstm_1997": LSTM1997,
    "lstm_peephole": PeepholeLSTM,
    "gru": GRU,
    "rnn": RNN,
}
"""By the name that settings call them."""
