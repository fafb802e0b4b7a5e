"""Beam search by flashlight-text: what `asr.search.prefix` and `asr.search.fusion` do, in C++.

Scores mean the same in both, so that weights found with one serve the other. How flashlight is brought to it:

* KenLM's logarithms are to base 10; the weight carries the factor.
* flashlight knows no weight per word without a lexicon, and no hotwords: a scorer of ours stands on top of its model.
* A word of characters is spelled with the space behind it, and a frame that is surely a space follows the recording.
* At a word's end flashlight starts anew, and the word's last token cannot go on for a second frame. Where words end in
  pieces or phones, tokens have further columns, in which they last (see `asr.search.layout.RunOnLayout`).
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from importlib.util import find_spec
from math import inf, log
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.errors import AsrError, ModelError
from asr.lm.compact import is_compact, read_compact
from asr.lm.kenlm import kenlm_file
from asr.search.fusion import CharacterFusion, with_hotwords
from asr.search.hotwords import Hotwords, Matches
from asr.search.layout import FLOOR, Layout, TokenLayout, layout_of_words
from asr.search.prefix import BLANK_ID, Hypothesis, check_matrix
from asr.text import SPACE_IN_PIECES, Vocabulary

SCORE_THRESHOLD = 50.0
"""How far, in natural log units, below the best of its frame a hypothesis may lie and still be kept."""
TOKENS_PER_FRAME = 50
"""How many of a frame's tokens are tried, the likeliest; more than a vocabulary of characters has."""


def installed() -> bool:
    try:
        return find_spec("flashlight.lib.text") is not None
    except ModuleNotFoundError:
        return False


