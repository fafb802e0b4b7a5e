"""N-gram models from texts to the file: counted, estimated, pruned, written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from asr.config import settings
from asr.errors import ConfigError
from asr.files import make_folder
from asr.lm.corpus import read_sentences
from asr.lm.counts import count_ngrams
from asr.lm.kneser_ney import estimate, parse_prune
from asr.lm.ngram import NGramModel
from asr.lm.pruning import prune
from asr.lm.stored import write_ngrams
from asr.lm.units import Units
from asr.text import TextConfig

MEMORY_BYTES = 2_000_000_000
"""For sorting n-grams; beyond it, that is done on disk."""


@settings
class NGramConfig:
    units: Units = "words"
    order: Annotated[int, Ge(1)] = 3
    """The longest n-gram, in units."""
    prune: str = "0"
    """By order, as in `0 0 1`: n-grams that occur no more often than this are left out."""
    vocabulary_size: Annotated[int, Ge(0)] = 0
    """The most frequent words, so many of them, are kept; 0: all."""
    ngrams: Annotated[int, Ge(0)] = 0
    """How many n-grams are left at most, words included, when those that count least are left out; 0: all."""

    def __post_init__(self) -> None:
        try:
            parse_prune(self.prune, self.order)
        except ConfigError as error:
            raise ValueError(str(error)) from error


def train_ngrams(
    texts: Sequence[Path],
    out: Path,
    config: NGramConfig,
    alphabet: str = TextConfig().alphabet,
    memory_bytes: int = MEMORY_BYTES,
) -> NGramModel:
    """Writes the model that texts give, and returns it as it was before a compact file rounded it.

    Args:
        texts: As `read_sentences` takes them.
        out: Compact where the name says so, else ARPA.
        alphabet: Of the sentences.

    Raises:
        AsrError: A text cannot be read, the settings leave nothing of it, or the file cannot be written.
    """
    make_folder(out.parent)
    sentences = read_sentences(texts, alphabet)
    counts = count_ngrams(sentences, config.order, config.units, config.vocabulary_size or None, memory_bytes)
    model = estimate(counts, parse_prune(config.prune, config.order))
    if config.ngrams:
        model = prune(model, ngrams=config.ngrams)
    write_ngrams(model, out)
    return model


def in_words(counts: Sequence[int]) -> str:
    """How many n-grams there are of each order.

    >>> in_words([13, 5])
    '13 1-grams, 5 2-grams'
    """
    return ", ".join(f"{count} {order}-grams" for order, count in enumerate(counts, start=1))
