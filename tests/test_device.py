import ctypes
import sys

import pytest
import torch

from asr.device import choose, describe, keep_freed_memory
from asr.errors import AsrError


@pytest.fixture
def machine(monkeypatch):
    """Says which accelerators are there."""

    def has(*names: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)

    return has


@pytest.mark.parametrize(
    ("there", "name", "chosen"),
    [
        ((), "auto", "cpu"),
        ((), "cpu", "cpu"),
        (("cuda",), "auto", "cuda"),
        (("cuda",), "cuda", "cuda"),
        (("cuda",), "cpu", "cpu"),
        (("mps",), "auto", "cpu"),  # MPS only when it is asked for
        (("mps",), "mps", "mps"),
    ],
)
def test_the_device_is_chosen(machine, there, name, chosen):
    machine(*there)
    assert choose(name) == torch.device(chosen)


@pytest.mark.parametrize(
    ("there", "name", "message"),
    [
        ((), "cuda", "device 'cuda' is not there; this machine has cpu"),
        (("cuda",), "mps", "device 'mps' is not there; this machine has cpu, cuda"),
        ((), "tpu", "device 'tpu' is not known; choose auto, cpu, cuda, mps"),
        ((), "CPU", "device 'CPU' is not known; choose auto, cpu, cuda, mps"),
        ((), "cuda:1", "device 'cuda:1' is not known; choose auto, cpu, cuda, mps"),
        ((), "", "device '' is not known; choose auto, cpu, cuda, mps"),
    ],
)
def test_a_device_that_is_not_there(machine, there, name, message):
    machine(*there)
    with pytest.raises(AsrError) as caught:
        choose(name)
    assert str(caught.value) == message


def test_the_hardware_in_words(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert describe(torch.device("cpu")).startswith("cpu, 3 threads, ")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert describe(torch.device("cuda")).startswith("NVIDIA H100")


def test_keeping_freed_memory_can_be_asked_for_anywhere(monkeypatch):
    keep_freed_memory()
    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # musl: no mallopt
    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", None)  # not to be called
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()
