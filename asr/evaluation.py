"""Splits decoded and scored: what a model hears in utterances, by every way of decoding that was set up for it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr.alignment import Word
from asr.confidence import expected_calibration_error, reliability, reliability_table
from asr.dataset import SpeechDataset, load, plan
from asr.distributed import Processes
from asr.errors import DataError
from asr.files import read_json_lines, write_json, writing
from asr.lm.vocabulary import SPECIAL, LanguageVocabulary
from asr.manifest import Utterance
from asr.metrics import correct_words, require_same_ids
from asr.model_folder import LANGUAGE, VOCABULARY, read_config
from asr.progress import say, track
from asr.reading import Reader, Reading
from asr.recognizer import Recognizer
from asr.report import draw_reliability, summary
from asr.scoring.figures import LANGUAGE_MODEL, SCORED_ON, Figures, figures_of
from asr.scoring.figures import to_record as to_figures_record
from asr.scoring.page import write_report
from asr.scoring.printing import listing, tables
from asr.scoring.result import Result, Scored
from asr.tuned import Search, beam_reader, greedy_reader, read_tuned

LISTED = 20
"""Of a split's worst utterances."""

GREEDY, BEAM = "greedy", "beam"
SUFFIXES = {GREEDY: "", BEAM: ".beam"}
"""What the names of a decoding's files have behind the split."""


def readers_for(recognizer: Recognizer, folder: Path) -> dict[str, Reader]:
    """Greedy decoding where it gives text, and the beam search that was tuned for the model folder, if one was.

    Raises:
        AsrError: The tuned settings or their language models cannot be used.
        ModelError: Neither can be; names the folder.
    """
    vocabulary, frame_s = recognizer.checkpoint.vocabulary, recognizer.frame_s
    tuned = read_tuned(folder)
    readers = {}
    greedy = greedy_reader(tuned, vocabulary, frame_s)
    if tuned and tuned.language_model:
        readers[BEAM] = beam_reader(folder, tuned, vocabulary, frame_s, Search())
    else:
        greedy.check(str(folder))
    return {GREEDY: greedy, **readers} if vocabulary.spells else readers


def decoding_facts(folder: Path) -> dict[str, str]:
    """How a model folder's model is decoded, in words for results."""
    tuned = read_tuned(folder)
    if tuned is None or not tuned.language_model:
        return {"Decoding": "greedy, no language model", LANGUAGE_MODEL: "none"}
    config = tuned.decoding
    names = ("lm_weight", "word_score", "prior_weight", "beam")
    weights = ", ".join(f"{name} {getattr(config, name):g}" for name in names)
    second, network = "", ""
    if tuned.second:
        share = f"beside {config.rescoring_share:.0%} of {tuned.language_model}"
        second = f", then {tuned.second} with weight {config.rescoring_weight:g} {share}"
        network = _about(folder / tuned.second)
    risk = f", minimum Bayes risk at scale {config.mbr_scale:g}" if config.mbr_scale else ""
    through = f" through phones with {tuned.lexicon} and" if tuned.lexicon else " with"
    beam = f"beam search{through} {tuned.language_model}: {weights}{second}{risk}"
    greedy = "greedy: no language model; " if f"WER, {GREEDY}" in tuned.dev else ""
    several = len(config.voices) > 1
    voices = f"; each heard in {len(config.voices)} voices ({', '.join(map(str, config.voices))})" if several else ""
    precision = f"; precision {config.precision}" if config.precision != "float32" else ""
    return {
        "Decoding": f"{greedy}{beam}{voices}{precision}",
        LANGUAGE_MODEL: " and ".join(filter(None, (tuned.language_model, network))),
        **{f"Tuned: {key}": value for key, value in tuned.dev.items()},
    }


def _about(folder: Path) -> str:
    """A recurrent language model in words."""
    config, tokens = (
        read_config(folder, LANGUAGE)["language_model"],
        LanguageVocabulary.load(folder / VOCABULARY).tokens,
    )
    size = f"{config['layers']} x {config['hidden']} units, {len(tokens) - len(SPECIAL):,} {config['units']}"
    return f"{folder.name} (an LSTM of {size})"


def scoring_facts(scores: Iterable[Figures], command: str) -> dict[str, str]:
    """How splits were scored, in words for results."""
    normalisations = sorted({score.normalisation for score in scores})
    words = {"none": "none: both sides as data-prep wrote them"}
    return {
        "Normalisation before scoring": ", ".join(words.get(name, name) for name in normalisations),
        "Scored by": f"`{command}`",
        SCORED_ON: time.strftime("%Y-%m-%d"),
    }


def read_utterances(
    recognizer: Recognizer,
    readers: Mapping[str, Reader],
    utterances: Sequence[Utterance],
    batch_s: float,
    processes: Processes,
) -> dict[str, dict[str, Reading]]:
    """What each reader makes of each utterance: by reader, then by id, in the order of the utterances.

    Args:
        batch_s: Seconds of audio in a batch.
        processes: Share the work; all get all of it.
    """
    dataset = SpeechDataset(utterances, recognizer.sample_rate_hz)
    ours = processes.share(plan(utterances, batch_s))
    readings = recognizer.read(load(dataset, ours), list(readers.values()))
    heard = dict(track(readings, "decoding", sum(map(len, ours))))
    everything = {name: found for part in processes.gather(heard) for name, found in part.items()}
    by_reader = zip(readers, zip(*(everything[utterance.id] for utterance in utterances), strict=True), strict=True)
    ids = [utterance.id for utterance in utterances]
    return {reader: dict(zip(ids, found, strict=True)) for reader, found in by_reader}


