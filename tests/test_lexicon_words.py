import io
from pathlib import Path

import pytest

from asr.errors import DataError
from asr.lexicon.words import read_words
from asr.lm.stored import read_ngrams, write_ngrams


def test_the_words_of_a_dictionary_and_of_a_list(tmp_path):
    path = tmp_path / "lexicon.txt"
    path.write_text(
        ";;; CMUdict\n# comment\na AH0\na(2) EY1\n'bout B AW1 T\n\nb(x) B\n(2) T UW1\nnaïve\n", encoding="utf-8"
    )
    assert list(read_words(path)) == ["a", "'bout", "b(x)", "(2)", "naïve"]


def test_words_on_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"two\r\none\r\ntwo\r\n")))
    assert list(read_words(Path("-"))) == ["two", "one"]


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "no words"), (b"\n;;; x\n", "no words"), ("so".encode("utf-16"), "UTF-16")]
)
def test_what_is_no_lexicon_is_refused(tmp_path, content, message):
    path = tmp_path / "lexicon.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"lexicon.txt: .*{message}"):
        read_words(path)


def arpa(path, words):
    lines = [f"-1 {word}" for word in ("<s>", "</s>", "<unk>", *words)]
    path.write_text(f"\\data\\\nngram 1={len(lines)}\n\n\\1-grams:\n" + "\n".join(lines) + "\n\n\\end\\\n")
    return path


def test_the_words_of_a_language_model(tmp_path):
    assert list(read_words(arpa(tmp_path / "lm.arpa", ["cat", "a"]))) == ["cat", "a"]
    write_ngrams(read_ngrams(tmp_path / "lm.arpa"), tmp_path / "lm.ngram")
    assert list(read_words(tmp_path / "lm.ngram")) == ["cat", "a"]
    with pytest.raises(DataError, match=r"lm\.arpa: a language model of characters has no words"):
        read_words(arpa(tmp_path / "lm.arpa", ["a", "b"]))
