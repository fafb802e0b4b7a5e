import json

import pytest
import torch

from asr import checkpoint as acoustic
from asr.checkpoint import load_model, save_model, start_from
from asr.config import to_table
from asr.errors import ConfigError, ModelError
from asr.features import FeatureConfig
from asr.lm.checkpoint import LanguageModel, create
from asr.lm.network import LanguageModelConfig
from asr.lm.vocabulary import LanguageVocabulary
from asr.model import ModelConfig
from asr.text import Vocabulary


def fresh(seed=0, words="ab", **settings):
    torch.manual_seed(seed)
    config = LanguageModelConfig(**{"embedding": 4, "hidden": 4, **settings})
    return create(config, LanguageVocabulary.of_words(dict.fromkeys(words, 1), 9), {"training": {"epochs": 3}})


def recognizer(folder):
    features, model = FeatureConfig(8000, 16), ModelConfig(channels=2, layers=1, hidden=4)
    table = {"features": to_table(features), "model": to_table(model)}
    save_model(acoustic.create(features, model, Vocabulary.of_characters("ab"), table), folder, "# card\n")
    return folder


@pytest.mark.parametrize("settings", [{}, {"bands": (2, 3), "hidden": 5}])
def test_round_trip(tmp_path, settings):
    saved, proved = fresh(**settings), []
    save_model(saved, tmp_path / "lm", "# card\n", proved.append)
    loaded = LanguageModel.load(tmp_path / "lm")
    assert loaded.vocabulary == saved.vocabulary
    assert loaded.config == saved.config
    assert loaded.config["training"] == {"epochs": 3}
    assert loaded.config["asr_version"]
    assert not loaded.model.training
    for read in (loaded, *proved):
        assert read.weights().keys() == saved.weights().keys()
        assert all(torch.equal(read.weights()[name], value) for name, value in saved.weights().items())
    names = sorted(path.name for path in (tmp_path / "lm").iterdir())
    assert names == ["README.md", "config.json", "vocabulary.json", "weights.safetensors"]


def test_a_language_model_is_no_recognizer(tmp_path):
    save_model(fresh(), tmp_path / "lm", "# card\n")
    torch.manual_seed(0)
    new = load_model(recognizer(tmp_path / "speech"))
    for use in (load_model, lambda folder: start_from(new, folder)):
        with pytest.raises(ModelError, match="^.*/lm: a language model, where a speech recognition model is needed$"):
            use(tmp_path / "lm")


def test_a_recognizer_is_no_language_model(tmp_path):
    folder = recognizer(tmp_path / "speech")
    with pytest.raises(ModelError, match="^.*/speech: a speech recognition model, where a language model is needed$"):
        LanguageModel.load(folder)


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "weights.safetensors"])
def test_a_file_of_another_model_is_refused(tmp_path, name):
    save_model(fresh(), tmp_path / "lm", "# card\n")
    save_model(fresh(words="xyz", hidden=8), tmp_path / "other", "# card\n")
    (tmp_path / "other" / name).replace(tmp_path / "lm" / name)
    with pytest.raises(ModelError, match=r"weights\.safetensors: these weights belong to another"):
        LanguageModel.load(tmp_path / "lm")


def test_settings_of_a_later_version_are_named(tmp_path):
    save_model(fresh(), tmp_path / "lm", "# card\n")
    path = tmp_path / "lm" / "config.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "language_model": {**table["language_model"], "heads": 8}}))
    with pytest.raises(ConfigError, match=r"config\.json: language_model: unknown key heads"):
        LanguageModel.load(tmp_path / "lm")


def test_the_folder_above_is_not_the_model_folder(tmp_path):
    save_model(fresh(), tmp_path / "lm" / "model", "# card\n")
    with pytest.raises(ModelError, match="missing; did you mean .*lm/model"):
        LanguageModel.load(tmp_path / "lm")
