import matplotlib.image
import pytest

from asr.lag.gradient import CAROUSEL
from asr.lag.picture import _apart, draw
from asr.lag.report import Row
from asr.lag.search import Finding
from asr.lag.trial import LagConfig

CONFIG = LagConfig(lags=(10, 20, 50))


def test_a_picture_1200_pixels_wide_that_lets_the_page_shine_through(tmp_path):
    findings = [Finding(0, 0, True), Finding(20, 2, True), Finding(50, 3, False)]
    rows = [
        Row(encoder, (9,), (9,), (9,), dict(zip(CONFIG.tasks, findings, strict=True)), 0.5)
        for encoder in CONFIG.encoders
    ]
    gradients = {row.encoder: [1.5, 1.0, 0.5**number, 0.25**number] for number, row in enumerate(rows)}
    assert draw(rows, {**gradients, CAROUSEL: [1.0] * 4}, CONFIG, tmp_path / "a.png")
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture.shape[1] == 1200
    assert picture[0, 0, 3] == 0
    assert (picture[..., 3] > 0.5).mean() > 0.02
    assert (tmp_path / "a.png").stat().st_size < 150_000


def test_names_are_moved_apart():
    assert _apart([1, 1, 1], 2) == [1, 2, 4]
    assert _apart([8, 1, 1.5], 2) == [8, 1, 2]
    assert _apart([1, 100, 10], 2) == [1, 100, 10]
    assert _apart([3.5, 1, 2], 2) == pytest.approx([4, 1, 2])
