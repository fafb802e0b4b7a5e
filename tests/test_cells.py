import math

import pytest
import torch
from torch import nn

from asr.cells import CELLS, GRU, LSTM, LSTM1997, PeepholeLSTM

ORACLES = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
EXACT = {torch.float32: 1e-6, torch.float64: 1e-12}


def made(name, inputs=5, hidden=4, dtype=torch.float64):
    """A cell whose every weight counts."""
    torch.manual_seed(0)
    cell = CELLS[name](inputs, hidden).to(dtype)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.copy_(torch.randn_like(weight) / 2)
    return cell


def s(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("name", ORACLES)
def test_it_is_what_pytorch_has(name, dtype):
    """Forwards from a given state, and backwards to the inputs, the state and all weights."""
    cell, oracle = made(name, dtype=dtype), ORACLES[name](5, 4, batch_first=True).to(dtype)
    oracle.load_state_dict({f"{key}_l0": value for key, value in cell.state_dict().items()})
    inputs, *state = (torch.randn(*shape, dtype=dtype) for shape in [(3, 9, 5)] + [(3, 4)] * cell.states)
    weight, gradients, results = torch.randn(3, 9, 4, dtype=dtype), [], []
    for network in (cell, oracle):
        leaves = [tensor.clone().requires_grad_() for tensor in (inputs, *state)]
        heard, *start = leaves
        if network is oracle:
            start = [each[None] for each in start]
            outputs, end = oracle(heard, tuple(start) if len(start) > 1 else start[0])
            end = [each[0] for each in (end if isinstance(end, tuple) else (end,))]
        else:
            outputs, end = cell(heard, tuple(start))
        results.append([outputs, *end])
        gradients.append(torch.autograd.grad((outputs * weight).sum(), [*leaves[:-1], *network.parameters()]))
    for ours, theirs in [*zip(*results, strict=True), *zip(*gradients, strict=True)]:
        torch.testing.assert_close(ours, theirs, atol=EXACT[dtype] * max(1, theirs.abs().max().item()), rtol=0)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_small_differences(name):
    cell = made(name, 3, 2)
    names, weights = zip(*cell.named_parameters(), strict=True)
    inputs, *state = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in [(2, 4, 3)] + [(2, 2)] * cell.states
    )

    def run(inputs, *tensors):
        start, weights = tensors[: cell.states], dict(zip(names, tensors[cell.states :], strict=True))
        outputs, end = torch.func.functional_call(cell, weights, (inputs, start))
        return outputs, *end

    assert torch.autograd.gradcheck(run, (inputs, *state, *weights))


