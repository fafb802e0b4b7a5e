import json
import pickle
import shutil
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file, save_file

from asr.checkpoint import create, load_model, rounded, save_model, set_aside, start_from
from asr.config import to_table
from asr.errors import AsrError, ConfigError, ModelError
from asr.features import FeatureConfig
from asr.model import Encoder, ModelConfig
from asr.text import BLANK, Vocabulary


def fresh(alphabet=" ab", seed=0, mel_bins=16, phones="", **model):
    features = FeatureConfig(8000, mel_bins)
    model = ModelConfig(**{"channels": 2, "layers": 1, "hidden": 4, **model})
    torch.manual_seed(seed)
    table = {"features": to_table(features), "model": to_table(model), "recipe": "toy"}
    letters = Vocabulary.of_characters(alphabet).tokens if alphabet else ()
    return create(features, model, Vocabulary(letters, phones=(BLANK, *phones) if phones else ()), table)


def make(folder, hidden=4, alphabet=" ab", seed=0):
    checkpoint = fresh(alphabet, seed, hidden=hidden)
    save_model(checkpoint, folder, "# card\n")
    return checkpoint


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


@pytest.mark.parametrize("encoder", get_args(Encoder))
def test_every_encoder_comes_back_from_its_folder(encoder, tmp_path):
    saved = fresh(encoder=encoder, layers=2)
    save_model(saved, tmp_path / "model", "# card\n")
    loaded = load_model(tmp_path / "model")
    assert loaded.model.config == saved.model.config
    assert loaded.model.config.encoder == encoder
    inputs = torch.randn(2, 30, 16), torch.tensor([30, 21])
    assert torch.equal(loaded.model(*inputs)[0], saved.model.eval()(*inputs)[0])


def test_weights_that_are_read_are_not_drawn_before(folder, monkeypatch):
    monkeypatch.setattr(torch.nn.init, "orthogonal_", lambda weight: pytest.fail("drawn"))
    load_model(folder)
    monkeypatch.undo()
    side = fresh().model.layers[0].lstm.weight_hh_l0
    first_gate = side[: side.shape[1]]
    torch.testing.assert_close(first_gate @ first_gate.T, torch.eye(side.shape[1]))


def test_networks_that_hear_as_one_come_back_from_their_folder(tmp_path):
    saved = fresh(members=2)
    save_model(saved, tmp_path / "model", "# card\n")
    loaded = load_model(tmp_path / "model")
    inputs = torch.randn(2, 30, 16), torch.tensor([30, 21])
    assert torch.equal(loaded.model(*inputs)[0], saved.model.eval()(*inputs)[0])
    begun = fresh(seed=1, members=2)
    assert start_from(begun, tmp_path / "model") == 4
    assert torch.equal(begun.model.eval()(*inputs)[0], saved.model(*inputs)[0])


def test_a_folder_from_before_there_were_encoders_holds_an_lstm(tmp_path):
    saved = fresh()
    for key in ("encoder", "heads", "feed_forward"):
        del saved.config["model"][key]
    save_model(saved, tmp_path / "model", "# card\n")
    loaded = load_model(tmp_path / "model")
    assert loaded.model.config.encoder == "lstm"
    assert {name.partition("lstm.")[2] for name in loaded.weights() if "layers." in name} == {
        f"{kind}_{way}_l0{side}" for kind in ("weight", "bias") for way in ("ih", "hh") for side in ("", "_reverse")
    }


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


def test_a_file_that_begins_like_a_pickle_is_loaded(folder):
    """The first byte of a safetensors file is the last of its header's length, 0x80 for one in 32 models."""
    weights = load_file(folder / "weights.safetensors")
    for padding in range(256):
        save_file(weights, folder / "weights.safetensors", {"padding": "x" * padding})
        if (folder / "weights.safetensors").read_bytes()[:1] == b"\x80":
            break
    else:
        pytest.fail("no header of such a length")
    assert torch.equal(load_model(folder).weights()["model.head.bias"], weights["model.head.bias"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder, value):
    weights = load_file(folder / "weights.safetensors")
    weights["model.head.bias"][1] = value
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(
        ModelError, match=r"weights\.safetensors: NaN or infinite weights in model\.head\.bias \(1 tensors"
    ):
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


def test_what_is_proved_has_come_back_from_the_disk(tmp_path):
    saved, proved = fresh(), []

    def prove(read):
        proved.append(read)
        assert not (tmp_path / "model").exists()

    save_model(saved, tmp_path / "model", "# card\n", prove)
    (read,) = proved
    assert read.vocabulary == saved.vocabulary
    assert read.config == saved.config
    for name, value in saved.weights().items():
        assert torch.equal(read.weights()[name], value)
        assert read.weights()[name].data_ptr() != value.data_ptr()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_model_that_fails_its_proof_changes_nothing(folder):
    def fail(read):
        raise ModelError("it hears nothing")

    before = contents(folder)
    with pytest.raises(ModelError, match="^it hears nothing$"):
        save_model(fresh(seed=1), folder, "# another card\n", fail)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["config.json", "vocabulary.json", "weights.safetensors", "README.md"])
def test_a_model_that_cannot_be_written_changes_nothing(folder, name):
    before = contents(folder)
    (folder.with_name("model.new") / name / "in the way").mkdir(parents=True)
    with pytest.raises(AsrError, match=rf"model\.new/{name}: cannot be written"):
        save_model(fresh(seed=1), folder, "# another card\n")
    assert contents(folder) == before


