import shutil
import subprocess
import sys
import tarfile
import zipfile
from contextlib import chdir
from pathlib import Path

import pytest
from conftest import TONES, status_of, write_tone
from test_architecture import modules_loaded_by

import asr
from asr import shipped
from asr.errors import ModelError
from asr.export import export
from asr.shipped import experiments, find_model, name_of, require_own, shipped_models
from asr.tuner import tune

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a model of words; it is the current folder's neighbour, and `exp/` is empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("ASR_MODEL", raising=False)
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path / "models")
    make(tmp_path / "models" / "g2p-en", '{"pronunciation_model": {}}')
    return tmp_path / "models"


def make(folder, config="{}"):
    Path(folder).mkdir(parents=True)
    (Path(folder) / "config.json").write_text(config)
    return Path(folder)


def with_default(package):
    return make(package / "english-small", '{"features": {}, "model": {}}')


def contents(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_name_stands_for_a_folder_then_an_experiment_then_a_model_of_the_package(package):
    default = with_default(package)
    assert find_model("english-small") == default
    make("exp/english-small/model")
    assert str(find_model("english-small")) == "exp/english-small/model"
    Path("english-small").mkdir()  # no model is in it
    assert str(find_model("english-small")) == "exp/english-small/model"
    (Path("english-small") / "config.json").write_text("{}")
    assert str(find_model("english-small")) == "english-small"
    assert find_model() == default


def test_names_of_experiments(package):
    make("exp/one/model")
    make("exp/two/deeper/model")
    assert str(find_model("two/deeper")) == "exp/two/deeper/model"
    assert str(find_model("exp/two/deeper/model")) == "exp/two/deeper/model"
    assert list(experiments()) == ["one", "two/deeper"]
    assert list(shipped_models()) == ["g2p-en"]


def test_without_a_name_it_is_that_of_the_package_whatever_lies_around(package):
    default = with_default(package)
    assert find_model() == default
    make("exp/one/model")
    assert find_model() == default
    make("exp/two/model")
    assert find_model() == default


def test_the_environment_names_it_too(package, monkeypatch):
    default = with_default(package)
    one = make("exp/one/model")
    for named, folder in (("one", one), (str(one), one), ("english-small", default), ("", default)):
        monkeypatch.setenv("ASR_MODEL", named)
        assert find_model() == folder
    assert find_model("g2p-en") == package / "g2p-en"
    monkeypatch.setenv("ASR_MODEL", "onne")
    with pytest.raises(ModelError, match=r"^\$ASR_MODEL: onne: no such model folder; did you mean 'one'\?$"):
        find_model()


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("two/depeer", "did you mean 'two/deeper'?"),
        ("english-smal", "did you mean 'english-small'?"),
        ("nothing like it", "known: english-small, g2p-en, two/deeper"),
    ],
)
def test_a_mistyped_name(package, named, hint):
    with_default(package)
    make("exp/two/deeper/model")
    with pytest.raises(ModelError) as raised:
        find_model(named)
    assert str(raised.value) == f"{named}: no such model folder; {hint}"


def test_a_folder_that_is_no_model_is_found_and_told_of_when_it_is_loaded(package, babbler):
    shutil.copytree(babbler, "exp/one/model")
    (Path("exp") / "one" / "model" / "config.json").unlink()
    assert str(find_model("exp/one")) == "exp/one"
    with pytest.raises(ModelError, match="^exp/one/model: not a whole model folder: config.json missing$"):
        asr.load("one")


def test_python_means_the_same(package, babbler):
    shutil.copytree(babbler, package / "english-small")
    shutil.copytree(babbler, "exp/one/model")
    names = [asr.load(device="cpu").name, asr.load("english-small", "cpu").name, asr.load("one", "cpu").name]
    assert names == ["english-small", "english-small", "exp/one/model"]
    assert asr.load(Path("exp/one/model"), "cpu").name == "exp/one/model"
    with pytest.raises(ModelError, match=r"^onee: no such model folder; did you mean 'one'\?$"):
        asr.load("onee")


