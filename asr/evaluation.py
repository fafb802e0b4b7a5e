"""Splits decoded and scored: what a model hears in utterances, by every way of decoding that was set up for it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr.alignment import Word
from asr.confidence import expected_calibration_error, reliability, reliability_table
from asr.dataset import SpeechDataset, load, plan
from asr.distributed import Processes
from asr.errors import DataError
from asr.files import read_json_lines, write_json, writing
from asr.manifest import Utterance
from asr.metrics import correct_words
from asr.progress import say, track
from asr.reading import Reader, Reading
from asr.recognizer import Recognizer
from asr.report import SplitScore, draw_reliability, listing, score_split, summary
from asr.tuned import Search, beam_reader, greedy_reader, read_tuned

GREEDY, BEAM = "greedy", "beam"
SUFFIXES = {GREEDY: "", BEAM: ".beam"}
"""What the names of a decoding's files have behind the split."""


def readers_for(recognizer: Recognizer, folder: Path) -> dict[str, Reader]:
    """Greedy decoding, and the beam search that was tuned for the model folder, if one was.

    Raises:
        AsrError: The tuned settings or their language models cannot be used.
    """
    vocabulary, frame_s = recognizer.checkpoint.vocabulary, recognizer.frame_s
    tuned = read_tuned(folder)
    readers = {GREEDY: greedy_reader(tuned, vocabulary, frame_s)}
    if tuned and tuned.language_model:
        readers[BEAM] = beam_reader(folder, tuned, vocabulary, frame_s, Search())
    return readers


def decoding_facts(folder: Path) -> dict[str, str]:
    """How a model folder's model is decoded, in words for results."""
    tuned = read_tuned(folder)
    if tuned is None or not tuned.language_model:
        return {"Decoding": "greedy, no language model"}
    config = tuned.decoding
    weights = f"lm_weight {config.lm_weight:g}, word_score {config.word_score:g}, beam {config.beam}"
    second = f", then {tuned.second} with weight {config.rescoring_weight:g}" if tuned.second else ""
    beam = f"beam search with {tuned.language_model}: {weights}{second}"
    return {
        "Decoding": f"greedy: no language model; {beam}",
        **{f"Tuned: {key}": value for key, value in tuned.dev.items()},
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
    dataset = SpeechDataset(utterances, recognizer.checkpoint.vocabulary, recognizer.sample_rate_hz)
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


def score_decoded(folder: Path, split: str, decoding: str, utterances: Sequence[Utterance]) -> SplitScore:
    """Scores `decode/` of an experiment folder into `score/`: the figures, the worst utterances word by word, and how
    far the words' confidence can be relied on, as a table and (with the extra `plot`) as a picture.

    Raises:
        DataError: An id is missing or too many, or a file is damaged.
    """
    name = f"{split}{SUFFIXES[decoding]}"
    lines = read_json_lines(folder / "decode" / f"{name}.jsonl")
    hypotheses = {line["id"]: line["text"] for line in lines}
    confidences, right = judged_words(utterances, lines)
    off = expected_calibration_error(confidences, right) if right else None
    result = score_split(split, utterances, hypotheses, decoding, off)
    say(f"score: {summary(result)}")
    with writing(folder / "score" / f"{name}.txt") as stream:
        stream.write(listing(result, utterances, hypotheses))
        if right:
            stream.write(f"\n{reliability_table(reliability(confidences, right))}")
    draw_reliability(reliability(confidences, right), folder / "score" / f"{name}.png")
    rates = {"wer": result.total.wer, "cer": result.total.cer, "expected_calibration_error": off}
    write_json(folder / "score" / f"{name}.json", {"split": split, "decoding": decoding, **vars(result.total), **rates})
    return result


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
