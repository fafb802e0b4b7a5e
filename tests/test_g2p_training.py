import random

import pytest
import torch
from safetensors.torch import load_file

from asr.config import parse_overrides
from asr.errors import ConfigError, DataError
from asr.files import read_json, read_json_lines
from asr.g2p.families import part_of
from asr.g2p.pronouncer import Pronouncer
from asr.g2p.scoring import score
from asr.g2p.training import read_parts, settings_of, train

SMALL = (
    "model.hidden=8",
    "model.decoder_hidden=8",
    "model.embedding=8",
    "training.epochs=1",
    "training.batch_tokens=200",
)


def write_dictionary(path, words=150, seed=1):
    """Made words that are said letter by letter, and three that are no words; in every part a few."""
    chance = random.Random(seed)
    made = dict.fromkeys("".join(chance.choices("abcd", k=chance.randint(3, 6))) for _ in range(words))
    lines = [f"{word} {' '.join(word.upper())}" for word in made]
    path.write_text("\n".join([*lines, "a. A", "ab-ba A B B A", "' A"]))
    return path


def small(*changes):
    return settings_of(parse_overrides([*SMALL, *changes]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    dictionary = write_dictionary(folder / "made.dict")
    train(dictionary, folder / "g2p", small(), "asr lexicon train-g2p", licence="mine, MIT", device="cpu")
    return folder


def test_what_is_written(made):
    out = made / "g2p"
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == ["model", "training"]
    assert [record["epoch"] for record in read_json_lines(out / "training" / "history.jsonl")] == [1]
    table = read_json(out / "model" / "config.json")
    assert table["pronunciation_model"]["hidden"] == 8
    assert table["training"]["epochs"] == 1
    assert read_json(out / "model" / "vocabulary.json") == {"letters": [*"abcd"], "phones": [*"ABCD"]}
    weights = load_file(out / "model" / "weights.safetensors").values()
    assert {weight.dtype for weight in weights} == {torch.float16}


def test_the_card_tells_how_well_it_does_what_ships(made):
    card = (made / "g2p" / "model" / "README.md").read_text()
    parts = read_parts(made / "made.dict", "family")
    words = list(parts["test"].entries)
    said = Pronouncer.load(made / "g2p" / "model").pronounce(words)
    errors = score(parts["test"], {word: best.phones for word, (best,) in zip(words, said, strict=True)})
    for words in (
        "| Command | `asr lexicon train-g2p` |",
        f"| Dictionary | made.dict: {len(parts['train'])} pronunciations of {len(parts['train'])} words for training, ",
        f" {len(parts['test'])} words for the test |",
        "| Licence of the data | mine, MIT |",
        "| Split | by family: ",
        "| Phones | A B C D |",
        "(epoch 1 of 1) |",
        f"| Test | {errors}, by a beam of 4 |",
        " words/s on cpu",
    ):
        assert words in card


def test_parts_have_words_of_letters_alone(tmp_path, capsys):
    parts = read_parts(write_dictionary(tmp_path / "made.dict"), "word")
    words = [word for part in parts.values() for word in part.entries]
    assert len(words) == len(set(words)) > 100
    assert not {"a.", "ab-ba", "'"} & set(words)
    assert all(part_of(word, "word") == part for part, found in parts.items() for word in found.entries)
    assert (
        f"3 of {len(words) + 3} words left out, with more in them than a-z and ', such as 'a.'"
        in capsys.readouterr().err
    )


def test_the_same_command_finds_all_done_and_another_split_begins_anew(made, capsys):
    out, dictionary = made / "g2p", made / "made.dict"
    before = {path.name: path.read_bytes() for path in (out / "model").iterdir() if path.name != "README.md"}
    train(dictionary, out, small("training.save_every_s=7"), "asr lexicon train-g2p", device="cpu")
    assert "going on in epoch 2" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (out / "model").iterdir() if path.name != "README.md"} == before
    train(dictionary, out, small(), "asr lexicon train-g2p --split word", split="word", device="cpu")
    assert "going on" not in capsys.readouterr().err
    assert "| Split | by word: " in (out / "model" / "README.md").read_text()
    assert (out / "model.previous" / "weights.safetensors").read_bytes() == before["weights.safetensors"]


def test_a_dictionary_that_is_too_small_is_refused(tmp_path):
    path = tmp_path / "tiny.dict"
    path.write_text("ab A B\nba B A\n")
    with pytest.raises(DataError, match=r"tiny\.dict: 2 words, too few: there is none for (dev|test)$"):
        train(path, tmp_path / "g2p", small(), "", device="cpu")
    path = write_dictionary(tmp_path / "odd.dict")
    rare = next(word for word in read_parts(path, "family")["test"].entries)
    path.write_text(path.read_text().replace(f"\n{rare} ", f"\n{rare} ZH "))
    with pytest.raises(DataError, match="'ZH' stands in words for test and in none for training: too few words$"):
        train(path, tmp_path / "g2p", small(), "", device="cpu")
    assert not (tmp_path / "g2p").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.hiden=8", "--set: unknown key model.hiden; did you mean 'hidden'"),
        ("training.label_smoothing=1.0", "--set: training.label_smoothing = 1.0"),
        ("training.batch_s=3", "--set: unknown key training.batch_s"),
    ],
)
def test_a_wrong_setting_is_one_line(change, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        small(change)
