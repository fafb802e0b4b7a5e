from dataclasses import replace

import pytest
import torch

from asr.config import build
from asr.errors import ConfigError
from asr.lag.trial import LagConfig, Trial, TrialConfig, network_for, run_trial
from asr.model import ENCODERS

QUICK = TrialConfig(sequences=48_000, updates_between_checks=50)


def test_an_lstm_learns_a_short_lag():
    trial = Trial("order", "lstm", 8, 0.01, 0)
    outcome = run_trial(trial, QUICK)
    assert outcome.learned
    assert outcome.share_right >= QUICK.share_right
    assert 0 < outcome.sequences < QUICK.sequences
    assert outcome.sequences % (50 * 32) == 0
    again = run_trial(trial, QUICK)
    assert replace(again, cpu_s=0) == replace(outcome, cpu_s=0)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_budget_that_is_too_small(encoder):
    config = replace(QUICK, sequences=200, updates_between_checks=2, parameters=500)
    outcome = run_trial(Trial("reber", encoder, 20, 0.003, 0), config)
    assert not outcome.learned
    assert outcome.sequences == 7 * 32


def test_numbers_that_are_none_end_a_trial():
    config = replace(QUICK, sequences=3200, updates_between_checks=1, gradient_norm=1e30)
    outcome = run_trial(Trial("adding", "rnn", 10, 1e30, 0), config)
    assert not outcome.learned
    assert outcome.sequences < 3200


def test_a_seed_gives_weights_and_leaves_the_world_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (network_for("order", "gru", 500, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    weights = [network.encoder.cell.weight_ih for network in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"lag": [3]}, "t.toml: unknown key lag; did you mean 'lags'?"),
        ({"lags": [20, 10]}, "t.toml: lags have to grow"),
        ({"lags": [10, 10]}, "t.toml: lags holds something twice"),
        ({"lags": [4]}, "t.toml: lags.0 = 4: input should be greater than or equal to 8"),
        ({"encoders": ["lstn"]}, "t.toml: encoders.0 = 'lstn': input should be"),
        ({"tasks": []}, "t.toml: tasks = []"),
        ({"trial": {"sequence": 3}}, "t.toml: unknown key trial.sequence; did you mean 'sequences'?"),
    ],
)
def test_settings_that_are_wrong(table, message):
    with pytest.raises(ConfigError) as raised:
        build(LagConfig, table, "t.toml")
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(("seeds", "majority"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_most_seeds(seeds, majority):
    assert LagConfig(seeds=seeds).majority == majority
