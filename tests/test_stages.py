"""Recipes that make a language model of texts and tune their search with it; the other stages: test_experiment."""

import itertools
import random
import shutil
from pathlib import Path

import pytest
from conftest import TONES, single_threaded

from asr.config import merge, parse_overrides
from asr.errors import ConfigError, DataError
from asr.experiment import STAGES, Experiment
from asr.files import digest, read_json
from asr.lm.stored import read_ngrams
from asr.recipe import read_recipe
from asr.scoring.figures import read_results
from asr.tuned import read_tuned

SMALL = ["training.epochs=2", "corpus.options.train_utterances=12", "language_model.order=2"]
WORDS = ["".join(letters) for length in (1, 2, 3) for letters in itertools.product("abc", repeat=length)]
PHONES = {"a": "AA1", "b": "B", "c": "K"}


@pytest.fixture(scope="module", autouse=True)
def one_core():
    """For a few short recordings, threads and processes would take longer to start than to work."""
    with pytest.MonkeyPatch.context() as patch, single_threaded():
        patch.setattr("asr.decoder.available_cores", lambda: 1)
        yield


def write_text(path: Path, sentences: int = 200) -> Path:
    chance = random.Random(1)
    lines = (" ".join(chance.choices(WORDS, k=chance.randint(1, 3))) for _ in range(sentences))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def experiment(folder: Path, *changes: str, recipe: str | Path = TONES) -> Experiment:
    texts = {"language_model": {"texts": [str(folder / "text.txt")]}}
    overrides = merge(texts, parse_overrides([*SMALL, *changes]))
    return Experiment(read_recipe(str(recipe), overrides), folder / "exp", "asr run tones", "cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    write_text(folder / "text.txt")
    experiment(folder).run()
    return folder


def said(capsys) -> dict[str, str]:
    """What was said of each stage first."""
    found: dict[str, str] = {}
    for line in capsys.readouterr().err.splitlines():
        stage, _, rest = line.partition(": ")
        if stage in STAGES:
            found.setdefault(stage, rest)
    return found


def up_to_date(stages: dict[str, str]) -> list[str]:
    return [stage for stage, words in stages.items() if words == "up to date"]


def test_from_recordings_and_text_to_results_with_a_language_model(finished):
    exp = finished / "exp"
    model, copy = exp / "language_model" / "lm.ngram", exp / "model" / "lm.ngram"
    assert model.read_bytes() == copy.read_bytes()
    assert read_tuned(exp / "model").language_model == "lm.ngram"
    assert {path.name for path in (exp / "decode").iterdir()} == {
        f"{split}{kind}.jsonl" for split in ("dev", "test") for kind in ("", ".beam")
    }
    counts = read_ngrams(model).counts
    assert len(counts) == 2
    facts = read_results(exp / "results.json").facts
    assert facts["Language model"] == f"lm.ngram (order 2, {sum(counts)} n-grams, of text.txt)"
    for page in (exp / "RESULTS.md", exp / "model" / "README.md"):
        assert f"| Language model | {facts['Language model']} |" in page.read_text()
    assert {(score.split, score.decoding) for score in read_results(exp / "results.json").scores} == {
        (split, decoding) for split in ("dev", "test") for decoding in ("greedy", "beam")
    }


def test_a_recurrent_language_model_goes_over_the_hypotheses_where_the_recipe_says_so(finished, tmp_path, capsys):
    folder, network = tmp_path / "second", ("words=99", "embedding=4", "hidden=4")
    shutil.copytree(finished, folder)
    changes = ["rescoring.lstm=true", "rescoring.training.epochs=1", *(f"rescoring.model.{each}" for each in network)]
    exp = folder / "exp"
    weights = digest(exp / "model" / "weights.safetensors")
    experiment(folder, *changes).run()
    assert said(capsys)["language-model"].startswith("again, because ")
    assert digest(exp / "model" / "weights.safetensors") == weights
    trained, copy = (exp / name / "weights.safetensors" for name in ("language_model/lstm/model", "model/second_lm"))
    assert trained.read_bytes() == copy.read_bytes()
    facts = read_results(exp / "results.json").facts
    assert facts["Language model"].endswith("of text.txt) and second_lm (an LSTM of 1 x 4 units, 39 words)")
    experiment(folder, *changes).run()
    assert up_to_date(said(capsys)) == list(STAGES)
    experiment(folder).run()
    assert up_to_date(said(capsys)) == ["data-prep", "train"]
    assert read_tuned(exp / "model").second == ""


@pytest.fixture
def settled(finished, tmp_path, capsys) -> Path:
    """A copy to go on with, in which all is up to date."""
    folder = tmp_path / "settled"
    shutil.copytree(finished, folder)
    experiment(folder).run()  # its text has another path, and gives the same language model
    capsys.readouterr()
    return folder


def test_a_second_run_has_nothing_to_do(settled, capsys):
    experiment(settled).run()
    assert up_to_date(said(capsys)) == list(STAGES)


def test_fewer_ngrams_train_nothing_again(settled, capsys):
    weights = digest(settled / "exp" / "model" / "weights.safetensors")
    experiment(settled, "language_model.ngrams=45").run()
    stages = said(capsys)
    assert up_to_date(stages) == ["data-prep", "train"]
    assert stages["language-model"] == "again, because language_model.ngrams 0 -> 45"
    assert stages["tune"] == "again, because files.language_model/lm.ngram changed"
    assert stages["decode"].startswith("again, because model.model/")
    assert digest(settled / "exp" / "model" / "weights.safetensors") == weights
    page = (settled / "exp" / "RESULTS.md").read_text()
    assert f"(order 2, {sum(read_ngrams(settled / 'exp' / 'model' / 'lm.ngram').counts)} n-grams, of text.txt)" in page


def test_another_start_tunes_again_and_another_text_counts_again(settled, capsys):
    experiment(settled, "decoding.beam=20").run("data-prep", "tune")
    stages = said(capsys)
    assert up_to_date(stages) == ["data-prep", "language-model", "train"]
    assert stages["tune"] == "again, because decoding.beam 50 -> 20"
    with (settled / "text.txt").open("a") as stream:
        stream.write("cab cab cab\n")
    experiment(settled, "decoding.beam=20").run("language-model", "language-model")
    assert said(capsys)["language-model"].startswith("again, because texts.")


def test_another_training_tunes_again(settled, capsys):
    experiment(settled, "training.epochs=1").run("train", "tune")
    stages = said(capsys)
    assert stages["train"] == "again, because training.epochs 2 -> 1"
    assert stages["tune"].startswith("again, because files.model/weights.safetensors changed")
    assert read_tuned(settled / "exp" / "model").language_model == "lm.ngram"


@pytest.mark.parametrize("where", ["asr.tuner._search", "asr.tuned.write_json"])
def test_a_tuning_that_is_broken_off_is_done_again(where, settled, capsys, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    fewer = "language_model.ngrams=45"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(where, stop)
        experiment(settled, fewer).run()
    model, told = settled / "exp" / "model", read_json(settled / "exp" / "stages.json")
    assert told["tune"] is None
    if where == "asr.tuned.write_json":  # between the language model's copy and its settings
        assert read_tuned(model) is None
        experiment(settled, fewer).run("decode", "decode")
        assert not list((settled / "exp" / "decode").glob("*.beam.jsonl"))
    said(capsys)
    experiment(settled, fewer).run()
    stages = said(capsys)
    assert up_to_date(stages) == ["data-prep", "language-model", "train"]
    assert stages["tune"].startswith("dev, greedy: WER ")
    assert (model / "lm.ngram").read_bytes() == (settled / "exp" / "language_model" / "lm.ngram").read_bytes()
    assert len(list((settled / "exp" / "decode").glob("*.beam.jsonl"))) == 2


def test_without_the_text_a_run_goes_on_greedily(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path / "corpora"))
    changes = ("training.epochs=1", 'language_model.texts=["text/a.txt"]')
    experiment(tmp_path, *changes).run()
    stages = said(capsys)
    assert stages["language-model"] == (
        f"text/a.txt is not there (looked for at text/a.txt and {tmp_path / 'corpora' / 'text' / 'a.txt'}); decoding "
        "stays greedy; name texts with --set language_model.texts=..."
    )
    assert stages["tune"] == "passed over: no language model"
    assert {path.name for path in (tmp_path / "exp" / "decode").iterdir()} == {"dev.jsonl", "test.jsonl"}
    assert read_results(tmp_path / "exp" / "results.json").facts["Language model"] == "none"

    (tmp_path / "corpora" / "text").mkdir(parents=True)
    write_text(tmp_path / "corpora" / "text" / "a.txt")
    experiment(tmp_path, *changes).run()
    assert up_to_date(said(capsys)) == ["data-prep", "train"]
    assert read_tuned(tmp_path / "exp" / "model").language_model == "lm.ngram"


def test_a_text_that_has_gone_leaves_what_was_made_of_it(settled, capsys):
    (settled / "text.txt").unlink()
    experiment(settled).run()
    stages = said(capsys)
    assert "; the language model stays as it is; " in stages["language-model"]
    assert up_to_date(stages) == ["data-prep", "train", "tune", "decode", "score"]


@pytest.mark.parametrize(("first", "last"), [("tune", "score"), ("data-prep", "language-model")])
def test_a_recipe_without_texts_has_neither_stage(first, last, tmp_path):
    option = "--from tune" if first == "tune" else "--to language-model"
    with pytest.raises(ConfigError, match=rf"^{option}: tones has no language model; its table \[language_model\]"):
        experiment(tmp_path, "language_model.texts=[]").run(first, last)
    assert not (tmp_path / "exp").exists()


def test_wrong_settings_name_the_recipe(tmp_path):
    with pytest.raises(ConfigError, match=r"with --set: language_model: prune '1': unigrams are never left out"):
        experiment(tmp_path, 'language_model.prune="1"')


@pytest.fixture
def phones(tmp_path) -> Path:
    """The tones, with a lexicon."""
    folder = tmp_path / "tones"
    shutil.copytree(TONES, folder)
    lines = [f"{word} {' '.join(PHONES[letter] for letter in word)}\n" for word in WORDS]
    (folder / "lexicon.txt").write_text("".join(lines))
    return folder


def test_phones_alone_need_the_text_before_training(phones, tmp_path):
    with pytest.raises(DataError, match=r"^language-model: .*text\.txt is not there .*phones give no text without"):
        experiment(tmp_path, "text.units=phones", recipe=phones).run()
    assert (tmp_path / "exp" / "data" / "dev.jsonl").is_file()
    assert not (tmp_path / "exp" / "model").exists()


def test_phones_are_searched_by_the_recipes_dictionary(phones, tmp_path, capsys):
    write_text(tmp_path / "text.txt")
    run = experiment(tmp_path, "text.units=phones", recipe=phones)
    run.run()
    model = tmp_path / "exp" / "model"
    lines = (model / "lexicon.txt").read_text().splitlines()
    assert {tuple(line.split()) for line in lines} >= {("ab", "1", "AA", "B"), ("c", "1", "K")}
    assert len(lines) == len(WORDS)
    tuned = {name: digest(model / name) for name in ("decoding.json", "lexicon.txt", "lm.ngram")}
    run.run("tune", "tune", force=True)  # beside a lexicon of its own
    assert {name: digest(model / name) for name in tuned} == tuned
    capsys.readouterr()
    run.run()
    assert up_to_date(said(capsys)) == list(STAGES)
    with (phones / "lexicon.txt").open("a") as stream:
        stream.write("c B\n")
    run.run("data-prep", "tune")
    assert said(capsys)["tune"].startswith("again, because dictionary changed")
    assert len((model / "lexicon.txt").read_text().splitlines()) == len(WORDS) + 1
