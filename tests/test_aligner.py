import re

import numpy as np
import pytest
import soundfile
import torch
from conftest import status_of, tone, write_tone

import asr
from asr.aligner import LEAST_FIT, Alignment, align_recording, alignable, read_text
from asr.checkpoint import create, save_model
from asr.config import to_table
from asr.errors import DataError, ModelError
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


PHONES = ("<blank>", "AH", "B", "K", "SIL")


@pytest.fixture(scope="module", params=[VOCABULARY.tokens, ()], ids=["two heads", "phones only"])
def of_phones(request, tmp_path_factory):
    """A model folder with random weights and its own lexicon."""
    features, config = FeatureConfig(16000, 20), ModelConfig(channels=2, layers=1, hidden=8)
    torch.manual_seed(1)
    table = {"features": to_table(features), "model": to_table(config)}
    folder = tmp_path_factory.mktemp("phones") / "model"
    save_model(create(features, config, Vocabulary(request.param, phones=PHONES), table), folder, "# card\n")
    (folder / "lexicon.txt").write_text("a 1 AH\ncab 1 K AH B\ncab 0.5 B AH K\n")
    return folder


def test_words_are_aligned_by_the_pronunciation_that_is_heard(of_phones, audio, monkeypatch, capsys):
    path = [0, 4, 1, 1, 4, 0, 2, 0, 1, 3, 3, 4]
    heard = np.full((len(path), len(PHONES)), np.log(0.01))
    heard[np.arange(len(path)), path] = np.log(0.96)
    recognizer = asr.load(of_phones, device="cpu")
    if recognizer.checkpoint.vocabulary.spells:
        heard = np.concatenate([np.zeros((len(path), len(VOCABULARY.tokens))), heard], axis=1)
    monkeypatch.setattr("asr.recognizer.Recognizer.matrix", lambda *_: heard)
    monkeypatch.setattr("asr.recognizer.Recognizer.frame_s", 0.05)
    monkeypatch.setattr("asr.lexicon.of_model.find_dictionary", lambda: of_phones / "lexicon.txt")
    first, second = align_recording(recognizer, audio, "A cab!", phones=True).words
    assert (first.text, first.start_s, first.end_s) == ("a", 0.1, 0.2)
    assert [(phone.name, phone.start_s, phone.end_s) for phone in second.phones] == [
        ("B", pytest.approx(0.3), pytest.approx(0.35)),
        ("AH", pytest.approx(0.4), pytest.approx(0.45)),
        ("K", pytest.approx(0.45), pytest.approx(0.55)),
    ]
    assert second.phones[2].confidence == pytest.approx(0.96**2)
    assert second.confidence == pytest.approx(0.96**5)
    options = ("--model", of_phones, "--device", "cpu", "--phones")
    assert status_of("align", audio, "a cab", *options) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["0.10\t0.20\t0.92\tAH\ta", "0.30\t0.35\t0.96\tB\tcab"]
    assert status_of("align", audio, "a cab", *options, "--format", "ctm") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "tone 1 0.450 0.100 K 0.922"


@pytest.mark.parametrize(
    ("text", "lexicon", "message"),
    [
        ("a bbb", "a AH\n", "no pronunciation: 'bbb'; give one with --lexicon"),
        ("...", "a AH\n", "no words to align in the text '...'"),
        ("日本", "a AH\n", "characters of the text are in no word: '日' '本'"),
        ("a", "a AH\nb B Q\n", "lexicon.txt:2: 'b': unknown phone 'Q'; known are AH B K"),
    ],
)
def test_what_cannot_be_aligned_by_phones(text, lexicon, message, of_phones, audio, tmp_path, monkeypatch):
    monkeypatch.setattr("asr.lexicon.of_model.complete", lambda known, words, phones: known.only(words))
    named = tmp_path / "lexicon.txt"
    named.write_text(lexicon)
    with pytest.raises(DataError, match=re.escape(message)):
        align_recording(asr.load(of_phones, device="cpu"), audio, text, lexicon=named)


def test_a_model_without_phones_aligns_by_none(model, audio):
    with pytest.raises(ModelError, match=f"^{model}: hears no phones to align by$"):
        align_recording(asr.load(model, device="cpu"), audio, "abc", phones=True)


def test_which_texts_fit():
    assert Alignment([], LEAST_FIT).fits
    assert not Alignment([], LEAST_FIT - 0.01).fits
