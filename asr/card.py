"""The model card: README.md of a model folder, for people and, by the metadata on top, for model hubs."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from asr import __version__
from asr.scoring.figures import ENCODER, LANGUAGE, LICENCE, Figures, Results

FILE = "README.md"

USE = '`asr transcribe AUDIO --model FOLDER`, or `asr.load("FOLDER").transcribe("AUDIO").text`.'
"""What a model card says on how to put the model to use."""

CREATIVE_COMMONS = re.compile(r"\bCC[ -](BY(?:-NC)?(?:-SA|-ND)?)[ -](\d\.\d)\b", re.IGNORECASE)
OTHER_LICENCES = {r"\bCC0\b": "cc0-1.0", r"\bApache\b.*\b2\.0\b": "apache-2.0", r"\bMIT\b": "mit"}


def model_card(
    title: str,
    facts: Mapping[str, str],
    kind: str = "speech recognition model",
    use: str = USE,
    asr_version: str = __version__,
) -> str:
    """The card of a model of any kind, without metadata."""
    return "\n".join([f"# {title}", "", f"A {kind} made by asr {asr_version}. {use}", "", *facts_table(facts)])


def card_of(results: Results) -> str:
    """The card of a speech recognition model, with the metadata that Hugging Face reads.

    Source: https://huggingface.co/docs/hub/model-cards#model-card-metadata
    """
    facts = {**results.facts, **claims(results)}
    return f"{metadata(results)}\n{model_card(results.recipe, facts, asr_version=results.asr_version)}"


def claims(results: Results) -> dict[str, str]:
    """The WER of each split and decoding, as the card's table shows it."""
    return {claim(score): score.wer_in_words for score in results.scores}


def claim(score: Figures) -> str:
    """What a score is called in the card's table."""
    return f"WER on {score.split}, {score.decoding}"


def metadata(results: Results) -> str:
    """A block of YAML: language, licence, tags and, once there are scores, the error rates in percent."""
    language, licence = results.facts.get(LANGUAGE), results.facts.get(LICENCE, "")
    encoder = results.facts.get(ENCODER)
    lines = [
        "---",
        *([f"language: {_quoted(language)}"] if language else []),
        *_licence_lines(licence),
        'library_name: "asr"',
        "pipeline_tag: automatic-speech-recognition",
        "tags:",
        "- automatic-speech-recognition",
        "- ctc",
        *([f"- {_quoted(encoder)}"] if encoder else []),
        *model_index(results),
        "---",
        "",
    ]
    return "\n".join(lines)


def model_index(results: Results) -> list[str]:
    """The part of the metadata that holds error rates; nothing without scores."""
    if not results.scores:
        return []
    lines = ["model-index:", f"- name: {_quoted(results.recipe)}", "  results:"]
    for split, scores in groupby(results.scores, key=lambda score: score.split):
        lines += [
            "  - task:",
            "      type: automatic-speech-recognition",
            "    dataset:",
            f"      name: {_quoted(f'{results.recipe}, {split}')}",
            f"      type: {_quoted(results.recipe)}",
            f"      split: {_quoted(split)}",
            "    metrics:",
            *_metrics(scores),
        ]
    return lines


def claimed_in(card: Path) -> dict[str, str]:
    """What the table of a card says, by the name of the row; later rows of one name count."""
    rows = re.findall(r"^\| (.+?) \| (.*) \|$", card.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def facts_table(facts: Mapping[str, str]) -> list[str]:
    """The facts that are known, as lines of a table in Markdown."""
    cells = {name: value.replace("|", "\\|") for name, value in facts.items() if value}
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in cells.items()), ""]


def licence_id(licence: str) -> str:
    """The identifier that hubs know a licence by; empty for one that they do not.

    >>> licence_id("LibriSpeech, (c) 2014 Vassil Panayotov, CC BY 4.0")
    'cc-by-4.0'
    """
    if found := CREATIVE_COMMONS.search(licence):
        return f"cc-{found[1]}-{found[2]}".lower()
    return next((name for pattern, name in OTHER_LICENCES.items() if re.search(pattern, licence)), "")


def _licence_lines(licence: str) -> list[str]:
    if not licence:
        return []
    known = licence_id(licence)
    return [f"license: {known}"] if known else ["license: other", f"license_name: {_quoted(licence)}"]


def _metrics(scores: Iterable[Figures]) -> Iterator[str]:
    for score in scores:
        for kind, rate in (("wer", score.wer), ("cer", score.cer)):
            yield f"    - type: {kind}"
            yield f"      name: {_quoted(f'{kind.upper()}, {score.decoding}')}"
            yield f"      value: {round(100 * rate, 2) if math.isfinite(rate) else '.inf'}"


def _quoted(text: str) -> str:
    """A string in YAML: that of JSON, with what YAML does not let stand bare written by its number."""
    return "".join(
        character if character.isprintable() else f"\\U{ord(character):08x}"
        for character in json.dumps(text, ensure_ascii=False)
    )
