"""Results for people: the score of a split in a line, RESULTS.md, pictures, and where a result came from."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asr import __version__, card
from asr.confidence import Bin
from asr.dashboard import kept_epoch
from asr.files import writing
from asr.scoring.figures import FILE, Figures, Results, write_results

LOSS, WER, CER, PER = "tab:blue", "tab:red", "tab:orange", "tab:purple"
"""Colours in the picture of a training."""


def summary(figures: Figures) -> str:
    """One line for the screen."""
    errors = figures.errors
    return (
        f"{figures.split}, {figures.decoding}: WER {figures.wer_in_words}, "
        f"{errors.word_errors} errors in {errors.words} words "
        f"(S {errors.substitutions}, D {errors.deletions}, I {errors.insertions}), CER {errors.cer:.2%}, "
        f"sentences wrong {errors.sentence_error_rate:.2%}"
    )


def results_page(results: Results, picture: str = "") -> str:
    """RESULTS.md: the table of splits and how to make it again; `picture` is a file beside it."""
    units = sorted({score.resampled for score in results.scores})
    rows = [
        f"| {score.split} | {score.hours:.2f} | {e.sentences} | {e.words} | {score.decoding} | {e.wer:.2%} | "
        f"{score.interval_in_words} | {e.substitutions} | {e.deletions} | {e.insertions} | {e.cer:.2%} | "
        f"{e.sentence_error_rate:.2%} | {_share(score.confidence_error)} |"
        for score in results.scores
        if (e := score.errors)
    ]
    return "\n".join(
        [
            f"# Results of {results.recipe}",
            "",
            "| split | hours | utterances | words | decoding | WER | 95 % interval | S | D | I | CER | sentences wrong "
            "| confidence off by |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Intervals: bootstrap over {' or '.join(f'{unit}s' for unit in units)} (10,000 resamples). "
            "S, D, I: substituted, deleted, inserted words. Confidence off by: the expected calibration error of the "
            "words' confidence, which `asr tune` calibrates on dev.",
            "The worst utterances are in `score/SPLIT.txt`, the hypotheses in `decode/SPLIT.jsonl`.",
            "",
            *card.facts_table(results.facts),
            *([f"![Loss and WER by epoch]({picture})", ""] if picture else []),
        ]
    )


def publish(folder: Path, results: Results, history: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Writes `results.json`, also into the model folder, and all that is made from it: RESULTS.md and the model card.

    Args:
        folder: Of the experiment.
        history: Of the training, for its picture.

    Returns:
        The files.
    """
    picture = folder / "score" / "training.png"
    drawn = draw_training(history, picture)
    texts = {
        folder / "RESULTS.md": results_page(results, picture.relative_to(folder).as_posix() if drawn else ""),
        folder / "model" / card.FILE: card.card_of(results),
    }
    for path, text in texts.items():
        with writing(path) as stream:
            stream.write(text)
    records = [folder / FILE, folder / "model" / FILE]
    for path in records:
        write_results(path, results)
    return [*texts, *records, *([picture] if drawn else [])]


