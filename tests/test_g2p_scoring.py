import doctest

import pytest

from asr.g2p import scoring
from asr.g2p.scoring import PronunciationErrors, count_errors, score
from asr.lexicon.entries import lexicon_of

DICTIONARY = lexicon_of(
    [("read", ("R", "EH", "D"), 1.0), ("read", ("R", "IY", "D"), 1.0), ("a", ("AH",), 1.0), ("a", ("EY",), 1.0)]
)


def test_the_example():
    failed, attempted = doctest.testmod(scoring)
    assert (failed, attempted) == (0, 1)


@pytest.mark.parametrize(
    ("phones", "wrong", "errors"),
    [("R IY D", 0, 0), ("R EH D", 0, 0), ("R AH D", 1, 1), ("R IY D Z", 1, 1), ("IY", 1, 2), ("", 1, 3), ("D R", 1, 3)],
)
def test_a_word_is_held_against_the_nearest(phones, wrong, errors):
    assert count_errors(DICTIONARY["read"], tuple(phones.split())) == PronunciationErrors(1, wrong, 3, errors)


def test_rates_are_of_pooled_counts():
    errors = score(DICTIONARY, {"read": ("R", "AH", "D"), "a": ("EY",), "more": ()})
    assert errors == PronunciationErrors(2, 1, 4, 1)
    assert (errors.per, errors.wer) == (0.25, 0.5)
    assert str(errors) == "phone errors 25.00%, wrong words 50.00% of 2"
    assert PronunciationErrors().per == 0


def test_a_word_that_was_not_pronounced_is_a_mistake():
    with pytest.raises(KeyError, match="read"):
        score(DICTIONARY, {"a": ("EY",)})
