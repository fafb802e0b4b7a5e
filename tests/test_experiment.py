import os
import shutil
import signal
from pathlib import Path

import pytest
from conftest import write_tone

from asr.config import merge, parse_overrides
from asr.errors import AsrError, ConfigError, DataError, Interrupted, ModelError
from asr.experiment import Experiment
from asr.files import digest, locked, read_json, read_json_lines
from asr.recipe import read_recipe
from asr.scoring.figures import read_results
from asr.training import Trainer

TONES = str(Path(__file__).with_name("tones"))
SMALL = parse_overrides(["training.epochs=1", "corpus.options.train_utterances=4"])


def experiment(folder, overrides=SMALL, recipe=TONES, **more):
    return Experiment(read_recipe(recipe, overrides), folder / "exp", "asr run tones", **more)


def changed(*overrides):
    return merge(SMALL, parse_overrides(overrides))


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

    experiment(tmp_path, changed("model.hidden=8")).run("train", "train")
    lines = said(capsys)
    assert lines[0] == "train: again, because model.hidden 24 -> 8"
    assert (exp / "model.previous").is_dir()

    experiment(tmp_path, changed("corpus.options.train_utterances=5")).run("data-prep", "data-prep")
    assert said(capsys)[0] == "data-prep: again, because options.train_utterances 4 -> 5"


def test_results_do_not_make_decode_stale(tmp_path, capsys):
    experiment(tmp_path).run()
    exp = tmp_path / "exp"
    assert read_json(exp / "results.json") == read_json(exp / "model" / "results.json")
    (exp / "model" / "results.json").write_text("{}\n")
    said(capsys)
    experiment(tmp_path).run()
    lines = said(capsys)
    assert lines[:3] == ["data-prep: up to date", "train: up to date", "decode: up to date"]
    assert lines[3].startswith("score: again, because model/results.json changed")
    assert read_json(exp / "results.json") == read_json(exp / "model" / "results.json")


def test_results_tell_with_which_weights_the_words_were_heard(tmp_path):
    experiment(tmp_path).run()
    exp = tmp_path / "exp"
    before = digest(exp / "model" / "weights.safetensors")
    assert read_results(exp / "results.json").weights == before
    experiment(tmp_path, changed("model.hidden=8")).run("train", "train")
    experiment(tmp_path, changed("model.hidden=8")).run("score", "score")  # of what the old model had heard
    assert read_results(exp / "results.json").weights == before
    assert digest(exp / "model" / "weights.safetensors") != before


def test_force_does_it_again(tmp_path, capsys):
    experiment(tmp_path).run("data-prep", "train")
    said(capsys)
    experiment(tmp_path).run("train", "train", force=True)
    assert said(capsys)[0].startswith("check: environment")


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

    def stop_after_the_first(self, *arguments):
        finished.append(finish_epoch(self, *arguments))
        if len(finished) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return finished[-1]

    monkeypatch.setattr(Trainer, "_finish_epoch", stop_after_the_first)
    with pytest.raises(Interrupted):
        experiment(tmp_path, epochs).run("train", "train", force=True)
    said(capsys)
    experiment(tmp_path, epochs).run("train", "train")
    (opening,) = (line for line in said(capsys) if line.startswith("train: 0.0"))
    assert opening.endswith("going on in epoch 2")
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A parent of `exp`, where a toy has been trained a little."""
    folder = tmp_path_factory.mktemp("trained")
    experiment(folder, changed("training.epochs=6", "corpus.options.train_utterances=24")).run("data-prep", "train")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A parent of `exp`, where a small training has come to its end."""
    folder = tmp_path_factory.mktemp("finished")
    experiment(folder).run("data-prep", "train")
    return folder


@pytest.fixture
def again(finished, tmp_path, capsys) -> Path:
    """The same, to go on with."""
    shutil.copytree(finished / "exp", tmp_path / "exp")
    capsys.readouterr()
    return tmp_path


def weights(folder):
    return (folder / "exp" / "model" / "weights.safetensors").read_bytes()


