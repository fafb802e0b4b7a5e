"""The scorers, alone and in a search, against texts scored by hand and all texts scored by a formula."""

import doctest
from itertools import pairwise, product
from math import exp, inf, log

import numpy as np
import pytest
from test_search_hotwords import occurrences
from test_search_prefix import WIDE, enumerate_paths, random_matrix

from asr.errors import DataError
from asr.search import fusion
from asr.search.fusion import CharacterFusion, WordFusion, read_lexicon, with_hotwords
from asr.search.prefix import beam_search
from asr.text import BLANK, Vocabulary

ARPA = """\\data\\
ngram 1=7
ngram 2=6

\\1-grams:
-1.4\t<unk>
-99\t<s>\t-0.3
-0.9\t</s>
-0.5\ta\t-0.2
-0.8\tb\t-0.15
-0.7\tab\t-0.4
-1.1\t▁\t-0.25

\\2-grams:
-0.2\t<s> a
-0.3\ta b
-0.6\tb </s>
-0.45\tab ab
-0.35\tb ▁
-0.55\t▁ a

\\end\\
"""
"""A model of words, and of characters, of a text in which nothing but `a`, `b` and spaces stands."""


class Bigrams:
    """The model of an ARPA file of order 2; a state is the last word."""

    def __init__(self, arpa):
        fields = [line.split("\t") for line in arpa.splitlines() if "\t" in line]
        self.logarithms = {tuple(ngram.split()): float(value) for value, ngram, *_ in fields}
        self.backoffs = {ngram: float(backoff[0]) for _, ngram, *backoff in fields if backoff}
        self.ids = {ngram[0]: number for number, ngram in enumerate(self.logarithms) if len(ngram) == 1}

    def start(self):
        return "<s>"

    def score(self, state, word):
        assert word in self.ids
        backed_off = self.backoffs.get(state, 0.0) + self.logarithms[(word,)]
        return word, log(10) * self.logarithms.get((state, word), backed_off)

    def finish(self, state):
        return self.score(state, "</s>")[1]


def language_score(model, words):
    """The natural log probability of a text, told from the formula of a bigram model."""
    words = ["<s>", *(word if word in model.ids else "<unk>" for word in words), "</s>"]
    total = 0.0
    for left, right in pairwise(words):
        if (left, right) in model.logarithms:
            total += model.logarithms[left, right]
        else:
            total += model.backoffs.get(left, 0.0) + model.logarithms[(right,)]
    return total * log(10)


def run(fusion, tokens):
    """What a scorer adds to a whole token sequence; None where it forbids it."""
    state, total = fusion.start(), 0.0
    for token in tokens:
        extension = fusion.extend(state, token)
        if extension is None:
            return None
        state, added = extension
        total += added
    end = fusion.finish(state)
    return None if end is None else total + end


def text_of(spellings, tokens):
    return " ".join("".join(spellings[token] for token in tokens).split())


def bonus_of(text, hotwords):
    return sum(bonus * occurrences(words, text) for words, bonus in hotwords.items())


CHARACTERS = (BLANK, " ", "a", "b")
PIECES = (BLANK, " a", " b", "b", " ")
LEXICON = ["a", "b", "ab", "aba", "bb"]
HOTWORDS = {"b": 1.5, "a b": 2.5, "aba": -1.0, "bab": 4.0}


def test_the_model_of_the_tests_by_hand():
    model = Bigrams(ARPA)
    assert model.score("<s>", "a") == ("a", pytest.approx(-0.2 * log(10)))
    assert model.score("<s>", "b") == ("b", pytest.approx((-0.3 - 0.8) * log(10)))
    assert model.finish("b") == pytest.approx(-0.6 * log(10))
    assert language_score(model, ["a", "b"]) == pytest.approx((-0.2 - 0.3 - 0.6) * log(10))
    assert language_score(model, ["b", "no"]) == pytest.approx((-0.3 - 0.8 - 0.15 - 1.4 - 0.9) * log(10))


@pytest.mark.parametrize("spellings", [CHARACTERS, PIECES], ids=["characters", "pieces"])
@pytest.mark.parametrize("with_model", [True, False])
def test_words_of_all_short_texts(spellings, with_model):
    model = Bigrams(ARPA) if with_model else None
    fusion = WordFusion(spellings, model, LEXICON, lm_weight=0.7, word_score=0.4, hotwords=HOTWORDS)
    known = {*LEXICON, "bab"}
    allowed = 0
    for length in range(7):
        for tokens in product(range(1, len(spellings)), repeat=length):
            text = text_of(spellings, tokens)
            expected = None
            if known.issuperset(text.split()):
                allowed += 1
                expected = 0.4 * len(text.split()) + bonus_of(text, HOTWORDS)
                expected += 0.7 * language_score(model, text.split()) if with_model else 0.0
            assert run(fusion, tokens) == (None if expected is None else pytest.approx(expected)), text
    assert allowed > 100


