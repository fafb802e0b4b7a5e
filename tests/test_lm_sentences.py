import numpy as np
import pytest

from asr.errors import DataError
from asr.lm.sentences import Sentences, counts, encode, plan, read_text
from asr.lm.vocabulary import LanguageVocabulary

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
TEXT = "The cat, it sat.\n\nDon\N{RIGHT SINGLE QUOTATION MARK}t!\n 7 \nthe  END"
SENTENCES = ["the cat it sat", "don't", "the end"]


def test_text_as_numbers(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("b a b\nc\na c")
    found, names = read_text([path], "words", ALPHABET)
    assert names == ["b", "a", "c"]
    assert [found[place].tolist() for place in range(len(found))] == [[0, 1, 0], [2], [1, 2]]
    assert found.lengths.tolist() == [4, 2, 3]
    assert found.ids.dtype == np.int32
    assert counts(found, names) == {"b": 2, "a": 2, "c": 2}

    part = found.take(np.array([True, False, True]))
    assert [part[place].tolist() for place in range(2)] == [[0, 1, 0], [1, 2]]
    assert counts(part, ["b", "a", "c", "never"]) == {"b": 2, "a": 2, "c": 1}
    vocabulary = LanguageVocabulary.of_words({"a": 2, "b": 1}, 1)
    assert encode(part, names, vocabulary).ids.tolist() == [1, 2, 1, 2, 1]

    found, names = read_text([path], "characters", ALPHABET)
    assert "".join(names[number] for number in found[0]) == "b a b"


def test_a_text_without_a_sentence_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("\n -- !\n")
    with pytest.raises(DataError, match=r"a\.txt: no sentence in it"):
        read_text([tmp_path / "a.txt"], "words", ALPHABET)


def test_a_batch_by_hand():
    batch = Sentences.of([[5, 6], [], [7]]).batch([0, 2, 1])
    assert batch.tokens.tolist() == [[0, 5, 6, 0], [0, 7, 0, 0], [0, 0, 0, 0]]
    assert batch.lengths.tolist() == [3, 2, 1]
    assert batch.ids == ["sentence 1", "sentence 3", "sentence 2"]


def test_a_batch_is_cut():
    batch = Sentences.of([[5] * 9] * 4).batch(range(4))
    half, least = batch.cut(0.5), batch.cut(0.01)
    assert half.tokens.shape == (2, 11)
    assert least.tokens.shape == (1, 2)
    assert least.lengths.tolist() == [1]
    assert batch.cut(1).tokens.shape == batch.tokens.shape


def test_the_plan_of_an_epoch():
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    batches = plan(lengths, 300, seed=1, epoch=2)
    assert sorted(place for batch in batches for place in batch) == list(range(500))
    assert all(len(batch) * lengths[batch].max() <= 300 for batch in batches)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.15 * lengths.sum()
    assert batches == plan(lengths, 300, seed=1, epoch=2)
    assert batches != plan(lengths, 300, seed=1, epoch=3)
    assert batches != plan(lengths, 300, seed=2, epoch=2)


def test_a_sentence_longer_than_the_budget_is_a_batch_of_its_own():
    batches = plan(np.array([3, 900, 3]), 10)
    assert sorted(map(sorted, batches)) == [[0, 2], [1]]


def test_nothing_is_planned_in_no_batch():
    assert plan(Sentences.of([]).lengths, 10) == []