def first_loss(folder):
    return read_json_lines(folder / "exp" / "training" / "history.jsonl")[0]["loss"]


def noise_folder(folder):
    for frequency_hz in (200, 500):
        write_tone(folder / "noise" / f"{frequency_hz}.wav", frequency_hz, sample_rate_hz=8000)
    return folder / "noise"


def test_training_begins_with_a_trained_model(trained, finished, again, capsys):
    model = trained / "exp" / "model"
    experiment(again, init_from=model).run("train", "train")
    lines = said(capsys)
    assert lines[0] == "train: again, because init_from changed"
    assert lines[1] == f"train: begins with the weights of {model}, 5 of 5 tokens known there"
    assert first_loss(again) < 0.7 * first_loss(finished)

    experiment(again, init_from=model).run("train", "train")
    assert said(capsys) == ["train: up to date"]
    experiment(again).run("train", "train")
    assert said(capsys)[0] == "train: again, because init_from changed"
    assert weights(again) == weights(finished)


def test_training_begins_with_a_model_of_another_alphabet(trained, finished, tmp_path, capsys):
    model = trained / "exp" / "model"
    experiment(tmp_path, changed('text.alphabet=" abcd"'), init_from=model).run("data-prep", "train")
    assert f"train: begins with the weights of {model}, 5 of 6 tokens known there" in said(capsys)
    assert first_loss(tmp_path) < 0.7 * first_loss(finished)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("source", "overrides", "error", "message"),
    [
        ("exp/model", [], ConfigError, "--init-from .*exp/model: this run would write over it; name another --exp"),
        ("exp", [], ConfigError, "--init-from .*exp: this run would write over it"),
        ("nowhere", [], ModelError, "nowhere: no such model folder"),
        ("TRAINED", [], ModelError, "not a whole model folder: .* missing; did you mean .*exp/model"),
        (
            "TRAINED/model",
            ["model.hidden=8"],
            ConfigError,
            "model.hidden is 24 there and 8 here; .*--set model.hidden=24",
        ),
    ],
)
def test_a_model_that_cannot_be_begun_with_is_one_line(
    trained, tmp_path, monkeypatch, check, source, overrides, error, message
):
    monkeypatch.chdir(tmp_path)  # a relative name is found too
    begun = experiment(tmp_path, changed(*overrides), init_from=Path(source.replace("TRAINED", str(trained / "exp"))))
    begun.run("data-prep", "data-prep")
    with pytest.raises(error, match=f"^[^\\n]*{message}[^\\n]*$"):
        begun.check() if check else begun.run("train", "train")
    assert not (tmp_path / "exp" / "model").exists()


def test_a_missing_model_is_named_also_when_training_is_over(again):
    with pytest.raises(ModelError, match="nowhere: no such model folder"):
        experiment(again, init_from=again / "nowhere").run("train", "train")


def test_recordings_of_noise_are_heard_in_training(again, finished, capsys):
    noisy, folder = changed("augmentation.noise_share=0.5"), noise_folder(again)
    heard = []
    for change, noise in ((noisy, None), (noisy, folder), (SMALL, None)):
        experiment(again, change, noise=noise).run("train", "train")
        heard.append(weights(again))
    assert len(set(heard)) == 3
    assert heard[2] == weights(finished)
    said(capsys)


