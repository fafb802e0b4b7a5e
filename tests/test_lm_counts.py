import random
from collections import Counter

import numpy as np
import pytest

from asr.errors import AsrError, DataError
from asr.lm.counts import Runs, count_ngrams, find
from asr.lm.units import split


def table(counts) -> dict[tuple[str, ...], int]:
    """The counts by the words of each n-gram."""
    grams, result = [()], {}
    for keys, times in zip(counts.keys, counts.counts, strict=True):
        prefixes, last = np.divmod(keys, len(counts.words))
        grams = [(*grams[prefix], counts.words[word]) for prefix, word in zip(prefixes, last, strict=True)]
        result |= dict(zip(grams, times.tolist(), strict=True))
    return result


def count_slowly(sentences, order, units="words") -> Counter[tuple[str, ...]]:
    result = Counter()
    for sentence in sentences:
        words = ["<s>", *split(sentence, units), "</s>"]
        for n in range(1, order + 1):
            result.update(tuple(words[begin : begin + n]) for begin in range(len(words) - n + 1))
    return result


def sentences(seed: int, number: int) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices("abcdefg", k=generator.randint(1, 9))) for _ in range(number)]


@pytest.mark.parametrize("units", ["words", "characters"])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_counts_of_all_orders(order, units):
    text = sentences(1, 100)
    assert table(count_ngrams(text, order, units)) == {("<unk>",): 0} | count_slowly(text, order, units)


def test_counts_worked_by_hand():
    counts = count_ngrams(["b a b", "b"], 2)
    assert counts.words == ["<unk>", "<s>", "</s>", "b", "a"]
    assert [times.tolist() for times in counts.counts] == [[0, 2, 2, 3, 1], [2, 2, 1, 1]]
    assert counts.keys[1].tolist() == [1 * 5 + 3, 3 * 5 + 2, 3 * 5 + 4, 4 * 5 + 3]


def test_runs_on_disk_give_what_memory_gives(tmp_path, monkeypatch):
    spills = []
    spill = Runs._spill
    monkeypatch.setattr(Runs, "_spill", lambda runs: (spills.append(1), spill(runs)))
    text = sentences(2, 300)
    in_memory = count_ngrams(text, 4, folder=tmp_path)
    assert not spills
    on_disk = count_ngrams(text, 4, memory_bytes=5000, folder=tmp_path)
    assert len(spills) > 10
    assert in_memory.words == on_disk.words
    for ours, theirs in zip([*in_memory.keys, *in_memory.counts], [*on_disk.keys, *on_disk.counts], strict=True):
        assert np.array_equal(ours, theirs)
    assert not list(tmp_path.iterdir())


def test_runs_merge_keys_of_all_blocks(tmp_path):
    generator = np.random.default_rng(3)
    blocks = [generator.integers(0, 500, 200) for _ in range(40)]
    runs = Runs(2000, tmp_path)
    for block in blocks:
        runs.add(block.copy())
    keys, counts = runs.merge()
    expected_keys, expected_counts = np.unique(np.concatenate(blocks), return_counts=True)
    assert np.array_equal(keys, expected_keys)
    assert np.array_equal(counts, expected_counts)


def test_rare_words_are_unknown():
    counts = count_ngrams(["c b a b", "d a"], 2, vocabulary_size=2)
    assert counts.words == ["<unk>", "<s>", "</s>", "a", "b"]
    assert table(counts) == {("<unk>",): 2} | count_slowly(["<unk> b a b", "<unk> a"], 2)
    assert table(count_ngrams(["c <unk>"], 1)) == {("<unk>",): 1, ("<s>",): 1, ("</s>",): 1, ("c",): 1}


def test_keys_are_found():
    keys = np.array([2, 5, 9])
    assert find(keys, np.array([9, 3, 2, 10, -1, 5])).tolist() == [2, -1, 0, -1, -1, 1]
    assert find(keys[:0], np.array([9])).tolist() == [-1]


@pytest.mark.parametrize(
    ("text", "order", "message"),
    [
        ([], 2, "no sentence"),
        (["a", "b"], 4, "no 4-gram in the text"),
        (["a </s> b"], 2, "the word '</s>'"),
        (["a <s> b"], 2, "the word '<s>'"),
    ],
)
def test_texts_without_counts(text, order, message):
    with pytest.raises(DataError, match=message):
        count_ngrams(text, order)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(AsrError, match=r"nowhere: cannot be written \(No such file or directory\)"):
        count_ngrams(["a"], 1, folder=tmp_path / "nowhere")
