"""The pronunciations that a corpus needs: a dictionary's, and a model's for the words that it lacks."""

import os
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from asr.lexicon.entries import Lexicon, read_lexicon
from asr.progress import say


def dictionary_file(recipe: Path) -> Path:
    """The `lexicon.txt` in a recipe's folder, where it has one, else CMUdict.

    Raises:
        AsrError: There is none; says how to get it.
    """
    own = recipe / "lexicon.txt"
    return own if own.is_file() else Path(os.environ["ASR_CORPORA"]) / "text" / "cmudict" / "cmudict.dict"


def lexicon_of_texts(texts: Iterable[str], path: Path, stress: bool) -> tuple[Lexicon, tuple[str, ...]]:
    """The pronunciations of all words in normalised texts, but for those that nothing can pronounce, which are told.

    Args:
        path: The dictionary.
        stress: Whether its vowels keep their stress; then the model, which knows none, is not asked.

    Returns:
        The lexicon, and all phones of the dictionary.
    """
    dictionary = read_lexicon(path, stress)
    words = dict.fromkeys(chain.from_iterable(map(str.split, texts)))
    lexicon = dictionary.only(words)
    say(f"lexicon: {len(lexicon)} of {len(words)} words")
    return lexicon, dictionary.phones
