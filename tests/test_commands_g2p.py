import io
import json

import pytest
from conftest import status_of
from test_g2p_training import SMALL, write_dictionary


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    options = [word for setting in SMALL for word in ("--set", setting)]
    dictionary = write_dictionary(folder / "made.dict")
    command = ["lexicon", "train-g2p", dictionary, "--out", folder / "g2p", "--licence", "mine", "--device", "cpu"]
    assert status_of(*command, *options) == 0
    return folder / "g2p" / "model"


def pronounce(model, *arguments):
    return status_of("lexicon", "pronounce", *arguments, "--model", model)


def test_the_model_folder_is_printed_and_its_card_has_the_command(tmp_path, capsys):
    options = [word for setting in SMALL for word in ("--set", setting)]
    dictionary, out = write_dictionary(tmp_path / "made.dict"), tmp_path / "g2p"
    assert status_of("lexicon", "train-g2p", dictionary, "--out", out, "--split", "word", *options) == 0
    told = capsys.readouterr()
    assert told.out == f"{out / 'model'}\n"
    assert "test: phone errors " in told.err
    card = (out / "model" / "README.md").read_text()
    assert f"| Command | `asr lexicon train-g2p {dictionary} --out {out} --split word" in card


def test_a_line_a_word_in_the_order_in_which_they_were_given(model, capsys):
    assert pronounce(model, "abc", "ABBA", "abc") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [word for word, _ in lines] == ["abc", "ABBA", "abc"]
    assert all(set(phones.split()) <= set("ABCD") for _, phones in lines)


def test_several_pronunciations_with_their_probabilities(model, capsys):
    assert pronounce(model, "abc", "--nbest", "3") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [word for word, _, _ in lines] == ["abc"] * 3
    probabilities = [float(probability) for _, probability, _ in lines]
    assert probabilities[0] == 1
    assert probabilities == sorted(probabilities, reverse=True)
    threshold = str(probabilities[1])
    assert pronounce(model, "abc", "--nbest", "3", "--threshold", f"{float(threshold) + 0.001}") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_json(model, capsys):
    assert pronounce(model, "abc", "--nbest", "2", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["word"], len(found["pronunciations"])) == ("abc", 2)
    assert found["pronunciations"][0]["probability"] == 1
    assert set(found["pronunciations"][0]["phones"]) <= set("ABCD")


def test_words_from_stdin(model, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("abc cab\n\nbad\n"))
    monkeypatch.setattr("asr.commands.g2p.AT_ONCE", 2)
    assert pronounce(model, "-", "dab") == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["abc", "cab", "bad", "dab"]


def test_a_dictionary_goes_before_the_model(model, tmp_path, capsys):
    (tmp_path / "mine.dict").write_text("abc X Y\nabc(2) Z\nx4 X F\n")
    assert pronounce(model, "ABC", "x4", "--dictionary", tmp_path / "mine.dict") == 0
    assert capsys.readouterr().out == "ABC\tX Y\nx4\tX F\n"
    assert pronounce(model, "abc", "--nbest", "5", "--dictionary", tmp_path / "mine.dict") == 0
    assert capsys.readouterr().out == "abc\t1\tX Y\nabc\t1\tZ\n"


def test_what_cannot_be_said_has_its_line_and_the_others_are_said(model, capsys):
    assert pronounce(model, "4x4", "abc", "caf\u00e9", "") == 1
    told = capsys.readouterr()
    assert [line.split("\t")[0] for line in told.out.splitlines()] == ["abc"]
    complaints = told.err.splitlines()
    assert [line[: line.index(":", 5)] for line in complaints] == ["asr: '4x4'", "asr: 'caf\u00e9'", "asr: ''"]
    assert "'4' 'x' cannot be said; write numbers" in complaints[0]


def test_without_words_it_is_a_mistake_of_use():
    assert status_of("lexicon", "pronounce") == 2


def test_mistakes_are_one_line(model, tmp_path, capsys):
    for arguments, message in (
        (["pronounce", "abc", "--model", tmp_path / "nosuch"], "nosuch: no such model folder"),
        (["pronounce", "abc", "--model", model, "--dictionary", tmp_path / "nosuch.dict"], "nosuch.dict: No such file"),
        (["train-g2p", tmp_path / "nosuch.dict", "--out", tmp_path / "out"], "nosuch.dict: No such file"),
    ):
        assert status_of("lexicon", *arguments) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asr: ")]
        assert message in line
    assert not (tmp_path / "out").exists()


def test_the_model_that_comes_with_the_package(capsys):
    assert status_of("lexicon", "pronounce", "blickets") == 0
    assert capsys.readouterr().out in ("blickets\tB L IH K AH T S\n", "blickets\tB L IH K IH T S\n")
