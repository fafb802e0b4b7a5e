"""What the documentation says is so: commands parse, recipes and settings exist, examples run, links lead somewhere."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
from conftest import write_tone
from test_architecture import LAYERS

import asr
import cli
from asr.checkpoint import create, save_model
from asr.config import build, parse_overrides, to_table
from asr.errors import AsrError
from asr.experiment import STAGES, Experiment
from asr.features import FeatureConfig
from asr.manifest import read_manifest
from asr.model import ENCODERS, ModelConfig
from asr.recipe import RecipeConfig, Study, read_recipe, read_variants, recipe_names
from asr.text import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
RECIPE_PAGES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("recipes/*/README.md"))
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *RECIPE_PAGES]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The content of the fenced blocks in a language.

    >>> blocks("```sh\\nasr recipes\\n```", "sh")
    ['asr recipes\\n']
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str, program: str) -> list[list[str]]:
    """The arguments of every call of a program in the `sh` blocks, as the shell would split them."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.split(" > ")[0], comments=True) for line in lines]
    return [arguments for name, *arguments in filter(None, words) if name in (program, f".venv/bin/{program}")]


def documented(program: str) -> list[object]:
    """A test's parameters: each page that calls the program, with the arguments."""
    calls = [(name, arguments) for name in PAGES for arguments in commands(page(name), program)]
    return [pytest.param(arguments, id=f"{name}: {shlex.join(arguments)}") for name, arguments in calls]


def parse(arguments: list[str]) -> dict[str, object]:
    """The values of a command's parameters; nothing runs.

    Raises:
        click's UsageError: No such command or option, an argument missing or too many.
    """
    command, rest = typer.main.get_command(cli.app), arguments
    while commands_below := getattr(command, "commands", None):
        name, *rest = rest
        assert name in commands_below, f"no command {name}"
        command = commands_below[name]
    return command.make_context(name, rest).params


