import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from asr.errors import AsrError, DataError, Interrupted
from asr.files import locked, read_json_lines
from asr.lag import search
from asr.lag.study import run_study
from asr.lag.trial import LagConfig, TrialConfig

ROOT = Path(__file__).resolve().parents[1]
TINY = LagConfig(
    encoders=("rnn", "lstm_1997"),
    tasks=("order",),
    lags=(8, 9, 10),
    learning_rates=(0.01,),
    seeds=2,
    gradient_lag=12,
    trial=TrialConfig(parameters=500, sequences=96, updates_between_checks=1, held_out=20, share_right=0.5),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """All in this process, and no picture, which takes a second."""
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


@pytest.fixture
def counted(monkeypatch):
    """The trials that are run."""
    ran, real = [], search.run_trial

    def run(trial, config):
        ran.append(trial)
        return real(trial, config)

    monkeypatch.setattr("asr.lag.search.run_trial", run)
    return ran


def study(folder, config=TINY, **more):
    run_study("tiny", config, folder, "asr run tiny", **more)
    return trials(folder)


def trials(folder):
    """What the file holds, whatever the order and the time that it took."""
    lines = read_json_lines(folder / "trials.jsonl")
    for line in lines:
        del line["outcome"]["cpu_s"]
    return sorted(map(json.dumps, lines))


def test_a_folder_of_results(tmp_path, counted, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    found = study(tmp_path)
    assert len(found) == len(counted) == len(set(counted)) >= 2 * 2
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| encoder | year | units | parameters | operations a step | temporal order | gradient at lag 12 |" in page
    assert "| `rnn` | 1990 | 16 |" in page
    assert "| Command | `asr run tiny` |" in page
    assert "(long_lag.png)" in page
    assert (tmp_path / "long_lag.png").stat().st_size > 10_000
    assert f"tiny: {len(found)} trials run, 0 known from before" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*unfinished"))


def test_nothing_is_run_twice(tmp_path, counted):
    found = study(tmp_path)
    before = len(counted)
    assert study(tmp_path) == found
    assert len(counted) == before
    assert len(study(tmp_path, replace(TINY, seeds=3))) > len(found)
    assert len(set(counted)) == len(counted)


@pytest.mark.parametrize(
    ("end", "raised", "message"),
    [(KeyboardInterrupt, Interrupted, "stopped after 3 trials"), (RuntimeError("broken"), RuntimeError, "broken")],
)
def test_broken_off_it_goes_on_to_the_same_end(tmp_path, monkeypatch, end, raised, message):
    whole = study(tmp_path / "whole")
    real, left = search.run_trial, [3]

    def stops(trial, config):
        left[0] -= 1
        if left[0] < 0:
            raise end
        return real(trial, config)

    monkeypatch.setattr("asr.lag.search.run_trial", stops)
    with pytest.raises(raised, match=message):
        study(tmp_path / "part")
    part = trials(tmp_path / "part")
    assert len(part) == 3
    assert set(part) < set(whole)
    left[0] = 1000
    assert study(tmp_path / "part") == whole
    assert left[0] == 1000 - len(whole) + 3


def test_settings_that_trials_depend_on_start_them_anew(tmp_path, counted, capsys):
    study(tmp_path)
    before = len(counted)
    study(tmp_path, replace(TINY, trial=replace(TINY.trial, batch=16)))
    assert "all trials again, because batch 32 -> 16" in capsys.readouterr().err
    assert len(counted) >= before + 4


def test_force_starts_anew(tmp_path, counted):
    found = study(tmp_path)
    before = len(counted)
    assert study(tmp_path, force=True) == found
    assert len(counted) == 2 * before


def test_without_matplotlib_there_is_no_picture(tmp_path):
    study(tmp_path)
    assert not (tmp_path / "long_lag.png").exists()
    assert "png" not in (tmp_path / "RESULTS.md").read_text()


def test_two_runs_in_a_folder_are_refused(tmp_path):
    with locked(tmp_path), pytest.raises(AsrError, match="another run"):
        study(tmp_path)


def test_a_file_of_trials_that_is_not_one(tmp_path):
    study(tmp_path)
    lines = (tmp_path / "trials.jsonl").read_text().replace('"cpu_s"', '"sequence": 1, "cpu_s"', 1)
    (tmp_path / "trials.jsonl").write_text(lines)
    with pytest.raises(AsrError, match=r"trials.jsonl:1: unknown key outcome.sequence; did you mean 'sequences'"):
        study(tmp_path)
    (tmp_path / "trials.jsonl").write_text("no\n")
    with pytest.raises(DataError, match=r"trials.jsonl:1: not JSON"):
        study(tmp_path)


@pytest.mark.slow
def test_the_command_line_after_a_kill(tmp_path):
    settings = {
        "lags": "[8, 9]", "seeds": "2", "gradient_lag": "12", "encoders": '["lstm", "gru"]', "trial.sequences": "6400",
        "trial.parameters": "500", "tasks": '["order"]', "learning_rates": "[0.01]",
    }  # fmt: skip
    changes = [argument for name, value in settings.items() for argument in ("--set", f"long_lag.{name}={value}")]
    command = [sys.executable, ROOT / "cli.py", "run", "long_lag/quick", *changes]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    running = subprocess.Popen([*command, "--exp", tmp_path / "part"], env=environment, cwd=tmp_path)
    deadline_s = time.monotonic() + 300
    while not (tmp_path / "part" / "trials.jsonl").exists():
        assert running.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    children = workers_of(running.pid)
    assert len(children) >= 2
    running.send_signal(signal.SIGKILL)
    running.wait()
    while any(Path(f"/proc/{child}").exists() and "Z" not in state_of(child) for child in children):
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    for folder in ("part", "whole"):
        subprocess.run([*command, "--exp", tmp_path / folder], env=environment, cwd=tmp_path, check=True)
    assert trials(tmp_path / "part") == trials(tmp_path / "whole")
    assert "| `gru` | 2014 |" in (tmp_path / "part" / "RESULTS.md").read_text()


def workers_of(process):
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def state_of(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"
