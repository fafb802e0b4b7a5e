import random
from itertools import pairwise

import pytest

from asr.alignment import Word
from asr.segments import Segment, cues, segments


def said(*texts_and_times: tuple[str, float, float]) -> list[Word]:
    return [Word(text, start_s, end_s, 0.9) for text, start_s, end_s in texts_and_times]


def steady(text: str, word_s: float = 0.3, gap_s: float = 0.1, start_s: float = 0.0) -> list[Word]:
    """The words of a text, all equally long and equally far from each other."""
    step_s = word_s + gap_s
    starts_s = [round(start_s + number * step_s, 3) for number in range(len(text.split()))]
    return [
        Word(word, start_s, round(start_s + word_s, 3), 0.9)
        for word, start_s in zip(text.split(), starts_s, strict=True)
    ]


def random_words(rng: random.Random) -> tuple[list[Word], float]:
    """Words as CTC gives them, from none to 80, and the duration of their recording: in frames of 40 ms, or crowded."""
    frame_s = rng.choice([0.04, 0.003])
    longest, gaps = rng.choice([5, 12, 60]), rng.choice([[0, 1, 2, 5], [0, 0, 0, 1], [0, 1, 5, 20, 100, 400]])
    frame, words = rng.choice([0, 3, 100]), []
    for _ in range(rng.choice([0, 1, 2, 5, 20, 80])):
        end = frame + rng.choice([0, 1, 3, 8, 20, 200])
        words.append(Word("x" * rng.randint(1, longest), frame * frame_s, end * frame_s, rng.random()))
        frame = end + rng.choice(gaps)
    return words, (words[-1].end_s if words else 1.0) + rng.choice([0, 0.2, 3])


def random_recordings(number: int) -> list[tuple[list[Word], float]]:
    rng = random.Random(0)
    return [random_words(rng) for _ in range(number)]


RECORDINGS = random_recordings(300)


@pytest.mark.parametrize(
    ("gaps_s", "longest_s", "expected"),
    [
        ([0.1, 0.1], 30, ["a b c"]),
        ([0.1, 0.5], 30, ["a b", "c"]),
        ([0.49, 0.1], 30, ["a b c"]),
        ([2.0, 0.5], 30, ["a", "b", "c"]),
        ([0.1, 0.2], 3.3, ["a b c"]),  # lasts just as long as it may
        ([0.1, 0.2], 3.2, ["a b", "c"]),
        ([0.2, 0.1], 2.0, ["a", "b", "c"]),
        ([0.1, 0.1, 0.1], 3, ["a b", "c d"]),  # of equal pauses that in the middle
        ([0.1, 0.1, 0.2], 3.5, ["a b c", "d"]),
        ([], 0.5, ["a"]),  # a word is not cut
    ],
)
def test_segments(gaps_s, longest_s, expected):
    words, start_s = [], 1.0
    for text, gap_s in zip("abcd", [*gaps_s, 0.0], strict=False):
        words.append(Word(text, start_s, start_s + 1.0, 0.9))
        start_s += 1.0 + gap_s
    found = segments(words, longest_s, pause_s=0.5)
    assert [segment.text for segment in found] == expected
    assert [word for segment in found for word in segment.words] == words


def test_a_segment_knows_its_times():
    segment = Segment(tuple(said(("so", 1.2, 1.5), ("it", 1.6, 1.9))))
    assert (segment.start_s, segment.end_s, segment.text) == (1.2, 1.9, "so it")


def test_half_a_second_ends_a_segment_however_it_came_about():
    words = said(("a", 0.0, 17 * 0.04), ("b", 1.18, 1.2))
    assert words[1].start_s - words[0].end_s < 0.5
    assert len(segments(words, pause_s=0.5)) == 2


def test_segments_hold_every_word_once_and_keep_their_limits():
    for words, _ in RECORDINGS:
        found = segments(words, longest_s=10.0, pause_s=0.5)
        assert [word for segment in found for word in segment.words] == words
        for segment in found:
            assert len(segment.words) == 1 or segment.end_s - segment.start_s <= 10.0005
            assert all(right.start_s - left.end_s < 0.5 for left, right in pairwise(segment.words))


def test_no_words_no_segments_and_no_cues():
    assert segments([]) == []
    assert cues([], 3.0) == []


