import json
from pathlib import Path

import pytest

from asr.errors import DataError
from asr.manifest import Utterance, hours, read_manifest, write_manifest


def test_round_trip_with_relative_and_absolute_paths(tmp_path):
    utterances = [
        Utterance("a", tmp_path / "audio" / "a.wav", "one two", "ann", duration_s=1.5),
        Utterance("b", Path("/elsewhere/b.flac"), "é", offset_s=2.0, duration_s=0.25),
    ]
    write_manifest(tmp_path / "m.jsonl", utterances)
    assert read_manifest(tmp_path / "m.jsonl") == utterances
    first, second = (json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines())
    assert first["audio_filepath"] == "audio/a.wav"
    assert first["duration"] == 1.5
    assert second["audio_filepath"] == "/elsewhere/b.flac"
    assert hours(utterances) == pytest.approx(1.75 / 3600)


def test_a_nemo_manifest_loads(tmp_path):
    lines = [
        {"audio_filepath": "x/a.wav", "duration": 3, "text": "hi", "lang": "en"},
        {"audio_filepath": "x/a.wav", "duration": 3, "text": "ho", "offset": 3.5},
    ]
    (tmp_path / "m.json").write_text("\n".join(json.dumps(line) for line in lines))
    assert [utterance.id for utterance in read_manifest(tmp_path / "m.json")] == ["a", "a@3.5"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"audio_filepath": "a.wav"}], "entry 1 has no 'duration'"),
        ([{"duration": 1}], "entry 1 has no 'audio_filepath'"),
        ([{"audio_filepath": "a.wav", "duration": "long"}], "entry 1: could not convert"),
        ([{"audio_filepath": 3, "duration": 1}], "entry 1: "),
        ([{"audio_filepath": "a.wav", "duration": 1}] * 2, "entry 2 repeats the id 'a'"),
    ],
)
def test_refusals(tmp_path, lines, message):
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    with pytest.raises(DataError, match=message) as caught:
        read_manifest(tmp_path / "m.jsonl")
    assert "m.jsonl" in str(caught.value)


def test_writing_refuses_two_of_one_id(tmp_path):
    utterance = Utterance("a", tmp_path / "a.wav", duration_s=1.0)
    with pytest.raises(DataError, match="two utterances with the id 'a'"):
        write_manifest(tmp_path / "m.jsonl", [utterance, utterance])
    assert not (tmp_path / "m.jsonl").exists()
