"""The recipes for the large subsets of LibriSpeech, on a corpus of their layout that is made on the spot."""

from pathlib import Path

import pytest
import torch
from conftest import single_threaded, status_of, write_tone

from asr.checkpoint import load_model
from asr.files import read_json_lines
from asr.manifest import read_manifest
from asr.model import CTCModel, parameter_count
from asr.recipe import read_recipe, recipes_folder
from asr.scoring.figures import read_results

SUBSETS = ("clean-100", "clean-460", "960")
SPLITS = ("train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "test-clean", "test-other")
TEXTS = ("IT WAS SO", "THEY WENT HOME", "SO IT IS", "THE END")
TINY = ("model.channels=2", "model.layers=1", "model.hidden=8", "training.epochs=1", "training.workers=1")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Two speakers in each split, who say two things each, in tones."""
    folder = tmp_path_factory.mktemp("corpora") / "LibriSpeech"
    for place, split in enumerate(SPLITS):
        for speaker in (10 * place, 10 * place + 1):
            chapter = folder / split / str(speaker) / "7"
            names = [f"{speaker}-7-{number:04d}" for number in range(2)]
            for number, name in enumerate(names):
                write_tone(chapter / f"{name}.flac", 300.0 + 10 * speaker, 1.2 + 0.1 * number)
            lines = [f"{name} {TEXTS[(speaker + number) % 4]}\n" for number, name in enumerate(names)]
            (chapter / f"{speaker}-7.trans.txt").write_text("".join(lines))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("subset", SUBSETS)
def test_a_subset_runs_from_the_corpus_to_a_score(corpus, tmp_path, capsys, subset):
    recipe, changes = f"librispeech/{subset}", [word for change in TINY for word in ("--set", change)]
    splits = read_recipe(recipe).config.splits
    with single_threaded():
        assert status_of("data-prep", recipe, "--corpus", corpus, "--exp", tmp_path, *changes) == 0
        assert status_of("check", recipe, "--exp", tmp_path, "--device", "cpu", *changes) == 0
        assert f"check: manifests: train {4 * len(splits.train)} utterances" in (said := capsys.readouterr().err)
        assert "check: memory: " in said
        assert "not in the corpus" not in said
        assert status_of("run", recipe, "--exp", tmp_path, "--device", "cpu", *changes) == 0
    assert "data-prep: up to date" in capsys.readouterr().err
    for name in (*splits.train, *splits.dev, *splits.test):
        assert len(read_manifest(tmp_path / "data" / f"{name}.jsonl")) == 4
    assert read_json_lines(tmp_path / "data" / "dropped.jsonl") == []
    assert len(read_json_lines(tmp_path / "training" / "history.jsonl")) == 1
    assert len(load_model(tmp_path / "model").model.heads) == 2  # letters and phones
    scored = {score.split for score in read_results(tmp_path / "results.json").scores}
    assert scored == {"dev-clean", "test-clean", "test-other"}


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_subset_is_trained_as_mini_is(subset):
    mini, config = (read_recipe(f"librispeech/{name}").config for name in ("mini", subset))
    assert (config.text, config.features, config.model.encoder) == (mini.text, mini.features, mini.model.encoder)
    for section, names in {
        "model": ["subsampling", "channels"],
        "augmentation": ["speeds", "tempo", "warp"],
        "training": ["phone_weight", "crf_weight", "crf_from"],
        "decoding": ["voices"],
    }.items():
        ours, theirs = getattr(config, section), getattr(mini, section)
        assert [getattr(ours, name) for name in names] == [getattr(theirs, name) for name in names]
    assert config.optimizer.kind == mini.optimizer.kind
    by_width = mini.optimizer.learning_rate * (mini.model.hidden / config.model.hidden) ** 0.5
    assert config.optimizer.learning_rate == pytest.approx(by_width, rel=0.06)


def test_the_readme_tells_the_sizes_of_the_subsets():
    page = (recipes_folder() / "librispeech" / "README.md").read_text()
    for subset in SUBSETS:
        config = read_recipe(f"librispeech/{subset}").config
        with torch.device("meta"):
            heads = (len(config.text.alphabet) + 1, 40)  # with CMUdict's 39 phones
            millions = parameter_count(CTCModel(config.features.mel_bins, heads, config.model)) / 1e6
        size, training = config.model, config.training
        row = f"| `{subset}` | {size.layers} x {size.hidden} | {millions:.1f} M | {training.batch_s:g} s "
        assert f"{row}| {config.optimizer.learning_rate:g} | {training.epochs} |" in page
