"""What the shell sees: exit statuses, one line for a mistake, a traceback for a bug."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import status_of, write_tone

import cli
from asr import __version__
from asr.checkpoint import create, save_model
from asr.config import to_table
from asr.features import FeatureConfig
from asr.files import locked
from asr.model import ModelConfig
from asr.recipe import recipe_names
from asr.text import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
TONES = str(ROOT / "tests" / "tones")
COMMANDS = (
    "recipes",
    "run",
    "data-prep",
    "check",
    "train",
    "decode",
    "score",
    "plot",
    "tune",
    "transcribe",
    "listen",
    "align",
    "export",
    "inspect",
    "lm",
    "models",
)


def plain(text: str) -> str:
    """The words of a help page, without colours, boxes and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model folder with random weights."""
    features, config = FeatureConfig(16000, 20), ModelConfig(channels=2, layers=1, hidden=8)
    torch.manual_seed(1)
    table = {"features": to_table(features), "model": to_table(config)}
    folder = tmp_path_factory.mktemp("cli") / "model"
    save_model(create(features, config, Vocabulary.of_characters(" abc"), table), folder, "# card\n")
    return folder


@pytest.fixture
def audio(tmp_path) -> Path:
    return write_tone(tmp_path / "tone.wav")


STAGE = ("RECIPE", "--set", "--exp", "--force")
MORE = ("--device", "--init-from", "--noise")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--help"], (*COMMANDS, "--version", "bidirectional LSTM")),
        (["-h"], COMMANDS),
        (["lm", "--help"], ("train", "perplexity", "prune", "compact")),
        (
            ["lm", "train", "--help"],
            ("TEXT...", "--out", "--order", "--units", "--vocabulary-size", "--prune", "--kind"),
        ),
        (["lm", "perplexity", "--help"], ("LM", "TEXT...")),
        (["lm", "prune", "--help"], ("LM", "[TEXT...]", "--out", "--ngrams", "--threshold")),
        (["lm", "compact", "--help"], ("LM", "[TEXT...]", "--out", ".ngram")),
        (["recipes", "--help"], ("List the recipes",)),
        (["models", "--help"], ("come with the package", "--json")),
        (["run", "--help"], (*STAGE, *MORE, "--from", "--to", "--corpus", "--download", "have not changed")),
        (["data-prep", "--help"], (*STAGE, "--corpus", "--download", "cannot be used")),
        (["check", "--help"], (*STAGE[:3], *MORE, "longest batch")),
        (["train", "--help"], (*STAGE, *MORE, "goes on")),
        (["decode", "--help"], (*STAGE, "--device")),
        (["score", "--help"], (*STAGE, "RESULTS.md")),
        (["plot", "--help"], ("EXP", "--out", "WER on dev")),
        (["transcribe", "--help"], ("INPUT", "--model", "--device", "any format")),
        (["listen", "--help"], ("--model", "--input", "--from", "--out", "--seconds", "Ctrl-C ends it")),
        (["export", "--help"], ("MODEL", "--onnx", "--int8", "--manifest", "--utterances", "PyTorch")),
        (["align", "--help"], ("AUDIO", "TEXT|FILE", "--model", "--device", "start and end in seconds")),
    ],
)
def test_help(arguments, words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert status_of(*arguments) == 0
    page = plain(capsys.readouterr().out)
    assert [word for word in words if not re.search(word, page)] == []


@pytest.mark.parametrize(
    ("command", "default"),
    [
        ("train", "default: exp/RECIPE"),
        ("data-prep", "default: its folder below $ASR_CORPORA"),
        ("transcribe", "default: $ASR_MODEL, else english-small"),
    ],
)
def test_help_says_what_is_taken_when_nothing_is_given(command, default, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    status_of(command, "--help")
    assert default in plain(capsys.readouterr().out)


def test_version(capsys):
    assert status_of("--version") == 0
    assert capsys.readouterr() == (f"asr {__version__}\n", "")


def test_no_arguments_show_the_help(capsys):
    assert status_of() in (0, 2)  # which of the two is up to Typer
    page = plain("".join(capsys.readouterr()))
    assert all(command in page for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["--nonsense"], "No such option: --nonsense"),
        (["run", "fsdd", "--epochs", "3"], "No such option: --epochs"),
        (["run"], "Missing argument 'RECIPE'"),
        (["score", "fsdd", "--device", "cpu"], "No such option: --device"),
        (["train", "fsdd", "numbers"], "unexpected extra argument"),
        (["run", "fsdd", "--exp"], "requires an argument"),
        (["transcribe"], "Missing argument 'INPUT"),
        (["align", "a.wav"], "Missing argument 'TEXT|FILE"),
    ],
)
def test_a_command_line_that_is_wrong(arguments, message, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert status_of(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in plain(err)


def complaint(capsys) -> str:
    """The one line on stderr, without its beginning; nothing is on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("asr: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.removeprefix("asr: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "fssd"], "unknown recipe 'fssd'; did you mean 'fsdd'?"),
        (["train", "fsdd/every"], "unknown recipe 'fsdd/every'"),
        (["run", "librispeech"], "recipe 'librispeech' has variants; choose"),
        (["run", TONES, "--set", "training.epoch=3"], "unknown key training.epoch; did you mean 'epochs'?"),
        (["run", TONES, "--set", "training.epochs"], "--set training.epochs: write section.key=value"),
        (["run", TONES, "--set", "=3"], "--set =3: write section.key=value"),
        (["run", TONES, "--set", "training..epochs=3"], "write section.key=value"),
        (["run", TONES, "--set", "training.epochs=many"], "training.epochs = 'many': input should be a valid integer"),
        (["run", TONES, "--set", "training.epochs=1.5"], "training.epochs = 1.5: input should be a valid integer"),
        (["run", TONES, "--set", "training.epochs=0"], "training.epochs = 0: input should be greater than 0"),
        (["run", TONES, "--set", "training=3"], "training = 3"),
        (["run", TONES, "--set", "training.learning_rate=nan"], "training.learning_rate"),
        (["run", TONES, "--set", "splits.train=2020-01-01"], "date"),
        (["run", TONES, "--from", "trian"], "unknown stage 'trian'; did you mean 'train'?"),
        (["run", TONES, "--to", "the-end"], "unknown stage 'the-end'"),
        (["run", TONES, "--from", "score", "--to", "train"], "--from score comes after --to train"),
        (["train", TONES], "no manifests; run: asr data-prep"),
        (["check", TONES], "no manifests; run: asr data-prep tones"),
        (["decode", TONES], "no manifests; run: asr data-prep"),
        (["score", TONES], "no manifests; run: asr data-prep"),
        (["run", TONES, "--exp", "in-the-way"], "in-the-way: the folder cannot be made"),
        (["run", TONES, "--set", "corpus.options.sead=3"], "corpus.options: unknown key sead; did you mean 'seed'?"),
        (["run", TONES, "--corpus", "."], "tones makes its own speech"),
        (["run", "fsdd", "--corpus", "nowhere"], "nowhere: no such corpus folder"),
        (["run", "fsdd", "--corpus", "in-the-way"], "in-the-way: no such corpus folder"),
        (["run", "fsdd", "--corpus", ".", "--set", "text.alphabet=a\nb"], "no recordings called"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in-the-way").write_text("a file")
    assert status_of(*arguments) == 1
    assert message in complaint(capsys)
    assert not (tmp_path / "exp").exists()


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("weights.safetensors", Path.unlink, "not a whole model folder: weights.safetensors missing"),
        ("vocabulary.json", Path.unlink, "not a whole model folder: vocabulary.json missing"),
        ("config.json", Path.unlink, "not a whole model folder: config.json missing"),
        ("weights.safetensors", cut, "weights.safetensors: cut off or not a safetensors file"),
        ("vocabulary.json", cut, "vocabulary.json: "),
        ("config.json", cut, "config.json: "),
        ("weights.safetensors", lambda path: path.write_bytes(b""), "weights.safetensors: cut off or not"),
        ("config.json", lambda path: path.write_text("[]"), "config.json: not a model's settings"),
        ("weights.safetensors", lambda path: torch.save({}, path), "weights.safetensors: a pickle"),
    ],
)
def test_a_model_folder_that_is_not_whole_is_one_line(name, damage, message, model, audio, tmp_path, capsys):
    broken = tmp_path / "model"
    broken.mkdir()
    for path in model.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    damage(broken / name)
    assert status_of("transcribe", audio, "--model", broken) == 1
    line = complaint(capsys)
    assert str(broken) in line
    assert message in line


