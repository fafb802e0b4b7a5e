import dataclasses
import json
import math

import numpy as np
import pytest

from asr.confidence import (
    Bin,
    Calibration,
    cross_fitted,
    expected_calibration_error,
    fit,
    normalised_cross_entropy,
    reliability,
    reliability_table,
    shifted,
)
from asr.config import build, to_table
from asr.errors import ConfigError, DataError

SIX = [0.05, 0.15, 0.15, 0.95, 0.95, 1.0]
RIGHT = [False, True, False, True, True, False]


def drawn(seed: int, count: int, slope: float = 1.0, offset: float = 0.0) -> tuple[list[float], list[bool]]:
    """Confidences, and labels that are right with the probability that the calibration makes of each."""
    generator = np.random.default_rng(seed)
    confidences = generator.beta(2, 1, count)
    right = generator.random(count) < Calibration(slope, offset)(confidences)
    return confidences.tolist(), right.tolist()


def test_bins_worked_by_hand():
    first, second, *middle, last = reliability(SIX, RIGHT)
    assert first == Bin(0.0, 0.1, 1, 0.05, 0.0)
    assert second == Bin(0.1, 0.2, 2, 0.15, 0.5)
    assert [part.count for part in middle] == [0] * 7
    assert all(math.isnan(part.accuracy) for part in middle)
    assert (last.count, last.confidence, last.accuracy) == (3, pytest.approx(2.9 / 3), pytest.approx(2 / 3))


@pytest.mark.parametrize("bins", [1, 3, 10])
def test_an_edge_belongs_to_the_bin_above_it(bins):
    edges = np.linspace(0, 1, bins + 1)
    assert [part.count for part in reliability(edges.tolist(), [True] * (bins + 1), bins)] == [1] * (bins - 1) + [2]


def test_the_calibration_error_worked_by_hand():
    assert expected_calibration_error(SIX, RIGHT) == pytest.approx((0.05 + 2 * 0.35 + 0.9) / 6)
    assert expected_calibration_error([1.0, 1.0], [False, False]) == 1.0
    assert expected_calibration_error([], []) == 0.0


def test_words_as_often_right_as_is_said_have_no_error():
    assert (
        expected_calibration_error([0.25] * 4 + [0.75] * 4, [True, False, False, False, True, True, True, False]) == 0
    )
    assert expected_calibration_error(*drawn(0, 100_000)) < 0.01


def test_the_cross_entropy_worked_by_hand():
    assert normalised_cross_entropy([0.5, 0.5], [True, False]) == pytest.approx(0.0)
    assert normalised_cross_entropy([1.0, 0.0], [True, False]) == pytest.approx(1.0, abs=1e-5)
    assert normalised_cross_entropy([0.75, 0.25], [True, False]) == pytest.approx(1 + math.log2(0.75))
    assert normalised_cross_entropy([0.25, 0.75], [True, False]) == pytest.approx(-1.0)


@pytest.mark.parametrize("right", [[], [True] * 3, [False] * 3])
def test_where_all_are_alike_there_is_nothing_to_tell(right):
    with pytest.raises(DataError, match=f"^{len(right)} words, all right or all wrong"):
        normalised_cross_entropy([0.5] * len(right), right)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, -0.5), (2.5, 1.0)])
def test_the_fit_finds_what_the_labels_were_drawn_from(slope, offset):
    calibration = fit(*drawn(2, 50_000, slope, offset))
    assert calibration.slope == pytest.approx(slope, rel=0.1)
    assert calibration.offset == pytest.approx(offset, abs=0.05)


def test_no_other_calibration_is_likelier():
    confidences, right = drawn(3, 5000, 0.5, -0.3)
    best = fit(confidences, right)
    reached = normalised_cross_entropy(best(confidences).tolist(), right)
    for slope, offset in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
        other = Calibration(best.slope + slope, best.offset + offset)
        assert normalised_cross_entropy(other(confidences).tolist(), right) < reached


def test_too_much_confidence_is_mended():
    confidences, right = drawn(4, 4000, 0.3, -0.4)
    assert expected_calibration_error(confidences, right) > 0.15
    calibrated = fit(confidences, right)(confidences).tolist()
    assert expected_calibration_error(calibrated, right) < 0.03
    assert sorted(zip(confidences, calibrated, strict=True)) == list(
        zip(sorted(confidences), sorted(calibrated), strict=True)
    )