class Flashlight:
    """A search that is set up once and then decodes one matrix after another.

    With a lexicon the language model is one of words and no other words are heard. Without, it is one of characters, in
    which the space is written `▁`; or there is none.

    One decoder works for one thread at a time, and keeps the GIL. It starts no threads, so that a process may be forked
    after it was made, and each child decode with its copy.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        beam: int,
        language_model: Path | None = None,
        lexicon: Iterable[str] | None = None,
        lm_weight: float = 1.0,
        word_score: float = 0.0,
        hotwords: Mapping[str, float] | None = None,
        nbest: int = 1,
        score_threshold: float = SCORE_THRESHOLD,
        tokens_per_frame: int = TOKENS_PER_FRAME,
        log_add: bool = True,
    ) -> None:
        """
        Args:
            beam: How many hypotheses are kept after each frame.
            language_model: ARPA, gzipped or not, our compact form, or KenLM's binary one.
            lexicon: The words allowed; those of the hotwords are added.
            lm_weight, word_score, hotwords: As in `asr.search.fusion`.
            tokens_per_frame: How many of a frame's tokens are tried, the likeliest. Without a lexicon, but with
                hotwords or a word score, time is proportional to it, for each try calls Python.
            log_add: Sum the paths of a hypothesis; else its best path counts.

        Raises:
            AsrError: flashlight-text is not installed.
            ConfigError: A lexicon, and tokens that know no space.
            DataError: A word has characters outside the alphabet.
            ModelError: The language model cannot be read; names the file.
        """
        self._nbest = nbest
        text = decoders()
        hotwords = hotwords or {}
        path = language_model if lm_weight else None
        weight = lm_weight * log(10) if path else 1.0
        self._weight = weight if path else 0.0
        common = {
            "beam_size": beam,
            "beam_threshold": score_threshold,
            "lm_weight": weight,
            "sil_score": 0.0,
            "log_add": log_add,
            "criterion_type": text.CriterionType.CTC,
        }
        if lexicon is None:
            self._layout: Layout = TokenLayout()
            fusion = {"lm_weight": lm_weight, "word_score": word_score, "hotwords": hotwords}
            self._model = _token_model(text, vocabulary, path, weight, fusion)
            options = text.LexiconFreeDecoderOptions(beam_size_token=tokens_per_frame, **common)
            self._decoder = text.LexiconFreeDecoder(options, self._model, BLANK_ID, BLANK_ID, [])
        else:
            self._layout = layout_of_words(vocabulary)
            words = with_hotwords(lexicon, hotwords)
            self._model = word_model(text, words, path, weight, hotwords)
            options = text.LexiconDecoderOptions(
                beam_size_token=tokens_per_frame * self._layout.columns_per_token,
                word_score=word_score,
                unk_score=-inf,
                **common,
            )
            trie = (
                _trie(vocabulary, words, self._model)
                if hotwords
                else _plain_trie(vocabulary, tuple(words), path, changed_ns(path))
            )
            no_word, of_tokens = -1, False
            self._decoder = text.LexiconDecoder(
                options, trie, self._model, self._layout.silence, BLANK_ID, no_word, [], of_tokens
            )

    def decode(self, log_probabilities: NDArray[Any]) -> list[Hypothesis]:
        """The likeliest token sequences, best first; at least one, at most `nbest`.

        In words a space stands between two of them and nowhere else. Where no kept hypothesis is at a word's end, the
        unfinished ones are returned.

        Args:
            log_probabilities: (T, V), natural logarithms; T may be 0.

        Raises:
            DataError: NaN, or a frame in which no token is possible; names the frame.
        """
        matrix = np.maximum(check_matrix(log_probabilities), FLOOR)
        emissions = np.ascontiguousarray(self._layout.emissions(matrix), dtype=np.float32)
        best: dict[tuple[int, ...], Hypothesis] = {}
        for result in self._decoder.decode(emissions.ctypes.data, *emissions.shape):
            columns = result.tokens[1:-1]  # flashlight's own begin and end
            tokens = self._layout.tokens(columns)
            score = result.score + self._layout.correction(columns)
            best.setdefault(tokens, Hypothesis(tokens, score, language=self._weight * result.lmScore))
            if len(best) == self._nbest:
                break
        return [*best.values()]


@lru_cache(maxsize=2)
def _plain_trie(vocabulary: Vocabulary, words: tuple[str, ...], path: Path | None, changed_ns: int) -> Any:
    """The lexicon's tree; the last ones stay in memory, as those of `kenlm` do."""
    return _trie(vocabulary, words, kenlm(path, words) if path else decoders().ZeroLM())


def _trie(vocabulary: Vocabulary, words: Sequence[str], model: Any) -> Any:
    """The spellings of all words, each beginning with the score of the likeliest word that begins so."""
    text, layout = decoders(), layout_of_words(vocabulary)
    trie = text.Trie(layout.columns_per_token * len(vocabulary) + 1, layout.silence)
    anywhere = model.start(True)
    for number, word in enumerate(words):
        _, score = model.score(anywhere, number)
        for columns in layout.spelled(vocabulary.encode(word)):
            trie.insert(columns, number, score)
    trie.smear(text.SmearingMode.MAX)
    return trie


def _token_model(
    text: ModuleType, vocabulary: Vocabulary, path: Path | None, weight: float, fusion: Mapping[str, Any]
) -> Any:
    """What scores a hypothesis's tokens."""
    spellings = vocabulary.spellings
    if path and vocabulary.sentencepiece is not None:  # a token is more than one of the model's characters
        characters = sorted(set("".join(spellings[1:])))
        model = _Characters(kenlm(path, _characters_of_model(characters)), characters)
        return _with_scorer(text, text.ZeroLM(), CharacterFusion(spellings, model, **fusion), weight)
    inner = kenlm(path, _characters_of_model(spellings)) if path else text.ZeroLM()
    if not fusion["hotwords"] and not fusion["word_score"]:
        return inner
    return _with_scorer(text, inner, CharacterFusion(spellings, None, **fusion), weight)


