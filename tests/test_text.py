import base64
import copy
import itertools
import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

from asr.config import build
from asr.errors import AsrError, ConfigError, DataError, ModelError
from asr.text import BLANK, TextConfig, Vocabulary, frames_needed, normalise, vocabulary_of

LETTERS = " 'abcdefghijklmnopqrstuvwxyz"
TEXTS = ["Hello there", "'tis the season", "don't do that", "the cat sat on the mat", "the other  one"] * 20


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("HELLO  World\n", "hello world"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t", "don't"),
        ("cafe\N{COMBINING ACUTE ACCENT}", "café"),
        ("ﬁve", "five"),
        ("a, b-c", "a, b-c"),
        (" \t ", ""),
    ],
)
def test_normalise(raw, expected):
    assert normalise(raw) == expected
    assert normalise(expected) == expected


def test_encode_and_decode():
    vocabulary = Vocabulary.of_characters("ba b")
    assert vocabulary.tokens == (BLANK, " ", "a", "b")
    assert vocabulary.encode("ab ba") == [2, 3, 1, 3, 2]
    assert vocabulary.decode([1, 2, 3, 1, 1, 3, 2, 1]) == "ab ba"
    assert len(vocabulary) == 4


def test_characters_outside_the_alphabet_are_named():
    vocabulary = Vocabulary.of_characters("ab")
    assert vocabulary.unknown("a1b?1") == "1?"
    with pytest.raises(DataError, match=r"outside the alphabet: '1' '\?'"):
        vocabulary.encode("a1b?1")
    assert vocabulary.unknown("<blank>") != ""


def test_vocabulary_round_trip(tmp_path):
    vocabulary = Vocabulary.of_characters(" 'abcé")
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary
    assert json.loads((tmp_path / "vocabulary.json").read_text()) == {"tokens": [BLANK, *" 'abcé"]}


@pytest.mark.parametrize("tokens", [None, "ab", ["a"], [BLANK, 1], [BLANK, "a", "a"]])
def test_what_is_not_a_vocabulary_is_refused(tmp_path, tokens):
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({"tokens": tokens}))
    with pytest.raises(ModelError, match=r"vocabulary\.json"):
        Vocabulary.load(path)


@pytest.fixture(scope="module")
def pieces():
    return Vocabulary.of_pieces(TEXTS, LETTERS, 500)


@pytest.fixture
def without_sentencepiece(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)


def test_pieces_are_strings_of_the_alphabet_and_each_of_its_characters(pieces):
    assert pieces.tokens[0] == BLANK
    assert set(LETTERS) <= set(pieces.spellings[1:])
    assert set("".join(pieces.spellings[1:])) == set(LETTERS)
    assert " the" in pieces.spellings
    assert len(pieces) == len(set(pieces.tokens)) > len(LETTERS) + 1
    assert [pieces.spellings[number] for number in pieces.encode("the zoo")] == [" the", " ", "z", "o", "o"]
    assert pieces.decode(pieces.encode("hello") + pieces.encode(" there")) == "hello there"


@pytest.mark.parametrize("text", ["", "a", "'", "'tis", "z", "a b c", "qqq zzz", "don't", "the", "x'y", "hello there"])
def test_pieces_round_trip(pieces, text):
    ids = pieces.encode(text)
    assert pieces.decode(ids) == text
    assert 0 not in ids


@pytest.mark.parametrize(
    ("texts", "alphabet"),
    [
        (TEXTS, LETTERS),
        (["abab", "ba", "a"], "ab"),
        (["a"], " a"),
        (["aaaa", "a" * 5000], "a"),
        (["a, b=c", '"-\\#|', "<a> %s"], ' ,="-\\#|<>%abcs'),
        (["中文 日本", "é 中"], " aé中文日本"),
        (["12 123", "a1"], " 123a"),
        (["a" + "b" * 9000 + " a"], " ab"),
        (["a"], "ab"),
        (["ab", "abab"], "abcd"),
        (["a b"], " abcd"),
        (["ab\N{ZERO WIDTH NON-JOINER}a", "~"], "ab~\N{ZERO WIDTH NON-JOINER}"),
    ],
)
@pytest.mark.parametrize("size", [20, 40, 500])
def test_any_text_of_the_alphabet_can_be_spelled(texts, alphabet, size):
    size = max(size, len(set(alphabet)))
    vocabulary = Vocabulary.of_pieces(texts, alphabet, size)
    assert len(vocabulary) <= 1 + size
    assert set("".join(vocabulary.spellings[1:])) == set(alphabet)
    assert vocabulary.unknown(alphabet) == ""
    rng = random.Random(0)
    for length in range(100):
        text = normalise("".join(rng.choices(alphabet, k=length)))
        ids = vocabulary.encode(text)
        assert vocabulary.decode(ids) == text
        assert 0 not in ids
        drawn = vocabulary.decode(rng.choices(range(1, len(vocabulary)), k=length))
        assert vocabulary.decode(vocabulary.encode(drawn)) == drawn


def test_a_transcript_beyond_the_alphabet_is_refused_and_not_learned_from():
    vocabulary = Vocabulary.of_pieces(["ab ab", "", "ab 12", "zz"], " ab", 50)
    assert set("".join(vocabulary.spellings[1:])) == set(" ab")
    assert vocabulary.unknown("a1\N{LOWER ONE EIGHTH BLOCK}") == "1\N{LOWER ONE EIGHTH BLOCK}"
    with pytest.raises(DataError, match=r"outside the alphabet: '1' '\?'"):
        vocabulary.encode("a1?")


