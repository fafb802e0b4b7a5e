import pytest

from asr.errors import AsrError, DataError
from asr.lexicon import of_model
from asr.lexicon.entries import Lexicon, Pronunciation
from asr.lexicon.of_model import FILE, pronunciations_for, read_for
from asr.text import BLANK, SILENCE, Vocabulary

PLAIN = Vocabulary((), phones=(BLANK, "AH", "B", "K", "SIL"))
STRESSED = Vocabulary((), phones=(BLANK, "AH0", "AH1", "B", "K"))


def said(*ways: str) -> tuple[Pronunciation, ...]:
    return tuple(Pronunciation(tuple(way.split())) for way in ways)


@pytest.fixture
def dictionary(tmp_path, monkeypatch):
    """CMUdict's place taken by a dictionary of three words; a phone of one pronunciation is foreign."""
    path = tmp_path / "cmudict.dict"
    path.write_text("a AH0\nbuck B AH1 K\nbuck(2) B UH1 K\ncub K AH1 B\n")
    monkeypatch.setattr(of_model, "find_dictionary", lambda: path)
    return path


def test_the_dictionary_knows_what_the_model_folder_does_not(tmp_path, dictionary):
    (tmp_path / FILE).write_text("a 1 B AH\n")
    assert pronunciations_for(["a", "buck"], tmp_path, PLAIN) == Lexicon({"a": said("B AH"), "buck": said("B AH K")})


def test_stress_is_kept_where_the_model_tells_it(tmp_path, dictionary):
    assert pronunciations_for(["buck"], tmp_path, STRESSED) == Lexicon({"buck": said("B AH1 K")})
    assert pronunciations_for(["buck"], tmp_path, PLAIN) == Lexicon({"buck": said("B AH K")})


def test_a_lexicon_that_is_named_takes_the_place_of_both(tmp_path, dictionary):
    (tmp_path / FILE).write_text("a 1 B AH\n")
    named = tmp_path / "mine.txt"
    named.write_text("a K\n")
    assert pronunciations_for(["a"], tmp_path, PLAIN, named) == Lexicon({"a": said("K")})


def test_where_there_is_no_dictionary_the_model_folder_must_know(tmp_path, monkeypatch):
    def nowhere():
        raise AsrError("no pronunciation dictionary")

    monkeypatch.setattr(of_model, "find_dictionary", nowhere)
    with pytest.raises(AsrError, match="no pronunciation dictionary"):
        pronunciations_for(["a"], tmp_path, PLAIN)
    (tmp_path / FILE).write_text("a 1 B AH\n")
    assert pronunciations_for(["a"], tmp_path, PLAIN) == Lexicon({"a": said("B AH")})


def test_a_phone_that_the_model_lacks_is_named(tmp_path):
    named = tmp_path / "mine.txt"
    named.write_text("a K\nzoo Z UW\n")
    with pytest.raises(DataError, match=r"mine.txt:2: 'zoo': unknown phone 'Z'"):
        read_for(named, PLAIN)


def test_the_model_for_english_says_what_is_left(tmp_path, dictionary, monkeypatch):
    class Letters:
        """Says every letter as one phone."""

        vocabulary = Vocabulary((), phones=("AH", "B", "K"))

        def pronounce(self, words, nbest=1):
            return [list(said(" ".join("B" if letter == "b" else "K" for letter in word))) for word in words]

    monkeypatch.setattr("asr.g2p.pronouncer.shipped", lambda: tmp_path)
    monkeypatch.setattr("asr.g2p.pronouncer.Pronouncer", type("P", (), {"load": staticmethod(lambda path: Letters())}))
    assert pronunciations_for(["bkb", "a"], tmp_path, PLAIN)["bkb"] == said("B K B")
    assert "bkb" not in pronunciations_for(["bkb", "a"], tmp_path, STRESSED)  # it knows no stress


@pytest.mark.parametrize("phone", [BLANK, SILENCE])
def test_a_blank_or_a_silence_is_no_phone_of_a_word(tmp_path, phone):
    (tmp_path / "mine.txt").write_text(f"a {phone}\n")
    with pytest.raises(DataError, match=f"mine.txt:1: 'a': unknown phone '{phone}'; known are AA$"):
        read_for(tmp_path / "mine.txt", Vocabulary((), phones=(BLANK, "AA", SILENCE)))
