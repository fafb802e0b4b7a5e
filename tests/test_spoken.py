import time

import pytest

from asr.spoken import lost_letters, spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Hello,  World!\n", "hello world"),
        ("in 1856", "in eighteen fifty six"),
        ("1,856 men", "one thousand eight hundred and fifty six men"),
        ("3500 men", "three thousand five hundred men"),
        ("1066; 1905; 2010", "one thousand and sixty six nineteen oh five twenty ten"),
        ("the 1840's and 1900s", "the eighteen forties and nineteen hundreds"),
        ("1809-84", "eighteen oh nine eighty four"),
        ("'84", "eighty four"),
        ("the 21st, 2nd and 1,000th", "the twenty first second and one thousandth"),
        ("3.14", "three point one four"),
        ("100.", "one hundred"),
        ("007", "zero zero seven"),
        ("$5 or £5", "five dollars or five pounds"),
        ("$1, £2.50, $3 million", "one dollar two pounds and fifty pence three million dollars"),
        ("50% of No. 5", "fifty percent of number five"),
        ("no. It is not", "no it is not"),
        ("2½ miles, ½", "two and a half miles a half"),
        ("E23 at 10:30", "e twenty three at ten thirty"),
        ("9" * 20, " ".join(["nine"] * 20)),
        ("9" * 5000, " ".join(["nine"] * 5000)),
        ("Mr. and Mrs. Smith, Dr. Brown & St. John", "mister and missus smith doctor brown and saint john"),
        ("Mr Smith", "mister smith"),
        ("café Æsop Straße ŒUVRE", "cafe aesop strasse oeuvre"),
        ("cafe\N{COMBINING ACUTE ACCENT}", "cafe"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t 'quoted' o'clock", "don't quoted o'clock"),
        ("'Tis the boys' rock 'n' roll", "tis the boys rock n roll"),
        ("_emphasis_ well-known said--but U.S.A.", "emphasis well known said but u s a"),
        ("so \N{EM DASH} yes\N{HORIZONTAL ELLIPSIS}no", "so yes no"),
        ("привет world", "world"),
        ("***", ""),
        ("", ""),
    ],
)
def test_what_is_written_and_what_is_said(written, said):
    assert spoken(written) == said
    assert spoken(said) == said


def test_the_alphabet_keeps_what_it_has():
    assert spoken("Café, don't!", " abcdefghijklmnopqrstuvwxyzé") == "café dont"
    assert spoken("Привет, world", " ипретв") == "привет"


def test_letters_that_are_lost_are_counted():
    assert lost_letters("Жил ж é æ 12 —!") == {"ж": 2, "и": 1, "л": 1}
    assert lost_letters("plain text") == {}
    assert lost_letters("abc", " ab") == {"c": 1}


def test_it_is_fast():
    line = "The whole of the evening, said he--but who knows?--was spent at Mr. Brown's in the old house by the river. "
    begin = time.process_time()
    for number in range(5000):
        spoken(f"{line} {line[number % 50 :]}")
    words_per_second = 5000 * 40 / (time.process_time() - begin)
    assert words_per_second > 150_000
