import math
import random
from collections import Counter
from itertools import product

import pytest

import asr.metrics
from asr.errors import DataError
from asr.metrics import FEWEST_SPEAKERS, Errors, Interval, aligned, count_errors, interval, score, total, worst


def edits(said, recognised):
    """The fewest edits from one sequence to the other, by trying all alignments."""
    if not said or not recognised:
        return len(said) + len(recognised)
    return min(
        edits(said[1:], recognised) + 1,
        edits(said, recognised[1:]) + 1,
        edits(said[1:], recognised[1:]) + (said[0] != recognised[0]),
    )


def exact_quantile(utterances, share):
    """That of the pooled WER over all equally likely draws of `(word errors, words)`, not a sample of them."""
    draws = product(utterances, repeat=len(utterances))
    rates = sorted(sum(wrong for wrong, _ in draw) / sum(words for _, words in draw) for draw in draws)
    return rates[math.ceil(share * len(rates)) - 1]


def utterances(*counts):
    """Errors by id (a, b, ...), from `(word errors, words)`."""
    return {"abcdefgh"[i]: Errors(words=words, substitutions=wrong) for i, (wrong, words) in enumerate(counts)}


@pytest.mark.parametrize(
    ("said", "recognised", "expected"),
    [("", "", 0), ("", "ab", 2), ("ab", "", 2), ("ab", "ba", 2), ("kitten", "sitting", 3), ("abc", "bcd", 2)],
)
def test_the_oracle_on_known_distances(said, recognised, expected):
    assert edits(said, recognised) == edits(recognised, said) == expected


def test_the_exact_quantile_by_hand():
    # Two utterances, four draws: ab, ba and aa, bb; pooled, ab is 3 errors in 4 words, not the mean of 0 and 1.
    assert [exact_quantile([(0, 1), (3, 3)], share) for share in (0.25, 0.26, 0.75, 0.76)] == [0, 0.75, 0.75, 1]


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


def test_single_resamples_of_two_utterances_follow_the_exact_distribution():
    errors = utterances((0, 1), (3, 3))
    drawn = Counter(interval(errors, {}, resamples=1, seed=seed).low for seed in range(400))
    assert drawn.keys() == {0, 0.75, 1}  # in 100, 200 and 100 of 400 seeds; the bounds are four deviations away
    assert all(abs(drawn[rate] - expected) < 40 for rate, expected in {0: 100, 0.75: 200, 1: 100}.items())
    assert interval(errors, {}) == Interval(0, 1, "utterance")


def test_interval_of_five_by_hand():
    # The number of draws of e among five is binomial(5, 1/5): P(0) = 0.33, P(<= 2) = 0.94, P(<= 3) = 0.99.
    assert interval(utterances((0, 1), (0, 1), (0, 1), (0, 1), (1, 1)), {}) == Interval(0, 0.6, "utterance")


@pytest.mark.parametrize(
    "counts", [[(0, 10), (2, 10), (6, 10), (2, 10), (0, 10)], [(0, 9), (1, 1), (2, 5), (0, 1)], [(1, 4), (1, 1)]]
)
def test_interval_agrees_with_all_draws(counts):
    exact = [exact_quantile(counts, share) for share in (0.025, 0.975)]
    near = [exact_quantile(counts, share) for share in (0.02, 0.03, 0.97, 0.98)]
    assert set(near) == set(exact)  # so that the chance in 10,000 resamples cannot show
    found = interval(utterances(*counts), {})
    assert [found.low, found.high] == exact


def test_speakers_are_drawn_whole():
    errors = utterances((1, 2), (0, 3), (2, 7), (4, 4), (0, 1), (1, 6), (3, 3), (0, 5))
    groups = dict(zip(errors, "vvwwxyyz", strict=True))
    pooled = {speaker: total(errors[name] for name in errors if groups[name] == speaker) for speaker in "vwxyz"}
    found, expected = interval(errors, groups), interval(pooled, {})
    assert (found.unit, expected.unit) == ("speaker", "utterance")
    assert (found.low, found.high) == (expected.low, expected.high)
    assert (found.low, found.high) != (interval(errors, {}).low, interval(errors, {}).high)


