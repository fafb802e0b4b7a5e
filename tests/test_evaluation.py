from pathlib import Path

import pytest

from asr.alignment import Word
from asr.errors import DataError
from asr.evaluation import decoded_splits, score_decoded, score_split, scoring_facts, to_record, words_of
from asr.files import read_json, write_json_lines
from asr.manifest import Utterance
from asr.scoring.figures import from_record

SPOKEN = {
    "a-1": ("the cat sat on", "cat sad on it", "ann"),
    "a-2": ("one two three", "one two three", "ann"),
    "b-1": ("four", "for", "bob"),
}
UTTERANCES = [Utterance(name, Path(f"{name}.wav"), text, who, 2.0, 1200.0) for name, (text, _, who) in SPOKEN.items()]
HYPOTHESES = {name: heard for name, (_, heard, _) in SPOKEN.items()}


def test_a_split_is_scored_utterance_by_utterance():
    result = score_split("test", UTTERANCES, HYPOTHESES)
    assert (result.title, result.hours) == ("test", 1.0)
    assert {name: errors.word_errors for name, errors in result.errors.items()} == {"a-1": 3, "a-2": 0, "b-1": 1}
    assert (result.total.words, result.total.word_errors, result.total.wrong_sentences) == (8, 4, 2)
    assert result.total.wer == 0.5
    assert result.interval.unit == "utterance"  # two speakers are too few to draw from
    assert result.interval.low <= 0.5 <= result.interval.high


def test_an_utterance_keeps_what_is_known_of_it():
    words = {"b-1": (Word("for", 0.5, 1.0, 0.9),)}
    first, _, last = score_split("test", UTTERANCES, HYPOTHESES, words).utterances
    assert (first.speaker, first.audio, first.offset_s, first.duration_s) == ("ann", Path("a-1.wav"), 2.0, 1200.0)
    assert (first.words, last.words) == ((), words["b-1"])


def test_hypotheses_are_joined_by_id_and_none_may_be_missing():
    shuffled = dict(reversed(HYPOTHESES.items()))
    assert score_split("test", UTTERANCES, shuffled) == score_split("test", UTTERANCES, HYPOTHESES)
    with pytest.raises(DataError, match=r"no hypothesis for 1 of 3 references \('b-1'\)"):
        score_split("test", UTTERANCES, {name: HYPOTHESES[name] for name in ("a-1", "a-2")})
    with pytest.raises(DataError, match=r"no reference for 1 of 4 hypotheses \('c'\)"):
        score_split("test", UTTERANCES, {**HYPOTHESES, "c": "what"})


def test_words_come_back_from_lines():
    words = (Word("four", 0.25, 0.5, 0.75), Word("five", 1.0, 1.5, 1.0))
    assert words_of({"words": [to_record(word) for word in words]}) == words
    assert words_of({}) == ()


def test_a_decoded_split_is_scored_into_files(tmp_path):
    lines = [{"id": name, "text": text} for name, text in HYPOTHESES.items()]
    write_json_lines(tmp_path / "decode" / "test.beam.jsonl", lines)
    assert decoded_splits(tmp_path, ["dev", "test"]) == [("dev", "greedy"), ("test", "beam")]
    figures = score_decoded(tmp_path, "test", "beam", UTTERANCES, {"Command": "`asr run toys`"})
    table = read_json(tmp_path / "score" / "test.beam.json")
    assert (table["wer"], table["cer"], table["sentences"]) == (0.5, figures.cer, 3)
    assert table["expected_calibration_error"] is None  # no words to judge
    rates = {"wer", "cer", "sentences", "expected_calibration_error"}
    assert from_record({name: value for name, value in table.items() if name not in rates}, "here") == figures
    assert "a-1: 3 errors in 4 words, a-1.wav" in (tmp_path / "score" / "test.beam.txt").read_text()
    page = (tmp_path / "score" / "test.beam.html").read_text()
    assert '["Command","asr run toys"]' in page
    assert '"id":"a-1"' in page
    facts = scoring_facts([figures], "asr score tones")
    assert facts["Normalisation before scoring"] == "none: both sides as data-prep wrote them"
    assert facts["Scored by"] == "`asr score tones`"
