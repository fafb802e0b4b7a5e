import json
import math
import os
import random
import signal
import threading
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import soundfile
import torch
from conftest import single_threaded

from asr.augment import Augmentation, AugmentationConfig
from asr.checkpoint import create, load_model
from asr.config import to_table
from asr.dashboard import kept_epoch
from asr.dataset import load
from asr.errors import AsrError, Interrupted
from asr.features import FeatureConfig
from asr.manifest import Utterance
from asr.model import Encoder, ModelConfig
from asr.optimizer import OptimizerConfig
from asr.preflight import Memory
from asr.speech import SpeechTask, TrainingConfig
from asr.task import Score, Tally
from asr.text import Vocabulary
from asr.training import MOST_SKIPPED, SILENT_EPOCHS, Trainer

CONFIG = TrainingConfig(epochs=4, batch_s=6.0)
OPTIMIZER = OptimizerConfig(learning_rate=1e-2, average_decay=0.9)
AUGMENTATION = AugmentationConfig(
    speeds=(0.9, 1.0, 1.1),
    tempo=0.1,
    warp=0.1,
    gain_db=3.0,
    noise_share=0.5,
    reverberation_share=0.5,
    time_masks=1,
    frequency_masks=1,
)
TIMES = ("seconds", "dev_seconds", "hours_per_s", "times_real_time", "waiting_share", "memory_gb")


@pytest.fixture(scope="module")
def utterances(tmp_path_factory):
    """Letters as tones: `a` low, `b` high."""
    folder, chance, made = tmp_path_factory.mktemp("tones"), random.Random(1), []
    time_s = np.arange(1200) / 8000
    for number in range(24):
        text = "".join(chance.choices("ab", k=chance.randint(2, 6)))
        tones = [0.3 * np.sin(2 * np.pi * (300 if letter == "a" else 1500) * time_s) for letter in text]
        waveform = np.concatenate([tone * np.hanning(1200) for tone in tones])
        soundfile.write(folder / f"{number}.wav", waveform, 8000)
        made.append(Utterance(f"u{number}", folder / f"{number}.wav", text, duration_s=len(waveform) / 8000))
    return made


def trainer(
    utterances,
    config=CONFIG,
    augmentation=AUGMENTATION,
    optimizer=OPTIMIZER,
    normalisation="utterance",
    device="cpu",
    encoder="lstm",
):
    features = FeatureConfig(8000, 16, normalisation=normalisation)
    model = ModelConfig(subsampling=2, channels=2, layers=1, hidden=8, dropout=0.1, encoder=encoder)
    torch.manual_seed(7)
    table = {"features": to_table(features), "model": to_table(model)}
    checkpoint = create(features, model, Vocabulary.of_characters("ab"), table)
    made = Augmentation(augmentation, 8000)
    task = SpeechTask(checkpoint, utterances[:18], utterances[18:], config, made, torch.device(device))
    return Trainer(task, config, optimizer)


def run(trainer, folder, key="key"):
    return trainer.run(folder / "training" / "state.pt", folder / "model", key, lambda progress: f"{progress.best_wer}")


def weights(trainer):
    return {name: value.clone() for name, value in trainer.checkpoint.weights().items()}


def timeless(progress):
    return [{name: v for name, v in record.items() if name not in TIMES} for record in progress.history]


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def unbroken(utterances, tmp_path_factory):
    folder, whole = tmp_path_factory.mktemp("unbroken"), trainer(utterances)
    return run(whole, folder), weights(whole), folder


def test_the_loss_falls(utterances, tmp_path):
    """That a recipe learns to recognise is for test_end_to_end to show."""
    config, optimizer = TrainingConfig(epochs=12, batch_s=2.0), OptimizerConfig(learning_rate=2e-2)
    history = run(trainer(utterances, config, AugmentationConfig(), optimizer), tmp_path).history
    assert history[-1]["loss"] < history[0]["loss"] / 3
    assert 0 < history[-1]["blank_share"] <= 1
    assert {"gradient_norm", "waiting_share", "hours_per_s", "learning_rate", *TIMES} <= history[-1].keys()