LONG = "it was the best of times it was the worst of times it was the age of wisdom it was the age of"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (steady("so it goes", start_s=1.0), [(1.0, 2.1, "so it goes")]),
        (steady(f"{LONG[:40]}s"), [(0.0, 3.9, f"{LONG[:40]}s")]),
        (steady(f"{LONG[:40]}ts"), [(0.0, 3.9, f"{LONG[:40]}ts")]),  # 42 characters are one line, 43 are two
        (steady(f"{LONG[:40]}tes"), [(0.0, 3.9, "it was the best of|times it was the worstes")]),
        (  # lines are cut at a pause as well
            steady("three four one five eight five") + steady("four hundred and one point six six two", start_s=2.8),
            [(0.0, 5.9, "three four one five eight five|four hundred and one point six six two")],
        ),
        (
            steady("five") + steady("three four one eight five four hundred and one", start_s=0.8),
            [(0.0, 4.3, "five three four one eight|five four hundred and one")],
        ),
        (  # not 84 characters and then two words
            steady(LONG, 0.2, 0.05),
            [
                (0.0, 2.7, "it was the best of times|it was the worst of"),
                (2.75, 5.7, "times it was the age of|wisdom it was the age of"),
            ],
        ),
        (  # cut at the pause, though the first cue could hold more
            steady("yes it was", 0.3, 0.1) + steady(LONG, 0.2, 0.05, start_s=2.4),
            [
                (0.0, 1.1, "yes it was"),
                (2.4, 5.1, "it was the best of times|it was the worst of"),
                (5.15, 8.1, "times it was the age of|wisdom it was the age of"),
            ],
        ),
        (steady("a b c d e", 1.5, 0.1), [(0.0, 3.1, "a b"), (3.2, 7.9, "c d e")]),  # longer than 7 s
        (said(("x" * 50, 1.0, 2.0), ("yes", 2.1, 2.5)), [(1.0, 2.5, "x" * 50 + "|yes")]),
        (said(("yes", 0.1, 0.5), ("no", 0.6, 0.9), ("x" * 50, 1.0, 2.0)), [(0.1, 2.0, "yes no|" + "x" * 50)]),
        (said(("x" * 90, 0.0, 2.0), ("y" * 90, 2.1, 4.0)), [(0.0, 4.0, "x" * 90 + "|" + "y" * 90)]),
        (said(("hum", 1.0, 20.0)), [(1.0, 8.0, "hum")]),
    ],
)
def test_cues(words, expected):
    found = cues(words, duration_s=30.0)
    assert [(cue.start_s, cue.end_s, "|".join(cue.lines)) for cue in found] == expected


@pytest.mark.parametrize(
    ("words", "duration_s", "expected"),
    [
        (said(("yes", 2.0, 2.3)), 9.0, [(2.0, 3.0, "yes")]),  # into the silence after
        (said(("yes", 2.0, 2.3)), 2.5, [(1.5, 2.5, "yes")]),  # then before
        (said(("yes", 0.1, 0.3)), 0.5, [(0.0, 0.5, "yes")]),  # the recording is no longer
        (said(("yes", 1.0, 1.0)), 1.0, [(0.0, 1.0, "yes")]),
        (said(("yes", 1.0, 1.3), ("no", 2.1, 3.4)), 4.0, [(1.0, 2.0, "yes"), (2.1, 3.4, "no")]),
        (said(("yes", 1.0, 1.3), ("no", 4.0, 4.3)), 4.3, [(1.0, 2.0, "yes"), (3.3, 4.3, "no")]),
        (said(("yes", 0.0, 0.1), ("no", 0.9, 2.4)), 2.4, [(0.0, 2.4, "yes no")]),  # no room: joined over the pause
        (said(("yes", 0.0, 0.3), ("x" * 90, 0.4, 2.0)), 2.0, [(0.0, 2.0, "yes|" + "x" * 90)]),
        (  # no room, and with either neighbour more than 7 s
            said(("hum", 0.0, 7.0), ("yes", 7.0, 7.3), ("hum", 7.5, 14.3)),
            14.3,
            [(0.0, 7.0, "hum"), (7.0, 7.5, "yes"), (7.5, 14.3, "hum")],
        ),
        (  # no room with all of its neighbour, but with a word of it
            said(("x" * 90, 0.0, 1.0), ("y" * 90, 1.0, 2.0), ("yes", 2.0, 2.3)),
            2.3,
            [(0.0, 1.0, "x" * 90), (1.0, 2.3, "y" * 90 + "|yes")],
        ),
    ],
)
def test_a_cue_that_would_be_gone_too_soon_is_stretched(words, duration_s, expected):
    found = cues(words, duration_s)
    assert [(cue.start_s, cue.end_s, "|".join(cue.lines)) for cue in found] == [
        (pytest.approx(start_s), pytest.approx(end_s), lines) for start_s, end_s, lines in expected
    ]


