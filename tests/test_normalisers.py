import doctest
import random
import time

import pytest

from asr import normalisers
from asr.errors import ConfigError, DataError
from asr.metrics import count_errors
from asr.normalisers import NORMALISERS, basic, english, none, normaliser


@pytest.mark.parametrize(
    "text", ["The  cat,\tsat.\n", "ÉTÉ e\N{COMBINING ACUTE ACCENT}", "'", "", " \N{NO-BREAK SPACE}a"]
)
def test_none_changes_no_word(text):
    assert none(text).split() == text.split()
    assert none(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,  World!\n", "hello world"),
        ("Don\N{RIGHT SINGLE QUOTATION MARK}t 'quote' me ''so''", "don't quote me so"),
        ("well-known -- so \N{EM DASH} yes\N{HORIZONTAL ELLIPSIS}no", "well known so yes no"),
        ("1,000 or 3.5, 10% at 3:30.", "1,000 or 3.5 10 at 3 30"),
        ("_emphasis_ & <b>", "emphasis b"),
        ("CAFÉ cafe\N{COMBINING ACUTE ACCENT} ﬁn", "café café fin"),
        ("co\N{SOFT HYPHEN}operate", "cooperate"),
        ("\N{LEFT SINGLE QUOTATION MARK}so\N{RIGHT SINGLE QUOTATION MARK}", "so"),
        ("Привет, мир! Ёлка й", "привет мир ёлка й"),
        ("пам\N{MODIFIER LETTER APOSTROPHE}ять", "пам'ять"),
        ("हिन्दी में, क्या?", "हिन्दी में क्या"),
        ("日本語。「はい」", "日本語 はい"),
        ("می\N{ZERO WIDTH NON-JOINER}خواهم، نه؟", "می\N{ZERO WIDTH NON-JOINER}خواهم نه"),
        ("Straße ΌΣΟΣ", "straße όσος"),
        ("... '' -- !", ""),
        ("", ""),
    ],
)
def test_basic(text, expected):
    assert basic(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I won't, can't, cannot and shan't.", "i will not can not can not and shall not"),
        ("Don't; isn't; wouldn't; mustn't", "do not is not would not must not"),
        ("You're, they've, who'll, I'm, that'll", "you are they have who will i am that will"),
        ("He's here, it's there; let's. What's that?", "he is here it is there let us what is that"),
        ("The dog's, the dogs' and St. John's", "the dog's the dogs and saint john's"),
        ("she'd; they'd've; Tom'd", "she would they would have tom'd"),
        ("gonna wanna gotta dunno", "going to want to got to do not know"),
        ("'Tis; 'twas o'clock; ain't", "it is it was o'clock ain't"),
        ("colour grey realise centre travelled defence", "color gray realize center traveled defense"),
        ("Uh, um -- er, h'm, hmm, mm, mhm: ah!", "ah"),
        ("uh-huh; Uh, huh? uh", "uhhuh uhhuh"),
        ("OK o.k. okay O K", "okay okay okay okay"),
        ("O, oh", "oh oh"),
        ("twenty-one 21 21st twenty-first", "twenty one twenty one twenty first twenty first"),
        ("1990s, 1990's", "nineteen nineties nineteen nineties"),
        (
            "3:30; 3:05; 3:00; 10:00 a.m.; 7pm; 7 P.M.",
            "three thirty three oh five three o'clock ten a m seven p m seven p m",
        ),
        ("12:30:00", "twelve thirty zero zero"),
        ("10% ten per cent", "ten percent ten percent"),
        ("$20.50; £3; 5 mm", "twenty dollars fifty cents three pounds five millimeters"),
        ("201 or two hundred and one", "two hundred one or two hundred one"),
        ("a hundred and a half", "a hundred and a half"),
        ("hundred and handsome", "hundred and handsome"),
        ("Mr. Smith & Dr. Brown", "mister smith and doctor brown"),
        ("U.S. US us", "u s us us"),
        ("to-day, to-morrow; from day to day", "today tomorrow from day to day"),
        ("naïve café \N{LEFT SINGLE QUOTATION MARK}so\N{RIGHT SINGLE QUOTATION MARK}", "naive cafe so"),
        ("mr'll uh'll", "mister will uh'll"),
        ("", ""),
        ("um", ""),
    ],
)
def test_english(text, expected):
    assert english(text) == expected
    assert english(expected) == expected


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Mr. Brown's colour wasn't grey, was it?", "mister brown's color was not gray was it"),
        (
            "It's 10:00 on the 21st, I've £2.50.",
            "it is ten o'clock on the twenty-first i have two pounds and fifty pence",
        ),
        ("Um, they're OK: 1,856 in 1856!", "they are okay one thousand eight hundred fifty six in eighteen fifty-six"),
    ],
)
def test_both_ways_to_write_it_make_no_error(said, heard):
    assert count_errors(none(said), none(heard)).word_errors > 3
    assert count_errors(english(said), english(heard)).word_errors == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("he said привет", "'в'"),
        ("日本", "'日'"),
        ("room \N{ARABIC-INDIC DIGIT THREE}", "'\N{ARABIC-INDIC DIGIT THREE}'"),
    ],
)
def test_english_refuses_what_it_would_lose(text, named):
    with pytest.raises(DataError, match="normaliser 'english'") as refusal:
        english(text)
    assert named in str(refusal.value)
    assert text in str(refusal.value)


def test_normalisers_by_name():
    assert [normaliser(name) for name in NORMALISERS] == [none, basic, english]
    with pytest.raises(ConfigError, match=r"'englsh'; did you mean 'english'\?"):
        normaliser("englsh")


SCRAPS = [
    *"abcdehnorstuvwkmé''.,:-0123456789$%&½ ",
    " hundred ",
    " and ",
    " one ",
    " uh ",
    " per ",
    " cent ",
    " o ",
    " k ",
]
SCRAPS += ["n't", "'s", "'ll", "'ve", " st ", " no. ", " huh ", " to-day ", "colour", "realis", "ed ", " mr", "pm "]
MARKS = [*"ΪΫİΣϔßﬁaZ'-,.1 ", *"\u0301\u0307\u0308\u0316\u0345\u200d\u00ad\u2019"]


@pytest.mark.parametrize(
    ("name", "scraps"), [("none", SCRAPS), ("basic", SCRAPS), ("basic", MARKS), ("english", SCRAPS)]
)
def test_doing_it_twice_changes_nothing(name, scraps):
    generator = random.Random(1)
    function = normaliser(name)
    for _ in range(5000):
        text = function("".join(generator.choices(scraps, k=10)))
        assert function(text) == text


@pytest.mark.corpus
def test_doing_it_twice_changes_nothing_in_real_texts(corpora):
    lines = [line for path in sorted(corpora.glob("**/*.trans.txt"))[:40] for line in path.read_text().splitlines()]
    assert len(lines) > 100
    for function in NORMALISERS.values():
        for line in lines:
            assert function(function(line)) == function(line)


def test_it_is_fast():
    line = (
        "the whole of the evening said he but who knows was spent at the colonel's in his old house by the river and on"
    )
    begin = time.process_time()
    for number in range(5000):
        english(line[number % 20 :])
    assert 5000 / (time.process_time() - begin) > 10_000  # utterances a second, as long as LibriSpeech's


def test_examples():
    failed, attempted = doctest.testmod(normalisers)
    assert (failed, attempted > 5) == (0, True)
