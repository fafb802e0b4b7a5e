import gzip
import lzma
from itertools import islice
from pathlib import Path

import pytest

from asr.errors import DataError
from asr.lm.corpus import read_sentences
from asr.manifest import Utterance, write_manifest

TEXT = "Hello, World!\n\n***\nIt is No. 5.\r\nlast"
SENTENCES = ["hello world", "it is number five", "last"]


def test_plain_and_compressed_texts(tmp_path):
    plain, zipped, xzipped = (tmp_path / name for name in ("a.txt", "a.txt.gz", "a.txt.xz"))
    plain.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    zipped.write_bytes(gzip.compress(TEXT.encode(), mtime=0))
    xzipped.write_bytes(lzma.compress(TEXT.encode()))
    for path in (plain, zipped, xzipped):
        assert list(read_sentences([path])) == SENTENCES
    assert list(read_sentences([plain, zipped])) == 2 * SENTENCES


def test_transcripts_with_ids_and_manifests(tmp_path):
    transcripts, manifest = tmp_path / "1-2.trans.txt", tmp_path / "dev.jsonl"
    transcripts.write_text("1-2-0000 GOOD MORNING\n1-2-0001 IT'S LATE\n")
    write_manifest(manifest, [Utterance("a", Path("a.wav"), "good night", duration_s=1.0)])
    assert list(read_sentences([transcripts, manifest])) == ["good morning", "it's late", "good night"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", None, "No such file or directory"),
        ("a.txt", b"", "no sentence in it"),
        ("a.txt", b"\n * * *\n", "no sentence in it"),
        ("a.txt", b"good\ncaf\xe9 au lait\n", "not UTF-8 text"),
        ("a.txt", b"good\n\0\0\0\n", ":2: not a text (it has zero bytes)"),
        ("a.txt.gz", gzip.compress(TEXT.encode() * 999, mtime=0)[:-30], "damaged or cut short"),
        ("a.txt.gz", gzip.compress(b"abc", mtime=0)[:6] + b"\xff" * 20, "damaged or cut short"),
        ("a.txt.xz", lzma.compress(TEXT.encode() * 999)[:-30], "damaged or cut short"),
        ("a.txt", "Жил жил, z\n".encode(), "86% of its letters are outside the alphabet (such as 'ж' "),
        ("a.jsonl", b"{}\n", "entry 1 has no"),
    ],
)
def test_texts_that_cannot_be_used(name, content, message, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        list(read_sentences([path]))
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_some_foreign_letters_are_no_harm(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the word мир is russian\n", encoding="utf-8")
    assert list(read_sentences([path])) == ["the word is russian"]


@pytest.mark.corpus
def test_books_come_out_in_the_letters_of_transcripts(corpora):
    sentences = list(islice(read_sentences([corpora / "text" / "gutenberg.txt.xz"]), 20_000))
    assert set("".join(sentences)) == set(" 'abcdefghijklmnopqrstuvwxyz")
    assert all(sentence == " ".join(sentence.split()) for sentence in sentences)
    assert sum("'" in sentence for sentence in sentences) > 100
