"""N-gram models in files of either form, ARPA or compact, which are told apart by how they begin."""

from pathlib import Path

from asr.lm.arpa import read_arpa, read_arpa_words, write_arpa
from asr.lm.compact import is_compact, read_compact, read_compact_words, write_compact
from asr.lm.ngram import NGramModel
from asr.lm.units import SIGNS, Units, units_of

COMPACT = ".ngram"
"""How the names of compact files end."""


def write_ngrams(model: NGramModel, path: Path) -> None:
    """Writes a model, in the compact form where the file's name says so.

    Raises:
        AsrError: The file cannot be written; names it.
    """
    (write_compact if path.suffix == COMPACT else write_arpa)(model, path)


def read_ngrams(path: Path) -> NGramModel:
    """The model in a file.

    Raises:
        ModelError: As `read_arpa` and `read_compact`.
    """
    return read_compact(path) if is_compact(path) else read_arpa(path)


def read_vocabulary(path: Path) -> tuple[Units, list[str]]:
    """What a file's model is of, and its words or characters without the signs; longer n-grams are not read.

    Raises:
        ModelError: As `read_ngrams`, as far as the words.
    """
    words = read_compact_words(path) if is_compact(path) else read_arpa_words(path)
    return units_of(words), [word for word in words if word not in SIGNS]
