import json

import pytest
import torch
from safetensors.torch import load_file

from asr.checkpoint import load_model, save_model
from asr.errors import ConfigError, ModelError
from asr.g2p.checkpoint import PronunciationModel, create
from asr.g2p.network import G2PConfig
from asr.g2p.vocabulary import PronunciationVocabulary
from asr.lm.checkpoint import LanguageModel


def fresh(phones=("A", "B"), **settings):
    torch.manual_seed(0)
    config = G2PConfig(**{"embedding": 4, "hidden": 4, "decoder_hidden": 4, **settings})
    return create(config, PronunciationVocabulary(("a", "b"), phones), {"training": {"epochs": 3}})


def test_round_trip(tmp_path):
    saved = fresh()
    save_model(saved, tmp_path / "g2p", "# card\n")
    loaded = PronunciationModel.load(tmp_path / "g2p")
    assert (loaded.vocabulary, loaded.config) == (saved.vocabulary, saved.config)
    assert loaded.config["training"] == {"epochs": 3}
    assert not loaded.model.training
    assert all(torch.equal(loaded.weights()[name], value) for name, value in saved.weights().items())


def test_half_the_bytes_and_nearly_the_same_weights(tmp_path):
    saved, proved = fresh(hidden=32), []
    save_model(saved, tmp_path / "whole", "# card\n")
    save_model(saved, tmp_path / "half", "# card\n", proved.append, form="float16")
    whole, half = ((tmp_path / name / "weights.safetensors").stat().st_size for name in ("whole", "half"))
    assert half < 0.6 * whole
    assert {value.dtype for value in load_file(tmp_path / "half" / "weights.safetensors").values()} == {torch.float16}
    loaded = PronunciationModel.load(tmp_path / "half")
    for read in (loaded, *proved):
        for name, value in saved.weights().items():
            assert read.weights()[name].dtype == torch.float32
            assert torch.equal(read.weights()[name], value.half().float())
    save_model(loaded, tmp_path / "again", "# card\n", form="float16")
    contents = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("half", "again")]
    assert contents[0] == contents[1]


def test_a_model_of_another_kind_is_refused(tmp_path):
    save_model(fresh(), tmp_path / "g2p", "# card\n")
    for kind, load in (("speech recognition model", load_model), ("language model", LanguageModel.load)):
        with pytest.raises(ModelError, match=f"/g2p: a pronunciation model, where a {kind} is needed$"):
            load(tmp_path / "g2p")


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "weights.safetensors"])
def test_a_file_of_another_model_is_refused(tmp_path, name):
    save_model(fresh(), tmp_path / "g2p", "# card\n")
    save_model(fresh(phones=("A", "B", "C"), hidden=8), tmp_path / "other", "# card\n")
    (tmp_path / "other" / name).replace(tmp_path / "g2p" / name)
    with pytest.raises(ModelError, match=r"weights\.safetensors: these weights belong to another"):
        PronunciationModel.load(tmp_path / "g2p")


def test_settings_of_a_later_version_are_named(tmp_path):
    save_model(fresh(), tmp_path / "g2p", "# card\n")
    path = tmp_path / "g2p" / "config.json"
    table = json.loads(path.read_text())
    path.write_text(json.dumps({**table, "pronunciation_model": {**table["pronunciation_model"], "heads": 8}}))
    with pytest.raises(ConfigError, match=r"config\.json: pronunciation_model: unknown key heads"):
        PronunciationModel.load(tmp_path / "g2p")
