from pathlib import Path

import pytest

import asr.corpus
from asr.corpus import CorpusConfig, fetch, locate, neighbours, require
from asr.download import Archive
from asr.errors import DataError
from asr.recipe import read_recipe

CHECKSUM = f"md5:{0:032d}"
ARCHIVES = tuple(Archive(f"https://example.org/{name}.tar.gz", CHECKSUM, name) for name in ("train", "dev", "test"))


@pytest.mark.parametrize(
    ("given", "known", "root", "expected"),
    [
        ("given", "known", "root", "given"),
        ("not-there", "known", "root", "not-there"),  # what was asked for, or an error: never something else
        (None, "known", "root", "known"),
        (None, "not-there", "root", "root/fsdd"),
        (None, None, "root", "root/fsdd"),
        (None, None, None, "corpora/fsdd"),
        (None, None, "", "corpora/fsdd"),
        (None, "known", None, "known"),
    ],
)
def test_where_a_corpus_is_looked_for(tmp_path, monkeypatch, given, known, root, expected):
    monkeypatch.chdir(tmp_path)
    for name in ("given", "known"):
        (tmp_path / name).mkdir()
    monkeypatch.delenv("ASR_CORPORA", raising=False)
    if root is not None:
        monkeypatch.setenv("ASR_CORPORA", root and str(tmp_path / root))
    config = CorpusConfig(folder="fsdd")
    found = locate(config, given and tmp_path / given, known and tmp_path / known)
    assert tmp_path / found == tmp_path / expected


def test_a_corpus_that_is_there_is_given_back(tmp_path):
    assert require(tmp_path) == tmp_path


@pytest.mark.parametrize("content", [None, "a file"])
def test_a_corpus_that_is_not_there_is_asked_for(tmp_path, content):
    folder = tmp_path / "fsdd"
    if content:
        folder.write_text(content)
    with pytest.raises(DataError) as caught:
        require(folder)
    assert str(caught.value) == (
        f"{folder}: no such corpus folder; name it with --corpus DIR, set ASR_CORPORA to the folder that holds fsdd, "
        "or add --download"
    )


@pytest.fixture
def downloads(monkeypatch):
    """What would be downloaded."""
    calls = []
    monkeypatch.setattr(
        asr.corpus, "download", lambda archives, *rest: calls.append(([a.holds for a in archives], *rest))
    )
    return calls


@pytest.mark.parametrize(
    ("splits", "wanted"),
    [
        (["train", "dev"], ["train", "dev"]),
        (["test"], ["test"]),
        (["dev", "train", "dev"], ["train", "dev"]),  # in the publisher's order, each once
        (["elsewhere"], []),
    ],
)
def test_only_what_the_splits_need_is_fetched(tmp_path, downloads, splits, wanted):
    fetch(CorpusConfig("some", archives=ARCHIVES, strip=1), tmp_path, splits)
    assert downloads == [(wanted, tmp_path, 1)]


def test_a_single_archive_holds_every_split(tmp_path, downloads):
    archive = Archive("https://example.org/all.tar.gz", CHECKSUM, "recordings")
    fetch(CorpusConfig("some", archives=(archive,)), tmp_path, ["train", "dev"])
    assert downloads == [(["recordings"], tmp_path, 0)]


def test_a_corpus_without_archives_must_be_there(tmp_path, downloads):
    with pytest.raises(DataError, match="this recipe cannot download fsdd; its README says where to get it"):
        fetch(CorpusConfig("fsdd"), tmp_path / "fsdd", ["train"])
    assert downloads == []
    fetch(CorpusConfig("fsdd"), tmp_path, ["train"])
    assert downloads == [([], tmp_path, 0)]


@pytest.mark.parametrize("variant", ["mini", "clean-100", "clean-460", "960"])
def test_librispeech_can_fetch_all_that_its_splits_need(tmp_path, downloads, variant):
    config = read_recipe(f"librispeech/{variant}").config
    splits = [*config.splits.train, *config.splits.dev, *config.splits.test]
    fetch(config.corpus, tmp_path, splits)
    assert set(downloads[0][0]) == set(splits)


def test_what_is_taken_from_a_corpus_beside_is_fetched_beside(tmp_path, downloads):
    config = read_recipe("librispeech/english-small").config
    splits = [*config.splits.train, *config.splits.dev, *config.splits.test]
    fetch(config.corpus, tmp_path / "LibriSpeech", splits)
    (own, folder, strip), beside = downloads
    assert (set(own), folder, strip) == (set(splits) - {"LJSpeech-1.1"}, tmp_path / "LibriSpeech", 1)
    assert beside == (["LJSpeech-1.1"], tmp_path)


def test_corpora_beside_are_those_that_are_there(tmp_path, monkeypatch):
    (tmp_path / "B").mkdir()
    (tmp_path / "C").write_text("a file")
    config = CorpusConfig("A", beside=("B", "C", "D"))
    assert neighbours(config, tmp_path / "A") == (tmp_path / "B",)
    monkeypatch.chdir(tmp_path)
    assert neighbours(config, Path("A")) == (tmp_path / "B",)
    (tmp_path / "A").mkdir()
    monkeypatch.chdir(tmp_path / "A")
    assert neighbours(config, Path()) == (tmp_path / "B",)
    assert neighbours(CorpusConfig("A"), tmp_path / "A") == ()