@pytest.mark.parametrize(
    "groups",
    [
        {},
        dict.fromkeys("abcdef", ""),
        dict(zip("abcdef", "stuv" * 2, strict=False)),
        {**dict(zip("abcdef", "stuvwx", strict=True)), "c": ""},
        dict(zip("abcde", "stuvw", strict=True)),
    ],
    ids=["no speakers", "empty speakers", "too few speakers", "one speaker empty", "one speaker missing"],
)
def test_interval_falls_back_to_utterances(groups):
    errors = utterances((0, 1), (1, 1), (0, 2), (2, 3), (1, 4), (0, 6))
    assert interval(errors, groups).unit == "utterance"
    assert interval(errors, dict(zip(errors, "stuvvw", strict=True))).unit == "speaker"
    assert len(set("stuvw")) == FEWEST_SPEAKERS


def test_interval_of_equal_errors_has_no_width():
    errors = utterances(*[(1, 4)] * 8)
    assert interval(errors, {}) == Interval(0.25, 0.25, "utterance")
    assert interval(errors, {name: name for name in errors}) == Interval(0.25, 0.25, "speaker")
    assert interval(utterances((3, 2)), {}) == Interval(1.5, 1.5, "utterance")


def test_interval_depends_on_the_seed_and_on_nothing_else(monkeypatch):
    errors = utterances((0, 3), (1, 7), (5, 11), (2, 13), (8, 17), (1, 19), (4, 23))
    found = [interval(errors, {}, resamples=101, seed=seed) for seed in range(3)]
    assert len(set(found)) == 3
    assert interval(errors, {}, resamples=101, seed=2) == found[2]
    assert interval(dict(reversed(errors.items())), {}, resamples=101, seed=2) == found[2]
    for draws in (1, 7, 50):
        monkeypatch.setattr(asr.metrics, "DRAWS_AT_ONCE", draws)
        assert interval(errors, {}, resamples=101, seed=2) == found[2]


def test_interval_where_nothing_was_said():
    assert interval(utterances((0, 0), (0, 0)), {}) == Interval(0, 0, "utterance")
    assert interval(utterances((2, 0), (0, 5)), {}) == Interval(0, math.inf, "utterance")


def test_interval_needs_an_utterance():
    with pytest.raises(DataError, match="no utterances"):
        interval({}, {})


@pytest.mark.parametrize(
    ("reference", "hypothesis", "lines"),
    [
        (
            "the cat sat on",
            "cat sad on it",
            ["REF: the cat sat on ***", "HYP: *** cat sad on it", "     D       S      I"],
        ),
        ("i saw it", "i was there", ["REF: i saw it", "HYP: i was there", "       S   S"]),
        ("a  b", "a b ", ["REF: a b", "HYP: a b", ""]),
        ("one", "", ["REF: one", "HYP: ***", "     D"]),
        ("", "a b", ["REF: *** ***", "HYP: a   b", "     I   I"]),
        ("", "", ["REF:", "HYP:", ""]),
        ("*** b", "a b", ["REF: *** b", "HYP: a   b", "     S"]),
        ("日本 語", "日 語 e\u0301", ["REF: 日本 語 ***", "HYP: 日   語 e\u0301", "     S       I"]),
    ],
)
def test_aligned(reference, hypothesis, lines):
    assert aligned(reference, hypothesis).split("\n") == lines


def test_aligned_marks_every_error_once():
    generator = random.Random(1)
    for _ in range(50):
        said, recognised = (" ".join(generator.choices("abc", k=generator.randrange(9))) for _ in range(2))
        above, below, marks = aligned(said, recognised).split("\n")
        assert [word for word in above.split()[1:] if word != "***"] == said.split()
        assert [word for word in below.split()[1:] if word != "***"] == recognised.split()
        errors = count_errors(said, recognised)
        counts = {"S": errors.substitutions, "D": errors.deletions, "I": errors.insertions}
        assert Counter(marks.split()) == Counter(counts)
