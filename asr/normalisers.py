"""What is done to references and hypotheses alike before they are compared, by name: what a WER does not count.

Each takes a text and gives words with single spaces between, and changes nothing in what it has given itself.

>>> text = "Well, um, the Twenty-first centre won't cost $1,500 -- it's 10% off!"
>>> for name in NORMALISERS:
...     print(f"{name:8}{normaliser(name)(text)}")
none    Well, um, the Twenty-first centre won't cost $1,500 -- it's 10% off!
basic   well um the twenty first centre won't cost 1,500 it's 10 off
english well the twenty first center will not cost one thousand five hundred dollars it is ten percent off
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from asr.config import nearest
from asr.errors import ConfigError, DataError
from asr.spelling import american
from asr.spoken import ABBREVIATIONS, FRACTIONS, lost_letters, spoken
from asr.text import normalise

HESITATIONS = frozenset({"uh", "uhh", "uhm", "um", "umm", "er", "erm", "hm", "h'm", "hmm", "mm", "mmm", "mhm"})

BEFORE_IS = {"he", "she", "it", "that", "there", "here", "what", "who", "where", "when", "how", "why"}
"""Words after which `'s` is taken for "is"; after any other it may be a genitive, and is left."""
BEFORE_WOULD = {"i", "you", "he", "she", "it", "we", "they", "who", "that", "there"}
"""Words after which `'d` is taken for "would", though it may be "had"."""
BEFORE_NOT = {
    "are",
    "could",
    "dare",
    "did",
    "do",
    "does",
    "had",
    "has",
    "have",
    "is",
    "may",
    "might",
    "must",
    "need",
    "ought",
    "should",
    "was",
    "were",
    "would",
}
"""Words that `n't` follows; others that it makes are in `WORDS`."""
ENDINGS = {"re": "are", "ve": "have", "ll": "will"}
"""What they stand for after any word."""
WORDS = {
    "alright": "all right",
    "c'mon": "come on",
    "can't": "can not",
    "cannot": "can not",
    "dunno": "do not know",
    "gimme": "give me",
    "gonna": "going to",
    "gotta": "got to",
    "i'm": "i am",
    "kinda": "kind of",
    "lemme": "let me",
    "let's": "let us",
    "o": "oh",
    "ok": "okay",
    "pm": "p m",
    "sha'n't": "shall not",
    "shan't": "shall not",
    "sorta": "sort of",
    "tis": "it is",
    "twas": "it was",
    "twere": "it were",
    "twould": "it would",
    "wanna": "want to",
    "won't": "will not",
    "y'all": "you all",
}
"""Words with other forms of their own, as a single word looks after `spoken`."""

_INVISIBLE = dict.fromkeys(map(ord, "\N{SOFT HYPHEN}\N{WORD JOINER}\N{ZERO WIDTH NO-BREAK SPACE}\u200e\u200f"))
_APOSTROPHES = {ord(sign): "'" for sign in "\N{LEFT SINGLE QUOTATION MARK}\N{MODIFIER LETTER APOSTROPHE}"}
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_LONE = re.compile(r"''+|(?<!\d)[.,]|[.,](?!\d)")

_DIGIT = re.compile(r"\d")
_HOUR = re.compile(r"(?<![\d:])([01]?\d|2[0-3]):00\b(?!:)(\s*[ap]\.?m\b)?", re.IGNORECASE)
_MINUTES = re.compile(r"(?<![\d:])([01]?\d|2[0-3]):0([1-9])\b(?!:)")
_HALF_OF_DAY = re.compile(r"(?<=\d)\s*([ap])\.?m\b", re.IGNORECASE)
_MILLIMETRES = re.compile(r"(?<=\d)\s*mm\b")
_TODAY = re.compile(r"\b(to)-(day|night|morrow)\b", re.IGNORECASE)

_NUMBERS = """
    one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
    nineteen twenty thirty forty fifty sixty seventy eighty ninety first second third fourth fifth sixth seventh eighth
    ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
    thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth
