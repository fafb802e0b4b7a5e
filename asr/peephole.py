"""An LSTM with peepholes over whole sequences, with its gradient written out: no library has it ready.

Shapes: B sequences, T steps, D inputs, H units; gates stand in PyTorch's order i, f, g, o. `asr.cells.PeepholeLSTM` has
the equations.

Autograd would take some thirty small operations for each step and as many on the way back. Here a step forwards is one
product and a few operations in place. Backwards, where all gates are known, a step is linear in the gradient that it
passes on: every coefficient is computed for all steps at once, and so are, at the end, the gradients of the weights.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

ONEDNN = hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this PyTorch was built with it."""


def peephole_lstm(
    inputs: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor, peephole: Tensor
) -> Tensor:
    """(B, T, D) to (B, T, H), from a state of zeros; weights as in `asr.cells.PeepholeLSTM`.

    Of half precision, sequences and weights are computed with in float32: a memory cell of 8 bits would not notice the
    small sums that it is there to keep.
    """
    tensors = [inputs, weight_ih, weight_hh, bias_ih + bias_hh, peephole]
    if inputs.dtype.itemsize < 4:
        tensors = [tensor.float() for tensor in tensors]
    outputs: Tensor = _Peephole.apply(*tensors)  # type: ignore[no-untyped-call]
    return outputs.to(inputs.dtype)


class _Peephole(torch.autograd.Function):
    """Inputs, `weight_ih`, `weight_hh`, the sum of the biases and `peephole`, to the outputs."""

    @staticmethod
    def forward(context: Any, *tensors: Tensor) -> Tensor:
        inputs, weight_ih, weight_hh, bias, peephole = tensors
        steps, hidden = inputs.transpose(0, 1), weight_hh.shape[1]
        gates = _linear(steps, weight_ih).add_(bias)  # (T, B, 4H), of all steps at once
        states = gates.new_zeros(2, len(gates) + 1, len(inputs), hidden)
        outputs, cells = states.unbind()
        _run(gates, outputs, cells, weight_hh, peephole)
        context.save_for_backward(*tensors, gates, states)
        return outputs[1:].transpose(0, 1)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        inputs, weight_ih, weight_hh, _, peephole, gates, (outputs, cells) = context.saved_tensors
        drives = _run_back(gradient.transpose(0, 1), gates, cells, weight_hh, peephole)
        flat = drives.flatten(0, 1)  # (T B, 4H), as below
        of_weight_ih = flat.t() @ inputs.transpose(0, 1).flatten(0, 1)
        of_weight_hh = flat.t() @ outputs[:-1].flatten(0, 1)
        entrance, forget, _, exit = drives.chunk(4, dim=2)
        seen = (entrance * cells[:-1], forget * cells[:-1], exit * cells[1:])
        of_peephole = torch.stack([product.sum((0, 1)) for product in seen])
        of_inputs = _linear(drives, weight_ih.t().contiguous()).transpose(0, 1)
        return of_inputs, of_weight_ih, of_weight_hh, flat.sum(0), of_peephole


def _run(gates: Tensor, outputs: Tensor, cells: Tensor, weight_hh: Tensor, peephole: Tensor) -> None:
    """Takes all steps in place.

    Args:
        gates: (T, B, 4H), what comes from below; becomes the gates' activations and the candidates.
        outputs, cells: (T + 1, B, H), zeros, the state before each step and after the last; are filled.
    """
    to_first, to_exit = peephole[:2], peephole[2]
    shape = (outputs.shape[1], 4, outputs.shape[2])
    output, cell = outputs[0], cells[0]
    for gate, next_output, next_cell in zip(gates.unbind(), outputs[1:].unbind(), cells[1:].unbind(), strict=True):
        gate += _linear(output, weight_hh)
        first, candidate, exit = gate.view(shape).split_with_sizes((2, 1, 1), dim=1)
        entrance, forget = first.addcmul_(cell[:, None], to_first).sigmoid_().unbind(1)
        candidate, exit = candidate[:, 0].tanh_(), exit[:, 0]
        torch.mul(forget, cell, out=next_cell).addcmul_(entrance, candidate)
        exit.addcmul_(next_cell, to_exit).sigmoid_()
        torch.tanh(next_cell, out=next_output).mul_(exit)
        output, cell = next_output, next_cell


def _run_back(gradient: Tensor, gates: Tensor, cells: Tensor, weight_hh: Tensor, peephole: Tensor) -> Tensor:
    """The gradients of what drives the gates and candidates, (T, B, 4H).

    A step is given dh, the gradient of its output, and dc, that of its memory cell by way of later steps. Then

        d_o  = dh * from_output                     from_output = tanh(c_t) o (1 - o)
        dc'  = dc + dh * into_cell                  into_cell = o (1 - tanh(c_t)^2) + from_output p_o
        d_k  = dc' * from_cell_k, k = i, f, g       from_cell = g i (1 - i), c_{t-1} f (1 - f), i (1 - g^2)
        dc_{t-1} = dc' * to_past                    to_past = f + from_cell_i p_i + from_cell_f p_f
        dh_{t-1} = its own + (d_i, d_f, d_g, d_o) W_hh

    Args:
        gradient: (T, B, H), of the outputs.
        gates, cells: As `_run` leaves them.
    """
    i, f, g, o = gates.chunk(4, dim=2)
    before, squashed = cells[:-1], cells[1:].tanh()
    to_i, to_f, to_o = peephole
    from_output = squashed * o * (1 - o)
    into_cell = torch.addcmul(o * (1 - squashed * squashed), from_output, to_o)
    from_cell = torch.stack([g * i * (1 - i), before * f * (1 - f), i * (1 - g * g)], dim=2)  # (T, B, 3, H)
    to_past = f + from_cell[:, :, 0] * to_i + from_cell[:, :, 1] * to_f
    drives = torch.empty_like(gates)
    d_output, d_cell = gradient[-1], torch.zeros_like(cells[0])
    shape, back = (gates.shape[1], 4, cells.shape[2]), weight_hh.t().contiguous()
    for t in range(len(gates) - 1, -1, -1):
        inner, last = drives[t].view(shape).split_with_sizes((3, 1), dim=1)
        torch.mul(d_output, from_output[t], out=last[:, 0])
        d_cell = torch.addcmul(d_cell, d_output, into_cell[t])
        torch.mul(d_cell[:, None], from_cell[t], out=inner)
        if t:
            d_cell *= to_past[t]
            d_output = _linear(drives[t], back) + gradient[t - 1]
    return drives


def _linear(inputs: Tensor, weight: Tensor) -> Tensor:
    """`torch.nn.functional.linear`; in float32 on one thread of a CPU by oneDNN.

    Of itself PyTorch takes MKL, which on one thread of an AMD is a quarter slower; on two threads it is the faster one.
    A bidirectional layer gives each of its directions a thread.
    """
    if ONEDNN and inputs.device.type == "cpu" and inputs.dtype == torch.float32 and torch.get_num_threads() == 1:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, None, "none", [], "")
        return product
    return linear(inputs, weight)
