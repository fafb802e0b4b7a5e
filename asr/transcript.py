"""What was said in a recording: text, words with their times and confidence, alternatives."""

from dataclasses import dataclass

from asr.alignment import Word
from asr.errors import AsrError


@dataclass(frozen=True)
class Alternative:
    """A text that may have been said, and how likely it is next to the others."""

    text: str
    score: float
    """Natural log units: acoustic model, language models and word scores together. Where the text is chosen by minimum
    Bayes risk (`decoding.mbr_scale`), the word errors to be expected, negative.
    """


@dataclass(frozen=True)
class Transcript:
    """What was said in one recording, or why it could not be read."""

    source: str
    text: str
    duration_s: float
    error: AsrError | None = None
    words: tuple[Word, ...] = ()
    """With their times and confidence."""
    alternatives: tuple[Alternative, ...] = ()
    """The best texts of a beam search, best first; none after greedy decoding."""
    model: str = ""
    """The folder of the model that heard it."""
