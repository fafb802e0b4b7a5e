"""What a search listens to besides the matrix: a language model, a lexicon and hotwords, as scorers of tokens.

The score of a text is

    log p(text | recording)  +  lm_weight * log p(text)  +  word_score * (its words)  +  its hotwords' bonuses,

all logarithms natural. Spaces part words; doubled ones and those at the ends part nothing.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from asr.errors import DataError
from asr.files import read_lines
from asr.search.hotwords import Hotwords, Matches, in_word
from asr.text import SPACE_IN_PIECES, Vocabulary, normalise

UNKNOWN = "<unk>"

State = TypeVar("State", bound=Hashable)


class LanguageModel(Protocol[State]):
    """An n-gram model of words, or of characters."""

    @property
    def ids(self) -> Mapping[str, int]:
        """The words it knows."""

    def start(self) -> State: ...

    def score(self, state: State, word: str) -> tuple[State, float]:
        """The state after a word, and the word's natural log probability."""

    def finish(self, state: State) -> float:
        """The natural log probability of the text's end."""


class NoModel:
    """Stands where there is no language model: every text is as likely as any other."""

    ids: Mapping[str, int] = {UNKNOWN: 0}

    def start(self) -> None:
        return None

    def score(self, state: None, word: str) -> tuple[None, float]:
        return None, 0.0

    def finish(self, state: None) -> float:
        return 0.0


class _WordState(NamedTuple):
    partial: str
    language: Hashable
    matches: Matches


class WordFusion:
    """Lets through the words of a lexicon only, and scores them with a language model of words.

    The language model speaks when a word ends. Until then the letters carry what the likeliest word that begins so
    would add at a text's start, so that hypotheses within a word and behind one compare; at the word's end it is taken
    back, and a text's score does not depend on it.

    >>> fusion = WordFusion(("<blank>", " ", "a", "n"), None, ["an", "nan"], word_score=1.0)
    >>> [fusion.extend(fusion.start(), token) is None for token in (1, 2, 3)]
    [False, False, False]
    >>> state, _ = fusion.extend(fusion.start(), 2)
    >>> fusion.finish(state), fusion.extend(state, 2)
    (None, None)
    """

    def __init__(
        self,
        spellings: Sequence[str],
        language_model: LanguageModel[Any] | None,
        lexicon: Iterable[str],
        lm_weight: float = 1.0,
        word_score: float = 0.0,
        hotwords: Mapping[str, float] | None = None,
    ) -> None:
        """
        Args:
            spellings: The text of each token, `Vocabulary.spellings`.
            lexicon: The words allowed; those of the hotwords are added. What the language model does not know it hears
                as `<unk>`.
            word_score: What each word adds, in natural log units.
        """
        self._spellings = spellings
        self._model: LanguageModel[Any] = language_model or NoModel()
        self._weight = lm_weight if language_model else 0.0
        self._word_score = word_score
        self._hotwords = Hotwords(hotwords or {})
        self._words = frozenset(with_hotwords(lexicon, hotwords or {}))
        self._promises = self._promised(self._words)

    def start(self) -> _WordState:
        return _WordState("", self._model.start(), self._hotwords.start())

    def extend(self, state: _WordState, token: int) -> tuple[_WordState, float] | None:
        total = 0.0
        for character in self._spellings[token]:
            step = self._end_word(state) if character == " " else self._add_letter(state, character)
            if step is None:
                return None
            state, added = step
            total += added
        return state, total

    def finish(self, state: _WordState) -> float | None:
        ended = self._end_word(state)
        if ended is None:
            return None
        state, added = ended
        end = self._weight * self._model.finish(state.language) if self._weight else 0.0
        return added + end + self._hotwords.finish(state.matches)

    def _add_letter(self, state: _WordState, letter: str) -> tuple[_WordState, float] | None:
        partial = state.partial + letter
        if partial not in self._promises:
            return None
        matches, bonus = self._hotwords.step(state.matches, letter)
        added = self._promises[partial] - self._promises[state.partial] + bonus
        return _WordState(partial, state.language, matches), added

    def _end_word(self, state: _WordState) -> tuple[_WordState, float] | None:
        if not state.partial:
            return state, 0.0
        if state.partial not in self._words:
            return None
        language, added = self._language_score(state.language, state.partial)
        matches, bonus = self._hotwords.step(state.matches, " ")
        added += self._word_score + bonus - self._promises[state.partial]
        return _WordState("", language, matches), added

    def _language_score(self, state: Any, word: str) -> tuple[Any, float]:
        if not self._weight:  # nothing times minus infinity is not a number
            return state, 0.0
        state, log_probability = self._model.score(state, word if word in self._model.ids else UNKNOWN)
        return state, self._weight * log_probability

    def _promised(self, words: Iterable[str]) -> dict[str, float]:
        """For every beginning of a word the best that a word with it would add at a text's start."""
        promises: dict[str, float] = {}
        start = self._model.start()
        for word in words:
            _, score = self._language_score(start, word)
            for length in range(len(word), 0, -1):
                if score <= promises.get(word[:length], -inf):
                    break  # nor is it better than what a shorter beginning has
                promises[word[:length]] = score
        promises[""] = 0.0
        return promises


