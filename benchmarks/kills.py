"""A training killed again and again at random moments, against one that runs through: equal to the last bit?

    python benchmarks/kills.py [--kills 20] [--recipe tests/tones] [--seed 0]

Both train the recipe on a CPU and write their state after every update; every second kill waits, from its random moment
on, for a file that is being written. At the end the model folders and the states are compared.
"""

import argparse
import math
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch._dynamo  # the optimiser would import it, for seconds, in every process anew

import asr.experiment  # noqa: F401
import cli

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 8
UNFINISHED = "*/.*.unfinished"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--recipe", default=str(ROOT / "tests" / "tones"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chance, kills, writing = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        unbroken, broken = Path(folder, "unbroken"), Path(folder, "broken")
        for exp in (unbroken, broken):
            run("data-prep", options.recipe, exp)
        run_s = run("train", options.recipe, unbroken)
        while kills < options.kills:
            moment_s = chance.uniform(0, 1.6 * run_s / options.kills)
            if run("train", options.recipe, broken, moment_s, in_writing=kills % 2 == 1) is not None:
                break
            kills += 1
            writing += being_written(broken)
        else:
            run("train", options.recipe, broken)
        equal = same(unbroken, broken)
    print(f"{kills} kills at random moments of a training of {run_s:.1f} s, {writing} of them while a file was written")
    print(f"weights, averages, history and model folder equal to an unbroken run's: {equal}")
    sys.exit(not (equal and kills == options.kills))


def run(stage: str, recipe: str, exp: Path, kill_after_s: float = math.inf, in_writing: bool = False) -> float | None:
    """Runs a stage in a process forked from this one, which has imported everything already.

    Args:
        stage: Of the recipe.
        recipe: By name or folder.
        exp: The experiment folder; the log goes beside it.
        kill_after_s: From the first step on.
        in_writing: Kill when next a file is being written.

    Returns:
        The seconds from its first step to its end, or None when it was killed.
    """
    log = exp.with_suffix(".log")
    log.write_text("")
    child = os.fork()
    if not child:
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), 2)
        settings = [f"training.epochs={EPOCHS}", "training.save_every_s=0", "optimizer.average_decay=0.9"]
        arguments = [stage, recipe, "--exp", str(exp), *(part for setting in settings for part in ("--set", setting))]
        try:
            cli.main(arguments + (["--device", "cpu"] if stage == "train" else []))
        except SystemExit as end:
            os._exit(int(end.code or 0))
    began = None
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if began is None and "\ntrain: " in log.read_text():
            began = time.monotonic()
        due = began and time.monotonic() - began >= kill_after_s
        if due and (not in_writing or being_written(exp)):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.0 if due else 0.002)
    if ended[1]:
        sys.exit(f"the {stage} stage failed:\n{log.read_text()}")
    return time.monotonic() - (began or time.monotonic())


def being_written(exp: Path) -> bool:
    try:
        return any(exp.glob(UNFINISHED))
    except FileNotFoundError:  # a folder was renamed while we looked into it
        return False


def same(left: Path, right: Path) -> bool:
    states = [torch.load(exp / "training" / "state.pt", weights_only=True) for exp in (left, right)]
    weights = [state["weights"] | dict(enumerate(state["optimizer"]["average"])) for state in states]
    losses = [[record["loss"] for record in state["progress"]["history"]] for state in states]
    files = [f"model/{name}" for name in ("config.json", "vocabulary.json", "weights.safetensors")]
    return (
        losses[0] == losses[1]
        and all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
        and all((left / name).read_bytes() == (right / name).read_bytes() for name in files)
    )


if __name__ == "__main__":
    main()
