import pytest
from rich.cells import cell_len

from asr.metrics import align
from asr.scoring.columns import side_by_side


def shown(reference, a, b, **options):
    return side_by_side(align(reference, a), align(reference, b), **options)


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
        side_by_side(align("a b", "a"), align("a", "a"))