@pytest.mark.parametrize(
    "command",
    [
        "transcribe talk.wav --model MODEL",
        "listen --from talk.wav --model MODEL",
        "serve --port 0 --model MODEL",
        "align talk.wav abc --model MODEL",
        "inspect MODEL",
        "inspect talk.wav --npz talk.npz --model MODEL",
        "tune MODEL talk.jsonl",
        "tune g2p-en talk.jsonl --lm lm.arpa --rescore MODEL",
        "export MODEL --onnx",
        "verify MODEL talk.jsonl",
        f"check {TONES} --init-from MODEL",
        "lm perplexity MODEL talk.txt",
        "lm generate MODEL",
        "lexicon check lexicon.txt --model MODEL",
        "lexicon build --words words.txt --dictionary lexicon.txt --out out.txt --g2p MODEL",
        "lexicon pronounce word --model MODEL",
    ],
)
def test_every_command_takes_names(package, command, capsys):
    with_default(package)
    write_tone(Path("talk.wav"))
    for name, content in (("words.txt", "words\n"), ("lexicon.txt", "a AH\n")):
        Path(name).write_text(content)
    assert status_of(*command.replace("MODEL", "englsh-small").split()) == 1
    assert capsys.readouterr().err.splitlines() == [
        "asr: englsh-small: no such model folder; did you mean 'english-small'?"
    ]


def test_what_a_model_is_called(package):
    default = with_default(package)
    assert name_of(default) == "english-small"
    with chdir(package):
        assert name_of(Path("english-small")) == "english-small"
    assert name_of(Path("exp/one/model")) == "exp/one/model"


@pytest.mark.parametrize("linked", [False, True])
def test_nothing_is_written_into_the_package(package, babbler, tmp_path, linked, capsys):
    folder = package / "english-small"
    shutil.copytree(babbler, folder)
    before = contents(folder)
    if linked:
        Path("mine").symlink_to(folder)
        folder = Path("mine")
    require_own(babbler)
    for write in (lambda: tune(folder, tmp_path / "dev.jsonl"), lambda: export(folder, int8=False)):
        with pytest.raises(ModelError, match=f"^{folder.name}: comes with the package, where nothing is written; copy"):
            write()
    named = "mine" if linked else "english-small"
    for command in (("tune", named, tmp_path / "dev.jsonl"), ("export", named, "--onnx")):
        assert status_of(*command) == 1
        assert capsys.readouterr().err == (
            f"asr: {named}: comes with the package, where nothing is written; copy it first "
            f"(cp -r {folder} {named}-copy) and name {named}-copy\n"
        )
    assert contents(package / "english-small") == before


def test_finding_a_model_loads_nothing_heavy():
    loaded = modules_loaded_by("from asr.shipped import find_model; find_model('g2p-en')")
    assert "asr.shipped" in loaded
    assert not loaded & {"torch", "numpy", "rich"}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The names of all files in a wheel and in a source archive of this package, with one model more."""
    copy = tmp_path_factory.mktemp("package")
    for name in ("asr", "recipes"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "cli.py", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    make(copy / "asr" / "models" / "another")
    for name in ("lm.ngram", "lexicon.txt", "weights.safetensors", "second_lm/vocabulary.json"):
        path = copy / "asr" / "models" / "another" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
    pytest.importorskip("hatchling")
    script = "from hatchling.build import *; build_wheel('dist'); build_sdist('dist')"
    subprocess.run([sys.executable, "-c", script], cwd=copy, check=True, capture_output=True)
    (wheel,), (source,) = (copy / "dist").glob("*.whl"), (copy / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed, tarfile.open(source) as unpacked:
        within = {name.partition("/")[2] for name in unpacked.getnames()}
        return copy, {"wheel": set(packed.namelist()), "source": within}


@pytest.mark.parametrize("kind", ["wheel", "source"])
def test_every_file_of_every_model_is_in_the_package(archives, kind):
    copy, names = archives
    files = {path.relative_to(copy).as_posix() for path in (copy / "asr" / "models").rglob("*") if path.is_file()}
    assert {"asr/models/g2p-en/weights.safetensors", "asr/models/another/second_lm/vocabulary.json"} <= files
    assert files - names[kind] == set()
