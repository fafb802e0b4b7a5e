import json

import pytest

from asr.errors import DataError, ModelError
from asr.lm.vocabulary import BOUNDARY, SPECIAL, UNKNOWN, LanguageVocabulary


def test_the_most_frequent_words_equals_by_the_alphabet():
    counts = {"zoo": 3, "ant": 1, "bee": 3, "cow": 2, "dog": 2}
    assert LanguageVocabulary.of_words(counts, 4).tokens == ("</s>", "<unk>", "bee", "zoo", "cow", "dog")
    assert len(LanguageVocabulary.of_words(counts, 100)) == 7


def test_words_to_ids_and_back():
    vocabulary = LanguageVocabulary.of_words({"a": 2, "b": 1}, 9)
    assert vocabulary.encode("b a  x") == [3, 2, UNKNOWN]
    assert vocabulary.decode([3, 2]) == "b a"
    assert vocabulary.encode("") == []


def test_characters_to_ids_and_back():
    vocabulary = LanguageVocabulary.of_characters("b a")
    assert vocabulary.tokens == (*SPECIAL, " ", "a", "b")
    assert vocabulary.encode("ab ac") == [3, 4, 2, 3, UNKNOWN]
    assert vocabulary.decode([3, 4, 2, 3]) == "ab a"


def test_a_text_cannot_spell_the_special_tokens():
    vocabulary = LanguageVocabulary.of_words({"a": 1}, 9)
    assert vocabulary.tokens[BOUNDARY] == "</s>"
    assert vocabulary.encode("</s> <unk>") == [UNKNOWN, UNKNOWN]


def test_it_comes_back_from_the_disk(tmp_path):
    for vocabulary in (LanguageVocabulary.of_words({"é": 1}, 9), LanguageVocabulary.of_characters(" ab")):
        vocabulary.save(tmp_path / "vocabulary.json")
        assert LanguageVocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "'units' must be words or characters"),
        ({"tokens": ["<blank>", "a"]}, "'units' must be words or characters"),
        ({"units": "pieces", "tokens": ["</s>", "<unk>"]}, "'units' must be words or characters"),
        ({"units": "words", "tokens": ["a", "b"]}, "'tokens' must be a list of strings that begins with '</s>' and"),
        ({"units": "words", "tokens": ["</s>", "<unk>", 1]}, "'tokens' must be a list of strings"),
        ({"units": "words", "tokens": ["</s>", "<unk>", "a", "a"]}, "a token stands twice"),
    ],
)
def test_what_is_no_vocabulary_is_named(tmp_path, table, message):
    (tmp_path / "vocabulary.json").write_text(json.dumps(table))
    with pytest.raises(ModelError, match=rf"vocabulary\.json: .*{message}"):
        LanguageVocabulary.load(tmp_path / "vocabulary.json")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"vocabulary\.json: No such file"):
        LanguageVocabulary.load(tmp_path / "vocabulary.json")
