import numpy as np
import pytest
import soundfile
from conftest import odd_sounds, write_tone

from asr.errors import DataError
from asr.features import FeatureConfig
from asr.files import read_json_lines
from asr.manifest import Utterance, read_manifest
from asr.preparation import Checks, write_data
from asr.text import Vocabulary


@pytest.fixture
def checks():
    return Checks(Vocabulary.of_characters(" 'abcdefghijklmnopqrstuvwxyz"), FeatureConfig(), 4)


def write(path, samples, sample_rate_hz=16000):
    soundfile.write(path, samples, sample_rate_hz, subtype="FLOAT")
    return path


def test_what_can_be_used_is_measured(tmp_path, checks):
    path = write_tone(tmp_path / "a.wav", duration_s=1.25, sample_rate_hz=8000)
    kept = write_data({"train": [Utterance("a", path, "HELLO  There", "ann")]}, checks, tmp_path / "data")
    (utterance,) = read_manifest(tmp_path / "data" / "train.jsonl")
    assert kept == {"train": [utterance]}
    assert (utterance.text, utterance.duration_s, utterance.speaker) == ("hello there", 1.25, "ann")
    assert len(utterance.crc32) == 8
    assert read_json_lines(tmp_path / "data" / "dropped.jsonl") == []


def bad_utterances(folder):
    """Each kind of bad utterance, and the reason that it must be given."""
    good = write_tone(folder / "good.wav")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("not a recording at all\n" * 20)
    write_tone(folder / "whole.flac", duration_s=3.0)
    content = (folder / "whole.flac").read_bytes()
    (folder / "cut.flac").write_bytes(content[: len(content) // 2])
    holed = np.ones(16000, np.float32)
    holed[5000] = np.nan
    return {
        "missing": (folder / "nowhere.wav", "hello", "No such file"),
        "folder": (folder, "hello", "Is a directory"),
        "empty": (folder / "empty.wav", "hello", "the file is empty"),
        "text": (folder / "text.wav", "hello", "not a recording"),
        "cut": (folder / "cut.flac", "hello", "damaged or cut short"),
        "nothing": (write(folder / "nothing.wav", np.zeros(0, np.float32)), "hello", "no samples"),
        "short": (write_tone(folder / "short.wav", duration_s=0.01), "hello", "too short for its text: 1 frames"),
        "repeats": (write_tone(folder / "repeats.wav", duration_s=0.19), "bookkeep", "and 8 tokens need 11"),
        "silent": (write(folder / "silent.wav", np.zeros(16000, np.float32)), "hello", "silent: every sample is zero"),
        "nan": (write(folder / "nan.wav", holed), "hello", "NaN or infinite samples"),
        "letters": (good, "hello 3 times?", "characters outside the alphabet: '3' '?'"),
        "wordless": (good, " \n", "no transcript"),
        "good": (good, "hello", "the id stands twice"),
    }


def test_what_cannot_be_used_is_listed_with_its_reason(tmp_path, checks):
    bad = bad_utterances(tmp_path)
    utterances = [Utterance("good", tmp_path / "good.wav", "hello")]
    utterances += [Utterance(name, path, text) for name, (path, text, _) in bad.items()]
    kept = write_data({"train": utterances}, checks, tmp_path / "data")
    assert [utterance.id for utterance in kept["train"]] == ["good"]
    dropped = read_json_lines(tmp_path / "data" / "dropped.jsonl")
    assert [record["id"] for record in dropped] == list(bad)
    for record in dropped:
        assert bad[record["id"]][2] in record["reason"]
        assert record["split"] == "train"
        assert str(tmp_path) not in record["reason"]


def test_odd_recordings_are_fine(tmp_path, checks):
    sounds = odd_sounds()
    utterances = [Utterance(name, write(tmp_path / f"{name}.wav", *sound), "hello") for name, sound in sounds.items()]
    kept = write_data({"train": utterances}, checks, tmp_path / "data")["train"]
    assert {utterance.id: utterance.duration_s for utterance in kept} == dict.fromkeys(sounds, 1.0)


def test_one_frame_more_would_do(tmp_path, checks):
    """`bookkeep` needs 11 frames of 4 x 10 ms: 41 feature frames do, 40 do not."""
    enough, too_few = 40 * 160, 40 * 160 - 1
    for samples, count in ((enough, 1), (too_few, 0)):
        path = write(tmp_path / f"{samples}.wav", np.full(samples, 0.1, np.float32))
        utterances = [Utterance("x", path, "bookkeep"), Utterance("y", write_tone(tmp_path / "y.wav"), "y")]
        kept = write_data({"train": utterances}, checks, tmp_path / "data")
        assert len(kept["train"]) == 1 + count


def test_an_empty_split_stops_and_the_list_is_written(tmp_path, checks):
    splits = {
        "train": [Utterance("a", write_tone(tmp_path / "a.wav"), "a")],
        "dev": [Utterance("b", tmp_path / "none.wav", "b")],
    }
    with pytest.raises(DataError, match="no usable utterance in dev"):
        write_data(splits, checks, tmp_path / "data")
    assert [record["id"] for record in read_json_lines(tmp_path / "data" / "dropped.jsonl")] == ["b"]
    assert not (tmp_path / "data" / "train.jsonl").exists()


def test_a_recording_that_changes_changes_the_manifest(tmp_path, checks):
    manifests = []
    for level in (0.1, 0.2):
        path = write(tmp_path / "a.wav", np.full(16000, level, np.float32))
        write_data({"train": [Utterance("a", path, "a")]}, checks, tmp_path / "data")
        manifests.append((tmp_path / "data" / "train.jsonl").read_text())
    assert manifests[0] != manifests[1]
