import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import TONES, single_threaded, status_of

from asr.config import parse_overrides
from asr.errors import ConfigError
from asr.files import read_json
from asr.model import CTCModel, parameter_count
from asr.recipe import read_recipe, read_variants
from asr.scoring.figures import read_results
from asr.variants import COSTS

SIZES = """
description = "two tiny encoders"

[training]
epochs = 1

[corpus.options]
train_utterances = 6

[variants.lstm.model]
hidden = 8

[variants.gru.model]
encoder = "gru"
hidden = 12
"""


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """A recipe that compares two variants of the toy."""
    folder = tmp_path_factory.mktemp("recipes") / "tones"
    shutil.copytree(TONES, folder)
    (folder / "sizes.toml").write_text(SIZES)
    return str(folder / "sizes")


def stages(text):
    """What was said of variants, stages and the comparison, without the details."""
    lines = [line for line in text.splitlines() if line.startswith("variant ") or line.endswith(": up to date")]
    return [line.removesuffix(": up to date").removesuffix(":").removeprefix("variant ") for line in lines]


ALL = ["data-prep", "train", "decode", "score"]


def test_variants_run_one_after_the_other_and_are_compared(sizes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("asr.costs.TURNS", 1)
    exp = tmp_path / "exp"
    with single_threaded():
        assert status_of("run", sizes, "--exp", exp, "--device", "cpu", "--variant", "gru") == 0
        said = capsys.readouterr().err
        assert stages(said) == ["gru"]
        assert "compare: no results yet of lstm" in said
        assert {path.name for path in exp.iterdir() if path.is_dir()} == {"gru"}
        measured = read_json(exp / COSTS)["costs"]
        assert set(measured) == {"gru"}

        assert status_of("run", sizes, "--exp", exp, "--device", "cpu") == 0
        assert stages(capsys.readouterr().err) == ["lstm", "gru", *ALL]
        assert set(read_json(exp / COSTS)["costs"]) == {"lstm", "gru"}
        before = {path: path.read_bytes() for path in exp.rglob("*") if path.is_file() and path.suffix != ".png"}

        assert status_of("run", sizes, "--exp", exp, "--device", "cpu") == 0  # nothing is left to do
        assert stages(capsys.readouterr().err) == ["lstm", *ALL, "gru", *ALL]
        after = {path: path.read_bytes() for path in exp.rglob("*") if path.is_file() and path.suffix != ".png"}
        changed = [path for path in before if before[path] != after[path]]
        assert [path for path in changed if path.name != ".lock"] == []

    results = read_results(exp / "gru" / "results.json")
    assert results.recipe == "tones/sizes/gru"
    page = (exp / "RESULTS.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith("| `gru`"))
    assert results.scores[-1].wer_in_words in row
    assert "* `gru`: model.encoder lstm -> gru; model.hidden 8 -> 12" in page

    assert status_of("results", exp, "--format", "json") == 0  # which needs to know nothing of variants
    rows = json.loads(capsys.readouterr().out)
    assert {(row["experiment"], row["split"]) for row in rows} == {
        (v, s) for v in ("lstm", "gru") for s in ("dev", "test")
    }


def test_a_variant_by_itself(sizes, tmp_path, capsys):
    exp = tmp_path / "exp"
    with single_threaded():
        assert status_of("data-prep", f"{sizes}/gru", "--exp", exp) == 0  # by its whole name: its own folder
        assert status_of("check", f"{sizes}/gru", "--exp", exp, "--device", "cpu") == 0
        assert "check: memory" in capsys.readouterr().err
        assert status_of("data-prep", sizes, "--exp", exp / "all", "--variant", "gru") == 0
        assert status_of("check", sizes, "--exp", exp / "all", "--variant", "gru", "--device", "cpu") == 0
    said = capsys.readouterr().err
    assert stages(said) == ["gru", "gru"]
    assert said.count("check: memory") == 1
    assert (exp / "data" / "train.jsonl").is_file()
    assert (exp / "all" / "gru" / "data" / "train.jsonl").is_file()


def test_a_variant_is_a_recipe_of_its_own(sizes):
    whole, gru = read_recipe(sizes), read_recipe(f"{sizes}/gru")
    assert (whole.name, whole.variants) == ("tones/sizes", ("lstm", "gru"))
    assert (gru.name, gru.variants) == ("tones/sizes/gru", ())
    assert (gru.config.model.encoder, gru.config.model.hidden) == ("gru", 12)
    assert gru.config.training == whole.config.training
    changed = read_variants(sizes, parse_overrides(["training.epochs=9"]))
    assert {name: recipe.config.training.epochs for name, recipe in changed.items()} == {"lstm": 9, "gru": 9}
    assert list(read_variants(sizes, chosen=["gru"])) == ["gru"]
    assert list(read_variants("fsdd")) == [""]


def test_variants_that_are_not_there(sizes):
    with pytest.raises(ConfigError, match=r"sizes\.toml: unknown variant 'gro'; did you mean 'gru'\?"):
        read_variants(sizes, chosen=["gro"])
    with pytest.raises(ConfigError, match=r"sizes\.toml: unknown variant 'gro'; did you mean 'gru'\?"):
        read_recipe(f"{sizes}/gro")
    with pytest.raises(ConfigError, match="--variant gru: recipe 'fsdd/all-speakers' compares no variants"):
        read_variants("fsdd/all-speakers", chosen=["gru"])
    with pytest.raises(ConfigError, match=r"all-speakers\.toml: compares no variants, so there is no 'gru'"):
        read_recipe("fsdd/all-speakers/gru")
    with pytest.raises(ConfigError, match="unknown recipe 'fsdd/architectures/gru/more'"):
        read_recipe("fsdd/architectures/gru/more")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ("[variants]\nsmall = 8\n", r"sizes\.toml: variants: a table of settings is needed for each"),
        ("variants = 3\n", r"sizes\.toml: variants: a table of settings is needed for each"),
        ('[variants."../up".model]\nhidden = 8\n', r"sizes\.toml: variant '\.\./up': a name has letters"),
        (
            "[variants.small.modle]\nhidden = 8\n",
            r"sizes\.toml, variant small: unknown key modle; did you mean 'model'",
        ),
    ],
)
def test_variants_that_are_wrong(tables, message, sizes, tmp_path):
    shutil.copytree(TONES, tmp_path / "tones")
    (tmp_path / "tones" / "sizes.toml").write_text(tables)
    with pytest.raises(ConfigError, match=message):
        read_variants(str(tmp_path / "tones" / "sizes"))


