from pathlib import Path

import pytest

from asr.errors import DataError
from asr.scoring.printing import headline, listing, tables
from asr.scoring.result import Result, Scored

RESULT = Result(
    "test",
    [
        Scored("a-1", "the cat sat on", "cat sad on it", "ann", 2.0),
        Scored("a-2", "the cat", "the cat", "ann", 1.999),
        Scored("b-1", "the mat", "a mat it it", "bob", 301.0, Path("b.wav")),
        Scored("c-1", "", "a", "", None),
    ],
)


def test_the_headline_says_all_that_belongs_to_a_rate():
    assert headline(RESULT) == (
        "WER 87.50%, with 95 % confidence 30.00% to 200.00% (bootstrap over 4 utterances)\n"
        "7 errors in 8 words: 2 substituted, 1 deleted, 4 inserted\n"
        "CER 64.29%; sentences wrong 75.00%, 3 of 4\n"
        "2 speakers; 0.08 hours; normalisation before scoring: none"
    )


def test_a_headline_over_speakers_and_without_durations():
    many = Result("many", [Scored(f"u{n}", "a b", "a", f"s{n % 5}") for n in range(10)], "basic")
    lines = headline(many).split("\n")
    assert lines[0] == "WER 50.00%, with 95 % confidence 50.00% to 50.00% (bootstrap over 5 speakers)"
    assert lines[-1] == "5 speakers; normalisation before scoring: basic"
    with pytest.raises(DataError, match="no utterances"):
        headline(Result("none", []))


def test_the_worst_utterances_are_listed_in_columns():
    assert listing(RESULT, 2) == (
        "a-1: 3 errors in 4 words\n"
        "REF: the cat sat on ***\n"
        "HYP: *** cat sad on it\n"
        "     D       S      I\n"
        "\n"
        "b-1: 3 errors in 2 words, b.wav\n"
        "REF: the mat *** ***\n"
        "HYP: a   mat it  it\n"
        "     S       I   I\n"
    )
    assert listing(RESULT, 99).count("REF:") == 3  # one has no errors


def test_tables_in_words():
    text = tables(RESULT, {"the"})
    assert "| ann         |          2 |     0.1 |     6 |  50.00% |   1 |   1 |   1 |" in text
    assert "| sat  | sad   |     1 | a-1        |" in text
    assert "| it     |     3 | a-1 b-1    |" in text
    assert "| sat                | sad   |     1 | a-1        |" in text
    assert "inf%" in text  # nothing was said, and something heard
    assert "lexicon" not in tables(RESULT)
