import math
import subprocess
import sys
from pathlib import Path

import pytest

from asr import events
from asr.errors import AsrError
from asr.events import Events

RECORD = {"epoch": 1, "steps": 9, "loss": 1.5, "dev_wer": 0.25, "skipped": 0, "device": "cpu", "left_s": None}


@pytest.fixture
def shown():
    """What TensorBoard shows of a folder: the points (number, value) of every curve of every run."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.util.tensor_util import make_ndarray

    def read(folder):
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
        return {
            (run, tag): [(e.step, round(float(make_ndarray(e.tensor_proto)), 5)) for e in multiplexer.Tensors(run, tag)]
            for run, kinds in multiplexer.Runs().items()
            for tag in kinds["tensors"]
        }

    return read


def test_every_number_becomes_a_curve(tmp_path, shown):
    with Events(tmp_path, 1, 1) as written:
        written.step(4, {"epoch": 1, "epochs": 2, "step": 4, "steps": 9, "loss": 3.5, "left_s": None})
        written.epoch(RECORD)
        written.step(12, {"loss": 2.5, "gradient_norm": 1.25})
        written.epoch({"epoch": 2, "loss": 0.5, "dev_wer": 1.25, "new": 7})
    assert shown(tmp_path) == {
        ("epochs", "epoch/loss"): [(1, 1.5), (2, 0.5)],
        ("epochs", "epoch/dev_wer"): [(1, 0.25), (2, 1.25)],
        ("epochs", "epoch/skipped"): [(1, 0)],
        ("epochs", "epoch/new"): [(2, 7)],
        ("steps", "step/loss"): [(4, 3.5), (12, 2.5)],
        ("steps", "step/gradient_norm"): [(12, 1.25)],
    }


def test_a_training_that_goes_on_shows_no_point_twice(tmp_path, shown):
    with Events(tmp_path, 1, 1) as written:
        for epoch in (1, 2, 3):
            written.step(10 * epoch, {"loss": 1.0})
            written.epoch({"epoch": epoch, "loss": 1.0})
    with Events(tmp_path, 3, 25) as written:  # the state on disk was one of epoch 3
        written.step(26, {"loss": 2.0})
        written.epoch({"epoch": 3, "loss": 2.0})
    assert shown(tmp_path) == {
        ("epochs", "epoch/loss"): [(1, 1.0), (2, 1.0), (3, 2.0)],
        ("steps", "step/loss"): [(10, 1.0), (20, 1.0), (26, 2.0)],
    }
    with Events(tmp_path, 1, 1) as written:  # another training in the same place
        written.step(15, {"loss": 3.0})
        written.epoch({"epoch": 1, "loss": 3.0})
    assert shown(tmp_path) == {("epochs", "epoch/loss"): [(1, 3.0)], ("steps", "step/loss"): [(15, 3.0)]}
    assert len(list(tmp_path.rglob("events.*"))) == 2  # nothing to hide for a reader that knows no hiding


def test_an_epoch_can_be_seen_while_training_goes_on(tmp_path, shown):
    written = Events(tmp_path, 1, 1)
    written.step(4, {"loss": 3.5})
    written.epoch(RECORD)
    assert shown(tmp_path)["epochs", "epoch/loss"] == [(1, 1.5)]
    assert shown(tmp_path)["steps", "step/loss"] == [(4, 3.5)]
    written.close()
    written.close()  # once more does no harm


def test_a_loss_that_is_not_finite_is_written(tmp_path, shown):
    with Events(tmp_path, 1, 1) as written:
        written.epoch({"epoch": 1, "loss": math.inf})
    assert shown(tmp_path) == {("epochs", "epoch/loss"): [(1, math.inf)]}


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "find_spec", lambda name: None)
    with Events(tmp_path, 1, 1) as written:
        written.step(4, {"loss": 3.5})
        written.epoch(RECORD)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "events").write_text("a file")
    with pytest.raises(AsrError, match="events/epochs: the folder cannot be made"):
        Events(tmp_path / "events", 1, 1)


def test_importing_is_light():
    script = "import sys, asr.events; print(*sys.modules)"
    root = Path(__file__).resolve().parents[1]
    loaded = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True).stdout.split()
    assert "asr.events" in loaded
    assert not {"torch", "tensorboard"} & set(loaded)