@pytest.mark.parametrize("name", CELLS)
def test_it_goes_on_where_it_stopped(name):
    cell = made(name)
    inputs = torch.randn(3, 9, 5, dtype=torch.float64)
    whole, end = cell(inputs)
    first, state = cell(inputs[:, :4])
    second, last = cell(inputs[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(last, end)
    assert [each.shape for each in end] == [(3, 4)] * cell.states
    assert torch.equal(end[0], whole[:, -1])


NAMES = {
    "rnn": ["output"],
    "gru": ["reset gate", "update gate", "candidate", "output"],
    "lstm_1997": ["input gate", "candidate", "output gate", "cell", "output"],
    "lstm": ["input gate", "forget gate", "candidate", "output gate", "cell", "output"],
    "lstm_peephole": ["input gate", "forget gate", "candidate", "output gate", "cell", "output"],
}


@pytest.mark.parametrize("name", CELLS)
def test_a_trace_has_all_that_went_on(name):
    cell = made(name)
    inputs = torch.randn(3, 9, 5, dtype=torch.float64)
    trace = cell.trace(inputs)
    assert list(trace) == NAMES[name]
    assert {tuple(values.shape) for values in trace.values()} == {(3, 9, 4)}
    assert torch.equal(trace["output"], cell(inputs)[0])
    assert all(0 < value < 1 for name in trace if "gate" in name for value in trace[name].flatten().tolist())
    if "cell" in trace:
        before = nn.functional.pad(trace["cell"], (0, 0, 1, 0))[:, :-1]
        kept = trace.get("forget gate", 1) * before
        torch.testing.assert_close(trace["cell"], kept + trace["input gate"] * trace["candidate"])
        torch.testing.assert_close(trace["output"], trace["output gate"] * trace["cell"].tanh())


def test_the_last_step_of_a_trace_is_the_state():
    cell = made("lstm_peephole")
    inputs = torch.randn(3, 9, 5, dtype=torch.float64)
    _, (output, memory) = cell(inputs)
    trace = cell.trace(inputs)
    assert torch.equal(trace["output"][:, -1], output)
    assert torch.equal(trace["cell"][:, -1], memory)


def test_the_lstm_of_1997_is_one_that_never_forgets():
    first, later = made("lstm_1997"), LSTM(5, 4).double()
    with torch.no_grad():
        for (_, ours), (_, theirs) in zip(first.named_parameters(), later.named_parameters(), strict=True):
            entrance, candidate, exit = ours.chunk(3)
            theirs.copy_(torch.cat([entrance, torch.zeros_like(entrance), candidate, exit]))
        later.bias_ih[4:8] = 1000.0  # s(1000) is 1
    inputs = torch.randn(3, 9, 5, dtype=torch.float64)
    assert (later.trace(inputs)["forget gate"] == 1).all()
    torch.testing.assert_close(first(inputs), later(inputs), atol=1e-15, rtol=0)


@pytest.mark.parametrize("dtype", EXACT)
def test_the_carousel_keeps_what_it_has_and_passes_the_gradient_as_it_is(dtype):
    """With closed input gates, for a thousand steps of noise: to the bit."""
    cell = made("lstm_1997", dtype=dtype)
    with torch.no_grad():
        cell.bias_ih[:4] = -1e4
    memory = torch.randn(3, 4, dtype=dtype, requires_grad=True)
    inputs = torch.randn(3, 1000, 5, dtype=dtype)
    state = (torch.randn(3, 4, dtype=dtype), memory)
    assert (cell.trace(inputs, state)["cell"] == memory[:, None]).all()
    _, (_, end) = cell(inputs, state)
    weight = torch.randn(3, 4, dtype=dtype)
    (gradient,) = torch.autograd.grad((end * weight).sum(), memory)
    assert torch.equal(gradient, weight)


def test_an_lstm_that_forgets_does_not():
    """That the test above can fail."""
    cell = made("lstm", dtype=torch.float32)
    with torch.no_grad():
        cell.bias_ih[:4] = -1e4
    trace = cell.trace(torch.randn(3, 1000, 5), (torch.zeros(3, 4), torch.ones(3, 4)))
    assert trace["cell"][:, -1].abs().max() < 1e-6


def test_an_lstm_with_peepholes_that_are_zero_sees_nothing():
    with_peepholes, plain = made("lstm_peephole"), LSTM(5, 4).double()
    with torch.no_grad():
        with_peepholes.peephole.zero_()
    plain.load_state_dict({k: v for k, v in with_peepholes.state_dict().items() if k != "peephole"})
    inputs = torch.randn(3, 9, 5, dtype=torch.float64)
    torch.testing.assert_close(with_peepholes(inputs), plain(inputs), atol=1e-14, rtol=0)


def scalar(kind, from_below, from_before):
    """A cell of one unit, with these weights and no biases."""
    cell = kind(1, 1).double()
    with torch.no_grad():
        cell.weight_ih[:, 0], cell.weight_hh[:, 0] = torch.tensor(from_below), torch.tensor(from_before)
        cell.bias_ih.zero_()
        cell.bias_hh.zero_()
    return cell


def after(cell, x, *state):
    state = tuple(torch.tensor([[value]], dtype=torch.float64) for value in state)
    _, end = cell(torch.tensor([[[x]]], dtype=torch.float64), state)
    return [value.item() for value in end]


def test_a_step_with_peepholes_by_hand():
    cell = scalar(PeepholeLSTM, [1.0, -1.0, 2.0, 0.5], [0.5, 1.0, -1.0, 2.0])
    with torch.no_grad():
        cell.peephole[:, 0] = torch.tensor([3.0, -2.0, 4.0])
    x, h, c = 0.3, 0.2, 0.5
    entrance, forget = s(x + 0.5 * h + 3 * c), s(-x + h - 2 * c)
    memory = forget * c + entrance * math.tanh(2 * x - h)
    assert after(cell, x, h, c) == pytest.approx([s(0.5 * x + 2 * h + 4 * memory) * math.tanh(memory), memory])


def test_a_step_of_1997_by_hand():
    cell = scalar(LSTM1997, [1.0, 2.0, 0.5], [0.5, -1.0, 2.0])
    x, h, c = 0.3, 0.2, 0.5
    memory = c + s(x + 0.5 * h) * math.tanh(2 * x - h)
    assert after(cell, x, h, c) == pytest.approx([s(0.5 * x + 2 * h) * math.tanh(memory), memory])


def test_a_step_of_a_gru_by_hand():
    cell = scalar(GRU, [1.0, -1.0, 2.0], [0.5, 1.0, -1.0])
    x, h = 0.3, 0.2
    update = s(-x + h)
    assert after(cell, x, h) == pytest.approx([update * h + (1 - update) * math.tanh(2 * x + s(x + 0.5 * h) * -h)])


KEEPERS = {"lstm": 1, "lstm_peephole": 1, "gru": 1, "lstm_1997": None, "rnn": None}


@pytest.mark.parametrize("name", CELLS)
def test_how_a_cell_begins(name):
    """Recurrent weights orthogonal, gate by gate; no bias but where the past is kept."""
    cell = CELLS[name](5, 4)
    blocks = len(cell.drives)
    for block in cell.weight_hh.chunk(blocks):
        torch.testing.assert_close(block @ block.T, torch.eye(4))
    for block in cell.weight_ih.chunk(blocks):
        assert 0 < block.abs().max() <= math.sqrt(6 / 9)
    biases = [0.0] * 4 * blocks
    if (keeper := KEEPERS[name]) is not None:
        biases[4 * keeper : 4 * keeper + 4] = [1.0] * 4
    assert cell.bias_ih.tolist() == biases
    assert not cell.bias_hh.any()
    if name == "lstm_peephole":
        assert not cell.peephole.any()
