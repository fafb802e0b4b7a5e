"""Tuning: the settings of the search with the recipe's language model, found on dev, into the model folder."""

from pathlib import Path

from asr.config import Table, to_table
from asr.files import digest
from asr.model_folder import WEIGHTS
from asr.progress import say
from asr.stages.workplace import Workplace
from asr.tuned import FILE
from asr.tuner import tune


def inputs(place: Workplace) -> Table | None:
    """None where there is no language model: then there is no search to tune."""
    if not place.language_model.is_file():
        say("tune: passed over: no language model")
        return None
    lexicon = _lexicon(place)
    return {
        "files": place.digests(place.model / WEIGHTS, place.language_model, _dev(place)),
        "decoding": to_table(place.recipe.config.decoding),
        **({"dictionary": digest(lexicon)} if lexicon else {}),
    }


def work(place: Workplace) -> list[Path]:
    start, lexicon = place.recipe.config.decoding, _lexicon(place)
    tuned = tune(place.model, _dev(place), place.language_model, None, start, place.device, lexicon=lexicon)
    return [place.model / name for name in (FILE, tuned.language_model, tuned.lexicon) if name]


def _dev(place: Workplace) -> Path:
    """The manifest of the first split for dev."""
    return place.folder / place.records.manifests(place.recipe.config.splits.dev)[0]


def _lexicon(place: Workplace) -> Path | None:
    """How the words are said, where phones are searched: by the recipe's dictionary, whatever was tuned before."""
    config = place.recipe.config
    return place.dictionary if config.text.hears_phones and config.decoding.head != "text" else None
