import numpy as np
import pytest
import soundfile
import torch
from conftest import status_of, tone, write_tone

import asr
from asr.aligner import LEAST_FIT, Alignment, align_recording, alignable, read_text
from asr.checkpoint import create, save_model
from asr.config import to_table
from asr.errors import DataError
from asr.features import FeatureConfig
from asr.model import ModelConfig
from asr.text import Vocabulary

VOCABULARY = Vocabulary.of_characters(" 'abc")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder with random weights."""
    features, config = FeatureConfig(16000, 20), ModelConfig(channels=2, layers=1, hidden=8)
    torch.manual_seed(1)
    table = {"features": to_table(features), "model": to_table(config)}
    folder = tmp_path_factory.mktemp("aligner") / "model"
    save_model(create(features, config, VOCABULARY, table), folder, "# card\n")
    return folder


@pytest.fixture
def audio(tmp_path):
    return write_tone(tmp_path / "tone.wav")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab c", "ab c"),
        (" AB,\n\tc! ", "ab c"),
        ("a-b\N{EM DASH}c\N{HORIZONTAL ELLIPSIS}", "a b c"),
        ("\N{LEFT DOUBLE QUOTATION MARK}b\N{RIGHT SINGLE QUOTATION MARK}a\N{RIGHT DOUBLE QUOTATION MARK}", "b'a"),
    ],
)
def test_what_can_be_aligned_of_a_text(text, expected):
    assert alignable(text, VOCABULARY) == expected


def test_punctuation_of_the_alphabet_stays():
    assert alignable("a.b, c.", Vocabulary.of_characters(" abc.")) == "a.b c."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no words to align in the text ''"),
        (" \n", r"no words to align in the text ' \\n'"),
        ("?!...", r"no words to align in the text '\?!...'"),
        ("cab 7 dab", "characters of the text are outside the alphabet: 'd' 'e' 'n' 's' 'v'"),
        ("日本", "characters of the text are outside the alphabet: '日' '本'"),
    ],
)
def test_what_cannot_be_aligned(text, message, model, audio, capsys):
    with pytest.raises(DataError, match=f"^{message}$"):
        alignable(text, VOCABULARY)
    assert status_of("align", audio, text, "--model", model, "--device", "cpu") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"asr: {audio}: ")
    assert err.count("\n") == 1


def test_a_file_is_read_and_other_texts_are_taken_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.txt").write_text("a b\nc\n", encoding="utf-8")
    (tmp_path / "notes").mkdir()
    assert read_text("talk.txt") == "a b\nc\n"
    for text in ("a b c", "notes", "", "a\0b", "long " * 2000, "he wrote talk.txt"):
        assert read_text(text) == text


def test_text_files_that_cannot_be_read(tmp_path):
    latin = tmp_path / "latin.txt"
    latin.write_bytes("café".encode("latin-1"))
    with pytest.raises(DataError, match=rf"^{latin}: not a text in UTF-8 \(unexpected end of data at byte 3\)$"):
        read_text(str(latin))
    with pytest.raises(DataError, match=f"^{tmp_path / 'nowhere.txt'}: no such text file$"):
        read_text(str(tmp_path / "nowhere.txt"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tone.wav", "abc" * 10, "text needs 30 frames, the recording has 26"),
        ("nowhere.wav", "abc", "No such file or directory"),
        ("silent.wav", "abc", "silence: there is nothing to align the text with"),
    ],
)
def test_recordings_that_a_text_cannot_be_aligned_with(name, text, message, model, audio, tmp_path, capsys):
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    assert status_of("align", tmp_path / name, text, "--model", model, "--device", "cpu") == 1
    assert capsys.readouterr() == ("", f"asr: {tmp_path / name}: {message}\n")


@pytest.mark.parametrize("samples", [400, 16000, 16001, 12345])
def test_words_lie_in_the_recording(samples, model, tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(path, tone(300, 2.0)[:samples], 16000)
    alignment = align_recording(asr.load(model, device="cpu"), path, "a" if samples == 400 else "a b ca b")
    times = [time_s for word in alignment.words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= samples / 16000
    assert 0 <= alignment.fit <= 1


def test_which_texts_fit():
    assert Alignment([], LEAST_FIT).fits
    assert not Alignment([], LEAST_FIT - 0.01).fits
