import pytest
import torch

from asr.lag.network import FEED_FORWARD, LAYERS, Network, widest
from asr.model import ENCODERS, parameter_count


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_comes_later_is_not_heard(encoder):
    torch.manual_seed(0)
    network = Network(encoder, 3, 2, 8).eval()
    inputs = torch.randn(4, 9, 3)
    changed = inputs.clone()
    changed[:, 6:] += 1
    before, after = network(inputs), network(changed)
    assert before.shape == (4, 9, 2)
    assert torch.allclose(before[:, :6], after[:, :6], atol=1e-6)
    assert not torch.allclose(before[:, 6:], after[:, 6:], atol=1e-3)
    assert torch.allclose(network(inputs[:, :6]), before[:, :6], atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_came_first_is_heard_at_the_end(encoder):
    torch.manual_seed(0)
    network = Network(encoder, 3, 2, 8)
    inputs = torch.randn(1, 9, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(inputs)[0, -1].sum(), inputs)
    assert gradient[0, 0].abs().max() > 1e-6


@pytest.mark.parametrize("parameters", [500, 5000])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_as_wide_as_it_may_be(encoder, parameters):
    hidden = widest(encoder, 8, 4, parameters)
    step = 4 if encoder == "transformer" else 1
    assert parameter_count(Network(encoder, 8, 4, hidden)) <= parameters
    assert parameter_count(Network(encoder, 8, 4, hidden + step)) > parameters


def test_operations_counted_by_hand():
    """5 inputs, 8 units, 3 outputs."""
    gates = {"rnn": 1, "lstm_1997": 3, "lstm": 4, "lstm_peephole": 4, "gru": 3}
    for encoder, count in gates.items():
        peepholes = 3 * 8 if encoder == "lstm_peephole" else 0
        assert Network(encoder, 5, 3, 8).operations(100) == count * 8 * (5 + 8) + peepholes + 8 * 3
    layer = 8 * 24 + 8 * 8 + 2 * 8 * FEED_FORWARD * 8
    attention = 2 * 8 * 100
    assert Network("transformer", 5, 3, 8).operations(100) == 5 * 8 + LAYERS * (layer + attention) + 8 * 3
