"""The language models of a recipe's texts, before training: `tune` and `decode` search with them."""

from dataclasses import replace
from pathlib import Path

from asr.config import Table, to_table
from asr.corpus import corpora
from asr.errors import DataError
from asr.files import digest
from asr.lm.from_texts import in_words, train_ngrams
from asr.lm.training import train
from asr.model_folder import FILES
from asr.progress import say
from asr.stages.workplace import Workplace


def inputs(place: Workplace) -> Table | None:
    """None where a text is not there: what there is has to do, and greedy decoding where there is nothing.

    Raises:
        DataError: There is nothing, and greedy decoding would give no text.
    """
    config = place.recipe.config
    texts = {name: _located(name) for name in config.language_model.texts}
    if missing := [name for name, path in texts.items() if not path.is_file()]:
        looked_for = " and ".join(map(str, _places(missing[0])))
        trouble = f"language-model: {missing[0]} is not there (looked for at {looked_for})"
        advice = "name texts with --set language_model.texts=..."
        if place.language_model.is_file():
            consequence = "the language model stays as it is"
        elif config.text.units == "phones":
            raise DataError(f"{trouble}, and phones give no text without a language model; {advice}")
        else:
            consequence = "decoding stays greedy"
        say(f"{trouble}; {consequence}; {advice}")
        return None
    return {
        "language_model": to_table(config.language_model),
        "alphabet": config.text.alphabet,
        "texts": {name: digest(path) for name, path in texts.items()},
        **({"rescoring": to_table(config.rescoring)} if config.rescoring.lstm else {}),
    }


def work(place: Workplace) -> list[Path]:
    config = place.recipe.config
    texts = [_located(name) for name in config.language_model.texts]
    model = train_ngrams(texts, place.language_model, config.language_model, config.text.alphabet)
    say(f"language-model: {place.language_model}: {in_words(model.counts)}")
    if not config.rescoring.lstm:
        return [place.language_model]
    second = place.second_language_model
    network = replace(config.rescoring.model, alphabet=config.text.alphabet)
    train(texts, second.parent, replace(config.rescoring, model=network), place.command, device=place.device)
    return [place.language_model, *(second / name for name in FILES)]


def _located(text: str) -> Path:
    """The first place of a text that has it; the last where none has."""
    places = _places(text)
    return next((path for path in places if path.is_file()), places[-1])


def _places(text: str) -> list[Path]:
    own = Path(text).expanduser()
    return [own] if own.is_absolute() else [own, corpora() / own]
