import pytest
import torch

from asr.recurrent import Bidirectional, UnidirectionalLSTM


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
