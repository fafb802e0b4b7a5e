import doctest

import pytest

from asr.g2p import families
from asr.g2p.families import part_of, share_out, stem
from asr.lexicon.entries import Lexicon, Pronunciation


def lexicon(words):
    return Lexicon({word: (Pronunciation(("AH",)),) for word in words})


def test_the_examples():
    failed, attempted = doctest.testmod(families)
    assert (failed, attempted) == (0, 3)


@pytest.mark.parametrize(
    "family",
    [
        "fly flies flying flier fliers",
        "city cities city's",
        "pass passes passed passing",
        "abandon abandons abandoned abandoning abandonment",
        "abbreviate abbreviated abbreviates abbreviating abbreviation abbreviations",
        "care cares careful carefully careless carelessness carelessly",
        "smith smith's smiths smiths'",
    ],
)
def test_the_forms_of_a_word_have_one_stem(family):
    assert len({stem(word) for word in family.split()}) == 1


def test_other_words_have_other_stems():
    words = ["red", "read", "dog", "cat", "king", "sing", "bring", "strong", "thing", "bass", "base"]
    assert len({stem(word) for word in words}) == len(words) - 1  # bass and base are thought to be one


def test_a_stem_is_never_empty():
    for word in ("s", "ed", "'", "ly", "less", "ings", "e", "y", "yy"):
        assert stem(word.replace("'", "") or "a")


def test_families_stay_together_whatever_else_there_is():
    words = [f"{letter}{other}{last}ound" for letter in "bcdf" for other in "rlaeiou" for last in "bcdfglmnprst"]
    families = [[word, f"{word}s", f"{word}ed", f"{word}'s"] for word in words]
    for split in ("family", "word"):
        parts = share_out(lexicon(word for family in families for word in family), split)
        assert sum(map(len, parts.values())) == 4 * len(words)
        assert set(parts) == {"train", "dev", "test"}
        assert 0.06 < len(parts["test"]) / (4 * len(words)) < 0.14
        assert 0.0 < len(parts["dev"]) / (4 * len(words)) < 0.06
        for part, found in parts.items():
            assert all(part_of(word, split) == part for word in found.entries)
    together = [{part_of(word) for word in family} for family in families]
    apart = [{part_of(word, "word") for word in family} for family in families]
    assert all(len(parts) == 1 for parts in together)
    assert sum(len(parts) > 1 for parts in apart) > 50


def test_the_split_is_the_same_everywhere_and_another_with_another_seed():
    expected = {"stone": "train", "river": "train", "monday": "test", "phone": "test", "landed": "dev", "lander": "dev"}
    assert {word: part_of(word) for word in expected} == expected
    assert {word: part_of(word, seed=2) for word in expected} != expected
