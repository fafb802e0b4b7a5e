"""Praat's TextGrid: tiers of intervals, each tier filling the recording without a gap."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice

Interval = tuple[int, int, str]
"""Start and end in milliseconds, and what is said."""

TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+.\de]+)(?!\S)')
"""What counts in a file, be it long or short: quoted texts, and numbers that stand alone."""


def write(tiers: Mapping[str, Sequence[Interval]], end: int) -> str:
    """A file in Praat's long text form.

    Args:
        tiers: The intervals of each in order, none without length and none over another; empty ones fill the rest.
        end: Of the recording, in milliseconds; the file's is later where an interval's is, and never 0.
    """
    end = max(1, end, *(tier[-1][1] for tier in tiers.values() if tier))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_bounds(0, end), "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for number, (name, tier) in enumerate(tiers.items(), start=1):
        intervals = _without_gaps(tier, end)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += [*_bounds(0, end, 8), f"        intervals: size = {len(intervals)}"]
        for place, (start, until, said) in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{place}]:",
                *_bounds(start, until, 12),
                f"            text = {_quoted(said)}",
            ]
    return "\n".join(lines) + "\n"


def read(text: str) -> dict[str, list[Interval]]:
    """The intervals of each tier that say something; tiers of points are passed over.

    Args:
        text: In the long or the short text form.

    Raises:
        ValueError: It is in neither.
    """
    tokens = (said.replace('""', '"') or number for said, number in TOKEN.findall(text))
    if [*islice(tokens, 2)] != ["ooTextFile", "TextGrid"]:
        raise ValueError(f"a TextGrid in text form was expected, found {text[:60]!r}")
    _, _, size = islice(tokens, 3)
    tiers = {}
    for _ in range(int(size)):
        kind, name, _, _, count = islice(tokens, 5)
        width = 3 if kind == "IntervalTier" else 2
        rows = [[*islice(tokens, width)] for _ in range(int(count))]
        if width == 3:
            tiers[name] = [
                (round(float(start) * 1000), round(float(end) * 1000), said) for start, end, said in rows if said
            ]
    return tiers


def _without_gaps(intervals: Sequence[Interval], end: int) -> list[Interval]:
    """The intervals with empty ones between them, and before and behind, so that they fill 0 to `end`."""
    filled: list[Interval] = []
    reached = 0
    for start, until, said in (*intervals, (end, end, "")):
        if start > reached:
            filled.append((reached, start, ""))
        if until > start:
            filled.append((start, until, said))
        reached = until
    return filled


def _bounds(start: int, end: int, indent: int = 0) -> list[str]:
    return [f"{'':{indent}}xmin = {start / 1000:.3f}", f"{'':{indent}}xmax = {end / 1000:.3f}"]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