"""
_AND = re.compile(
    rf"\b(hundred|thousand|million|billion|dollars?|pounds?|euros?) and (?=(?:{'|'.join(_NUMBERS.split())})\b)"
)


def none(text: str) -> str:
    """White space only: case, punctuation and the ways to write an accent are differences.

    >>> none("The  cat,\\tsat")
    'The cat, sat'
    """
    return " ".join(text.split())


def basic(text: str) -> str:
    """For any script: data preparation's lower case, composed form and plain apostrophes, and no punctuation.

    A sign becomes a space, hyphens too. What stays are letters with all their marks, digits, the point or comma between
    two digits, and apostrophes within words; numbers and symbols are not read out.

    >>> basic("DON'T -- 'well-known' Café №5, 3.5%...")
    "don't well known café no5 3.5"
    >>> basic("हिन्दी, «Что?» 日本語。")
    'हिन्दी что 日本語'
    """
    text = normalise(text.translate(_INVISIBLE))
    if not text.isascii():
        text = normalise(text).translate(_APOSTROPHES)  # a letter in lower case may combine with the mark behind it
    text = text.translate(_BASIC)
    words = [word.strip("'" + _JOINERS) for word in _LONE.sub(" ", text).split()]
    return " ".join(word for word in words if any(map(str.isalnum, word)))


def english(text: str) -> str:
    """English as it is said, each thing in one form.

    * Numbers, years, amounts, times, symbols and abbreviations in words, without punctuation and accents: `spoken`. The
      "and" within a number or an amount goes, as figures do not tell whether it was said.
    * Contractions in full: won't, I've, she'd (would), it's (is), let's, gonna, 'tis. A genitive keeps its 's.
    * American spelling: `american`; also okay (ok), oh (o), percent (per cent), today (to-day).
    * No hesitations: those of `HESITATIONS`, as uh and um; but uh-huh stays.

    An abbreviation that is spelled stays apart (U.S. is u s), and without periods is a word: US is the pronoun.

    Raises:
        DataError: There are letters or figures of another script, which would be lost; names them.

    >>> english("They'd arrive at 3:00 on the 21st, in the colour programme's 1990s; I can't, er, say.")
    "they would arrive at three o'clock on the twenty first in the color program's nineteen nineties i can not say"
    """
    if not text.isascii():
        text = text.translate(_APOSTROPHES)
        _refuse_other_scripts(text)
    if _DIGIT.search(text):
        text = _read_times(text)
    if "-" in text:
        text = _TODAY.sub(r"\1\2", text)
    words = _pairs(" ".join(word for word in _backchannels(spoken(text)).split() if word not in HESITATIONS)).split()
    return _AND.sub(r"\1 ", " ".join(map(_in_full, words)))


NORMALISERS: dict[str, Callable[[str], str]] = {"none": none, "basic": basic, "english": english}


def normaliser(name: str) -> Callable[[str], str]:
    """The one of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in NORMALISERS:
        raise ConfigError(f"no normaliser is called {name!r}{nearest(name, NORMALISERS)}")
    return NORMALISERS[name]


class _Basic(dict[int, str]):
    """For `str.translate`: a space for signs and controls, anything else as it is; worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = character in "'.," + _JOINERS or unicodedata.category(character)[0] not in "PSZ" + "C"
        self[code] = character if kept else " "
        return self[code]


_BASIC = _Basic()


def _refuse_other_scripts(text: str) -> None:
    lost = set(lost_letters(text))
    lost |= {sign for sign in normalise(text) if sign.isnumeric() and not sign.isascii() and sign not in FRACTIONS}
    if lost:
        named = " ".join(map(repr, sorted(lost)[:5])) + " ..." * (len(lost) > 5)
        raise DataError(f"normaliser 'english': {named} cannot be written in English: {text[:60]!r}; use 'basic'")


def _read_times(text: str) -> str:
    """Times of day as they are said, as far as `spoken` would read them digit by digit."""
    text = _HOUR.sub(lambda match: match[1] + (match[2] or " o'clock"), text)
    text = _MINUTES.sub(r"\1 oh \2", text)
    text = _HALF_OF_DAY.sub(r" \1 m", text)
    return _MILLIMETRES.sub(" millimeters", text)


def _backchannels(text: str) -> str:
    return re.sub(r"\buh huh\b", "uhhuh", text) if "uh huh" in text else text


def _pairs(text: str) -> str:
    if "per cent" in text:
        text = re.sub(r"\bper cent\b", "percent", text)
    return re.sub(r"\bo k\b", "okay", text) if "o k" in text else text


@lru_cache(100_000)
def _in_full(word: str) -> str:
    if word in WORDS:
        return WORDS[word]
    stem, apostrophe, ending = word.rpartition("'")
    if not apostrophe:
        return american(word)
    if ending == "s":
        return f"{stem} is" if stem in BEFORE_IS else american(word)
    if ending == "d" and stem in BEFORE_WOULD:
        return f"{stem} would"
    if ending == "t" and stem[-1:] == "n" and stem[:-1] in BEFORE_NOT:
        return f"{stem[:-1]} not"
    if ending in ENDINGS and stem not in HESITATIONS:
        return f"{_in_full(ABBREVIATIONS.get(stem, stem))} {ENDINGS[ending]}"
    return word
