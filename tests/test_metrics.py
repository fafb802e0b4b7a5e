import math
import random

import jiwer
import pytest

from asr.errors import DataError
from asr.metrics import Column, Errors, align, correct_words, count_errors, score, total, worst


def edits(said, recognised):
    """The fewest edits from one sequence to the other, by trying all alignments."""
    if not said or not recognised:
        return len(said) + len(recognised)
    return min(
        edits(said[1:], recognised) + 1,
        edits(said, recognised[1:]) + 1,
        edits(said[1:], recognised[1:]) + (said[0] != recognised[0]),
    )


def utterances(*counts):
    """Errors by id (a, b, ...), from `(word errors, words)`."""
    return {"abcdefgh"[i]: Errors(words=words, substitutions=wrong) for i, (wrong, words) in enumerate(counts)}


@pytest.mark.parametrize(
    ("said", "recognised", "expected"),
    [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("ab", "ba", 2), ("kitten", "sitting", 3), ("abc", "bcd", 2)],
)
def test_the_oracle_on_known_distances(said, recognised, expected):
    assert edits(said, recognised) == edits(recognised, said) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "words", "substitutions", "deletions", "insertions"),
    [
        ("a b c", "a b c", 3, 0, 0, 0),
        ("a b c", "a x c", 3, 1, 0, 0),
        ("a b c", "a c", 3, 0, 1, 0),
        ("a b c", "a b x c", 3, 0, 0, 1),
        ("a b c d", "x a c e", 4, 1, 1, 1),
        ("no", "no no no", 1, 0, 0, 2),
        ("the the the", "the", 3, 0, 2, 0),
        ("go go stop go", "go stop go go", 4, 0, 1, 1),
        ("", "a b", 0, 0, 0, 2),
        (" \t", "a", 0, 0, 0, 1),
        ("a b", "", 2, 0, 2, 0),
        ("a b", "  \n", 2, 0, 2, 0),
        ("", "", 0, 0, 0, 0),
        ("", "  ", 0, 0, 0, 0),
        (" a\tb \n c\u00a0d ", "a b c d", 4, 0, 0, 0),
        ("größe 日本 語", "größe 日 語", 3, 1, 0, 0),
        ("caf\u00e9", "cafe\u0301", 1, 1, 0, 0),
        ("A, b", "a b", 2, 1, 0, 0),
        ("* ***", "*", 2, 0, 1, 0),
    ],
)
def test_words_by_hand(reference, hypothesis, words, substitutions, deletions, insertions):
    errors = count_errors(reference, hypothesis)
    assert (errors.words, errors.substitutions) == (words, substitutions)
    assert (errors.deletions, errors.insertions) == (deletions, insertions)
    assert errors.word_errors == substitutions + deletions + insertions
    assert (errors.sentences, errors.wrong_sentences) == (1, int(errors.word_errors > 0))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "characters", "character_errors"),
    [
        ("a b", "a b", 3, 0),
        (" a   b ", "a b", 3, 0),
        ("a b", "ab", 3, 1),
        ("a b", "a", 3, 2),
        ("cat", "cart", 3, 1),
        ("", "a b", 0, 3),
        ("a b", "", 3, 3),
        ("", "", 0, 0),
        ("größe", "grösse", 5, 2),
        ("caf\u00e9", "cafe\u0301", 4, 2),
        ("日本語", "日本", 3, 1),
    ],
)
def test_characters_by_hand(reference, hypothesis, characters, character_errors):
    errors = count_errors(reference, hypothesis)
    assert (errors.characters, errors.character_errors) == (characters, character_errors)


def test_random_strings_agree_with_the_oracle():
    generator = random.Random(0)
    for _ in range(150):
        said, recognised = (generator.choices("aab", k=generator.randrange(6)) for _ in range(2))
        errors = count_errors(" ".join(said), " ".join(recognised))
        assert errors.word_errors == edits(said, recognised)
        assert errors.words - errors.deletions + errors.insertions == len(recognised)
        written = "".join(generator.choices("ab ", k=5)), "".join(generator.choices("ab ", k=5))
        single_spaced = [" ".join(text.split()) for text in written]
        assert count_errors(*written).character_errors == edits(*single_spaced)


def test_rates():
    errors = Errors(4, 1, 2, 3, characters=20, character_errors=5, sentences=8, wrong_sentences=2)
    assert (errors.word_errors, errors.wer, errors.cer, errors.sentence_error_rate) == (6, 1.5, 0.25, 0.25)


