import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import status_of
from test_architecture import modules_loaded_by
from test_scoring_figures import figures, results

from asr import shipped
from asr.catalogue import Entry, entries, entry_of, figures_on_dev, parameters_in, shown, units_of
from asr.checkpoint import load_model
from asr.errors import ModelError
from asr.scoring.figures import write_results

DEV = figures(split="dev", substitutions=1, deletions=0, insertions=0, words=8)
BEAM = replace(DEV, decoding="beam", substitutions=0)
RESULTS = replace(results(DEV, BEAM), recipe="toys/all", parameters=5_040_000, training_hours=100.591)


@pytest.fixture
def here(tmp_path, monkeypatch, babbler):
    """The current folder, without experiments; the package has a recognizer and, broken, another model."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ASR_MODEL", raising=False)
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "models")
    shutil.copytree(babbler, tmp_path / "models" / "english-small")
    write_results(tmp_path / "models" / "english-small" / "results.json", RESULTS)
    (tmp_path / "models" / "g2p-en").mkdir()
    return tmp_path / "here"


def test_the_models_of_the_package_come_first(here, babbler):
    shutil.copytree(babbler, "exp/a/deeper/model")
    assert [each.name for each in entries()] == ["english-small", "g2p-en", "a/deeper"]
    first, second, third = entries()
    assert (first.kind, first.default, first.broken) == ("speech", True, "")
    assert first.description == "toys/all, 5.04 M parameters, 100.6 h of speech"
    assert first.error_rate == "0.00% (dev, beam)"
    assert second.broken.endswith(
        "g2p-en: not a whole model folder: config.json, vocabulary.json, weights.safetensors missing"
    )
    assert (third.kind, third.default, third.error_rate, third.training_hours) == ("speech", False, "", None)
    assert third.parameters == sum(value.numel() for value in load_model(babbler).weights().values())
    assert third.megabytes == sum(path.stat().st_size for path in babbler.iterdir()) / 1e6


def test_the_default_is_what_is_meant_without_a_name(here, babbler, monkeypatch):
    shutil.copytree(babbler, "exp/one/model")
    monkeypatch.setenv("ASR_MODEL", "one")
    assert [each.name for each in entries() if each.default] == ["one"]
    monkeypatch.setenv("ASR_MODEL", "nowhere")
    assert [each.name for each in entries() if each.default] == []


def test_a_name_that_means_another_model_is_not_told(here, babbler, tmp_path):
    shutil.copytree(babbler, "exp/english-small/model")
    names = [each.name for each in entries()]
    assert names == [str(tmp_path / "models" / "english-small"), "g2p-en", "english-small"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"{", "config.json: "),
        ("config.json", b"[]", "config.json: not a model's settings"),
        ("weights.safetensors", b"cut", "weights.safetensors: cut off or not a safetensors file"),
        ("results.json", b'{"scores": 3}', "results.json: not results: 'scores' must be a list"),
    ],
)
def test_a_broken_model_is_a_line(tmp_path, babbler, name, content, reason):
    folder = tmp_path / "model"
    shutil.copytree(babbler, folder)
    (folder / name).write_bytes(content)
    entry = entry_of("one", folder)
    assert entry.broken.startswith(f"{folder / reason}")
    assert entry.cells()[-1] == f"broken: {entry.broken}"


def test_weights_that_are_cut_off_are_seen(tmp_path, babbler):
    weights = (babbler / "weights.safetensors").read_bytes()
    (tmp_path / "cut").write_bytes(weights[:-1])
    with pytest.raises(ModelError, match="cut: cut off or not a safetensors file"):
        parameters_in(tmp_path / "cut")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ({"units": "characters"}, "characters"),
        ({"units": "sentencepiece", "phones": True}, "sentencepiece and phones"),
        ({"units": "phones", "phones": False}, "phones"),
        ({}, ""),
        (None, ""),
    ],
)
def test_units(text, units):
    assert units_of({"text": text}) == units


def test_the_figures_are_those_of_the_first_dev_split_by_the_better_decoding():
    other = replace(DEV, split="dev-other", substitutions=5)
    test = replace(DEV, split="test", substitutions=0)
    worse = replace(DEV, decoding="beam", substitutions=3)
    assert figures_on_dev(results(test, worse, DEV, replace(other, substitutions=0))) == DEV
    assert figures_on_dev(results(other, DEV)) == other
    assert figures_on_dev(results(test)) is None


def test_plain_columns_and_a_table():
    models = [
        Entry("small", "speech", 21.96, "toys", "characters", 5_040_000, 100.591, DEV, default=True),
        Entry("large", megabytes=1.0, broken="exp/large/model: is gone"),
    ]
    lines = shown(models).splitlines()
    assert [re.split(" {2,}", line) for line in lines] == [
        ["name", "kind", "MB", "what it is", "WER on dev", "remark"],
        [
            "small",
            "speech",
            "22.0",
            "toys, characters, 5.04 M parameters, 100.6 h of speech",
            "12.50% (dev, greedy)",
            "default",
        ],
        ["large", "1.0", "broken: exp/large/model: is gone"],
    ]
    assert len({line.find(word) for line, word in zip(lines, ("remark", "default", "broken"), strict=True)}) == 1
    table = shown(models, width=60)
    assert max(map(len, table.splitlines())) <= 60
    assert [word for word in ("small", "speech", "22.0", "default", "12.50%") if word not in table] == []
    assert "remark" not in shown([Entry("small", "speech", 22.0)])


def test_the_command(here, capsys):
    assert status_of("models") == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "kind", "MB", "what", "it", "is", "WER", "on", "dev", "remark"]
    assert first.split()[:2] == ["english-small", "speech"]
    assert first.endswith("  0.00% (dev, beam)  default")
    assert "g2p-en: not a whole model folder" in second
    assert status_of("models", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["dev"] == {"split": "dev", "decoding": "beam", "wer": 0.0, "interval": [BEAM.wer_low, BEAM.wer_high]}
    assert (first["name"], first["default"], second["dev"], second["kind"]) == ("english-small", True, None, "")


def test_the_list_loads_no_torch():
    loaded = modules_loaded_by("from asr.catalogue import entries; entries()")
    assert "asr.catalogue" in loaded
    assert "torch" not in loaded


def test_the_models_of_this_package_are_whole(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    listed = {each.name: each for each in entries()}
    assert [each.broken for each in listed.values() if each.broken] == []
    assert listed["g2p-en"].kind == "pronunciation"
    assert {each.name for each in Path(shipped.SHIPPED).iterdir()} == {*listed}
