"""The toy recipe, once through from the command line to what it leaves behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import TONES, single_threaded, status_of

import asr
from asr.checkpoint import create, save_model
from asr.config import to_table
from asr.features import FeatureConfig
from asr.files import read_json, read_json_lines
from asr.manifest import read_manifest
from asr.model import ModelConfig
from asr.text import Vocabulary

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with single_threaded():
        yield


@pytest.fixture(scope="module")
def exp(tones) -> Path:
    return tones


@pytest.fixture(scope="module")
def recordings(exp) -> list[Path]:
    return [utterance.audio_filepath for utterance in read_manifest(exp / "data" / "test.jsonl")]


@pytest.fixture(scope="module")
def heard(exp) -> dict[str, str]:
    return {line["id"]: line["text"] for line in read_json_lines(exp / "decode" / "test.jsonl")}


@pytest.fixture(scope="module")
def said(exp) -> dict[str, str]:
    return {utterance.id: utterance.text for utterance in read_manifest(exp / "data" / "test.jsonl")}


def transcribe(exp, *recordings):
    return status_of("transcribe", *recordings, "--model", exp / "model", "--device", "cpu")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_toy_recipe_learns(exp, split):
    assert read_json(exp / "score" / f"{split}.json")["wer"] < 0.2


def test_one_recording_gives_its_text_and_nothing_else(exp, recordings, heard, capsys):
    assert transcribe(exp, recordings[0]) == 0
    assert capsys.readouterr() == (f"{heard[recordings[0].stem]}\n", "")


def test_several_recordings_give_a_line_each_with_the_file(exp, recordings, heard, capsys):
    assert transcribe(exp, *recordings) == 0
    lines = [f"{path}\t{heard[path.stem]}\n" for path in recordings]
    out, err = capsys.readouterr()
    assert out == "".join(lines)
    assert re.fullmatch(r"24 transcribed; 0\.00 h of sound in \d+\.\d s, \d+ times real time\n", err)
    assert len(heard) == len(recordings) == 24


def test_a_bad_file_is_named_and_the_others_are_transcribed(exp, recordings, heard, tmp_path, capsys):
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    first, last = recordings[:2]
    assert transcribe(exp, first, bad, tmp_path / "nowhere.wav", last) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [f"{path}\t{heard[path.stem]}" for path in (first, last)]
    *complaints, last = err.splitlines()
    assert last.startswith("2 transcribed, 2 could not be; ")
    assert [line.split(": ")[:2] for line in complaints] == [
        ["asr", str(tmp_path / "nowhere.wav")],
        ["asr", str(bad)],
    ]


def test_the_library_says_what_the_command_says(exp, recordings, heard):
    recognizer = asr.load(exp / "model", device="cpu")
    for path in recordings[:5]:
        assert recognizer.transcribe(path).text == heard[path.stem]


def test_a_model_is_used_by_its_name_or_without_one(exp, recordings, heard, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASR_MODEL", raising=False)
    monkeypatch.setattr("asr.shipped.SHIPPED", tmp_path / "models")
    shutil.copytree(exp / "model", tmp_path / "models" / "english-small")
    shutil.copytree(exp / "model", tmp_path / "exp" / "tones" / "model")
    for options in ((), ("--model", "tones"), ("--model", "english-small")):
        assert status_of("transcribe", recordings[0], *options) == 0
        assert capsys.readouterr().out == f"{heard[recordings[0].stem]}\n"
    assert status_of("transcribe", recordings[0], "--format", "json", "--out", tmp_path / "texts") == 0
    assert read_json(tmp_path / "texts" / f"{recordings[0].stem}.json")["model"] == "english-small"


def test_a_model_folder_can_be_moved(exp, recordings, heard, tmp_path, capsys):
    shutil.copytree(exp / "model", tmp_path / "experiment" / "model")
    elsewhere = shutil.move(tmp_path / "experiment" / "model", tmp_path / "elsewhere")
    assert status_of("transcribe", recordings[0], "--model", elsewhere) == 0
    assert capsys.readouterr().out == f"{heard[recordings[0].stem]}\n"


LETTER_S = 0.12
"""How long a letter sounds, or the pause that is a space."""


def align(exp, recording, text):
    return status_of("align", recording, text, "--model", exp / "model", "--device", "cpu")


def times_of(out: str) -> list[tuple[str, float, float, float]]:
    """The words that `asr align` printed: text, start, end, confidence."""
    rows = [line.split("\t") for line in out.splitlines()]
    return [(word, float(start), float(end), float(confidence)) for start, end, confidence, word in rows]


def test_words_are_found_where_they_sound(exp, recordings, said, capsys):
    off_s = []
    for path in recordings:
        assert align(exp, path, said[path.stem]) == 0
        out, err = capsys.readouterr()
        found = times_of(out)
        assert [word for word, *_ in found] == said[path.stem].split()
        assert re.fullmatch(r"fit [01]\.\d\d\n", err)
        ends = [0.0]
        for word, start_s, end_s, confidence in found:
            true_start_s = ends[-1] + LETTER_S * (len(ends) > 1)
            ends.append(true_start_s + LETTER_S * len(word))
            assert start_s <= end_s
            assert 0 <= confidence <= 1
            off_s += [abs(start_s - true_start_s), abs(end_s - ends[-1])]
    assert max(off_s) < LETTER_S
    assert sum(off_s) / len(off_s) < LETTER_S / 2


def test_the_text_may_come_from_a_file_and_have_punctuation(exp, recordings, said, tmp_path, capsys):
    path, text = recordings[0], said[recordings[0].stem]
    assert align(exp, path, text) == 0
    expected = capsys.readouterr()
    (tmp_path / "said.txt").write_text(f"\ufeff\u201c{text.upper()}!\u201d\n", encoding="utf-8")
    assert align(exp, path, tmp_path / "said.txt") == 0
    assert capsys.readouterr() == expected


def test_a_text_that_is_not_what_was_said_is_aligned_with_a_warning(exp, recordings, said, capsys):
    path = next(path for path in recordings if len(said[path.stem]) > 4)
    other = said[path.stem].translate(str.maketrans("abc", "bca"))
    assert align(exp, path, other) == 0
    out, err = capsys.readouterr()
    assert [word for word, *_ in times_of(out)] == other.split()
    fit, warning = err.splitlines()
    assert float(fit.removeprefix("fit ")) < 0.1
    assert warning == f"warning: the text does not seem to fit {path}: its times mean little"


def test_a_long_recording_is_aligned(exp, recordings, said, tmp_path, capsys):
    parts = [soundfile.read(path)[0] for path in recordings]
    pause = np.zeros(960)
    times = 1 + int(150 * 8000 / sum(len(part) + 960 for part in parts))
    joined = np.concatenate([piece for part in parts * times for piece in (part, pause)])
    soundfile.write(tmp_path / "long.wav", joined, 8000)
    text = " ".join([said[path.stem] for path in recordings] * times)
    assert align(exp, tmp_path / "long.wav", text) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    found = times_of(out)
    assert [word for word, *_ in found] == text.split()
    begin_s, words = 0.0, iter(found)
    for path, part in zip(recordings * times, parts * times, strict=True):
        of_part = [next(words) for _ in said[path.stem].split()]
        end_s = begin_s + len(part) / 8000
        assert begin_s - LETTER_S < of_part[0][1] <= of_part[-1][2] < end_s + LETTER_S
        begin_s = end_s + LETTER_S


def rows(page: Path) -> dict[str, str]:
    """The two-column table of a page, without its head."""
    cells = [line.strip("|").split("|") for line in page.read_text().splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in cells if len(row) == 2 and row[0].strip(" -")}


def test_the_results_page_says_how_it_came_about(exp):
    facts = rows(exp / "RESULTS.md")
    assert facts["Command"] == f"`asr run {TONES} --exp {exp} --device cpu`"
    assert facts["Training data"].startswith("train: 0.01 h, 6 speakers")
    assert facts["Seed"] == "1"
    assert facts["Hardware"].startswith("cpu, 1 thread")
    assert "epochs" in facts["Training time"]
    assert facts["Commit"]
    splits = [line.split(" | ")[0] for line in (exp / "RESULTS.md").read_text().splitlines() if "%" in line]
    assert {"| dev", "| test"} <= set(splits)


def test_the_model_card_says_what_the_model_is(exp):
    facts = rows(exp / "model" / "README.md")
    assert facts["Command"] == f"`asr run {TONES} --exp {exp} --device cpu`"
    assert facts["Training data"].startswith("train: 0.01 h, 6 speakers")
    for split in ("dev", "test"):
        wer, low, high = (float(figure) for figure in re.findall(r"([\d.]+)%", facts[f"WER on {split}, greedy"]))
        assert low <= wer <= high < 40


def test_a_second_run_has_nothing_to_do(exp, capsys):
    assert status_of("run", TONES, "--exp", exp) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{stage}: up to date" for stage in ("data-prep", "train", "decode", "score")]


@pytest.mark.slow
def test_ctrl_c_stops_training_and_the_same_command_goes_on(tmp_path, capsys):
    exp = tmp_path / "exp"
    assert status_of("data-prep", TONES, "--exp", exp) == 0
    arguments = ["train", TONES, "--exp", str(exp), "--device", "cpu", "--set", "training.epochs=6"]
    training = subprocess.Popen(
        [sys.executable, "cli.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in training.stderr:
        if line.startswith("epoch 1/"):
            training.send_signal(signal.SIGINT)
            break
    lines = training.communicate(timeout=120)[1].splitlines()
    assert training.returncode == 130
    assert lines[-1].startswith("asr: stopped in epoch")
    assert lines[-1].endswith("the same command goes on from there")
    assert not any("Traceback" in line for line in lines)

    capsys.readouterr()
    assert status_of(*arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any("going on in epoch" in line for line in lines)
    assert not any(line.startswith("epoch 1/") for line in lines)
    assert len(read_json_lines(exp / "training" / "history.jsonl")) == 6


@pytest.mark.slow
def test_a_training_killed_at_random_moments_ends_with_the_same_bits():
    command = [sys.executable, "benchmarks/kills.py", "--kills=6", "--recipe", TONES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"6 kills at random moments .*, [1-9] of them while a file was written", done.stdout)


@pytest.mark.parametrize("encoder", ["gru", "lstm_peephole", "transformer"])
def test_another_encoder_goes_the_whole_way(encoder, tmp_path, recordings, capsys):
    """From the command line to a graph of ONNX, whose log-probabilities `asr export` holds against PyTorch's."""
    exp = tmp_path / "tones"
    settings = (f"model.encoder={encoder}", "model.hidden=8", "training.epochs=2", "corpus.options.train_utterances=16")
    overrides = [word for setting in settings for word in ("--set", setting)]
    assert status_of("run", TONES, "--exp", exp, "--device", "cpu", *overrides) == 0
    assert read_json(exp / "model" / "config.json")["model"]["encoder"] == encoder
    assert "WER" in (exp / "RESULTS.md").read_text()
    graphs = ["--onnx"] if encoder == "gru" else ["--onnx", "--int8"]
    assert status_of("export", exp / "model", *graphs) == 0
    capsys.readouterr()
    model = ("--model", exp / "model", "--device", "cpu", "--engine", "onnx")
    assert status_of("transcribe", *recordings[:2], *model) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [str(r) for r in recordings[:2]]


def test_a_graph_of_8_bits_that_there_is_not_is_one_line(tmp_path, capsys):
    checkpoint = create(
        FeatureConfig(8000, 16), ModelConfig(encoder="gru", hidden=4), Vocabulary.of_characters("a"), {}
    )
    table = {"features": to_table(checkpoint.features.config), "model": to_table(checkpoint.model.config)}
    checkpoint.config |= table
    save_model(checkpoint, tmp_path / "model", "# card\n")
    before = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert status_of("export", tmp_path / "model", "--onnx", "--int8") == 1
    assert "model.int8.onnx: ONNX Runtime has no GRU of 8 bits" in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == before
