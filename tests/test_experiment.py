import os
import shutil
import signal
from pathlib import Path

import pytest
from conftest import write_tone

from asr.config import parse_overrides
from asr.errors import AsrError, ConfigError, DataError, Interrupted
from asr.experiment import Experiment
from asr.recipe import read_recipe
from asr.training import Trainer

TONES = str(Path(__file__).with_name("tones"))
SMALL = parse_overrides(["training.epochs=1", "corpus.options.train_utterances=4"])


def experiment(folder, overrides=SMALL, recipe=TONES):
    return Experiment(read_recipe(recipe, overrides), folder / "exp", "asr run tones")


def said(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("warning", "epoch"))]


def test_stages_run_once_and_again_only_when_something_changed(tmp_path, capsys):
    experiment(tmp_path).run()
    exp = tmp_path / "exp"
    assert (exp / "RESULTS.md").read_text().startswith("# Results of tones")
    assert {path.name for path in (exp / "decode").iterdir()} == {"dev.jsonl", "test.jsonl"}
    said(capsys)

    experiment(tmp_path).run()
    assert said(capsys) == [f"{stage}: up to date" for stage in ("data-prep", "train", "decode", "score")]

    (exp / "decode" / "test.jsonl").unlink()  # an output is gone
    experiment(tmp_path).run()
    lines = said(capsys)
    assert lines[:2] == ["data-prep: up to date", "train: up to date"]
    assert lines[2].startswith("decode: again, because decode/test.jsonl")
    assert lines[-1] == "score: up to date"  # the same hypotheses have come back

    changed = parse_overrides(["training.epochs=1", "corpus.options.train_utterances=4", "model.hidden=8"])
    experiment(tmp_path, changed).run("train", "train")
    lines = said(capsys)
    assert lines[0] == "train: again, because model.hidden 24 -> 8"
    assert (exp / "model.previous").is_dir()

    experiment(tmp_path, parse_overrides(["training.epochs=1", "corpus.options.train_utterances=5"])).run(
        "data-prep", "data-prep"
    )
    assert said(capsys)[0] == "data-prep: again, because options.train_utterances 4 -> 5"


def test_force_does_it_again(tmp_path, capsys):
    experiment(tmp_path).run("data-prep", "train")
    said(capsys)
    experiment(tmp_path).run("train", "train", force=True)
    assert said(capsys)[0].startswith("train: 0.0")


def test_a_stage_without_the_one_before(tmp_path):
    with pytest.raises(DataError, match="no manifests; run: asr data-prep tones"):
        experiment(tmp_path).run("train", "train")
    experiment(tmp_path).run("data-prep", "data-prep")
    with pytest.raises(AsrError, match=r"model: no such model folder"):
        experiment(tmp_path).run("decode", "decode")


@pytest.mark.parametrize(
    ("first", "last", "message"), [("trian", "score", "did you mean 'train'"), ("score", "train", "comes after")]
)
def test_stages_that_cannot_be(tmp_path, first, last, message):
    with pytest.raises(ConfigError, match=message):
        experiment(tmp_path).run(first, last)


def test_an_experiment_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "exp").write_text("a file")
    with pytest.raises(AsrError, match="exp"):
        experiment(tmp_path).run()


def test_missing_splits_are_named(tmp_path, capsys):
    experiment(tmp_path).run("data-prep", "data-prep")
    assert "data-prep: other (test) not in the corpus, which has train, dev, test" in said(capsys)
    for use, message in (("train", "nothing to train on: no elsewhere"), ("dev", "nothing to tune on: no elsewhere")):
        overrides = parse_overrides([f'splits.{use}=["elsewhere"]'])
        with pytest.raises(DataError, match=message):
            experiment(tmp_path, overrides).run("data-prep", "data-prep")


def test_a_corpus_is_asked_for_in_words(tmp_path, monkeypatch):
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path / "corpora"))
    with pytest.raises(DataError, match="corpora/fsdd: no such corpus folder; name it with --corpus DIR"):
        experiment(tmp_path, {}, "fsdd").run("data-prep", "data-prep")
    with pytest.raises(ConfigError, match="numbers makes its own speech: --corpus and --download are not for it"):
        Experiment(read_recipe("numbers"), tmp_path / "exp", "", corpus=tmp_path).run("data-prep", "data-prep")


def test_a_stopped_training_is_taken_up_and_a_damaged_one_is_not(tmp_path, capsys, monkeypatch):
    epochs = parse_overrides(["training.epochs=3", "corpus.options.train_utterances=4"])
    experiment(tmp_path, epochs).run("data-prep", "train")
    weights = (tmp_path / "exp" / "model" / "weights.safetensors").read_bytes()
    said(capsys)

    finish_epoch, finished = Trainer._finish_epoch, []

    def stop_after_the_first(self):
        finished.append(finish_epoch(self))
        if len(finished) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return finished[-1]

    monkeypatch.setattr(Trainer, "_finish_epoch", stop_after_the_first)
    with pytest.raises(Interrupted):
        experiment(tmp_path, epochs).run("train", "train", force=True)
    said(capsys)
    experiment(tmp_path, epochs).run("train", "train")
    assert said(capsys)[0].endswith("going on in epoch 2")
    assert len(finished) == 3

    (tmp_path / "exp" / "model" / "weights.safetensors").unlink()
    experiment(tmp_path, epochs).run("train", "train")
    lines = said(capsys)
    assert lines[0].startswith("train: again, because model/weights.safetensors")
    assert len(finished) == 6
    assert (tmp_path / "exp" / "model" / "weights.safetensors").read_bytes() == weights


def test_a_manifest_that_has_gone_is_named(tmp_path):
    experiment(tmp_path).run("data-prep", "data-prep")
    (tmp_path / "exp" / "data" / "dev.jsonl").unlink()
    with pytest.raises(DataError, match=r"data/dev\.jsonl: gone; run: asr data-prep tones"):
        experiment(tmp_path).run("train", "train")


def test_a_list_beside_prepare_counts(tmp_path, capsys):
    shutil.copytree(TONES, tmp_path / "mine")
    (tmp_path / "mine" / "list.txt").write_text("one")
    mine = str(tmp_path / "mine")
    experiment(tmp_path, SMALL, mine).run("data-prep", "data-prep")
    (tmp_path / "mine" / "list.txt").write_text("two")
    said(capsys)
    experiment(tmp_path, SMALL, mine).run("data-prep", "data-prep")
    assert said(capsys)[0].startswith("data-prep: again, because recipe.list.txt")


def test_a_corpus_is_remembered(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ASR_CORPORA", raising=False)
    for name in ("0_ann_0", "1_ann_5", "2_ann_10", "3_bob_10"):
        write_tone(tmp_path / "digits" / "recordings" / f"{name}.wav", sample_rate_hz=8000)
    nobody, bob = (parse_overrides([f"corpus.options.unseen_speakers={names}"]) for names in ("[]", '["bob"]'))
    Experiment(read_recipe("fsdd", nobody), tmp_path / "exp", "", corpus=tmp_path / "digits").run(
        "data-prep", "data-prep"
    )
    said(capsys)
    experiment(tmp_path, bob, "fsdd").run("data-prep", "data-prep")
    lines = said(capsys)
    assert lines[0] == "data-prep: again, because options.unseen_speakers [] -> ['bob']"
    assert lines[-1] == "data-prep: unseen: 1 utterances, 0.00 h"
