"""Scoring: what was heard held against what was said, as results, pages and the model card."""

from dataclasses import replace
from pathlib import Path

from asr.checkpoint import load_model
from asr.config import Table
from asr.evaluation import decoded_file, decoded_splits, decoding_facts, score_decoded, scored_files, scoring_facts
from asr.files import read_json_lines
from asr.lm.stored import read_ngrams
from asr.model_folder import WEIGHTS
from asr.progress import say
from asr.report import commit, publish
from asr.scoring.figures import COMMIT, HARDWARE, LANGUAGE_MODEL, TRAINING_TIME
from asr.stages.workplace import Workplace


def inputs(place: Workplace) -> Table:
    hypotheses = [decoded_file(place.folder, *pair) for pair in decoded_splits(place.folder, place.scored_splits)]
    return {
        "data": place.records.digests(place.records.manifests(place.scored_splits)),
        "hypotheses": place.digests(*hypotheses),
        "heard_with": _heard_with(place),  # the results tell of it, also where it changed no word
    }


def work(place: Workplace) -> list[Path]:
    decoded = decoded_splits(place.folder, place.scored_splits)
    history = read_json_lines(place.folder / "training" / "history.jsonl")
    train = place.records.last("train")
    facts = {
        "Command": f"`{train.get('command', place.command)}`",
        COMMIT: train.get("commit", commit()),
        **_decoding_facts(place),
        TRAINING_TIME: f"{sum(line['seconds'] for line in history) / 60:.1f} min, {len(history)} epochs",
        HARDWARE: train.get("hardware", ""),
    }
    about = place.results(load_model(place.model).model, facts)
    scores = [score_decoded(place.folder, *pair, place.records.utterances(pair[0]), about.facts) for pair in decoded]
    weights = _heard_with(place).get(f"model/{WEIGHTS}") or ""  # another training may have come between
    facts = {**about.facts, **scoring_facts(scores, place.command)}
    written = publish(place.folder, replace(about, weights=weights, facts=facts, scores=tuple(scores)), history)
    say(f"score: {written[0]}")
    return [*written, *(path for pair in decoded for path in scored_files(place.folder, *pair))]


def _heard_with(place: Workplace) -> Table:
    """The digests of the model folder's files when the splits were decoded."""
    files: Table = place.records.last("decode").get("inputs", {}).get("model", {})
    return files


def _decoding_facts(place: Workplace) -> dict[str, str]:
    """As `decoding_facts`, and of a language model that the recipe has made, what of."""
    facts, made = decoding_facts(place.model), place.records.last("language-model")
    name, there = place.language_model.name, place.digests(place.language_model)
    if (
        not there.items() <= made.get("outputs", {}).items()
        or _heard_with(place).get(f"model/{name}") not in there.values()
    ):
        return facts
    texts = ", ".join(Path(text).name for text in made["inputs"]["texts"])
    counts = read_ngrams(place.language_model).counts
    about = f"{name} (order {len(counts)}, {sum(counts):,} n-grams, of {texts})"
    return {**facts, LANGUAGE_MODEL: facts[LANGUAGE_MODEL].replace(name, about)}
