import json
import math
import os
import random
import signal
import threading
import time

import numpy as np
import pytest
import soundfile
import torch

from asr.augment import AugmentationConfig
from asr.checkpoint import create, load_model
from asr.config import to_table
from asr.errors import AsrError, Interrupted
from asr.features import FeatureConfig
from asr.manifest import Utterance
from asr.model import ModelConfig
from asr.text import Vocabulary
from asr.training import MOST_SKIPPED, Trainer, TrainingConfig, learning_rate

CONFIG = TrainingConfig(epochs=4, batch_s=6.0, learning_rate=1e-2)
AUGMENTATION = AugmentationConfig(speeds=(0.9, 1.0, 1.1), gain_db=3.0, noise_share=0.5, time_masks=1, frequency_masks=1)


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


def trainer(utterances, config=CONFIG, augmentation=AUGMENTATION, normalisation="utterance"):
    features = FeatureConfig(8000, 16, normalisation=normalisation)
    model = ModelConfig(subsampling=2, channels=2, layers=1, hidden=8, dropout=0.1)
    torch.manual_seed(7)
    table = {"features": to_table(features), "model": to_table(model)}
    checkpoint = create(features, model, Vocabulary.of_characters("ab"), table)
    return Trainer(checkpoint, utterances[:18], utterances[18:], config, augmentation, torch.device("cpu"))


def run(trainer, folder, key="key"):
    return trainer.run(folder / "training" / "state.pt", folder / "model", key, lambda progress: f"{progress.best_wer}")


def weights(trainer):
    return {name: value.clone() for name, value in trainer.checkpoint.weights().items()}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def unbroken(utterances, tmp_path_factory):
    folder, whole = tmp_path_factory.mktemp("unbroken"), trainer(utterances)
    return run(whole, folder), weights(whole), folder


def test_the_loss_falls(utterances, tmp_path):
    """That a recipe learns to recognise is for test_end_to_end to show."""
    config = TrainingConfig(epochs=12, batch_s=2.0, learning_rate=2e-2)
    losses = [record["loss"] for record in run(trainer(utterances, config, AugmentationConfig()), tmp_path).history]
    assert losses[-1] < losses[0] / 3


def test_the_best_model_is_what_is_saved(unbroken):
    progress, _, folder = unbroken
    assert progress.best_wer == min(record["dev_wer"] for record in progress.history)
    assert (folder / "model" / "README.md").read_text() == f"{progress.best_wer}"
    assert load_model(folder / "model").vocabulary.tokens[1:] == ("a", "b")
    lines = (folder / "training" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_the_same_seed_gives_the_same_weights(utterances, unbroken, tmp_path):
    again = trainer(utterances)
    run(again, tmp_path)
    assert same(weights(again), unbroken[1])


@pytest.mark.parametrize("stop_after_steps", [1, 4, 9])
def test_a_stopped_run_goes_on_to_the_same_weights(utterances, unbroken, tmp_path, monkeypatch, stop_after_steps):
    first, steps = trainer(utterances), []
    take_step = first.step

    def step(*arguments):
        take_step(*arguments)
        steps.append(1)
        if len(steps) == stop_after_steps:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(first, "step", step)
    with pytest.raises(Interrupted, match="the same command goes on from there"):
        run(first, tmp_path)
    assert len(steps) == stop_after_steps
    second = trainer(utterances)
    progress = run(second, tmp_path)
    assert same(weights(second), unbroken[1])
    timeless = [{k: v for k, v in r.items() if k not in ("seconds", "times_real_time")} for r in progress.history]
    expected = [{k: v for k, v in r.items() if k not in ("seconds", "times_real_time")} for r in unbroken[0].history]
    assert timeless == expected


def test_signal_handlers_are_put_back(unbroken):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


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
    broken = trainer(utterances, TrainingConfig(epochs=50, batch_s=6.0))
    before = weights(broken)
    monkeypatch.setattr(broken, "_loss", lambda *_: (broken.checkpoint.model.head.bias.sum() * math.nan, 0))
    with pytest.raises(AsrError, match=f"{MOST_SKIPPED} steps in a row"):
        run(broken, tmp_path)
    assert same(weights(broken), before)
    assert "step skipped, the loss (nan)" in capsys.readouterr().err


def test_utterances_too_short_for_ctc_are_counted_and_harmless(utterances, tmp_path, capsys):
    short = [Utterance(u.id, u.audio_filepath, "ab" * 60, duration_s=u.duration_s) for u in utterances[:2]]
    mixed = trainer(short + utterances[2:], TrainingConfig(epochs=1, batch_s=6.0))
    progress = run(mixed, tmp_path)
    assert progress.history[0]["infeasible"] == 2
    assert math.isfinite(progress.history[0]["loss"])
    assert "2 utterances too short for CTC" in capsys.readouterr().err


def test_normalisation_by_level_is_fitted_and_saved(utterances, tmp_path):
    fitted = trainer(utterances, TrainingConfig(epochs=1, batch_s=6.0), normalisation="level")
    run(fitted, tmp_path)
    mean = load_model(tmp_path / "model").features.mean
    assert mean.abs().min() > 0.1
    assert torch.equal(mean, fitted.checkpoint.features.mean)


def test_learning_rate_rises_and_falls():
    config = TrainingConfig(learning_rate=1.0, warmup_share=0.2)
    rates = [learning_rate(done / 100, config) for done in range(101)]
    assert rates.index(max(rates)) == 20
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert (rates[0], rates[10], rates[20], rates[60], rates[100]) == pytest.approx((0.01, 0.5, 1.0, 0.5, 0.0))


def test_workers_change_nothing(utterances, unbroken, tmp_path):
    workers = TrainingConfig(**{**to_table(CONFIG), "workers": 2, "keep_hours": 0.0})
    parallel = trainer(utterances, workers)
    started = time.monotonic()
    run(parallel, tmp_path)
    assert time.monotonic() - started < 300
    for name, value in weights(parallel).items():  # from disk: 32 bits a sample instead of 16
        torch.testing.assert_close(value, unbroken[1][name], atol=2e-2, rtol=0)
