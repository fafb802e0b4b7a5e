import math
import random

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.lm import pruning
from asr.lm.arpa import read_arpa, write_arpa
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate
from asr.lm.ngram import NGramModel, Table, closed
from asr.lm.pruning import frequencies, losses, prune

WORDS = ["<unk>", "<s>", "</s>", "one", "two"]
START, END = 1, 2


def table(keys, probabilities, backoffs) -> Table:
    log10 = (np.log10(np.array(each, np.float64)).astype(np.float32) for each in (probabilities, backoffs))
    return Table(np.array(keys, np.int64), *log10)


@pytest.fixture
def bigrams() -> NGramModel:
    """Words: <unk> 0, <s> 1, </s> 2, one 3, two 4. Bigrams: "<s> one", "one two", "one </s>"."""
    return NGramModel(
        WORDS,
        [
            table(range(5), [0.1, 1e-99, 0.2, 0.3, 0.4], [1, 4 / 7, 1, 1 / 4, 1]),
            table([1 * 5 + 3, 3 * 5 + 2, 3 * 5 + 4], [0.6, 0.3, 0.6], [1, 1, 1]),
        ],
    )


@pytest.fixture(scope="module")
def trained():
    generator = random.Random(1)
    words = ["one", "two", "three", "four", "five", "six", "seven"]
    texts = [" ".join(generator.choices(words, range(1, 8), k=generator.randint(1, 6))) for _ in range(120)]
    return estimate(count_ngrams(texts, 3))


def contexts(model):
    """All histories, seen or not."""
    predicted = range(len(model.words))
    return [(), *((first,) for first in predicted), *((first, second) for first in predicted for second in predicted)]


def sums(model):
    found = [
        sum(10 ** model._log10_probability(context[: model.order - 1], number) for number in range(len(model.words)))
        for context in contexts(model)
    ]
    return np.array(found)


def test_worked_by_hand(bigrams):
    """Without "one two", "one" backs off with (1 - 0.3) / (1 - 0.2), having done so with 0.1 / 0.4."""
    assert sums(bigrams) == pytest.approx(1)
    levels = pruning._levels(bigrams)
    (loss,) = losses(levels, [np.ones(1), np.array([0, 0, 0, 0.25, 0])])
    after = 0.7 / 0.8
    expected = 0.25 * (0.6 * math.log(0.6 / (after * 0.4)) + 0.1 * math.log(0.25 / after))
    assert loss.tolist() == pytest.approx([0, loss[1], expected])
    found = pruning._cut(bigrams, levels, [np.array([True, True, False])])
    assert found.counts == [5, 2]
    assert found.tables[1].keys.tolist() == [8, 17]
    assert 10 ** found.tables[0].log10_backoff == pytest.approx([1, 4 / 7, 1, after, 1])
    assert sums(found) == pytest.approx(1)


@pytest.mark.parametrize("ngrams", [10_000, 150, 60, 20, 10])
def test_probabilities_add_up_and_the_rest_is_as_it_was(trained, ngrams):
    found = prune(trained, ngrams=ngrams)
    assert sum(found.counts) <= max(ngrams, 10)
    assert sum(found.counts) > min(ngrams, sum(trained.counts)) - 15
    assert sums(found) == pytest.approx(1, abs=1e-5)
    assert closed(found) is found
    for order in range(1, found.order + 1):
        numbers = trained.tables[order - 1].log10_probability
        grams = zip(*(column.tolist() for column in trained.columns(order)), strict=True)
        before = dict(zip(grams, numbers.tolist(), strict=True))
        after = zip(*(column.tolist() for column in found.columns(order)), strict=True)
        for gram, number in zip(after, found.tables[order - 1].log10_probability.tolist(), strict=True):
            assert before[gram] == number


def test_what_counts_for_nothing_goes_and_all_else_stays(trained):
    found = prune(trained, threshold=-1.0)
    assert found.counts == trained.counts
    for ours, theirs in zip(found.tables, trained.tables, strict=True):
        assert all(np.array_equal(getattr(ours, name), getattr(theirs, name)) for name in vars(theirs))
    assert prune(trained, threshold=1.0).counts == [len(trained.words), 0, 0]
    sizes = [sum(prune(trained, threshold).counts) for threshold in (0, 1e-5, 1e-4, 1e-3, 1e-2)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) > 3


def test_the_loss_is_the_relative_entropy(trained):
    """Each trigram left out by itself, and the two models compared at every word after its history."""
    levels = pruning._levels(trained)
    found = frequencies(levels, START, END)
    expected = []
    for row in range(trained.counts[2]):
        kept = [np.ones(trained.counts[1], np.bool_), np.arange(trained.counts[2]) != row]
        other = pruning._cut(trained, levels, kept)
        history = int(levels[3].contexts[row])
        words = tuple(int(column[history]) for column in trained.columns(2))
        p, q = (
            np.array([model._log10_probability(words, number) for number in range(len(trained.words))])
            for model in (trained, other)
        )
        expected.append(found[2][history] * float((10**p * (p - q)).sum()) * math.log(10))
    assert losses(levels, found)[1] == pytest.approx(expected, abs=1e-6, rel=1e-3)


def test_frequencies_are_those_of_what_the_model_writes(trained):
    """By the transitions between all pairs of words, until nothing changes."""
    size = len(trained.words)
    pairs = np.full((size, size), 1 / size**2)
    probability = np.array(
        [[[10 ** trained._log10_probability((a, b), c) for c in range(size)] for b in range(size)] for a in range(size)]
    )
    for number in range(size):  # a sentence begins where one has ended
        probability[number, END] = np.eye(size)[START]
    for _ in range(200):
        pairs = np.einsum("ab,abc->bc", pairs, probability)
    words = pairs.sum(0)
    levels = pruning._levels(trained)
    found = frequencies(levels, START, END, rounds=60)
    assert found[1] == pytest.approx(words, abs=1e-5)
    first, second = trained.columns(2)
    assert found[2] == pytest.approx(pairs[first, second], abs=1e-5)


def test_fewer_n_grams_than_words(trained):
    with pytest.raises(ConfigError, match=r"ngrams = \d+: fewer n-grams than words, 3 too few"):
        prune(trained, ngrams=len(trained.words) - 3)


def test_a_model_of_single_words():
    model = estimate(count_ngrams(["one two"] * 3, 1))
    assert prune(model, ngrams=100).counts == prune(model, 0.1).counts == model.counts


def test_a_pruned_model_is_written_and_read(trained, tmp_path):
    found = prune(trained, ngrams=60)
    write_arpa(found, tmp_path / "lm.arpa")
    assert read_arpa(tmp_path / "lm.arpa").counts == found.counts
