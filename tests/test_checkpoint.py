import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from asr.checkpoint import create, load_model, save_model, set_aside
from asr.config import to_table
from asr.errors import AsrError, ConfigError, ModelError
from asr.features import FeatureConfig
from asr.model import ModelConfig
from asr.text import Vocabulary


def make(folder, hidden=4, alphabet=" ab", seed=0):
    features, model = FeatureConfig(8000, 16), ModelConfig(channels=2, layers=1, hidden=hidden)
    torch.manual_seed(seed)
    table = {"features": to_table(features), "model": to_table(model), "recipe": "toy"}
    checkpoint = create(features, model, Vocabulary.of_characters(alphabet), table)
    save_model(checkpoint, folder, "# card\n")
    return checkpoint


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "model")
    return tmp_path / "model"


def test_round_trip(tmp_path):
    saved = make(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.vocabulary == saved.vocabulary
    assert loaded.config == saved.config
    assert loaded.config["asr_version"]
    assert not loaded.model.training
    for name, value in saved.weights().items():
        assert torch.equal(loaded.weights()[name], value)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md",
        "config.json",
        "vocabulary.json",
        "weights.safetensors",
    ]


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "weights.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"model: not a whole model folder: {name} missing"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "weights.safetensors"])
@pytest.mark.parametrize("share", [0, 0.5, 0.9])
def test_a_truncated_file_is_named(folder, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(AsrError, match=name):
        load_model(folder)


@pytest.mark.parametrize("save", [lambda path: path.write_bytes(pickle.dumps([1])), lambda path: torch.save([1], path)])
def test_a_pickle_is_refused(folder, save):
    save(folder / "weights.safetensors")
    with pytest.raises(ModelError, match=r"weights\.safetensors: a pickle"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "weights.safetensors"])
def test_a_file_of_another_model_is_refused(folder, tmp_path, name):
    make(tmp_path / "other", hidden=8, alphabet=" abc")
    shutil.copy(tmp_path / "other" / name, folder / name)
    with pytest.raises(ModelError, match=r"weights\.safetensors: these weights belong to another"):
        load_model(folder)


def test_weights_of_another_shape_are_named(folder, tmp_path):
    make(tmp_path / "other", hidden=8)
    save_file(load_file(tmp_path / "other" / "weights.safetensors"), folder / "weights.safetensors")  # without its mark
    with pytest.raises(ModelError, match=r"does not fit config\.json: model\.\S+ is \(.*\) in the file, \(.*\) by"):
        load_model(folder)


def test_settings_of_a_later_version_are_named(folder):
    table = json.loads((folder / "config.json").read_text())
    table["model"]["attention"] = 8
    (folder / "config.json").write_text(json.dumps(table))
    with pytest.raises(ConfigError, match=r"config\.json: model: unknown key attention"):
        load_model(folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"features": {}}'])
def test_a_config_that_is_none(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"config\.json: not a model's settings"):
        load_model(folder)


def test_no_folder(tmp_path):
    with pytest.raises(ModelError, match="nowhere: no such model folder"):
        load_model(tmp_path / "nowhere")


def test_the_experiment_folder_is_not_the_model_folder(folder):
    with pytest.raises(ModelError, match="missing; did you mean .*/model"):
        load_model(folder.parent)


def test_the_model_before_is_kept(tmp_path):
    folder = tmp_path / "model"
    set_aside(folder)  # nothing there, nothing done
    for seed in (1, 2):
        saved = make(folder, seed=seed)
        set_aside(folder)
    assert not folder.exists()
    weights = load_model(tmp_path / "model.previous").weights()
    assert torch.equal(weights["model.head.weight"], saved.weights()["model.head.weight"])