def test_the_same_transcripts_give_the_same_pieces_in_any_order_and_process(pieces):
    assert Vocabulary.of_pieces(reversed(TEXTS), LETTERS, 500) == pieces
    code = f"from asr.text import Vocabulary; print(Vocabulary.of_pieces({TEXTS}, {LETTERS!r}, 500).tokens)"
    root = Path(__file__).resolve().parents[1]
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{pieces.tokens}\n"
    assert ran.stderr == ""


@pytest.mark.parametrize(
    ("texts", "alphabet", "size", "error", "message"),
    [
        (TEXTS, LETTERS, 27, ConfigError, "text.pieces = 27: too few: each of the 28 .* use 28 or more"),
        (["ab"], "aab", 1, ConfigError, "text.pieces = 1: .* use 2 or more"),
        ([], LETTERS, 500, DataError, "no transcript to learn pieces from"),
        (["", " "], LETTERS, 500, DataError, "no transcript to learn pieces from"),
        (["ONE 2"], LETTERS, 500, DataError, "all are empty or go beyond text.alphabet"),
        (["a"], "a\N{LOWER ONE EIGHTH BLOCK}", 500, ConfigError, "text.alphabet: SentencePiece keeps '▁' for"),
    ],
)
def test_what_no_pieces_can_be_learned_from_is_refused(texts, alphabet, size, error, message):
    with pytest.raises(error, match=message):
        Vocabulary.of_pieces(texts, alphabet, size)


def test_what_sentencepiece_says_becomes_one_line(monkeypatch):
    def fail(**options):
        raise RuntimeError("INTERNAL: [!sentences.empty()]")

    monkeypatch.setattr("sentencepiece.SentencePieceTrainer.train", fail)
    with pytest.raises(DataError, match=r"no pieces could be learned from 100 transcripts: INTERNAL: \[!sent"):
        Vocabulary.of_pieces(TEXTS, LETTERS, 500)


def test_the_smallest_size_is_the_alphabet():
    assert sorted(Vocabulary.of_pieces(TEXTS, LETTERS, 28).spellings[1:]) == list(LETTERS)


def test_pieces_are_saved_and_loaded(tmp_path, pieces):
    path = tmp_path / "vocabulary.json"
    pieces.save(path)
    loaded = Vocabulary.load(path)
    assert loaded == pieces
    assert loaded.encode("the cat") == pieces.encode("the cat")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda vocabulary: pickle.loads(pickle.dumps(vocabulary))])
def test_a_vocabulary_goes_to_other_processes(pieces, copied):
    for vocabulary in (pieces, Vocabulary.of_characters(LETTERS)):
        ids = vocabulary.encode("the cat")
        assert copied(vocabulary) == vocabulary
        assert copied(vocabulary).encode("the cat") == ids


@pytest.mark.parametrize("model", [None, 5, ["x"], "", "no base64!", "é", base64.b64encode(b"no model").decode()])
def test_a_damaged_sentencepiece_model_is_refused(tmp_path, model):
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps({"tokens": [BLANK, "a"], "sentencepiece": model}))
    with pytest.raises(ModelError, match=r"vocabulary\.json: 'sentencepiece' is not a SentencePiece model in base64"):
        Vocabulary.load(path)


def test_tokens_that_are_not_the_pieces_are_refused(tmp_path, pieces):
    path = tmp_path / "vocabulary.json"
    for tokens in (pieces.tokens[:-1], (BLANK, *reversed(pieces.tokens[1:]))):
        Vocabulary(tokens, pieces.sentencepiece).save(path)
        with pytest.raises(ModelError, match=rf"vocabulary\.json: .* \({len(pieces)} pieces, {len(tokens)} tokens\)"):
            Vocabulary.load(path)


@pytest.mark.usefixtures("without_sentencepiece")
def test_without_the_package_pieces_are_read_but_not_made(tmp_path, pieces):
    ids, path = [pieces.tokens.index("▁the"), pieces.tokens.index("a")], tmp_path / "vocabulary.json"
    pieces.save(path)
    vocabulary = Vocabulary.load(path)
    assert vocabulary == pieces
    assert vocabulary.decode(ids) == "thea"
    assert vocabulary.unknown("a1") == "1"
    for work in (lambda: vocabulary.encode("the"), lambda: Vocabulary.of_pieces(TEXTS, LETTERS, 500)):
        with pytest.raises(
            AsrError, match=r"a vocabulary of pieces needs SentencePiece: pip install 'asr\[sentencepie"
        ):
            work()


@pytest.mark.usefixtures("without_sentencepiece")
def test_characters_are_the_default_and_read_no_transcript():
    def unread():
        raise AssertionError
        yield

    assert vocabulary_of(TextConfig(), unread()) == Vocabulary.of_characters(LETTERS)


def test_the_settings_choose_the_units(pieces):
    config = build(TextConfig, {"units": "sentencepiece", "pieces": 500}, "recipe.toml")
    assert vocabulary_of(config, iter(TEXTS)) == pieces


@pytest.mark.parametrize(("key", "value"), [("units", "words"), ("pieces", 0), ("pieces", 10.5)])
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=f"recipe.toml: {key} = {value!r}"):
        build(TextConfig, {key: value}, "recipe.toml")


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


@pytest.mark.parametrize("ids", [(), (1,), (1, 1), (1, 2), (1, 1, 1), (1, 2, 1), (2, 2, 1), (1, 2, 2, 1)])
def test_frames_needed_is_the_shortest_path_that_spells_the_tokens(ids):
    shortest = next(
        length
        for length in itertools.count()
        if any(collapse(path) == ids for path in itertools.product(range(3), repeat=length))
    )
    assert frames_needed(ids) == shortest
