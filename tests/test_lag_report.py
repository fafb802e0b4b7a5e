import pytest

from asr.lag.report import Row, in_words, page, table
from asr.lag.search import Finding
from asr.lag.trial import LagConfig

CONFIG = LagConfig(encoders=("lstm", "transformer"), tasks=("adding", "order"), lags=(10, 20), gradient_lag=50)
FINDINGS = Finding(0, 0, True), Finding(10, 2, True), Finding(20, 3, False)
ROWS = [
    Row("lstm", (30, 33), (4900, 4999), (4800, 4801), dict(zip(CONFIG.tasks, FINDINGS[1:], strict=True)), 0.0123),
    Row("transformer", (16, 16), (4321, 4500), (4000, 4000), dict(zip(CONFIG.tasks, FINDINGS, strict=False)), 2.0),
]


def test_the_table():
    assert table(CONFIG, ROWS) == [
        "| encoder | year | units | parameters | operations a step | adding problem | temporal order "
        "| gradient at lag 50 |",
        "|---|---|---|---|---|---|---|---|",
        "| `lstm` | 2000 | 30 to 33 | 4,900 to 4,999 | 4,800 to 4,801 | 10 (2 of 3) | 20+ (3 of 3) | 1.2e-02 |",
        "| `transformer` | 2017 | 16 | 4,321 to 4,500 | 4,000 | none | 10 (2 of 3) | 2.0e+00 |",
    ]


@pytest.mark.parametrize(
    ("finding", "words"),
    [(Finding(0, 0, True), "none"), (Finding(10, 2, True), "10 (2 of 3)"), (Finding(20, 3, False), "20+ (3 of 3)")],
)
def test_a_finding_in_words(finding, words):
    assert in_words(finding, CONFIG) == words


def test_the_page_tells_the_criterion_the_budget_and_where_it_comes_from():
    text = page("long_lag/quick", CONFIG, ROWS, {"Command": "`asr run long_lag/quick`"}, "long_lag.png")
    assert text.startswith("# Results of long_lag/quick\n\n| encoder")
    for words in (
        "of 10, 20,",
        "160,000 sequences",
        "99% of 500",
        "2 of 3 seeds",
        "of 0.003, 0.01",
        "5,000 parameters",
    ):
        assert words in text
    assert "The Transformer has 2 layers" in text
    assert "(long_lag.png)\n" in text
    assert text.endswith("| Command | `asr run long_lag/quick` |\n")
    alone = page("long_lag", CONFIG, ROWS[:1], {}, "")
    assert "Transformer has" not in alone
    assert "png" not in alone