def test_the_best_model_is_what_is_saved(unbroken):
    progress, _, folder = unbroken
    assert progress.best_wer == min(record["dev_wer"] for record in progress.history)
    assert kept_epoch(progress.history)["dev_wer"] == progress.best_wer
    assert (folder / "model" / "README.md").read_text() == f"{progress.best_wer}"
    assert load_model(folder / "model").vocabulary.tokens[1:] == ("a", "b")
    lines = (folder / "training" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_or_the_last(utterances, tmp_path, monkeypatch):
    figures = iter([0.1, 0.2, 0.3])
    made = trainer(utterances, replace(CONFIG, epochs=3, keep="last"))
    monkeypatch.setattr(made.task, "evaluate", lambda tally: Score({"wer": next(figures), "cer": 0.0}))
    progress = run(made, tmp_path)
    assert (progress.best_epoch, progress.best_wer) == (3, 0.3)
    assert [record["kept"] for record in progress.history] == [True, True, True]
    assert (tmp_path / "model" / "README.md").read_text() == "0.3"


def test_whoever_takes_the_last_does_not_wait_for_a_better_one():
    with pytest.raises(ValueError, match='patience = 3 waits for a better model, and keep = "last" takes any'):
        TrainingConfig(keep="last", patience=3)


@pytest.mark.parametrize(("there", "most"), [(100, 30.0), (10, 5)])
def test_freed_memory_is_kept_where_there_is_much(utterances, tmp_path, monkeypatch, there, most):
    limits, made = [], trainer(utterances, replace(CONFIG, epochs=1))
    monkeypatch.setattr("asr.training.TIDY_EVERY_S", 0)
    monkeypatch.setattr("asr.training.available_memory_bytes", lambda device: there)
    monkeypatch.setattr("asr.training.return_freed_memory", limits.append)
    monkeypatch.setattr(made.task, "try_longest", lambda *_: Memory(1, 1, training_bytes=5, available_bytes=there))
    run(made, tmp_path)
    assert set(limits) == {most}


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
def test_weights_saved_as_float16_are_those_that_were_scored(utterances, tmp_path, average_decay):
    optimizer = OptimizerConfig(learning_rate=1e-2, average_decay=average_decay)
    histories, own = [], []
    for name in ("float32", "float16"):
        config = replace(CONFIG, epochs=2, weights=name)
        made = trainer(utterances, config, optimizer=optimizer, normalisation="level")
        histories.append(timeless(run(made, tmp_path / name)))
        own.append(weights(made))
    assert same(*own)
    whole, half = ([{k: v for k, v in epoch.items() if not k.startswith("dev_")} for epoch in h] for h in histories)
    assert whole == half
    sizes = [(tmp_path / name / "model" / "weights.safetensors").stat().st_size for name in ("float32", "float16")]
    assert sizes[1] < sizes[0]
    saved = load_model(tmp_path / "float16" / "model").weights()
    assert all(torch.equal(value, value.half().float()) for value in saved.values())
    assert not same(saved, load_model(tmp_path / "float32" / "model").weights())


def test_what_is_scored_is_what_is_saved(utterances, tmp_path):
    made = trainer(utterances, replace(CONFIG, epochs=2, weights="float16"))
    scored, evaluate = [], made.task.evaluate

    def noting(tally):
        scored.append(weights(made))
        return evaluate(tally)

    made.task.evaluate = noting
    best = run(made, tmp_path).best_epoch
    assert same(load_model(tmp_path / "model").weights(), scored[best - 1])


def test_the_same_seed_gives_the_same_weights(utterances, unbroken, tmp_path):
    again = trainer(utterances)
    run(again, tmp_path)
    assert same(weights(again), unbroken[1])


@pytest.mark.parametrize("stop_after_steps", [1, 4, 9])
def test_a_stopped_run_goes_on_to_the_same_weights(utterances, unbroken, tmp_path, monkeypatch, stop_after_steps):
    first, steps = trainer(utterances), []
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
    second = trainer(utterances)
    progress = run(second, tmp_path)
    assert same(weights(second), unbroken[1])
    assert timeless(progress) == timeless(unbroken[0])


OTHERS = [name for name in get_args(Encoder) if name != "lstm"]


@pytest.mark.parametrize("encoder", OTHERS)
def test_every_encoder_learns(utterances, tmp_path, encoder):
    config, optimizer = TrainingConfig(epochs=12, batch_s=2.0), OptimizerConfig(learning_rate=2e-2)
    learning = trainer(utterances, config, AugmentationConfig(), optimizer, encoder=encoder)
    with single_threaded():
        history = run(learning, tmp_path).history
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]
    saved = load_model(tmp_path / "model")
    assert saved.model.config.encoder == encoder


