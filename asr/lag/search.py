"""Which trials there have to be: each encoder at growing lags of each task, several of them at work at once."""

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread

import torch

from asr.lag.trial import LagConfig, Outcome, TaskName, Trial, run_trial
from asr.model import Encoder

GIVE_UP = 2
"""Lags that an encoder fails at in a row before longer ones are no longer tried."""

Outcomes = dict[Trial, Outcome]


@dataclass(frozen=True)
class Finding:
    """The longest lag of a task that an encoder learned."""

    lag: int
    """0 for none."""
    seeds: int
    """That learned it."""
    failed_beyond: bool
    """Whether it failed at a longer lag; else that was the longest to be tried."""


Chain = Generator[Trial, Outcome, Finding]
"""Asks for a trial, is sent its outcome, asks for the next."""


def chain(task: TaskName, encoder: Encoder, config: LagConfig) -> Chain:
    """The trials of an encoder at a task; a lag is learned when most seeds learn it with the same rate."""
    longest = seeds = failed = 0
    for lag in config.lags:
        if learned := (yield from _trials_of_lag(task, encoder, lag, config)):
            longest, seeds, failed = lag, learned, 0
        else:
            failed += 1
        if failed == GIVE_UP:
            break
    return Finding(longest, seeds, failed > 0)


def _trials_of_lag(task: TaskName, encoder: Encoder, lag: int, config: LagConfig) -> Generator[Trial, Outcome, int]:
    """With one learning rate after the other until most seeds learn; one with which they no longer can is left.

    Returns:
        The seeds that learned; 0 where they were not most of them.
    """
    for learning_rate in config.learning_rates:
        learned = 0
        for seed in range(config.seeds):
            learned += (yield Trial(task, encoder, lag, learning_rate, seed)).learned
            if seed + 1 - learned > config.seeds - config.majority:
                break
        if learned >= config.majority:
            return learned
    return 0


def finding(task: TaskName, encoder: Encoder, config: LagConfig, outcomes: Mapping[Trial, Outcome]) -> Finding:
    """What finished trials say.

    Raises:
        KeyError: One that is needed is not among them.
    """
    asking = chain(task, encoder, config)
    try:
        trial = next(asking)
        while True:
            trial = asking.send(outcomes[trial])
    except StopIteration as end:
        found: Finding = end.value
        return found


def carry_out(
    config: LagConfig, known: Mapping[Trial, Outcome], workers: int, advance: Callable[[float], None]
) -> Iterator[tuple[Trial, Outcome]]:
    """Runs the trials that are needed and not yet known; yields each as it ends, in any order.

    Args:
        workers: Trials at once, each in a process with one thread; 1: in this process.
        advance: Is told how many lags have been decided or given up.
    """
    waiting: deque[tuple[Trial, Chain]] = deque()
    running: dict[Future[Outcome], tuple[Trial, Chain]] = {}

    def go_on(asking: Chain, lags_done: int, ask: Callable[[], Trial]) -> None:
        """To the next trial of a chain that is not known."""
        try:
            trial = ask()
            while trial in known:
                trial = asking.send(known[trial])
        except StopIteration:
            advance(len(config.lags) - lags_done)
        else:
            advance(config.lags.index(trial.lag) - lags_done)
            waiting.append((trial, asking))

    for task, encoder in product(config.tasks, config.encoders):
        asking = chain(task, encoder, config)
        go_on(asking, 0, partial(next, asking))
    with _executor(workers if waiting else 1) as executor:
        while waiting or running:
            while waiting and len(running) < workers:
                trial, asking = waiting.popleft()
                running[executor.submit(run_trial, trial, config.trial)] = trial, asking
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                (trial, asking), outcome = running.pop(future), future.result()
                yield trial, outcome
                go_on(asking, config.lags.index(trial.lag), partial(asking.send, outcome))


class _Here(Executor):
    """Runs what it is given at once, in this process."""

    def submit(self, function, /, *arguments, **options):  # type: ignore[no-untyped-def]
        future: Future[Outcome] = Future()
        future.set_result(function(*arguments, **options))
        return future


@contextmanager
def _executor(workers: int) -> Iterator[Executor]:
    """Its processes end at once when the block is broken off, or this process killed."""
    if workers == 1:
        yield _Here()
        return
    context = get_context("spawn")  # a fork would inherit PyTorch's threads in whatever state they are
    alive, ours = context.Pipe(duplex=False)
    with ProcessPoolExecutor(workers, context, _begin, (alive,)) as executor:
        try:
            yield executor
        except BaseException:
            ours.close()
            raise


def _begin(alive: Connection) -> None:
    """In a new process; Ctrl-C is for the one that started it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(alive,), daemon=True).start()


def _end_with(alive: Connection) -> None:
    alive.poll(None)  # returns when the other end is closed
    os._exit(1)