def to_lines(readings: Mapping[str, Reading]) -> Iterable[dict[str, Any]]:
    """Readings by id as lines of a decoded split's file: id, text, and the words with times and confidence."""
    for name, reading in readings.items():
        yield {"id": name, "text": reading.text, "words": [to_record(word) for word in reading.words]}


def to_record(word: Word) -> dict[str, Any]:
    """A word as it stands in files: times in seconds, confidence from 0 to 1."""
    return {
        "word": word.text,
        "start": round(word.start_s, 3),
        "end": round(word.end_s, 3),
        "confidence": round(word.confidence, 4),
    }


def decoded_splits(folder: Path, splits: Sequence[str]) -> list[tuple[str, str]]:
    """Each split with each decoding that an experiment folder has of it; with the greedy one where there is none."""
    found = {split: [way for way in SUFFIXES if decoded_file(folder, split, way).exists()] for split in splits}
    return [(split, way) for split, ways in found.items() for way in ways or [GREEDY]]


def decoded_file(folder: Path, split: str, decoding: str) -> Path:
    return folder / "decode" / f"{split}{SUFFIXES[decoding]}.jsonl"


def scored_files(folder: Path, split: str, decoding: str) -> list[Path]:
    """What `score_decoded` has written."""
    paths = (folder / "score" / f"{split}{SUFFIXES[decoding]}.{kind}" for kind in ("html", "txt", "json", "png"))
    return [path for path in paths if path.exists()]


def score_decoded(
    folder: Path, split: str, decoding: str, utterances: Sequence[Utterance], facts: Mapping[str, str]
) -> Figures:
    """Scores `decode/` of an experiment folder into `score/`: the figures, a page to look at, the worst utterances word
    by word with tables of where the errors are, and how far the words' confidence can be relied on, as a table and
    (with the extra `plot`) as a picture.

    Args:
        facts: Where it all comes from, for the page.

    Raises:
        DataError: An id is missing or too many, or a file is damaged.
    """
    lines = read_json_lines(decoded_file(folder, split, decoding))
    confidences, right = judged_words(utterances, lines)
    hypotheses, words = {line["id"]: line["text"] for line in lines}, {line["id"]: words_of(line) for line in lines}
    result = score_split(f"{split}, {decoding}", utterances, hypotheses, words)
    off = expected_calibration_error(confidences, right) if right else None
    figures = figures_of(result, split, decoding, off)
    say(f"score: {summary(figures)}")
    path = folder / "score" / f"{split}{SUFFIXES[decoding]}"
    with writing(path.with_name(f"{path.name}.txt")) as stream:
        stream.write("\n".join([f"{summary(figures)}\n", listing(result, LISTED), tables(result)]))
        if right:
            stream.write(f"\n{reliability_table(reliability(confidences, right))}")
    draw_reliability(reliability(confidences, right), path.with_name(f"{path.name}.png"))
    write_report(result, path.with_name(f"{path.name}.html"), facts)
    rates = {"wer": figures.wer, "cer": figures.cer, "expected_calibration_error": off}
    record = {**to_figures_record(figures), **vars(figures.errors), **rates}
    write_json(path.with_name(f"{path.name}.json"), record)
    return figures


def score_split(
    title: str,
    utterances: Sequence[Utterance],
    hypotheses: Mapping[str, str],
    words: Mapping[str, tuple[Word, ...]] | None = None,
) -> Result:
    """A split's hypotheses joined by id with what was said.

    Args:
        words: What was heard with times, by id, where that is known.

    Raises:
        DataError: An id is missing or too many.
    """
    require_same_ids({utterance.id: utterance.text for utterance in utterances}, hypotheses)
    scored = [
        Scored(
            each.id,
            each.text,
            hypotheses[each.id],
            each.speaker,
            each.duration_s,
            each.audio_filepath,
            each.offset_s,
            (words or {}).get(each.id, ()),
        )
        for each in utterances
    ]
    return Result(title, scored)


def words_of(line: Mapping[str, Any]) -> tuple[Word, ...]:
    """The words of a decoded split's line, as `to_record` wrote them."""
    return tuple(Word(word["word"], word["start"], word["end"], word["confidence"]) for word in line.get("words") or ())


def judged_words(utterances: Sequence[Utterance], lines: Iterable[Mapping[str, Any]]) -> tuple[list[float], list[bool]]:
    """The confidence of every word of the lines, and whether it was said.

    Raises:
        DataError: A line's words are not those of its text.
    """
    references = {utterance.id: utterance.text for utterance in utterances}
    confidences: list[float] = []
    right: list[bool] = []
    for line in lines:
        if words := line.get("words"):
            confidences += [word["confidence"] for word in words]
            right += correct_words(references.get(line["id"], ""), line["text"])
    if len(confidences) != len(right):
        raise DataError("decoded words and texts do not agree; decode again")
    return confidences, right
