from pathlib import Path

import pytest
import torch
from conftest import status_of
from test_checkpoint import fresh, make

from asr.card import claimed_in
from asr.checkpoint import load_model, save_model
from asr.ensemble import members
from asr.errors import ConfigError, DataError
from asr.files import read_json
from asr.joining import join


@pytest.fixture
def folders(tmp_path):
    for seed in (1, 2):
        make(tmp_path / str(seed), seed=seed)
    return [tmp_path / "1", tmp_path / "2"]


def heard(folder: Path):
    model = load_model(folder).model
    with torch.no_grad():
        return model(torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([20, 13]))[0]


def test_it_hears_the_mean_of_what_its_parts_hear(folders, tmp_path):
    join(folders, tmp_path / "both")
    first, second = (heard(folder).exp() for folder in folders)
    assert (first - second).abs().max() > 0.01
    torch.testing.assert_close(heard(tmp_path / "both").exp(), (first + second) / 2)
    card = (tmp_path / "both" / "README.md").read_text()
    assert all(str(folder) in card for folder in folders)


def test_what_was_joined_can_be_joined_again(folders, tmp_path):
    join(folders, tmp_path / "both")
    join([tmp_path / "both", folders[0]], tmp_path / "three")
    assert len(members(load_model(tmp_path / "three").model)) == 3
    first, second = (heard(folder).exp() for folder in folders)
    torch.testing.assert_close(heard(tmp_path / "three").exp(), (2 * first + second) / 3)


def test_its_card_says_what_its_parts_were_trained_on(folders, tmp_path):
    rows = "| Training data | {}: 1 h |\n| Licence of the data | CC BY 4.0, a \\| b |\n"
    for name, folder in zip(("one", "two"), folders, strict=True):
        (folder / "README.md").write_text("| | |\n|---|---|\n" + rows.format(name))
    join(folders, tmp_path / "both")
    said = claimed_in(tmp_path / "both" / "README.md")
    assert said["Training data"] == "one: 1 h; two: 1 h"
    assert said["Licence of the data"] == "CC BY 4.0, a \\| b"
    assert "Language" not in said
    (folders[0] / "README.md").unlink()
    join(folders, tmp_path / "again")
    assert claimed_in(tmp_path / "again" / "README.md")["Training data"] == "two: 1 h"


def test_weights_are_averaged_where_that_is_asked(folders, tmp_path):
    join(folders, tmp_path / "mean", average=True)
    first, second, mean = (load_model(folder).weights() for folder in (*folders, tmp_path / "mean"))
    assert mean.keys() == first.keys()
    assert any(not torch.equal(value, mean[name]) for name, value in first.items())
    for name, value in mean.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)
    assert "1, of averaged weights" in (tmp_path / "mean" / "README.md").read_text()


def test_networks_heard_together_are_averaged_each_with_its_like(folders, tmp_path):
    join(folders, tmp_path / "both")
    join(folders[::-1], tmp_path / "turned")
    join([tmp_path / "both", tmp_path / "turned"], tmp_path / "mean", average=True)
    pair = [network.state_dict() for network in members(load_model(tmp_path / "mean").model)]
    assert len(pair) == 2
    for name, value in pair[0].items():
        torch.testing.assert_close(value, pair[1][name])
    with pytest.raises(ConfigError, match="model.members is 1 and 2"):
        join([folders[0], tmp_path / "both"], tmp_path / "other", average=True)


@pytest.mark.parametrize(
    ("forms", "wanted", "bits"),
    [
        (("float16", "float16"), None, 16),
        (("float16", "float32"), None, 32),
        (("float16", "int8"), None, 32),
        (("int8", "int8"), None, 8),
        (("float32", "float32"), "float16", 16),
    ],
)
def test_weights_take_the_bytes_that_hold_them_all_or_those_asked_for(tmp_path, forms, wanted, bits):
    for number, form in enumerate(forms):
        save_model(fresh(seed=number, hidden=64), tmp_path / str(number), "# card\n", form=form)
    parts = [tmp_path / "0", tmp_path / "1"]
    join(parts, tmp_path / "both", form=wanted)
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (*parts, tmp_path / "both")]
    numbers = sum(value.numel() for value in load_model(tmp_path / "both").weights().values())
    assert sizes[2] > numbers * bits / 8
    assert sizes[2] < numbers * bits / 8 * 1.04 + 9000  # a header, and with 8 bits scales
    expected = sum(heard(folder).exp() for folder in parts) / 2
    torch.testing.assert_close(heard(tmp_path / "both").exp(), expected, atol=1e-3 if wanted else 1e-6, rtol=0)


def test_settings_that_differ_are_named(folders, tmp_path):
    make(tmp_path / "wide", hidden=5)
    make(tmp_path / "wordy", alphabet=" abc")
    with pytest.raises(ConfigError, match=r"1 and .*wide: cannot be joined: model.hidden is 4 and 5"):
        join([folders[0], tmp_path / "wide"], tmp_path / "both")
    with pytest.raises(ConfigError, match="wordy: cannot be joined: their tokens differ"):
        join([folders[0], tmp_path / "wordy"], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_dropout_may_differ_and_normalisation_may_not(folders, tmp_path):
    save_model(fresh(seed=3, dropout=0.4), tmp_path / "dropout", "# card\n")
    join([folders[0], tmp_path / "dropout"], tmp_path / "both")
    level = fresh(seed=4)
    level.features.mean += 1
    save_model(level, tmp_path / "level", "# card\n")
    with pytest.raises(ConfigError, match="each normalises by its own training data"):
        join([folders[0], tmp_path / "level"], tmp_path / "other")


def test_nothing_is_written_over(folders, tmp_path):
    with pytest.raises(DataError, match="there already"):
        join(folders, folders[0])
    with pytest.raises(ConfigError, match="two models or more"):
        join(folders[:1], tmp_path / "one")


def test_by_command(folders, tmp_path, capsys):
    assert status_of("join", *map(str, folders), "--out", str(tmp_path / "both")) == 0
    assert read_json(tmp_path / "both" / "config.json")["model"]["members"] == 2
    assert status_of("join", str(folders[0]), str(tmp_path / "none"), "--out", str(tmp_path / "x")) == 1
    assert "none" in capsys.readouterr().err
