import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from asr.lag.search import Finding, carry_out, chain, finding
from asr.lag.trial import LagConfig, Outcome, Trial

ROOT = Path(__file__).resolve().parents[1]
CONFIG = LagConfig(lags=(10, 20, 50, 100), learning_rates=(0.01, 0.02), seeds=3)


def outcome(learned):
    return Outcome(learned, 32, 1.0 if learned else 0.0, 0.1)


def world(*learned, task="order", encoder="lstm", config=CONFIG):
    """Every trial's outcome: learned are those with the given (lag, learning rate, seed)."""
    return {
        Trial(task, encoder, *key): outcome(key in learned)
        for key in product(config.lags, config.learning_rates, range(config.seeds))
    }


def asked(outcomes, config=CONFIG):
    """The trials that a chain asks for, as (lag, learning rate, seed), and its finding."""
    asking, keys = chain("order", "lstm", config), []
    try:
        trial = next(asking)
        while True:
            keys.append((trial.lag, trial.learning_rate, trial.seed))
            trial = asking.send(outcomes[trial])
    except StopIteration as end:
        return keys, end.value


def test_what_fails_everywhere_is_given_up_after_two_lags_and_each_rate_after_two_seeds():
    keys, found = asked(world())
    assert keys == [(lag, rate, seed) for lag in (10, 20) for rate in (0.01, 0.02) for seed in (0, 1)]
    assert found == Finding(0, 0, True)


def test_most_seeds_are_enough_but_all_are_asked():
    learned = [(10, 0.01, 0), (10, 0.01, 2)]
    keys, found = asked(world(*learned))
    assert keys[:4] == [(10, 0.01, 0), (10, 0.01, 1), (10, 0.01, 2), (20, 0.01, 0)]
    assert found == Finding(10, 2, True)


def test_seeds_that_learn_with_different_rates_do_not_add_up():
    _, found = asked(world((10, 0.01, 0), (10, 0.02, 1), (10, 0.02, 2), (20, 0.01, 0), (20, 0.02, 1)))
    assert found == Finding(10, 2, True)


def test_one_lag_that_is_not_learned_is_passed_over():
    learned = [(lag, 0.02, seed) for lag in (10, 50, 100) for seed in range(3)]
    keys, found = asked(world(*learned))
    assert found == Finding(100, 3, False)
    assert {lag for lag, _, _ in keys} == {10, 20, 50, 100}
    _, found = asked(world(*[key for key in learned if key[0] == 50]))
    assert found == Finding(0, 0, True)


def test_a_finding_needs_all_its_trials():
    outcomes = world((10, 0.01, 0), (10, 0.01, 1))
    assert finding("order", "lstm", CONFIG, outcomes) == Finding(10, 2, True)
    del outcomes[Trial("order", "lstm", 20, 0.02, 1)]
    with pytest.raises(KeyError):
        finding("order", "lstm", CONFIG, outcomes)


def carried_out(monkeypatch, known):
    """The trials that are run, where those with an LSTM learn, and the lags that are reported done."""
    config = LagConfig(encoders=("lstm", "rnn"), tasks=("order", "reber"), lags=(10, 20, 50), seeds=2)
    monkeypatch.setattr("asr.lag.search.run_trial", lambda trial, config: outcome(trial.encoder == "lstm"))
    steps = []
    return dict(carry_out(config, known, 1, steps.append)), sum(steps), config


def test_only_what_is_not_known_is_run(monkeypatch):
    found, lags, config = carried_out(monkeypatch, {})
    assert lags == 2 * 2 * 3
    assert len(found) == 2 * (3 * 2 + 2 * 2)  # both seeds of three lags, and two rates at two lags
    assert finding("reber", "lstm", config, found) == Finding(50, 2, False)
    assert finding("reber", "rnn", config, found) == Finding(0, 0, True)
    known = dict(list(found.items())[:7])
    rest, lags, _ = carried_out(monkeypatch, known)
    assert lags == 2 * 2 * 3
    assert known.keys() | rest.keys() == found.keys()
    assert not known.keys() & rest.keys()
    assert carried_out(monkeypatch, found)[:2] == ({}, 12)


SCRIPT = """
from asr.lag.search import carry_out
from asr.lag.trial import LagConfig, TrialConfig
if __name__ == "__main__":
    config = LagConfig(encoders=("lstm",), tasks=("order", "reber"), lags=(8,), seeds=2, trial=TrialConfig(%s))
    for trial, outcome in carry_out(config, {}, %d, lambda amount: None):
        print(trial, outcome.learned, outcome.sequences, outcome.share_right, flush=True)
"""


@pytest.mark.slow
def test_processes_find_what_one_finds(tmp_path):
    def lines(workers):
        path = tmp_path / "script.py"
        path.write_text(SCRIPT % ("sequences=640, updates_between_checks=5", workers))
        done = subprocess.run([sys.executable, path], env=environment(), capture_output=True, text=True, check=True)
        return sorted(done.stdout.splitlines())

    alone = lines(1)
    assert len(alone) == 2 * 2  # tasks and learning rates, each left after its first seed
    assert lines(2) == alone


def environment():
    return {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