@pytest.mark.parametrize("with_model", [True, False])
def test_characters_of_all_short_texts(with_model):
    model = Bigrams(ARPA) if with_model else None
    fusion = CharacterFusion(CHARACTERS, model, lm_weight=0.7, word_score=0.4, hotwords=HOTWORDS)
    for length in range(6):
        for tokens in product(range(1, 4), repeat=length):
            text = "".join(CHARACTERS[token] for token in tokens)
            expected = 0.4 * len(text.split()) + bonus_of(text, HOTWORDS)
            expected += 0.7 * language_score(model, text.replace(" ", "▁")) if with_model else 0.0
            assert run(fusion, tokens) == pytest.approx(expected), text


def test_characters_of_pieces():
    model = Bigrams(ARPA)
    fusion = CharacterFusion(PIECES, model, lm_weight=0.7, word_score=0.4)
    assert run(fusion, (1, 3, 2)) == pytest.approx(0.7 * language_score(model, "ab▁b") + 0.8)
    assert run(fusion, ()) == pytest.approx(0.7 * language_score(model, ""))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("spellings", [CHARACTERS, PIECES[:4]], ids=["characters", "pieces"])
def test_a_search_with_words_finds_the_best_of_all_texts(seed, spellings):
    rng = np.random.default_rng(seed)
    matrix = random_matrix(rng, 5, 4, sharpness=2.0)
    model = Bigrams(ARPA)
    fusion = WordFusion(spellings, model, LEXICON, lm_weight=0.7, word_score=0.4, hotwords=HOTWORDS)
    expected = {}
    for tokens, score in enumerate_paths(matrix).items():
        words = text_of(spellings, tokens).split()
        if {*LEXICON, "bab"}.issuperset(words):
            score += 0.7 * language_score(model, words) + 0.4 * len(words)
            expected[tokens] = score + bonus_of(" ".join(words), HOTWORDS)
    found = beam_search(matrix, WIDE, fusion, nbest=WIDE)
    assert {hypothesis.tokens: hypothesis.score for hypothesis in found} == pytest.approx(expected)
    assert found[0].tokens == max(expected, key=expected.get)


def test_within_a_word_its_likeliest_end_counts():
    model = Bigrams(ARPA)
    fusion = WordFusion(CHARACTERS, model, ["a", "bb", "ba"], lm_weight=2.0)
    assert fusion.extend(fusion.start(), 2)[1] == pytest.approx(2 * model.score("<s>", "a")[1])
    assert fusion.extend(fusion.start(), 3)[1] == pytest.approx(2 * model.score("<s>", "<unk>")[1])


def test_a_word_that_the_model_gives_no_probability_is_forbidden():
    model = Bigrams(ARPA.replace("-1.4\t<unk>", "-inf\t<unk>"))
    fusion = WordFusion(CHARACTERS, model, ["a", "bb"])
    assert fusion.extend(fusion.start(), 3) is None
    assert fusion.extend(fusion.start(), 2) is not None
    assert WordFusion(CHARACTERS, model, ["a", "bb"], lm_weight=0.0).extend(fusion.start(), 3) is not None


def test_where_no_word_ends_a_search_returns_what_was_begun():
    with np.errstate(divide="ignore"):
        matrix = np.log([[0, 0, 1, 0], [0, 0, 0, 1]])
    (found,) = beam_search(matrix, 9, WordFusion(CHARACTERS, None, ["aba"]))
    assert found.tokens == (2, 3)
    assert found.score == 0.0


def test_hotwords_join_the_lexicon():
    assert with_hotwords(["a", "b", "a"], {"b c": 1.0, "d": 2.0}) == ["a", "b", "c", "d"]


def test_a_lexicon(tmp_path):
    vocabulary = Vocabulary.of_characters(" 'abt")
    path = tmp_path / "lexicon.txt"
    path.write_text("BAT\tB AE T\n\na\tAH\na\tEY\nb'\n")
    assert read_lexicon(path, vocabulary) == ["bat", "a", "b'"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nbat2 x\n", r"lexicon.txt:2: one word was expected, found 'bat2 x'"),
        ("\ta\n", r"lexicon.txt:1: one word was expected, found ''"),
        ("a\n\nbeta2\n", r"lexicon.txt:3: 'beta2': characters outside the alphabet: '2' 'e'"),
        ("\n", r"lexicon.txt: no words"),
    ],
)
def test_a_lexicon_that_is_none(tmp_path, text, message):
    path = tmp_path / "lexicon.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_lexicon(path, Vocabulary.of_characters(" 'abt"))


def test_scores_are_sums_of_logarithms():
    matrix = np.log([[0.2, 0.1, 0.6, 0.1]])
    best, *_ = beam_search(matrix, 9, WordFusion(CHARACTERS, None, ["a"], word_score=1.0))
    assert exp(best.score) == pytest.approx(0.6 * exp(1.0))
    assert best.score > -inf


def test_the_examples_in_docstrings():
    failed, attempted = doctest.testmod(fusion)
    assert attempted > 0
    assert failed == 0
