import pytest
import torch

import asr.peephole
from asr.cells import PeepholeLSTM
from asr.peephole import peephole_lstm


def made(dtype, inputs=5, hidden=4):
    torch.manual_seed(0)
    cell = PeepholeLSTM(inputs, hidden).to(dtype)
    with torch.no_grad():
        cell.peephole.normal_()
        cell.bias_hh.normal_()
    return cell


@pytest.mark.parametrize("steps", [1, 2, 30])
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_it_does_what_the_equations_say(steps, onednn, dtype, tolerance, monkeypatch):
    """Forwards and backwards; the oracle is the cell, by autograd. Gradients are sums over all steps."""
    monkeypatch.setattr(asr.peephole, "ONEDNN", onednn and asr.peephole.ONEDNN)
    cell = made(dtype)
    inputs = torch.randn(3, steps, 5, dtype=dtype, requires_grad=True)
    leaves = [inputs, *cell.parameters()]
    expected, found = cell(inputs)[0], peephole_lstm(*leaves)
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    weight = torch.randn_like(expected)
    for theirs, ours in zip(
        torch.autograd.grad((expected * weight).sum(), leaves),
        torch.autograd.grad((found * weight).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=3 * tolerance * max(1, theirs.abs().max().item()), rtol=0)


def test_gradients_are_those_of_small_differences():
    cell = made(torch.float64, 3, 2)
    inputs = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(peephole_lstm, (inputs, *cell.parameters()))


def test_only_what_is_asked_for_has_a_gradient():
    cell = made(torch.float64)
    cell.weight_ih.requires_grad_(False)
    peephole_lstm(torch.randn(3, 9, 5, dtype=torch.float64), *cell.parameters()).sum().backward()
    assert cell.weight_ih.grad is None
    assert cell.peephole.grad.any()


def test_of_half_precision_the_memory_is_whole():
    """The cell takes up a thousand times too little for 8 bits to notice, and it adds up."""
    cell = PeepholeLSTM(1, 1)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.bias_ih.copy_(torch.tensor([-7.0, 30.0, 30.0, 30.0]))  # a small entrance, nothing forgotten
    weights = [weight.bfloat16() for weight in cell.parameters()]
    outputs = peephole_lstm(torch.zeros(1, 1000, 1, dtype=torch.bfloat16), *weights)
    assert outputs.dtype == torch.bfloat16
    expected = torch.tanh(1000 * torch.sigmoid(torch.tensor(-7.0)))
    torch.testing.assert_close(outputs[0, -1, 0].float(), expected, atol=0.005, rtol=0)


def test_a_gradient_of_the_gradient_is_refused():
    cell = made(torch.float64)
    inputs = torch.randn(3, 9, 5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        peephole_lstm(inputs, *cell.parameters()).square().sum(), inputs, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
