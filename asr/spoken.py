"""Written text as it would be read aloud, in the letters that transcripts are written in."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from asr.text import normalise

ABBREVIATIONS = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint"}
LETTERS = {"æ": "ae", "œ": "oe", "ß": "ss", "ø": "o", "ð": "d", "þ": "th", "đ": "d", "ħ": "h", "ł": "l"}
"""Letters that Unicode does not take apart, in those of English."""
CURRENCIES = {"$": ("dollar", "dollars", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence")} | {
    "€": ("euro", "euros", "cent", "cents")
}
SYMBOLS = {"&": " and ", "%": " percent ", "°": " degrees "}
FRACTIONS = {"½": "a half", "¼": "a quarter", "¾": "three quarters"}
FIRST_YEAR, LAST_YEAR = 1100, 2099
"""Four digits in this range, without a comma, are read as a year."""
MOST_DIGITS = 15
"""A longer number is read digit by digit."""

_SPECIAL = re.compile(r"[0-9&%°½¼¾]")
_FRACTION = re.compile(r"([0-9]?)([½¼¾])")
_NUMBER = re.compile(
    r"(?P<before>[$£€]|\b[Nn]o\. ?)?"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?P<decimals>\.[0-9]+)?"
    r"(?P<after>(?:st|nd|rd|th|'?s)\b| (?:hundred|thousand|million|billion)\b)?",
    re.IGNORECASE,
)
_OUTER_APOSTROPHES = re.compile(r"(?<!\w)'+|'+(?!\w)|(?<=')'+")


def spoken(text: str, alphabet: Iterable[str] = " 'abcdefghijklmnopqrstuvwxyz") -> str:
    """A text as it is said: numbers and common abbreviations in words, lower case, no punctuation, single spaces.

    Apostrophes stay within words. Accents that the alphabet lacks go, and so does every character that cannot be
    written in its letters: `lost_letters` tells which.

    >>> spoken("Mrs. Brown's café -- No. 5 -- made £1,000 in 1856!")
    "missus brown's cafe number five made one thousand pounds in eighteen fifty six"
    """
    if not text.isascii():
        text = _FRACTION.sub(_say_fraction, text)
        text = normalise(text)
    if _SPECIAL.search(text):
        text = _NUMBER.sub(_say_number, text)
        for symbol, words in SYMBOLS.items():
            text = text.replace(symbol, words)
    text = text.translate(_table("".join(alphabet)))
    if "'" in text:
        text = _OUTER_APOSTROPHES.sub("", text)
    return " ".join([ABBREVIATIONS.get(word, word) for word in text.split()])


def lost_letters(text: str, alphabet: Iterable[str] = " 'abcdefghijklmnopqrstuvwxyz") -> Counter[str]:
    """The letters of a text that `spoken` leaves out, such as those of another script, and how often each."""
    table = _table("".join(alphabet))
    if text.isascii() and table.has_ascii_letters:
        return Counter()
    counts = Counter(normalise(text))
    return Counter(
        {letter: count for letter, count in counts.items() if letter.isalpha() and table[ord(letter)] == " "}
    )


class _Table(dict[int, str]):
    """For `str.translate`: what becomes of a character, worked out when it is first met."""

    def __init__(self, alphabet: str) -> None:
        self._alphabet = set(alphabet)
        self.has_ascii_letters = self._alphabet.issuperset("abcdefghijklmnopqrstuvwxyz")

    def __missing__(self, code: int) -> str:
        self[code] = self._replace(chr(code).lower())
        return self[code]

    def _replace(self, character: str) -> str:
        if self._alphabet.issuperset(character):
            return character
        if character in "_'" or unicodedata.combining(character[0]):
            return ""
        decomposed = unicodedata.normalize("NFKD", LETTERS.get(character, character))
        plain = "".join(LETTERS.get(part, part) for part in decomposed if not unicodedata.combining(part))
        return plain if plain and self._alphabet.issuperset(plain) else " "


@lru_cache
def _table(alphabet: str) -> _Table:
    return _Table(alphabet)


def _say_fraction(match: re.Match[str]) -> str:
    digit, fraction = match.groups()
    return f"{digit} and {FRACTIONS[fraction]}" if digit else FRACTIONS[fraction]


def _say_number(match: re.Match[str]) -> str:
    before, whole, decimals, after = match.group("before", "whole", "decimals", "after")
    return _number_words((before or "").lower(), whole, decimals or "", (after or "").lower().lstrip("'"))


@lru_cache(100_000)
def _number_words(before: str, whole: str, decimals: str, after: str) -> str:
    if before in CURRENCIES:
        words = _amount(before, whole, decimals, after)
    elif after in ("st", "nd", "rd", "th") and not decimals and len(whole) <= MOST_DIGITS:
        words = _in_words(int(whole.replace(",", "")), "ordinal")
    else:
        words = _cardinal(whole) if decimals else _year_or_cardinal(whole)
        if decimals:
            words += f" point {_digits(decimals[1:])}"
        words = _plural(words) if after == "s" else f"{words} {after}"
    return f" number {words} " if before.startswith("no") else f" {words} "


def _amount(sign: str, whole: str, decimals: str, after: str) -> str:
    one, many, small_one, small_many = CURRENCIES[sign]
    if after.startswith(" "):
        fraction = f" point {_digits(decimals[1:])}" if decimals else ""
        return f"{_cardinal(whole)}{fraction}{after} {many}"
    words = f"{_cardinal(whole)} {one if whole == '1' else many}"
    if len(decimals) == len(".50"):
        words += f" and {_cardinal(decimals[1:].lstrip('0') or '0')} {small_one if decimals == '.01' else small_many}"
    elif decimals:
        words = f"{_cardinal(whole)} point {_digits(decimals[1:])} {many}"
    return words


def _year_or_cardinal(whole: str) -> str:
    if len(whole) == 4 and whole.isdigit() and FIRST_YEAR <= int(whole) <= LAST_YEAR:
        return _in_words(int(whole), "year")
    return _cardinal(whole)


def _cardinal(whole: str) -> str:
    number = whole.replace(",", "")
    if len(number) > MOST_DIGITS or (number.startswith("0") and number != "0"):
        return _digits(number)
    return _in_words(int(number))


def _digits(digits: str) -> str:
    return " ".join(_in_words(int(digit)) for digit in digits)


def _in_words(number: int, form: str = "cardinal") -> str:
    from num2words import num2words  # here, as it loads all its languages

    return str(num2words(number, to=form))


def _plural(words: str) -> str:
    """>>> _plural("eighteen forty")
    'eighteen forties'
    """
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")
