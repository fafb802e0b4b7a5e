import itertools
import math

import pytest
import torch

from asr.checkpoint import save_model
from asr.errors import DataError, ModelError
from asr.g2p import pronouncer
from asr.g2p.checkpoint import create
from asr.g2p.network import G2PConfig
from asr.g2p.pronouncer import Pronouncer, shipped
from asr.g2p.vocabulary import BOUNDARY, PronunciationVocabulary
from asr.lexicon.entries import Pronunciation

WORDS = ["ab", "b", "aabba", "ba", "bbb", "a"]


def checkpoint(seed=0, phones=("A", "B"), sharpness=3.0):
    """Random weights, far enough from zero that not all is equally likely."""
    torch.manual_seed(seed)
    config = G2PConfig(embedding=4, hidden=4, decoder_hidden=5, layers=1)
    made = create(config, PronunciationVocabulary(("a", "b"), phones), {})
    with torch.no_grad():
        for weight in made.model.parameters():
            weight *= sharpness
    return made


def small(seed=0, beam=4, **settings):
    return Pronouncer(checkpoint(seed, **settings), torch.device("cpu"), beam)


@torch.inference_mode()
def by_brute_force(model, word, most):
    """Every pronunciation of up to so many phones with its log-probability, the likeliest first."""
    letters, length = torch.tensor([model.vocabulary.encode(word)]), torch.tensor([len(word)])
    scored = []
    for count in range(1, most + 1):
        for ids in itertools.product(range(1, len(model.vocabulary.phones) + 1), repeat=count):
            phones = torch.tensor([[BOUNDARY, *ids, BOUNDARY]])
            steps = model.network.eval()(letters, length, phones[:, :-1]).gather(2, phones[:, 1:, None])
            scored.append((model.vocabulary.decode(ids), float(steps.sum())))
    return sorted(scored, key=lambda pair: -pair[1])


def test_the_brute_force_of_these_tests_has_a_test():
    """All there is, once: with what goes on beyond the longest, it makes 1 but for the empty pronunciation."""
    found = by_brute_force(small(sharpness=0.0), "ab", 3)
    assert len({phones for phones, _ in found}) == 2 + 4 + 8
    for phones, score in found:  # without weights all is equally likely
        assert score == pytest.approx((len(phones) + 1) * math.log(1 / 3))


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_search_finds_what_brute_force_finds(seed, monkeypatch):
    monkeypatch.setattr(pronouncer, "MOST_PHONES", (4, 0))
    model = small(seed)
    for word, found in zip(WORDS, model.pronounce(WORDS, nbest=30), strict=True):
        expected = by_brute_force(model, word, 4)
        assert len(found) == len(expected) == 30
        assert [each.phones for each in found] == [phones for phones, _ in expected]
        shares = [math.exp(score - expected[0][1]) for _, score in expected]
        assert [each.probability for each in found] == pytest.approx(shares, abs=1e-5)


def test_the_best_has_a_probability_of_1_and_the_unlikely_are_left_out():
    model = small()
    for word, all_of_them in zip(WORDS, model.pronounce(WORDS, nbest=6), strict=True):
        assert all_of_them[0].probability == 1
        probabilities = [each.probability for each in all_of_them]
        assert probabilities == sorted(probabilities, reverse=True)
        assert len({each.phones for each in all_of_them}) == 6
        (likely,) = model.pronounce([word], nbest=6, threshold=0.3)
        assert [each.phones for each in likely] == [each.phones for each in all_of_them if each.probability >= 0.3]


def test_greedy_takes_the_best_phone_each_time():
    model = small(seed=1, beam=1)
    for word, (found,) in zip(WORDS, model.pronounce(WORDS), strict=True):
        letters, length = torch.tensor([model.vocabulary.encode(word)]), torch.tensor([len(word)])
        ids = [BOUNDARY]
        while len(ids) == 1 or ids[-1] != BOUNDARY:
            following = model.network(letters, length, torch.tensor([ids]))[0, -1]
            full = len(ids) > pronouncer.MOST_PHONES[0] + pronouncer.MOST_PHONES[1] * len(word)
            ids.append(BOUNDARY if full else int(following[len(ids) == 1 :].argmax()) + (len(ids) == 1))
        assert found == Pronunciation(model.vocabulary.decode(ids))


