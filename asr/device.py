"""The device that computes, and the few process settings that decide how fast a CPU does it."""

import ctypes
import platform
import sys

import torch

from asr.errors import AsrError


def choose(name: str) -> torch.device:
    """The device called `auto`, `cpu`, `cuda` or `mps`; `auto` is CUDA where there is one, else the CPU.

    Raises:
        AsrError: No such device here.
    """
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if found["cuda"] else "cpu")
    if name not in found:
        raise AsrError(f"device {name!r} is not known; choose auto, {', '.join(found)}")
    if not found[name]:
        raise AsrError(f"device {name!r} is not there; this machine has {', '.join(n for n in found if found[n])}")
    return torch.device(name)


def describe(device: torch.device) -> str:
    """The hardware in words, for results."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' if threads > 1 else ''}, {platform.machine()}"


def keep_freed_memory() -> None:
    """Tells glibc to reuse large blocks instead of returning them to the system.

    Training on a CPU frees and asks for the same hundreds of megabytes at every step; by default each round goes
    through mmap and pays a page fault for every 4 KiB. Does nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 256 * 2**20)