def test_a_change_in_the_noise_is_seen(again, capsys):
    noisy, folder = changed("augmentation.noise_share=0.5"), noise_folder(again)
    experiment(again, noisy, noise=folder).run("train", "train")
    before = weights(again)
    said(capsys)
    experiment(again, noisy, noise=folder).run("train", "train")
    assert said(capsys) == ["train: up to date"]
    write_tone(folder / "deep" / "900.wav", 900, sample_rate_hz=8000)
    experiment(again, noisy, noise=folder).run("train", "train")
    assert said(capsys)[0] == "train: again, because noise changed"
    assert weights(again) != before
    experiment(again, noisy).run("train", "train")  # made noise from here on
    assert said(capsys)[0].startswith("train: again, because noise ")


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("folder", "share", "error", "message"),
    [
        ("noise", 0, ConfigError, r"--noise .*noise: augmentation\.noise_share is 0, so none of it would be heard"),
        ("empty", 0.5, DataError, "empty: no recording in it that can be used as noise"),
        ("nowhere", 0.5, DataError, "nowhere: no such folder to take noise from"),
        ("noise/200.wav", 0.5, DataError, r"200\.wav: no such folder to take noise from"),
    ],
)
def test_noise_that_cannot_be_used_is_one_line(tmp_path, check, folder, share, error, message):
    noise_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    noisy = experiment(tmp_path, changed(f"augmentation.noise_share={share}"), noise=tmp_path / folder)
    noisy.run("data-prep", "data-prep")
    with pytest.raises(error, match=f"^[^\\n]*{message}[^\\n]*$"):
        noisy.check() if check else noisy.run("train", "train")
    assert not (tmp_path / "exp" / "model").exists()


@pytest.mark.parametrize(
    ("overrides", "more"),
    [([], {"noise": "noise"}), ([], {"init_from": "exp/model"}), (["model.hidden=8"], {"device": "tpu"})],
)
def test_a_training_that_is_refused_leaves_the_finished_one_as_it_was(again, capsys, overrides, more):
    noise_folder(again)
    more = {name: value if name == "device" else again / value for name, value in more.items()}
    before, state = weights(again), (again / "exp" / "training" / "state.pt").read_bytes()
    with pytest.raises(AsrError):
        experiment(again, changed(*overrides), **more).run("train", "train")
    assert weights(again) == before
    assert (again / "exp" / "training" / "state.pt").read_bytes() == state
    said(capsys)
    experiment(again).run("train", "train")
    assert said(capsys) == ["train: up to date"]


def test_settings_of_convenience_do_not_train_again(again, capsys):
    easy = changed("training.workers=1", "training.keep_hours=0.0", "training.save_every_s=0.0")
    experiment(again, easy).run("train", "train")
    assert said(capsys) == ["train: up to date"]


def test_training_waits_for_nobody(again):
    with (
        locked(again / "exp"),  # as another process holds it
        pytest.raises(AsrError, match=r"exp: another run \(process \d+, since .*\) is at work in this folder"),
    ):
        experiment(again).run("train", "train", force=True)


def test_a_recipe_of_pieces_goes_all_the_way(tmp_path, capsys):
    pytest.importorskip("sentencepiece")
    pieces = changed("text.units=sentencepiece", "text.pieces=12", "corpus.options.train_utterances=8")
    experiment(tmp_path, pieces).run()
    exp = tmp_path / "exp"
    table = read_json(exp / "data" / "vocabulary.json")
    assert table["sentencepiece"]
    assert 5 < len(table["tokens"]) <= 13
    assert any(len(token) > 1 for token in table["tokens"][1:])
    assert read_json(exp / "model" / "vocabulary.json") == table
    assert {line["id"] for line in read_json_lines(exp / "decode" / "test.jsonl")} == {f"test-{n}" for n in range(24)}
    assert read_json(exp / "score" / "test.json")["wer"] > 0
    said(capsys)
    experiment(tmp_path, pieces).run()
    assert said(capsys) == [f"{stage}: up to date" for stage in ("data-prep", "train", "decode", "score")]
    experiment(tmp_path, merge(pieces, {"text": {"pieces": 10}})).run("data-prep", "data-prep")
    assert said(capsys)[0] == "data-prep: again, because text.pieces 12 -> 10"


def test_too_few_pieces_for_the_alphabet_are_one_line(tmp_path):
    pytest.importorskip("sentencepiece")
    with pytest.raises(ConfigError, match=r"text\.pieces = 3: too few: each of the 4 characters"):
        experiment(tmp_path, changed("text.units=sentencepiece", "text.pieces=3")).run("data-prep", "data-prep")