def draw_training(history: Sequence[Mapping[str, Any]], path: Path) -> bool:
    """Writes a picture of a training by epochs: loss and error rates on dev above, the learning rate below.

    The best epoch has a dot. What a history lacks, as one from an earlier version may, is left out.

    Returns:
        False without the extra `plot`, or without an epoch.
    """
    try:
        from matplotlib.figure import Figure  # not pyplot, which looks for a screen
    except ImportError:
        return False
    if not history:
        return False
    figure = Figure(figsize=(7, 5), layout="constrained")
    heights = [3, 1] if any("learning_rate" in record for record in history) else [1]
    above, *below = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    rates = above.twinx()
    _draw(above, history, "loss", color=LOSS, label="training loss")
    _draw(rates, history, "dev_wer", 100, color=WER, label="dev WER")
    _draw(rates, history, "dev_cer", 100, color=CER, label="dev CER", linewidth=0.8, markersize=3)
    _draw(rates, history, "dev_per", 100, color=PER, label="dev PER", linewidth=0.8, markersize=3)
    _draw(rates, history, "dev_perplexity", color=WER, label="dev perplexity")
    of_text = any("dev_perplexity" in record for record in history)
    if (kept := kept_epoch(history)) and not of_text:
        name = "WER" if "dev_wer" in kept else "PER"
        epoch, rate = kept["epoch"], 100 * kept[f"dev_{name.lower()}"]
        dot = {"marker": "o", "markersize": 7, "markeredgecolor": "white", "linestyle": ""}
        rates.plot(
            epoch, rate, **dot, color=WER if name == "WER" else PER, label=f"kept: {name} {rate:.2f} %, epoch {epoch}"
        )
    _arrange(above, "loss a token" if of_text else "CTC loss a token", LOSS)
    _arrange(rates, "perplexity on dev" if of_text else "error rate on dev, %", WER)
    for axes in below:
        _draw(axes, history, "learning_rate", color="0.3")
        _arrange(axes, "learning rate")
    _arrange_epochs([above, *below], history)
    figure.align_ylabels([above, *below])
    figure.legend(loc="outside upper center", ncols=4, frameon=False, columnspacing=1.5)
    with writing(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120)
    return True


def draw_reliability(bins: Sequence[Bin], path: Path) -> bool:
    """Writes a picture of how many words are right at each confidence, and how many words there are.

    Returns:
        False without the extra `plot`, or without a word.

    Source: Niculescu-Mizil and Caruana 2005 (reliability diagrams).
    """
    full = [part for part in bins if part.count]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not full:
        return False
    figure = Figure(figsize=(5, 5), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    above.plot([0, 100], [0, 100], color="0.7", linestyle="--", linewidth=1, label="as sure as right")
    points = [(100 * part.confidence, 100 * part.accuracy) for part in full]
    above.plot(*zip(*points, strict=True), marker="o", color=LOSS, label="words heard")
    above.set_ylabel("right, %")
    above.set_ylim(0, 100)
    above.legend(frameon=False)
    widths = [100 * (part.high - part.low) for part in bins]
    below.bar([100 * part.low for part in bins], [part.count for part in bins], widths, align="edge", color="0.6")
    below.set_ylabel("words")
    below.set_xlabel("confidence, %")
    below.set_xlim(0, 100)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    with writing(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120)
    return True


def _draw(axes: Any, history: Sequence[Mapping[str, Any]], name: str, scale: float = 1, **look: Any) -> None:
    """The curve of a figure over the epochs that have it."""
    points = [(record["epoch"], scale * record[name]) for record in history if record.get(name) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), marker="." if len(history) <= 50 else "", **look)


def _arrange(axes: Any, title: str, color: str = "black") -> None:
    """A scale from zero with few figures, in the colour of its curve; nothing when there is no curve."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_ylim(0, None)
    axes.set_ylabel(title, color=color)
    axes.tick_params(axis="y", labelcolor=color)
    axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.spines[["top"]].set_visible(False)
    axes.set_visible(axes.has_data())


def _arrange_epochs(panels: Sequence[Any], history: Sequence[Mapping[str, Any]]) -> None:
    """Whole epochs along the foot, and a light grid."""
    from matplotlib.ticker import MaxNLocator

    for axes in panels:
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    panels[-1].set_xlabel("epoch")
    panels[-1].set_xlim(history[0]["epoch"] - 0.5, history[-1]["epoch"] + 0.5)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def commit() -> str:
    """The commit of the checkout that this code runs from, `+changes` where files differ; else the version."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return f"asr {__version__}"
    try:
        head, changes = (
            subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True).stdout.strip()
            for arguments in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return f"asr {__version__}"
    return f"{head}+changes" if changes else head


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
