"""Words with their times, cut into segments at pauses, and into the cues of subtitles that one can read in time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr.alignment import Word

LONGEST_SEGMENT_S = 30.0
PAUSE_S = 0.5
"""Where nothing is said for as long, a segment ends, and a cue had better. A little of it belongs to the word before,
which seems to end early."""

LINE_CHARACTERS = 42
LINES = 2
PAUSE_CHARACTERS = 20
"""How much longer the longer of two lines may be, if a pause of `PAUSE_S` or more is between them."""
SHORTEST_CUE_S = 1.0
LONGEST_CUE_S = 7.0

TOO_SHORT = 1000.0
"""What a cue costs that is gone too soon: more than what joining it with a neighbour ever does."""


@dataclass(frozen=True)
class Segment:
    """Words that were said in one breath."""

    words: tuple[Word, ...]
    """At least one."""

    @property
    def start_s(self) -> float:
        return self.words[0].start_s

    @property
    def end_s(self) -> float:
        return self.words[-1].end_s

    @property
    def text(self) -> str:
        return _text(self.words)


@dataclass(frozen=True)
class Cue:
    """What a subtitle shows at one time."""

    start_s: float
    """Before its first word where the words alone would be gone too soon."""
    end_s: float
    lines: tuple[str, ...]
    words: tuple[Word, ...]


@dataclass(frozen=True)
class _Way:
    """The cheapest way found to cut all words up to some place into cues: its cost, and the last of its cues."""

    cost: float
    first: int = 0
    start_s: float = 0.0
    end_s: float = 0.0


def segments(words: Sequence[Word], longest_s: float = LONGEST_SEGMENT_S, pause_s: float = PAUSE_S) -> list[Segment]:
    """The words, each in one segment, in order; a segment ends where nothing is said for `pause_s` or longer.

    One longer than `longest_s` is cut at its longest pause, of several the one nearest to its middle, until no part is
    longer or it is a single word.

    Args:
        words: In order, none beginning before the one before has ended.
    """
    cuts = [place for place in range(1, len(words)) if _pause_s(words, place) >= pause_s]
    waiting = [tuple(words[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(words)], strict=True)][::-1]
    found = []
    while waiting:
        part = waiting.pop()
        if len(part) > 1 and _duration_s(part, 0, len(part)) > longest_s:
            middle = len(part) / 2
            cut = max(range(1, len(part)), key=lambda place: (_pause_s(part, place), -abs(place - middle)))
            waiting += [part[cut:], part[:cut]]
        elif part:
            found.append(Segment(part))
    return found


def cues(words: Sequence[Word], duration_s: float) -> list[Cue]:
    """The words, each in one cue, in order: the cues of a subtitle, none of which overlap.

    A cue has at most two lines of 42 characters, about equally long or cut at a pause; a word that is longer has a line
    to itself. It lasts at most 7 s, which cuts off a word that is longer. Of all ways to cut the words, that with the
    fewest and most evenly filled cues and the shortest pauses within them is taken: none of more than about 0.7 s is
    put up with to have one cue less.

    A cue whose words take less than 1 s stays on through the silence after them, then comes up in the silence before,
    till it has its second. Where there is not silence enough, it is joined with a neighbour or with words of it, over a
    pause if need be; where that does not fit either, it is shorter.

    Args:
        words: In order, none beginning before the one before has ended, all of them within the recording.
        duration_s: Of the recording.

    Source: the limits are those of Netflix's Timed Text Style Guide for English, but for the shortest, its 5/6 s.
        The cut is found as Knuth and Plass 1981, Breaking Paragraphs into Lines, find theirs; of all ways to some word
        only the cheapest is followed, though another might leave the next cue more of a silence.
    """
    ways = [_Way(0.0), *[_Way(math.inf)] * len(words)]
    for first in range(len(words)):
        for end, cost in _ends(words, first):
            next_s = words[end].start_s if end < len(words) else duration_s
            start_s, end_s = _shown(words[first].start_s, words[end - 1].end_s, ways[first].end_s, next_s)
            is_short = round(end_s - start_s, 3) < SHORTEST_CUE_S
            cost += ways[first].cost + is_short * TOO_SHORT
            if cost < ways[end].cost:
                ways[end] = _Way(cost, first, start_s, end_s)
    found = []
    end = len(words)
    while end:
        way = ways[end]
        said = tuple(words[way.first : end])
        found.append(Cue(way.start_s, way.end_s, _lines(said), said))
        end = way.first
    return found[::-1]


def _ends(words: Sequence[Word], first: int) -> Iterator[tuple[int, float]]:
    """Where a cue may end (exclusive) that begins with the word `first`, and what it costs, its time aside.

    The cost is 1, and the squares of what its lines leave empty, as a share, and of its pauses, in units of `PAUSE_S`.
    """
    lines, pauses = [len(words[first].text)], 0.0
    for end in range(first + 1, len(words) + 1):
        filled = min(1.0, (sum(lines) + len(lines) - 1) / (LINES * LINE_CHARACTERS))
        yield end, 1.0 + (1.0 - filled) ** 2 + pauses
        if end == len(words) or _duration_s(words, first, end + 1) > LONGEST_CUE_S:
            return
        length = len(words[end].text)
        if lines[-1] + 1 + length <= LINE_CHARACTERS:
            lines[-1] += 1 + length
        elif len(lines) < LINES:
            lines.append(length)
        else:
            return
        pauses += (_pause_s(words, end) / PAUSE_S) ** 2


def _shown(start_s: float, end_s: float, from_s: float, until_s: float) -> tuple[float, float]:
    """When a cue comes and goes whose words take `start_s` to `end_s`, and that has room from `from_s` to `until_s`."""
    end_s = min(end_s, start_s + LONGEST_CUE_S)
    end_s = max(end_s, min(start_s + SHORTEST_CUE_S, until_s))
    return min(start_s, max(end_s - SHORTEST_CUE_S, from_s)), end_s


def _lines(words: Sequence[Word]) -> tuple[str, ...]:
    """One line where that is enough, else two about equally long, better cut at a pause."""
    whole = _text(words)
    if len(whole) <= LINE_CHARACTERS or len(words) == 1:
        return (whole,)
    place = min(range(1, len(words)), key=lambda place: _unevenness(words, place))
    return _text(words[:place]), _text(words[place:])


def _unevenness(words: Sequence[Word], place: int) -> tuple[int, float]:
    """By how much lines that are cut at `place` are too long, and the longer of them, less what the pause is worth."""
    lengths = [len(_text(words[:place])), len(_text(words[place:]))]
    too_long = sum(max(0, length - LINE_CHARACTERS) for length in lengths)
    return too_long, max(lengths) - PAUSE_CHARACTERS * min(1.0, _pause_s(words, place) / PAUSE_S)


def _text(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _pause_s(words: Sequence[Word], place: int) -> float:
    """Before the word at `place`; to the millisecond, so that half a second is one, however it came about."""
    return round(words[place].start_s - words[place - 1].end_s, 3)


def _duration_s(words: Sequence[Word], first: int, end: int) -> float:
    """Of the words from `first` to `end`, exclusive; to the millisecond as well."""
    return round(words[end - 1].end_s - words[first].start_s, 3)
