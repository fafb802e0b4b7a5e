"""Beam search for words that a model hears in phones: the readable engine, and what both engines take a lexicon for.

The score of a sequence of words is that of `asr.search.fusion`, the sum taken over all pronunciations of the words,
each with its probability, and over all silences between them, which cost nothing.

Shapes: T frames, V phones, phone 0 is the blank.

Source: as `asr.search.prefix`; what differs is that the same phones may be several words, so that a hypothesis is the
words heard so far and a place in the tree of all pronunciations, not the phones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from math import inf, log, log2
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from asr.lexicon.entries import Lexicon
from asr.search.fusion import UNKNOWN, LanguageModel, NoModel
from asr.search.hotwords import Hotwords, Matches
from asr.search.layout import takes_discount
from asr.search.prefix import BLANK_ID, TOKEN_THRESHOLD, Hypothesis, check_matrix, log_add

HALVING = -log(2)
"""What a pronunciation half as likely loses, in natural log units."""

MOST_HALVINGS = 6
"""The least likely pronunciations count as a 64th of the likeliest."""


class Saying(NamedTuple):
    """A way to say a word."""

    word: str
    phones: tuple[int, ...]
    """Ids, none of them silence."""
    halvings: int = 0
    """How often its probability is halved against the likeliest of the word. flashlight can tell a few only apart, and
    none where `asr.search.layout.takes_discount` says no.
    """


def sayings_of(lexicon: Lexicon, phones: Sequence[str]) -> tuple[Saying, ...]:
    """The ways to say the words of a lexicon, in its order.

    Args:
        phones: Those of the model, the blank first; a pronunciation with any other is left out.
    """
    ids = {phone: number for number, phone in enumerate(phones)}
    known = frozenset(ids)
    return tuple(
        _saying(word, tuple(map(ids.__getitem__, said)), probability)
        for word, pronunciations in lexicon.entries.items()
        for said, probability in pronunciations
        if known.issuperset(said)
    )


def _saying(word: str, phones: tuple[int, ...], probability: float) -> Saying:
    """
    >>> [_saying("w", (1, 2), probability).halvings for probability in (1.0, 0.6, 0.2, 1e-9)]
    [0, 1, 2, 6]
    """
    halvings = min(MOST_HALVINGS, round(-log2(probability))) if probability < 1 and takes_discount(phones) else 0
    return Saying(word, phones, halvings)


@dataclass(eq=False)
class _Words:
    """The words heard so far, linked to those, met so far, with one more."""

    language: Any
    matches: Matches
    added: float = 0.0
    """What the last word adds to the score."""
    longer: dict[str, "_Words"] = field(default_factory=dict)


@dataclass(eq=False)
class _Node:
    """A beginning of pronunciations."""

    children: dict[int, "_Node"] = field(default_factory=dict)
    words: list[tuple[str, float]] = field(default_factory=list)
    """Those that end here, with the natural log probability of being said so."""
    promise: float = -inf
    """What the likeliest word that begins so would add at a text's start; lent until a word ends."""


class _Place(NamedTuple):
    """What of a hypothesis counts for what may follow."""

    words: _Words
    node: _Node
    phone: int
    """The last one; the blank where there is none yet."""
    ends_in_blank: bool


class _Trace(NamedTuple):
    """The phones of a hypothesis, the last first."""

    before: "_Trace | None"
    phone: int
    word: str | None
    """The word that ends with it: None of none, empty of silence."""


class _Entry(NamedTuple):
    score: float
    """The log of the sum of its paths."""
    best: float
    """What the largest part of the sum was, of which the trace is."""
    trace: _Trace | None


Beam = dict[_Place, _Entry]


