import gzip
import io
import random
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from asr.errors import AsrError, ModelError
from asr.lm import compact
from asr.lm.compact import is_compact, read_compact, read_compact_words, write_compact
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate
from asr.lm.ngram import NGramModel, Table


def sentences(seed, count, words):
    generator = random.Random(seed)
    return [
        " ".join(generator.choices(words, range(1, len(words) + 1), k=generator.randint(1, 9))) for _ in range(count)
    ]


def trained(order=3, words=300, texts=2000):
    names = [f"wörd{number}" for number in range(words)]
    return estimate(count_ngrams(sentences(1, texts, names), order), [0, 0, 1][:order])


@pytest.fixture(scope="module")
def model():
    return trained()


@pytest.fixture
def path(model, tmp_path):
    write_compact(model, tmp_path / "deep" / "lm.ngram")
    return tmp_path / "deep" / "lm.ngram"


def test_what_is_written_is_read(model, path):
    assert [file.name for file in path.parent.iterdir()] == ["lm.ngram"]
    found = read_compact(path)
    assert (found.words, found.counts) == (model.words, model.counts)
    assert read_compact_words(path) == model.words
    for ours, theirs in zip(found.tables, model.tables, strict=True):
        assert ours.keys.dtype == np.int64
        assert np.array_equal(ours.keys, theirs.keys)
        for name in ("log10_probability", "log10_backoff"):
            read, written = getattr(ours, name), getattr(theirs, name)
            assert read.dtype == np.float32
            assert np.array_equal(read == 0, written == 0)
            assert len(np.unique(read)) <= 256
            assert np.abs(read - written).mean() < 0.01


def test_it_foretells_hardly_worse(model, path):
    texts = sentences(2, 300, model.words[3:])
    assert read_compact(path).perplexity(texts).perplexity == pytest.approx(
        model.perplexity(texts).perplexity, rel=0.005
    )


@pytest.mark.parametrize("order", [1, 2, 3])
def test_few_different_numbers_are_not_rounded(order, tmp_path):
    model = trained(order, words=5, texts=30)
    write_compact(model, tmp_path / "lm.ngram")
    found = read_compact(tmp_path / "lm.ngram")
    assert found.order == order
    for ours, theirs in zip(found.tables, model.tables, strict=True):
        assert all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in vars(theirs))


def test_an_order_without_n_grams(model, tmp_path):
    empty = Table(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32))
    write_compact(NGramModel(model.words, [model.tables[0], empty]), tmp_path / "lm.ngram")
    assert read_compact(tmp_path / "lm.ngram").counts == [len(model.words), 0]


def test_numbers_of_many_bytes():
    numbers = np.array([0, 255, 256, 70_000, 2**40])
    digits = compact._bytes_of(numbers)
    assert digits.shape == (6, 5)
    assert np.array_equal(compact._numbers_of(digits), numbers)


def test_levels_worked_by_hand(monkeypatch):
    monkeypatch.setattr(compact, "LEVELS", 4)
    values = np.array([-99, -2.0, -1.0, -1.0, -0.25, 0, -0.75, -1.25], np.float32)
    levels, numbers = compact._rounded(values)
    assert levels.tolist() == pytest.approx([-99, -1.2, -0.25, 0])
    assert numbers.tolist() == [0, 1, 1, 1, 2, 3, 1, 1]


def test_the_same_model_gives_the_same_bytes(model, path, tmp_path):
    write_compact(model, tmp_path / "again.ngram")
    assert (tmp_path / "again.ngram").read_bytes() == path.read_bytes()


def test_a_file_cut_anywhere_is_refused(path, tmp_path):
    whole, cut = path.read_bytes(), tmp_path / "cut.ngram"
    for length in random.Random(3).sample(range(4, len(whole)), 40):
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut\.ngram: damaged or cut off"):
            read_compact(cut)


def test_a_damaged_file_is_refused_or_the_same(model, path, tmp_path):
    """What a flipped bit in a zip's directory does not touch, such as a date, changes nothing."""
    generator, whole, harmless = random.Random(4), path.read_bytes(), 0
    damaged = tmp_path / "damaged.ngram"
    for _ in range(40):
        content = bytearray(whole)
        content[generator.randrange(4, len(whole))] ^= 1 << generator.randrange(8)
        damaged.write_bytes(content)
        with suppress(ModelError):  # which is all that may be raised
            assert read_compact(damaged).words == model.words
            harmless += 1
    assert harmless < 10


def changed(path, **arrays):
    with np.load(path) as there:
        arrays = {**there, **arrays}
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def zipped(name):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "text")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: changed(path, asr_ngrams=np.array([2, 1])), "a compact language model of version 2, where 1 is"),
        (lambda path: zipped("word/document.xml"), "a zip archive, but no compact language model"),
        (lambda path: b"", "damaged or cut off"),
        (lambda path: gzip.compress(b"text"), "damaged or cut off"),
        (lambda path: changed(path, steps_2=np.zeros((1, 3), np.uint8)), "2-grams do not fit those below"),
        (lambda path: changed(path, words=np.frombuffer(b"a\nb", np.uint8)), "damaged or cut off"),
        (lambda path: changed(path, probabilities_3=np.zeros(1, np.uint8)), "3-grams)"),
        (lambda path: changed(path, probability_1=np.zeros(1, np.float32)), "damaged or cut off"),
        (lambda path: changed(path, words=np.array(["a"], object)), "damaged or cut off"),
    ],
)
def test_what_is_no_compact_file_is_refused(content, message, path):
    path.write_bytes(content(path))
    with pytest.raises(ModelError) as raised:
        read_compact(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


def test_files_that_cannot_be_read_or_written(model, path, tmp_path):
    assert is_compact(path)
    assert not is_compact(tmp_path)
    assert not is_compact(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"nowhere: No such file"):
        read_compact(tmp_path / "nowhere")
    with pytest.raises(AsrError, match=r"lm\.ngram/lm: cannot be written"):
        write_compact(model, path / "lm")


def test_the_few_frequent_words_have_levels_of_their_own():
    generator = np.random.default_rng(5)
    rare, frequent = generator.normal(-6, 0.1, 100_000), np.linspace(-4, -1, 60)
    values = np.concatenate([[-99], rare, frequent]).astype(np.float32)
    levels, numbers = compact._rounded(values)
    assert np.abs(levels[numbers] - values).max() < 0.05
