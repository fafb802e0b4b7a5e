"""Spoken numbers, dates, times and amounts, said by espeak-ng: an hour of speech in seconds, and no download.

Formant speech: good for trying things out, no ground for a claim about the speech of people.
"""

import random
import re
from datetime import date
from pathlib import Path
from typing import Annotated

from annotated_types import Ge
from num2words import num2words

from asr.corpus import Corpus
from asr.manifest import Utterance
from asr.synthesis import Recording, Speech, write_speech_once

SAMPLE_RATE_HZ = 16_000

ACCENTS = (
    "en",  # British
    "en-029",  # Caribbean
    "en-gb-scotland",
    "en-gb-x-gbclan",  # Lancaster
    "en-gb-x-gbcwmd",  # West Midlands
    "en-gb-x-rp",
    "en-us",
    "en-us-nyc",
)

# espeak-ng's variants, picked by measuring: no whispers, croaks and robots, none that a recogniser made for people
# understands nothing of, and one of those that sound the same. Those that sound alike are in one split.
VARIANTS = {
    "train": (
        *("Alex", "Andy", "Annie", "Denis", "Diogo", "Hugo", "Mike", "anika", "announcer", "belinda", "benjamin"),
        *("edward", "f1", "f3", "grandpa", "john", "klatt", "klatt3", "klatt4", "linda", "m1", "m2", "m3", "m6"),
        *("max", "mike2", "pablo", "pedro"),
    ),
    "dev": ("Mario", "Storm", "grandma", "m8", "steph"),
    "test": ("Gene", "Reed", "aunty", "f2", "f4", "f5", "m5", "m7", "sandro", "victor"),
}

