"""The device that computes, its memory, and the few process settings that decide how fast a CPU does it."""

import ctypes
import os
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Barrier

import torch

from asr.errors import AsrError

PROCESS = Path("/proc/self")
MEMORY = Path("/proc/meminfo")
CONTROL_GROUPS = Path("/sys/fs/cgroup")


def choose(name: str) -> torch.device:
    """The device called `auto`, `cpu`, `cuda` or `mps`; `auto` is CUDA where there is one, else the CPU.

    Of several CUDA devices each process that torchrun has started gets one of its own, as far as they go.

    Raises:
        AsrError: No such device here.
    """
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if found["cuda"] else "cpu"
    if name not in found:
        raise AsrError(f"device {name!r} is not known; choose auto, {', '.join(found)}")
    if not found[name]:
        raise AsrError(f"device {name!r} is not there; this machine has {', '.join(n for n in found if found[n])}")
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
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
    if mallopt := _glibc("mallopt"):
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 256 * 2**20)


def return_freed_memory(above_bytes: float) -> None:
    """Gives the system back what `keep_freed_memory` has kept, once the process holds more than that.

    Batches of ever new lengths leave gaps between blocks that fit nothing, and the gaps add up.
    """
    if resident_memory_bytes() > above_bytes and (malloc_trim := _glibc("malloc_trim")):
        malloc_trim(0)


def resident_memory_bytes() -> int:
    """What this process has in memory now; 0 where the system does not say."""
    try:
        return int((PROCESS / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory held at any one time since `reset_peak_memory`.

    On a CPU that is the process, all of it that lies in memory (since it began, where the system cannot start anew;
    0 where it does not say). On CUDA it is what tensors held: what PyTorch's allocator keeps beyond that, it gives up
    when memory runs short.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = _bytes_in(PROCESS / "status", "VmHWM")
    if peak is None and sys.platform != "win32":
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak or 0


def reset_peak_memory(device: torch.device) -> None:
    """Gives back what was freed but kept, and lets `peak_memory_bytes` start anew, where the system can do so."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return
    if malloc_trim := _glibc("malloc_trim"):
        malloc_trim(0)
    if sys.platform.startswith("linux"):
        with suppress(OSError):
            (PROCESS / "clear_refs").write_text("5")  # man 5 proc: resets VmHWM


def available_memory_bytes(device: torch.device) -> int | None:
    """How high `peak_memory_bytes` can rise before the system refuses or kills; None where it does not say.

    On a CPU the limits of the control groups (containers, systemd, Slurm) count too; swap space does not.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    free, own = _bytes_in(MEMORY, "MemAvailable"), _bytes_in(PROCESS / "status", "RssAnon")
    if device.type != "cpu" or free is None or own is None:
        return None
    return own + max(min([free, *_room_in_control_groups()]), 0)


def _room_in_control_groups() -> list[int]:
    """The bytes that each control group around this process still allows, in version 1 and 2 of the interface."""
    rooms = []
    for line in _lines(PROCESS / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, limit, usage, total = CONTROL_GROUPS, "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            base, limit, usage = CONTROL_GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            total = "total_"
        else:
            continue
        group = base / path.strip("/")
        for folder in (group, *group.parents[: len(group.parts) - len(base.parts)]):  # in a container some are not seen
            with suppress(OSError, ValueError):  # ValueError: "max", which is no limit
                most, used = (int((folder / name).read_text()) for name in (limit, usage))
                cached = {name: int(size) for name, size in map(str.split, _lines(folder / "memory.stat"))}
                rooms.append(most - used + sum(cached.get(f"{total}{age}_file", 0) for age in ("active", "inactive")))
    return rooms


def _bytes_in(path: Path, key: str) -> int | None:
    """The number in a line such as `VmHWM:  120 kB`, in bytes; None where there is none."""
    sizes = [line.split()[1] for line in _lines(path) if line.startswith(f"{key}:")]
    return int(sizes[0]) * 1024 if sizes else None


def _lines(path: Path) -> list[str]:
    """The lines of a file of the system's; none where it is not there."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it is not glibc."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


@cache
def thread_pool(name: str, count: int, threads: int) -> ThreadPoolExecutor:
    """`count` threads in each of which PyTorch uses so many of its own; made once for each name."""
    allowed = torch.get_num_threads()
    started = Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(threads)
        torch.get_num_threads()  # a thread's first question takes the rule of all, and this is still its own
        started.wait()

    pool = ThreadPoolExecutor(count, name, begin)
    for _ in range(count):
        pool.submit(int)
    started.wait()
    torch.set_num_threads(allowed)  # what a thread sets for itself, PyTorch also takes as the rule for later ones
    return pool


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block PyTorch does not share out its operations: threads that share small ones mostly wait."""
    allowed = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(allowed)


def dtype_of(precision: str, device: torch.device) -> torch.dtype:
    """What a device is to compute in: see `asr.config.Precision`. `auto` is bfloat16 where it does so itself."""
    quick = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.bfloat16 if quick else torch.float32


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device itself computes in bfloat16, which is when that saves time."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return device.type == "cpu" and any(bool(check()) for check in checks)
