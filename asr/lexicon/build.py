"""A lexicon for a list of words: from a dictionary, by the rule for possessives, from a model of how words are said."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from asr.errors import DataError
from asr.lexicon.dictionary import PHONES
from asr.lexicon.entries import STRESSED, Lexicon, Phones, Pronunciation
from asr.text import normalise

Source = Literal["dictionary", "possessive", "model"]

SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
VOICELESS = frozenset({"P", "T", "K", "F", "TH"})


class Speller(Protocol):
    """What says words that are in no dictionary, such as `asr.g2p.pronouncer.Pronouncer`."""

    def pronounce(self, words: Sequence[str], nbest: int = 1) -> list[list[Pronunciation]]:
        """The likeliest pronunciations of each word, the best first.

        Raises:
            DataError: A word cannot be said; names it.
        """
        ...


@dataclass(frozen=True)
class Built:
    lexicon: Lexicon
    """In the order of the words that were asked for."""
    sources: Mapping[str, Source]
    """Where each word's pronunciations are from."""
    left_out: Mapping[str, str]
    """The words that nobody can say, each with the reason, a line that names it."""

    @property
    def counts(self) -> Counter[Source]:
        return Counter(self.sources.values())


def build_lexicon(
    words: Iterable[str], dictionary: Lexicon | None = None, speller: Speller | None = None, nbest: int = 1
) -> Built:
    """The lexicon of some words, each normalised and once.

    A word has the pronunciations that the dictionary has, else as a possessive those of the word behind it, else those
    of the speller.

    Args:
        nbest: How many pronunciations the speller gives a word, at most.
    """
    known = dictionary or Lexicon({})
    wanted = list(dict.fromkeys(map(normalise, words)))
    found: dict[str, tuple[Source, Sequence[Pronunciation]]] = {}
    left_out = {word: f"{word!r}: not a word" for word in wanted if len(word.split()) != 1}
    for word in wanted:
        if word in known:
            found[word] = "dictionary", known[word]
        elif said := _possessive(word, known):
            found[word] = "possessive", said
    unknown = [word for word in wanted if word not in found and word not in left_out]
    for word, answer in _spelled(unknown, speller, nbest):
        if isinstance(answer, str):
            left_out[word] = answer
        else:
            found[word] = "model", answer
    said_in_order = [word for word in wanted if word in found]
    return Built(
        Lexicon({word: tuple(found[word][1]) for word in said_in_order}),
        {word: found[word][0] for word in said_in_order},
        {word: left_out[word] for word in wanted if word in left_out},
    )


def possessive(phones: Phones) -> Phones | None:
    """How the possessive of a noun ends that is said so: in IH Z after a sibilant, S after another voiceless phone,
    Z after any other; None of phones that are not CMUdict's.

    It is one of CMUdict's own pronunciations for 96 % of the possessives there whose noun is there too.

    >>> [" ".join(possessive(tuple(phones.split()))) for phones in ("K AE T", "D AO1 G", "HH AO1 R S")]
    ['K AE T S', 'D AO1 G Z', 'HH AO1 R S IH0 Z']
    """
    last = STRESSED.sub(r"\1", phones[-1])
    if last not in PHONES:
        return None
    if last in SIBILANTS:
        stressed = any(STRESSED.fullmatch(phone) for phone in phones)
        return (*phones, "IH0" if stressed else "IH", "Z")
    return (*phones, "S" if last in VOICELESS else "Z")


def _possessive(word: str, known: Lexicon) -> tuple[Pronunciation, ...]:
    """The pronunciations of `kara's` where `kara` is known, of `boys'` where `boys` is; else none."""
    noun = word.removesuffix("'s").removesuffix("'")
    if noun == word or noun not in known:
        return ()
    if word.endswith("'"):
        return known[noun] if noun.endswith("s") else ()
    ended = [(possessive(each.phones), each.probability) for each in known[noun]]
    return tuple(Pronunciation(phones, probability) for phones, probability in ended if phones)


def _spelled(
    words: Sequence[str], speller: Speller | None, nbest: int
) -> Iterator[tuple[str, Sequence[Pronunciation] | str]]:
    """Each word with its pronunciations, or with the reason why there is none.

    Words that are refused together are asked for in halves, down to the one that cannot be said.
    """
    if speller is None:
        yield from ((word, f"{word!r}: not in the dictionary") for word in words)
        return
    try:
        answers = speller.pronounce(words, nbest)
    except DataError as error:
        if len(words) == 1:
            yield words[0], str(error)
            return
        middle = len(words) // 2
        yield from _spelled(words[:middle], speller, nbest)
        yield from _spelled(words[middle:], speller, nbest)
        return
    for word, pronunciations in zip(words, answers, strict=True):
        yield word, pronunciations or f"{word!r}: the model knows no way to say it"