def word_model(
    text: ModuleType, words: Sequence[str], path: Path | None, weight: float, hotwords: Mapping[str, float]
) -> Any:
    """What scores a hypothesis's words; a word is its number in `words`."""
    inner = kenlm(path, tuple(words)) if path else text.ZeroLM()
    return _with_scorer(text, inner, _WordBonuses(words, hotwords), weight) if hotwords else inner


class _WordBonuses:
    """Hotwords' bonuses for words, by their numbers: a scorer whose tokens are words."""

    def __init__(self, words: Sequence[str], hotwords: Mapping[str, float]) -> None:
        self._words = words
        self._hotwords = Hotwords(hotwords)

    def start(self) -> Matches:
        return self._hotwords.start()

    def extend(self, matches: Matches, word: int) -> tuple[Matches, float]:
        return self._hotwords.step_word(matches, self._words[word])

    def finish(self, matches: Matches) -> float:
        return self._hotwords.finish(matches)


class _Characters:
    """KenLM as a language model of ours."""

    def __init__(self, model: Any, characters: Sequence[str]) -> None:
        self._model = model
        self.ids = {name: number for number, name in enumerate(_characters_of_model(characters))}

    def start(self) -> Any:
        return self._model.start(False)

    def score(self, state: Any, word: str) -> tuple[Any, float]:
        state, logarithm = self._model.score(state, self.ids[word])
        return state, logarithm * log(10)

    def finish(self, state: Any) -> float:
        logarithm: float = self._model.finish(state)[1]
        return logarithm * log(10)


def _characters_of_model(characters: Iterable[str]) -> tuple[str, ...]:
    return tuple(SPACE_IN_PIECES if character == " " else character for character in characters)


def _with_scorer(text: ModuleType, model: Any, scorer: CharacterFusion | _WordBonuses, weight: float) -> Any:
    """A model that adds to flashlight's `model`, which will be weighted with `weight`, what a scorer of ours says.

    flashlight's states are the nodes of a tree of all that was heard, the same object for the same history as long as
    somebody holds it: so they can be keys.
    """

    class Sum(text.LM):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self._ours: dict[Any, Any] = {}

        def start(self, start_with_nothing: bool) -> Any:
            state = model.start(start_with_nothing)
            self._ours = {state: scorer.start()}
            return state

        def score(self, state: Any, number: int) -> tuple[Any, float]:
            after, score = model.score(state, number)
            self._ours[after], added = scorer.extend(self._ours[state], number)
            return after, score + added / weight

        def finish(self, state: Any) -> tuple[Any, float]:
            after, score = model.finish(state)
            return after, score + scorer.finish(self._ours[state]) / weight

    return Sum()


def decoders() -> ModuleType:
    """flashlight's.

    Raises:
        AsrError: It is not installed.
    """
    if not installed():
        raise AsrError("this search needs flashlight-text, which is for Python up to 3.12: pip install flashlight-text")
    import flashlight.lib.text.decoder

    return flashlight.lib.text.decoder  # type: ignore[no-any-return]


def kenlm(path: Path, words: tuple[str, ...]) -> Any:
    """The model in a file, which knows words by their numbers; the last ones stay in memory."""
    return _kept_kenlm(path, changed_ns(path), words)


def changed_ns(path: Path | None) -> int:
    """When a file was last written, so that one written anew is read anew; KenLM complains of one that is not there."""
    return path.stat().st_mtime_ns if path and path.exists() else 0


@lru_cache(maxsize=2)
def _kept_kenlm(path: Path, changed_ns: int, words: tuple[str, ...]) -> Any:
    """The model; the last ones stay in memory, for searches that differ in their weights only."""
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    binary = kenlm_file(read_compact(path)) if is_compact(path) else nullcontext(path)
    try:
        with binary as readable, _no_stderr():
            return KenLM(str(readable), Dictionary(words))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{path}: not a language model that KenLM can read ({reason})") from error


@contextmanager
def _no_stderr() -> Iterator[None]:
    """KenLM draws a bar of its own on the file descriptor of stderr; here it does not."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