class _CharacterState(NamedTuple):
    language: Hashable
    matches: Matches
    begun: bool


class CharacterFusion:
    """Lets every text through and scores it with a language model of characters, in which the space is written `▁`.

    A piece in front of which a space begins a word is so many characters; the space before a text's first word is none.
    """

    def __init__(
        self,
        spellings: Sequence[str],
        language_model: LanguageModel[Any] | None,
        lm_weight: float = 1.0,
        word_score: float = 0.0,
        hotwords: Mapping[str, float] | None = None,
    ) -> None:
        """Args: as of `WordFusion`; without a language model only words and hotwords count."""
        self._spellings = spellings
        self._of_pieces = any(len(spelling) > 1 for spelling in spellings[1:])
        self._model: LanguageModel[Any] = language_model or NoModel()
        self._weight = lm_weight if language_model else 0.0
        self._word_score = word_score
        self._hotwords = Hotwords(hotwords or {})

    def start(self) -> _CharacterState:
        return _CharacterState(self._model.start(), self._hotwords.start(), begun=not self._of_pieces)

    def extend(self, state: _CharacterState, token: int) -> tuple[_CharacterState, float]:
        language, matches, begun = state
        total = 0.0
        for character in self._spellings[token]:
            if begun or character != " ":
                language, added = self._language_score(language, SPACE_IN_PIECES if character == " " else character)
                total += added
                begun = True
            if character == " " and in_word(matches):
                total += self._word_score
            matches, bonus = self._hotwords.step(matches, character)
            total += bonus
        return _CharacterState(language, matches, begun), total

    def finish(self, state: _CharacterState) -> float:
        end = self._weight * self._model.finish(state.language) if self._weight else 0.0
        return end + self._word_score * in_word(state.matches) + self._hotwords.finish(state.matches)

    def _language_score(self, state: Any, character: str) -> tuple[Any, float]:
        if not self._weight:
            return state, 0.0
        state, log_probability = self._model.score(state, character if character in self._model.ids else UNKNOWN)
        return state, self._weight * log_probability


def with_hotwords(lexicon: Iterable[str], hotwords: Iterable[str]) -> list[str]:
    """The lexicon's distinct words in their order, and behind them the hotwords' that it lacks."""
    return list(dict.fromkeys((*lexicon, *(word for words in hotwords for word in words.split()))))


def read_lexicon(path: Path, vocabulary: Vocabulary) -> list[str]:
    """The distinct words of a lexicon, normalised: one a line; a tab ends it, behind which a pronunciation may stand.

    Raises:
        DataError: The file is missing, has no words, or a line's word is none that the vocabulary can spell; names the
            file and the line.
    """
    words: dict[str, None] = {}
    for number, line in read_lines(path):
        word = normalise(line.split("\t")[0])
        if not word or " " in word:
            raise DataError(f"{path}:{number}: one word was expected, found {word!r}")
        if unknown := vocabulary.unknown(word):
            characters = " ".join(map(repr, unknown))
            raise DataError(f"{path}:{number}: {word!r}: characters outside the alphabet: {characters}")
        words[word] = None
    if not words:
        raise DataError(f"{path}: no words")
    return list(words)
