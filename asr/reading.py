"""From a model's log-probabilities to text: the best path or a beam search, the words with their times and confidence.

Shapes: T frames, V tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asr.alignment import Span, Word, align, greedy_spans, words, words_of_tokens
from asr.confidence import Calibration
from asr.decoder import DecodingConfig, distinct, text_of
from asr.errors import ModelError
from asr.lm.rescoring import Scored, Weights, rescore
from asr.search.prefix import Hypothesis
from asr.search.risk import expected_errors
from asr.text import Vocabulary
from asr.transcript import Alternative

NO_LETTERS = (
    "hears phones, not letters: greedy decoding gives no text; give a language model and a lexicon (--lm, --lexicon), "
    "or both once for all with 'asr tune'"
)


class SentenceModel(Protocol):
    """A language model that judges whole texts."""

    def score_sentences(self, texts: Sequence[str]) -> list[float]:
        """The natural log-probability of each text."""


class Decodes(Protocol):
    """A beam search: `asr.decoder.Decoder`, or one in another process."""

    config: DecodingConfig
    cores: int | None

    def decode_many(self, matrices: Sequence[NDArray[Any]]) -> list[list[Hypothesis]]: ...


@dataclass(frozen=True)
class Reading:
    """What a matrix says."""

    text: str
    words: tuple[Word, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    """The best texts, best first; none after greedy decoding."""


def joined(parts: Sequence[tuple[int, Reading]], frame_s: float, duration_s: float, nbest: int) -> Reading:
    """What a recording says that was read in parts, each with the frame at which it begins.

    The alternatives are the best of all ways to choose one for each part.
    """
    found = tuple(_later(word, start, frame_s, duration_s) for start, reading in parts for word in reading.words)
    best = [Alternative("", 0.0)]
    for _, reading in parts:
        ways = [
            Alternative(f"{a.text} {b.text}".strip(), a.score + b.score) for a in best for b in reading.alternatives
        ]
        best = sorted(ways, key=lambda way: -way.score)[:nbest]
    return Reading(" ".join(reading.text for _, reading in parts if reading.text), found, tuple(best))


def _later(word: Word, frames: int, frame_s: float, duration_s: float) -> Word:
    start_s, end_s = (min(time_s + frames * frame_s, duration_s) for time_s in (word.start_s, word.end_s))
    return replace(word, start_s=start_s, end_s=end_s)


def gone_over(
    texts: Sequence[Mapping[str, Hypothesis]], model: SentenceModel
) -> list[tuple[list[Scored], list[float]]]:
    """For each utterance its texts with their scores, and how likely a second language model finds each.

    All are scored at once, which is faster than one by one.

    Args:
        texts: Of each utterance, as `asr.decoder.distinct` gives them.
    """
    found = iter(model.score_sentences([text for by_text in texts for text in by_text]))
    lists = [[Scored(text, each.score, each.language) for text, each in by_text.items()] for by_text in texts]
    return [(scored, [*islice(found, len(scored))]) for scored in lists]


@dataclass
class Reader:
    """Reads the matrices of one model."""

    vocabulary: Vocabulary
    frame_s: float
    """Seconds from one row of a matrix to the next."""
    decoder: Decodes | None = None
    """None: greedy decoding."""
    second: SentenceModel | None = None
    """Goes over the decoder's best hypotheses, with its `rescoring_weight`."""
    calibration: Calibration = field(default_factory=Calibration)
    nbest: int = 1
    """How many alternatives a reading has at most."""

    def read(self, matrices: Sequence[NDArray[Any]], durations_s: Sequence[float]) -> list[Reading]:
        """What each matrix says.

        Args:
            matrices: Of shape (T, V), natural logarithms; T is 0 for a recording in which nothing can be heard.
            durations_s: Of their recordings; no word ends later.
        """
        if self.decoder is None:
            return [self._greedy(*pair) for pair in zip(matrices, durations_s, strict=True)]
        found = self.candidates(matrices)
        return [self._best(*each) for each in zip(matrices, durations_s, found, strict=True)]

    def check(self, model: str) -> None:
        """Raises `ModelError`, with the model's name, where reading cannot give text."""
        if self.decoder is None and not self.vocabulary.spells:
            raise ModelError(f"{model}: {NO_LETTERS}")

    def candidates(self, matrices: Sequence[NDArray[Any]]) -> list[list[Hypothesis]]:
        """The best hypotheses of each matrix by all that is known, best first; at least one each."""
        assert self.decoder is not None
        found = self.decoder.decode_many(matrices)
        if self.second is not None and self.decoder.config.rescoring_weight:
            found = self._rescored(found, self.second)
        return found if self.decoder.config.mbr_scale == 0 else [self._by_risk(hypotheses) for hypotheses in found]

    def _greedy(self, matrix: NDArray[Any], duration_s: float) -> Reading:
        if not self.vocabulary.spells:
            raise ModelError(f"the model {NO_LETTERS}")
        matrix = self.vocabulary.of_text(matrix)
        spans = greedy_spans(matrix)
        text = self.vocabulary.decode(span.token for span in spans)
        return Reading(text, self._calibrated(self._spelled(matrix, spans, duration_s)))

    def _best(self, matrix: NDArray[Any], duration_s: float, hypotheses: Sequence[Hypothesis]) -> Reading:
        best = hypotheses[0]
        matrix = self.vocabulary.of_phones(matrix) if best.words else self.vocabulary.of_text(matrix)
        spans = align(matrix, best.tokens)
        if best.words:
            found = words_of_tokens(matrix, spans, best.words, self.frame_s, duration_s)
        else:
            found = self._spelled(matrix, spans, duration_s) if spans else []
        shown = hypotheses[: self.nbest]
        alternatives = tuple(Alternative(self._text(hypothesis), hypothesis.score) for hypothesis in shown)
        return Reading(alternatives[0].text, self._calibrated(found), alternatives)

    def _rescored(self, lists: Sequence[Sequence[Hypothesis]], model: SentenceModel) -> list[list[Hypothesis]]:
        """Each list anew, by all that is known."""
        assert self.decoder is not None
        config = self.decoder.config
        weights = Weights(config.rescoring_weight, config.rescoring_word_score, config.rescoring_share)
        texts = [distinct(hypotheses, self.vocabulary) for hypotheses in lists]
        return [
            [replace(by_text[text], score=score) for text, score in rescore(scored, found, weights)]
            for by_text, (scored, found) in zip(texts, gone_over(texts, model), strict=True)
        ]

    def _by_risk(self, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
        """Those with the fewest word errors to be expected first, which are their scores from here on, negative."""
        assert self.decoder is not None
        scores = [hypothesis.score for hypothesis in hypotheses]
        errors = expected_errors([self._text(each) for each in hypotheses], scores, self.decoder.config.mbr_scale)
        return [replace(hypotheses[place], score=-float(errors[place])) for place in np.argsort(errors, kind="stable")]

    def _text(self, hypothesis: Hypothesis) -> str:
        return text_of(hypothesis, self.vocabulary)

    def _spelled(self, matrix: NDArray[Any], spans: Sequence[Span], duration_s: float) -> list[Word]:
        return words(matrix, spans, self.vocabulary.spellings, self.frame_s, duration_s)

    def _calibrated(self, found: Sequence[Word]) -> tuple[Word, ...]:
        confidences = self.calibration([word.confidence for word in found])
        pairs = zip(found, confidences.tolist(), strict=True)
        return tuple(replace(word, confidence=value, tokens=()) for word, value in pairs)  # spans of hours: 100s of MB
