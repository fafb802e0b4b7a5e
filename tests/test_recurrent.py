import pytest
import torch

from asr.cells import CELLS
from asr.recurrent import ALWAYS, KERNELS, Bidirectional, UnidirectionalLSTM, never_forgetting, one_way


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return Bidirectional(5, 4)


LENGTHS = torch.tensor([9, 1, 6, 9])


@pytest.mark.parametrize("form", ["packed", "flipped"])
def test_a_batch_equals_its_parts(layer, form):
    """The oracle is PyTorch's bidirectional LSTM on one sequence, which needs no padding."""
    inputs = torch.randn(4, 9, 5)
    outputs = getattr(layer, form)(inputs, LENGTHS)
    assert outputs.shape == (4, 9, 8)
    for row, length in enumerate(LENGTHS.tolist()):
        expected, _ = layer.lstm(inputs[row : row + 1, :length])
        torch.testing.assert_close(outputs[row, :length], expected[0], atol=1e-6, rtol=0)
        assert not outputs[row, length:].any()


def test_both_forms_give_the_same_gradients(layer):
    gradients = []
    weight = torch.randn(4, 9, 8)
    for form in ("packed", "flipped"):
        inputs = torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
        layer.zero_grad()
        (getattr(layer, form)(inputs, LENGTHS) * weight).sum().backward()
        gradients.append([inputs.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for packed, flipped in zip(*gradients, strict=True):
        torch.testing.assert_close(packed, flipped, atol=1e-5, rtol=1e-5)


FORMS = [(cell, form) for cell in CELLS for form in ("packed", "flipped") if cell in KERNELS or form == "flipped"]


def layer_of(cell, inputs=5, hidden=4):
    """One whose every weight counts, and its cells."""
    torch.manual_seed(0)
    layer = Bidirectional(inputs, hidden, cell)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.randn_like(weight) / 2)
    return layer, layer.cells()


def by_equations(sides, inputs, lengths):
    """What the cells make of each sequence by itself."""
    outputs = inputs.new_zeros(*inputs.shape[:2], 2 * sides[0].weight_hh.shape[1])
    for row, length in enumerate(lengths.tolist()):
        heard = inputs[row : row + 1, :length]
        (forward, _), (backward, _) = sides[0](heard), sides[1](heard.flip(1))
        outputs[row, :length] = torch.cat([forward, backward.flip(1)], dim=2)[0]
    return outputs


@pytest.mark.parametrize(("cell", "form"), FORMS)
def test_every_cell_on_a_padded_batch_is_what_its_equations_say(cell, form):
    """Forwards and backwards, to the inputs and all weights."""
    layer, sides = layer_of(cell)
    inputs, weight = torch.randn(4, 9, 5, requires_grad=True), torch.randn(4, 9, 8)
    expected, found = by_equations(sides, inputs, LENGTHS), getattr(layer, form)(inputs, LENGTHS)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert not found[1, 1:].any()
    leaves = [inputs, *layer.parameters()]
    ours, theirs = (torch.autograd.grad((outputs * weight).sum(), leaves) for outputs in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_a_layers_cells_are_its_own_and_cost_no_random_numbers(name):
    layer = Bidirectional(5, 4, name)
    before = torch.get_rng_state()
    for cell, weights in zip(layer.cells(), layer.sides(), strict=True):
        assert all(own is weight for own, weight in zip(cell.parameters(), weights, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_begins_as_its_equations_do(cell):
    """One bias is open, of the gate that keeps the past; recurrent weights are orthogonal."""
    begin, (forwards, backwards) = CELLS[cell](5, 4), Bidirectional(5, 4, cell).sides()
    assert len(forwards) == len(backwards) == len(list(begin.parameters()))
    for side in (forwards, backwards):
        _, recurrent, *biases = side
        for block in recurrent.chunk(len(begin.drives)):
            torch.testing.assert_close(block @ block.T, torch.eye(4))
        for bias, expected in zip(biases, list(begin.parameters())[2:], strict=True):
            assert torch.equal(bias, expected)
    assert not torch.equal(forwards[0], backwards[0])


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_under_autocast(cell):
    layer, _ = layer_of(cell)
    inputs = torch.randn(4, 9, 5)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(inputs, LENGTHS)
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), layer(inputs, LENGTHS), atol=0.05, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_in_one_thread_and_without_gradients(cell, threads):
    layer, _ = layer_of(cell)
    inputs = torch.randn(4, 9, 5)
    outputs = layer(inputs, LENGTHS)
    with torch.inference_mode():
        assert torch.equal(layer(inputs, LENGTHS), outputs)


NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


@pytest.mark.parametrize(
    ("cell", "family"),
    [("lstm", "lstm"), ("lstm_1997", "lstm"), ("lstm_peephole", "lstm"), ("gru", "gru"), ("rnn", "rnn")],
)
def test_the_names_of_the_weights(cell, family):
    """They stand in model folders, and stay as they are."""
    names = [*NAMES, "peephole_l0"] if cell == "lstm_peephole" else NAMES
    expected = {f"{family}.{name}{side}" for name in names for side in ("", "_reverse")}
    assert set(Bidirectional(5, 4, cell).state_dict()) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_constant_opens_a_gate_for_good(dtype):
    """The kernel keeps a memory for a thousand steps of noise, to the bit: its forget gate is 1, no less."""
    assert torch.tensor(ALWAYS, dtype=dtype).sigmoid() == 1
    (layer, _), hidden = layer_of("lstm_1997"), 4
    weights = [weight.detach().to(dtype) for weight in layer.sides()[0]]
    for weight in weights:
        weight[-hidden:] = 0  # the output gate, which lets half through
    inputs = torch.randn(3, 1000, 5, dtype=dtype)
    weights[0][:hidden], weights[1][:hidden], weights[2][:hidden], weights[3][:hidden] = 0, 0, -1000.0, 0
    weights[0][:hidden, 0] = 2000.0  # the input gate is open at the first step only
    inputs[:, :, 0] = 0
    inputs[:, 0, 0] = 1
    outputs = one_way("lstm_1997", inputs, *weights)
    assert outputs[:, 0].abs().min() > 1e-3
    assert (outputs == outputs[:, :1]).all()


def test_constants_do_not_learn():
    (layer, _), hidden = layer_of("lstm_1997"), 4
    whole = never_forgetting(layer.sides()[0])
    assert [len(weight) for weight in whole] == [4 * hidden] * 4
    sum(weight.sum() for weight in whole).backward()
    assert all((weight.grad == 1).all() for weight in layer.sides()[0])


def test_the_forget_gate_starts_open(layer):
    hidden = 4
    assert (layer.lstm.bias_ih_l0[hidden : 2 * hidden] == 1).all()
    assert (layer.lstm.bias_ih_l0_reverse[hidden : 2 * hidden] == 1).all()


def test_on_a_cpu_nothing_is_packed(layer, monkeypatch):
    monkeypatch.setattr(layer, "packed", lambda *_: pytest.fail("packed on a CPU"))
    layer(torch.randn(4, 9, 5), LENGTHS)


def test_one_thread_gives_the_same(layer):
    inputs = torch.randn(4, 9, 5)
    threads = torch.get_num_threads()
    outputs = []
    for count in (1, 2):
        torch.set_num_threads(count)
        outputs.append(layer(inputs, LENGTHS))
    torch.set_num_threads(threads)
    assert torch.equal(*outputs)


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("learning", [False, True])
def test_under_autocast_it_computes_in_bfloat16(layer, threads, learning):
    inputs = torch.randn(4, 9, 5)
    with torch.set_grad_enabled(learning):
        expected = layer(inputs, LENGTHS)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = layer(inputs, LENGTHS)
    assert (expected.dtype, outputs.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(outputs.float(), expected, atol=0.05, rtol=0)
    assert not torch.equal(outputs.float(), expected)


def test_under_autocast_all_weights_learn_in_float32(layer, threads):
    gradients = []
    weight = torch.randn(4, 9, 8)
    for enabled in (False, True):
        inputs = torch.randn(4, 9, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs = layer(inputs, LENGTHS)
        (outputs.float() * weight).sum().backward()
        gradients.append([inputs.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for full, half in zip(*gradients, strict=True):
        assert half.dtype == torch.float32
        assert half.any()
        torch.testing.assert_close(half, full, atol=0.02 * float(full.abs().max()), rtol=0)


@pytest.mark.parametrize("enabled", [False, True])
def test_autocast_is_left_as_it_was(layer, threads, enabled):
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        layer(torch.randn(4, 9, 5), LENGTHS).float().sum().backward()
        assert torch.is_autocast_enabled("cpu") is enabled
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if enabled else torch.float32)
    assert not torch.is_autocast_enabled("cpu")
    assert layer(torch.randn(4, 9, 5), LENGTHS).dtype == torch.float32  # also in threads that were at work above


def test_without_gradients_nothing_is_kept(layer):
    with torch.inference_mode():
        assert not layer(torch.randn(4, 9, 5), LENGTHS).requires_grad
    with torch.no_grad():
        assert not layer(torch.randn(4, 9, 5), LENGTHS).requires_grad


@pytest.fixture
def onward():
    torch.manual_seed(0)
    return UnidirectionalLSTM(5, 4)


@pytest.mark.parametrize("cuts", [[1] * 9, [4, 5], [8, 1]])
def test_step_by_step_equals_all_at_once(onward, cuts):
    inputs = torch.randn(3, 9, 5)
    whole, end = onward(inputs)
    assert whole.shape == (3, 9, 4)
    parts, state = [], None
    for part in inputs.split(cuts, dim=1):
        outputs, state = onward(part, state)
        parts.append(outputs)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-6, rtol=0)
    for ours, theirs in zip(state, end, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_what_lies_behind_changes_nothing_before(onward):
    inputs = torch.randn(4, 9, 5)
    outputs, _ = onward(inputs)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, _ = onward(inputs[row : row + 1, :length])
        torch.testing.assert_close(outputs[row, :length], alone[0], atol=1e-6, rtol=0)


def test_both_kinds_of_layer_begin_alike(onward, layer):
    """Each gate's recurrent weights are orthogonal, and only the forget gate has a bias."""
    for lstm in (onward.lstm, layer.lstm):
        for gate in lstm.weight_hh_l0.chunk(4):
            torch.testing.assert_close(gate @ gate.T, torch.eye(4))
        assert lstm.bias_ih_l0.tolist() == [0] * 4 + [1] * 4 + [0] * 8
        assert not lstm.bias_hh_l0.any()
