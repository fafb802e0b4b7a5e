"""Which words of a dictionary a model learns from, and which it is held against.

Split by word, at random, as for most figures in print, `stopping` is in the test and `stopped` in training: what counts
as unseen has been seen. Here all forms of a word go together: a family are the words with the same crude stem. Prefixes
and compounds (`unstopped`, `doorstop`) are not told, so that even so the parts are not wholly apart.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Literal, get_args

from asr.lexicon.entries import Lexicon

Split = Literal["family", "word"]
Part = Literal["train", "dev", "test"]

SHARES: Mapping[Part, float] = {"test": 0.1, "dev": 0.02}
"""Of the families, or words; the rest is for training."""

ENDING = re.compile(r"(...)(?:able|ably|al|ed|er|est|ful|ing|ion|ish|ism|ist|ity|ive|ize|less|ly|ment|ness|or|s|ship)$")
"""What is taken from a word as often as three letters are left in front."""


def stem(word: str) -> str:
    """What the forms of a word have in common, and a few other words too; for telling families apart, not for reading.

    >>> {stem(word) for word in ("stop", "stops", "stop's", "stopped", "stopping", "stoppers")}
    {'stop'}
    >>> {stem(word) for word in ("bake", "bakes", "baked", "baking", "bakers'")}
    {'bak'}
    >>> {stem(word) for word in ("happy", "happier", "happily", "happiness")}
    {'hapi'}
    """
    core = word.replace("'", "")
    while (shorter := ENDING.sub(r"\1", core)) != core:
        core = shorter
    core = re.sub(r"(.)\1", r"\1", core)
    return re.sub(r"(..)e$", r"\1", re.sub(r"y$", "i", core))


def part_of(word: str, split: Split = "family", seed: int = 1) -> Part:
    """The part to which a word belongs, whatever other words there are."""
    name = stem(word) if split == "family" else word
    drawn = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8]) / 2**64
    for part, share in SHARES.items():
        if drawn < share:
            return part
        drawn -= share
    return "train"


def share_out(lexicon: Lexicon, split: Split = "family", seed: int = 1) -> dict[Part, Lexicon]:
    """The parts of a dictionary."""
    parts = {word: part_of(word, split, seed) for word in lexicon.entries}
    return {part: lexicon.only(word for word in parts if parts[word] == part) for part in get_args(Part)}
