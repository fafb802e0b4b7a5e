"""Recipes: a TOML file gives every setting, and `prepare.py` beside it knows the corpus.

One of another kind, a study, has the table `long_lag` instead of `splits`, and no `prepare.py`.
"""

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from annotated_types import MinLen

from asr.augment import AugmentationConfig
from asr.config import Table, build, call, merge, nearest, read_toml, settings
from asr.corpus import Corpus, CorpusConfig
from asr.decoder import DecodingConfig
from asr.errors import ConfigError
from asr.features import FeatureConfig
from asr.lag.trial import LagConfig
from asr.lm.from_texts import NGramConfig
from asr.lm.training import LanguageModelSettings
from asr.manifest import Utterance
from asr.model import ModelConfig
from asr.optimizer import OptimizerConfig
from asr.speech import TrainingConfig
from asr.text import TextConfig


@settings
class SplitsConfig:
    """Which of the corpus's splits serve for what; those that are not there are named and passed over."""

    train: Annotated[tuple[str, ...], MinLen(1)]
    dev: Annotated[tuple[str, ...], MinLen(1)]
    test: tuple[str, ...] = ()


@settings
class LanguageModelConfig(NGramConfig):
    """The language model that a recipe makes of texts, and searches with; none where it names no texts."""

    texts: tuple[str, ...] = ()
    """Paths here or below `$ASR_CORPORA`, each with a sentence a line, as `asr lm train` reads them."""


@settings
class RescoringConfig(LanguageModelSettings):
    """A second language model of the same texts, an LSTM, which goes over the best hypotheses of the search."""

    lstm: bool = False


@settings
class RecipeConfig:
    splits: SplitsConfig
    description: str = ""
    corpus: CorpusConfig = CorpusConfig()
    text: TextConfig = TextConfig()
    features: FeatureConfig = FeatureConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    language_model: LanguageModelConfig = LanguageModelConfig()
    rescoring: RescoringConfig = RescoringConfig()
    decoding: DecodingConfig = DecodingConfig()
    """With a language model: where the search for better settings begins."""


@settings
class StudyConfig:
    long_lag: LagConfig
    description: str = ""


@dataclass(frozen=True)
class Recipe:
    name: str
    config: RecipeConfig
    prepare_file: Path
    variants: tuple[str, ...] = ()
    """Those that its file compares; each is a recipe of its own, `NAME/VARIANT`, and this one is their ground."""

    def prepare_files(self) -> list[Path]:
        """`prepare.py` and the lists beside it: what, besides the settings, decides on the data."""
        beside = (path for path in self.prepare_file.parent.iterdir() if path.suffix not in (".md", ".png", ".toml"))
        return sorted(path for path in beside if path.is_file())

    def prepare(self, corpus: Corpus) -> dict[str, list[Utterance]]:
        """What the recipe's own `prepare` finds: every split of the corpus, nothing checked yet."""
        source = f"{self.name}: corpus.options"
        return call(_import(self.prepare_file).prepare, corpus, options=self.config.corpus.options, source=source)


@dataclass(frozen=True)
class Study:
    """A recipe without stages: it trains no recognizer, but holds encoders against each other on made sequences."""

    name: str
    config: StudyConfig


