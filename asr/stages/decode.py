"""Decoding: what the model hears in dev and test, by every way of decoding that was set up for it."""

from pathlib import Path

from asr.card import FILE as CARD
from asr.config import Table
from asr.evaluation import SUFFIXES, decoded_file, read_utterances, readers_for, to_lines
from asr.files import write_json_lines
from asr.model_folder import FILES
from asr.progress import say
from asr.recognizer import load
from asr.scoring.figures import FILE as RESULTS
from asr.stages.workplace import Workplace


def inputs(place: Workplace) -> Table:
    told = {CARD, RESULTS}  # made from what was decoded
    there = [path for path in place.model.rglob("*") if path.is_file() and path.name not in told]
    return {
        "data": place.records.digests(place.records.manifests(place.scored_splits)),
        "model": place.digests(*sorted({*there, *(place.model / name for name in FILES)})),
    }


def work(place: Workplace) -> list[Path]:
    recognizer = load(place.model, place.device, greedy=True)
    readers = readers_for(recognizer, place.model)
    written = []
    for split in place.scored_splits:
        utterances = place.records.utterances(split)
        batch_s = place.recipe.config.training.batch_s
        readings = read_utterances(recognizer, readers, utterances, batch_s, place.processes)
        for decoding in SUFFIXES:
            path = decoded_file(place.folder, split, decoding)
            if decoding in readings:
                if place.processes.first:
                    write_json_lines(path, to_lines(readings[decoding]))
                written.append(path)
            else:
                path.unlink(missing_ok=True)
        say(f"decode: {split}: {len(utterances)} utterances, {' and '.join(readings)}")
    return written
