import math
import random
import statistics
from collections import Counter
from itertools import product

import pytest

from asr.errors import DataError
from asr.metrics import Errors, total
from asr.scoring import bootstrap
from asr.scoring.bootstrap import FEWEST_SPEAKERS, Difference, Interval, difference, interval


def exact_quantile(utterances, share):
    """That of the pooled WER over all equally likely draws of `(word errors, words)`, not a sample of them."""
    draws = product(utterances, repeat=len(utterances))
    rates = sorted(sum(wrong for wrong, _ in draw) / sum(words for _, words in draw) for draw in draws)
    return rates[math.ceil(share * len(rates)) - 1]


def utterances(*counts):
    """Errors by id (a, b, ...), from `(word errors, words)`."""
    return {"abcdefgh"[i]: Errors(words=words, substitutions=wrong) for i, (wrong, words) in enumerate(counts)}


def test_the_exact_quantile_by_hand():
    # Two utterances, four draws: ab, ba and aa, bb; pooled, ab is 3 errors in 4 words, not the mean of 0 and 1.
    assert [exact_quantile([(0, 1), (3, 3)], share) for share in (0.25, 0.26, 0.75, 0.76)] == [0, 0.75, 0.75, 1]


def test_single_resamples_of_two_utterances_follow_the_exact_distribution():
    errors = utterances((0, 1), (3, 3))
    drawn = Counter(interval(errors, {}, resamples=1, seed=seed).low for seed in range(400))
    assert drawn.keys() == {0, 0.75, 1}  # in 100, 200 and 100 of 400 seeds; the bounds are four deviations away
    assert all(abs(drawn[rate] - expected) < 40 for rate, expected in {0: 100, 0.75: 200, 1: 100}.items())
    assert interval(errors, {}) == Interval(0, 1, "utterance")


def test_interval_of_five_by_hand():
    # The number of draws of e among five is binomial(5, 1/5): P(0) = 0.33, P(<= 2) = 0.94, P(<= 3) = 0.99.
    assert interval(utterances((0, 1), (0, 1), (0, 1), (0, 1), (1, 1)), {}) == Interval(0, 0.6, "utterance")


@pytest.mark.parametrize(
    "counts", [[(0, 10), (2, 10), (6, 10), (2, 10), (0, 10)], [(0, 9), (1, 1), (2, 5), (0, 1)], [(1, 4), (1, 1)]]
)
def test_interval_agrees_with_all_draws(counts):
    exact = [exact_quantile(counts, share) for share in (0.025, 0.975)]
    near = [exact_quantile(counts, share) for share in (0.02, 0.03, 0.97, 0.98)]
    assert set(near) == set(exact)  # so that the chance in 10,000 resamples cannot show
    found = interval(utterances(*counts), {})
    assert [found.low, found.high] == exact


def test_speakers_are_drawn_whole():
    errors = utterances((1, 2), (0, 3), (2, 7), (4, 4), (0, 1), (1, 6), (3, 3), (0, 5))
    groups = dict(zip(errors, "vvwwxyyz", strict=True))
    pooled = {speaker: total(errors[name] for name in errors if groups[name] == speaker) for speaker in "vwxyz"}
    found, expected = interval(errors, groups), interval(pooled, {})
    assert (found.unit, expected.unit) == ("speaker", "utterance")
    assert (found.low, found.high) == (expected.low, expected.high)
    assert (found.low, found.high) != (interval(errors, {}).low, interval(errors, {}).high)


@pytest.mark.parametrize(
    "groups",
    [
        {},
        dict.fromkeys("abcdef", ""),
        dict(zip("abcdef", "stuv" * 2, strict=False)),
        {**dict(zip("abcdef", "stuvwx", strict=True)), "c": ""},
        dict(zip("abcde", "stuvw", strict=True)),
    ],
    ids=["no speakers", "empty speakers", "too few speakers", "one speaker empty", "one speaker missing"],
)
def test_interval_falls_back_to_utterances(groups):
    errors = utterances((0, 1), (1, 1), (0, 2), (2, 3), (1, 4), (0, 6))
    assert interval(errors, groups).unit == "utterance"
    assert interval(errors, dict(zip(errors, "stuvvw", strict=True))).unit == "speaker"
    assert len(set("stuvw")) == FEWEST_SPEAKERS


