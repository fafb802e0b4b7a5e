"""`asr inspect` as the shell sees it."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from conftest import status_of, write_tone


@pytest.fixture
def place(tmp_path, monkeypatch, babbler):
    """A folder to work in, with a tone of a second and, as `exp/toy/model`, the model to be used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASR_MODEL", "toy")
    shutil.copytree(babbler, tmp_path / "exp" / "toy" / "model")
    write_tone(tmp_path / "talk.wav")
    return tmp_path


def made_in(place) -> set[str]:
    return {path.name for path in place.iterdir()} - {"exp", "talk.wav"}


def test_a_recording_becomes_a_picture(place, capsys):
    pytest.importorskip("matplotlib")
    assert status_of("inspect", "talk.wav") == 0
    assert capsys.readouterr() == ("talk.inspect.png\n", "")
    assert (place / "talk.inspect.png").read_bytes().startswith(b"\x89PNG")
    assert made_in(place) == {"talk.inspect.png"}


def test_a_page_and_arrays_in_place_of_a_picture(place, capsys):
    options = ("--layer", 1, "--direction", "backward", "--units", "0-2,5", "--html", "a.html", "--npz", "a.npz")
    assert status_of("inspect", "talk.wav", "--model", "toy", *map(str, options)) == 0
    assert capsys.readouterr().out.split() == ["a.html", "a.npz"]
    assert made_in(place) == {"a.html", "a.npz"}
    with np.load("a.npz", allow_pickle=False) as arrays:
        assert (int(arrays["layer"]), str(arrays["direction"])) == (1, "backward")
        assert sorted(arrays["units"]) == [0, 1, 2, 5]
    page = (place / "a.html").read_text()
    assert page.count('"direction":"forward"') == page.count('"direction":"backward"') == 2


def test_the_beginning_of_a_long_recording(place, capsys):
    write_tone(place / "long.wav", duration_s=21.0)
    assert status_of("inspect", "long.wav", "--npz", "a.npz") == 0
    assert "long.wav: from 0 to 20 s; choose another stretch with --start and --end" in capsys.readouterr().err
    assert status_of("inspect", "long.wav", "--npz", "b.npz", "--start", "19.5", "--end", "20.5") == 0
    assert "choose another" not in capsys.readouterr().err
    with np.load("a.npz") as first, np.load("b.npz") as second:
        assert (len(first["waveform"]), len(second["waveform"])) == (320_000, 16_000)
        assert float(second["start_s"]) == 19.5


def test_a_model_is_told_of(place, capsys):
    assert status_of("inspect", "toy", "--audio", "talk.wav") == 0
    told = capsys.readouterr().out
    assert "memory, on talk.wav" in told
    assert "bias of the forget gate" in told
    assert status_of("inspect", "exp/toy/model", "--audio", "talk.wav", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert f"{data['parameters']:,}" in told
    assert [part["name"] for part in data["parts"]][-3:] == ["lstm 1, both ways", "lstm 2, both ways", "CTC head"]
    assert len(data["activities"]) == 12
    assert not made_in(place)


def test_silence(place):
    soundfile.write("silence.wav", np.zeros(8000), 16000)
    assert status_of("inspect", "silence.wav", "--html", "a.html", "--npz", "a.npz") == 0
    with np.load("a.npz") as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in ("features", "log_probabilities", "forget_gate", "cell"))
    assert status_of("inspect", "toy", "--audio", "silence.wav") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("talk.wav --model nosuch", "nosuch: no such model folder"),
        ("nosuch", "nosuch: no such model folder"),
        ("nosuch.wav", "nosuch.wav: No such file or directory"),
        ("exp", "exp: not a whole model folder: config.json, vocabulary.json, weights.safetensors missing"),
        ("empty.wav", "empty.wav: the file is empty"),
        ("text.wav", "text.wav: no sound found in it: not a recording, or a damaged one"),
        ("toy --audio empty.wav", "empty.wav: the file is empty"),
        ("talk.wav --layer 3", "--layer 3: the model has layers 1 to 2"),
        ("talk.wav --units 0-16", "--units 0-16: 0-16 is not among the units, which are 0 to 15"),
        ("talk.wav --head 1", "--head 1: the model is no Transformer, its encoder is lstm"),
        ("talk.wav --start 5", "talk.wav: no samples after 5 s"),
        ("talk.wav --end 90", "talk.wav: 90 s from 0 s on were asked for; up to 60 s can be looked into"),
        ("talk.wav --start 2 --end 1", "talk.wav: -1 s from 2 s on were asked for; up to 60 s can be looked into"),
        ("talk.wav --npz talk.wav/a.npz", "talk.wav/a.npz: cannot be written"),
        ("talk.wav --html talk.wav/a.html", "talk.wav/a.html: cannot be written"),
    ],
)
def test_mistakes_are_one_line(place, capsys, arguments, message):
    (place / "empty.wav").touch()
    (place / "text.wav").write_text("so it goes\n")
    target, *options = arguments.split()
    no_picture = ["--npz", "a.npz"] if target.endswith(".wav") else []
    assert status_of("inspect", target, *no_picture, *options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"asr: {message}")
    assert made_in(place) == {"empty.wav", "text.wav"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("toy --layer 1", "--layer is for a recording"),
        ("toy --units 3", "--units is for a recording"),
        ("exp/toy/model --html a.html", "--html is for a recording"),
        ("talk.wav --json", "--json is for a model, and talk.wav is a recording"),
        ("talk.wav --audio talk.wav", "--audio is for a model"),
        ("talk.wav --out a.jpg", "only PNG is drawn; name a file such as a.png"),
        ("talk.wav --direction sideways", "sideways"),
    ],
)
def test_command_lines_that_make_no_sense(place, capsys, arguments, message):
    assert status_of("inspect", *arguments.split()) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not made_in(place)


def test_without_matplotlib_the_extra_is_named_and_the_rest_works(place, capsys, monkeypatch):
    monkeypatch.setattr("asr.inspection.picture.find_spec", lambda name: None)
    assert status_of("inspect", "talk.wav") == 1
    assert capsys.readouterr().err == (
        "asr: a picture needs matplotlib: pip install 'asr[plot]'; --html and --npz do without\n"
    )
    assert status_of("inspect", "talk.wav", "--html", "a.html") == 0
