import json

import pytest

from asr.errors import DataError, ModelError
from asr.g2p.vocabulary import PronunciationVocabulary
from asr.lexicon.entries import lexicon_of

LEXICON = lexicon_of([("it's", ("IH", "T", "S"), 1.0), ("tie", ("T", "AY"), 1.0)])
VOCABULARY = PronunciationVocabulary.of(LEXICON)


def test_letters_and_phones_of_a_dictionary():
    assert VOCABULARY.letters == ("'", "e", "i", "s", "t")
    assert VOCABULARY.phones == ("AY", "IH", "S", "T")
    assert VOCABULARY.tokens == ("'", "e", "i", "s", "t", "AY", "IH", "S", "T")


def test_to_numbers_and_back():
    assert VOCABULARY.encode("tie") == [4, 2, 1]
    assert VOCABULARY.encode(" TIE ") == [4, 2, 1]
    assert VOCABULARY.encode("it\N{RIGHT SINGLE QUOTATION MARK}s") == VOCABULARY.encode("it's")
    assert VOCABULARY.encode_phones(("T", "AY")) == [4, 1]
    assert VOCABULARY.decode([0, 4, 1, 0, 0]) == ("T", "AY")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("t4i7", "'t4i7': '4' '7' cannot be said; write numbers and signs in words, with the letters \"'eist\" only"),
        ("\u0442", "'\u0442': '\u0442' cannot be said"),
        ("it is", "'it is': ' ' cannot be said"),
        ("", "'': a word without letters cannot be said"),
        (" ", "' ': a word without letters"),
    ],
)
def test_what_cannot_be_said_is_named(word, message):
    with pytest.raises(DataError) as raised:
        VOCABULARY.encode(word)
    assert str(raised.value).startswith(message)


def test_round_trip(tmp_path):
    VOCABULARY.save(tmp_path / "vocabulary.json")
    assert PronunciationVocabulary.load(tmp_path / "vocabulary.json") == VOCABULARY


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"letters": ["a"]}, "not the vocabulary of a pronunciation model: 'phones' must be a list of names"),
        ({"letters": [], "phones": ["A"]}, "'letters' must be a list of names"),
        ({"letters": ["a", 3], "phones": ["A"]}, "'letters' must be a list of names"),
        ({"letters": ["a"], "phones": ["A", "A"]}, "one of 'phones' stands twice"),
        (["a"], "'letters' must be a list of names"),
    ],
)
def test_what_is_no_vocabulary_is_refused(tmp_path, table, message):
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(table))
    with pytest.raises(ModelError) as raised:
        PronunciationVocabulary.load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