def test_interval_of_equal_errors_has_no_width():
    errors = utterances(*[(1, 4)] * 8)
    assert interval(errors, {}) == Interval(0.25, 0.25, "utterance")
    assert interval(errors, {name: name for name in errors}) == Interval(0.25, 0.25, "speaker")
    assert interval(utterances((3, 2)), {}) == Interval(1.5, 1.5, "utterance")


def test_interval_depends_on_the_seed_and_on_nothing_else(monkeypatch):
    errors = utterances((0, 3), (1, 7), (5, 11), (2, 13), (8, 17), (1, 19), (4, 23))
    found = [interval(errors, {}, resamples=101, seed=seed) for seed in range(3)]
    assert len(set(found)) == 3
    assert interval(errors, {}, resamples=101, seed=2) == found[2]
    assert interval(dict(reversed(errors.items())), {}, resamples=101, seed=2) == found[2]
    for draws in (1, 7, 50):
        monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", draws)
        assert interval(errors, {}, resamples=101, seed=2) == found[2]


def test_interval_where_nothing_was_said():
    assert interval(utterances((0, 0), (0, 0)), {}) == Interval(0, 0, "utterance")
    assert interval(utterances((2, 0), (0, 5)), {}) == Interval(0, math.inf, "utterance")


def test_interval_needs_an_utterance():
    with pytest.raises(DataError, match="no utterances"):
        interval({}, {})


def test_a_difference_of_two_systems_by_hand():
    # Two utterances of one word: B is right where A is wrong, or both are wrong. The draws: aa, ab, ba, bb.
    a, b = utterances((1, 1), (1, 1)), utterances((0, 1), (1, 1))
    found = difference(a, b, {})
    assert found.value == -0.5
    assert found.interval == Interval(-1.0, 0.0, "utterance")
    assert found.improved == pytest.approx(0.75 + 0.25 / 2, abs=0.02)  # in the draw bb they are equal


def test_a_difference_of_equal_systems_is_nothing():
    errors = utterances((1, 3), (2, 4), (0, 5))
    assert difference(errors, errors, {}) == Difference(0.0, Interval(0.0, 0.0, "utterance"), 0.5)


def test_what_is_hard_for_both_systems_cancels_out():
    a = utterances((0, 10), (9, 10), (2, 10), (7, 10), (1, 10), (8, 10))
    b = {name: Errors(words=10, substitutions=counts.word_errors + 1) for name, counts in a.items()}
    found = difference(a, b, {})
    assert (found.value, found.improved) == (pytest.approx(0.1), 0.0)
    assert found.interval.high - found.interval.low < 1e-9
    assert interval(a, {}).high - interval(a, {}).low > 0.3


def test_speakers_are_drawn_whole_in_a_difference_too():
    a, b = utterances(*[(1, 2)] * 8), utterances(*[(0, 2), (2, 2)] * 4)
    groups = dict(zip(a, "vvwwxxyz", strict=True))
    found = difference(a, b, groups)
    assert found.interval.unit == "speaker"
    assert (found.interval.low, found.interval.high) != (
        difference(a, b, {}).interval.low,
        difference(a, b, {}).interval.high,
    )


def test_a_difference_where_nothing_was_said():
    found = difference(utterances((1, 0), (0, 0)), utterances((1, 0), (0, 0)), {})
    assert math.isnan(found.value)
    assert (found.interval.low, found.interval.high) == (0, 0)
    only_b = difference(utterances((0, 0), (0, 3)), utterances((2, 0), (0, 3)), {})
    assert (only_b.value, only_b.interval.high) == (pytest.approx(2 / 3), math.inf)


def test_the_interval_is_that_of_kaldi_where_rates_are_normal():
    # compute-wer-bootci gives the mean of the resampled rates and 1.96 standard deviations. The deviation of a ratio
    # of sums over n equal utterances is known: that of one utterance's rate by the root of n.
    generator = random.Random(0)
    counts = [(generator.choice([0, 1, 2, 4]), 10) for _ in range(400)]
    errors = {f"{number:03}": Errors(words=words, substitutions=wrong) for number, (wrong, words) in enumerate(counts)}
    rates = [wrong / words for wrong, words in counts]
    mean, deviation = statistics.fmean(rates), statistics.pstdev(rates) / math.sqrt(len(rates))
    found = interval(errors, {})
    assert found.low == pytest.approx(mean - 1.96 * deviation, abs=0.001)
    assert found.high == pytest.approx(mean + 1.96 * deviation, abs=0.001)
    assert 1.96 * deviation > 0.01
