"""The search that goes with a model: its settings, its language model checked against the alphabet, all cores at work.

Two engines score alike: flashlight-text where it is installed, and our own, slower, everywhere.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from dataclasses import dataclass, field, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MinLen
from numpy.typing import NDArray

from asr.config import Precision, settings
from asr.errors import ConfigError, ModelError
from asr.lexicon.entries import Lexicon
from asr.lm.ngram import NGramModel
from asr.lm.stored import read_ngrams, read_vocabulary
from asr.progress import say
from asr.search import flashlight
from asr.search.fusion import CharacterFusion, WordFusion, with_hotwords
from asr.search.phone_flashlight import MOST_ALIKE, PhoneFlashlight, crowded_out
from asr.search.phones import PhoneSearch, Saying, sayings_of
from asr.search.prefix import Hypothesis, Scorer, beam_search
from asr.text import SILENCE, SPACE_IN_PIECES, Vocabulary

LEAST_FITTING = 0.5
"""Of a language model's words, the share that the acoustic model must be able to spell."""


@settings
class DecodingConfig:
    beam: Annotated[int, Gt(0)] = 50
    """Hypotheses kept after each frame."""
    lm_weight: Annotated[float, Ge(0)] = 0.6
    """What the language model's natural log-probabilities count, those of the acoustic model counting 1."""
    word_score: float = 0.5
    """Added for every word."""
    prior_weight: Annotated[float, Ge(0), Le(1)] = 0.0
    """How much of a token's log-probability over all frames is taken from that in each: what comes often, as the blank
    does, is no longer expected, and what comes seldom is heard. Source: Miao et al. 2015, EESEN, section 3.2.
    """
    score_threshold: Annotated[float, Gt(0)] = 15.0
    """Hypotheses so far below the best of their frame, in natural log units, are dropped though the beam had room."""
    tokens_per_frame: Annotated[int, Gt(0)] = 8
    """How many of a frame's tokens are tried, the likeliest; by flashlight-text only."""
    rescoring_weight: Annotated[float, Ge(0)] = 0.0
    """What the second language model counts, which goes over the best hypotheses; with 0, it does not."""
    rescoring_word_score: float = 0.0
    """Added for every word along with it."""
    rescored: Annotated[int, Gt(0)] = 100
    """How many hypotheses the second language model goes over."""
    rescoring_share: Annotated[float, Ge(0), Le(1)] = 1.0
    """What the first language model still counts then, as a share of its `lm_weight`."""
    mbr_scale: Annotated[float, Ge(0)] = 0.0
    """With 0, the likeliest hypothesis is what was said. Else that with the fewest word errors to be expected, where so
    many times the scores are log-probabilities: minimum Bayes risk, see `asr.search.risk`.
    """
    head: Literal["auto", "text", "phones"] = "auto"
    """What of a model's two heads is searched; `auto` is that of phones where there is a pronunciation lexicon."""
    pronunciation_weight: Annotated[float, Ge(0)] = 1.0
    """What the natural log-probability of a word's pronunciation counts, that of the likeliest being 0."""
    engine: Literal["auto", "flashlight", "python"] = "auto"
    """`auto` is flashlight-text where it is installed, else our own."""
    voices: Annotated[tuple[Annotated[float, Ge(0.5), Le(2)], ...], MinLen(1)] = (1.0,)
    """The model hears an utterance as often, each time as if the speaker's vocal tract were so many times as long; the
    mean of the probabilities is searched.
    """
    precision: Precision = "float32"
    """The model computes in it; `auto` is bfloat16 where the device does, so figures depend a little on that."""


