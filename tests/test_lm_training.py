import random

import pytest
from conftest import status_of, write_tone

from asr.config import parse_overrides
from asr.errors import ConfigError, DataError
from asr.files import read_json, read_json_lines
from asr.lm.checkpoint import LanguageModel
from asr.lm.neural import NeuralModel
from asr.lm.training import settings_of, train
from asr.optimizer import OptimizerConfig
from asr.report import draw_training

SMALL = (
    "model.hidden=8",
    "model.embedding=8",
    "training.epochs=2",
    "training.batch_tokens=100",
    "training.dev_every=5",
)


def write_text(path, sentences=60, seed=1):
    chance = random.Random(seed)
    path.write_text("\n".join(" ".join(chance.choices(["to", "be", "or", "not"], k=4)) for _ in range(sentences)))
    return path


def small(*changes):
    return settings_of(parse_overrides([*SMALL, *changes]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    train([write_text(folder / "text.txt")], folder / "lm", small(), "asr lm train text.txt", device="cpu")
    return folder


def test_what_is_written(made):
    out = made / "lm"
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == ["model", "training"]
    assert [record["epoch"] for record in read_json_lines(out / "training" / "history.jsonl")] == [1, 2]
    table = read_json(out / "model" / "config.json")
    assert table["language_model"]["hidden"] == 8
    assert (table["training"]["epochs"], table["optimizer"]["learning_rate"]) == (2, 3e-3)
    card = (out / "model" / "README.md").read_text()
    assert card.startswith("# lm\n\nA language model made by asr")
    for words in (
        "| Command | `asr lm train text.txt` |",
        "| Training text | text.txt: 192 tokens in 48 sentences |",
        "| Vocabulary | 6 tokens, words |",
        "| Perplexity per token on sentences held out |",
    ):
        assert words in card
    assert set(read_json(out / "model" / "vocabulary.json")["tokens"][2:]) == {"to", "be", "or", "not"}


def test_held_out_sentences_are_not_learned(tmp_path, capsys):
    """Every fifth beginning with the first, and their words are not even in the vocabulary."""
    lines = ["seldom heard" if number % 5 == 0 else "to be or not" for number in range(50)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    train([tmp_path / "text.txt"], tmp_path / "lm", small(), "", device="cpu")
    assert set(LanguageModel.load(tmp_path / "lm" / "model").vocabulary.tokens[2:]) == {"to", "be", "or", "not"}
    assert "check: vocabulary: 6 tokens; unknown in train 0.00%, in dev 100.00%" in capsys.readouterr().err


def test_a_text_for_dev_leaves_all_to_learn_from(tmp_path, capsys):
    text, dev = write_text(tmp_path / "text.txt"), write_text(tmp_path / "dev.txt", 7, seed=2)
    train([text], tmp_path / "lm", small(), "", dev, "cpu")
    assert "check: text: train 240 tokens in 60 sentences; dev 7 sentences" in capsys.readouterr().err
    assert "Perplexity per token on dev.txt" in (tmp_path / "lm" / "model" / "README.md").read_text()


def test_the_same_command_goes_on_or_finds_all_done(tmp_path, capsys):
    text, out = write_text(tmp_path / "text.txt"), tmp_path / "lm"
    train([text], out, small(), "", device="cpu")
    weights = (out / "model" / "weights.safetensors").read_bytes()
    history = (out / "training" / "history.jsonl").read_bytes()
    train([text], out, small("training.save_every_s=1"), "", device="cpu")
    assert "going on in epoch 3" in capsys.readouterr().err
    assert (out / "training" / "history.jsonl").read_bytes() == history
    train([text], out, small("training.epochs=1"), "", device="cpu")
    assert len(read_json_lines(out / "training" / "history.jsonl")) == 1
    assert (out / "model.previous" / "weights.safetensors").read_bytes() == weights
    write_text(text, seed=3)
    train([text], out, small("training.epochs=1"), "", device="cpu")
    assert "going on" not in capsys.readouterr().err


def test_characters(tmp_path):
    text = write_text(tmp_path / "text.txt")
    train([text], tmp_path / "lm", small("model.units=characters", 'model.alphabet=" beonrt"'), "", device="cpu")
    model = NeuralModel.load(tmp_path / "lm" / "model", "cpu")
    assert "".join(model.vocabulary.tokens[2:]) == " benort"
    assert model.perplexity(["to be"]).tokens == 5


def test_a_setting_changes_one_thing_and_leaves_the_defaults():
    changed = settings_of({"optimizer": {"weight_decay": 0.5}})
    assert changed.optimizer.weight_decay == 0.5
    assert changed.optimizer.learning_rate == settings_of({}).optimizer.learning_rate != OptimizerConfig().learning_rate


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.hiden=8", "--set: unknown key model.hiden; did you mean 'hidden'"),
        ("model.units=letters", "--set: model.units = 'letters': input should be 'words' or 'characters'"),
        ("training.batch_s=3", "--set: unknown key training.batch_s"),
        ("training.dev_every=1", "--set: training.dev_every = 1"),
    ],
)
def test_a_wrong_setting_is_one_line(change, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        small(change)


def test_a_text_of_one_sentence_is_too_little(tmp_path):
    (tmp_path / "text.txt").write_text("to be\n")
    with pytest.raises(DataError, match=r"text\.txt: one sentence, which is too little"):
        train([tmp_path / "text.txt"], tmp_path / "lm", small(), "", device="cpu")


def test_a_picture_of_the_training(made, tmp_path):
    pytest.importorskip("matplotlib")
    history = read_json_lines(made / "lm" / "training" / "history.jsonl")
    assert draw_training(history, tmp_path / "training.png")
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_the_commands(tmp_path, capsys):
    text, out = write_text(tmp_path / "text.txt"), tmp_path / "lm"
    options = [word for setting in SMALL for word in ("--set", setting)]
    train = ["lm", "train", text, "--kind", "lstm", "--out", out, "--units", "characters", "--device", "cpu"]
    assert status_of(*train, *options) == 0
    assert capsys.readouterr().out == f"{out / 'model'}\n"
    assert status_of("lm", "perplexity", out / "model", text, "--device", "cpu") == 0
    assert capsys.readouterr().out.startswith("perplexity ")
    generate = ["lm", "generate", out / "model", "--prompt", "to", "--count", "3", "--length", "9", "--device", "cpu"]
    said = []
    for seed in ("1", "1", "2"):
        assert status_of(*generate, "--seed", seed) == 0
        said.append(capsys.readouterr().out.splitlines())
    assert said[0] == said[1] != said[2]
    assert said[0][1:] == said[2][:2]
    assert all(len(line) <= 9 and line.startswith("to") for line in said[0])


def test_mistakes_are_one_line(made, tmp_path, capsys):
    text, tone = made / "text.txt", write_tone(tmp_path / "tone.wav")
    for arguments, message in (
        (["lm", "train", tmp_path / "gone.txt", "--kind", "lstm", "--out", tmp_path / "lm"], "gone.txt: No such file"),
        (["lm", "perplexity", made / "lm", text], "did you mean"),
        (["lm", "generate", made / "lm" / "model", "--temperature", "-1"], "temperature = -1: 0 or more is needed"),
        (["transcribe", tone, "--model", made / "lm" / "model"], "a language model, where a speech recognition model"),
    ):
        assert status_of(*arguments) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("asr: ")]
        assert message in line
    assert not (tmp_path / "lm").exists()


@pytest.mark.parametrize(
    "options",
    [["--kind", "transformer"], ["--dev", "dev.txt"], ["--set", "model.hidden=3"], ["--kind", "lstm", "--order", "4"]],
)
def test_options_are_for_their_kind(options, tmp_path):
    assert status_of("lm", "train", write_text(tmp_path / "text.txt"), "--out", tmp_path / "lm", *options) == 2
    assert not (tmp_path / "lm").exists()


def test_a_name_for_the_other_kind_is_refused_before_any_work(tmp_path, capsys):
    text = write_text(tmp_path / "text.txt")
    assert status_of("lm", "train", text, "--out", tmp_path) == 2
    assert "a folder; name a file" in " ".join(capsys.readouterr().err.replace("│", "").split())
    assert status_of("lm", "train", text, "--kind", "lstm", "--out", tmp_path / "lm.arpa.gz") == 2
    assert not (tmp_path / "lm.arpa.gz").exists()