def test_words_that_can_be_told_apart_without_error_are_not_called_certain():
    calibration = fit([0.2] * 30 + [0.8] * 30, [False] * 30 + [True] * 30)
    assert calibration([0.2, 0.8]) == pytest.approx([1 / 32, 31 / 32])


def test_extreme_confidences_have_a_fit():
    right = [False] * 25 + [True] * 5 + [False] * 5 + [True] * 25
    low, high = fit([0.0] * 30 + [1.0] * 30, right)([0.0, 1.0])
    assert low == pytest.approx(5 / 30, abs=0.03)
    assert high == pytest.approx(25 / 30, abs=0.03)


def test_a_calibration_keeps_the_order():
    values = Calibration(0.3, 2.0)(np.linspace(0, 1, 101))
    assert (np.diff(values) > 0).all()
    assert ((values > 0) & (values < 1)).all()
    assert Calibration()([0.2, 0.9]) == pytest.approx([0.2, 0.9])


def test_a_calibration_is_plain_data():
    calibration = Calibration(0.7, -0.2)
    assert build(Calibration, json.loads(json.dumps(to_table(calibration))), "config.json") == calibration
    assert dataclasses.is_dataclass(calibration)
    with pytest.raises(ConfigError, match="slop"):
        build(Calibration, {"slop": 1.0}, "config.json")


@pytest.mark.parametrize(("right", "wrong"), [(0, 0), (100, 0), (0, 100), (100, 19), (19, 100)])
def test_too_few_words_are_refused(right, wrong):
    with pytest.raises(DataError, match=f"^{right} right and {wrong} wrong words: confidence needs 20 of each"):
        fit([0.5] * (right + wrong), [True] * right + [False] * wrong)


def test_confidence_that_misleads_is_refused():
    with pytest.raises(DataError, match="over 100 words it falls where more are right"):
        fit([0.9] * 50 + [0.1] * 50, [False] * 50 + [True] * 50)


def test_each_half_is_calibrated_by_the_other():
    groups = {name: drawn(seed, 400, 0.4, -0.3) for seed, name in enumerate(("ann", "bob", "cid"))}
    confidences, right = cross_fitted(groups)
    (first, second, third) = (groups[name] for name in ("ann", "bob", "cid"))
    assert right == first[1] + third[1] + second[1]
    pooled = fit(first[0] + third[0], first[1] + third[1])
    assert confidences == pytest.approx([*fit(*second)(first[0] + third[0]), *pooled(second[0])])
    assert expected_calibration_error(*cross_fitted(groups)) == expected_calibration_error(confidences, right) < 0.06


def test_the_calibration_of_one_speaker_is_not_measured_on_the_same():
    """Of two speakers, one always right where the other is wrong, a calibration of both would seem good."""
    low, high = drawn(5, 2000, 1.0, -3.0), drawn(6, 2000, 1.0, 2.0)
    seen = fit(low[0] + high[0], low[1] + high[1])(low[0] + high[0]).tolist()
    assert expected_calibration_error(seen, low[1] + high[1]) < 0.1
    assert expected_calibration_error(*cross_fitted({"low": low, "high": high})) > 0.5


def test_the_table():
    assert reliability_table(reliability(SIX, RIGHT)) == (
        "| confidence | words | mean confidence | right |\n"
        "|---|--:|--:|--:|\n"
        "| 0% to 10% | 1 | 5.0% | 0.0% |\n"
        "| 10% to 20% | 2 | 15.0% | 50.0% |\n"
        "| 90% to 100% | 3 | 96.7% | 66.7% |\n"
    )


@pytest.mark.parametrize(("right", "wrong"), [(500, 3), (500, 0), (2, 5)])
def test_too_few_wrong_words_still_give_the_right_mean(right, wrong):
    rng = np.random.default_rng(0)
    raw = rng.uniform(0.01, 0.8, right + wrong)
    calibration = shifted(raw, [True] * right + [False] * wrong)
    assert calibration.slope == 1.0
    assert calibration(raw).mean() == pytest.approx((right + 1) / (right + wrong + 2), abs=1e-4)
    assert np.array_equal(np.argsort(calibration(raw)), np.argsort(raw))
