"""What a model is to hear in utterances: for each of its heads the tokens of the text, as letters or as phones.

Where a word has several pronunciations the likeliest is taught, until `Targets.take` is told which one was heard. Where
there is a token for silence, it is taught at either end of an utterance, until then.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import Any, TypeVar

from asr.errors import DataError
from asr.lexicon.choose import Variants, choose, with_silence
from asr.lexicon.entries import Lexicon
from asr.text import SILENCE, Matrix, Vocabulary

Read = TypeVar("Read")


class Targets:
    """The tokens of utterances, by their places.

    Args:
        vocabulary: With phones there has to be a lexicon.
        texts: Utterances' names, for errors to tell, and normalised transcripts.
        lexicon: Of all words in the transcripts.

    Raises:
        DataError: On the first use: a character outside the alphabet, or a word without a pronunciation; names the
            utterance and it.
    """

    def __init__(
        self, vocabulary: Vocabulary, texts: Iterable[tuple[str, str]], lexicon: Lexicon | None = None
    ) -> None:
        self._vocabulary, self._texts, self._lexicon = vocabulary, list(texts), lexicon or Lexicon({})
        self._numbers = {phone: number for number, phone in enumerate(vocabulary.phones)}
        self._known: dict[str, Variants] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, place: int) -> tuple[list[int], ...]:
        """The tokens of an utterance, for each head."""
        heads = [self._spelled[place]] if self._vocabulary.spells else []
        return (*heads, self._said(place)) if self._vocabulary.phones else tuple(heads)

    @property
    def open(self) -> Iterator[int]:
        """The places of the utterances in which there is something to choose."""
        return (place for place, words in enumerate(self._words) if any(len(variants) > 1 for variants in words))

    def heard(self, place: int, matrix: Matrix) -> list[int]:
        """For each word of an utterance the number of the variant on the likeliest path.

        Args:
            matrix: (T, V), natural log-probabilities of all heads; where no choice would fit into it, all stays as it
                is.
        """
        with suppress(DataError):
            return choose(self._vocabulary.of_phones(matrix), self._words[place])
        return self._chosen[place]

    def take(self, chosen: Mapping[int, list[int]]) -> None:
        """Teaches these variants, by the places of the utterances."""
        for place, numbers in chosen.items():
            self._chosen[place] = numbers

    def state(self) -> dict[str, Any]:
        """What was chosen, as plain data."""
        return {"chosen": self._chosen}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._chosen = state.get("chosen", self._chosen)

    @cached_property
    def _spelled(self) -> list[list[int]]:
        return [_named(name, self._vocabulary.encode, text) for name, text in self._texts]

    @cached_property
    def _words(self) -> list[Sequence[Variants]]:
        """The words of each utterance in all their pronunciations; none where no phones are heard."""
        if not self._vocabulary.phones:
            return [[] for _ in self._texts]
        return [_named(name, self._variants, text) for name, text in self._texts]

    @cached_property
    def _chosen(self) -> list[list[int]]:
        """The number of the variant that is taught, for each word of each utterance."""
        chosen = [[0] * len(words) for words in self._words]
        if SILENCE in self._numbers:
            for numbers in chosen:
                numbers[0] = numbers[-1] = 1
        return chosen

    def _said(self, place: int) -> list[int]:
        words = zip(self._words[place], self._chosen[place], strict=True)
        return list(chain.from_iterable(variants[number] for variants, number in words))

    def _variants(self, text: str) -> Sequence[Variants]:
        """Of each word all ways to say it; silences around them, where there is a token for them."""
        words = text.split()
        for word in words:
            if word not in self._known:
                self._known[word] = self._of_word(word)
        variants = [self._known[word] for word in words]
        return with_silence(variants, self._numbers[SILENCE]) if SILENCE in self._numbers else variants

    def _of_word(self, word: str) -> Variants:
        if word not in self._lexicon:
            raise DataError(f"no pronunciation: {word!r}")
        try:
            return [tuple(self._numbers[phone] for phone in each.phones) for each in self._lexicon[word]]
        except KeyError as error:
            raise DataError(f"{word!r}: unknown phone {error.args[0]!r}") from error


def _named(name: str, read: Callable[[str], Read], text: str) -> Read:
    """What becomes of a text; what is wrong with it is told with its name."""
    try:
        return read(text)
    except DataError as error:
        raise DataError(f"{name}: {error}" if name else str(error)) from error
