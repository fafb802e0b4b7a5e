import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_scoring_figures import figures, results

from asr import __version__, report
from asr.card import card_of
from asr.confidence import reliability
from asr.evaluation import score_split
from asr.manifest import Utterance
from asr.report import commit, draw_reliability, draw_training, publish, results_page, summary
from asr.scoring.figures import FILE, figures_of, read_results

SPOKEN = {
    "a-1": ("the cat sat on", "cat sad on it", "ann"),
    "a-2": ("one two three", "one two three", "ann"),
    "b-1": ("four", "for", "bob"),
}
UTTERANCES = [Utterance(name, Path(f"{name}.wav"), text, who, 0.0, 1200.0) for name, (text, _, who) in SPOKEN.items()]
HYPOTHESES = {name: heard for name, (_, heard, _) in SPOKEN.items()}

TEST = figures(split="test")
DEV = figures(
    split="dev",
    decoding="beam",
    hours=0.125,
    utterances=4,
    words=10,
    substitutions=0,
    deletions=0,
    insertions=0,
    characters=25,
    character_errors=0,
    wrong_sentences=0,
    wer_low=0.0,
    wer_high=0.0,
    resampled="utterance",
    confidence_error=0.015,
)


def test_the_summary_is_one_line():
    assert summary(TEST) == (
        "test, greedy: WER 20.00% (10.00% to 30.50%), 4 errors in 20 words (S 1, D 2, I 1), CER 10.00%, "
        "sentences wrong 50.00%"
    )


def test_more_insertions_than_words_are_not_capped():
    result = score_split("test", [Utterance("a", Path("a.wav"), "yes")], {"a": "no it is not"})
    assert summary(figures_of(result, "test", "greedy")).startswith(
        "test, greedy: WER 400.00% (400.00% to 400.00%), 4 errors in 1 words"
    )


def test_the_results_page():
    facts = {"Command": "`asr run tones`", "Seed": "1", "Licence of the data": ""}
    page = results_page(results(DEV, TEST, recipe="tones", facts=facts))
    assert page == (
        "# Results of tones\n"
        "\n"
        "| split | hours | utterances | words | decoding | WER | 95 % interval | S | D | I | CER | sentences wrong "
        "| confidence off by |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
        "| dev | 0.12 | 4 | 10 | beam | 0.00% | 0.00% to 0.00% | 0 | 0 | 0 | 0.00% | 0.00% | 1.50% |\n"
        "| test | 1.00 | 2 | 20 | greedy | 20.00% | 10.00% to 30.50% | 1 | 2 | 1 | 10.00% | 50.00% |  |\n"
        "\n"
        "Intervals: bootstrap over speakers or utterances (10,000 resamples). "
        "S, D, I: substituted, deleted, inserted words. Confidence off by: the expected calibration error of the "
        "words' confidence, which `asr tune` calibrates on dev.\n"
        "The worst utterances are in `score/SPLIT.txt`, the hypotheses in `decode/SPLIT.jsonl`.\n"
        "\n"
        "| | |\n"
        "|---|---|\n"
        "| Command | `asr run tones` |\n"
        "| Seed | 1 |\n"
    )


def test_all_that_is_published_comes_from_one_file(tmp_path):
    found = results(DEV, TEST, recipe="tones", facts={"Seed": "1"})
    written = publish(tmp_path, found, [])
    assert {path.relative_to(tmp_path).as_posix() for path in written} == {
        "RESULTS.md",
        "results.json",
        "model/README.md",
        "model/results.json",
    }
    again = read_results(tmp_path / FILE)
    assert read_results(tmp_path / "model" / FILE) == again == found
    assert (tmp_path / "RESULTS.md").read_text() == results_page(again)
    assert (tmp_path / "model" / "README.md").read_text() == card_of(again)


def test_the_picture_of_the_training_is_published_where_there_is_one(tmp_path):
    pytest.importorskip("matplotlib")
    written = publish(tmp_path, results(DEV), history(3))
    assert tmp_path / "score" / "training.png" in written
    assert "](score/training.png)" in (tmp_path / "RESULTS.md").read_text()


def history(epochs: int, **others: object) -> list[dict[str, object]]:
    """A training that gets better, and worse again in the last quarter."""
    return [
        {
            "epoch": epoch,
            "loss": 3 / epoch,
            "learning_rate": 1e-3 * (1 - done),
            "dev_wer": 1.2 * math.exp(-3 * done) + max(0.0, done - 0.75),
            "dev_cer": 0.5 * math.exp(-3 * done),
            **others,
        }
        for epoch in range(1, epochs + 1)
        for done in [epoch / epochs]
    ]


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draws a history; returns matplotlib's figure as it was saved."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    saved = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (saved.append(self), save(self, *a, **k)))

    def draw(records):
        path = tmp_path / "score" / "training.png"
        assert draw_training(records, path)
        assert path.read_bytes().startswith(b"\x89PNG")
        return saved[-1]

    return draw


