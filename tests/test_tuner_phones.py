"""Tuning and transcription with models that hear phones, from the command line, with random weights."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from conftest import status_of
from test_decoder import arpa

import asr
from asr.checkpoint import create, save_model
from asr.config import to_table
from asr.evaluation import BEAM, GREEDY, decoding_facts, readers_for
from asr.features import FeatureConfig
from asr.files import read_json, write_json_lines
from asr.lexicon.entries import read_lexicon
from asr.model import ModelConfig
from asr.text import BLANK, Vocabulary
from asr.tuned import FILE, Search, read_tuned

PHONES = (BLANK, "A", "B", "C", "SIL")
LEXICON = "ab 1 A B\nab 0.5 B A\nba 1 B A\nc 1 C\nother 1 C A\n"
UNIGRAMS = {"ab": -0.5, "ba": -1.0, "c": -0.7}
FAST = ("--device", "cpu")


@pytest.fixture(scope="module", autouse=True)
def one_core():
    """For three short recordings, processes to share the work would take longer to start than to work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asr.decoder.available_cores", lambda: 1)
        yield


@pytest.fixture(scope="module", params=[(), (BLANK, " ", "a", "b", "c")], ids=["phones only", "two heads"])
def made(request, tmp_path_factory):
    """A folder with a model that babbles, a lexicon, a language model, recordings and their manifest."""
    folder = tmp_path_factory.mktemp("phones")
    features, config = FeatureConfig(16000, 20), ModelConfig(channels=2, layers=1, hidden=8)
    torch.manual_seed(2)
    table = {"features": to_table(features), "model": to_table(config)}
    checkpoint = create(features, config, Vocabulary(request.param, phones=PHONES), table)
    save_model(checkpoint, folder / "model", "# card\n")
    (folder / "lexicon.txt").write_text(LEXICON)
    arpa(folder / "lm.arpa", UNIGRAMS)
    noise = np.random.default_rng(0)
    lines = []
    for number, text in enumerate(("ab c", "ba", "c c ab")):
        path = folder / f"{number}.wav"
        soundfile.write(path, 0.2 * noise.standard_normal(12000), 16000)
        lines.append({"id": str(number), "audio_filepath": str(path), "duration": 0.75, "text": text})
    write_json_lines(folder / "dev.jsonl", lines)
    tune = ("tune", folder / "model", folder / "dev.jsonl", "--lm", folder / "lm.arpa")
    assert status_of(*tune, "--lexicon", folder / "lexicon.txt", *FAST) == 0
    return folder


@pytest.fixture
def model(made, tmp_path):
    return shutil.copytree(made / "model", tmp_path / "model")


@pytest.fixture
def untuned(model):
    for name in (FILE, "lexicon.txt", "lm.arpa"):
        (model / name).unlink()
    return model


def spells(folder):
    return asr.load(folder, device="cpu").checkpoint.vocabulary.spells


def test_the_lexicon_of_the_language_models_words_lies_beside_it(made):
    tuned = read_tuned(made / "model")
    assert (tuned.language_model, tuned.lexicon) == ("lm.arpa", "lexicon.txt")
    expected = read_lexicon(made / "lexicon.txt").only(["ab", "ba", "c"])
    assert read_lexicon(made / "model" / "lexicon.txt") == expected
    assert ("WER, greedy" in tuned.dev) == spells(made / "model")
    assert "WER, beam" in tuned.dev
    greedy = "greedy: no language model; " if spells(made / "model") else ""
    told = decoding_facts(made / "model")["Decoding"]
    assert told.startswith(f"{greedy}beam search through phones with lexicon.txt and lm.arpa: lm_weight")


def test_readers_are_greedy_where_that_gives_text(made):
    recognizer = asr.load(made / "model", device="cpu")
    assert readers_for(recognizer, made / "model").keys() == ({GREEDY, BEAM} if spells(made / "model") else {BEAM})


