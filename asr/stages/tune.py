"""Tuning: the settings of the search with the recipe's language model, found on dev, into the model folder."""

from pathlib import Path

from asr.config import Table, to_table
from asr.files import digest
from asr.model_folder import FILES, WEIGHTS
from asr.progress import say
from asr.stages.workplace import Workplace
from asr.tuned import FILE
from asr.tuner import tune


def inputs(place: Workplace) -> Table | None:
    """None where there is no language model: then there is no search to tune."""
    if not place.language_model.is_file():
        say("tune: passed over: no language model")
        return None
    lexicon, second = _lexicon(place), _second(place)
    models = [place.model / WEIGHTS, place.language_model, *([second / WEIGHTS] if second else [])]
    return {
        "files": place.digests(*models, _dev(place)),
        "decoding": to_table(place.recipe.config.decoding),
        **({"dictionary": digest(lexicon)} if lexicon else {}),
    }


def work(place: Workplace) -> list[Path]:
    start, lexicon, second = place.recipe.config.decoding, _lexicon(place), _second(place)
    tuned = tune(place.model, _dev(place), place.language_model, second, start, place.device, lexicon=lexicon)
    names = [FILE, tuned.language_model, tuned.lexicon, *(f"{tuned.second}/{name}" for name in FILES if tuned.second)]
    return [place.model / name for name in names if name]


def _dev(place: Workplace) -> Path:
    """The manifest of the first split for dev."""
    return place.folder / place.records.manifests(place.recipe.config.splits.dev)[0]


def _second(place: Workplace) -> Path | None:
    """The folder of the second language model, where the recipe has one."""
    return place.second_language_model if place.recipe.config.rescoring.lstm else None


def _lexicon(place: Workplace) -> Path | None:
    """How the words are said, where phones are searched: by the recipe's dictionary, whatever was tuned before."""
    config = place.recipe.config
    return place.dictionary if config.text.hears_phones and config.decoding.head != "text" else None
