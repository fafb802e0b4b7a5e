"""A shard of the inputs for each of several machines or processes, which need not know of each other."""

import heapq
import os
import re
from collections.abc import Mapping, Sequence

from asr.audio import duration_s
from asr.errors import AsrError
from asr.inputs import Input
from asr.progress import track_in_threads

BYTES_PER_S = 32000
"""Of a recording whose header tells no length, or cannot be read; what WAV files of speech mostly have."""


def parse_shard(text: str) -> tuple[int, int]:
    """`3/16`, the third of sixteen shards, as its two numbers.

    Raises:
        AsrError: It is not of that form, or there is no such shard.
    """
    numbers = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if numbers and 1 <= int(numbers[1]) <= int(numbers[2]):
        return int(numbers[1]), int(numbers[2])
    raise AsrError(f"--shard {text}: such as 3/16 was expected, the third of sixteen shards, from 1/16 to 16/16")


def shard_of_environment(environment: Mapping[str, str] = os.environ) -> tuple[int, int] | None:
    """The shard of this process among those that torchrun started; None: it started none.

    Raises:
        AsrError: `RANK` and `WORLD_SIZE` do not fit together.
    """
    rank, count = environment.get("RANK"), environment.get("WORLD_SIZE")
    if rank is None or count is None:
        return None
    try:
        return parse_shard(f"{int(rank) + 1}/{count}")
    except (ValueError, AsrError) as error:
        raise AsrError(f"RANK={rank} and WORLD_SIZE={count} name no shard of the work") from error


def lengths_s(inputs: Sequence[Input]) -> list[float]:
    """About how long each input is, by the manifest, the header or the file's size; nothing is decoded."""
    return list(track_in_threads(_length_s, inputs, "measuring"))


def share(inputs: Sequence[Input], durations_s: Sequence[float], number: int, count: int) -> list[Input]:
    """Shard `number`, counted from 1, of `count` that hold about the same time and together each input once.

    The longest first, to whoever has least: no two shards differ by more than the longest input. Which shard an input
    is in depends on the inputs and their durations only, not on their order, nor on what is done already: an input must
    not be left out before.
    """
    lots = [(0.0, 0, index) for index in range(count)]  # seconds, inputs, shard: a heap as it stands
    chosen = set()
    for position in sorted(range(len(inputs)), key=lambda at: (-durations_s[at], _name(inputs[at]))):
        total_s, held, index = lots[0]
        heapq.heapreplace(lots, (total_s + durations_s[position], held + 1, index))
        if index == number - 1:
            chosen.add(position)
    return [each for position, each in enumerate(inputs) if position in chosen]


def _name(each: Input) -> tuple[str, str, float, float]:
    return each.name.as_posix(), each.source, each.offset_s, each.duration_s or 0.0


def _length_s(each: Input) -> float:
    if each.duration_s is not None:
        return each.duration_s
    whole_s = duration_s(each.path)
    if whole_s is None:
        try:
            whole_s = each.path.stat().st_size / BYTES_PER_S
        except OSError:
            return 0.0
    return max(0.0, whole_s - each.offset_s)
