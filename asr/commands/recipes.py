"""Recipes: their stages, one by one or all."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asr.commands.options import Device, Overrides, command_line
from asr.errors import AsrError

if TYPE_CHECKING:
    from asr.experiment import Experiment
    from asr.variants import Comparison

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Such as numbers or librispeech/mini: see 'asr recipes'.")
]
Folder = Annotated[
    Path | None, typer.Option("--exp", metavar="DIR", help="The experiment folder (default: exp/RECIPE).")
]
Force = Annotated[bool, typer.Option("--force", help="Do it again even when nothing has changed.")]
CorpusFolder = Annotated[
    Path | None,
    typer.Option("--corpus", metavar="DIR", help="Where the corpus is (default: its folder below $ASR_CORPORA)."),
]
InitFrom = Annotated[
    str | None, typer.Option("--init-from", metavar="NAME|DIR", help="Begin with the weights of this model.")
]
Noise = Annotated[Path | None, typer.Option(metavar="DIR", help="Recordings to mix in as noise (default: made noise).")]
Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", metavar="NAME", help="Only this one of those that the recipe compares."),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch from the publisher what is not there.")]


def recipes() -> None:
    """List the recipes."""
    from asr.recipe import read_recipe, recipe_names

    names = recipe_names()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {read_recipe(name).config.description}")


def run(
    recipe: RecipeName,
    first: Annotated[str, typer.Option("--from", metavar="STAGE", help="The first stage to run.")] = "data-prep",
    last: Annotated[str, typer.Option("--to", metavar="STAGE", help="The last stage to run.")] = "score",
    variants: Variants = None,
    overrides: Overrides = None,
    exp: Folder = None,
    corpus: CorpusFolder = None,
    download: Download = False,
    init_from: InitFrom = None,
    noise: Noise = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Run a recipe: data-prep, language-model, train, tune, decode, score.

    Stages whose inputs have not changed are skipped; language-model and tune where the recipe names no texts.
    A study, such as long_lag, has no stages; trials of it that have ended are not run again.
    """
    more = {"corpus": corpus, "download": download, "init_from": init_from, "noise": noise}
    needless: dict[str, Any] = {f"--{name.replace('_', '-')}": value for name, value in more.items()}
    needless |= {
        "--variant": variants,
        "--from": first != "data-prep",
        "--to": last != "score",
        "--device": device not in ("auto", "cpu"),
    }
    if not _run_study(recipe, overrides, exp, force, needless):
        _run(recipe, variants, overrides, exp, first, last, force, device=device, **more)


def data_prep(
    recipe: RecipeName,
    variants: Variants = None,
    overrides: Overrides = None,
    exp: Folder = None,
    corpus: CorpusFolder = None,
    download: Download = False,
    force: Force = False,
) -> None:
    """Check every utterance and write the manifests; what cannot be used is listed with its reason."""
    _run(recipe, variants, overrides, exp, "data-prep", "data-prep", force, corpus=corpus, download=download)


def check(
    recipe: RecipeName,
    variants: Variants = None,
    overrides: Overrides = None,
    exp: Folder = None,
    init_from: InitFrom = None,
    noise: Noise = None,
    device: Device = "auto",
) -> None:
    """Look at all that training needs, and try its longest batch; 'asr train' does so by itself."""
    from asr.distributed import Processes

    more = {"device": device, "init_from": init_from, "noise": noise}
    _work(recipe, variants, overrides, exp, processes=Processes(), **more).check()


def train(
    recipe: RecipeName,
    variants: Variants = None,
    overrides: Overrides = None,
    exp: Folder = None,
    init_from: InitFrom = None,
    noise: Noise = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Train; a broken-off training goes on where it was."""
    _run(recipe, variants, overrides, exp, "train", "train", force, device=device, init_from=init_from, noise=noise)


def decode(
    recipe: RecipeName,
    variants: Variants = None,
    overrides: Overrides = None,
    exp: Folder = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Write what the model hears in the dev and test splits."""
    _run(recipe, variants, overrides, exp, "decode", "decode", force, device=device)


def score(
    recipe: RecipeName, variants: Variants = None, overrides: Overrides = None, exp: Folder = None, force: Force = False
) -> None:
    """Score the decoded splits and write RESULTS.md."""
    _run(recipe, variants, overrides, exp, "score", "score", force)


def plot(
    exp: Annotated[Path, typer.Argument(metavar="EXP", help="An experiment folder, such as exp/numbers.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="The picture (default: EXP/training/training.png).")
    ] = None,
) -> None:
    """Draw loss, WER on dev and learning rate by epoch, also while training goes on."""
    from asr.errors import DataError
    from asr.files import read_json_lines
    from asr.report import draw_training

    history, picture = exp / "training" / "history.jsonl", out or exp / "training" / "training.png"
    records = read_json_lines(history)
    if not records:
        raise DataError(f"{history}: no epoch has ended yet")
    if not draw_training(records, picture):
        raise AsrError("a picture needs matplotlib: pip install 'asr[plot]'")
    print(picture)


def _run(
    recipe: str,
    variants: list[str] | None,
    overrides: list[str] | None,
    exp: Path | None,
    first: str,
    last: str,
    force: bool,
    **more: Any,
) -> None:
    from asr.distributed import together

    with together() as processes:
        _work(recipe, variants, overrides, exp, processes=processes, **more).run(first, last, force)


def _work(
    name: str, variants: list[str] | None, overrides: list[str] | None, exp: Path | None, **more: Any
) -> "Experiment | Comparison":
    """The experiment of a recipe, or those of the variants that it compares."""
    from asr.config import parse_overrides
    from asr.experiment import Experiment
    from asr.recipe import read_variants, read_with_stages
    from asr.shipped import find_model
    from asr.variants import Comparison

    changes = parse_overrides(overrides or [])
    recipe, chosen = read_with_stages(name, changes), read_variants(name, changes, variants or ())
    folder = exp or Path("exp") / recipe.name
    if begin := more.get("init_from"):
        more["init_from"] = find_model(begin)
    if not recipe.variants:
        return Experiment(recipe, folder, command_line(), **more)
    every = read_variants(name, changes).items()  # what is shown side by side, also of earlier runs
    experiments = {each: Experiment(found, folder / each, command_line(), **more) for each, found in every}
    return Comparison(recipe, folder, experiments, list(chosen))


def _run_study(
    recipe: str, overrides: list[str] | None, exp: Path | None, force: bool, needless: dict[str, Any]
) -> bool:
    """Runs the recipe if it is a study; False where it has stages.

    Args:
        needless: Options that only stages know, with what was given for them.
    """
    from asr.config import parse_overrides
    from asr.errors import ConfigError
    from asr.recipe import Study, read_recipe

    study = read_recipe(recipe, parse_overrides(overrides or []))
    if not isinstance(study, Study):
        return False
    if given := [option for option, value in needless.items() if value]:
        raise ConfigError(f"{recipe} has no stages and makes its own sequences, on the CPU: {given[0]} is not for it")
    from asr.lag.study import run_study

    run_study(study.name, study.config.long_lag, exp or Path("exp") / study.name, command_line(), force)
    return True
