"""Results in words: the score of a split, RESULTS.md, the model card, and where a result came from."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asr import __version__
from asr.files import writing
from asr.manifest import Utterance, hours
from asr.metrics import Errors, Interval, aligned, interval, score, total, worst

LISTED = 20
"""Utterances in the listing of the worst."""


@dataclass(frozen=True)
class SplitScore:
    """How a split came out."""

    split: str
    hours: float
    errors: Mapping[str, Errors]
    total: Errors
    interval: Interval


def score_split(split: str, utterances: Sequence[Utterance], hypotheses: Mapping[str, str]) -> SplitScore:
    """The errors of a split's hypotheses, joined by id.

    Raises:
        DataError: An id is missing or too many.
    """
    errors = score({utterance.id: utterance.text for utterance in utterances}, hypotheses)
    speakers = {utterance.id: utterance.speaker for utterance in utterances}
    return SplitScore(split, hours(utterances), errors, total(errors.values()), interval(errors, speakers))


def summary(result: SplitScore) -> str:
    """One line for the screen."""
    errors = result.total
    return (
        f"{result.split}: WER {wer_with_interval(result)}, {errors.word_errors} errors in {errors.words} words "
        f"(S {errors.substitutions}, D {errors.deletions}, I {errors.insertions}), CER {errors.cer:.2%}, "
        f"sentences wrong {errors.sentence_error_rate:.2%}"
    )


def wer_with_interval(result: SplitScore) -> str:
    return f"{result.total.wer:.2%} ({_range(result)})"


def listing(result: SplitScore, utterances: Sequence[Utterance], hypotheses: Mapping[str, str]) -> str:
    """The worst utterances of a split, reference and hypothesis in columns."""
    references = {utterance.id: utterance for utterance in utterances}
    parts = [summary(result)]
    for name in worst(result.errors, LISTED):
        errors, utterance = result.errors[name], references[name]
        if errors.word_errors:
            heading = f"{name}: {errors.word_errors} errors in {errors.words} words, {utterance.audio_filepath}"
            parts.append(f"{heading}\n{aligned(utterance.text, hypotheses[name])}")
    return "\n\n".join(parts) + "\n"


def results_page(title: str, scores: Sequence[SplitScore], facts: Mapping[str, str], picture: str = "") -> str:
    """RESULTS.md: the table of splits and how to make it again; `picture` is a file beside it."""
    units = sorted({result.interval.unit for result in scores})
    rows = [
        f"| {result.split} | {result.hours:.2f} | {e.sentences} | {e.words} | {e.wer:.2%} | {_range(result)} | "
        f"{e.substitutions} | {e.deletions} | {e.insertions} | {e.cer:.2%} | {e.sentence_error_rate:.2%} |"
        for result in scores
        if (e := result.total)
    ]
    return "\n".join(
        [
            f"# Results of {title}",
            "",
            "| split | hours | utterances | words | WER | 95 % interval | S | D | I | CER | sentences wrong |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Intervals: bootstrap over {' or '.join(f'{unit}s' for unit in units)} (10,000 resamples). "
            "S, D, I: substituted, deleted, inserted words.",
            "The worst utterances are in `score/SPLIT.txt`, the hypotheses in `decode/SPLIT.jsonl`.",
            "",
            *_table(facts),
            *([f"![Loss and WER by epoch]({picture})", ""] if picture else []),
        ]
    )


def model_card(title: str, facts: Mapping[str, str]) -> str:
    """README.md of a model folder."""
    use = '`asr transcribe AUDIO --model FOLDER`, or `asr.load("FOLDER").transcribe("AUDIO").text`.'
    return "\n".join(
        [f"# {title}", "", f"A speech recognition model made by asr {__version__}. {use}", "", *_table(facts)]
    )


def draw_training(history: Sequence[Mapping[str, float]], path: Path) -> bool:
    """Writes a picture of loss and WER by epoch; False without the extra `plot`."""
    try:
        from matplotlib.figure import Figure  # not pyplot, which looks for a screen
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return False
    figure = Figure(figsize=(7, 4), layout="constrained")
    loss_axes = figure.add_subplot()
    wer_axes = loss_axes.twinx()
    epochs = [record["epoch"] for record in history]
    lines = [
        *loss_axes.plot(epochs, [record["loss"] for record in history], "C0.-", label="loss on training data"),
        *wer_axes.plot(epochs, [100 * record["dev_wer"] for record in history], "C1.-", label="WER on dev"),
    ]
    loss_axes.set(xlabel="epoch", ylabel="CTC loss a token", ylim=(0, None))
    loss_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    wer_axes.set(ylabel="WER, %", ylim=(0, None))
    loss_axes.legend(handles=lines)
    with writing(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120)
    return True


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


def _range(result: SplitScore) -> str:
    return f"{result.interval.low:.2%} to {result.interval.high:.2%}"


def _table(facts: Mapping[str, str]) -> list[str]:
    cells = {name: value.replace("|", "\\|") for name, value in facts.items() if value}
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells.items()), ""]
