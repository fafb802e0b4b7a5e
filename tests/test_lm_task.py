import math
import os
import random
import signal

import pytest
import torch

from asr.config import to_table
from asr.errors import AsrError, Interrupted, ModelError
from asr.lm.checkpoint import LanguageModel, create
from asr.lm.network import LanguageModelConfig
from asr.lm.neural import NeuralModel
from asr.lm.sentences import Sentences
from asr.lm.task import TextTask, TextTrainingConfig
from asr.lm.vocabulary import LanguageVocabulary
from asr.optimizer import OptimizerConfig
from asr.training import Trainer

CONFIG = TextTrainingConfig(epochs=3, batch_tokens=200, precision="float32")
OPTIMIZER = OptimizerConfig(learning_rate=2e-2, average_decay=0.9)
TIMES = ("seconds", "dev_seconds", "tokens_per_s", "waiting_share", "memory_gb")


def grammar(count, seed):
    """One of four words, one of two, one of two, the end: 16 equally likely sentences of four predictions each."""
    chance = random.Random(seed)
    return [f"{chance.choice('abcd')} {chance.choice('ef')} {chance.choice('gh')}" for _ in range(count)]


PERPLEXITY = 2.0
"""Of the grammar, per token: the fourth root of 16."""


def trainer(config=CONFIG, optimizer=OPTIMIZER, train=None, **model):
    torch.manual_seed(3)
    vocabulary = LanguageVocabulary.of_words(dict.fromkeys("abcdefgh", 1), 99)
    settings = LanguageModelConfig(**{"embedding": 8, "hidden": 8, "dropout": 0.1, **model})
    checkpoint = create(settings, vocabulary, {"training": to_table(config)})
    data = [Sentences.of(map(vocabulary.encode, texts)) for texts in (train or grammar(600, 1), grammar(100, 2))]
    return Trainer(TextTask(checkpoint, *data, config, torch.device("cpu")), config, optimizer)


def run(trainer, folder):
    return trainer.run(folder / "training" / "state.pt", folder / "model", "key", lambda p: f"{p.best_perplexity}")


