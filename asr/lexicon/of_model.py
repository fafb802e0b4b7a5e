"""The pronunciations that a model decodes with and aligns by."""

from collections.abc import Iterable
from pathlib import Path

from asr.errors import AsrError
from asr.lexicon.corpus import complete
from asr.lexicon.dictionary import find_dictionary
from asr.lexicon.entries import STRESSED, Lexicon, read_lexicon
from asr.text import BLANK, SILENCE, Vocabulary

FILE = "lexicon.txt"
"""What a model folder's own lexicon is called."""


def pronunciations_for(
    words: Iterable[str], folder: Path, vocabulary: Vocabulary, named: Path | None = None
) -> Lexicon:
    """How words are said, by the lexicon that is named; without one by the model folder's, then by the dictionary.

    What neither has is asked of the model for English that comes with the package.

    Raises:
        AsrError: A lexicon cannot be read, or there is none.
        DataError: The lexicon that is named holds a phone that the model does not know; names the line and the phone.
    """
    known = read_for(named, vocabulary) if named else _known(folder, vocabulary)
    return complete(known, words, phones=vocabulary.phones)


def read_for(path: Path, vocabulary: Vocabulary) -> Lexicon:
    """A lexicon whose phones a model knows, with the stress of vowels only where the model tells it.

    Raises:
        DataError: As `read_lexicon`.
    """
    spoken = [phone for phone in vocabulary.phones if phone not in (BLANK, SILENCE)]
    return read_lexicon(path, _tells_stress(vocabulary), spoken)


def _known(folder: Path, vocabulary: Vocabulary) -> Lexicon:
    own = folder / FILE
    kept = read_for(own, vocabulary) if own.is_file() else Lexicon({})
    try:
        dictionary = read_lexicon(find_dictionary(), _tells_stress(vocabulary))
    except AsrError:
        if not kept:
            raise
        return kept
    known = frozenset(vocabulary.phones)
    entries = dictionary.entries.items()
    said = {word: tuple(each for each in ways if known.issuperset(each.phones)) for word, ways in entries}
    return Lexicon({word: ways for word, ways in said.items() if ways}) | kept


def _tells_stress(vocabulary: Vocabulary) -> bool:
    return any(STRESSED.fullmatch(phone) for phone in vocabulary.phones)
