"""Modified Kneser-Ney held against hand and against a slow one with dictionaries."""

import math
import random
from collections import Counter, defaultdict

import pytest

from asr.errors import ConfigError
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import FALLBACK, estimate, parse_prune


def zipf(seed: int, sentences: int, words: int = 40) -> list[str]:
    """Sentences with frequent and rare words, in which a word depends on the one before."""
    generator = random.Random(seed)
    result = []
    for _ in range(sentences):
        sentence, previous = [], 0
        for _ in range(generator.randint(1, 8)):
            previous = min(int(generator.paretovariate(0.7)) + previous % 3, words) - 1
            sentence.append(f"w{previous}")
        result.append(" ".join(sentence))
    return result


class Slow:
    """Interpolated modified Kneser-Ney as the papers write it, one probability at a time, by recursion."""

    def __init__(self, sentences: list[str], prune: list[int]) -> None:
        self.order = len(prune)
        texts = [("<s>", *sentence.split(), "</s>") for sentence in sentences]
        self.raw = Counter(
            text[begin : begin + n]
            for text in texts
            for n in range(1, self.order + 1)
            for begin in range(len(text) - n + 1)
        )
        self.words = {word for text in texts for word in text} - {"<s>"} | {"<unk>"}
        self.adjusted = {gram: self.count(gram) for gram in self.raw if gram != ("<s>",)}
        self.kept = {gram for gram in self.adjusted if len(gram) == 1 or self.raw[gram] > prune[len(gram) - 1]}
        self.discounts = [self.discount(n) for n in range(1, self.order + 1)]
        self.followers = defaultdict(list)
        for gram in self.adjusted:
            self.followers[gram[:-1]].append(gram)

    def count(self, gram) -> int:
        if len(gram) == self.order or gram[0] == "<s>":
            return self.raw[gram]
        return sum((word, *gram) in self.raw for word in {*self.words, "<s>"})

    def discount(self, n: int) -> tuple[float, ...]:
        n1, n2, n3, n4 = (sum(len(g) == n and c == k for g, c in self.adjusted.items()) for k in (1, 2, 3, 4))
        if not n1 * n2 * n3:
            return FALLBACK
        y = n1 / (n1 + 2 * n2)
        found = (0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        return found if all(0 <= d <= k for k, d in enumerate(found)) else FALLBACK

    def taken(self, gram) -> float:
        count = self.adjusted[gram]
        return self.discounts[len(gram) - 1][min(count, 3)] if gram in self.kept else count

    def backoff(self, context) -> float:
        followers = self.followers[context]
        return sum(map(self.taken, followers)) / sum(self.adjusted[gram] for gram in followers)

    def probability(self, context, word) -> float:
        context = context[max(0, len(context) - self.order + 1) :]
        while context not in self.followers and context:
            context = context[1:]
        lower = self.probability(context[1:], word) if context else 1 / len(self.words)
        gram = (*context, word)
        share = self.adjusted[gram] - self.taken(gram) if gram in self.kept else 0
        return share / sum(self.adjusted[other] for other in self.followers[context]) + self.backoff(context) * lower


def probability(model, context, word) -> float:
    state = model.start() if context[:1] == ("<s>",) else ()
    for previous in context[1:] if context[:1] == ("<s>",) else context:
        state, _ = model.score(state, previous)
    return math.exp(model.finish(state) if word == "</s>" else model.score(state, word)[1])


@pytest.mark.parametrize("prune", [[0], [0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 2], [0, 0, 0, 3]])
def test_every_probability_is_that_of_the_papers(prune, capsys):
    sentences = zipf(2, 150)
    slow, model = Slow(sentences, prune), estimate(count_ngrams(sentences, len(prune)), prune)
    generator = random.Random(2)
    words = sorted(slow.words)
    contexts = {gram[: generator.randint(0, len(gram))] for gram in generator.choices(sorted(slow.raw), k=60)}
    contexts |= {("w30", "w30", "w30"), ("<s>", "w0"), ("<s>",), ("<unk>",)}
    for context in contexts - {c for c in contexts if "</s>" in c}:
        for word in [*generator.sample(words, 10), "</s>", "<unk>"]:
            assert probability(model, context, word) == pytest.approx(slow.probability(context, word), rel=2e-6)
    assert any(gram not in slow.kept for gram in slow.adjusted) == any(prune)
    assert all(discounts != FALLBACK for discounts in slow.discounts), "the test would not see the formula"


@pytest.mark.parametrize("prune", [[0, 0, 0], [0, 0, 1], [0, 2, 2]])
@pytest.mark.parametrize("vocabulary_size", [None, 10])
def test_the_probabilities_after_every_context_sum_to_one(prune, vocabulary_size):
    sentences = zipf(3, 200)
    model = estimate(count_ngrams(sentences, 3, vocabulary_size=vocabulary_size), prune)
    states = {(), model.start()}
    for sentence in sentences[:30]:
        state = model.start()
        for word in sentence.split():
            state, _ = model.score(state, word)
            states.add(state)
    assert len(states) > 20
    for state in states:
        total = sum(math.exp(model.score(state, word)[1]) for word in model.words if word != "<s>")
        assert total == pytest.approx(1, abs=1e-5)


def test_a_bigram_model_worked_by_hand(capsys):
    """Two sentences, "a b" and "a c"; counts are too few, so discounts are 0.5, 1, 1.5.

    Words seen before: a 1 (<s>), b 1, c 1, </s> 2 (b, c): 5 in all. Freed: (3 * 0.5 + 1) / 5 = 0.5, spread over a, b,
    c, </s>, <unk>: 0.1 each. So p(a) = 0.5 / 5 + 0.1 = 0.2, p(</s>) = 1 / 5 + 0.1 = 0.3, p(<unk>) = 0.1.
    After a: b and c once each, freed 2 * 0.5 / 2 = 0.5; p(b | a) = 0.5 / 2 + 0.5 * 0.2 = 0.35.
    After <s>: a twice, freed 1 / 2; p(a | <s>) = 1 / 2 + 0.5 * 0.2 = 0.6.
    """
    model = estimate(count_ngrams(["a b", "a c"], 2))
    assert "2-grams: too few to tell their discounts; taking 0.5, 1 and 1.5" in capsys.readouterr().err
    unigrams = {word: 10**p for word, p in zip(model.words, model.tables[0].log10_probability.tolist(), strict=True)}
    assert unigrams.pop("<s>") == pytest.approx(0, abs=1e-98)
    assert unigrams == pytest.approx({"<unk>": 0.1, "</s>": 0.3, "a": 0.2, "b": 0.2, "c": 0.2})
    assert probability(model, ("a",), "b") == pytest.approx(0.35)
    assert probability(model, ("<s>",), "a") == pytest.approx(0.6)
    assert probability(model, ("a",), "a") == pytest.approx(0.5 * 0.2)
    assert probability(model, ("b",), "</s>") == pytest.approx(0.5 + 0.5 * 0.3)


def test_what_is_left_out_occurs_no_more_often_than_the_threshold():
    counts = count_ngrams(zipf(4, 300), 3)
    model = estimate(counts, [0, 1, 2])
    assert model.counts == [len(counts.words), int((counts.counts[1] > 1).sum()), int((counts.counts[2] > 2).sum())]


def test_thresholds():
    assert parse_prune("0", 3) == [0, 0, 0]
    assert parse_prune("0 0 1", 4) == [0, 0, 1, 1]
    for wrong, message in {
        "": "whole numbers",
        "0 x": "whole numbers",
        "0 -1": "whole numbers",
        "1": "begin with 0",
        "0 2 1": "lower than",
        "0 0 0 0": "4 thresholds for a model of order 3",
    }.items():
        with pytest.raises(ConfigError, match=message):
            parse_prune(wrong, 3)
