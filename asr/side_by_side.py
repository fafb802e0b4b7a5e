"""Models side by side: the table and the picture of what variants of a recipe come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr import card
from asr.config import Table, differences
from asr.costs import Costs
from asr.files import writing
from asr.metrics import Errors
from asr.model import ENCODERS, Encoder, EncoderInfo
from asr.scoring.figures import Figures, Results
from asr.tabular import markdown

DECODING = "greedy"
"""The one way of decoding that no tuning stands behind; models of phones alone have another only."""

RATIOS = {
    "training_speed": "training speed",
    "decoding_speed": "decoding speed",
    "memory_bytes": "memory",
}
"""The costs that are shown as ratios."""


@dataclass(frozen=True)
class Candidate:
    """A model to hold against others."""

    name: str
    encoder: Encoder
    results: Results
    costs: Costs
    settings: Table
    """Those that it was trained with, by section."""

    @property
    def info(self) -> EncoderInfo:
        return ENCODERS[self.encoder]

    def figures(self, split: str) -> Figures | None:
        scores = [score for score in self.results.scores if score.split == split]
        return min(scores, key=lambda score: score.decoding != DECODING, default=None)

    def cer(self, splits: Sequence[str]) -> float:
        """Over all of the splits."""
        return sum((score.errors for split in splits if (score := self.figures(split))), Errors()).cer

    def ratio(self, cost: str, reference: "Candidate") -> float | None:
        """A cost, that of the reference being 1; None where that is not known."""
        ours, theirs = getattr(self.costs, cost), getattr(reference.costs, cost)
        return ours / theirs if ours and theirs else None


def page(
    title: str, candidates: Sequence[Candidate], splits: Sequence[str], measured: Mapping[str, str], picture: str = ""
) -> str:
    """RESULTS.md of a comparison.

    Args:
        candidates: The first is what costs are relative to.
        splits: Whose error rates are shown.
        measured: How the costs were, for the table of facts.
        picture: A file beside the page.
    """
    reference, *others = candidates
    changes = [f"* `{each.name}`: {'; '.join(_changes(reference, each)) or 'none'}" for each in others]
    return "\n".join(
        [
            f"# Results of {title}",
            "",
            table(candidates, splits),
            *([f"![WER and costs]({picture})", ""] if picture else []),
            *_notes(candidates, splits),
            *([f"Settings that differ from `{reference.name}`:", "", *changes, ""] if changes else []),
            *card.facts_table({**_in_common([each.results.facts for each in candidates]), **measured}),
        ]
    )


def table(candidates: Sequence[Candidate], splits: Sequence[str]) -> str:
    """A row for each, the oldest encoder first."""
    reference = candidates[0]
    headings = [
        "variant",
        "year",
        "key mechanism",
        "parameters",
        *(f"WER on {split}" for split in splits),
        "CER",
        *(f"{cost}, {reference.name} = 1" for cost in RATIOS.values()),
    ]
    return markdown(headings, (_row(each, splits, reference) for each in by_year(candidates)))


def by_year(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda each: each.info.year)


def draw(candidates: Sequence[Candidate], splits: Sequence[str], path: Path) -> bool:
    """Writes a picture of the table: WER with its interval by split, and what the models cost.

    Returns:
        False without the extra `plot`.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    shown = by_year(candidates)
    figure = Figure(figsize=(10, 1.4 + 0.45 * len(shown)), layout="constrained")
    errors, costs = figure.subplots(1, 2, sharey=True)
    for place, split in enumerate(splits):
        _draw_errors(errors, shown, split, _offset(place, len(splits)))
    for place, (cost, label) in enumerate(RATIOS.items()):
        ratios = {y: each.ratio(cost, candidates[0]) for y, each in enumerate(shown)}
        points = [(ratio, y + _offset(place, len(RATIOS))) for y, ratio in ratios.items() if ratio]
        costs.plot(*(zip(*points, strict=True) if points else ((), ())), marker="o^s"[place], linestyle="", label=label)
    errors.set_yticks(range(len(shown)), [f"{each.name}, {each.info.year}" for each in shown])
    errors.invert_yaxis()
    errors.set_xlabel("WER, % (interval over recordings, not seeds)")
    errors.set_xlim(0, None)
    costs.set_xlabel(f"ratio to {candidates[0].name}")
    costs.set_xlim(0, None)
    costs.axvline(1, color="0.6", linewidth=1, zorder=0)
    for axes in (errors, costs):
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(RATIOS))
    with writing(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=110)
    return True


def _offset(place: int, count: int) -> float:
    """How far below its line one of several marks is, so that they do not hide each other."""
    return (place - (count - 1) / 2) * 0.18


def _draw_errors(axes: Any, shown: Sequence[Candidate], split: str, offset: float) -> None:
    """A dot with its interval for each."""
    found = [(y + offset, score) for y, each in enumerate(shown) if (score := each.figures(split))]
    wers = [100 * score.wer for _, score in found]
    below = [wer - 100 * score.interval.low for wer, (_, score) in zip(wers, found, strict=True)]
    above = [100 * score.interval.high - wer for wer, (_, score) in zip(wers, found, strict=True)]
    axes.errorbar(wers, [y for y, _ in found], xerr=(below, above), fmt="o", markersize=4, capsize=2, label=split)


def _notes(candidates: Sequence[Candidate], splits: Sequence[str]) -> list[str]:
    """How to read the table."""
    scores = [score for each in candidates for split in splits if (score := each.figures(split))]
    units = " or ".join(sorted({f"{score.resampled}s" for score in scores}))
    return [
        f"WER: {DECODING} decoding, no language model (but for models of phones alone, which need one), with its 95 % "
        f"interval by bootstrap over {units}: how far other recordings would move it. What another seed would do, it "
        "does not tell. CER: over all of these splits.",
        "",
        f"Speed: seconds of speech for a second of computing, beside `{candidates[0].name}` with "
        f"{_absolute(candidates[0])}. Memory: what a training step takes at its peak.",
        "",
        "None of them streams: recurrent layers run backwards too, and a Transformer attends to all frames, so each "
        "needs an utterance to its end, or a window of a long recording.",
        "",
    ]


def _row(each: Candidate, splits: Sequence[str], reference: Candidate) -> list[str]:
    scores = [each.figures(split) for split in splits]
    return [
        f"`{each.name}`",
        str(each.info.year),
        each.info.mechanism,
        f"{each.results.parameters / 1e6:.3f} M",
        *(score.wer_in_words if score else "" for score in scores),
        f"{each.cer(splits):.2%}",
        *("" if (ratio := each.ratio(cost, reference)) is None else f"{ratio:.2f}" for cost in RATIOS),
    ]


def _absolute(each: Candidate) -> str:
    """What the ratios of the reference stand for."""
    costs = each.costs
    memory = f" and {costs.memory_bytes / 1e6:.0f} MB" if costs.memory_bytes else ""
    return f"{costs.training_speed:.0f} in training, {costs.decoding_speed:.0f} in decoding{memory}"


def _changes(reference: Candidate, other: Candidate) -> list[str]:
    """By section; what is not in one tells where the model comes from."""
    ours, theirs = (
        {name: section for name, section in each.settings.items() if isinstance(section, dict)}
        for each in (other, reference)
    )
    return differences(theirs, ours)


def _in_common(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The facts that are true of all."""
    first, *others = facts
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