def curves(figure) -> dict[str, list[tuple[float, float]]]:
    return {
        line.get_label(): [(x, round(y, 6)) for x, y in zip(*line.get_data(), strict=True)]
        for axes in figure.axes
        if axes.get_visible()
        for line in axes.lines
    }


def test_the_picture_of_a_training(drawn):
    some = [
        {"epoch": 1, "loss": 2.5, "learning_rate": 1e-3, "dev_wer": 1.25, "dev_cer": 0.5},
        {"epoch": 2, "loss": 1.5, "learning_rate": 5e-4, "dev_wer": 0.2151, "dev_cer": 0.25, "kept": True},
        {"epoch": 3, "loss": 0.5, "learning_rate": 0.0, "dev_wer": 0.3, "dev_cer": 0.25},
    ]
    figure = drawn(some)
    assert sorted(curves(figure).values()) == sorted(
        [
            [(1, 2.5), (2, 1.5), (3, 0.5)],
            [(1, 125.0), (2, 21.51), (3, 30.0)],
            [(1, 50.0), (2, 25.0), (3, 25.0)],
            [(2, 21.51)],
            [(1, 1e-3), (2, 5e-4), (3, 0.0)],
        ]
    )
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "training loss",
        "dev WER",
        "dev CER",
        "kept: WER 21.51 %, epoch 2",
    ]


@pytest.mark.parametrize(
    "records",
    [
        history(1),
        history(2),
        history(30),
        history(300),
        history(300, dev_wer=25.6),
        history(30)[20:],
        history(12, loss=math.nan),
        history(1, loss=math.inf),
    ],
)
def test_nothing_overlaps_and_epochs_are_whole(drawn, records):
    figure = drawn(records)
    above, below, rates = figure.axes
    figure.draw_without_rendering()
    (legend,) = figure.legends
    boxes = [legend.get_window_extent(), *(axes.get_tightbbox() for axes in (above, below))]
    assert all(figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 for box in boxes)
    legend_box, above_box, below_box = boxes
    assert legend_box.y0 >= above_box.y1
    assert above_box.y0 >= below_box.y1
    assert all(tick == round(tick) for tick in below.get_xticks())
    assert all(axes.get_ylim()[0] == 0 for axes in figure.axes)
    assert rates.get_ylim()[1] >= max(100 * record["dev_wer"] for record in records)


def test_a_picture_of_what_an_older_history_has(drawn):
    bare = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 1.5, "dev_wer": None}]
    assert curves(drawn(bare)) == {"training loss": [(1, 2.5), (2, 1.5)]}
    assert len(drawn(bare).axes) == 2  # nothing is kept free for a learning rate
    late = [*bare, {"epoch": 3, "dev_wer": 0.5, "learning_rate": 0.1}]
    assert [(3, 50.0)] in curves(drawn(late)).values()
    assert [(3, 0.1)] in curves(drawn(late)).values()


def test_no_picture_of_nothing_or_without_matplotlib(tmp_path, monkeypatch):
    assert not draw_training([], tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not draw_training(history(3), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


needs_git = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=someone", "-c", "user.email=someone@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder that the code seems to run from; not yet a repository."""
    (tmp_path / "asr").mkdir()
    (tmp_path / "asr" / "report.py").write_text("original\n")
    monkeypatch.setattr(report, "__file__", str(tmp_path / "asr" / "report.py"))
    return tmp_path


def test_the_commit_outside_a_checkout_is_the_version(checkout):
    assert commit() == f"asr {__version__}"


@needs_git
def test_the_commit_of_a_copy_in_another_repository_is_the_version(checkout, monkeypatch):
    """Such as site-packages of an environment within somebody's own project."""
    git(checkout, "init")
    inner = checkout / "site-packages" / "asr"
    inner.mkdir(parents=True)
    monkeypatch.setattr(report, "__file__", str(inner / "report.py"))
    assert commit() == f"asr {__version__}"


@needs_git
def test_the_commit_in_a_checkout(checkout, monkeypatch):
    git(checkout, "init")
    assert commit() == f"asr {__version__}"  # no commit yet
    git(checkout, "add", ".")
    git(checkout, "commit", "-m", "first")
    head = git(checkout, "rev-parse", "HEAD")[:12]
    assert commit() == head
    (checkout / "notes.txt").write_text("git does not know this file")
    assert commit() == head
    (checkout / "asr" / "report.py").write_text("changed\n")
    assert commit() == f"{head}+changes"
    monkeypatch.setenv("PATH", str(checkout))  # no git
    assert commit() == f"asr {__version__}"


def test_a_picture_of_reliability(tmp_path):
    pytest.importorskip("matplotlib")
    bins = reliability([0.1, 0.15, 0.9, 0.95, 1.0], [False, False, True, True, False])
    assert draw_reliability(bins, tmp_path / "dev.png")
    assert (tmp_path / "dev.png").read_bytes().startswith(b"\x89PNG")
    assert not draw_reliability(reliability([], []), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
