"""The pronunciations that a corpus needs: a dictionary's, and a model's for the words that it lacks."""

from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path

from asr.lexicon.build import build_lexicon
from asr.lexicon.dictionary import find_dictionary
from asr.lexicon.entries import Lexicon, read_lexicon
from asr.progress import say


def dictionary_file(recipe: Path) -> Path:
    """The `lexicon.txt` in a recipe's folder, where it has one, else CMUdict.

    Raises:
        AsrError: There is none; says how to get it.
    """
    own = recipe / "lexicon.txt"
    return own if own.is_file() else find_dictionary()


def lexicon_of_texts(texts: Iterable[str], path: Path, stress: bool) -> tuple[Lexicon, tuple[str, ...]]:
    """The pronunciations of all words in normalised texts, but for those that nothing can pronounce, which are told.

    Args:
        path: The dictionary.
        stress: Whether its vowels keep their stress; then the model, which knows none, is not asked.

    Returns:
        The lexicon, and all phones of the dictionary.
    """
    dictionary = read_lexicon(path, stress)
    return complete(dictionary, chain.from_iterable(map(str.split, texts)), not stress), dictionary.phones


def complete(dictionary: Lexicon, words: Iterable[str], by_model: bool = True, phones: Collection[str] = ()) -> Lexicon:
    """The pronunciations of words, by the model that comes with the package where the dictionary has none.

    Args:
        by_model: Whether it is asked at all; it never is where the dictionary lacks one of its phones, and so is of
            another language.
        phones: Those that count as the dictionary's, where it is only a part of one.
    """
    wanted = list(dict.fromkeys(words))
    speller = None
    if by_model and any(word not in dictionary for word in wanted):
        from asr.g2p.pronouncer import Pronouncer, shipped  # and with it PyTorch

        model = Pronouncer.load(shipped())
        speller = model if set(model.vocabulary.phones) <= set(phones or dictionary.phones) else None
    built = build_lexicon(wanted, dictionary, speller)
    counts = ", ".join(f"{count} by {source}" for source, count in built.counts.most_common())
    left_out = (
        f"; {len(built.left_out)} cannot be said, such as {next(iter(built.left_out))!r}" if built.left_out else ""
    )
    if built.left_out or built.counts.keys() != {"dictionary"}:
        number = len(built.lexicon)
        say(f"lexicon: {number} word{'s' * (number != 1)}, {counts}{left_out}")
    return built.lexicon
