from pathlib import Path

import pytest
import torch
from conftest import TONES, single_threaded

from asr.config import parse_overrides
from asr.costs import BATCHES, measure, sample, time_in_turns
from asr.experiment import Experiment
from asr.model import parameter_count
from asr.recipe import read_recipe


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """Two models of the toy, a small one and a large."""
    folder, found = tmp_path_factory.mktemp("costs"), {}
    for hidden in (8, 256):
        recipe = read_recipe(TONES, parse_overrides([f"model.hidden={hidden}", "training.batch_s=12"]))
        experiment = Experiment(recipe, folder / str(hidden), "asr run tones", "cpu")
        experiment.run("data-prep", "data-prep")
        found[str(hidden)] = experiment.task()
    return found


def test_each_piece_counts_at_its_quickest():
    now, order = 0.0, []
    lengths = {"a": iter([5, 1, 3, 2]), "b": iter([7, 7, 6, 9])}  # two pieces, two turns

    def work(name):
        def piece():
            nonlocal now
            now += next(lengths[name])
            order.append(name)

        return piece

    turns = []
    works = {name: [work(name), work(name)] for name in lengths}
    assert time_in_turns(works, 2, lambda: turns.append(now), lambda: now) == {"a": 3 + 1, "b": 6 + 7}
    assert order == ["a", "a", "b", "b"] * 2
    assert turns == [20, 40]


def test_what_is_taken_is_the_same_for_all_and_goes_from_the_shortest_to_the_longest(tasks):
    small, large = ([batch for _, batch in sample(task)] for task in tasks.values())
    assert len(small) == BATCHES
    for ours, theirs in zip(small, large, strict=True):
        assert ours.ids == theirs.ids
        assert torch.equal(ours.waveforms, theirs.waveforms)
    longest = [batch.waveforms.shape[1] for batch in small]
    assert longest == sorted(longest)
    planned = tasks["8"].plan(0)
    ids = [tasks["8"].train[place].id for place, _ in planned[0] + planned[-1]]
    assert {*small[0].ids, *small[-1].ids} == set(ids)


def test_the_larger_model_costs_more(tasks, monkeypatch):
    monkeypatch.setattr("asr.costs.TURNS", 2)
    before = {name: [weight.clone() for weight in task.checkpoint.model.parameters()] for name, task in tasks.items()}
    with single_threaded():
        costs = measure(tasks)
    assert costs["8"].training_speed > costs["256"].training_speed > 0
    assert costs["8"].decoding_speed > costs["256"].decoding_speed > 0
    if Path("/proc/self/clear_refs").exists():  # else the system does not say what was held
        gradient_bytes = costs["256"].weight_bytes
        assert costs["256"].memory_bytes > costs["8"].memory_bytes + gradient_bytes
    for name, task in tasks.items():
        assert costs[name].decoding_speed > costs[name].training_speed
        assert costs[name].weight_bytes == 4 * parameter_count(task.checkpoint.model)
        weights = task.checkpoint.model.parameters()
        assert all(torch.equal(old, new) for old, new in zip(before[name], weights, strict=True))  # nothing was learned
