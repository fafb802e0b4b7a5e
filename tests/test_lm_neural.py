import math

import pytest
import torch

from asr.checkpoint import save_model
from asr.errors import AsrError, ConfigError
from asr.lm.checkpoint import create
from asr.lm.network import LanguageModelConfig
from asr.lm.neural import NeuralModel, Perplexity
from asr.lm.sentences import Sentences
from asr.lm.vocabulary import LanguageVocabulary

ALPHABET = " abcdefgh"
TEXTS = ["a b c", "", "h g f e d c b a", "a", "b x c", "c b"]


def model(units="words", seed=0, **settings):
    torch.manual_seed(seed)
    config = LanguageModelConfig(**{"units": units, "embedding": 6, "hidden": 8, "alphabet": ALPHABET, **settings})
    vocabulary = (
        LanguageVocabulary.of_words(dict.fromkeys("abcdefgh", 1), 99)
        if units == "words"
        else LanguageVocabulary.of_characters(ALPHABET)
    )
    checkpoint = create(config, vocabulary, {})
    with torch.no_grad():
        for parameter in checkpoint.model.parameters():
            parameter.mul_(3)  # so that it has clear preferences
    return NeuralModel(checkpoint, torch.device("cpu"))


@torch.no_grad()
def one_by_one(ours, text):
    """The oracle: token by token, each by a network that sees the whole sentence so far anew."""
    ours.network.eval()
    ids, total = [0, *ours.vocabulary.encode(text), 0], 0.0
    for place in range(1, len(ids)):
        log_probabilities, _ = ours.network.step(torch.tensor([ids[:place]]))
        total += float(log_probabilities[0, -1, ids[place]])
    return total


@pytest.mark.parametrize("units", ["words", "characters"])
@pytest.mark.parametrize("settings", [{}, {"layers": 2, "bands": (4, 7)}])
def test_a_batch_scores_as_sentences_one_by_one(units, settings):
    ours, texts = model(units, **settings), [*TEXTS, "h g f e", "h g f a b", "a b", "a b c"]
    expected = pytest.approx([one_by_one(ours, text) for text in texts], abs=1e-4)
    scores = ours.score_sentences(texts)
    assert scores == expected
    assert ours.score(Sentences.of(map(ours.vocabulary.encode, texts))) == expected
    assert ours.score_sentences([]) == []
    assert max(scores) < 0


def test_all_sentences_together_have_probability_one():
    """Of a model that soon ends: those of up to two words have nearly all there is."""
    ours = model()
    with torch.no_grad():
        ours.network.tokens.bias[0] += 5
    words = ours.vocabulary.tokens[2:]
    texts = ["", *words, *(f"{one} {two}" for one in words for two in words)]
    without_unknown = sum(map(math.exp, ours.score_sentences(texts)))
    with_unknown = without_unknown + sum(
        map(math.exp, ours.score_sentences(["?", "? ?", *(f"{w} ?" for w in words), *(f"? {w}" for w in words)]))
    )
    assert 0.98 < with_unknown < 1
    assert without_unknown < with_unknown


def test_perplexity_worked_by_hand():
    ours = model()
    found = ours.perplexity(iter(TEXTS))
    total = sum(ours.score_sentences(TEXTS))
    assert (found.sentences, found.words, found.unknown_words, found.tokens) == (6, 17, 1, 17)
    assert found.per_word == found.per_token == pytest.approx(math.exp(-total / (17 + 6)))
    assert found.oov_rate == pytest.approx(1 / 17)
    assert str(found).endswith("per token; 6 sentences, 17 words, 5.88% of them out of vocabulary")


def test_a_model_of_characters_has_a_perplexity_per_word_too():
    ours = model("characters")
    found = ours.perplexity(["a bad ace", "baxd"])
    total = sum(ours.score_sentences(["a bad ace", "baxd"]))
    assert (found.sentences, found.words, found.unknown_words, found.tokens) == (2, 4, 1, 13)
    assert found.per_token == pytest.approx(math.exp(-total / 15))
    assert found.per_word == pytest.approx(math.exp(-total / 6))


def test_parts_of_a_text_add_up(monkeypatch):
    ours = model()
    whole = ours.perplexity(TEXTS)
    monkeypatch.setattr("asr.lm.neural.TEXTS_AT_ONCE", 2)
    assert vars(ours.perplexity(TEXTS)) == pytest.approx(vars(whole))
    assert Perplexity() + whole == whole


def test_an_unknown_word_counts_and_is_the_same_whatever_it_is():
    ours = model()
    one, other, without = ours.score_sentences(["a x", "a yes", "a"])
    assert one == other != without


@pytest.mark.parametrize("units", ["words", "characters"])
def test_what_is_generated_comes_from_the_alphabet_and_the_seed_alone(units):
    ours = model(units)
    with torch.no_grad():
        ours.network.tokens.bias[1] += 3  # it likes nothing better than the unknown
    texts = [ours.generate(seed=seed, length=30) for seed in range(20)]
    torch.manual_seed(99)
    assert [ours.generate(seed=seed, length=30) for seed in range(20)] == texts
    assert set("".join(texts)) <= set(ALPHABET)
    assert len(set(texts)) > 10
    assert all(len(ours.vocabulary.encode(text)) <= 30 for text in texts)


def test_a_prompt_is_gone_on_from():
    ours = model()
    texts = [ours.generate("H G", seed=seed, length=12) for seed in range(8)]
    assert all(text.startswith("h g") for text in texts)
    assert len(set(texts)) > 1
    assert ours.generate("a b c", length=2) == "a b c"


def test_temperature():
    ours = model()
    likeliest = ours.generate(temperature=0, length=8)
    assert {ours.generate(temperature=0, seed=seed, length=8) for seed in range(5)} == {likeliest}
    assert {ours.generate(temperature=1e-4, seed=seed, length=8) for seed in range(5)} == {likeliest}
    assert len({ours.generate(temperature=2, seed=seed, length=8) for seed in range(20)}) > 10
    for refused in (-1, math.nan):
        with pytest.raises(ConfigError, match=f"temperature = {refused}: 0 or more is needed"):
            ours.generate(temperature=refused)


def test_tokens_are_drawn_as_often_as_the_model_expects():
    ours = model()
    log_probabilities, _ = ours.network.eval().step(torch.tensor([[0]]))
    expected = log_probabilities[0, 0].exp().detach()
    expected[1] = 0
    drawn = [ours.generate(seed=seed, length=1) for seed in range(1000)]
    names = ["", "", *ours.vocabulary.tokens[2:]]
    shares = torch.tensor([0.0 if number == 1 else drawn.count(name) / 1000 for number, name in enumerate(names)])
    torch.testing.assert_close(shares, expected / expected.sum(), atol=0.05, rtol=0)


def test_it_is_loaded_from_a_folder(tmp_path):
    ours = model()
    save_model(ours.checkpoint, tmp_path / "lm", "# card\n")
    assert NeuralModel.load(tmp_path / "lm", "cpu").score_sentences(TEXTS) == ours.score_sentences(TEXTS)
    with pytest.raises(AsrError, match="device 'tpu' is not known"):
        NeuralModel.load(tmp_path / "lm", "tpu")