def test_variants_belong_in_a_file_of_their_own(tmp_path):
    shutil.copytree(TONES, tmp_path / "tones")
    with (tmp_path / "tones" / "recipe.toml").open("a") as stream:
        stream.write("[variants.small.model]\nhidden = 8\n")
    with pytest.raises(ConfigError, match=r"recipe\.toml: unknown key variants"):
        read_recipe(str(tmp_path / "tones"))


def untrained(config):
    with torch.device("meta"):
        return CTCModel(config.features.mel_bins, (len(config.text.alphabet) + 1,), config.model)


@pytest.mark.parametrize("recipe", ["fsdd/architectures", "librispeech/architectures"])
def test_encoders_are_compared_at_one_size_and_in_nothing_else(recipe):
    variants = {name: each.config for name, each in read_variants(recipe).items()}
    assert {config.model.encoder for config in variants.values()} == set(variants)
    sizes = {name: parameter_count(untrained(config)) for name, config in variants.items()}
    assert sizes == pytest.approx(dict.fromkeys(sizes, sizes["lstm"]), rel=0.03)
    assert len({repr((c.features, c.text, c.optimizer, c.training, c.augmentation)) for c in variants.values()}) == 1
    assert len({(c.model.subsampling, c.model.channels, c.model.dropout) for c in variants.values()}) == 1


def test_the_lstm_compared_is_that_of_the_recipe():
    for family, ground in (("fsdd", "fsdd"), ("librispeech", "librispeech/mini")):
        assert read_recipe(f"{family}/architectures/lstm").config.model == read_recipe(ground).config.model
        assert Path(read_recipe(f"{family}/architectures").prepare_file).parent.name == family


def test_units_are_compared_in_nothing_else():
    variants = {name: each.config for name, each in read_variants("librispeech/units").items()}
    units = {name: (config.text.units, config.text.hears_phones) for name, config in variants.items()}
    assert units == {"characters": ("characters", False), "phones": ("phones", True), "both": ("characters", True)}
    assert len({repr((c.features, c.model, c.optimizer, c.training, c.augmentation)) for c in variants.values()}) == 1


def test_an_ablation_changes_one_thing_at_a_time_and_no_size():
    variants = {name: each.config for name, each in read_variants("librispeech/ablation").items()}
    whole = variants.pop("as_it_is")
    sections = [f.name for f in dataclasses.fields(whole) if f.name != "decoding"]
    changed = {
        name: [section for section in sections if getattr(config, section) != getattr(whole, section)]
        for name, config in variants.items()
    }
    assert all(len(each) == 1 for each in changed.values()), changed
    sizes = {name: parameter_count(untrained(variants[name])) for name in ("deeper", "wider", "gru")}
    assert sizes == pytest.approx(dict.fromkeys(sizes, parameter_count(untrained(whole))), rel=0.03)