def test_words_together_get_what_they_get_alone(monkeypatch):
    """Also in other batches, twice, in another order, and written otherwise."""
    model = small(seed=2)
    together = model.pronounce(WORDS, nbest=3)
    monkeypatch.setattr(pronouncer, "BATCH_WORDS", 2)
    for words in (WORDS, WORDS[::-1], ["AB", " b "], ["ba", "ba", "ba"]):
        for word, found in zip(words, model.pronounce(words, nbest=3), strict=True):
            expected = together[WORDS.index(word.strip().lower())]
            assert [each.phones for each in found] == [each.phones for each in expected]
            probabilities = [each.probability for each in expected]
            assert [each.probability for each in found] == pytest.approx(probabilities, abs=1e-5)
    assert model.pronounce([]) == []


@pytest.mark.parametrize("nbest", [1, 3])
def test_a_model_that_never_ends_is_stopped(nbest):
    """And one that would say nothing says something."""
    model = small()
    with torch.no_grad():
        model.network.head.bias[BOUNDARY] = -1e4
    for word, found in zip(WORDS, model.pronounce(WORDS, nbest), strict=True):
        most = pronouncer.MOST_PHONES[0] + pronouncer.MOST_PHONES[1] * len(word)
        assert [len(each.phones) for each in found] == [most] * nbest
    with torch.no_grad():
        model.network.head.bias[BOUNDARY] = 1e4
    for found in model.pronounce(WORDS, nbest):
        assert len(found[0].phones) == 1


def test_what_cannot_be_said_is_refused():
    with pytest.raises(DataError, match="^'a4': '4' cannot be said; write numbers and signs in words"):
        small().pronounce(["ab", "a4"])


def test_a_model_is_loaded_from_its_folder(tmp_path):
    made = checkpoint(3)
    save_model(made, tmp_path / "g2p", "# card\n")
    expected = Pronouncer(made, torch.device("cpu")).pronounce(WORDS, 2)
    assert Pronouncer.load(tmp_path / "g2p").pronounce(WORDS, 2) == expected
    with pytest.raises(ModelError, match="/nosuch: no such model folder"):
        Pronouncer.load(tmp_path / "nosuch")


@pytest.fixture(scope="module")
def english():
    return Pronouncer.load(shipped())


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("blickets", "B L IH K AH T S"),
        ("glorped", "G L AO R P T"),
        ("snarking", "S N AA R K IH NG"),
        ("frumple", "F R AH M P AH L"),
        ("wugs", "W AH G Z"),
        ("phlooth", "F L UW TH"),
    ],
)
def test_the_model_for_english_says_words_that_there_are_not(english, word, phones):
    (found,) = english.pronounce([word], nbest=3)
    assert phones.split() in [list(each.phones) for each in found]


def test_the_model_for_english_has_the_phones_of_cmudict(english):
    from asr.lexicon.dictionary import PHONES

    assert english.vocabulary.phones == tuple(sorted(PHONES))
    assert "".join(english.vocabulary.letters) == "'abcdefghijklmnopqrstuvwxyz"


def test_the_model_for_english_is_small_and_tells_where_it_is_from():
    assert sum(path.stat().st_size for path in shipped().iterdir()) < 2.0e6
    card = (shipped() / "README.md").read_text()
    for words in (
        "Carnegie Mellon University",
        "| Split | by family",
        "| Test | phone errors",
        "asr lexicon train-g2p",
    ):
        assert words in card
    assert "Redistribution and use in source and binary forms" in (shipped() / "LICENSE").read_text()


@pytest.mark.corpus
def test_the_model_for_english_says_unseen_words_as_its_card_claims(english, corpora):
    """A twentieth of the test."""
    import re

    from asr.g2p.scoring import score
    from asr.g2p.training import read_parts

    test = read_parts(corpora / "text" / "cmudict" / "cmudict.dict", "family")["test"]
    part = test.only(list(test.entries)[::20])
    found = dict(zip(part.entries, english.pronounce(list(part.entries)), strict=True))
    errors = score(part, {word: best.phones for word, (best,) in found.items()})
    claimed = re.search(r"Test \| phone errors ([\d.]+)%", (shipped() / "README.md").read_text())
    assert 100 * errors.per == pytest.approx(float(claimed[1]), abs=1.5)
    assert errors.per < 0.08
