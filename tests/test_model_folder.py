import pytest

from asr.errors import ModelError
from asr.model_folder import FILES, KINDS, LANGUAGE, PRONUNCIATION, SPEECH, kind_of, read_config, require_model


def make(folder, config="{}", leave_out=()):
    folder.mkdir()
    for name in FILES:
        if name not in leave_out:
            (folder / name).write_text(config)
    return folder


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"features": {}, "model": {}, "text": {}}, SPEECH),
        ({"model": {}}, None),
        ({"language_model": {}}, LANGUAGE),
        ({"pronunciation_model": {}, "training": {}}, PRONUNCIATION),
        ({}, None),
        (["features", "model"], None),
    ],
)
def test_the_sections_tell_the_kind(config, kind):
    assert kind_of(config) == kind
    assert kind is None or kind in KINDS


def test_what_is_missing_is_named(tmp_path):
    require_model(make(tmp_path / "whole"))
    folder = make(tmp_path / "part", leave_out=FILES[1:])
    with pytest.raises(ModelError) as raised:
        require_model(folder)
    missing = "vocabulary.json, weights.safetensors missing"
    assert str(raised.value) == f"{folder}: not a whole model folder: {missing}"
    with pytest.raises(ModelError, match="nowhere: no such model folder$"):
        require_model(tmp_path / "nowhere")


def test_settings_are_those_of_the_kind_that_is_wanted(tmp_path):
    folder = make(tmp_path / "lm", '{"language_model": {"hidden": 8}}')
    assert read_config(folder, LANGUAGE) == {"language_model": {"hidden": 8}}
    with pytest.raises(ModelError, match="lm: a language model, where a speech recognition model is needed$"):
        read_config(folder, SPEECH)
    with pytest.raises(ModelError, match="config.json: not a model's settings: 'features' and 'model' must be there$"):
        read_config(make(tmp_path / "none"), SPEECH)
