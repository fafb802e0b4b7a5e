import math
import random

import numpy as np
import pytest

from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate
from asr.lm.ngram import NGramModel, Perplexity, Table


def table(keys, probabilities, backoffs) -> Table:
    return Table(np.array(keys, np.int64), np.float32(probabilities), np.float32(backoffs))


@pytest.fixture
def model() -> NGramModel:
    """Of the bigrams "<s> a", "a b" and "b a", and the trigram "a b a"; words: <unk> 0, <s> 1, </s> 2, a 3, b 4."""
    return NGramModel(
        ["<unk>", "<s>", "</s>", "a", "b"],
        [
            table(range(5), [-2, -99, -1, -0.5, -0.75], [0, -0.25, 0, -0.125, -0.375]),
            table([1 * 5 + 3, 3 * 5 + 4, 4 * 5 + 3], [-0.2, -0.3, -0.4], [0, -0.0625, 0]),
            table([1 * 5 + 3], [-0.1], [0]),
        ],
    )


def log10(value: float) -> float:
    return value / math.log(10)


def test_scores_worked_by_hand(model):
    assert (model.order, model.counts, model.units) == (3, [5, 3, 1], "characters")
    state = model.start()
    assert state == (1,)
    state, first = model.score(state, "a")
    assert log10(first) == pytest.approx(-0.2)
    assert state == (3,), "'<s> a' has neither a backoff nor anything behind it"
    state, second = model.score(state, "b")
    assert log10(second) == pytest.approx(-0.3)
    assert state == (3, 4)
    assert log10(model.score(state, "a")[1]) == pytest.approx(-0.1)
    assert log10(model.score(state, "b")[1]) == pytest.approx(-0.0625 - 0.375 - 0.75)
    assert log10(model.finish(state)) == pytest.approx(-0.0625 - 0.375 - 1)
    state, unknown = model.score(state, "zebra")
    assert log10(unknown) == pytest.approx(-0.0625 - 0.375 - 2)
    assert state == ()


def test_perplexity_worked_by_hand(model):
    found = model.perplexity(["ab", "z"])
    ab = -0.2 - 0.3 - (0.0625 + 0.375 + 1)
    known, unknown = ab - 1, -0.25 - 2
    assert found.sentences == 2
    assert (found.words, found.tokens, found.unknown) == (2, 3, 1)
    assert found.log10_probability == pytest.approx(known + unknown)
    assert found.log10_probability_without_unknown == pytest.approx(known)
    assert found.perplexity == pytest.approx(10 ** (-(known + unknown) / 5))
    assert found.perplexity_without_unknown == pytest.approx(10 ** (-known / 4))
    assert found.perplexity_per_word == pytest.approx(10 ** (-(known + unknown) / 4))
    assert found.unknown_rate == pytest.approx(1 / 3)


def random_sentences(seed: int, number: int, letters: str) -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(letters, k=generator.randint(1, 9))) for _ in range(number)]


@pytest.mark.parametrize(("order", "prune"), [(1, [0]), (2, [0, 1]), (3, [0, 0, 1]), (5, [0, 0, 0, 1, 1])])
@pytest.mark.parametrize("units", ["words", "characters"])
def test_scores_of_words_add_up_to_the_perplexity(order, prune, units, monkeypatch):
    monkeypatch.setattr("asr.lm.ngram.SENTENCES_PER_BLOCK", 7)
    spelt = {letter: letter if units == "characters" else letter * 2 for letter in "abcdef"}
    texts = ["".join(spelt.get(c, c) for c in text) for text in random_sentences(1, 80, "abcde")]
    model = estimate(count_ngrams(texts, order, units), prune)
    assert model.units == units
    tests = ["".join(spelt.get(c, c) for c in text) for text in random_sentences(2, 20, "abcdef")]
    total = 0.0
    for sentence in tests:
        state = model.start()
        for word in sentence.replace(" ", "▁") if units == "characters" else sentence.split():
            state, score = model.score(state, word)
            assert len(state) < max(order, 1)
            total += score
        total += model.finish(state)
    found = model.perplexity(tests)
    assert found.unknown == sum(sentence.split().count(spelt["f"]) for sentence in tests) > 0
    assert log10(total) == pytest.approx(found.log10_probability)


def test_equal_states_have_equal_futures():
    """Histories that end alike, as far as the model goes, come to one state, which forgets nothing that counts."""
    texts = random_sentences(3, 60, "abcdefgh")
    trained = estimate(count_ngrams(texts, 3, "words"), [0, 0, 1])
    full = [(first, second) for first in range(len(trained.words)) for second in range(3, len(trained.words))]
    shortened = {history: trained._shortened(history) for history in full}
    assert len(set(shortened.values())) < len(full)
    for history, state in shortened.items():
        for number in range(2, len(trained.words)):
            expected = trained._log10_probability(history, number)
            assert trained._log10_probability(state, number) == pytest.approx(expected)


def test_memory_of_scores_is_bounded(model, monkeypatch):
    monkeypatch.setattr("asr.lm.ngram.MOST_REMEMBERED", 2)
    scores = [model.score((), word) for word in ("a", "b", "<unk>", "a", "b", "</s>")]
    assert scores[:2] == scores[3:5]
    assert len(model._remembered) <= 2


def test_the_perplexity_of_nothing_and_of_the_impossible(model):
    assert model.perplexity([]) == Perplexity()
    assert Perplexity().perplexity == 1
    assert Perplexity().unknown_rate == 0
    assert Perplexity(sentences=1, tokens=1, words=1, log10_probability=-1e6).perplexity == math.inf