def fits(words: tuple[Word, ...]) -> bool:
    """By trying: whether the words make one cue."""
    texts = [word.text for word in words]
    halves = [(texts[:place], texts[place:]) for place in range(len(texts))]
    may_stand = any(all(len(line) == 1 or len(" ".join(line)) <= 42 for line in pair) for pair in halves)
    return may_stand and (len(words) == 1 or words[-1].end_s - words[0].start_s <= 7.0005)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (steady(LONG[:49]), True),
        (steady(LONG), False),
        (steady("a b c d e", 1.5, 0.1), False),
        (said(("x" * 50, 0, 10)), True),
        (said(("yes", 0, 1), ("no", 1, 2), ("x" * 50, 2, 3), ("yes", 3, 4)), False),
    ],
)
def test_the_oracle_of_what_fits(words, expected):
    assert fits(tuple(words)) is expected


def test_cues_keep_their_limits():
    for words, duration_s in RECORDINGS:
        found = cues(words, duration_s)
        assert [word for cue in found for word in cue.words] == words
        for cue in found:
            assert fits(cue.words)
            assert " ".join(cue.lines) == " ".join(word.text for word in cue.words)
            assert len(cue.lines) <= 2
            assert all(len(line) <= 42 or " " not in line for line in cue.lines)
            assert 0.0 <= cue.start_s <= cue.end_s <= duration_s
            assert cue.end_s - cue.start_s <= 7.0005
        assert all(left.end_s <= right.start_s for left, right in pairwise(found))


def test_times_are_those_of_the_words_but_for_a_second():
    for words, duration_s in RECORDINGS:
        found = cues(words, duration_s)
        befores_s = [0.0, *[cue.end_s for cue in found]]
        afters_s = [*[cue.words[0].start_s for cue in found], duration_s][1:]
        for cue, before_s, after_s in zip(found, befores_s, afters_s, strict=False):
            first_s, last_s = cue.words[0].start_s, cue.words[-1].end_s
            if last_s - first_s >= 1.0:
                assert (cue.start_s, cue.end_s) == (first_s, min(last_s, first_s + 7.0))
            elif round(cue.end_s - cue.start_s, 3) < 1.0:
                assert (cue.start_s, cue.end_s) == (before_s, after_s)  # all room is taken
            else:
                assert cue.end_s - cue.start_s == pytest.approx(1.0)
                assert cue.start_s == pytest.approx(first_s) or cue.end_s == after_s  # first after, then before


def test_cues_are_cut_no_more_than_they_must_be():
    short = 0
    for words, duration_s in RECORDINGS:
        for left, right in pairwise(cues(words, duration_s)):
            joined = fits(left.words + right.words)
            too_short = any(round(cue.end_s - cue.start_s, 3) < 1.0 for cue in (left, right))
            short += too_short
            assert not (joined and too_short)
            assert not (joined and right.words[0].start_s - left.words[-1].end_s < 0.6)
    assert short  # there are some that no neighbour had room for


def test_no_cue_runs_across_a_long_silence():
    for words, duration_s in RECORDINGS:
        for cue in cues(words, duration_s):
            assert all(right.start_s - left.end_s < 2.0 for left, right in pairwise(cue.words))


def test_cues_of_equal_words_are_about_equally_full():
    for count in range(2, 120):
        found = cues(steady("word " * count, 0.1, 0.05), 100.0)
        sizes = [len(cue.words) for cue in found]
        assert max(sizes) - min(sizes) <= 1
        assert len(found) == -(-count // 16)  # two lines of eight words have 39 characters each
        assert all(abs(len(cue.lines[0]) - len(cue.lines[-1])) <= 5 for cue in found)
