import json
import math

import pytest

from asr.errors import DataError
from asr.metrics import align
from asr.scoring.bootstrap import Difference, Interval, difference
from asr.scoring.comparison import Comparison, summary, to_record, verdict
from asr.scoring.result import Result, Scored
from asr.scoring.significance import McNemar, mapsswe

REFERENCES = {"one": "the cat sat on the mat", "two": "and so on", "three": "never mind", "four": "go"}
HEARD_A = {"one": "the cat sad on mat", "two": "and so on", "three": "never", "four": "go"}
HEARD_B = {"one": "the cat sat on the mat", "two": "uh and so son", "three": "never mind", "four": "go"}


def result(title, heard, references=REFERENCES, speakers=None, **fields):
    utterances = [Scored(name, references[name], text, (speakers or {}).get(name, "")) for name, text in heard.items()]
    return Result(title, utterances, **fields)


def compare(heard_a, heard_b, references=REFERENCES, speakers=None):
    return Comparison(result("first", heard_a, references, speakers), result("second", heard_b, references, speakers))


def many(*outcomes):
    """A comparison of so many utterances each `(count, hypothesis of A, of B)` of what was `a b c d`, ten speakers."""
    texts = [(a, b) for count, a, b in outcomes for _ in range(count)]
    heard = [{str(number): pair[system] for number, pair in enumerate(texts)} for system in (0, 1)]
    references = dict.fromkeys(heard[0], "a b c d")
    return compare(*heard, references, {name: f"speaker {int(name) % 10}" for name in references})


@pytest.fixture
def comparison():
    return compare(HEARD_A, HEARD_B)


def test_it_is_made_of_the_parts(comparison):
    a, b = comparison.a, comparison.b
    assert comparison.difference == difference(a.errors, b.errors, {})
    assert comparison.difference.value == pytest.approx((2 - 3) / 12)
    assert comparison.relative == pytest.approx(-1 / 3)
    aligned = [(align(text, HEARD_A[name]), align(text, HEARD_B[name])) for name, text in REFERENCES.items()]
    assert comparison.mapsswe == mapsswe(aligned)
    # In "one" the two errors have but one word between them, in "two" they have two: -2; 1 and 1; -1.
    assert (comparison.mapsswe.segments, comparison.mapsswe.mean) == (4, -0.25)
    assert comparison.mcnemar == McNemar(both_right=1, only_a_right=1, only_b_right=2, both_wrong=0, p=1)


def test_speakers_are_resampled_where_they_are_known():
    speakers = dict(zip("abcdef", "uvwxyz", strict=True))
    references = dict.fromkeys(speakers, "a b")
    found = compare(dict.fromkeys(speakers, "a"), dict.fromkeys(speakers, "a b"), references, speakers)
    assert found.difference == Difference(-0.5, Interval(-0.5, -0.5, "speaker"), 1)


def test_utterances_are_joined_by_id_whatever_their_order(comparison):
    turned = compare(HEARD_A, dict(reversed(HEARD_B.items())))
    assert to_record(turned) == to_record(comparison)
    assert summary(turned) == summary(comparison)


def test_what_changed_most():
    references = dict.fromkeys("abcdef", "one two three")
    found = compare(
        dict(zip("abcdef", ["one", "x y", "one two three", "one two three", "x", "one two"], strict=True)),
        dict(zip("abcdef", ["one two three", "one two", "x", "", "x", "one two x"], strict=True)),
        references,
    )
    assert {change.a.id: change.errors for change in found.changed} == {"a": -2, "b": -2, "c": 3, "d": 3}
    assert [change.a.id for change in found.better()] == ["a", "b"]
    assert [change.a.id for change in found.better(1)] == ["a"]
    assert [change.a.id for change in found.worse()] == ["c", "d"]
    assert [change.a.id for change in found.worse(1)] == ["c"]
    assert [change.a.id for change in found.worse(0)] == []