@pytest.mark.parametrize(("encoder", "kind"), [*((encoder, "adamw") for encoder in OTHERS), ("lstm", "muon")])
def test_two_steps_and_two_more_are_four_with_every_encoder(utterances, tmp_path, monkeypatch, encoder, kind):
    config, optimizer = TrainingConfig(epochs=2, batch_s=8.0), replace(OPTIMIZER, kind=kind)
    whole = trainer(utterances, config, AugmentationConfig(), optimizer, encoder=encoder)
    run(whole, tmp_path / "whole")
    assert whole.learner.optimizer.updates == 4
    first, second = (trainer(utterances, config, AugmentationConfig(), optimizer, encoder=encoder) for _ in range(2))
    update = first.learner.update

    def step(done):
        if first.learner.optimizer.updates == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(done)

    monkeypatch.setattr(first.learner, "update", step)
    with pytest.raises(Interrupted):
        run(first, tmp_path)
    assert first.learner.optimizer.updates == 2
    run(second, tmp_path)
    assert same(weights(second), weights(whole))


def test_signal_handlers_are_put_back(utterances, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(trainer(utterances, TrainingConfig(epochs=1, batch_s=100.0)), tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_it_runs_outside_the_main_thread(utterances, tmp_path):
    outcome = []
    config = TrainingConfig(epochs=1, batch_s=6.0)
    thread = threading.Thread(target=lambda: outcome.append(run(trainer(utterances, config), tmp_path)))
    thread.start()
    thread.join()
    assert outcome[0].epoch == 1


def test_another_run_does_not_take_up_the_state(utterances, unbroken, tmp_path):
    config = TrainingConfig(epochs=1, batch_s=6.0)
    run(trainer(utterances, config), tmp_path, "one")
    other = trainer(utterances, config)
    assert run(other, tmp_path, "two").epoch == 1
    assert (tmp_path / "model.previous" / "weights.safetensors").exists()


def test_a_state_that_is_none_is_named(utterances, tmp_path):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "state.pt").write_bytes(b"PK\3\4 half a file")
    with pytest.raises(AsrError, match=r"state\.pt: not a training state"):
        run(trainer(utterances), tmp_path)


def test_a_gradient_that_is_not_finite_skips_the_step_and_in_the_end_stops(utterances, tmp_path, monkeypatch, capsys):
    broken = trainer(utterances, TrainingConfig(epochs=50, batch_s=100.0))
    before = weights(broken)
    losses = broken.learner.losses

    def spoiled(batch, draws, epoch):
        values, tally = losses(batch, draws, epoch)
        bad = torch.tensor([math.nan if name == "u3" else 1.0 for name in batch.ids])
        return values * bad, Tally(**{**vars(tally), "loss": float((values.detach() * bad).sum())})

    monkeypatch.setattr(broken.learner, "losses", spoiled)
    monkeypatch.setattr("asr.training.MOST_SKIPPED", 1)
    with pytest.raises(
        AsrError, match="training stopped: 1 steps in a row without a finite gradient, the last with u3;"
    ):
        run(broken, tmp_path)
    assert same(weights(broken), before)
    assert "step skipped, the loss or its gradient is not finite: u3" in capsys.readouterr().err
    assert MOST_SKIPPED > 1


def test_utterances_too_short_for_ctc_are_counted_and_harmless(utterances, tmp_path, capsys):
    texts = ("ab" * int(utterance.duration_s * 25) for utterance in utterances)  # of 50 frames
    short = [Utterance(u.id, u.audio_filepath, next(texts), duration_s=u.duration_s) for u in utterances[:2]]
    fast = AugmentationConfig(speeds=(2.0,))
    progress = run(trainer(short + utterances[2:], TrainingConfig(epochs=1, batch_s=6.0), fast), tmp_path)
    assert progress.history[0]["infeasible"] == 2
    assert math.isfinite(progress.history[0]["loss"])
    said = capsys.readouterr().err
    assert "2 utterances with too few frames at speed 2" in said
    assert "2 utterances too short for CTC" in said


def test_the_rehearsal_takes_the_longest_batch_at_its_longest(utterances):
    config, augmentation = TrainingConfig(batch_s=100.0), AugmentationConfig(speeds=(0.8, 1.2), tempo=0.25)
    task, sizes = trainer(utterances, config, augmentation).task, []

    def forward(features, lengths):
        sizes.append(tuple(features.shape[:2]))
        return task.checkpoint.model(features, lengths)

    task.try_longest(lambda batch, draws: task.losses(forward, batch.to(task.device), draws, 0), 0)
    longest_s = max(utterance.duration_s for utterance in utterances[:18])
    assert sizes[-1] == (18, round(1.25 * (1 + math.ceil(8000 * longest_s / 0.8) // 80)))
    (draws,) = task.plan(0)
    (batch,) = load(task.train_set, [draws])
    task.losses(forward, batch.to(task.device), draws, 0)
    assert sizes[-1] < sizes[-2]


def test_normalisation_by_level_is_fitted_and_saved(utterances, tmp_path):
    fitted = trainer(utterances, TrainingConfig(epochs=1, batch_s=6.0), normalisation="level")
    run(fitted, tmp_path)
    mean = load_model(tmp_path / "model").features.mean
    assert mean.abs().min() > 0.1
    assert torch.equal(mean, fitted.checkpoint.features.mean)


@pytest.mark.parametrize("change", [{"workers": 2, "keep_hours": 0.0}, {"keep_hours": 0.0}])
def test_workers_and_memory_change_nothing(utterances, unbroken, tmp_path, change):
    parallel = trainer(utterances, TrainingConfig(**{**to_table(CONFIG), **change}))
    progress = run(parallel, tmp_path)
    assert same(weights(parallel), unbroken[1])
    assert timeless(progress) == timeless(unbroken[0])


def test_accumulated_batches_are_one_large_batch(utterances):
    """Per token, not per batch: the halves hold different numbers of them."""
    gradients = []
    for parts in ([[0, 1, 2, 3]], [[0], [1, 2, 3]]):
        config = TrainingConfig(precision="float32")
        learner = trainer(utterances, config, AugmentationConfig(gain_db=6.0)).learner
        learner.checkpoint.model.dropout.p = 0.0
        data = learner.task.train_set
        draws = [[(place, 1.0) for place in part] for part in parts]
        tokens = sum(len(data.targets[place][0]) for place in range(4))
        for number, (batch, drawn) in enumerate(zip(load(data, draws), draws, strict=True)):
            learner.add(batch, drawn, tokens, 1, number)
        gradients.append([parameter.grad for parameter in learner.checkpoint.model.parameters()])
    for whole, added in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, added, atol=1e-6, rtol=1e-4)


def test_accumulation_makes_fewer_updates(utterances, tmp_path):
    config = TrainingConfig(epochs=1, batch_s=2.0)
    plain = run(trainer(utterances, config), tmp_path / "plain").history[0]["steps"]
    together = run(trainer(utterances, config, optimizer=OptimizerConfig(accumulate=3)), tmp_path / "together")
    assert together.history[0]["steps"] == math.ceil(plain / 3)


def test_training_ends_early_without_progress(utterances, tmp_path, capsys):
    config = TrainingConfig(epochs=50, batch_s=100.0, patience=2)
    progress = run(trainer(utterances, config, optimizer=OptimizerConfig(learning_rate=1e-9)), tmp_path)
    assert progress.epoch == progress.best_epoch + 2 < 50
    assert "no better WER on dev for 2 epochs" in capsys.readouterr().err


def test_hearing_nothing_brings_the_usual_causes_once(utterances, tmp_path, capsys, monkeypatch):
    deaf = trainer(utterances, TrainingConfig(epochs=SILENT_EPOCHS + 2, batch_s=100.0))
    monkeypatch.setattr(deaf.task.recognizer, "matrices", lambda batch: [np.eye(1, 4)] * len(batch.ids))
    monkeypatch.setattr(deaf.task, "prove", lambda saved: None)
    run(deaf, tmp_path)
    said = capsys.readouterr().err
    assert said.count("nothing at all has been heard in dev") == 1
    assert "optimizer.learning_rate = 0.01" in said


def test_a_model_that_decodes_otherwise_than_it_was_trained_does_not_count(utterances, tmp_path, monkeypatch):
    spoiled = trainer(utterances, TrainingConfig(epochs=1, batch_s=6.0))
    monkeypatch.setattr(spoiled.task.recognizer, "matrices", lambda batch: [np.eye(4)] * len(batch.ids))
    with pytest.raises(AsrError, match="decodes differently from what was trained"):
        run(spoiled, tmp_path)
    assert not (tmp_path / "model").exists()


def test_the_average_is_what_is_scored_and_saved(utterances, tmp_path):
    averaged = trainer(utterances, TrainingConfig(epochs=1, batch_s=6.0))
    run(averaged, tmp_path)
    saved = load_model(tmp_path / "model").model.parameters()
    for weight, average in zip(saved, averaged.learner.optimizer.average, strict=True):
        assert torch.equal(weight, average)
    assert not same(weights(averaged), load_model(tmp_path / "model").weights())


def test_bfloat16_learns_with_the_loss_in_float32(utterances, tmp_path):
    config = TrainingConfig(epochs=2, batch_s=6.0, precision="bfloat16")
    history = run(trainer(utterances, config), tmp_path / "half").history
    full = run(trainer(utterances, TrainingConfig(**{**to_table(config), "precision": "float32"})), tmp_path / "full")
    assert history[1]["loss"] == pytest.approx(full.history[1]["loss"], rel=0.02)
    assert history[1]["loss"] != full.history[1]["loss"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_cuda_learns_as_the_cpu_does(utterances):
    """20 updates on each, the dropout apart, whose draws differ by device."""
    losses = []
    for kind in ("cpu", "cuda"):
        learner = trainer(utterances, TrainingConfig(precision="float32"), device=kind).learner
        learner.checkpoint.model.dropout.p = 0.0
        data = learner.task.train_set
        draws = [(place, 1.0) for place in range(12)]
        tokens = sum(len(data.targets[place][0]) for place, _ in draws)
        for number in range(20):
            learner.add(next(load(data, [draws])), draws, tokens, 1, number)
            tally = learner.update(0.1)
            losses.append((kind, tally.loss / tally.tokens))
    by_kind = [[loss for kind, loss in losses if kind == wanted] for wanted in ("cpu", "cuda")]
    assert by_kind[1] == pytest.approx(by_kind[0], abs=1e-3)