def check(arguments: list[str]) -> None:
    """As far as a command line can be judged without running it.

    Raises:
        click's UsageError, AsrError: It cannot work.
    """
    values = parse(arguments)
    assert values.get("device", "auto") in ("auto", "cpu", "cuda", "mps")
    assert {values.get("first", STAGES[0]), values.get("last", STAGES[-1])} <= set(STAGES)
    if recipe := values.get("recipe"):
        changes = parse_overrides(values["overrides"] or [])
        if not isinstance(read_recipe(recipe, changes), Study):
            read_variants(recipe, changes, values["variants"] or ())


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder to work in, with the recipe of CONTRIBUTING.md in it as `mine`."""
    monkeypatch.chdir(tmp_path)
    (settings,), (prepare,) = (blocks(page("CONTRIBUTING.md"), language) for language in ("toml", "python"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.toml").write_text(settings)
    (tmp_path / "mine" / "prepare.py").write_text(prepare)
    return tmp_path


@pytest.mark.parametrize("arguments", documented("asr"))
def test_asr_commands(mine, arguments):
    check(arguments)


@pytest.mark.parametrize(
    ("command", "error", "message"),
    [
        ("transcrib a.wav", AssertionError, "no command transcrib"),
        ("run", Exception, "MissingParameter"),
        ("lm trian a.txt --out a.arpa", AssertionError, "no command trian"),
        ("run fsdd --epochs 3", Exception, "No such option"),
        ("run fsdd fsdd", Exception, "unexpected extra argument"),
        ("run fssd", AsrError, "unknown recipe"),
        ("run fsdd --set model.hiden=3", AsrError, "unknown key"),
        ("run fsdd/architectures --variant gro", AsrError, "unknown variant"),
        ("run fsdd --from training", AssertionError, "training"),
    ],
)
def test_a_wrong_command_would_be_found(command, error, message):
    with pytest.raises(error) as raised:
        check(command.split())
    assert message in repr(raised.value)


@pytest.mark.parametrize("arguments", documented("make"))
def test_make_targets(arguments):
    assert set(arguments) <= targets()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))


def test_the_makefile_lists_its_targets():
    phony = re.search(r"^\.PHONY: (.*)$", page("Makefile"), re.MULTILINE)
    described = re.findall(r"^([a-z]+):.*## ", page("Makefile"), re.MULTILINE)
    assert targets() == {"help", "setup", "format", "check", "test", "demo", "bench"}
    assert phony
    assert set(phony[1].split()) == set(described) == targets()


def test_extras_exist():
    extras = tomllib.loads(page("pyproject.toml"))["project"]["optional-dependencies"]
    for name in [*PAGES, "Makefile"]:
        assert set(re.findall(r"\.\[(\w+)\]", page(name))) <= set(extras), name


def test_the_readmes_table_of_a_language_model():
    (table,) = blocks(page("README.md"), "toml")
    config = build(RecipeConfig, {"splits": {"train": ["a"], "dev": ["b"]}, **tomllib.loads(table)}, "README.md")
    assert config.language_model.texts
    assert set(tomllib.loads(table)["language_model"]) | {"units"} == set(to_table(config.language_model))


@pytest.mark.parametrize("name", PAGES)
def test_links_to_files(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", page(name)):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        target = (ROOT / name).parent / path
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in headings}, link


@pytest.mark.parametrize("name", PAGES)
def test_no_page_names_a_path_of_some_machine_or_leaves_a_gap(name):
    assert not re.findall(r"(?:^|[\s`'\"(=])/[A-Za-z]\w*/\w", page(name), re.MULTILINE)
    assert "TODO" not in page(name)


def test_the_readme_shows_the_recipes():
    names = recipe_names()
    width = max(map(len, names))
    listed = "".join(f"{name:{width}}  {read_recipe(name).config.description}\n" for name in names)
    assert listed in blocks(page("README.md"), "text")
    for name in names:
        assert f"[`{name}`]" in page("README.md")


def test_the_readme_tells_of_every_encoder():
    for name, info in ENCODERS.items():
        assert f"| `{name}` | {info.year} |" in page("README.md")


def test_the_python_example_of_the_readme(tmp_path, monkeypatch, capsys):
    features, model = FeatureConfig(16000, 20), ModelConfig(channels=2, layers=1, hidden=8, subsampling=2)
    table = {"features": to_table(features), "model": to_table(model)}
    checkpoint = create(features, model, Vocabulary.of_characters(" abc"), table)
    save_model(checkpoint, tmp_path / "exp" / "numbers" / "model", "# card\n")
    write_tone(tmp_path / "talk.wav")
    (tmp_path / "damaged.mp3").write_bytes(b"not a recording")
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(page("README.md"), "python")
    exec(compile(example, "README.md", "exec"), {})
    heard, again, complaint, from_waveform = capsys.readouterr().out.splitlines()
    assert again == f"talk.wav {heard}"
    assert complaint.startswith("damaged.mp3 damaged.mp3: ")
    assert from_waveform == heard


def test_the_recipe_of_the_guide_prepares_its_data(mine):
    for number, split in enumerate(("train", "dev", "test"), start=1):
        write_tone(mine / "corpus" / split / f"ann-{number}.wav").with_suffix(".txt").write_text("One two\n")
    Experiment(read_recipe("./mine"), mine / "exp", "", corpus=mine / "corpus").run("data-prep", "data-prep")
    (utterance,) = read_manifest(mine / "exp" / "data" / "train.jsonl")
    assert (utterance.id, utterance.text, utterance.speaker) == ("ann-1", "one two", "ann")


def test_the_picture_of_the_layers():
    (picture,) = blocks(page("CONTRIBUTING.md"), "text")
    rows = [line.split()[1:] for line in picture.splitlines()]
    assert rows == [[module.removeprefix("asr.") for module in row] for row in LAYERS]


def test_the_changelog_knows_this_version():
    assert f"## [{asr.__version__}]" in page("CHANGELOG.md") or "## [Unreleased]" in page("CHANGELOG.md")