def test_swapping_the_systems_turns_every_sign():
    comparison = many((30, "a b c", "a b c d"), (10, "a b c d", "a x c d"), (60, "a b c d", "a b c d"))
    turned = Comparison(comparison.b, comparison.a)
    assert turned.difference.value == -comparison.difference.value
    assert (turned.mapsswe.z, turned.mapsswe.p) == (-comparison.mapsswe.z, comparison.mapsswe.p)
    assert turned.mcnemar.p == comparison.mcnemar.p
    assert comparison.findings() == {"bootstrap": "B", "mapsswe": "B", "mcnemar": "B"}
    assert turned.findings() == {"bootstrap": "A", "mapsswe": "A", "mcnemar": "A"}
    assert [change.a.id for change in turned.worse()] == [change.a.id for change in comparison.better()]


@pytest.mark.parametrize(
    ("b", "message"),
    [
        (
            result("beam", {"one": "", "two": "", "four": ""}),
            "B (beam) lacks 1 of the 4 utterances of A (greedy) ('three')",
        ),
        (
            result("beam", {**HEARD_B, "five": ""}, {**REFERENCES, "five": ""}),
            "A (greedy) lacks 1 of the 5 utterances of B (beam) ('five')",
        ),
        (
            result("beam", HEARD_B, {**REFERENCES, "two": "and soon"}),
            "'two': A and B are scored against different references; word 2 is 'so' in A's and 'soon' in B's",
        ),
        (
            result("beam", HEARD_B, {**REFERENCES, "four": "go on"}),
            "'four': A and B are scored against different references; word 2 is '' in A's and 'on' in B's",
        ),
        (
            result("beam", HEARD_B, normalisation="english"),
            "A (greedy) is scored with normalisation 'none' and B (beam) with 'english'",
        ),
    ],
    ids=["missing", "extra", "another word", "another length", "another normalisation"],
)
def test_what_cannot_be_compared_is_refused(b, message):
    with pytest.raises(DataError) as refusal:
        Comparison(result("greedy", HEARD_A), b)
    assert str(refusal.value) == message


def test_white_space_in_a_reference_is_no_difference():
    spaced = {name: f" {text.replace(' ', '  ')} " for name, text in REFERENCES.items()}
    Comparison(result("first", HEARD_A), result("second", HEARD_B, spaced))


def test_verdict_when_all_tests_agree():
    found = many((30, "a b c", "a b c d"), (10, "a b c d", "a x c d"), (60, "a b c d", "a b c d"))
    assert verdict(found).startswith(
        "At 5 %, B is significantly better than A: the bootstrap, MAPSSWE and McNemar agree."
    )
    assert "With 40 segments, MAPSSWE is rough" in verdict(found)


def test_verdict_when_no_test_finds_anything():
    found = many((40, "a b c", "a b c d"), (40, "a b c d", "a x c d"), (10, "a b c d", "a b c d"))
    assert found.findings() == {"bootstrap": None, "mapsswe": None, "mcnemar": None}
    assert verdict(found) == ("At 5 %, no test tells A from B. That does not show that they are equally good.")


def test_verdict_when_the_tests_disagree():
    # B has one word of sentences of which A has none: fewer words wrong, and not one sentence more right.
    found = many((60, "", "a"), (10, "a b c", "a"), (20, "a b c d", "a b c d"))
    assert found.findings() == {"bootstrap": "B", "mapsswe": "B", "mcnemar": None}
    assert verdict(found) == (
        "At 5 %, the tests disagree: B is significantly better by the bootstrap and MAPSSWE; there is no significant "
        "difference by McNemar. Bootstrap and MAPSSWE compare words, McNemar only whole sentences. Only the bootstrap "
        "allows for a speaker's errors going together. McNemar could not have told them apart, with 0 sentences that "
        "only one has right."
    )


def test_verdict_when_the_tests_contradict_each_other():
    # B has 30 more sentences right, and in 20 others so many more words wrong.
    found = many((30, "a b c", "a b c d"), (30, "a b c d x", "a b c d x y z u v w"), (20, "a b c d", "a b c d"))
    assert found.findings() == {"bootstrap": "A", "mapsswe": "A", "mcnemar": "B"}
    assert "B is significantly better by McNemar; A is significantly better by the bootstrap and MAPSSWE." in verdict(
        found
    )