def test_a_model_folder_that_is_not_there_is_one_line(audio, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASR_MODEL", raising=False)
    monkeypatch.setattr("asr.shipped.SHIPPED", tmp_path / "models")
    assert status_of("transcribe", audio) == 1
    assert complaint(capsys) == f"{tmp_path / 'models' / 'english-small'}: no such model folder"
    (tmp_path / "models" / "small").mkdir(parents=True)
    for wrong in ("nowhere", "tone.wav"):
        assert status_of("transcribe", audio, "--model", wrong) == 1
        assert complaint(capsys) == f"{wrong}: no such model folder; known: small"


def test_a_device_that_is_not_there_is_one_line(model, audio, capsys):
    assert status_of("transcribe", audio, "--model", model, "--device", "tpu") == 1
    assert complaint(capsys) == "device 'tpu' is not known; choose auto, cpu, cuda, mps"
    if not torch.cuda.is_available():
        assert status_of("transcribe", audio, "--model", model, "--device", "cuda") == 1
        assert complaint(capsys) == "device 'cuda' is not there; this machine has cpu"


def write_bad_recordings(folder: Path) -> None:
    (folder / "a folder.wav").mkdir()
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("said the actress to the bishop\n" * 99)
    write_tone(folder / "cut.flac", duration_s=3.0)
    cut(folder / "cut.flac")
    holed = np.ones(16000, np.float32)
    holed[8000] = np.nan
    for name, samples in (("nothing.wav", np.zeros(0, np.float32)), ("nan.wav", holed)):
        soundfile.write(folder / name, samples, 16000, subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.wav", "no such file"),
        ("a folder.wav", "no recordings in this folder or below"),
        ("empty.wav", "the file is empty"),
        ("text.wav", "not a recording"),
        ("cut.flac", "damaged or cut short"),
        ("nothing.wav", "no samples"),
        ("nan.wav", "NaN or infinite samples"),
        ("tone.wav/below.wav", "no such file"),
        ("n" * 300, "File name too long"),
    ],
)
def test_a_recording_that_cannot_be_read_is_one_line(name, message, model, audio, tmp_path, capsys):
    write_bad_recordings(tmp_path)
    assert status_of("transcribe", tmp_path / name, "--model", model) == 1
    line = complaint(capsys)
    assert line.startswith(f"{tmp_path / name}: ")
    assert message in line


