import ctypes
import math
import subprocess
import sys
from threading import Barrier

import numpy as np
import pytest
import torch

from asr import device
from asr.device import (
    available_memory_bytes,
    choose,
    describe,
    keep_freed_memory,
    one_thread,
    peak_memory_bytes,
    reset_peak_memory,
    return_freed_memory,
    thread_pool,
)
from asr.errors import AsrError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MB = 2**20


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


@pytest.mark.parametrize(("local_rank", "device_used"), [("0", 0), ("3", 3), ("5", 1)])
@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_of_torchrun_has_a_gpu_of_its_own(machine, name, local_rank, device_used, monkeypatch):
    machine("cuda")
    used = []
    monkeypatch.setenv("LOCAL_RANK", local_rank)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    assert choose(name) == CUDA
    assert choose("cpu") == CPU
    assert used == [device_used]


def test_the_hardware_in_words(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert describe(torch.device("cpu")).startswith("cpu, 3 threads, ")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert describe(torch.device("cuda")).startswith("NVIDIA H100")


def test_keeping_freed_memory_can_be_asked_for_anywhere(monkeypatch):
    keep_freed_memory()
    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # musl: no mallopt, no malloc_trim
    keep_freed_memory()
    reset_peak_memory(CPU)
    return_freed_memory(0)
    monkeypatch.setattr(ctypes, "CDLL", None)  # not to be called
    return_freed_memory(math.inf)
    monkeypatch.setattr(sys, "platform", "darwin")
    keep_freed_memory()
    reset_peak_memory(CPU)
    return_freed_memory(0)


@pytest.mark.skipif(device._glibc("malloc_trim") is None, reason="needs glibc")
def test_kept_memory_is_returned_once_it_is_too_much():
    script = """
import numpy, pathlib, resource
from asr.device import keep_freed_memory, return_freed_memory

def held():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

keep_freed_memory()
numpy.ones(100_000_000, numpy.uint8)
print(before := held())
return_freed_memory(2 * before)
print(held())
return_freed_memory(before / 2)
print(held())
"""  # in a process of its own: how malloc goes about it depends on all that went before
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    before, kept, returned = map(int, printed.split())
    assert kept == pytest.approx(before, abs=10 * MB)
    assert returned < before - 90_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the peak stays")
def test_the_peak_of_the_process():
    reset_peak_memory(CPU)
    before = peak_memory_bytes(CPU)
    held = np.ones(200 * MB, np.uint8)
    assert peak_memory_bytes(CPU) - before == pytest.approx(held.nbytes, rel=0.05)
    del held
    assert peak_memory_bytes(CPU) - before > 190 * MB
    reset_peak_memory(CPU)
    assert peak_memory_bytes(CPU) - before < 10 * MB


@pytest.mark.skipif(sys.platform == "win32", reason="getrusage is POSIX")
def test_the_peak_where_proc_does_not_tell(monkeypatch, tmp_path):
    told = peak_memory_bytes(CPU)
    monkeypatch.setattr(device, "PROCESS", tmp_path)
    assert peak_memory_bytes(CPU) == pytest.approx(told, rel=0.2)
    reset_peak_memory(CPU)


def test_the_memory_of_a_gpu(monkeypatch):
    calls = []
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: calls.append("reset"))
    reset_peak_memory(CUDA)
    assert (peak_memory_bytes(CUDA), available_memory_bytes(CUDA), calls) == (700, 1050, ["empty", "reset"])


@pytest.fixture
def system(monkeypatch, tmp_path):
    """A machine with 1000 kB free and a process of 200 kB; gets files of /sys/fs/cgroup and lines of /proc."""

    def write(
        files=None, cgroup="", meminfo="MemTotal: 4000 kB\nMemAvailable:  1000 kB\n", status="RssAnon:\t200 kB\n"
    ):
        (tmp_path / "status").write_text(status)
        (tmp_path / "meminfo").write_text(meminfo)
        (tmp_path / "cgroup").write_text(cgroup)
        for name, text in (files or {}).items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    monkeypatch.setattr(device, "PROCESS", tmp_path)
    monkeypatch.setattr(device, "MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(device, "CONTROL_GROUPS", tmp_path / "groups")
    return write


def version_1(limit, usage, **stat):
    lines = "".join(f"{name} {size}\n" for name, size in stat.items())
    return {"memory.limit_in_bytes": f"{limit}\n", "memory.usage_in_bytes": f"{usage}\n", "memory.stat": lines}


def version_2(limit, usage, **stat):
    lines = "".join(f"{name} {size}\n" for name, size in stat.items())
    return {"memory.max": f"{limit}\n", "memory.current": f"{usage}\n", "memory.stat": lines}


def under(folder, files):
    return {f"{folder}/{name}": text for name, text in files.items()}


V1, V2 = "9:cpu:/\n4:memory:/docker/a\n", "0::/user/me\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "free"),
    [
        ("", {}, 1_024_000),
        (V2, {}, 1_024_000),
        (V2, under("user/me", version_2(500_000, 300_000)), 200_000),
        (V2, under("user/me", version_2("max", 300_000)), 1_024_000),
        (V2, under("user/me", version_2(500_000, 300_000, anon=1, active_file=7, inactive_file=30)), 200_037),
        (V2, under("user", version_2(400_000, 300_000)), 100_000),  # the group around it
        (V2, under("user", version_2(400_000, 300_000)) | under("user/me", version_2(350_000, 300_000)), 50_000),
        (V2, version_2(500_000, 300_000), 200_000),  # a container sees its own group at the root
        (V2, under("user/me", version_2(100_000, 300_000)), 0),
        (V1, {}, 1_024_000),
        (V1, under("memory/docker/a", version_1(500_000, 300_000, inactive_file=1, total_inactive_file=9)), 200_009),
        (V1, under("memory", version_1(500_000, 300_000)), 200_000),
        (V1, under("memory", version_1(9223372036854771712, 300_000)), 1_024_000),
        (V1, version_2(500_000, 300_000), 1_024_000),  # not where version 1 has it
    ],
)
def test_the_limits_of_control_groups_count(system, cgroup, files, free):
    system(files, cgroup)
    assert available_memory_bytes(CPU) == 200 * 1024 + free


def test_memory_that_nobody_tells_of(system):
    system(meminfo="MemFree: 3 kB\n")
    assert available_memory_bytes(CPU) is None
    system(status="VmHWM: 3 kB\n")
    assert available_memory_bytes(CPU) is None
    assert peak_memory_bytes(CPU) == 3072
    system()
    assert available_memory_bytes(torch.device("mps")) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody tells")
def test_there_is_memory_on_this_machine():
    available = available_memory_bytes(CPU)
    assert available is not None
    assert available > 100 * MB


def test_bfloat16_is_a_property_of_the_device():
    assert device.has_bfloat16(torch.device("meta")) is False
    assert device.has_bfloat16(torch.device("cpu")) in (True, False)


def test_one_thread_for_a_while():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_the_threads_of_a_pool_keep_to_their_share():
    """Each computes with its own, whatever the rule of the others is when it first does."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pool = thread_pool("a share each", 2, 1)
        together = Barrier(2)

        def multiply(_: int) -> int:
            together.wait()  # so that each thread takes one
            torch.ones(64, 64) @ torch.ones(64, 64)
            return torch.get_num_threads()

        assert list(pool.map(multiply, range(2))) == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
