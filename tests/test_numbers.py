import importlib.util
import itertools
import random
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

pytest.importorskip("espeakng_loader")
pytest.importorskip("num2words")

from asr.files import digest
from asr.manifest import Utterance
from asr.synthesis import Speech, synthesise

RECIPE = Path(__file__).parent.parent / "recipes" / "numbers" / "prepare.py"


def load_recipe():
    spec = importlib.util.spec_from_file_location("numbers_recipe", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


numbers = load_recipe()


def prepare(folder: Path, seed: int = 1, train: int = 12, dev: int = 4, test: int = 8) -> dict[str, list[Utterance]]:
    sizes = {"train_utterances": train, "dev_utterances": dev, "test_utterances": test}
    return numbers.prepare(SimpleNamespace(made=folder), seed=seed, **sizes)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, list[Utterance]]:
    return prepare(tmp_path_factory.mktemp("made"))


@pytest.mark.parametrize(
    ("number", "kind", "spoken"),
    [
        (0, "cardinal", "zero"),
        (21, "cardinal", "twenty one"),
        (342, "cardinal", "three hundred and forty two"),
        (1_001, "cardinal", "one thousand and one"),
        (999_999, "cardinal", "nine hundred and ninety nine thousand nine hundred and ninety nine"),
        (12, "ordinal", "twelfth"),
        (22, "ordinal", "twenty second"),
        (1900, "year", "nineteen hundred"),
        (1905, "year", "nineteen oh five"),
        (1984, "year", "nineteen eighty four"),
        (2006, "year", "two thousand and six"),
        (2019, "year", "twenty nineteen"),
    ],
)
def test_numbers(number, kind, spoken):
    assert numbers._words(number, kind) == spoken


@pytest.mark.parametrize(
    ("hour", "minute", "spoken"),
    [
        (7, 0, "seven o'clock"),
        (9, 30, "half past nine"),
        (5, 45, "quarter to six"),
        (6, 15, "quarter past six"),
        (10, 40, "twenty to eleven"),
        (12, 55, "five to one"),
        (12, 25, "twenty five past twelve"),
    ],
)
def test_times(hour, minute, spoken):
    assert numbers._time(hour, minute) == spoken


@pytest.mark.parametrize(
    ("hour", "minute", "spoken"),
    [
        (22, 45, "ten forty five p m"),
        (0, 0, "twelve a m"),
        (12, 5, "twelve oh five p m"),
        (11, 59, "eleven fifty nine a m"),
        (13, 10, "one ten p m"),
    ],
)
def test_times_in_figures(hour, minute, spoken):
    assert numbers._transcript(numbers._time_in_figures(hour, minute)) == spoken


@pytest.mark.parametrize(
    ("day", "form", "spoken"),
    [
        (date(1984, 7, 4), (False, False, True), "the fourth of july nineteen eighty four"),
        (date(1984, 7, 4), (False, True, False), "wednesday the fourth of july"),
        (date(2006, 3, 22), (True, False, True), "march twenty second two thousand and six"),
        (date(2000, 2, 29), (True, True, True), "tuesday february twenty ninth two thousand"),
    ],
)
def test_dates(day, form, spoken):
    assert numbers._date(day, *form) == spoken


def test_decimals_digits_and_amounts():
    dollars, pounds = numbers.CURRENCIES
    assert numbers._decimal("3.14") == "three point one four"
    assert numbers._decimal("0.05") == "zero point zero five"
    assert numbers._digits("041") == "zero four one"
    assert numbers._digits("041", "oh") == "oh four one"
    assert numbers._amount(23, 50, dollars) == "twenty three dollars and fifty cents"
    assert numbers._amount(1, 1, pounds) == "one pound and one penny"
    assert numbers._amount(0, 0, pounds) == "zero pounds"


def test_sentences_keep_to_the_alphabet_and_the_length_and_out_of_what_is_held_out():
    generator = random.Random(5)
    drawn = [numbers._transcript(numbers._new_sentence(generator, set())) for _ in range(500)]
    assert set("".join(drawn)) <= set("abcdefghijklmnopqrstuvwxyz' ")
    words = [len(text.split()) for text in drawn]
    assert min(words) == 3
    assert max(words) == numbers.MOST_WORDS
    generator = random.Random(5)
    again = {numbers._transcript(numbers._new_sentence(generator, set(drawn))) for _ in range(500)}
    assert not again & set(drawn)


