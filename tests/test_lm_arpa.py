import gzip
import random

import numpy as np
import pytest

from asr.errors import AsrError, ModelError
from asr.lm.arpa import read_arpa, write_arpa
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate

SMALL = """\
\\data\\
ngram 1=4
ngram 2=2
ngram 3=1

\\1-grams:
-1.5\t<unk>
-99\t<s>\t-0.25
-1\t</s>
-0.5\thé\t-0.125

\\2-grams:
-0.4\t<s> hé\t-0.5
-0.3\thé </s>

\\3-grams:
-0.1\t<s> hé </s>

\\end\\
"""


@pytest.fixture
def trained():
    generator = random.Random(1)
    words = ["one", "two", "three", "don't", "four", "five", "six"]
    return estimate(count_ngrams([" ".join(generator.choices(words, k=6)) for _ in range(200)], 3), [0, 0, 1])


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
@pytest.mark.parametrize("lines", [7, 100_000])
def test_what_is_written_is_read(name, lines, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("asr.lm.arpa.LINES_PER_BLOCK", lines)
    path = tmp_path / "deep" / name
    write_arpa(trained, path)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert [file.name for file in path.parent.iterdir()] == [name]
    found = read_arpa(path)
    assert (found.words, found.counts) == (trained.words, trained.counts)
    for ours, theirs in zip(found.tables, trained.tables, strict=True):
        assert np.array_equal(ours.keys, theirs.keys)
        assert ours.log10_probability.dtype == np.float32
        np.testing.assert_allclose(ours.log10_probability, theirs.log10_probability, rtol=1e-6)
        np.testing.assert_allclose(ours.log10_backoff, theirs.log10_backoff, rtol=1e-6)


def test_the_same_model_gives_the_same_bytes(trained, tmp_path):
    for name in ("a.arpa.gz", "b.arpa.gz"):
        write_arpa(trained, tmp_path / name)
    assert (tmp_path / "a.arpa.gz").read_bytes() == (tmp_path / "b.arpa.gz").read_bytes()


def test_a_file_by_hand(tmp_path):
    path = tmp_path / "small.arpa"
    path.write_text("\n" + SMALL.replace("\n", "\r\n"), encoding="utf-8", newline="")
    model = read_arpa(path)
    assert (model.words, model.counts) == (["<unk>", "<s>", "</s>", "hé"], [4, 2, 1])
    assert model.tables[0].log10_backoff.tolist() == [0, -0.25, 0, -0.125]
    found = model.perplexity(["hé", "other"])
    assert found.log10_probability == pytest.approx(-0.4 - 0.1 - 0.25 - 1.5 - 1)


def test_the_order_of_lines_is_free(trained, tmp_path):
    write_arpa(trained, tmp_path / "sorted.arpa")
    header, *sections = (tmp_path / "sorted.arpa").read_text().split("\n\n")
    shuffled = [header]
    for section in sections[:-1]:
        heading, *lines = section.splitlines()
        random.Random(2).shuffle(lines)
        shuffled.append("\n".join([heading, *lines]))
    (tmp_path / "shuffled.arpa").write_text("\n\n".join([*shuffled, sections[-1]]))
    texts = ["one two three four", "six five zebra don't"]
    one, other = (read_arpa(tmp_path / name).perplexity(texts) for name in ("sorted.arpa", "shuffled.arpa"))
    assert one.log10_probability == pytest.approx(other.log10_probability)


def test_a_model_without_unknown_gets_it(tmp_path):
    path = tmp_path / "a.arpa"
    path.write_text(SMALL.replace("-1.5\t<unk>\n", "").replace("ngram 1=4", "ngram 1=3"), encoding="utf-8")
    model = read_arpa(path)
    assert model.words == ["<s>", "</s>", "hé", "<unk>"]
    assert model.perplexity(["zebra"]).log10_probability == pytest.approx(-0.25 - 100 - 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "\\data\\",
            "once upon a time",
            ":1: not an ARPA file: it begins with 'once upon a time', not with '\\data\\'",
        ),
        ("ngram 2=2", "ngram 2=two", ":3: 'ngram 2=COUNT' was expected, found 'ngram 2=two'"),
        ("ngram 2=2", "ngram 3=2", ":3: 'ngram 2=COUNT' was expected, found 'ngram 3=2'"),
        ("ngram 1=4\nngram 2=2\nngram 3=1\n", "", "the header counts no n-grams"),
        ("ngram 3=1\n", "", "'\\end\\' was expected, found '\\3-grams:'"),
        ("ngram 1=4", "ngram 1=5", ":11: the header counts 5 1-grams, the section has 4"),
        ("ngram 1=4", "ngram 1=3", ":10: '\\2-grams:' was expected, found '-0.5\thé\t-0.125'"),
        ("ngram 3=1", "ngram 3=2", "the header counts 2 3-grams, the section has 1"),
        ("\\2-grams:", "\\3-grams:", "'\\2-grams:' was expected, found '\\3-grams:'"),
        ("\\end\\\n", "", "'\\end\\' was expected, the file is cut off"),
        ("-0.3\thé </s>", "-0.3\thé", ":14: not a 2-gram: '-0.3 hé'"),
        ("-0.3\thé </s>", "-0.3\thé hé hé </s>", ":14: not a 2-gram: '-0.3 hé hé hé </s>'"),
        ("-0.3\thé </s>", "many\thé </s>", ":14: no log10 probability and backoff: 'many hé </s>'"),
        ("-0.3\thé </s>", "nan\thé </s>", ":14: no log10 probability and backoff: 'nan hé </s>'"),
        ("-0.3\thé </s>", "0.3\thé </s>", ":14: no log10 probability and backoff: '0.3 hé </s>'"),
        ("hé\t-0.125", "hé\t-x", ":10: no log10 probability and backoff: '-0.5 hé -x'"),
        ("-0.3\thé </s>", "-0.3\thá </s>", ":14: the word 'há' is not among the unigrams"),
        ("-0.3\thé </s>", "-0.3\t<s> hé", "a 2-gram stands twice; it ends in 'hé'"),
        ("-0.5\thé", "-0.5\t</s>", ":10: the word '</s>' stands twice"),
        ("<s> hé </s>", "hé <s> </s>", ":17: 'hé <s>', the context of a 3-gram, is not in the model"),
        ("-1\t</s>", "-1\t<end>", "the word '</s>' is not among the unigrams"),
        ("-99\t<s>", "-99\t<begin>", "the word '<s>' is not among the unigrams"),
    ],
)
def test_damage_is_told_in_one_line(old, new, message, tmp_path):
    path = tmp_path / "lm.arpa"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError) as raised:
        read_arpa(path)
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_cut_anywhere_is_refused(trained, tmp_path):
    write_arpa(trained, tmp_path / "whole.arpa")
    whole = (tmp_path / "whole.arpa").read_bytes()
    path = tmp_path / "cut.arpa"
    for length in random.Random(3).sample(range(len(whole) - 1), 60):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut\.arpa"):
            read_arpa(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "the file is empty"),
        (b"mmap lm http://kheafield.com/code format version 5\n\0\0", "a binary file of KenLM; the ARPA file"),
        (bytes(range(256)), "not an ARPA file"),
        (gzip.compress(SMALL.encode(), mtime=0)[:-12], "damaged or cut off"),
        (gzip.compress(SMALL.encode(), mtime=0)[:20] + b"\xff" * 40, "damaged or cut off"),
        (gzip.compress(b"", mtime=0), "not an ARPA file"),
        (SMALL.encode("latin-1"), "a word is not UTF-8 text"),
    ],
)
def test_what_is_no_arpa_file_is_refused(content, message, tmp_path):
    path = tmp_path / "lm.arpa.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError) as raised:
        read_arpa(path)
    assert str(raised.value).startswith(str(path))
    assert message in str(raised.value)


def test_a_place_that_cannot_be_written_is_named(trained, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AsrError, match=r"file/lm\.arpa: cannot be written"):
        write_arpa(trained, tmp_path / "file" / "lm.arpa")


@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_kenlm_gives_the_same_scores(name, trained, tmp_path):
    kenlm = pytest.importorskip("flashlight.lib.text.decoder.kenlm")
    dictionary = pytest.importorskip("flashlight.lib.text.dictionary")
    write_arpa(trained, tmp_path / name)
    model = kenlm.KenLM(str(tmp_path / name), dictionary.Dictionary(trained.words))
    ours, theirs = trained.start(), model.start(False)
    for word in ["one", "two", "don't", "two", "<unk>", "six", "six"]:
        ours, our_score = trained.score(ours, word)
        theirs, their_log10 = model.score(theirs, trained.ids[word])
        assert our_score == pytest.approx(their_log10 * np.log(10), rel=1e-5)
    assert trained.finish(ours) == pytest.approx(model.finish(theirs)[1] * np.log(10), rel=1e-5)