class PhoneSearch:
    """A search that is set up once and then decodes one matrix after another."""

    def __init__(
        self,
        sayings: Iterable[Saying],
        language_model: LanguageModel[Any] | None = None,
        lm_weight: float = 1.0,
        word_score: float = 0.0,
        hotwords: Mapping[str, float] | None = None,
        pronunciation_weight: float = 1.0,
        silence: int | None = None,
        beam: int = 100,
        nbest: int = 1,
        score_threshold: float = inf,
        token_threshold: float = TOKEN_THRESHOLD,
    ) -> None:
        """
        Args:
            sayings: Of all words that may be heard; what the language model does not know it hears as `<unk>`.
            lm_weight, word_score, hotwords: As in `asr.search.fusion`.
            pronunciation_weight: What the natural log probability of a pronunciation counts.
            silence: A phone that may stand before, between and behind words.
            beam, nbest, score_threshold, token_threshold: As in `asr.search.prefix.beam_search`.
        """
        self._model: LanguageModel[Any] = language_model or NoModel()
        self._weight = lm_weight if language_model else 0.0
        self._word_score = word_score
        self._hotwords = Hotwords(hotwords or {})
        self._silence = silence
        self._beam, self._nbest = beam, nbest
        self._score_threshold, self._token_threshold = score_threshold, token_threshold
        self._root = self._tree(sayings, HALVING * pronunciation_weight)

    def decode(self, log_probabilities: NDArray[Any]) -> list[Hypothesis]:
        """The likeliest sequences of words, best first; at least one, at most `nbest`, each once.

        Where no kept hypothesis is at a word's end, the words are those that have ended.

        Args:
            log_probabilities: (T, V), natural logarithms; T may be 0.

        Raises:
            DataError: NaN, or a frame in which no phone is possible; names the frame.
        """
        start = _Words(self._model.start(), self._hotwords.start())
        entries: Beam = {_Place(start, self._root, BLANK_ID, True): _Entry(0.0, 0.0, None)}
        for row in check_matrix(log_probabilities):
            candidates = self._advance(entries, row)
            least = max(entry.score for entry in candidates.values()) - self._score_threshold
            good = (item for item in candidates.items() if item[1].score >= least)
            entries = dict(nlargest(self._beam, good, key=lambda item: item[1].score))
        return self._finish(entries)

    def _advance(self, entries: Beam, row: NDArray[np.float64]) -> Beam:
        """All that one frame can make of the beam's entries; paths that meet in a place are summed."""
        log_probability: list[float] = row.tolist()
        least = max(log_probability) - self._token_threshold
        candidates: Beam = {}

        def add(place: _Place, score: float, trace: _Trace | None) -> None:
            known = candidates.get(place)
            if known is None:
                candidates[place] = _Entry(score, score, trace)
            else:
                best, trace = (score, trace) if score > known.best else (known.best, known.trace)
                candidates[place] = _Entry(log_add(known.score, score), best, trace)

        for (words, node, last, ends_in_blank), (score, _, trace) in entries.items():
            add(_Place(words, node, last, True), score + log_probability[BLANK_ID], trace)
            if not ends_in_blank:
                add(_Place(words, node, last, False), score + log_probability[last], trace)
            if node is self._root and self._silence is not None and (ends_in_blank or last != self._silence):
                place = _Place(words, node, self._silence, False)
                add(place, score + log_probability[self._silence], _Trace(trace, self._silence, ""))
            for phone, child in node.children.items():
                if log_probability[phone] < least or (phone == last and not ends_in_blank):
                    continue
                total = score + log_probability[phone] - node.promise
                if child.children:
                    longer = _Trace(trace, phone, None)
                    add(_Place(words, child, phone, False), total + child.promise, longer)
                for word, weight in child.words:
                    after = self._after(words, word)
                    place = _Place(after, self._root, phone, False)
                    add(place, total + weight + after.added, _Trace(trace, phone, word))
        return candidates

    def _finish(self, entries: Beam) -> list[Hypothesis]:
        ended = {place: entry for place, entry in entries.items() if place.node is self._root}
        found: dict[_Words, _Entry] = {}
        for place, entry in (ended or entries).items():
            known = found.get(place.words)
            if known is None:
                found[place.words] = entry
            else:
                best = max(known, entry, key=lambda each: each.best)
                found[place.words] = best._replace(score=log_add(known.score, entry.score))
        if ended:
            found = {words: entry._replace(score=entry.score + self._end(words)) for words, entry in found.items()}
        ranked = nlargest(self._nbest, found.values(), key=lambda entry: entry.score)
        return [_hypothesis(entry) for entry in ranked]

    def _end(self, words: _Words) -> float:
        end = self._weight * self._model.finish(words.language) if self._weight else 0.0
        return end + self._hotwords.finish(words.matches)

    def _after(self, words: _Words, word: str) -> _Words:
        """The words with one more, always the same object."""
        if word not in words.longer:
            language, score = self._language_score(words.language, word)
            matches, bonus = self._hotwords.step_word(words.matches, word)
            words.longer[word] = _Words(language, matches, score + bonus + self._word_score)
        return words.longer[word]

    def _language_score(self, state: Any, word: str) -> tuple[Any, float]:
        if not self._weight:  # nothing times minus infinity is not a number
            return state, 0.0
        state, log_probability = self._model.score(state, word if word in self._model.ids else UNKNOWN)
        return state, self._weight * log_probability

    def _tree(self, sayings: Iterable[Saying], halving: float) -> _Node:
        root, start = _Node(), self._model.start()
        for saying in sayings:
            weight = saying.halvings * halving
            promise = self._language_score(start, saying.word)[1] + weight
            node = root
            for phone in saying.phones:
                node = node.children.setdefault(phone, _Node())
                node.promise = max(node.promise, promise)
            node.words.append((saying.word, weight))
        root.promise = 0.0
        return root


def _hypothesis(entry: _Entry) -> Hypothesis:
    traces: list[_Trace] = []
    trace = entry.trace
    while trace:
        traces.append(trace)
        trace = trace.before
    phones: list[int] = []
    words: list[tuple[str, int]] = []
    begun: list[int] = []
    for trace in reversed(traces):
        begun.append(trace.phone)
        if trace.word is not None:
            phones += begun
            words.append((trace.word, len(begun)))
            begun = []
    return Hypothesis(tuple(phones), entry.score, tuple(words))
