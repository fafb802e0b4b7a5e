import sys

import pytest
import torch
from conftest import status_of, write_tone
from test_onnx import batch, make, same

import asr.onnx
from asr.checkpoint import load_model
from asr.errors import AsrError, DataError, ModelError
from asr.export import compare, export
from asr.manifest import Utterance, write_manifest
from asr.onnx import FILE, INT8_FILE, OnnxModel


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def manifest(tmp_path):
    """Three tones, of lengths that differ."""
    tones = (write_tone(tmp_path / f"{number}.wav", 300 * number, 0.4 * number) for number in (1, 2, 3))
    utterances = [Utterance(path.stem, path, "a bad face", duration_s=0.4 * int(path.stem)) for path in tones]
    write_manifest(tmp_path / "dev.jsonl", utterances)
    return tmp_path / "dev.jsonl"


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_is_written(folder):
    before = names(folder)
    by_torch, by_onnx = export(folder, int8=False)
    assert names(folder) == before | {FILE}
    assert (by_torch.name, by_torch.difference) == ("torch", 0)
    assert by_onnx.name == FILE
    assert 0 < by_onnx.difference < 1e-4
    assert by_onnx.errors is None
    same(OnnxModel.load(folder)(*batch(50, 20)), load_model(folder).model.eval()(*batch(50, 20)))
    assert [figures.name for figures in export(folder, int8=True)] == ["torch", FILE, INT8_FILE]
    assert names(folder) == before | {FILE, INT8_FILE}


def test_error_rates(folder, manifest):
    by_torch, by_onnx, by_int8 = export(folder, True, manifest)
    assert by_torch.errors == by_onnx.errors
    assert by_torch.errors.words == by_int8.errors.words == 9
    assert by_torch.errors.character_errors > 0
    heard = list(map(asr.load(folder, device="cpu").transcribe, sorted(manifest.parent.glob("*.wav"))))
    said = {str(number): "a bad face" for number in range(3)}
    expected = asr.metrics.score(said, {str(number): each.text for number, each in enumerate(heard)})
    assert by_torch.errors == asr.metrics.total(expected.values())
    assert f"WER {by_torch.errors.wer:.2%}  CER {by_torch.errors.cer:.2%}" in str(by_torch)


def test_the_first_of_the_utterances(folder, manifest):
    assert [figures.errors.sentences for figures in export(folder, False, manifest, utterances=2)] == [2, 2]


def test_a_graph_that_does_something_else_is_not_kept(folder, monkeypatch):
    export(folder, int8=False)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setitem(asr.onnx.GATES, "lstm", (0, 1, 2, 3))
    with pytest.raises(ModelError, match=r"model.onnx: a log-probability differs by .* from PyTorch's; nothing was"):
        export(folder, int8=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_is_not_a_number_is_not_close(folder):
    checkpoint = load_model(folder)
    with pytest.raises(ModelError, match="int8.onnx: a log-probability differs by nan"):
        compare(checkpoint, {"torch": checkpoint.model, INT8_FILE: spoiled(checkpoint.model)}, [])


def spoiled(model):
    def run(features, lengths):
        log_probabilities, frames = model(features, lengths)
        log_probabilities[-1, 0, 0] = torch.nan
        return log_probabilities, frames

    return run


def test_differences_in_padding_do_not_count(folder):
    checkpoint = load_model(folder)

    def padded(features, lengths):
        log_probabilities, frames = checkpoint.model(features, lengths)
        inside = torch.arange(log_probabilities.shape[1]) < frames[:, None]
        return torch.where(inside[..., None], log_probabilities, 7.0), frames

    assert compare(checkpoint, {"torch": checkpoint.model, FILE: padded}, [])[1].difference == 0


@pytest.mark.parametrize(("int8", "blocked"), [(False, FILE), (True, INT8_FILE)])
def test_a_file_that_cannot_be_written(folder, int8, blocked):
    (folder / blocked).mkdir()
    before = names(folder)
    with pytest.raises(AsrError, match=f"model/{blocked}: cannot be written"):
        export(folder, int8)
    assert names(folder) == before


def test_a_folder_that_cannot_be_written(folder, monkeypatch):
    def refuse(*arguments, **more):
        raise PermissionError(13, "Permission denied")

    before = names(folder)
    monkeypatch.setattr("asr.files.tempfile.mkstemp", refuse)
    with pytest.raises(AsrError, match=r"model/model.onnx: cannot be written \(Permission denied\)"):
        export(folder, int8=True)
    assert names(folder) == before


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_the_extra(folder, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(AsrError, match=rf"{missing} is not installed: pip install 'asr\[onnx\]'"):
        export(folder, int8=False)


def test_manifests_that_cannot_be_used(folder, manifest):
    before = names(folder)
    with pytest.raises(DataError, match="none.jsonl"):
        export(folder, False, folder / "none.jsonl")
    (manifest.parent / "2.wav").write_text("no sound")
    with pytest.raises(AsrError, match="2.wav"):
        export(folder, False, manifest)
    manifest.write_text("")
    with pytest.raises(DataError, match="dev.jsonl: no utterances"):
        export(folder, False, manifest)
    assert names(folder) == before


def test_the_command(folder, manifest, capsys):
    assert status_of("export", folder, "--onnx", "--int8", "--manifest", manifest, "--utterances", "2") == 0
    output = capsys.readouterr()
    assert [line.split()[0] for line in output.out.splitlines()] == ["torch", FILE, INT8_FILE]
    assert all("WER" in line for line in output.out.splitlines())
    assert output.err == ""


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ([], 2, "ONNX is the only form"),
        (["--onnx", "--utterances", "3"], 2, "add --manifest"),
        (["--onnx", "--manifest", "none.jsonl"], 1, "asr: none.jsonl: No such file"),
    ],
)
def test_commands_that_cannot_be(folder, more, status, message, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert status_of("export", folder, *more) == status
    assert message in capsys.readouterr().err
