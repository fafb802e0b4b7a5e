"""When each token and each word was said: from one matrix of log-probabilities to spans of frames and to seconds.

Shapes: T frames, V tokens, token 0 is the blank; S tokens of a text. A matrix is a NumPy array of natural logarithms.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asr.errors import DataError
from asr.progress import track
from asr.text import frames_needed

Matrix = NDArray[np.float32] | NDArray[np.float64]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

IMPOSSIBLE = -1e30
"""Stands for a logarithm of 0 in a matrix: so unlikely that any other path is taken, and yet a path."""

LONG_FRAMES = 20_000
"""An alignment of more frames takes seconds and shows a bar."""


@dataclass(frozen=True, slots=True)
class Span:
    """A token and the frames in which it is emitted: those of its peak, not all in which it sounds."""

    token: int
    start: int
    end: int
    """Exclusive."""
    log_probability: float
    """Natural; the mean of the token's over its frames."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A sound of a word and when it was made."""

    name: str
    start_s: float
    end_s: float
    confidence: float
    """The probability of the path through its frames."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it was said."""

    text: str
    start_s: float
    end_s: float
    confidence: float
    """From 0 to 1, not calibrated: the probability of the path through the word and the spaces on either side. It tells
    right words from wrong ones better than the mean or the least of the tokens' probabilities, or than entropies do.
    """
    tokens: tuple[Span, ...] = ()
    phones: tuple[Phone, ...] = ()
    """Those that it was aligned by."""


def greedy_spans(matrix: Matrix) -> list[Span]:
    """The tokens of the best path with their frames.

    Source: Graves et al. 2006, section 3.2 (best path decoding).

    Args:
        matrix: (T, V); T may be 0.
    """
    path: Integers = matrix.argmax(1) if len(matrix) else np.zeros(0, np.int64)
    return _spans(matrix, path, np.flatnonzero(np.diff(path, prepend=-1)))


