"""Data preparation: what the recipe finds in the corpus, as manifests and a vocabulary."""

from pathlib import Path

from asr import __version__
from asr.config import Table, to_table
from asr.corpus import Corpus
from asr.errors import DataError
from asr.files import digest, digest_of_listing
from asr.lexicon.corpus import lexicon_of_texts
from asr.lexicon.entries import write_lexicon
from asr.manifest import Utterance
from asr.preparation import Checks, write_data
from asr.progress import say
from asr.recipe import SplitsConfig
from asr.stages.workplace import Workplace
from asr.text import normalise, vocabulary_of


def inputs(place: Workplace) -> Table:
    config = place.recipe.config
    folder = place.corpus_folder
    beside = {path.name: digest_of_listing(path) for path in place.beside}
    return {
        "recipe": {path.name: digest(path) for path in place.recipe.prepare_files()},
        "corpus": str(folder) if folder else "",
        "recordings": digest_of_listing(folder) if folder else __version__,
        **({"beside": beside} if config.corpus.beside else {}),
        "splits": to_table(config.splits),
        "options": config.corpus.options,
        "text": to_table(config.text),
        "features": to_table(config.features),
        "model": {"subsampling": config.model.subsampling},
        **({"dictionary": digest(place.dictionary)} if config.text.hears_phones else {}),
    }


def work(place: Workplace) -> list[Path]:
    config, data = place.recipe.config, place.data
    made = data / "audio"
    corpus = Corpus(place.corpus_folder or made, made, place.beside)
    wanted = _wanted(config.splits, place.recipe.prepare(corpus), corpus.folder)
    for stale in (*data.glob("*.jsonl"), place.vocabulary_file, place.lexicon):
        stale.unlink(missing_ok=True)
    lexicon, phones = None, tuple[str, ...]()
    if config.text.hears_phones:
        texts = (normalise(utterance.text) for utterances in wanted.values() for utterance in utterances)
        lexicon, phones = lexicon_of_texts(texts, place.dictionary, config.text.stress)
        write_lexicon(place.lexicon, lexicon)
    transcripts = (u.text for name in config.splits.train for u in wanted.get(name, ()))
    vocabulary = vocabulary_of(config.text, transcripts, phones)
    write_data(wanted, Checks(vocabulary, config.features, config.model.subsampling, lexicon), data)
    vocabulary.save(place.vocabulary_file)
    return [*sorted(data.glob("*.jsonl")), place.vocabulary_file, *data.glob(place.lexicon.name)]


def _wanted(splits: SplitsConfig, found: dict[str, list[Utterance]], folder: Path) -> dict[str, list[Utterance]]:
    """The utterances of the splits that the corpus has; those that it lacks are told.

    Raises:
        DataError: There is nothing to train on, or nothing to tune on.
    """
    wanted: dict[str, list[Utterance]] = {}
    for use in ("train", "dev", "test"):
        names = getattr(splits, use)
        if missing := [name for name in names if name not in found]:
            there = ", ".join(found) or "nothing"
            say(f"data-prep: {', '.join(missing)} ({use}) not in the corpus, which has {there}")
        if use != "test" and len(missing) == len(names):
            purpose = "train on" if use == "train" else "tune on"
            raise DataError(f"{folder}: nothing to {purpose}: no {', '.join(names)}")
        wanted |= {name: found[name] for name in names if name in found}
    return wanted
