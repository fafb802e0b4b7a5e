import doctest
import random
import re
import shutil
import subprocess
from functools import cache
from urllib.parse import unquote

import pytest

from asr.alignment import Word
from asr.errors import ConfigError, DataError
from asr.scoring import exports
from asr.scoring.exports import SPECIAL, export
from asr.scoring.result import Result, Scored

BY_TEXT = ["-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "spu_id"]
BY_TIME = ["-r", "ref.stm", "stm", "-h", "hyp.ctm", "ctm"]

needs_sclite = pytest.mark.skipif(shutil.which("sctk") is None, reason="sclite is not installed (package sctk)")


def result(*utterances):
    return Result("made up", utterances)


def sclite(folder, arguments):
    """Sentences, words, correct, substituted, deleted, inserted, errors, wrong sentences by sclite; and its report."""
    command = ["sctk", "sclite", *arguments, "-s", "-o", "rsum", "pra", "stdout"]
    report = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    total = re.search(r"\| *Sum *\|(.*)\|(.*)\|", report)
    assert total
    sentences, *counts = map(int, (total[1] + total[2]).split())
    return sentences, *counts, report


def of_ours(result):
    """The same, but for the split into correct and the three kinds, which several alignments may have."""
    total = result.total
    return total.sentences, total.words, total.word_errors, total.wrong_sentences


def cheapest(said, heard):
    """The least cost of an alignment in which a substitution costs 4, and a deletion or an insertion 3."""

    @cache
    def cost(i, j):
        if i == 0 or j == 0:
            return 3 * (i + j)
        together = cost(i - 1, j - 1) + 4 * (said[i - 1] != heard[j - 1])
        return min(together, cost(i - 1, j) + 3, cost(i, j - 1) + 3)

    return cost(len(said), len(heard))


@pytest.mark.parametrize(
    ("said", "heard", "expected"),
    [("", "", 0), ("a", "b", 4), ("a", "", 3), ("abc", "cde", 12), ("abcde", "defgh", 18)],
)
def test_the_cheapest_by_hand(said, heard, expected):
    assert cheapest(said, heard) == expected


def test_files_by_hand(tmp_path, capsys):
    words = (Word("the", 0.1, 0.25, 1.0), Word("cat", 0.3, 0.9, 1.0))
    scored = result(
        Scored("s2-b", "The  cat sat", "the cat", "s2", 0.8, words=words),
        Scored("s1-a", "a b", "a c d", "s1", 1.5),
        Scored("s1_c", "", "", "s1", 0.5),
    )
    paths = export(scored, tmp_path, ["trn", "stm", "ctm"])
    assert {path.name: path.read_text().splitlines() for path in paths} == {
        "ref.trn": ["The cat sat (s2-b)", "a b (s1-a)", " (s1_c)"],
        "hyp.trn": ["the cat (s2-b)", "a c d (s1-a)", " (s1_c)"],
        "ref.stm": ["s1-a 1 s1 0.000 1.500 a b", "s1_c 1 s1 0.000 0.500", "s2-b 1 s2 0.000 0.900 The cat sat"],
        "hyp.ctm": [
            ";; hyp.ctm: 1 of 3 utterances have no times for their words, which are spread evenly",
            "s1-a 1 0.000 0.500 a",
            "s1-a 1 0.500 0.500 c",
            "s1-a 1 1.000 0.500 d",
            "s2-b 1 0.100 0.150 the",
            "s2-b 1 0.300 0.600 cat",
        ],
    }
    assert "1 of 3 utterances have no times" in capsys.readouterr().err
    assert [path.name for path in export(scored, tmp_path / "other", ["trn"])] == ["ref.trn", "hyp.trn"]


def test_times_are_of_no_use_for_other_words(tmp_path):
    words = (Word("twenty-one", 0.2, 0.8, 1.0),)
    export(result(Scored("a", "", "twenty one", words=words)), tmp_path, ["ctm", "stm"])
    assert (tmp_path / "hyp.ctm").read_text().splitlines()[1:] == ["a 1 0.000 0.400 twenty", "a 1 0.400 0.400 one"]
    assert (tmp_path / "ref.stm").read_text() == "a 1 unknown 0.000 0.800\n"


@pytest.mark.parametrize(
    ("speakers", "ids", "expected"),
    [
        (["84", "84", "x"], ["84-1-2", "84_1", "x-84"], ["84-1-2", "84_1", "x-84"]),
        (["84", "84", "x"], ["84-1", "84_1", "84-2"], ["84-84-1", "84-84_1", "x-84-2"]),
        (["", "a"], ["1", "a-1"], ["unknown-1", "a-a-1"]),
        (["a-b", "a_b"], ["a-b-1", "2"], ["a%2Db-a-b-1", "a%5Fb-2"]),
        (["é (x)", "é"], ["1\N{NO-BREAK SPACE}2", "1)"], ["é%20%28x%29-1%C2%A02", "é-1%29"]),
    ],
)
def test_ids_begin_with_the_speaker(tmp_path, speakers, ids, expected):
    utterances = [Scored(name, "", "", speaker) for name, speaker in zip(ids, speakers, strict=True)]
    export(result(*utterances), tmp_path, ["trn"])
    lines = (tmp_path / "ref.trn").read_text().splitlines()
    assert [line.strip(" ()") for line in lines] == expected


def test_no_duration_and_no_times(tmp_path):
    scored = result(Scored("one", "a", "a", "", 1.0), Scored("two", "a", "a"))
    for kind in ("ctm", "stm"):
        with pytest.raises(DataError, match=r"^two: .*duration"):
            export(scored, tmp_path, [kind])
    assert len(export(scored, tmp_path, ["trn"])) == 2


def test_no_such_kind(tmp_path):
    with pytest.raises(ConfigError, match=r"'tnr'; did you mean 'trn'\?"):
        export(result(), tmp_path, ["trn", "tnr"])
    assert not list(tmp_path.iterdir())


def made_up(generator, count, vocabulary, most_errors):
    """Utterances with so many edits at most, of four speakers; some have times, some no words at all."""
    for number in range(count):
        said = generator.choices(vocabulary, k=generator.randrange(0, 12))
        heard = list(said)
        for _ in range(generator.randint(0, most_errors)):
            place = generator.randint(0, len(heard))
            heard[place : place + generator.randint(0, 1)] = generator.choices(vocabulary, k=generator.randint(0, 1))
        times = sorted(round(generator.uniform(0, 5), 2) for _ in heard)
        words = tuple(Word(word, at_s, at_s + 0.2, 1.0) for word, at_s in zip(heard, times, strict=True))
        speaker = generator.choice("pqrs")
        yield Scored(
            f"{speaker}-{number}",
            " ".join(said),
            " ".join(heard),
            speaker,
            5.0,
            words=words if generator.random() < 0.7 else (),
        )


@needs_sclite
def test_sclite_counts_the_same_where_errors_are_few(tmp_path):
    scored = result(*made_up(random.Random(3), 400, ["the", "The", "cat", "sat", "on", "é", "it's"], 2))
    assert scored.total.word_errors > 150
    export(scored, tmp_path, ["trn", "stm", "ctm"])
    for arguments in (BY_TEXT, BY_TIME):
        sentences, words, *_, errors, wrong, report = sclite(tmp_path, arguments)
        assert (sentences, words, errors, wrong) == of_ours(scored)
        assert all(re.search(rf"\| *{speaker} *\|", report) for speaker in "pqrs")


@needs_sclite
def test_sclite_takes_the_cheapest_alignment_which_may_have_more_errors(tmp_path):
    texts = [("a b c d e", "d e f g h"), ("a b c", "c d e")]
    generator = random.Random(5)
    texts += [tuple(" ".join(generator.choices("abcdef", k=generator.randint(1, 9))) for _ in "rh") for _ in range(400)]
    scored = result(*(Scored(f"s-{number}", *pair, "s") for number, pair in enumerate(texts)))
    export(scored, tmp_path, ["trn"])
    report = sclite(tmp_path, BY_TEXT)[-1]
    counts = re.findall(r"id: \(s-(\d+)\)\nScores: \(#C #S #D #I\) \d+ (\d+) (\d+) (\d+)", report)
    assert len(counts) == len(texts)
    more = {}
    for number, *kinds in counts:
        substitutions, deletions, insertions = map(int, kinds)
        utterance = scored.utterances[int(number)]
        ours, theirs = utterance.errors.word_errors, substitutions + deletions + insertions
        least = cheapest(tuple(utterance.reference.split()), tuple(utterance.hypothesis.split()))
        assert 4 * substitutions + 3 * (deletions + insertions) == least
        assert ours <= theirs <= 4 / 3 * ours
        assert theirs == ours or ours > 2
        more[int(number)] = theirs - ours
    assert more[0] == 1
    assert sum(more.values()) > 1


HOSTILE = [*"{}/@();<>*\\%&=#|^~\"'`-_+?:.,!$[]", "a{b", "a(b)", "(a)", "a;b", "a;c", ";;", "**", "***", "a/b", "@x"]
HOSTILE += ["<ALT>", "<x>", "IGNORE_TIME_SEGMENT_IN_SCORING", "Ignore_Time_Segment_In_Scoring", "%28", "%s%n", "a-"]
HOSTILE += ["\x00", "\x07", "\u200b", "é", "à", "日本", "\N{ARABIC LETTER BEH}", "NULL", "\ufeff", "A", "a"]


@needs_sclite
@pytest.mark.parametrize("other", ["same", "zz"])
def test_hostile_words(tmp_path, other):
    heard = [word if other == "same" else other for word in HOSTILE]
    pairs = [*zip(HOSTILE, heard, strict=True)]
    pairs += [(f"aa {word} bb", f"aa {instead} bb") for word, instead in pairs]
    scored = result(*(Scored(f"s-{number:03}", *pair, "s", 2.0) for number, pair in enumerate(pairs)))
    assert scored.total.word_errors == (0 if other == "same" else 2 * len(HOSTILE))
    export(scored, tmp_path, ["trn", "stm", "ctm"])
    for arguments in (BY_TEXT, BY_TIME):
        sentences, words, *_, errors, wrong, _ = sclite(tmp_path, arguments)
        assert (sentences, words, errors, wrong) == of_ours(scored)


@needs_sclite
def test_words_that_differ_stay_different(tmp_path):
    pairs = [(first, second) for first in HOSTILE for second in HOSTILE if first != second]
    said, heard = (" ".join(words) for words in zip(*pairs, strict=True))
    assert len(pairs) == len(HOSTILE) * (len(HOSTILE) - 1)
    export(result(Scored("s-1", said, heard, "s")), tmp_path, ["trn"])
    reference, hypothesis = ((tmp_path / name).read_text().split() for name in ("ref.trn", "hyp.trn"))
    assert all(one != other for one, other in zip(reference[:-1], hypothesis[:-1], strict=True))
    assert [unquote(word) for word in reference[:-1]] == said.split()


@needs_sclite
def test_hostile_ids(tmp_path):
    names = [
        *SPECIAL,
        "a b",
        "a\tb",
        "a_b",
        "A",
        "a",
        "é",
        "日本",
        "a-b",
        "(a-b)",
        ";;x",
        "-",
        "_",
        "\N{NO-BREAK SPACE}",
    ]
    scored = result(*(Scored(name, "a b", "a c", speaker, 1.0) for name in names for speaker in [name[::-1]]))
    export(scored, tmp_path, ["trn", "stm", "ctm"])
    for arguments in (BY_TEXT, BY_TIME):
        sentences, words, *_, errors, wrong, _ = sclite(tmp_path, arguments)
        assert (sentences, words, errors, wrong) == of_ours(scored)


def test_examples():
    failed, attempted = doctest.testmod(exports)
    assert (failed, attempted) == (0, 1)
