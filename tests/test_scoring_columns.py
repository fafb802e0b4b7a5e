import random
from collections import Counter

import pytest
from rich.cells import cell_len

from asr.metrics import align, count_errors
from asr.scoring.columns import in_columns


def shown(reference, a, b, **options):
    return in_columns({"A": align(reference, a), "B": align(reference, b)}, **options)


def test_three_rows_and_their_marks_by_hand():
    assert shown("the cat sat on", "cat sad on it", "the cat sat in").splitlines() == [
        "REF: the cat sat on ***",
        "  A: *** cat sad on it",
        "     D       S      I",
        "  B: the cat sat in ***",
        "                 S",
    ]


def test_insertions_at_the_same_place_share_columns():
    assert shown("a b", "a x y b", "a z b").splitlines() == [
        "REF: a *** *** b",
        "  A: a x   y   b",
        "       I   I",
        "  B: a z   *** b",
        "       I",
    ]


def test_rows_of_marks_are_left_out_where_there_are_none():
    assert shown("a b", "a b", "a b") == "REF: a b\n  A: a b\n  B: a b"
    assert shown("a b", "a b", "a") == "REF: a b\n  A: a b\n  B: a ***\n       D"


def test_what_is_too_wide_goes_on_below():
    assert shown("one two three four", "one two three four", "one too three", width=14) == "\n\n".join(
        [
            "REF: one two\n  A: one two\n  B: one too\n         S",
            "REF: three\n  A: three\n  B: three",
            "REF: four\n  A: four\n  B: ***\n     D",
        ]
    )


@pytest.mark.parametrize("width", [20, 21, 40, 100])
def test_no_line_is_wider_than_asked_and_no_word_lost(width):
    reference, a, b = "größe 日本 語 and so on " * 9, "größe 日 本 so on " * 9, "größe 日本 語 and all that " * 9
    lines = shown(reference, a, b, width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    for label, text in (("REF: ", reference), ("  A: ", a), ("  B: ", b)):
        words = " ".join(line.removeprefix(label) for line in lines if line.startswith(label)).split()
        assert [word for word in words if word != "***"] == text.split()


def test_a_word_wider_than_the_terminal_stands_alone():
    assert shown("a bbbbbbbbbb c", "a bbbbbbbbbb c", "a bbbbbbbbbb c", width=10).count("REF: ") == 3


def test_nothing_said():
    assert shown("", "", "") == "REF:\n  A:\n  B:"
    assert shown("", "a", "").splitlines() == ["REF: ***", "  A: a", "     I", "  B: ***"]


def test_alignments_to_different_references_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        in_columns({"A": align("a b", "a"), "B": align("a", "a")})


@pytest.mark.parametrize(
    ("reference", "hypothesis", "lines"),
    [
        (
            "the cat sat on",
            "cat sad on it",
            ["REF: the cat sat on ***", "HYP: *** cat sad on it", "     D       S      I"],
        ),
        ("i saw it", "i was there", ["REF: i saw it", "HYP: i was there", "       S   S"]),
        ("a  b", "a b ", ["REF: a b", "HYP: a b"]),
        ("one", "", ["REF: one", "HYP: ***", "     D"]),
        ("", "a b", ["REF: *** ***", "HYP: a   b", "     I   I"]),
        ("", "", ["REF:", "HYP:"]),
        ("*** b", "a b", ["REF: *** b", "HYP: a   b", "     S"]),
        ("日本 語", "日 語 e\u0301", ["REF: 日本 語 ***", "HYP: 日   語 e\u0301", "     S       I"]),
    ],
)
def test_one_system(reference, hypothesis, lines):
    assert in_columns({"HYP": align(reference, hypothesis)}).split("\n") == lines


def test_marks_every_error_once():
    generator = random.Random(1)
    for _ in range(50):
        said, recognised = (" ".join(generator.choices("abc", k=generator.randrange(9))) for _ in range(2))
        above, below, *marks = in_columns({"HYP": align(said, recognised)}).split("\n")
        assert [word for word in above.split()[1:] if word != "***"] == said.split()
        assert [word for word in below.split()[1:] if word != "***"] == recognised.split()
        errors = count_errors(said, recognised)
        counts = {"S": errors.substitutions, "D": errors.deletions, "I": errors.insertions}
        assert Counter(" ".join(marks).split()) == Counter(counts)
