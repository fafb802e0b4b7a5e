from collections import Counter

import torch

from asr.g2p.vocabulary import PronunciationVocabulary
from asr.g2p.words import Examples, padded
from asr.lexicon.entries import lexicon_of

LEXICON = lexicon_of(
    [
        ("ab", ("A", "B"), 1.0),
        ("a", ("A",), 1.0),
        ("a", ("B", "B"), 0.25),
        ("bbb", ("B",) * 5, 1.0),
        ("ba", ("B",), 1.0),
    ]
)
VOCABULARY = PronunciationVocabulary.of(LEXICON)


def test_a_batch():
    batch = Examples(LEXICON, VOCABULARY).batch([0, 2, 3])
    assert batch.ids == ["ab", "a", "bbb"]
    assert batch.letters.tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 1]]
    assert batch.letter_lengths.tolist() == [2, 1, 3]
    assert batch.phones.tolist() == [[0, 1, 2, 0, 0, 0, 0], [0, 2, 2, 0, 0, 0, 0], [0, 2, 2, 2, 2, 2, 0]]
    assert batch.lengths.tolist() == [3, 3, 6]
    assert batch.to(torch.device("cpu")).lengths.tolist() == [3, 3, 6]
    smaller = batch.cut(0.5)
    assert (smaller.ids, smaller.phones.shape, len(smaller.lengths)) == (["ab", "a"], (2, 7), 2)


def test_padding():
    rows, lengths = padded([[1], [2, 3], []])
    assert rows.tolist() == [[1, 0], [2, 3], [0, 0]]
    assert lengths.tolist() == [1, 2, 0]


def test_in_an_epoch_every_word_counts_once():
    examples = Examples(LEXICON, VOCABULARY)
    drawn = Counter()
    for epoch in range(200):
        batches = examples.plan(100, seed=1, epoch=epoch)
        numbers = [number for batch in batches for number in batch]
        assert sorted(examples.words[number] for number in numbers) == ["a", "ab", "ba", "bbb"]
        drawn.update(numbers)
    assert 130 < drawn[1] < 190  # four in five: as probable as the lexicon says
    assert drawn[1] + drawn[2] == 200


def test_a_plan_depends_on_its_arguments_alone_and_bounds_the_padded_batch():
    examples = Examples(LEXICON, VOCABULARY)
    assert examples.plan(12, 1, 3) == examples.plan(12, 1, 3)
    assert len({str(examples.plan(12, 1, epoch)) for epoch in range(20)}) > 3
    for batch in examples.plan(12, 1, 0):
        longest = max(len(examples.letters[number]) + len(examples.phones[number]) + 1 for number in batch)
        assert len(batch) * longest <= 12
