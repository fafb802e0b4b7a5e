"""Recipes whose models hear phones, from data preparation to the weights."""

import itertools
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from asr.checkpoint import load_model
from asr.config import parse_overrides
from asr.distributed import Processes
from asr.errors import ConfigError, Interrupted
from asr.experiment import Experiment
from asr.files import read_json, read_json_lines
from asr.learner import Learner
from asr.recipe import read_recipe
from asr.text import BLANK, SILENCE

PHONES = {"a": "AA1", "b": "B", "c": "K"}
OTHERWISE = {"a": "AA0", "b": "P", "c": "S"}
WORDS = ["".join(letters) for length in (1, 2, 3) for letters in itertools.product("abc", repeat=length)]


@pytest.fixture
def recipe(tmp_path):
    """The tones, with a lexicon in which every word may also be said otherwise."""
    folder = tmp_path / "tones"
    shutil.copytree(Path(__file__).with_name("tones"), folder)
    lines = [f"{word} {' '.join(said[letter] for letter in word)}" for word in WORDS for said in (PHONES, OTHERWISE)]
    (folder / "lexicon.txt").write_text("\n".join(lines) + "\n")
    return folder


def experiment(recipe, folder, *overrides):
    few = ["training.epochs=3", "training.choose_every=1", "corpus.options.train_utterances=12"]
    return Experiment(read_recipe(str(recipe), parse_overrides([*few, *overrides])), folder, "asr run tones")


def test_two_heads(recipe, tmp_path, capsys):
    experiment(recipe, tmp_path / "exp", "text.phones=true").run()
    model = load_model(tmp_path / "exp" / "model")
    assert model.vocabulary.tokens == (BLANK, " ", "a", "b", "c")
    assert model.vocabulary.phones == (BLANK, "AA", "B", "K", "P", "S")
    assert model.model.heads == (5, 6)
    history = read_json_lines(tmp_path / "exp" / "training" / "history.jsonl")
    assert {"dev_wer", "dev_cer", "dev_per"} <= history[0].keys()
    assert "4 of 4 tokens and 3 of 5 phones occur in training" in capsys.readouterr().err
    assert read_json(tmp_path / "exp" / "score" / "test.json")["wer"] > 0
    words = (tmp_path / "exp" / "data" / "lexicon.txt").read_text().split("\n")
    assert words[0].split()[1] == "1"


def test_phones_alone(recipe, tmp_path, capsys):
    experiment(recipe, tmp_path / "exp", "text.units=phones", "text.silence=true", "text.stress=true").run(last="train")
    model = load_model(tmp_path / "exp" / "model")
    assert model.vocabulary.tokens == ()
    assert model.vocabulary.phones == (BLANK, "AA0", "AA1", "B", "K", "P", "S", SILENCE)
    best = min(line["dev_per"] for line in read_json_lines(tmp_path / "exp" / "training" / "history.jsonl"))
    assert f"PER {best:.2%}" in capsys.readouterr().err
    assert f"{best:.2%} (greedy" in (tmp_path / "exp" / "model" / "README.md").read_text()


def test_tones_are_learned_as_phones(recipe, tmp_path):
    more = ("training.epochs=15", "corpus.options.train_utterances=80")
    experiment(recipe, tmp_path / "exp", "text.units=phones", *more).run(last="train")
    history = read_json_lines(tmp_path / "exp" / "training" / "history.jsonl")
    assert min(line["dev_per"] for line in history) < 0.1


@pytest.mark.parametrize("updates", [2, 7])
def test_a_stopped_run_goes_on_with_what_was_chosen(recipe, tmp_path, monkeypatch, updates):
    whole, broken = (experiment(recipe, tmp_path / name, "text.phones=true") for name in ("whole", "broken"))
    whole.run(last="train")
    update, done = Learner.update, []

    def stop_after(self, share):
        done.append(share)
        if len(done) == updates:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(self, share)

    monkeypatch.setattr(Learner, "update", stop_after)
    with pytest.raises(Interrupted):
        broken.run(last="train")
    experiment(recipe, tmp_path / "broken", "text.phones=true").run(last="train")
    weights = [(tmp_path / name / "model" / "weights.safetensors").read_bytes() for name in ("whole", "broken")]
    assert weights[0] == weights[1]


@dataclass(frozen=True)
class Half(Processes):
    """One of two processes, which is told what the other has gathered."""

    of_the_other: list[Any] = field(default_factory=list)
    gathered: list[Any] = field(default_factory=list)

    def gather(self, value):
        self.gathered.append(value)
        return [value, *self.of_the_other]


def test_two_processes_share_out_the_choosing(recipe, tmp_path):
    work = experiment(recipe, tmp_path / "exp", "text.phones=true", "training.batch_s=3", "training.seed=7")
    work.run(last="data-prep")
    alone, one, other = (work.task() for _ in range(3))
    alone.begin_epoch(1)
    other.processes = Half(1, 2)
    other.begin_epoch(1)
    one.processes = Half(0, 2, of_the_other=other.processes.gathered)
    one.begin_epoch(1)
    parts = [*one.processes.gathered, *other.processes.gathered]
    assert all(parts)
    assert sorted(place for part in parts for place in part) == sorted(alone.targets.open)
    assert one.targets.state() == alone.targets.state() != other.targets.state()


def test_a_word_that_nothing_can_pronounce_leaves_its_utterances_out(recipe, tmp_path, capsys):
    lexicon = recipe / "lexicon.txt"
    lexicon.write_text("\n".join(line for line in lexicon.read_text().splitlines() if not line.startswith("cab ")))
    experiment(recipe, tmp_path / "exp", "text.phones=true", "text.stress=true").run(last="data-prep")
    dropped = read_json_lines(tmp_path / "exp" / "data" / "dropped.jsonl")
    assert dropped
    assert all("cab" in line["text"].split() and line["reason"] == "no pronunciation: 'cab'" for line in dropped)
    assert "no pronunciation" in capsys.readouterr().err


def test_another_dictionary_is_another_preparation(recipe, tmp_path, capsys):
    experiment(recipe, tmp_path / "exp", "text.phones=true").run(last="data-prep")
    with (recipe / "lexicon.txt").open("a") as stream:
        stream.write("dab D AA B\n")
    experiment(recipe, tmp_path / "exp", "text.phones=true").run(last="data-prep")
    assert "data-prep: again, because" in capsys.readouterr().err


def test_units_that_are_not_known(recipe, tmp_path):
    with pytest.raises(ConfigError, match="text.units = 'phonemes'"):
        experiment(recipe, tmp_path / "exp", "text.units=phonemes")
