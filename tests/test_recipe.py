import shutil
from pathlib import Path

import pytest

from asr.config import parse_overrides
from asr.errors import AsrError, ConfigError
from asr.recipe import read_recipe, recipe_names, recipes_folder

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
        assert recipe.prepare_file.is_file()
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
