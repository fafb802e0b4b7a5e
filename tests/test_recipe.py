import shutil
from pathlib import Path

import pytest

from asr.config import parse_overrides
from asr.errors import AsrError, ConfigError
from asr.recipe import Study, read_recipe, recipe_names, recipes_folder

TONES = str(Path(__file__).with_name("tones"))


def test_the_recipes_that_come_with_the_toolkit():
    names = recipe_names()
    assert {"numbers", "fsdd", "fsdd/all-speakers", "librispeech/mini", "librispeech/clean-100"} <= set(names)
    assert {"librispeech/clean-460", "librispeech/960"} <= set(names)
    assert "librispeech" not in names
    for name in names:
        recipe = read_recipe(name)
        assert recipe.name == name
        assert recipe.config.description
        assert isinstance(recipe, Study) or recipe.prepare_file.is_file()
        assert (recipes_folder() / name.split("/")[0] / "README.md").is_file()


def test_a_variant_lies_over_its_ground():
    ground, variant = read_recipe("fsdd").config, read_recipe("fsdd/all-speakers").config
    assert variant.splits.test == ("official", "connected")
    assert variant.splits.train == ground.splits.train
    assert variant.model == ground.model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fssd", "unknown recipe 'fssd'; did you mean 'fsdd'"),
        ("fsdd/every", "unknown recipe 'fsdd/every'"),
        ("librispeech", "recipe 'librispeech' has variants; choose librispeech/960, .*librispeech/mini"),
        ("librispeech/recipe", "unknown recipe"),
        ("./nowhere", "unknown recipe './nowhere'"),
        ("", "unknown recipe ''"),
    ],
)
def test_unknown_recipes(name, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(name)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hiden=3", r"recipe\.toml with --set: unknown key model\.hiden; did you mean 'hidden'\?"),
        ("model.hidden=many", r"model\.hidden = 'many': input should be a valid integer"),
        ("modle.hidden=3", r"unknown key modle; did you mean 'model'\?"),
        ("splits.train=[]", r"splits\.train = \[\]"),
        ("augmentation.speeds=[0]", r"augmentation\.speeds\.0 = 0"),
    ],
)
def test_settings_that_are_wrong(override, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe("fsdd", parse_overrides([override]))


def test_a_recipe_of_ones_own(tmp_path):
    shutil.copytree(TONES, tmp_path / "mine")
    (tmp_path / "mine" / "quick.toml").write_text("[training]\nepochs = 1\n")
    recipe = read_recipe(str(tmp_path / "mine" / "quick"))
    assert recipe.name == "mine/quick"
    assert recipe.config.training.epochs == 1
    (tmp_path / "mine" / "prepare.py").unlink()
    with pytest.raises(AsrError, match=r"prepare\.py"):
        read_recipe(str(tmp_path / "mine" / "quick"))


def test_a_study_is_known_by_its_table():
    study, quick = read_recipe("long_lag"), read_recipe("long_lag/quick")
    assert isinstance(study, Study)
    assert isinstance(quick, Study)
    assert study.config.long_lag.encoders == quick.config.long_lag.encoders
    assert study.config.long_lag.lags[: len(quick.config.long_lag.lags)] == quick.config.long_lag.lags
    assert quick.config.long_lag.trial.sequences < study.config.long_lag.trial.sequences
    assert study.config.long_lag.seeds >= 3


def test_settings_of_a_study():
    study = read_recipe("long_lag/quick", parse_overrides(["long_lag.lags=[10, 30]", "long_lag.trial.batch=8"]))
    assert study.config.long_lag.lags == (10, 30)
    assert study.config.long_lag.trial.batch == 8


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("long_lag", "long_lag.lag=[10]", r"unknown key long_lag\.lag; did you mean 'lags'\?"),
        (
            "long_lag/quick",
            "model.hidden=3",
            r"quick\.toml with --set: unknown key model; known: description, long_lag",
        ),
        ("fsdd", "long_lag.seeds=3", r"unknown key long_lag"),
    ],
)
def test_a_study_and_a_recipe_with_stages_do_not_mix(name, override, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(name, parse_overrides([override]))