def weights(trainer):
    return {name: value.clone() for name, value in trainer.checkpoint.weights().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def timeless(progress):
    return [{name: v for name, v in record.items() if name not in TIMES} for record in progress.history]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder, whole = tmp_path_factory.mktemp("unbroken"), trainer()
    return run(whole, folder), weights(whole), folder


def test_a_grammar_is_learned_to_its_entropy(tmp_path, capsys):
    config = TextTrainingConfig(epochs=12, batch_tokens=100, precision="float32")
    learned = trainer(config, hidden=16, embedding=16, dropout=0.0)
    before = learned.task.evaluate(None).figures["perplexity"]
    progress = run(learned, tmp_path)
    assert before > 5
    assert progress.history[0]["loss"] > progress.history[-1]["loss"]
    assert 0.97 * PERPLEXITY < progress.best_perplexity < 1.05 * PERPLEXITY
    saved = NeuralModel.load(tmp_path / "model", "cpu")
    assert saved.perplexity(grammar(100, 2)).per_token == pytest.approx(progress.best_perplexity, rel=1e-4)
    generated = [saved.generate(seed=seed) for seed in range(50)]
    assert sum(text in set(grammar(600, 1)) for text in generated) > 45
    said = capsys.readouterr().err
    assert "check: text: train 1800 tokens in 600 sentences; dev 100 sentences" in said
    assert "1800 tokens in 600 sentences, 12 epochs, on cpu in float32" in said
    assert f"dev perplexity {progress.history[-1]['dev_perplexity']:.2f}" in said
    assert " tokens/s" in said
    assert "blank" not in said


def test_the_best_model_is_what_is_saved(unbroken):
    progress, _, folder = unbroken
    assert round(progress.best_perplexity, 5) == min(record["dev_perplexity"] for record in progress.history)
    assert (folder / "model" / "README.md").read_text() == f"{progress.best_perplexity}"
    assert progress.best_wer == math.inf
    assert {"loss", "gradient_norm", "learning_rate", "tokens_per_s", "steps"} <= progress.history[0].keys()
    assert not {"dev_wer", "blank_share", "infeasible", "times_real_time"} & progress.history[0].keys()


@pytest.mark.parametrize("stop_after_steps", [1, 12, 20])
def test_a_stopped_run_goes_on_to_the_same_weights(unbroken, tmp_path, monkeypatch, stop_after_steps):
    first, steps = trainer(), []
    update = first.learner.update

    def step(done):
        steps.append(1)
        if len(steps) == stop_after_steps:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(done)

    monkeypatch.setattr(first.learner, "update", step)
    with pytest.raises(Interrupted, match="the same command goes on from there"):
        run(first, tmp_path)
    assert len(steps) == stop_after_steps
    second = trainer()
    progress = run(second, tmp_path)
    assert same(weights(second), unbroken[1])
    assert timeless(progress) == timeless(unbroken[0])
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == (
        unbroken[2] / "model" / "weights.safetensors"
    ).read_bytes()


def test_a_batch_loses_what_its_sentences_lose_one_by_one():
    learner = trainer(dropout=0.0, train=["a", "b c d e", "f g", "a a a a a a"]).learner
    data = learner.task.train
    losses, tally = learner.losses(data.batch([0, 1, 2, 3]), [0, 1, 2, 3], 0)
    alone = [learner.losses(data.batch([place]), [place], 0) for place in range(4)]
    torch.testing.assert_close(losses, torch.cat([loss for loss, _ in alone]), atol=1e-5, rtol=0)
    assert (tally.tokens, tally.frames) == (2 + 5 + 3 + 7, 0)
    assert tally.tokens == sum(learner.task.tokens(place) for place in range(4))
    assert tally.loss == pytest.approx(float(losses.detach().sum()))
    scores = learner.task.model.score(data)
    torch.testing.assert_close(-losses.detach(), torch.tensor(scores), atol=1e-5, rtol=0)


def test_bfloat16_learns_almost_alike(unbroken, tmp_path):
    half = run(trainer(TextTrainingConfig(epochs=3, batch_tokens=200, precision="bfloat16")), tmp_path)
    assert half.best_perplexity == pytest.approx(unbroken[0].best_perplexity, rel=0.05)
    assert half.best_perplexity != unbroken[0].best_perplexity


def test_a_model_that_predicts_otherwise_than_it_was_trained_does_not_count(tmp_path, monkeypatch):
    spoiled = trainer(TextTrainingConfig(epochs=1, batch_tokens=200))
    load = LanguageModel.load

    def forgetful(folder):
        checkpoint = load(folder)
        checkpoint.model.tokens.bias.data[2] += 0.1
        return checkpoint

    monkeypatch.setattr(LanguageModel, "load", staticmethod(forgetful))
    with pytest.raises(ModelError, match="what was saved predicts differently from what was trained"):
        run(spoiled, tmp_path)
    assert not (tmp_path / "model").exists()


def test_training_ends_early_without_progress(tmp_path, capsys):
    config = TextTrainingConfig(epochs=50, batch_tokens=2000, patience=2)
    progress = run(trainer(config, OptimizerConfig(learning_rate=1e-9, average_decay=0.999)), tmp_path)
    assert progress.epoch == progress.best_epoch + 2 < 50
    assert "no better perplexity on dev for 2 epochs" in capsys.readouterr().err


def test_too_little_memory_is_one_line(monkeypatch):
    narrow = trainer()
    monkeypatch.setattr("asr.preflight.available_memory_bytes", lambda device: 1)
    with pytest.raises(AsrError) as caught:
        narrow.task.try_longest(narrow.learner.rehearse, 0)
    assert "not enough memory: about" in str(caught.value)
    assert "sentences of up to 4 tokens (training.batch_tokens = 200): " in str(caught.value)

    trouble = narrow.task.memory_trouble(narrow.task.train.batch([0, 1]), "in epoch 3")
    with (
        pytest.raises(AsrError, match="out of memory in epoch 3: the batch holds 2 sentences .* to about 100$"),
        trouble,
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_the_longest_batch_is_tried_and_leaves_no_trace():
    ours, tried = trainer(), []
    before = weights(ours)

    def rehearse(batch, draws):
        tried.append((tuple(batch.tokens.shape), len(draws)))
        ours.learner.rehearse(batch, draws)

    memory = ours.task.try_longest(rehearse, 7)
    assert tried[-1] == ((50, 5), 50)  # of 4 predictions each
    assert [size for size, _ in tried] == sorted(size for size, _ in tried)
    assert memory.training_bytes > memory.measured_bytes > 0
    assert same(weights(ours), before)
    assert all(parameter.grad is None for parameter in ours.checkpoint.model.parameters())
