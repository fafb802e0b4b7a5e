from collections import Counter

import pytest

from asr.lexicon.check import check_lexicon, coverage, told, told_coverage
from asr.lexicon.entries import lexicon_of

LEXICON = lexicon_of(
    [
        ("read", ("R", "EH", "D"), 1.0),
        ("read", ("R", "IY", "D"), 1.0),
        ("red", ("R", "EH", "D"), 1.0),
        ("reed", ("R", "IY", "D"), 1.0),
        ("rede", ("R", "IY", "D"), 1.0),
        ("a", ("QQ",), 1.0),
        ("a", ("X", "QQ"), 1.0),
        ("ab", ("QQ", "D"), 1.0),
    ]
)
KNOWN = ("R", "EH", "IY", "D")


def test_a_lexicon_by_itself():
    report = check_lexicon(LEXICON, KNOWN, ["a QQ"])
    assert (report.words, report.pronunciations, report.phones) == (6, 8, 6)
    assert report.several == {"read": 2, "a": 2}
    assert report.homophones == [["read", "reed", "rede"], ["read", "red"]]
    assert report.unknown == {"QQ": ["a", "ab"], "X": ["a"]}
    assert report.repeated == ["a QQ"]


@pytest.mark.parametrize(
    ("words", "repeated", "wrong"), [(["read", "reed"], [], False), (["ab"], [], True), (["red"], ["red R EH D"], True)]
)
def test_what_is_wrong(words, repeated, wrong):
    assert check_lexicon(LEXICON.only(words), KNOWN, repeated).wrong is wrong


def test_how_much_is_covered():
    found = coverage(LEXICON, ["Red", "reads", "red", "Reads", "a", "book"])
    assert found.missing == Counter(reads=2, book=1)
    assert found.running_share == 3 / 6
    assert found.distinct_share == 2 / 4


def test_a_report_in_words():
    assert told(check_lexicon(LEXICON, KNOWN, ["a QQ"]), most=1).splitlines() == [
        "words                              6",
        "pronunciations                     8",
        "phones                             6",
        "words with several pronunciations  2: read (2), ...",
        "groups of homophones               2: read = reed = rede, ...",
        "unknown phones                     2: QQ (as in 'a'), ...",
        "lines more than once               1: 'a QQ'",
    ]
    assert "unknown phones                     0\n" in told(check_lexicon(LEXICON.only(["red"]), KNOWN), most=1)
    assert "unknown phones                     2\n" in told(check_lexicon(LEXICON, KNOWN), most=0)


def test_a_coverage_in_words():
    found = coverage(LEXICON, ["red", "reads", "red", "reads", "a", "book"])
    assert told_coverage(found, "texts", most=1).splitlines() == [
        "texts     words  with an entry",
        "running       6         50.00%",
        "distinct      4         50.00%",
        "",
        "without an entry  times",
        "reads                 2",
    ]
    assert told_coverage(coverage(LEXICON, ["red", "a"]), "lists", most=1).splitlines() == [
        "lists     words  with an entry",
        "distinct      2        100.00%",
    ]