def recipes_folder() -> Path:
    """The recipes that come with the toolkit: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"


def recipe_names(root: Path | None = None) -> list[str]:
    """Every recipe and variant; a `recipe.toml` that is not whole is only the ground of its variants."""
    root = root or recipes_folder()
    names = []
    for path in sorted(root.glob("*/*.toml"), key=lambda path: (path.parent, path.name != "recipe.toml", path.name)):
        if path.name != "recipe.toml":
            names.append(f"{path.parent.name}/{path.stem}")
        elif _whole(read_toml(path)):
            names.append(path.parent.name)
    return names


def read_recipe(name: str, overrides: Table | None = None) -> Recipe | Study:
    """A recipe by name (`fsdd`, `librispeech/mini`, `fsdd/architectures/gru`) or by folder (`./mine`, `./mine/large`).

    Raises:
        ConfigError: No such recipe or variant, or a setting that is not right.
    """
    folder, beyond = _find(name)
    file, variant, *more = (*beyond, "", "")
    base, change = folder / "recipe.toml", folder / f"{file}.toml"
    if not base.is_file() or file == "recipe" or (file and not change.is_file()) or any(more):
        raise ConfigError(f"unknown recipe {name!r}{nearest(name, recipe_names())}")
    table, compared = read_toml(base), {}
    if file:
        table = merge(table, read_toml(change))
        compared = _variants(table.pop("variants", {}), change)
    elif not _whole(table):
        variants = sorted(f"{name}/{path.stem}" for path in folder.glob("*.toml") if path != base)
        raise ConfigError(f"recipe {name!r} has variants; choose {', '.join(variants)}")
    if variant:
        table = merge(table, _variant(compared, variant, change))
    source = (
        f"{change if file else base}{f', variant {variant}' if variant else ''}{' with --set' if overrides else ''}"
    )
    title = "/".join((folder.resolve().name, *beyond))
    if "long_lag" in table:
        return Study(title, build(StudyConfig, merge(table, overrides or {}), source))
    if not (folder / "prepare.py").is_file():
        raise ConfigError(f"{folder / 'prepare.py'}: not there; a recipe needs it")
    config = build(RecipeConfig, merge(table, overrides or {}), source)
    return Recipe(title, config, folder / "prepare.py", () if variant else tuple(compared))


def read_with_stages(name: str, overrides: Table | None = None) -> Recipe:
    """As `read_recipe`, and refuses a study.

    Raises:
        ConfigError: As `read_recipe`; or it is a study.
    """
    recipe = read_recipe(name, overrides)
    if isinstance(recipe, Study):
        raise ConfigError(f"{name} has no stages; use: asr run {name}")
    return recipe


def read_variants(name: str, overrides: Table | None = None, chosen: Sequence[str] = ()) -> dict[str, Recipe]:
    """The recipes that a name stands for: the variants that its file compares, by their names, or itself, by "".

    Args:
        chosen: Only these variants; all where there are none.

    Raises:
        ConfigError: As `read_recipe`; or a variant is chosen where none are compared.
    """
    recipe = read_with_stages(name, overrides)
    if chosen and not recipe.variants:
        raise ConfigError(f"--variant {chosen[0]}: recipe {name!r} compares no variants")
    if not recipe.variants:
        return {"": recipe}
    return {each: read_with_stages(f"{name}/{each}", overrides) for each in chosen or recipe.variants}


def _find(name: str) -> tuple[Path, tuple[str, ...]]:
    """The folder of a recipe, and what of its name goes beyond: a file, a variant in that file."""
    given = Path(name)
    if name.startswith((".", "/")):
        for folder in (given, *given.parents[:2]):
            if (folder / "recipe.toml").is_file():
                return folder, given.parts[len(folder.parts) :]
    family, *beyond = name.strip("/").split("/")
    return recipes_folder() / family, tuple(beyond)


def _variants(tables: Any, source: Path) -> dict[str, Table]:
    """The changes that a file compares, by name; they name folders too."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{source}: variants: a table of settings is needed for each, such as [variants.small.model]")
    if wrong := [name for name in tables if not re.fullmatch(r"\w[\w.-]*", name)]:
        raise ConfigError(f"{source}: variant {wrong[0]!r}: a name has letters, digits, '_', '-' and '.' only")
    return tables


def _variant(compared: dict[str, Table], name: str, source: Path) -> Table:
    if not compared:
        raise ConfigError(f"{source}: compares no variants, so there is no {name!r}")
    if name not in compared:
        raise ConfigError(f"{source}: unknown variant {name!r}{nearest(name, compared)}")
    return compared[name]


def _whole(table: Table) -> bool:
    return "splits" in table or "long_lag" in table


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"asr_recipe_{path.parent.name}", path)
    assert spec is not None  # as it is for any path to a .py file
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