def test_a_tuned_model_hears_the_words_of_its_lexicon(made, capsys):
    assert status_of("transcribe", made / "0.wav", "--model", made / "model", *FAST) == 0
    assert set(capsys.readouterr().out.split()) <= UNIGRAMS.keys()
    assert asr.load(made / "model", device="cpu").reader.decoder.hears_phones


def test_it_can_be_tuned_again_by_its_own_lexicon(made, model, monkeypatch):
    monkeypatch.setattr("asr.lexicon.of_model.find_dictionary", lambda: made / "lexicon.txt")
    assert status_of("tune", model, made / "dev.jsonl", "--lm", made / "lm.arpa", *FAST) == 0
    assert read_lexicon(model / "lexicon.txt") == read_lexicon(made / "model" / "lexicon.txt")


def test_a_lexicon_of_ones_own(model, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("ab C\nba B\nc A\n")
    decoder = asr.load(model, device="cpu", search=Search(lexicon=mine)).reader.decoder
    assert [saying.phones for saying in decoder._sayings] == [(3,), (2,), (1,)]


def test_a_hotword_is_said_by_the_model_for_english(made, monkeypatch):
    asked = []

    def complete(known, words, phones):
        asked.extend(words)
        return read_lexicon(made / "lexicon.txt").only(words)

    monkeypatch.setattr("asr.tuned.complete", complete)
    search = Search(hotwords=("other=3", "ab other"))
    decoder = asr.load(made / "model", device="cpu", search=search).reader.decoder
    assert "other" in decoder.lexicon
    assert set(asked) == {"other"}


def test_settings_choose_the_head(made):
    if spells(made / "model"):
        search = Search(settings={"head": "text"})
        assert not asr.load(made / "model", device="cpu", search=search).reader.decoder.hears_phones


@pytest.mark.parametrize("arguments", [["--greedy"], []], ids=["asked for", "by itself"])
def test_greedy_decoding_of_phones_is_refused(untuned, made, arguments, capsys):
    transcribe = ("transcribe", made / "0.wav", "--model", untuned, *arguments, *FAST)
    if spells(untuned):
        assert status_of(*transcribe) == 0
        return
    assert status_of(*transcribe) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"asr: {untuned}: hears phones, not letters: greedy decoding gives no text; give")
    assert err.count("\n") == 1
    assert status_of("tune", untuned, made / "dev.jsonl", *FAST) == 1
    assert f"{untuned}: hears phones, not letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ab A B\nba B Q\n", "lexicon.txt:2: 'ba': unknown phone 'Q'; known are"),
        ("x A\ny B\n", "lm.arpa: 3 of 3 words have no pronunciation, such as 'ab': the lexicon does not fit"),
        ("", "lexicon.txt: no words"),
    ],
)
def test_lexicons_that_do_not_fit(made, model, content, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("asr.lexicon.of_model.complete", lambda known, words, phones: known.only(words))
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text(content)
    assert status_of("transcribe", made / "0.wav", "--model", model, "--lexicon", lexicon, *FAST) == 1
    tune = ("tune", model, made / "dev.jsonl", "--lm", made / "lm.arpa", "--lexicon", lexicon, *FAST)
    assert status_of(*tune) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asr: ")]
    assert len(errors) == 2
    assert all(message in error for error in errors)


def test_a_lexicon_that_is_gone(model, made, capsys):
    (model / "lexicon.txt").unlink()
    assert status_of("transcribe", made / "0.wav", "--model", model, *FAST) == 1
    assert f"{model / FILE}: the lexicon lexicon.txt is gone; run 'asr tune' again" in capsys.readouterr().err


def test_phones_in_json(made, model, monkeypatch, capsys):
    monkeypatch.setattr("asr.lexicon.of_model.find_dictionary", lambda: made / "lexicon.txt")
    assert status_of("align", made / "0.wav", "ab c", "--model", model, "--phones", "--format", "json", *FAST) == 0
    first, second = json.loads(capsys.readouterr().out)["words"]
    assert [phone["phone"] for phone in second["phones"]] == ["C"]
    assert sorted(phone["phone"] for phone in first["phones"]) == ["A", "B"]
    assert read_json(model / FILE)["lexicon"] == "lexicon.txt"
