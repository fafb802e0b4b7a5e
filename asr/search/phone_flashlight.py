"""Beam search for words in phones by flashlight-text: what `asr.search.phones` does, in C++.

Scores mean the same in both. Beyond what `asr.search.flashlight` tells, how flashlight is brought to it:

* A place in its tree takes six words. Of more that are said alike, the six likeliest are kept.
* A tree's own scores only tell where to look, so that the probability of a pronunciation is in the matrix: there is a
  copy of each phone's column for every probability, and a word ends in the one with its own. A scorer of ours, called
  for every word, would be right too, and slow.
* Silence is what flashlight lets follow a word's end.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import inf, log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.search.flashlight import changed_ns, decoders, kenlm, word_model
from asr.search.layout import FLOOR, RunOnLayout
from asr.search.phones import HALVING, Saying
from asr.search.prefix import BLANK_ID, Hypothesis, check_matrix
from asr.text import frames_needed

MOST_ALIKE = 6
"""flashlight's own limit (`kTrieMaxLabel`)."""


class PhoneFlashlight:
    """A search that is set up once and then decodes one matrix after another, as `asr.search.flashlight.Flashlight`."""

    def __init__(
        self,
        phones: int,
        sayings: tuple[Saying, ...],
        language_model: Path | None = None,
        lm_weight: float = 1.0,
        word_score: float = 0.0,
        hotwords: Mapping[str, float] | None = None,
        pronunciation_weight: float = 1.0,
        silence: int | None = None,
        beam: int = 100,
        nbest: int = 1,
        score_threshold: float = 50.0,
        tokens_per_frame: int = 50,
    ) -> None:
        """
        Args:
            phones: How many the model has, the blank among them.
            sayings, lm_weight, word_score, hotwords, pronunciation_weight, silence: As in `asr.search.phones`.
            language_model: ARPA, gzipped or not.
            tokens_per_frame: How many of a frame's phones are tried, the likeliest.

        Raises:
            AsrError: flashlight-text is not installed.
            ModelError: The language model cannot be read; names the file.
        """
        text = decoders()
        path = language_model if lm_weight else None
        weight = lm_weight * log(10) if path else 1.0
        most = max((saying.halvings for saying in sayings), default=0)
        discounts = [HALVING * pronunciation_weight * halvings for halvings in range(1, most + 1)]
        self._layout = RunOnLayout(phones, silence, discounts)
        self._nbest, self._weight = nbest, weight if path else 0.0
        self._words = tuple(dict.fromkeys(saying.word for saying in sayings))
        self._model = word_model(text, self._words, path, weight, hotwords or {})
        trie = (
            _trie(self._layout, sayings, self._words, self._model)
            if hotwords
            else _plain_trie(phones, silence, most, sayings, self._words, path, changed_ns(path))
        )
        options = text.LexiconDecoderOptions(
            beam_size=beam,
            beam_size_token=tokens_per_frame * self._layout.columns_per_token,
            beam_threshold=score_threshold,
            lm_weight=weight,
            word_score=word_score,
            unk_score=-inf,
            sil_score=0.0,
            log_add=True,
            criterion_type=text.CriterionType.CTC,
        )
        no_word, of_tokens = -1, False
        self._decoder = text.LexiconDecoder(
            options, trie, self._model, self._layout.silence, BLANK_ID, no_word, [], of_tokens
        )

    def decode(self, log_probabilities: NDArray[Any]) -> list[Hypothesis]:
        """As `asr.search.phones.PhoneSearch.decode`."""
        matrix = np.maximum(check_matrix(log_probabilities), FLOOR)
        emissions = np.ascontiguousarray(self._layout.emissions(matrix), dtype=np.float32)
        found: list[Hypothesis] = []
        for result in self._decoder.decode(emissions.ctypes.data, *emissions.shape):
            hypothesis = self._hypothesis(result)
            if frames_needed(hypothesis.tokens) <= len(matrix):  # else there is no such path
                found.append(hypothesis)
            if len(found) == self._nbest:
                break
        return found or [Hypothesis((), -inf)]

    def _hypothesis(self, result: Any) -> Hypothesis:
        """What flashlight found; phones of a word that has not ended are left out."""
        columns, labels = result.tokens[1:-1], result.words[1:-1]  # flashlight's own begin and end
        ends = [frame + 1 for frame, label in enumerate(labels) if label >= 0]
        phones: list[int] = []
        words: list[tuple[str, int]] = []
        for begin, end in pairwise(sorted({0, *ends, len(columns)})):
            heard = self._layout.tokens(columns[begin:end])
            pauses = sum(phone == self._layout.silence for phone in heard)
            words += [("", 1)] * pauses
            if end in ends:
                words.append((self._words[labels[end - 1]], len(heard) - pauses))
                phones += heard
            else:
                phones += heard[:pauses]
        return Hypothesis(tuple(phones), result.score, tuple(words), self._weight * result.lmScore)


def crowded_out(sayings: Iterable[Saying]) -> int:
    """How many are not heard, as likelier words are said just so."""
    alike = Counter((phones, halvings) for _, phones, halvings in sayings)
    return sum(max(0, count - MOST_ALIKE) for count in alike.values())


@lru_cache(maxsize=2)
def _plain_trie(
    phones: int,
    silence: int | None,
    discounts: int,
    sayings: tuple[Saying, ...],
    words: tuple[str, ...],
    path: Path | None,
    changed_ns: int,
) -> Any:
    """The lexicon's tree; the last ones stay in memory, as those of `asr.search.flashlight.kenlm` do."""
    model = kenlm(path, words) if path else decoders().ZeroLM()
    return _trie(RunOnLayout(phones, silence, [0.0] * discounts), sayings, words, model)


def _trie(layout: RunOnLayout, sayings: Sequence[Saying], words: Sequence[str], model: Any) -> Any:
    """All sayings, each beginning with the score of the likeliest word that begins so."""
    text = decoders()
    trie = text.Trie(max(layout.closed, layout.silence) + 1, layout.silence)
    anywhere = model.start(True)
    scores = {word: (number, model.score(anywhere, number)[1]) for number, word in enumerate(words)}
    alike: Counter[tuple[tuple[int, ...], int]] = Counter()
    for word, phones, halvings in sorted(sayings, key=lambda saying: -scores[saying.word][1]):
        alike[phones, halvings] += 1
        if alike[phones, halvings] <= MOST_ALIKE:
            for columns in layout.spelled(phones, halvings):
                trie.insert(columns, *scores[word])
    trie.smear(text.SmearingMode.MAX)
    return trie