def test_verdict_of_two_systems_that_are_one(comparison):
    same = Comparison(comparison.a, comparison.a)
    assert verdict(same) == "A and B heard the same words throughout."
    assert (same.mapsswe.p, same.mcnemar.p, same.difference.value) == (1, 1, 0)
    assert not same.changed


def test_verdict_where_all_segments_differ_alike():
    found = many((60, "a b c", "a b c d"))
    assert (found.mapsswe.mean, found.mapsswe.deviation) == (-1, 0)
    assert "MAPSSWE has nothing to go by, as every segment differs by the same number of errors." in verdict(found)


def test_summary_by_hand(comparison):
    lines = summary(comparison).splitlines()
    a, b = (f"{bounds.low:.2%} to {bounds.high:.2%}" for bounds in (comparison.a.interval, comparison.b.interval))
    assert [" ".join(line.split()) for line in lines[1:3]] == [
        f"A 25.00% {a} 1 2 0 50.00% first",
        f"B 16.67% {b} 1 0 1 25.00% second",
    ]
    text = "\n".join(lines)
    assert "4 utterances, 12 words; intervals: bootstrap over utterances" in text
    assert "B - A:    -8.33 points" in text
    assert "-33.3% relative" in text
    assert "MAPSSWE:  4 segments with errors, B - A -0.250 each (deviation 1.500), Z = -0.33, p = 0.739" in text
    assert "McNemar:  1 sentences right in A only, 2 in B only, 1 in both, 0 in neither, p = 1" in text
    assert text.endswith(
        "2 of 4 utterances have fewer errors in B than in A, most changed first:\n\n"
        "one: -2 errors, 2 in A and 0 in B, in 6 words\n"
        "REF: the cat sat on the mat\n"
        "  A: the cat sad on *** mat\n"
        "             S      D\n"
        "  B: the cat sat on the mat\n\n"
        "three: -1 errors, 1 in A and 0 in B, in 2 words\n"
        "REF: never mind\n  A: never ***\n           D\n  B: never mind\n\n"
        "1 of 4 utterances have more errors in B than in A, most changed first:\n\n"
        "two: +2 errors, 0 in A and 2 in B, in 3 words\n"
        "REF: *** and so on\n  A: *** and so on\n  B: uh  and so son\n     I          S"
    )


def test_summary_shows_as_many_as_asked_within_the_width():
    found = many((30, "a b c", "a b c d"), (10, "a b c d", "a x c d"))
    assert summary(found, listed=3).count("REF:") == 6
    assert summary(found, listed=0).count("REF:") == 0
    assert "30 of 40 utterances have fewer errors in B than in A." in summary(found, listed=0)
    assert max(map(len, summary(found).splitlines())) <= 100


def test_record_is_plain_data(comparison):
    record = to_record(comparison)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["a"]["wer"] == 0.25
    assert record["a"]["interval"] == vars(comparison.a.interval)
    assert record["b"]["insertions"] == 1
    assert record["difference"]["value"] == comparison.difference.value
    assert record["mcnemar"] == {"both_right": 1, "only_a_right": 1, "only_b_right": 2, "both_wrong": 0, "p": 1}
    assert record["mapsswe"]["segments"] == 4
    assert record["findings"] == {"bootstrap": None, "mapsswe": None, "mcnemar": None}
    assert record["changed"] == {"one": -2, "three": -1, "two": 2}


def test_empty_references():
    found = compare({"x": "uh", "y": ""}, {"x": "", "y": ""}, {"x": "", "y": ""})
    assert math.isnan(found.relative)
    record = to_record(found)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["a"]["wer"], record["b"]["wer"]) == (None, 0)
    assert (record["difference"]["value"], record["difference"]["relative"]) == (None, None)
    assert "x: -1 errors, 1 in A and 0 in B, in 0 words" in summary(found)


def test_no_utterances_are_refused():
    found = compare({}, {})
    for use in (summary, to_record):
        with pytest.raises(DataError, match="no utterances"):
            use(found)