@dataclass
class Decoder:
    """Beam search for the matrices of one model."""

    vocabulary: Vocabulary
    config: DecodingConfig = field(default_factory=DecodingConfig)
    language_model: Path | None = None
    """An ARPA or compact file over words or characters."""
    lexicon: Sequence[str] | None = None
    """The only words allowed; None: those of a language model of words, else any."""
    pronunciations: Lexicon | None = None
    """How words are said; with it, a model that hears phones is searched for those, and other words are not heard."""
    log_priors: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    """(V,) of all heads: how likely each token is over all frames; needed where `prior_weight` is not 0."""
    hotwords: Mapping[str, float] = field(default_factory=dict)
    nbest: int = 1
    cores: int | None = None
    """How many `decode_many` uses; None: all."""

    def __post_init__(self) -> None:
        """
        Raises:
            AsrError: The engine asked for is not installed.
            ModelError: The language model cannot be read, or does not fit the alphabet or the pronunciations; or the
                model has not the head asked for, or one of phones and no pronunciations; or priors are not known.
        """
        self.hears_phones = self._is_for_phones()
        if self.config.prior_weight and len(self.log_priors) != len(self.vocabulary):
            weight = f"decoding.prior_weight = {self.config.prior_weight:g}"
            raise ModelError(f"{weight}: it is not known how likely tokens are; 'asr tune' finds that, too")
        self.units: str | None = None
        words: Sequence[str] = ()
        if self.language_model:
            if self.language_model.is_dir():
                hint = "an ARPA file is needed; an LSTM goes with 'asr tune --rescore'"
                raise ModelError(f"{self.language_model}: a folder, where {hint}")
            self.units, words = read_vocabulary(self.language_model)
            if not self.hears_phones:
                _check_fit(self.language_model, self.units, words, self.vocabulary)
            if self.units == "words" and self.lexicon is None:
                self.lexicon = [word for word in words if self.hears_phones or not self.vocabulary.unknown(word)]
        if self.units == "characters" and (self.hears_phones or self.lexicon is not None):
            raise ConfigError(f"{self.language_model}: a language model of characters takes no lexicon")
        self._sayings = self._said(self.pronunciations) if self.hears_phones and self.pronunciations is not None else ()
        if self.config.engine == "auto" and not flashlight.installed():
            say("decoding: by our own beam search; flashlight-text, for Python up to 3.12, would be faster")
        self._ngrams: NGramModel | None = None
        self._start()

    def _is_for_phones(self) -> bool:
        head, vocabulary = self.config.head, self.vocabulary
        if head == "phones" and not vocabulary.phones:
            raise ModelError("decoding.head = phones: the model hears no phones")
        if head == "text" and not vocabulary.spells:
            raise ModelError("decoding.head = text: the model hears phones, not letters")
        if (head == "phones" or not vocabulary.spells) and self.pronunciations is None:
            raise ModelError("the model hears phones, and a search for words needs a pronunciation lexicon: --lexicon")
        return bool(vocabulary.phones) and head != "text" and self.pronunciations is not None

    def _said(self, pronunciations: Lexicon) -> tuple[Saying, ...]:
        """How the words that may be heard are said; tells how many nobody can say."""
        wanted = with_hotwords(self.lexicon or pronunciations.entries, self.hotwords)
        sayings = sayings_of(pronunciations.only(wanted), self.vocabulary.phones)
        self.lexicon = list(dict.fromkeys(saying.word for saying in sayings))
        known = frozenset(self.lexicon)
        if missing := [word for word in wanted if word not in known]:
            found = f"{len(missing)} of {len(wanted)} words have no pronunciation, such as {missing[0]!r}"
            if len(missing) > (1 - LEAST_FITTING) * len(wanted):
                raise ModelError(f"{self.language_model or 'decoding'}: {found}: the lexicon does not fit")
            say(f"decoding: {found}; they are not heard")
        return sayings

    def _start(self) -> None:
        self._workers: ProcessPoolExecutor | None = None
        self._engine: Callable[[NDArray[Any]], list[Hypothesis]] = self._fast() if self.is_fast else self._own()

    @property
    def is_fast(self) -> bool:
        """Whether flashlight-text searches."""
        engine = self.config.engine
        return engine == "flashlight" or (engine == "auto" and flashlight.installed())

    def decode(self, log_probabilities: NDArray[Any]) -> list[Hypothesis]:
        """The likeliest token sequences, best first, `nbest` at most.

        Args:
            log_probabilities: (T, V) of all heads, natural logarithms.
        """
        columns = self.vocabulary.of_phones if self.hears_phones else self.vocabulary.of_text
        matrix = columns(log_probabilities)
        if self.config.prior_weight:
            matrix = matrix - self.config.prior_weight * columns(self.log_priors[None])
            matrix -= np.logaddexp.reduce(matrix, axis=1, keepdims=True)
        return self._engine(matrix)

    def decode_many(self, matrices: Sequence[NDArray[Any]]) -> list[list[Hypothesis]]:
        """`decode` for each of several matrices, on all cores.

        The workers are forked when there is first more than one matrix, share the memory of the language model, and
        stay until `close` or the end of the process. Elsewhere than on Linux a fork is not safe, or there is none, and
        this process does it all.
        """
        cores = self.cores or available_cores()
        if len(matrices) < 2 or cores == 1 or not sys.platform.startswith("linux"):
            return [self.decode(matrix) for matrix in matrices]
        if self._workers is None:
            self._workers = ProcessPoolExecutor(cores, get_context("fork"), _begin_work, (self,))
        return list(self._workers.map(_work, matrices, chunksize=max(1, len(matrices) // (4 * cores))))

    def reweighted(self, config: DecodingConfig, nbest: int | None = None) -> "Decoder":
        """The same search with other settings; nothing is read or checked again."""
        other = copy(self)
        other.config, other.nbest = config, nbest or self.nbest
        other._start()
        return other

    def tell_limits(self) -> None:
        """Says which words that the lexicon has will never be heard."""
        if self.is_fast and (count := crowded_out(self._sayings)):
            say(f"decoding: {count} words are never heard, as {MOST_ALIKE} likelier ones are said just so")

    def close(self) -> None:
        if self._workers:
            self._workers.shutdown(cancel_futures=True)
            self._workers = None

    def _fast(self) -> Callable[[NDArray[Any]], list[Hypothesis]]:
        config, free = self.config, self.lexicon is None
        if self.hears_phones:
            return PhoneFlashlight(
                len(self.vocabulary.phones),
                self._sayings,
                self.language_model,
                beam=config.beam,
                score_threshold=config.score_threshold,
                tokens_per_frame=config.tokens_per_frame,
                **self._of_phones,
            ).decode
        engine = flashlight.Flashlight(
            self.vocabulary,
            config.beam,
            self.language_model,
            self.lexicon,
            config.lm_weight,
            config.word_score,
            self.hotwords,
            config.beam if free else self.nbest,
            config.score_threshold,
            config.tokens_per_frame,
        )
        if not free:  # there it sums over spaces itself
            return engine.decode
        return lambda matrix: self._by_text(engine.decode(matrix))[: self.nbest]

    def _own(self) -> Callable[[NDArray[Any]], list[Hypothesis]]:
        config, spellings = self.config, self.vocabulary.spellings
        if self.language_model and config.lm_weight and self._ngrams is None:
            self._ngrams = read_ngrams(self.language_model)
        model = self._ngrams if config.lm_weight else None
        if self.hears_phones:
            options = {"beam": config.beam, "score_threshold": config.score_threshold, **self._of_phones}
            search = PhoneSearch(self._sayings, model, **options)
            return lambda matrix: [self._weighed(found, model) for found in search.decode(matrix)]
        scorer: Scorer[Any]
        if self.lexicon is None:
            scorer = CharacterFusion(spellings, model, config.lm_weight, config.word_score, self.hotwords)
        else:
            scorer = WordFusion(spellings, model, self.lexicon, config.lm_weight, config.word_score, self.hotwords)
        beam, threshold = config.beam, config.score_threshold
        return lambda matrix: [
            self._weighed(found, model)
            for found in self._by_text(beam_search(matrix, beam, scorer, beam, threshold))[: self.nbest]
        ]

    def _weighed(self, hypothesis: Hypothesis, model: NGramModel | None) -> Hypothesis:
        """With what of its score is the language model's, which our own search does not keep apart."""
        if model is None:
            return hypothesis
        text = text_of(hypothesis, self.vocabulary)
        units = text.split() if self.units == "words" else text.replace(" ", SPACE_IN_PIECES)
        return replace(hypothesis, language=self.config.lm_weight * model.log_probability(units))

    @property
    def _of_phones(self) -> dict[str, Any]:
        """What both searches for words in phones take alike."""
        phones, config = self.vocabulary.phones, self.config
        return {
            "lm_weight": config.lm_weight,
            "word_score": config.word_score,
            "hotwords": self.hotwords,
            "pronunciation_weight": config.pronunciation_weight,
            "silence": phones.index(SILENCE) if SILENCE in phones else None,
            "nbest": self.nbest,
        }

    def _by_text(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        """One for each text, best first: those that differ in spaces only are summed."""
        groups: dict[str, list[Hypothesis]] = {}
        for hypothesis in hypotheses:
            groups.setdefault(self.vocabulary.decode(hypothesis.tokens), []).append(hypothesis)
        summed = [
            replace(group[0], score=float(np.logaddexp.reduce([each.score for each in group])))
            for group in groups.values()
        ]
        return sorted(summed, key=lambda hypothesis: -hypothesis.score)


_decoder: Decoder
"""A worker process's."""


def _begin_work(decoder: Decoder) -> None:
    global _decoder
    _decoder = decoder
    become_worker()


def become_worker() -> None:
    """From here on this process, a child of multiprocessing's, lives for its parent alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for us
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends a worker whose parent was killed: it would wait for work for ever, as the workers keep its pipe open."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(log_probabilities: NDArray[Any]) -> list[Hypothesis]:
    return _decoder.decode(log_probabilities)


def distinct(hypotheses: Sequence[Hypothesis], vocabulary: Vocabulary) -> dict[str, Hypothesis]:
    """The best hypothesis of each text; several differ in pronunciations or pauses only."""
    found: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        found.setdefault(text_of(hypothesis, vocabulary), hypothesis)
    return found


def text_of(hypothesis: Hypothesis, vocabulary: Vocabulary) -> str:
    """The words of a hypothesis, or what its tokens spell."""
    if hypothesis.words:
        return " ".join(word for word, _ in hypothesis.words if word)
    return vocabulary.decode(hypothesis.tokens)


def available_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_fit(path: Path, units: str, words: Sequence[str], vocabulary: Vocabulary) -> None:
    """Raises `ModelError` where a language model is not for texts such as the acoustic model writes."""
    if not words:
        raise ModelError(f"{path}: a language model of no words")
    if units == "characters":
        letters = {SPACE_IN_PIECES if letter == " " else letter for letter in set("".join(vocabulary.spellings[1:]))}
        if missing := sorted(letters.difference(words)):
            share, named = 1 - len(missing) / len(letters), " ".join(map(repr, missing[:5]))
            raise ModelError(
                f"{path}: a language model of characters that knows {share:.0%} of the model's {len(letters)}; "
                f"it lacks {named}{_hint(words)}"
            )
        return
    unfitting = [word for word in words if vocabulary.unknown(word)]
    share = 1 - len(unfitting) / max(len(words), 1)
    if share < LEAST_FITTING:
        foreign = sorted({letter for word in unfitting for letter in vocabulary.unknown(word)})
        raise ModelError(
            f"{path}: the model can spell {share:.1%} of its {len(words)} words, such as not {unfitting[0]!r}; "
            f"it has no {' '.join(map(repr, foreign[:5]))}{_hint(words)}"
        )


def _hint(words: Sequence[str]) -> str:
    upper = sum(word.isupper() for word in words) > len(words) / 2
    reason = "it is in upper case, the model in lower" if upper else "another alphabet"
    return f" ({reason}); 'asr lm train' makes one that fits"
