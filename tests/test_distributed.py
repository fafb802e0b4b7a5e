"""One process, and two that work as one under torchrun with gloo."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import status_of

from asr.distributed import Processes, restarted, stop_requests, together
from asr.errors import DataError
from asr.files import read_json, read_json_lines

ROOT = Path(__file__).resolve().parents[1]
TONES = str(ROOT / "tests" / "tones")
CHANGES = ("training.epochs=7", "optimizer.average_decay=0.9", "training.save_every_s=0", "training.precision=float32")
SETTINGS = [word for change in CHANGES for word in ("--set", change)]
"""With the toy's eight updates an epoch, more than 50 updates; in bfloat16 two halves would not quite be the whole."""


def test_alone_everything_is_a_plain_call():
    with together() as alone:
        assert alone == Processes(0, 1)
        assert alone.first
        assert alone.share("abc") == "abc"
        assert alone.sum([1, 2.5]) == [1, 2.5]
        assert alone.gather("mine") == ["mine"]
        assert alone.from_first(lambda: 7) == 7
    assert not restarted()


def test_shares_are_everything_once():
    items = list(range(11))
    shares = [Processes(rank, 3).share(items) for rank in range(3)]
    assert sorted(item for share in shares for item in share) == items
    assert shares[1] == [1, 4, 7, 10]


def test_an_error_of_the_only_process_is_its_own():
    def fail():
        raise DataError("gone")

    for call in (Processes().from_first, Processes().with_all):
        with pytest.raises(DataError, match="gone"):
            call(fail)
    assert Processes().with_all(lambda: 7) == 7


def test_the_first_signal_asks_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests() as stop_requested:
        assert not stop_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop_requested()
        assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_second_signal_acts_in_a_process_that_was_started_in_the_background():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for `asr train ... &`
    try:
        with stop_requests() as stop_requested:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop_requested()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def torchrun(*arguments: str | Path, processes: int = 2, restarts: int = 0) -> list[str]:
    engine = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
        f"--max-restarts={restarts}",
    ]
    return [sys.executable, *engine, "--monitor-interval=0.2", str(ROOT / "cli.py"), *map(str, arguments)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    exp = tmp_path_factory.mktemp("alone")
    assert status_of("data-prep", TONES, "--exp", exp) == 0
    assert status_of("train", TONES, "--exp", exp, "--device", "cpu", *SETTINGS) == 0
    assert status_of("decode", TONES, "--exp", exp, "--device", "cpu", *SETTINGS) == 0
    return exp


@pytest.fixture(scope="module")
def in_two(tmp_path_factory, environment) -> tuple[Path, str]:
    """The same training by two processes, from an empty folder to the score, and all they said."""
    exp = tmp_path_factory.mktemp("in-two")
    command = torchrun("run", TONES, "--exp", exp, "--device", "cpu", *SETTINGS)
    done = subprocess.run(command, env=environment, cwd=exp, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return exp, done.stderr


def weights(exp: Path) -> dict[str, torch.Tensor]:
    state = torch.load(exp / "training" / "state.pt", weights_only=True)
    assert state["optimizer"]["updates"] >= 50
    return state["weights"] | dict(enumerate(state["optimizer"]["average"]))


@pytest.mark.slow
def test_two_processes_with_half_a_batch_each_equal_one(alone, in_two):
    exp, _ = in_two
    for name, value in weights(alone).items():
        torch.testing.assert_close(weights(exp)[name], value, atol=2e-3, rtol=0)
    ours, theirs = (read_json_lines(folder / "training" / "history.jsonl") for folder in (exp, alone))
    assert [record["loss"] for record in ours] == pytest.approx([record["loss"] for record in theirs], rel=1e-3)
    assert [record["steps"] for record in ours] == [record["steps"] for record in theirs]
    assert [record["blank_share"] for record in ours] == pytest.approx(
        [record["blank_share"] for record in theirs], abs=0.01
    )


@pytest.mark.slow
def test_two_processes_decode_every_utterance_once(alone, in_two):
    for split in ("dev", "test"):
        ours, theirs = (read_json_lines(folder / "decode" / f"{split}.jsonl") for folder in (in_two[0], alone))
        assert [line["id"] for line in ours] == [line["id"] for line in theirs]
    assert read_json(in_two[0] / "score" / "test.json")["wer"] < 0.5


@pytest.mark.slow
def test_only_the_first_process_speaks(in_two):
    said = in_two[1].splitlines()
    assert len([line for line in said if line.startswith("train: ") and "2 processes" in line]) == 1
    assert len([line for line in said if line.startswith("epoch 7/7")]) == 1


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_the_run_ends_like_an_unbroken_one(in_two, environment, tmp_path):
    assert status_of("data-prep", TONES, "--exp", tmp_path) == 0
    command = torchrun("train", TONES, "--exp", tmp_path, "--device", "cpu", *SETTINGS, restarts=1)
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as training:
        said = []
        for line in training.stderr:
            said.append(line)
            if line.startswith("epoch 3/7") and not any("going on in epoch" in earlier for earlier in said):
                os.kill(workers_of(training.pid)[1], signal.SIGKILL)
        assert training.wait(timeout=120) == 0, "".join(said)
    assert any("going on in epoch" in line for line in said)
    expected = weights(in_two[0])
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path).items())


@pytest.mark.slow
def test_a_mistake_of_the_user_is_one_line_and_no_process_waits_for_ever(environment, tmp_path):
    command = torchrun("train", TONES, "--exp", tmp_path / "empty", "--device", "cpu")
    began = time.monotonic()
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert time.monotonic() - began < 100
    said = [line for line in done.stderr.splitlines() if line.startswith("asr: ")]
    assert said
    assert all("no manifests; run: asr data-prep" in line for line in said)


def workers_of(parent: int) -> list[int]:
    """The processes that torchrun has started, by rank."""
    listed = subprocess.run(["ps", "-o", "pid=,ppid=,args=", "-A"], capture_output=True, text=True).stdout
    found = re.findall(rf"^ *(\d+) +{parent} .*cli\.py", listed, re.MULTILINE)
    return sorted(map(int, found))
