import shutil
import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import asr
from asr.checkpoint import create, load_model, save_model
from asr.config import to_table
from asr.ensemble import members
from asr.errors import AsrError, ModelError
from asr.features import FeatureConfig, length_mask
from asr.files import digest
from asr.metrics import count_errors
from asr.model import ModelConfig
from asr.onnx import FILE, INT8_FILE, OnnxModel, marked, open_session, to_int8, to_onnx
from asr.text import Vocabulary

MEL_BINS = 18


def make(folder, seed=2, gain=1, **model):
    """A model folder with random weights; with more gain it says more."""
    features, model = FeatureConfig(16000, MEL_BINS), ModelConfig(**{"channels": 2, "layers": 2, "hidden": 16, **model})
    torch.manual_seed(seed)
    table = {"features": to_table(features), "model": to_table(model)}
    checkpoint = create(features, model, Vocabulary.of_characters(" abcdefgh"), table)
    with torch.no_grad():
        for member in members(checkpoint.model):
            for weight in member.layers.parameters():
                weight *= gain
            member.head.weight *= 20
            member.head.bias[0] -= 5
    save_model(checkpoint, folder, "# card\n")
    checkpoint.model.eval()
    return checkpoint


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model folder with both graphs."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    write_graphs(make(folder, subsampling=2), folder)
    return folder


def write_graphs(checkpoint, folder):
    graph = to_onnx(checkpoint)
    (folder / FILE).write_bytes(marked(graph, folder, False))
    (folder / INT8_FILE).write_bytes(marked(to_int8(graph), folder, True))


@pytest.fixture
def folder(exported, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(exported, tmp_path / "model")


def batch(*lengths):
    """Noise of these lengths, padded with zeros."""
    noise = torch.randn(len(lengths), max(lengths), MEL_BINS, generator=torch.Generator().manual_seed(1))
    return noise * length_mask(torch.tensor(lengths), max(lengths))[..., None], torch.tensor(lengths)


def same(found, expected, tolerance=1e-4):
    (matrices, frames), (others, counts) = found, expected
    assert frames.tolist() == counts.tolist()
    assert matrices.shape == others.shape
    for matrix, other, count in zip(matrices, others, counts, strict=True):
        torch.testing.assert_close(matrix[:count], other[:count], atol=tolerance, rtol=0)


@pytest.mark.parametrize("subsampling", [1, 2, 3, 4])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_graph_does_what_the_model_does(subsampling, layers, tmp_path):
    checkpoint = make(tmp_path / "model", subsampling=subsampling, layers=layers, hidden=5)
    (tmp_path / FILE).write_bytes(to_onnx(checkpoint))
    model = OnnxModel(open_session(tmp_path / FILE), checkpoint.model.config)
    for lengths in ((1,), (2,), (50,), (333,), (7, 80, 1), (40, 40, 39, 4, 12)):
        with torch.inference_mode():
            same(model(*batch(*lengths)), checkpoint.model(*batch(*lengths)))


def test_the_graph_of_networks_that_hear_as_one(tmp_path):
    checkpoint = make(tmp_path / "model", members=2)
    graph = to_onnx(checkpoint)
    (tmp_path / FILE).write_bytes(graph)
    (tmp_path / INT8_FILE).write_bytes(to_int8(graph))
    with torch.inference_mode():
        expected = checkpoint.model(*batch(40, 7))
    for name, tolerance in ((FILE, 1e-4), (INT8_FILE, 0.3)):
        same(OnnxModel(open_session(tmp_path / name), checkpoint.model.config)(*batch(40, 7)), expected, tolerance)
    kinds = Counter(node.op_type for node in onnx.load_from_string(to_int8(graph)).graph.node)
    assert (kinds["DynamicQuantizeLSTM"], kinds["LSTM"]) == (4, 0)


@pytest.mark.parametrize("encoder", ["lstm_1997", "lstm_peephole", "gru", "rnn", "transformer"])
def test_the_graph_of_every_encoder_does_what_the_model_does(encoder, tmp_path):
    checkpoint = make(tmp_path / "model", encoder=encoder, gain=2)
    with torch.no_grad():
        for name, weight in checkpoint.model.named_parameters():
            if "peephole" in name or "bias" in name:
                weight.normal_()
    (tmp_path / FILE).write_bytes(to_onnx(checkpoint))
    model = OnnxModel(open_session(tmp_path / FILE), checkpoint.model.config)
    for lengths in ((1,), (50,), (7, 80, 1), (40, 40, 39, 4, 12)):
        with torch.inference_mode():
            same(model(*batch(*lengths)), checkpoint.model(*batch(*lengths)), 1e-3)


@pytest.mark.parametrize("encoder", ["lstm_1997", "lstm_peephole", "transformer"])
def test_other_encoders_in_8_bits(encoder, tmp_path):
    """They stay near their own, and peepholes are seen: without them it would be another model."""
    checkpoint = make(tmp_path / "model", encoder=encoder)
    checkpoint.model.head.weight.data /= 20
    if encoder == "lstm_peephole":
        for layer in checkpoint.model.layers:
            layer.lstm.peephole_l0.data.fill_(3.0)
            layer.lstm.peephole_l0_reverse.data.fill_(-3.0)
    graph = to_int8(to_onnx(checkpoint))
    (tmp_path / INT8_FILE).write_bytes(graph)
    with torch.inference_mode():
        expected = checkpoint.model(*batch(50))
    same(OnnxModel(open_session(tmp_path / INT8_FILE), checkpoint.model.config)(*batch(50)), expected, 0.02)
    if encoder == "lstm_peephole":
        for name, weight in checkpoint.model.named_parameters():
            weight.data *= "peephole" not in name
        with torch.inference_mode():
            assert (checkpoint.model(*batch(50))[0] - expected[0]).abs().max() > 0.1
    kinds = Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)
    assert (kinds["DynamicQuantizeLSTM"], kinds["MatMulInteger"]) == ((0, 8) if encoder == "transformer" else (2, 0))
    assert kinds["LSTM"] == 0