WORDS_PER_MINUTE = (120, 220)
PITCH = (20, 80)
NOISE_SNR_DB = (15.0, 40.0)
CLEAN_SHARE = 0.2
WORDS = (3, 6)
"""Phrases are joined until there are so many words, drawn anew for each sentence..."""
MOST_WORDS = 10
"""...and with more than these it is drawn again."""
SHORT_WORDS = 3
"""What is this short may stand in the training and the test data both."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
CURRENCIES = (("dollar", "dollars", "cent", "cents"), ("pound", "pounds", "penny", "pence"))
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2039, 12, 31)


def prepare(
    corpus: Corpus,
    *,
    seed: int = 1,
    train_utterances: Annotated[int, Ge(1)] = 1500,
    dev_utterances: Annotated[int, Ge(1)] = 150,
    test_utterances: Annotated[int, Ge(1)] = 400,
) -> dict[str, list[Utterance]]:
    """The splits `train`, `dev` and `test`, whose voices differ; the audio goes to `made`, unless it is there already.

    The dev and test data depend on the seed and their own size only.

    Raises:
        AsrError: The extra `asr[synth]` is missing, or the audio cannot be written.
    """
    counts = {"test": test_utterances, "dev": dev_utterances, "train": train_utterances}
    splits: dict[str, list[Utterance]] = {}
    held_out: set[str] = set()
    for split, count in counts.items():
        splits[split] = _prepare_split(split, count, random.Random(f"{seed} {split}"), held_out, corpus.made / split)
        held_out |= {utterance.text for utterance in splits[split] if len(utterance.text.split()) > SHORT_WORDS}
    return {split: splits[split] for split in ("train", "dev", "test")}


def _prepare_split(
    split: str, count: int, generator: random.Random, held_out: set[str], folder: Path
) -> list[Utterance]:
    recordings = []
    for index in range(count):
        voice = f"{generator.choice(ACCENTS)}+{VARIANTS[split][index % len(VARIANTS[split])]}"
        text = _new_sentence(generator, held_out)
        speech = Speech(text, voice, generator.randint(*WORDS_PER_MINUTE), generator.randint(*PITCH))
        noise_snr_db = None if generator.random() < CLEAN_SHARE else generator.uniform(*NOISE_SNR_DB)
        path = folder / f"{split}-{index:05d}.flac"
        recordings.append(Recording(speech, path, noise_snr_db, generator.getrandbits(32)))
    durations_s = write_speech_once(recordings, SAMPLE_RATE_HZ, folder / "made.json")
    return [
        Utterance(r.path.stem, r.path, _transcript(r.speech.text), r.speech.voice, duration_s=duration_s)
        for r, duration_s in zip(recordings, durations_s, strict=True)
    ]


def _new_sentence(generator: random.Random, held_out: set[str]) -> str:
    """A sentence as espeak-ng is to read it, whose transcript is not held out."""
    while True:
        words, phrases = generator.randint(*WORDS), []
        while len(_transcript(" ".join(phrases)).split()) < words:
            [phrase] = generator.choices(PHRASES, WEIGHTS)
            phrases.append(phrase(generator))
        sentence = ", ".join(phrases)
        transcript = _transcript(sentence)
        if len(transcript.split()) <= MOST_WORDS and transcript not in held_out:
            return sentence


def _transcript(spoken: str) -> str:
    """The words alone.

    >>> _transcript("half past nine, ten a.m.")
    'half past nine ten a m'
    """
    return " ".join(re.findall("[a-z']+", spoken))


def _words(number: int, kind: str = "cardinal") -> str:
    """A number as num2words spells it out: a `cardinal`, an `ordinal` or a `year`."""
    return _transcript(num2words(number, to=kind))


def _decimal(number: str) -> str:
    whole, digits = number.split(".")
    return f"{_words(int(whole))} point {_digits(digits)}"


def _digits(digits: str, zero: str = "zero") -> str:
    return " ".join(DIGITS[int(digit)] if digit != "0" else zero for digit in digits)


def _time(hour: int, minute: int) -> str:
    """On a clock face; the hour is 1 to 12."""
    if minute == 0:
        return f"{_words(hour)} o'clock"
    side = "past"
    if minute > 30:
        hour, minute, side = hour % 12 + 1, 60 - minute, "to"
    minutes = {15: "quarter", 30: "half"}.get(minute) or _words(minute)
    return f"{minutes} {side} {_words(hour)}"


def _time_in_figures(hour: int, minute: int) -> str:
    """As a timetable has it; the hour is 0 to 23. Written `a.m.`, which espeak-ng spells, unlike `a m`."""
    minutes = [f"oh {_words(minute)}" if minute < 10 else _words(minute)] if minute else []
    return " ".join([_words((hour - 1) % 12 + 1), *minutes, "a.m." if hour < 12 else "p.m."])


def _date(day: date, month_first: bool, weekday: bool, year: bool) -> str:
    ordinal, month = _words(day.day, "ordinal"), MONTHS[day.month - 1]
    parts = [WEEKDAYS[day.weekday()]] if weekday else []
    parts.append(f"{month} {ordinal}" if month_first else f"the {ordinal} of {month}")
    return " ".join([*parts, *([_words(day.year, "year")] if year else [])])


def _amount(units: int, hundredths: int, currency: tuple[str, str, str, str]) -> str:
    one_unit, many_units, one_hundredth, many_hundredths = currency
    amount = f"{_words(units)} {one_unit if units == 1 else many_units}"
    if hundredths:
        amount += f" and {_words(hundredths)} {one_hundredth if hundredths == 1 else many_hundredths}"
    return amount


def _draw_number(generator: random.Random) -> str:
    words = _words(_draw_magnitude(generator, 6))
    return words.replace(" and ", " ") if generator.random() < 0.3 else words


def _draw_magnitude(generator: random.Random, digits: int) -> int:
    """From 0 to `10 ** digits - 1`, as many of each number of digits."""
    return round(10 ** generator.uniform(0, digits)) - 1


def _draw_decimal(generator: random.Random) -> str:
    whole, places = _draw_magnitude(generator, 3), generator.randint(1, 4)
    return _decimal(f"{whole}.{generator.randrange(10**places):0{places}d}")


def _draw_digits(generator: random.Random) -> str:
    """Three or four at a time, as telephone numbers are read."""
    zero = generator.choice(("zero", "oh"))
    groups = [generator.randint(3, 4) for _ in range(generator.randint(1, 3))]
    return ", ".join(_digits(f"{generator.randrange(10**size):0{size}d}", zero) for size in groups)


def _draw_time(generator: random.Random) -> str:
    if generator.random() < 0.5:
        return _time(generator.randint(1, 12), generator.randrange(0, 60, 5))
    return _time_in_figures(generator.randrange(24), generator.randrange(60))


def _draw_date(generator: random.Random) -> str:
    day = date.fromordinal(generator.randint(FIRST_DAY.toordinal(), LAST_DAY.toordinal()))
    return _date(day, *(generator.random() < share for share in (0.5, 0.3, 0.7)))


def _draw_ordinal(generator: random.Random) -> str:
    return f"the {_words(generator.randint(1, 100), 'ordinal')}"


def _draw_amount(generator: random.Random) -> str:
    hundredths = generator.randrange(100) if generator.random() < 0.6 else 0
    return _amount(_draw_magnitude(generator, 4), hundredths, generator.choice(CURRENCIES))


PHRASES = (_draw_number, _draw_date, _draw_time, _draw_digits, _draw_decimal, _draw_amount, _draw_ordinal)
WEIGHTS = (3, 2, 2, 1, 1, 1, 1)
"""How often each kind of phrase is drawn."""
