import pytest
import torch

from asr.lag.gradient import carousel_by_lag, gradient_by_lag, norms_back
from asr.lag.trial import LagConfig, TrialConfig, network_for
from asr.model import ENCODERS

SMALL = LagConfig(seeds=2, gradient_lag=60, trial=TrialConfig(parameters=1000))


def test_along_the_carousel_nothing_is_lost():
    assert carousel_by_lag(SMALL) == [1.0] * 61


def test_along_the_gates_it_vanishes_in_a_simple_network():
    shares = gradient_by_lag("rnn", SMALL)
    assert shares[1] == 1
    assert shares[60] < 0.02 * shares[1]
    assert shares[60] < shares[30] < shares[10] < shares[1]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_it_is_what_a_small_change_of_an_input_does(encoder):
    """Held against differences, for one sequence and seed."""
    network = network_for("order", encoder, 1000, 0).double()
    inputs, directions = torch.randn(2, 6, 8).double(), torch.randn(2, network.hidden).double()

    def moved(changed):
        return (network.encoder(changed)[:, -1] * directions).sum(1)

    expected = torch.zeros(2, 6, 8).double()
    for step in range(6):
        for number in range(8):
            change = torch.zeros(2, 6, 8).double()
            change[:, step, number] = 1e-5
            expected[:, step, number] = (moved(inputs + change) - moved(inputs - change)) / 2e-5
    norms = norms_back(network, inputs, directions).tolist()
    assert norms == pytest.approx(expected.norm(dim=2).mean(0).flip(0).tolist(), rel=1e-5)


def test_the_first_lstm_hands_back_more_than_the_later_one():
    assert gradient_by_lag("lstm_1997", SMALL)[60] > 10 * gradient_by_lag("lstm", SMALL)[60]


def test_the_mean_is_that_of_the_norms_over_seeds(monkeypatch):
    norms = [torch.tensor([9.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 0.0])]
    monkeypatch.setattr("asr.lag.gradient._of_inputs", lambda encoder, config, seed: norms[seed])
    assert gradient_by_lag("rnn", SMALL) == [2.5, 1.0, 0.25]