def align(matrix: Matrix, tokens: Sequence[int]) -> list[Span]:
    """The frames of each token on the most likely path that spells exactly these tokens: CTC forced alignment.

    Exact, in memory of S * sqrt(T) numbers: scores are kept every sqrt(T) frames only, and on the way back those
    between are computed again, for the few states that the path can have come from.

    Args:
        matrix: (T, V).
        tokens: Without blanks; may be empty.

    Raises:
        DataError: The tokens need more frames than there are; gives both.

    Source: Graves et al. 2006, section 4.1 (the lattice), with the maximum in place of the sum; checkpoints as in
        Grice, Hughey and Speck 1997, Reduced space sequence alignment.
    """
    if (needed := frames_needed(tokens)) > len(matrix):
        raise DataError(f"text needs {needed} frames, the recording has {len(matrix)}")
    if not tokens:
        return []
    states = _best_states(np.maximum(matrix, IMPOSSIBLE), np.array(tokens), math.isqrt(len(matrix)) + 1)
    emitting = states % 2 == 1
    path = np.where(emitting, np.array(tokens)[(states - 1) // 2], 0)
    return _spans(matrix, path, np.flatnonzero(np.diff(states, prepend=-1)))


def words(
    matrix: Matrix, spans: Sequence[Span], spellings: Sequence[str], frame_s: float, duration_s: float
) -> list[Word]:
    """The words that the spans spell: each from its first token's first frame to the end of its last token's last.

    A word starts at or after the end of the one before. A peak is shorter than the sound that it stands for, so that
    a word seems to end a little early.

    Args:
        matrix: (T, V).
        spans: What `greedy_spans` or `align` gave for that matrix.
        spellings: What each token adds to a text, as `Vocabulary.spellings`; a space in front begins a word.
        frame_s: Seconds from one frame to the next, as `Recognizer.frame_s`.
        duration_s: Of the recording; the last frame may reach beyond it, and no word does.
    """
    sure = _log_probabilities(matrix, spans)
    found = []
    for tokens, begin, end in _words(spans, spellings):
        text = "".join(spellings[span.token] for span in tokens).strip()
        start_s, end_s = (min(frame * frame_s, duration_s) for frame in (tokens[0].start, tokens[-1].end))
        found.append(Word(text, start_s, end_s, math.exp(sure[begin:end].sum()), tuple(tokens)))
    return found


def words_of_tokens(
    matrix: Matrix,
    spans: Sequence[Span],
    counted: Sequence[tuple[str, int]],
    frame_s: float,
    duration_s: float,
) -> list[Word]:
    """The words that spans make where no token tells their ends: each is so many spans; an empty one is silence.

    Args:
        matrix, spans, frame_s, duration_s: As of `words`.
        counted: The words in their order, each with the number of its tokens.
    """
    sure = _log_probabilities(matrix, spans)
    found, place = [], 0
    for text, count in counted:
        tokens = tuple(spans[place : place + count])
        place += count
        if text:
            begin, end = tokens[0].start, tokens[-1].end
            start_s, end_s = (min(frame * frame_s, duration_s) for frame in (begin, end))
            found.append(Word(text, start_s, end_s, math.exp(sure[begin:end].sum()), tokens))
    return found


def phones_of(word: Word, names: Sequence[str], frame_s: float) -> tuple[Phone, ...]:
    """The sounds of a word, by its spans of phones; none ends later than the word."""
    return tuple(
        Phone(
            names[span.token],
            min(span.start * frame_s, word.end_s),
            min(span.end * frame_s, word.end_s),
            math.exp(span.log_probability * (span.end - span.start)),
        )
        for span in word.tokens
    )


def fit_score(matrix: Matrix, spans: Sequence[Span]) -> float:
    """How well a text fits a recording: near 1 when it is what the model hears, near 0 when it is another text.

    The likelihood of the aligned path over that of the best path of all, per token: the geometric mean of the factors
    that each token costs. Tokens are those of the text or of the best path, whichever has more, so that a text with
    words missing costs as one with words too many. 1 where the two paths are one; also for no text and nothing heard.

    Args:
        matrix: (T, V).
        spans: What `align` gave for that matrix.
    """
    best = matrix.max(1, initial=IMPOSSIBLE).astype(np.float64)
    lost = float((best - _log_probabilities(matrix, spans)).sum())
    return math.exp(-lost / max(1, len(spans), len(greedy_spans(matrix))))


def _spans(matrix: Matrix, path: Integers, starts: Integers) -> list[Span]:
    """The runs of a path, blank ones left out, that begin at `starts`."""
    if not len(path):
        return []
    ends = np.append(starts[1:], len(path))
    sums = np.add.reduceat(matrix[np.arange(len(path)), path].astype(np.float64), starts)
    runs = zip(path[starts].tolist(), starts.tolist(), ends.tolist(), (sums / (ends - starts)).tolist(), strict=True)
    return [Span(*run) for run in runs if run[0] != 0]


def _log_probabilities(matrix: Matrix, spans: Sequence[Span]) -> Floats:
    """(T,) those of the path that the spans and blanks between them make."""
    path = np.zeros(len(matrix), np.int64)
    for span in spans:
        path[span.start : span.end] = span.token
    return matrix[np.arange(len(matrix)), path].astype(np.float64)


def _words(spans: Sequence[Span], spellings: Sequence[str]) -> Iterator[tuple[list[Span], int, int]]:
    """The tokens of each word, and the frames (the end exclusive) of all that tells it: its spaces are among them."""
    tokens: list[Span] = []
    begin = spans[0].start if spans else 0
    for span in spans:
        is_space = not spellings[span.token].strip()
        if spellings[span.token].startswith(" "):
            if tokens:
                yield tokens, begin, span.end if is_space else tokens[-1].end
            tokens, begin = [], span.start
        if not is_space:
            tokens.append(span)
    if tokens:
        yield tokens, begin, tokens[-1].end


def _best_states(matrix: Matrix, tokens: Integers, block: int) -> Integers:
    """The state at each frame of the best path: 2n after n tokens, in a blank; 2n - 1 within the n-th token.

    Args:
        matrix: (T, V), finite.
        tokens: (S,), at least one, and not more than fit.
        block: Frames from one checkpoint to the next; any number gives the same.
    """
    frames, last = len(matrix), len(tokens)
    ids = np.append(0, tokens)
    doubled = np.where(np.diff(ids) == 0, -np.inf, 0.0)  # no way from a token straight to an equal one
    scores = np.full((2, last + 1), -np.inf)  # [0, n]: after n tokens, in a blank; [1, n]: within the n-th
    scores[0, 0] = 0.0
    checkpoints = []
    starts = range(0, frames, block)
    for start in track(starts, "aligning") if frames > LONG_FRAMES else starts:
        checkpoints.append(scores.copy())
        for frame in range(start, min(start + block, frames)):
            # States that can be reached by now, and from which the end can still be; and the one to their left.
            low, high = max(0, last - (frames - frame)), min(last, frame + 1) + 1
            _advance(scores[:, low:high], matrix[frame], ids[low + 1 : high], doubled[low : high - 1])
    states = np.empty(frames, np.int64)
    state = 2 * last - int(scores[1, last] > scores[0, last])
    for start in reversed(starts):
        length = min(block, frames - start)
        # In `length` frames the path has passed that many tokens at most; what the missing states further left would
        # have given the others does not get as far as the path.
        low, high = max(0, (state + 1) // 2 - length), (state + 1) // 2 + 1
        history = [checkpoints.pop()[:, low:high].copy()]
        for frame in range(start, start + length - 1):
            scores = history[-1].copy()
            _advance(scores, matrix[frame], ids[low + 1 : high], doubled[low : high - 1])
            history.append(scores)
        for frame in reversed(range(start, start + length)):
            states[frame] = state
            state = _before(history[frame - start], state, low, doubled)
    return states


def _advance(scores: Floats, frame: NDArray[np.floating], ids: Integers, doubled: Floats) -> None:
    """Moves the scores of n + 1 neighbouring states on by a frame; the first one's token is left as it is.

    Args:
        scores: (2, n + 1), changed in place.
        frame: (V,).
        ids: (n,) the tokens of all states but the first.
        doubled: (n,) 0, or minus infinity where such a token equals the one before it.
    """
    blank, token = scores
    entered = np.maximum(blank[:-1], token[:-1] + doubled)
    np.maximum(blank, token, out=blank)
    blank += frame[0]
    np.maximum(token[1:], entered, out=token[1:])
    token[1:] += frame[ids]


def _before(scores: Floats, state: int, low: int, doubled: Floats) -> int:
    """The state a frame earlier, by the scores that lead to it; `low` is the number of the first of them."""
    count = (state + 1) // 2
    here = count - low
    if state % 2 == 0:
        return state - int(scores[1, here] > scores[0, here])
    ways = (scores[1, here], scores[0, here - 1], scores[1, here - 1] + doubled[count - 1])
    return state - int(np.argmax(ways))