@pytest.mark.parametrize("encoder", ["gru", "rnn"])
def test_cells_that_there_are_not_in_8_bits(encoder, tmp_path):
    graph = to_onnx(make(tmp_path / "model", encoder=encoder))
    message = f"model.int8.onnx: ONNX Runtime has no {encoder.upper()} of 8 bits, only LSTMs; leave out --int8"
    with pytest.raises(ModelError, match=message):
        to_int8(graph)


def test_export_leaves_the_model_as_it_was(tmp_path):
    checkpoint = make(tmp_path / "model")
    before = checkpoint.model(*batch(30))
    checkpoint.model.train()
    to_onnx(checkpoint)
    assert checkpoint.model.training
    assert torch.equal(checkpoint.model.eval()(*batch(30))[0], before[0])


@pytest.mark.parametrize("encoder", ["lstm", "lstm_peephole", "transformer"])
def test_export_says_nothing(encoder, tmp_path, capfd, recwarn):
    to_int8(to_onnx(make(tmp_path / "model", encoder=encoder)))
    assert capfd.readouterr() == ("", "")
    assert not recwarn


@pytest.mark.parametrize("int8", [False, True])
def test_a_batch_gives_what_its_utterances_give_one_by_one(exported, int8):
    model = OnnxModel.load(exported, int8)
    features, lengths = batch(60, 23, 1, 100)
    matrices, frames = model(features, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(features[row : row + 1, :length], torch.tensor([length]))
        together = matrices[row : row + 1, : frames[row]], frames[row : row + 1]
        same(together, alone, 0.5 if int8 else 1e-5)  # numbers of 8 bits share their scale with the whole batch


def test_the_small_graph_is_small_and_says_nearly_the_same(tmp_path):
    folder = tmp_path / "model"
    write_graphs(make(folder, gain=3, subsampling=2), folder)
    assert (folder / INT8_FILE).stat().st_size < (folder / FILE).stat().st_size
    noise = np.random.default_rng(1).standard_normal(160000).astype(np.float32) / 10
    texts = []
    for int8 in (None, False, True):
        recognizer = asr.load(folder, device="cpu")
        if int8 is not None:
            recognizer.checkpoint.model = OnnxModel.load(folder, int8)
        texts.append(recognizer.transcribe(noise, sample_rate_hz=16000).text)
    by_torch, by_onnx, by_int8 = texts
    assert len(by_torch) > 50
    assert by_onnx == by_torch
    assert count_errors(by_torch, by_int8).cer < 0.3  # a model of random weights is sure of nothing


def test_the_lstms_have_8_bits_and_nothing_else(exported):
    plain, small = (
        Counter(node.op_type for node in onnx.load(exported / name).graph.node) for name in (FILE, INT8_FILE)
    )
    assert plain["LSTM"] == small["DynamicQuantizeLSTM"] == 2
    assert small["LSTM"] == 0
    assert plain["Conv"] == small["Conv"] == 2
    assert plain["MatMul"] == small["MatMul"] == 2


def test_a_graph_tells_where_it_is_from(exported):
    for name, int8 in ((FILE, "false"), (INT8_FILE, "true")):
        marks = {entry.key: entry.value for entry in onnx.load(exported / name).metadata_props}
        weights = digest(exported / "weights.safetensors")
        assert marks == {"asr_version": asr.__version__, "weights": weights, "int8": int8}


def test_the_small_one_is_taken_where_it_is_there(folder):
    features, lengths = batch(50)
    plain, small = (OnnxModel.load(folder, int8)(features, lengths)[0] for int8 in (False, True))
    assert not torch.equal(plain, small)
    assert torch.equal(OnnxModel.load(folder)(features, lengths)[0], small)
    (folder / INT8_FILE).unlink()
    assert torch.equal(OnnxModel.load(folder)(features, lengths)[0], plain)


def test_it_can_be_put_in_the_place_of_a_model(exported):
    model = OnnxModel.load(exported, threads=1)
    assert model.session.get_session_options().intra_op_num_threads == 1
    assert model.config == load_model(exported).model.config
    assert model.eval() is model
    assert model.to(torch.device("cpu")) is model
    features, lengths = batch(9, 4)
    matrices, frames = model(features.double().requires_grad_(), lengths.int())
    assert (matrices.dtype, frames.dtype) == (torch.float32, torch.int64)


def test_a_graph_that_is_not_there(folder):
    (folder / INT8_FILE).unlink()
    with pytest.raises(ModelError, match=r"model.int8.onnx: not there; run 'asr export .*/model --onnx --int8' first"):
        OnnxModel.load(folder, int8=True)
    (folder / FILE).unlink()
    with pytest.raises(ModelError, match=r"/model.onnx: not there; run 'asr export .*/model --onnx' first"):
        OnnxModel.load(folder)


@pytest.mark.parametrize(("int8", "command"), [(False, "--onnx'"), (True, "--onnx --int8'")])
def test_other_weights(folder, int8, command):
    make(folder, seed=3, subsampling=2)
    with pytest.raises(ModelError, match=rf"onnx: made from other weights; run 'asr export .* {command} again"):
        OnnxModel.load(folder, int8)


def test_a_graph_without_marks_belongs_to_nobody(folder):
    (folder / FILE).write_bytes(to_onnx(load_model(folder)))
    with pytest.raises(ModelError, match="made from other weights"):
        OnnxModel.load(folder, int8=False)


@pytest.mark.parametrize("kept", [0, 5, 1000])
def test_a_file_that_is_cut_off(folder, kept):
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"/model.onnx: cut off or not ONNX") as raised:
        OnnxModel.load(folder, int8=False)
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="no such model folder"):
        OnnxModel.load(tmp_path / "none")


def test_without_the_extra(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(AsrError, match=r"onnxruntime is not installed: pip install 'asr\[onnx\]'"):
        OnnxModel.load(exported)
    checkpoint = load_model(exported)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(AsrError, match=r"onnx is not installed: pip install 'asr\[onnx\]'"):
        to_onnx(checkpoint)


def test_cuda_that_is_not_there_is_told(exported, capsys):
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("it is there")
    model = OnnxModel.load(exported, device="cuda")
    assert "this ONNX Runtime has no CUDA and computes on the CPU" in capsys.readouterr().err
    same(model(*batch(50)), OnnxModel.load(exported)(*batch(50)), 0)