def test_rates_when_nothing_was_said():
    assert (Errors().wer, Errors().cer, Errors().sentence_error_rate) == (0, 0, 0)
    hallucinated = count_errors("", "thank you")
    assert (hallucinated.wer, hallucinated.cer, hallucinated.sentence_error_rate) == (math.inf, math.inf, 1)
    assert count_errors("no", "no no no").wer == 2


def test_total_pools_counts_rather_than_rates():
    long, short = count_errors("a b c d e f g h", "a b c d e f g h"), count_errors("a b", "x y z")
    assert long + short == Errors(10, 2, 0, 1, characters=18, character_errors=4, sentences=2, wrong_sentences=1)
    assert total([long, short]) == total(iter([short, long])) == long + short
    assert total([long, short]).wer == 0.3
    assert total([]) == Errors()


def test_score_joins_by_id_whatever_the_order():
    scored = score({"u2": "a b", "u1": "c"}, {"u1": "c d", "u2": "a"})
    assert list(scored) == ["u2", "u1"]
    assert scored == {"u1": count_errors("c", "c d"), "u2": count_errors("a b", "a")}
    assert score({}, {}) == {}


@pytest.mark.parametrize(
    ("references", "hypotheses", "message"),
    [
        ("ab", "a", "no hypothesis for 1 of 2 references ('b')"),
        ("a", "abc", "no reference for 2 of 3 hypotheses ('b', 'c')"),
        ("fedcab", "ab", "no hypothesis for 4 of 6 references ('c', 'd', 'e', ...)"),
        ("cba", "", "no hypothesis for 3 of 3 references ('a', 'b', 'c')"),
        ("ab", "bc", "no hypothesis for 1 of 2 references ('a'); no reference for 1 of 2 hypotheses ('c')"),
    ],
)
def test_score_refuses_ids_on_one_side_only(references, hypotheses, message):
    with pytest.raises(DataError) as caught:
        score(dict.fromkeys(references, "x"), dict.fromkeys(hypotheses, "x"))
    assert str(caught.value) == message


def test_worst_first_and_ties_by_id():
    errors = utterances((1, 9), (3, 9), (0, 9), (3, 4))
    assert worst(dict(reversed(errors.items())), 3) == ["b", "d", "a"]
    assert worst(errors, 9) == ["b", "d", "a", "c"]
    assert worst(errors, 0) == worst({}, 5) == []


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("", "", []),
        ("a b", "", []),
        ("", "a b", [False, False]),
        ("the cat sat", "the cat sat", [True, True, True]),
        ("the cat sat", "a cat sat down", [False, True, True, False]),
        ("the cat sat", "cat", [True]),
        ("one two", " two  one two ", [False, True, True]),
    ],
)
def test_which_words_are_right(reference, hypothesis, expected):
    assert correct_words(reference, hypothesis) == expected


def test_an_alignment_says_both_texts():
    generator = random.Random(2)
    for _ in range(100):
        said, heard = (" ".join(generator.choices("aabc", k=generator.randrange(9))) for _ in range(2))
        columns = align(said, heard)
        assert [column.said for column in columns if column.kind != "insert"] == said.split()
        assert [column.heard for column in columns if column.kind != "delete"] == heard.split()
        assert all((column.said == column.heard) == (column.kind == "equal") for column in columns)
        assert sum(column.kind != "equal" for column in columns) == count_errors(said, heard).word_errors
    assert align("", "") == []
    assert align("a", "b") == [Column("substitute", "a", "b")]


def test_counts_are_those_of_jiwer():
    generator = random.Random(3)
    pairs = [
        tuple(" ".join(generator.choices(["the", "a", "cat", "cats", "é"], k=generator.randrange(12))) for _ in "rh")
        for _ in range(2000)
    ]
    assert sum(not said for said, _ in pairs) > 50
    for said, heard in pairs:
        errors, words = count_errors(said, heard), jiwer.process_words(said, heard)
        assert (errors.substitutions, errors.deletions, errors.insertions) == (
            words.substitutions,
            words.deletions,
            words.insertions,
        )
        characters = jiwer.process_characters(said, heard)
        wrong = characters.substitutions + characters.deletions + characters.insertions
        assert errors.character_errors == wrong