@pytest.mark.parametrize("there", [False, True])
def test_what_a_killed_save_has_left_does_no_harm(tmp_path, there):
    folder, beside = tmp_path / "model", tmp_path / "model.new"
    if there:
        make(folder, hidden=8)
    make(beside, hidden=6, alphabet=" abc")
    (beside / "README.md").unlink()  # taken over already
    (beside / "weights.safetensors").write_bytes(b"half")
    (beside / ".weights.safetensors.a1b2c3.unfinished").write_bytes(b"half")
    saved = make(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert len(contents(folder)) == 4
    loaded = load_model(folder).weights()
    assert all(torch.equal(loaded[name], value) for name, value in saved.weights().items())


def test_a_new_model_starts_from_a_trained_one(folder):
    new, trained = fresh(seed=1, dropout=0.5), load_model(folder)
    with torch.no_grad():
        trained.features.fit(torch.rand(50, 16))
    save_model(trained, folder, "# card\n")
    weights = new.weights()
    assert not torch.equal(weights["model.head.weight"], trained.weights()["model.head.weight"])
    assert start_from(new, folder) == 4
    for name, value in trained.weights().items():
        assert torch.equal(weights[name], value), name
    assert new.features.fitted
    assert new.model.config.dropout == 0.5


def test_a_model_does_not_start_from_one_with_another_encoder(folder):
    with pytest.raises(ConfigError, match="model.encoder is lstm there and gru here; .* --set model.encoder=lstm"):
        start_from(fresh(encoder="gru"), folder)


def test_tokens_keep_their_weights_in_another_alphabet(tmp_path):
    """There <blank>, space, a, b are 0 to 3; here <blank>, a, b, c are."""
    trained = make(tmp_path / "model", alphabet=" ab")
    new = fresh("abc", seed=1)
    own = {name: value.clone() for name, value in new.weights().items()}
    assert start_from(new, tmp_path / "model") == 3
    for name, value in new.weights().items():
        there = trained.weights()[name]
        if name in ("model.head.weight", "model.head.bias"):
            expected = torch.stack([there[0], there[2], there[3], own[name][3]])
            assert not torch.equal(own[name][0], there[0])
        else:
            expected = there
        assert torch.equal(value, expected), name


def test_phones_keep_their_weights_beside_letters_that_change(tmp_path):
    """There <blank>, a, b, then <blank>, K, N are 0 to 5; here <blank>, b, c, then <blank>, N, S are."""
    there, here = fresh("ab", phones="KN"), fresh("bc", seed=1, phones="NS")
    save_model(there, tmp_path / "model", "# card\n")
    own = here.weights()["model.head.weight"].clone()
    assert start_from(here, tmp_path / "model") == 4
    theirs = there.weights()["model.head.weight"]
    expected = torch.stack([theirs[0], theirs[2], own[2], theirs[3], theirs[5], own[5]])
    assert torch.equal(here.weights()["model.head.weight"], expected)


def test_phones_do_not_start_from_letters(tmp_path):
    trained = make(tmp_path / "model")
    new = fresh("", seed=1, phones="KN")
    own = new.weights()["model.head.weight"].clone()
    assert start_from(new, tmp_path / "model") == 0
    assert torch.equal(new.weights()["model.head.weight"], own)
    theirs = trained.weights()
    assert all(torch.equal(value, theirs[name]) for name, value in new.weights().items() if "head" not in name)


@pytest.mark.parametrize(
    ("change", "there", "here"),
    [
        ({"hidden": 6}, "model.hidden is 4 there", "6 here"),
        ({"mel_bins": 20}, "features.mel_bins is 16 there", "20 here"),
        ({"subsampling": 2}, "model.subsampling is 4 there", "2 here"),
        ({"members": 2}, "model.members is 1 there", "2 here"),
    ],
)
def test_another_kind_of_model_is_no_beginning(folder, change, there, here):
    new = fresh(**change)
    before = {name: value.clone() for name, value in new.weights().items()}
    with pytest.raises(ConfigError) as caught:
        start_from(new, folder)
    line = str(caught.value)
    assert line.startswith(f"{folder}: another kind of model: {there} and {here}; ")
    assert line.endswith(f"--set {there.replace(' is ', '=').removesuffix(' there')}")
    assert all(torch.equal(value, before[name]) for name, value in new.weights().items())


def test_a_folder_that_is_no_model_is_no_beginning(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, message in (("nowhere", "no such model folder"), ("empty", "not a whole model folder")):
        with pytest.raises(ModelError, match=f"{name}: {message}"):
            start_from(fresh(), tmp_path / name)


@pytest.mark.parametrize(("form", "share"), [("float16", 0.5), ("int8", 0.25)])
def test_weights_in_fewer_bytes_are_those_that_rounding_gives(tmp_path, form, share):
    checkpoint = fresh(hidden=64)
    before = {name: value.clone() for name, value in checkpoint.weights().items()}
    save_model(checkpoint, tmp_path / "whole", "# card\n")
    with rounded(checkpoint, form):
        inside = {name: value.clone() for name, value in checkpoint.weights().items()}
        save_model(checkpoint, tmp_path / "packed", "# card\n", form=form)
    whole, packed = ((tmp_path / name / "weights.safetensors").stat().st_size for name in ("whole", "packed"))
    assert share <= packed / whole < share + 0.03  # the header is as long
    loaded = load_model(tmp_path / "packed").weights()
    assert all(loaded[name].dtype == before[name].dtype and torch.equal(loaded[name], inside[name]) for name in before)
    assert not all(torch.equal(inside[name], before[name]) for name in before)
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.weights().items())


def test_what_fails_while_weights_are_rounded_leaves_them_as_they_were():
    checkpoint = fresh()
    before = {name: value.clone() for name, value in checkpoint.weights().items()}
    with pytest.raises(AsrError), rounded(checkpoint, "int8"):
        raise AsrError("the disk is full")
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.weights().items())