TOY = (TONES, "--set", "corpus.options.train_utterances=8", "--set", "training.epochs=2", "--exp")
CHECKS = ["environment", "disk", "manifests", "alphabet", "ctc", "memory"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """An experiment folder after data-prep."""
    folder = tmp_path_factory.mktemp("prepared") / "exp"
    assert status_of("data-prep", *TOY, folder) == 0
    return folder


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "exp"
    shutil.copytree(prepared, folder)
    assert status_of("train", *TOY, folder, "--device", "cpu") == 0
    return folder


@pytest.fixture
def exp(prepared, tmp_path, capsys) -> Path:
    """A prepared experiment folder to spoil."""
    shutil.copytree(prepared, tmp_path / "exp")
    capsys.readouterr()
    return tmp_path / "exp"


def inside(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_check_says_what_it_found_and_trains_nothing(exp, capsys):
    before = inside(exp)
    assert status_of("check", *TOY, exp, "--device", "cpu") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[:2] for line in err.splitlines()] == [["check", name] for name in CHECKS]
    assert "train 8 utterances" in err
    assert "4 of 4 tokens occur in training" in err
    assert inside(exp) == before


def edit(path: Path, number: int, **changes) -> None:
    """Changes an entry of a manifest, as by hand."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    records[number] |= changes
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def make_memory_short(exp, monkeypatch):
    monkeypatch.setattr("asr.preflight.available_memory_bytes", lambda device: 10_000_000)


def spoil_transcript(exp, monkeypatch):
    edit(exp / "data" / "train.jsonl", 2, text="a zebra", id="odd")


def lengthen_transcript(exp, monkeypatch):
    edit(exp / "data" / "train.jsonl", 2, text="abc" * 30, id="odd")


def remove_recording(exp, monkeypatch):
    (exp / "data" / "audio" / "dev-5.wav").unlink()


def remove_utterances(exp, monkeypatch):
    (exp / "data" / "train.jsonl").write_text("")


def forget_duration(exp, monkeypatch):
    edit(exp / "data" / "train.jsonl", 2, duration=None, id="odd")


SHORT_OF_MEMORY = (
    r"not enough memory: about .* needed, 10 MB there: the batch holds \d+ utterances of up to \d\.\d s "
    r"\(training\.batch_s = 4\)"
)


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize(
    ("spoil", "passed", "message"),
    [
        (make_memory_short, 5, SHORT_OF_MEMORY),
        (spoil_transcript, 3, "odd: characters outside the alphabet: 'e' 'r' 'z'"),
        (lengthen_transcript, 4, r"1 utterance with too few frames for CTC: 'odd' \(\d+ frames, 90 needed\)"),
        (remove_recording, 2, r"dev-5\.wav: not there \(1 of 32 recordings are gone\)"),
        (remove_utterances, 2, "train: no utterances"),
        (forget_duration, 2, "train: 'odd' has no duration"),
    ],
)
def test_what_cannot_be_trained_is_refused(command, spoil, passed, message, exp, capsys, monkeypatch):
    spoil(exp, monkeypatch)
    assert status_of(command, *TOY, exp, "--device", "cpu") == 1
    *lines, last = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == CHECKS[:passed]
    assert re.match(f"asr: .*{message}", last)
    assert not (exp / "model").exists()
    assert not (exp / "training").exists()


PNG = b"\x89PNG\r\n\x1a\n"


def test_a_plot_is_a_picture(trained, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    capsys.readouterr()
    for more, picture in (([], trained / "training" / "training.png"), (["--out"], tmp_path / "deep" / "mine.png")):
        with locked(trained):  # also while training goes on
            assert status_of("plot", trained, *more, *([picture] if more else [])) == 0
        assert capsys.readouterr() == (f"{picture}\n", "")
        assert picture.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("history", "message"), [(None, "No such file or directory"), ("", "no epoch has ended yet"), ("{", "not JSON")]
)
def test_a_plot_without_a_history_is_one_line(history, message, exp, capsys):
    path = exp / "training" / "history.jsonl"
    if history is not None:
        path.parent.mkdir()
        path.write_text(history)
    assert status_of("plot", exp) == 1
    line = complaint(capsys)
    assert line.startswith(str(path))
    assert message in line


def test_a_plot_without_matplotlib_names_the_extra(trained, tmp_path, capsys, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    capsys.readouterr()
    assert status_of("plot", trained, "--out", tmp_path / "a.png") == 1
    assert complaint(capsys) == "a picture needs matplotlib: pip install 'asr[plot]'"
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("command", ["run", "data-prep", "train", "decode", "score"])
def test_a_folder_at_work_is_refused(command, exp, capsys):
    before = inside(exp)
    with locked(exp):  # as another process holds it: the system asks for the open file, not for the process
        assert status_of(command, *TOY, exp) == 1
        line = complaint(capsys)
    assert line.startswith(f"{exp}: another run (process ")
    assert "--exp" in line
    before[".lock"] = inside(exp)[".lock"]
    assert inside(exp) == before


@pytest.fixture
def book(tmp_path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("The cat sat on the mat.\nThe dog, No. 5, sat -- on the cat!\nA dog & a cat sat.\n" * 3)
    return path


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_a_language_model_of_words(name, book, tmp_path, capsys):
    model, said = tmp_path / name, tmp_path / "said.jsonl"
    assert status_of("lm", "train", book, "--order", "2", "--prune", "0 3", "--out", model) == 0
    assert capsys.readouterr().out == f"{model}: 13 1-grams, 5 2-grams\n"
    said.write_text('{"audio_filepath": "a.wav", "duration": 1, "text": "The zebra sat on a cat"}\n')
    assert status_of("lm", "perplexity", model, said) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"perplexity \d+\.\d\d \(\d+\.\d\d without unknown words\)", first)
    assert last == "out of vocabulary 16.67% (1 of 6 words)"


def test_a_language_model_of_characters(book, tmp_path, capsys):
    model = tmp_path / "lm.arpa"
    assert status_of("lm", "train", book, "--units", "characters", "--order", "4", "--out", model) == 0
    assert "\tt h e ▁\n" in model.read_text()
    capsys.readouterr()
    assert status_of("lm", "perplexity", model, book) == 0
    lines = capsys.readouterr().out.splitlines()
    by_character, by_word = (float(re.search(r"\d+\.\d\d", line)[0]) for line in lines[:2])
    assert lines[1].startswith("perplexity per word ")
    assert 1 < by_character < by_word
    assert lines[2].startswith("out of vocabulary 0.00% (0 of ")


def test_a_language_model_pruned_and_compact(book, tmp_path, capsys):
    whole, few, small = (tmp_path / name for name in ("lm.arpa", "few.arpa.gz", "lm.ngram"))
    assert status_of("lm", "train", book, "--out", whole) == 0
    assert status_of("lm", "prune", whole, "--ngrams", "30", "--out", few) == 0
    assert status_of("lm", "compact", few, book, "--out", small) == 0
    *_, read, written, change = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{few}: 13 1-grams, \d+ 2-grams, \d+ 3-grams; 0\.00 MB", read)
    assert re.fullmatch(rf"{small}: 13 1-grams, \d+ 2-grams, \d+ 3-grams; 0\.00 MB", written)
    assert read.split(":")[1] == written.split(":")[1]
    assert re.fullmatch(r"perplexity \d+\.\d\d before, \d+\.\d\d after \([+-]0\.\d\d%\)", change)
    outputs = []
    for model in (few, small):
        assert status_of("lm", "perplexity", model, book) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert status_of("lm", "train", book, "--out", small) == 0
    assert small.read_bytes().startswith(b"PK")
    for arguments in (["compact", whole, "--out", few], ["prune", whole, "--out", few]):
        assert status_of("lm", *arguments) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compact", "book.txt", "--out", "a.ngram"], "book.txt:1: not an ARPA file"),
        (["train", "nowhere.txt", "--out", "a.arpa"], "nowhere.txt: No such file or directory"),
        (["train", "book.txt", "--out", "a.arpa", "--prune", "1"], "prune '1': unigrams are never left out"),
        (["train", "book.txt", "--out", "a.arpa", "--order", "30"], "no 11-gram in the text"),
        (["train", "book.txt", "--out", "book.txt/a.arpa"], "book.txt: the folder cannot be made"),
        (["perplexity", "book.txt", "book.txt"], "book.txt:1: not an ARPA file"),
        (["perplexity", "nowhere.arpa", "book.txt"], "nowhere.arpa: No such file or directory"),
    ],
)
def test_a_language_model_that_cannot_be_is_one_line(arguments, message, book, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status_of("lm", *arguments) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("asr: ")
    assert message in last
    assert not (tmp_path / "a.arpa").exists()


@pytest.mark.parametrize("command", ["data-prep", "check", "train", "decode", "score"])
def test_a_study_has_no_stages(command, tmp_path, capsys):
    assert status_of(command, "long_lag/quick", "--exp", tmp_path / "exp") == 1
    assert complaint(capsys) == "long_lag/quick has no stages; use: asr run long_lag/quick"
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--corpus", "."], "--corpus"),
        (["--download"], "--download"),
        (["--init-from", "."], "--init-from"),
        (["--noise", "."], "--noise"),
        (["--from", "train"], "--from"),
        (["--to", "train"], "--to"),
        (["--device", "cuda"], "--device"),
    ],
)
def test_what_a_study_has_no_use_for_is_refused(arguments, option, tmp_path, capsys):
    assert status_of("run", "long_lag", *arguments, "--exp", tmp_path / "exp") == 1
    expected = f"long_lag has no stages and makes its own sequences, on the CPU: {option} is not for it"
    assert complaint(capsys) == expected
    assert not (tmp_path / "exp").exists()


def test_a_study_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    table = {"encoders": "['gru']", "tasks": "['order']", "lags": "[8]", "seeds": 1, "gradient_lag": 8}
    table |= {"trial.sequences": 64, "trial.updates_between_checks": 1, "trial.parameters": 500}
    changes = [word for name, value in table.items() for word in ("--set", f"long_lag.{name}={value}")]
    assert status_of("run", "long_lag", *changes, "--exp", tmp_path / "exp", "--device", "cpu") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"long_lag: {tmp_path / 'exp' / 'RESULTS.md'}\n" in err
    assert "`gru`" in (tmp_path / "exp" / "RESULTS.md").read_text()


def test_recipes_are_listed_with_what_they_are(capsys):
    assert status_of("recipes") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split("  ")[0].strip() for line in out.splitlines()] == recipe_names()
    assert all(len(line.split("  ", 1)[1].strip()) > 10 for line in out.splitlines())


def test_a_bug_keeps_its_traceback(monkeypatch):
    def broken():
        raise RuntimeError("a bug")

    monkeypatch.setattr("asr.recipe.recipe_names", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["recipes"])


def test_a_bug_shows_its_traceback():
    code = (
        "import sys, types, cli\n"
        "sys.modules['asr.recipe'] = types.SimpleNamespace(read_recipe=None, recipe_names=lambda: 1 / 0)\n"
        "cli.main(['recipes'])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback (most recent call last):")
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["recipes", "transcribe"])
def test_a_reader_that_has_gone_is_no_trouble(command, model, audio):
    arguments = ["transcribe", str(audio), str(audio), "--model", str(model)] if command == "transcribe" else [command]
    with subprocess.Popen(
        [sys.executable, "cli.py", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()  # as `| true` does, long before the first line is written
        assert process.stderr.read() == ""
        assert process.wait() in (0, 1)