def test_numbers_reach_from_zero_to_a_million_and_most_are_small():
    generator = random.Random(5)
    drawn = sorted(numbers._draw_magnitude(generator, 6) for _ in range(20_000))
    assert drawn[0] == 0
    assert 900_000 < drawn[-1] <= 999_999
    assert 900 < drawn[10_000] < 1_100


def test_no_voice_is_heard_in_two_splits():
    sets = [set(names) for names in numbers.VARIANTS.values()]
    assert [len(names) for names in sets] == [28, 5, 10]
    assert sum(len(names) for names in numbers.VARIANTS.values()) == len(set.union(*sets)) == 43


def test_no_voice_sounds_like_one_of_another_split():
    # In nepers; espeak-ng's near copies, such as steph2 of steph, differ by less than 0.4.
    spectra = {split: [spectrum(variant) for variant in names] for split, names in numbers.VARIANTS.items()}
    for one, other in itertools.combinations(spectra.values(), 2):
        assert min(distance(a, b) for a in one for b in other) > 0.5
    assert distance(spectrum("steph"), spectrum("steph2")) < 0.4


def spectrum(variant: str) -> np.ndarray:
    """Mean log energy in 20 bands up to 6 kHz, where there is speech, without its overall level."""
    [samples] = synthesise(
        [Speech("the twenty second of august nineteen eighty five", f"en-us+{variant}", 160, 50)], 16_000
    )
    assert np.sqrt(np.mean(samples**2)) > 0.01, variant
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames)) ** 2
    power = power[power.sum(1) > power.sum(1).max() * 1e-4]
    edges = np.geomspace(4, 150, 21).astype(int)
    bands = np.log(np.add.reduceat(power, edges, axis=1)[:, :-1] + 1e-9)
    return (bands - bands.mean(1, keepdims=True)).mean(0)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean((one - other) ** 2)))


def test_every_accent_is_known_and_speaks_in_its_own_way():
    heard = [
        np.abs(s).sum() for s in synthesise([Speech("half past four", a, 160, 50) for a in numbers.ACCENTS], 16_000)
    ]
    assert len(set(heard)) == len(numbers.ACCENTS)


def test_recordings_hold_speech_of_a_likely_length(made):
    assert {split: len(utterances) for split, utterances in made.items()} == {"train": 12, "dev": 4, "test": 8}
    for utterance in itertools.chain(*made.values()):
        samples, rate = soundfile.read(utterance.audio_filepath, dtype="float32")
        assert rate == numbers.SAMPLE_RATE_HZ
        assert utterance.duration_s == len(samples) / rate
        assert 0.15 < utterance.duration_s / len(utterance.text.split()) < 1.0
        assert 0.03 < np.abs(samples).max() < 1.0


def test_speakers_are_the_splits_own(made):
    for split, utterances in made.items():
        assert {utterance.speaker.split("+")[1] for utterance in utterances} <= set(numbers.VARIANTS[split])
        assert {utterance.speaker.split("+")[0] for utterance in utterances} <= set(numbers.ACCENTS)
        assert all(utterance.audio_filepath.parent.name == split for utterance in utterances)


def test_the_same_seed_gives_the_same_bytes_and_the_size_of_train_changes_no_other_split(made, tmp_path):
    again = prepare(tmp_path, train=9)
    assert contents(again["test"]) == contents(made["test"])
    assert contents(again["dev"]) == contents(made["dev"])
    assert contents(again["train"]) == contents(made["train"])[:9]


def test_another_seed_gives_other_bytes(made, tmp_path):
    other = prepare(tmp_path, seed=2, train=1, dev=1, test=1)
    for split, utterances in other.items():
        assert contents(utterances) != contents(made[split])[:1]


def contents(utterances: list[Utterance]) -> list[tuple[str, str, str, str]]:
    return [(u.id, u.text, u.speaker, digest(u.audio_filepath)) for u in utterances]


def test_made_again_only_when_needed(made):
    folder = made["test"][0].audio_filepath.parent.parent
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.flac")}
    assert prepare(folder) == made
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.flac")} == before
