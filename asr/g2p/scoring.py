"""How far pronunciations are from those of a dictionary."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from asr.lexicon.entries import Lexicon, Phones, Pronunciation
from asr.metrics import rate


@dataclass(frozen=True)
class PronunciationErrors:
    """What went wrong in one word or in many; `+` pools them."""

    words: int = 0
    wrong_words: int = 0
    """Those with at least one phone that is wrong, too much or missing."""
    phones: int = 0
    phone_errors: int = 0

    def __add__(self, other: "PronunciationErrors") -> "PronunciationErrors":
        return PronunciationErrors(*map(operator.add, vars(self).values(), vars(other).values()))

    @property
    def per(self) -> float:
        """The phone error rate, of the pooled counts."""
        return rate(self.phone_errors, self.phones)

    @property
    def wer(self) -> float:
        """The share of wrong words."""
        return rate(self.wrong_words, self.words)

    def __str__(self) -> str:
        return f"phone errors {self.per:.2%}, wrong words {self.wer:.2%} of {self.words}"


def count_errors(dictionary: Sequence[Pronunciation], phones: Phones) -> PronunciationErrors:
    """The errors of one word, held against the nearest of its pronunciations, the first of those equally near.

    >>> count_errors([Pronunciation(("AH",)), Pronunciation(("EY", "T"))], ("EY",))
    PronunciationErrors(words=1, wrong_words=1, phones=1, phone_errors=1)
    """
    distances = [Levenshtein.distance(each.phones, phones) for each in dictionary]
    fewest = min(distances)
    nearest = dictionary[distances.index(fewest)]
    return PronunciationErrors(1, int(fewest > 0), len(nearest.phones), fewest)


def score(dictionary: Lexicon, found: Mapping[str, Phones]) -> PronunciationErrors:
    """The errors in all words of a dictionary, each of which must have been found."""
    errors = (count_errors(said, found[word]) for word, said in dictionary.entries.items())
    return sum(errors, start=PronunciationErrors())
