"""`asr transcribe` over many inputs: what is printed, what is written, what is kept, shared out and refused."""

import io
import json
import os
import re
import sys
from time import time

import numpy as np
import pytest
import soundfile
from conftest import status_of, write_tone

from asr import load
from asr.errors import DataError
from asr.formats import FORMATS, parse
from asr.progress import console
from asr.transcript import Transcript
from asr.transcription import Tally, prepare


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    """A folder of four recordings, two of them deeper."""
    folder = tmp_path_factory.mktemp("talks")
    time_s = np.arange(48000) / 16000
    for number, name in enumerate(("a.wav", "b.flac", "deep/a.wav", "deep/er/c.ogg")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        sweep = 0.3 * np.sin(2 * np.pi * (200 + 500 * (number + 1) * time_s) * time_s)
        soundfile.write(folder / name, sweep[: 16000 * (number % 3 + 1)], 16000)
    return folder


@pytest.fixture(scope="module")
def texts(babbler, talks):
    """What is heard in each, one by one."""
    recognizer = load(babbler, device="cpu")
    found = {str(path): recognizer.transcribe(path).text for path in sorted(talks.rglob("*.*"))}
    assert all(found.values())
    assert len(set(found.values())) > 2
    return found


@pytest.fixture
def transcribe(babbler, monkeypatch):
    def run(*arguments):
        return status_of("transcribe", *arguments, "--model", babbler, "--device", "cpu")

    return run


PACE = r"; 0\.00 h of sound in \d+\.\d s, \d+ times real time"


def lines_of(texts):
    return [f"{path}\t{text}" for path, text in texts.items()]


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_printed_line_by_line(transcribe, talks, texts, capsys):
    assert transcribe(talks) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == lines_of(texts)
    assert re.fullmatch(rf"4 transcribed{PACE}\n", err)


def test_the_text_of_a_single_recording_stands_alone(transcribe, talks, texts, tmp_path, capsys):
    path = talks / "b.flac"
    assert transcribe(path) == 0
    assert capsys.readouterr().out == f"{texts[str(path)]}\n"
    assert transcribe(path, "--out", tmp_path) == 0
    assert capsys.readouterr().out == f"{texts[str(path)]}\n"
    assert files_in(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_written_with_the_tree_kept(name, transcribe, talks, texts, tmp_path, capsys):
    assert transcribe(talks, "--format", name, "--out", tmp_path) == 0
    assert capsys.readouterr().out == ""
    suffix = FORMATS[name].suffix
    assert files_in(tmp_path) == [f"a{suffix}", f"b{suffix}", f"deep/a{suffix}", f"deep/er/c{suffix}"]
    for path, text in texts.items():
        written = (tmp_path / path.removeprefix(f"{talks}/")).with_suffix(suffix)
        said = [part.text for part in parse(written.read_text(), name, str(written)) if part.text]
        assert " ".join(said) == text


def test_json_tells_who_heard_it(transcribe, babbler, talks, tmp_path):
    assert transcribe(talks / "a.wav", "--format", "json", "--out", tmp_path) == 0
    value = json.loads((tmp_path / "a.json").read_text())
    assert (value["model"], value["duration_s"], value["source"]) == (str(babbler), 1.0, str(talks / "a.wav"))
    assert value["asr_version"]
    assert all(0 <= word["confidence"] <= 1 and word["start"] <= word["end"] <= 1 for word in value["words"])


def test_a_batch_that_was_broken_off_goes_on(transcribe, talks, tmp_path, capsys):
    arguments = (talks, "--format", "txt,json", "--out", tmp_path)
    assert transcribe(*arguments) == 0
    whole = {name: (tmp_path / name).read_text() for name in files_in(tmp_path)}
    (tmp_path / "deep" / "a.txt").unlink()
    (tmp_path / "a.json").write_text("mine")
    assert transcribe(*arguments) == 0
    assert {name: (tmp_path / name).read_text() for name in whole} == {**whole, "a.json": "mine"}
    assert transcribe(*arguments, "--overwrite") == 0
    assert {name: (tmp_path / name).read_text() for name in whole} == whole


def test_what_a_killed_process_left_unfinished_goes_and_what_is_being_written_stays(transcribe, talks, tmp_path):
    left, new = (tmp_path / f".{name}.txt.x.unfinished" for name in "ab")
    for path, age_s in ((left, 7200), (new, 60)):
        path.touch()
        os.utime(path, (time() - age_s,) * 2)
    assert transcribe(talks / "a.wav", "--out", tmp_path) == 0
    assert files_in(tmp_path) == [new.name, "a.txt"]


def test_nothing_is_loaded_when_all_is_there(talks, tmp_path, capsys):
    for name in ("a", "b", "deep/a", "deep/er/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.txt").touch()
    assert status_of("transcribe", talks, "--out", tmp_path, "--model", tmp_path / "nowhere") == 0
    assert capsys.readouterr().err == "0 transcribed, 4 there already\n"


def test_the_sum_of_a_batch():
    tally = Tally(kept=2, failed=1)
    tally.count(Transcript("a", "so", 5400.0))
    tally.count(Transcript("b", "it", 1800.0))
    tally.count(Transcript("c", "", 0.0, DataError("c: damaged")))
    assert (
        tally.told(100.0)
        == "2 transcribed, 2 there already, 2 could not be; 2.00 h of sound in 100.0 s, 72 times real time"
    )


def test_formats_in_any_case_and_with_spaces(transcribe, talks, tmp_path):
    assert transcribe(talks / "a.wav", "--format", "SRT, vtt srt", "--out", tmp_path) == 0
    assert files_in(tmp_path) == ["a.srt", "a.vtt"]


def test_shares_are_all_together_once(transcribe, talks, texts, capsys, monkeypatch):
    printed = []
    for number in (1, 2, 3):
        assert transcribe(talks, "--shard", f"{number}/3") == 0
        printed += capsys.readouterr().out.splitlines()
    assert sorted(printed) == sorted(lines_of(texts))
    printed = []
    monkeypatch.setattr(console(), "quiet", False)  # which is put back, as the second process is hushed
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        assert transcribe(talks) == 0
        printed += capsys.readouterr().out.splitlines()
    assert sorted(printed) == sorted(lines_of(texts))


def test_what_is_wrong_with_the_inputs_is_told_in_the_first_share(transcribe, talks, tmp_path, capsys):
    for name in ("one.wav", "one.mp3"):
        write_tone(tmp_path / name)
    found = []
    for number in (1, 2):
        shard = ("--shard", f"{number}/2", "--out", tmp_path / "out")
        found.append(transcribe(tmp_path / "one.wav", tmp_path / "one.mp3", tmp_path / "nowhere.wav", *shard))
        found.append(sum(line.startswith("asr: ") for line in capsys.readouterr().err.splitlines()))
    assert found == [1, 3, 0, 0]


def test_stdin_as_a_recording_and_as_bare_samples(transcribe, talks, texts, capsys, monkeypatch):
    def give(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    give((talks / "b.flac").read_bytes())
    assert transcribe("-") == 0
    assert capsys.readouterr().out == f"{texts[str(talks / 'b.flac')]}\n"
    give(soundfile.read(talks / "b.flac", dtype="int16")[0].tobytes())
    assert transcribe("-", "--raw-rate", "16000") == 0
    assert capsys.readouterr().out == f"{texts[str(talks / 'b.flac')]}\n"
    give(b"no sound at all")
    assert transcribe("-") == 1
    assert capsys.readouterr() == ("", "asr: -: no sound found in it: not a recording, or a damaged one\n")


def test_a_manifest_with_stretches(transcribe, babbler, talks, tmp_path, capsys):
    entries = [
        {"id": "whole", "audio_filepath": str(talks / "deep/a.wav"), "duration": 3.0},
        {"id": "part", "audio_filepath": str(talks / "deep/a.wav"), "duration": 1.0, "offset": 1.5},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert transcribe(tmp_path / "m.jsonl") == 0
    waveform, rate = soundfile.read(talks / "deep/a.wav", dtype="float32")
    recognizer = load(babbler, device="cpu")
    said = [recognizer.transcribe(part, rate).text for part in (waveform, waveform[24000:40000])]
    assert capsys.readouterr().out == f"whole\t{said[0]}\npart\t{said[1]}\n"


def test_words_with_times_and_with_confidence(transcribe, talks, texts, capsys):
    path = str(talks / "b.flac")
    assert transcribe(path, "--word-times") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert " ".join(line[3] for line in lines) == texts[path]
    assert transcribe(path, "--print-confidence") == 0
    marked = [word.rsplit("/", 1) for word in capsys.readouterr().out.split()]
    assert [(word, confidence) for word, confidence in marked] == [(line[3], line[2]) for line in lines]
    assert transcribe(path, "--word-times", "--nbest", "3") == 2


def test_names_that_break_lines_do_not(transcribe, talks, texts, tmp_path, capsys):
    odd = [tmp_path / "two\nlines\tand a tab.wav", tmp_path / os.fsdecode(b"\xff.wav")]
    for path in odd:
        path.write_bytes((talks / "a.wav").read_bytes())
    (tmp_path / "bad\n.wav").write_text("no")
    assert transcribe(tmp_path, "--format", "json,srt") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2  # the damaged one, and the sum of all
    assert all(path.with_suffix(".json").is_file() for path in odd)
    assert transcribe(*odd) == 0
    assert all(line.endswith("\t" + texts[str(talks / "a.wav")]) for line in capsys.readouterr().out.splitlines())


def test_what_clashes_is_named_and_the_rest_is_done(transcribe, talks, tmp_path, capsys):
    for name in ("one.wav", "one.mp3", "two.wav"):
        write_tone(tmp_path / name)
    assert transcribe(tmp_path, "--format", "srt") == 1
    *lines, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"1 transcribed, 2 could not be{PACE}", last)
    assert len(lines) == 2
    assert all("one.wav" in line and "one.mp3" in line for line in lines)
    assert files_in(tmp_path) == ["one.mp3", "one.wav", "two.srt", "two.wav"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--format", "srt,foo"), 1, "unknown format foo"),
        (("--shard", "4/3"), 1, "--shard 4/3"),
        (("--out", "a file"), 1, "a file"),
        (("--greedy", "--nbest", "3"), 2, "--greedy is without a beam search"),
        (("--engine", "onnx"), 1, "run 'asr export"),
        (("--jobs", "0"), 2, "--jobs"),
    ],
)
def test_refusals(arguments, status, message, transcribe, talks, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    assert transcribe(talks, *arguments) == status
    assert message in " ".join(capsys.readouterr().err.split())
    assert files_in(tmp_path) == ["a file"]


def test_an_output_that_cannot_be_written_is_one_line_and_the_rest_is_done(transcribe, talks, tmp_path, capsys):
    (tmp_path / "deep").touch()
    assert transcribe(talks, "--out", tmp_path) == 1
    *lines, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"2 transcribed, 2 could not be{PACE}", last)
    assert lines
    assert all(line.startswith(f"asr: {tmp_path / 'deep'}") for line in lines)
    assert files_in(tmp_path) == ["a.txt", "b.txt", "deep"]


def test_durations_are_asked_for_where_work_is_shared(talks):
    assert prepare([str(talks)]).seconds is None
    shares = [prepare([str(talks)], shard=f"{number}/2").seconds for number in (1, 2)]
    assert sum(shares) == pytest.approx(7.0, abs=0.2)


@pytest.mark.parametrize("dither", [0.0, 1.0])
def test_silence_is_an_empty_transcript_in_every_format(dither, transcribe, tmp_path, capsys):
    samples = np.random.default_rng(0).uniform(-dither, dither, 48000).round().astype(np.int16)
    soundfile.write(tmp_path / "silence.wav", samples, 16000)
    assert transcribe(tmp_path / "silence.wav", "--format", ",".join(FORMATS)) == 0
    assert capsys.readouterr().out == "\n"
    for name, each in FORMATS.items():
        path = tmp_path / f"silence{each.suffix}"
        assert [part.text for part in parse(path.read_text(), name, str(path)) if part.text] == []
