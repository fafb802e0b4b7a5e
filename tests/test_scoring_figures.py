import json
import math
from pathlib import Path

import pytest

from asr.errors import DataError
from asr.files import write_json
from asr.metrics import Errors
from asr.scoring.bootstrap import Interval
from asr.scoring.figures import (
    Figures,
    Results,
    digest_of_references,
    figures_of,
    from_record,
    read_results,
    to_record,
    write_results,
)
from asr.scoring.result import Result, Scored


def figures(**changes) -> Figures:
    """4 errors in 20 words."""
    values = {
        "split": "test",
        "decoding": "greedy",
        "hours": 1.0,
        "speakers": 5,
        "utterances": 2,
        "words": 20,
        "substitutions": 1,
        "deletions": 2,
        "insertions": 1,
        "characters": 50,
        "character_errors": 5,
        "wrong_sentences": 1,
        "wer_low": 0.1,
        "wer_high": 0.305,
        "resampled": "speaker",
        "normalisation": "none",
        "references": "ab" * 32,
    }
    return Figures(**{**values, **changes})


def results(*scores: Figures, **changes) -> Results:
    values = {"recipe": "tones", "asr_version": "0.1.0", "weights": "cd" * 32, "training_hours": 1.5}
    return Results(**{**values, "parameters": 866765, **changes}, scores=scores)


SCORED = Result(
    "dev, greedy",
    [
        Scored("a-1", "the cat sat on", "cat sad on it", "ann", 1800.0),
        Scored("a-2", "one two three", "one two three", "ann", 900.0),
        Scored("b-1", "four", "for", "", 900.0),
    ],
)


def test_figures_are_the_counts_of_a_scoring():
    found = figures_of(SCORED, "dev", "greedy", 0.25)
    assert (found.split, found.decoding, found.normalisation) == ("dev", "greedy", "none")
    assert (found.hours, found.speakers, found.utterances) == (1.0, 1, 3)
    assert (found.words, found.substitutions, found.deletions, found.insertions) == (8, 2, 1, 1)
    assert found.errors == SCORED.total
    assert (found.wer, found.cer) == (0.5, SCORED.total.cer)
    assert found.interval == SCORED.interval
    assert found.confidence_error == 0.25


def test_rates_follow_from_the_counts():
    assert figures().errors == Errors(20, 1, 2, 1, 50, 5, 2, 1)
    assert (figures().wer, figures().cer, figures().errors.sentence_error_rate) == (0.2, 0.1, 0.5)
    assert figures().interval == Interval(0.1, 0.305, "speaker")
    assert figures().wer_in_words == "20.00% (10.00% to 30.50%)"


def test_a_record_is_plain_and_comes_back():
    for found in (figures(), figures_of(SCORED, "dev", "beam"), figures(confidence_error=0.5)):
        record = json.loads(json.dumps(to_record(found), allow_nan=False))
        assert from_record(record, "here") == found


def test_an_infinite_wer_survives_json():
    nothing_said = Result("noise", [Scored("a", "", "what"), Scored("b", "", "")])
    found = figures_of(nothing_said, "noise", "greedy")
    assert (found.wer, found.interval.high) == (math.inf, math.inf)
    text = json.dumps(to_record(found), allow_nan=False)
    assert from_record(json.loads(text), "here") == found
    assert found.wer_in_words == "inf% (0.00% to inf%)"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("words", "20", "words = '20'"),
        ("words", -1, "words = -1"),
        ("words", 1.5, r"words = 1\.5"),
        ("words", True, "words = True"),
        ("hours", math.nan, "hours = nan"),
        ("hours", math.inf, "hours = inf"),
        ("wer_low", math.nan, "wer_low = nan"),
        ("split", None, "split = None"),
        ("resampled", "word", "resampled = 'word'"),
        ("wer", 0.2, "unknown key wer"),
    ],
)
def test_a_record_that_is_not_right_is_refused(key, value, message):
    with pytest.raises(DataError, match=f"^here: {message}"):
        from_record({**to_record(figures()), key: value}, "here")


@pytest.mark.parametrize("key", sorted(set(to_record(figures())) - {"confidence_error"}))
def test_nothing_may_be_missing(key):
    record = to_record(figures())
    del record[key]
    with pytest.raises(DataError, match=f"^here: {key} is missing"):
        from_record(record, "here")


def test_a_record_must_be_an_object():
    with pytest.raises(DataError, match=r"^here: a JSON object was expected, found '\[1\]'"):
        from_record([1], "here")


def test_the_digest_tells_references_apart():
    pairs = [("a", "one two"), ("b", "three")]
    digest = digest_of_references(pairs)
    assert digest_of_references(reversed(pairs)) == digest
    assert digest_of_references([("a", " one  two"), ("b", "three")]) == digest
    assert digest_of_references([("a", "one"), ("b", "two three")]) != digest
    assert digest_of_references([("a", "one two"), ("c", "three")]) != digest
    assert digest_of_references(pairs[:1]) != digest


def test_results_come_back(tmp_path):
    found = results(figures(), figures(decoding="beam", wer_high=None), facts={"Seed": "1", "Commit": "f00"})
    write_results(tmp_path / "results.json", found)
    assert read_results(tmp_path / "results.json") == found
    table = json.loads((tmp_path / "results.json").read_text())
    assert (table["recipe"], table["facts"]["Commit"]) == ("tones", "f00")
    assert [score["substitutions"] for score in table["scores"]] == [1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipe": 3}, "recipe = 3"),
        ({"facts": {"Seed": 1}}, r"facts\.Seed = 1"),
        ({"colour": "red"}, "unknown key colour"),
        ({"scores": {}}, "not results: 'scores' must be a list"),
        ({"scores": [{}]}, "score 1: split is missing"),
        ({"scores": [{**to_record(figures()), "wer": 1}]}, "score 1: unknown key wer"),
        ({"training_hours": math.nan}, "training_hours = nan"),
    ],
)
def test_damaged_results_are_refused_by_name(tmp_path, change, message):
    path = tmp_path / "results.json"
    write_results(path, results())
    write_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(DataError, match=f"^{path}: {message}"):
        read_results(path)


@pytest.mark.parametrize(("text", "message"), [("[]", "not results"), ("{", "Expecting"), ("", "Expecting")])
def test_what_is_no_results_at_all(tmp_path, text, message):
    path = Path(tmp_path / "results.json")
    path.write_text(text)
    with pytest.raises(DataError, match=f"^{path}: {message}"):
        read_results(path)
    path.unlink()
    with pytest.raises(DataError, match=f"^{path}: No such file"):
        read_results(path)
