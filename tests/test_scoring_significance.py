import math
import random
import re
import shutil
import statistics
import subprocess

import pytest

from asr.metrics import Column, align, count_errors
from asr.scoring.significance import (
    Mapsswe,
    McNemar,
    Segment,
    binomial_p,
    mapsswe,
    mcnemar,
    places,
    segments,
    two_tailed,
)

KINDS = {"C": "equal", "S": "substitute", "D": "delete", "I": "insert"}
"""By sclite's names."""


def columns(kinds):
    """An alignment from a letter for each column, to words of a reference that are all alike."""
    return [Column(KINDS[kind], "" if kind == "I" else "said", "" if kind == "D" else "heard") for kind in kinds]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("", "", []),
        ("CCCC", "CCCC", []),
        ("SCCC", "CCCC", [(1, 0)]),
        ("CCCC", "CCCD", [(0, 1)]),
        ("SCCS", "CCCC", [(1, 0), (1, 0)]),
        ("SCS", "CCC", [(2, 0)]),
        ("SCCC", "CCCS", [(1, 0), (0, 1)]),
        ("SCCC", "CCSC", [(1, 1)]),
        ("SCCCCS", "CSCCDD", [(1, 1), (1, 2)]),
        ("CICCC", "CCCC", [(1, 0)]),
        ("SCICC", "CCCC", [(2, 0)]),
        ("SCCIC", "CCCC", [(1, 0), (1, 0)]),
        ("SCCC", "CCICC", [(1, 1)]),
        ("IICC", "CC", [(2, 0)]),
        ("CC", "CCII", [(0, 2)]),
        ("ICC", "CCI", [(1, 0), (0, 1)]),
        ("III", "", [(3, 0)]),
        ("II", "I", [(2, 1)]),
        ("DDDD", "SSSS", [(4, 4)]),
    ],
)
def test_segments_by_hand(a, b, expected):
    assert segments(columns(a), columns(b)) == expected
    assert segments(columns(b), columns(a)) == [Segment(errors_b, errors_a) for errors_a, errors_b in expected]


@pytest.mark.parametrize(("buffer", "expected"), [(1, [(1, 0)] * 3), (2, [(2, 0), (1, 0)]), (3, [(3, 0)])])
def test_the_buffer_is_as_long_as_asked(buffer, expected):
    assert segments(columns("SCSCCSCCC"), columns("CCCCCCCCC"), buffer) == expected


def test_no_error_is_lost_and_none_counted_twice():
    generator = random.Random(5)
    for _ in range(200):
        reference = generator.choices("abc", k=generator.randrange(12))
        a, b = (align(" ".join(reference), " ".join(generator.choices("abc", k=10))) for _ in "ab")
        found = segments(a, b)
        for system, aligned in enumerate((a, b)):
            assert sum(segment[system] for segment in found) == sum(column.kind != "equal" for column in aligned)
        assert all(any(segment) for segment in found)


def test_places_are_shared_by_all_alignments_to_a_reference():
    one, two = places(columns("ICCDI")), places(columns("SCIID"))
    assert [len(place) for place in one] == [1, 1, 0, 1, 0, 1, 1]
    assert [len(place) for place in two] == [0, 1, 0, 1, 2, 1, 0]
    assert places([]) == [[]]


def test_alignments_to_different_references_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        segments(columns("CCC"), columns("CC"))


def test_mapsswe_by_hand():
    # Differences B - A of four segments: -1, -2, 0, -1; their mean is -1, their variance (0 + 1 + 1 + 0) / 3.
    aligned = [("SCCSSCC", "CCCCCCC"), ("CCCC", "CCCC"), ("SCC", "SCC"), ("SD", "CS")]
    found = mapsswe((columns(a), columns(b)) for a, b in aligned)
    assert (found.segments, found.mean) == (4, -1)
    assert found.deviation == pytest.approx(math.sqrt(2 / 3))
    assert found.z == pytest.approx(-math.sqrt(6))
    assert found.p == pytest.approx(0.014306, abs=1e-6)


def test_mapsswe_is_symmetric():
    aligned = [(columns(a), columns(b)) for a, b in [("SCCSS", "CCCCC"), ("ICC", "CCI"), ("SCCC", "CCSC")]]
    one, other = mapsswe(aligned), mapsswe((b, a) for a, b in aligned)
    assert one.z < 0
    assert other == Mapsswe(one.segments, -one.mean, one.deviation, -one.z, one.p)


@pytest.mark.parametrize(
    ("aligned", "expected"),
    [
        ([], Mapsswe(0, 0, 0, 0, 1)),
        ([("", "")], Mapsswe(0, 0, 0, 0, 1)),
        ([("CC", "CC")], Mapsswe(0, 0, 0, 0, 1)),
        ([("SCC", "SCC"), ("DD", "SS")], Mapsswe(2, 0, 0, 0, 1)),
        ([("SCC", "CCC")], Mapsswe(1, -1, 0, 0, 1)),
        ([("SCC", "CCC"), ("CC", "CC"), ("I", "")], Mapsswe(2, -1, 0, 0, 1)),
    ],
    ids=["nothing", "empty", "no errors", "the same errors", "one segment", "all differences alike"],
)
def test_mapsswe_finds_nothing_where_there_is_no_deviation(aligned, expected):
    assert mapsswe((columns(a), columns(b)) for a, b in aligned) == expected


@pytest.mark.parametrize(
    ("z", "p"), [(0, 1), (1.959964, 0.05), (-1.959964, 0.05), (2.575829, 0.01), (1, 0.317311), (-3.290527, 0.001)]
)
def test_p_of_z(z, p):
    assert two_tailed(z) == pytest.approx(p, abs=1e-6)
    assert two_tailed(z) == pytest.approx(2 * statistics.NormalDist().cdf(-abs(z)))


def test_mcnemar_by_hand():
    # P(X <= 2) of 12 throws: (1 + 12 + 66) / 4096.
    right, wrong = count_errors("a b", "a b"), count_errors("a b", "a")
    outcomes = [(right, right)] * 3 + [(right, wrong)] * 2 + [(wrong, right)] * 10 + [(wrong, wrong)] * 4
    a, b = ({str(name): pair[system] for name, pair in enumerate(outcomes)} for system in (0, 1))
    assert mcnemar(a, b) == McNemar(3, 2, 10, 4, 158 / 4096)
    assert mcnemar(b, a) == McNemar(3, 10, 2, 4, 158 / 4096)
    assert mcnemar(a, a) == McNemar(5, 0, 0, 14, 1)
    assert mcnemar({}, {}) == McNemar(0, 0, 0, 0, 1)
    assert round(158 / 4096, 4) == 0.0386


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 0), (3, 3), (0, 6), (4, 9), (40, 60)])
def test_binomial_p_counts_all_throws(one, other):
    throws, fewer = one + other, min(one, other)
    tails = [math.comb(throws, count) for count in range(throws + 1) if min(count, throws - count) <= fewer]
    assert binomial_p(one, other) == pytest.approx(sum(tails) / 2**throws, rel=1e-12)


def test_binomial_p_of_many_throws():
    assert binomial_p(9_800, 10_200) == pytest.approx(two_tailed((10_200 - 9_800 - 1) / math.sqrt(20_000)), rel=1e-3)
    assert binomial_p(0, 2_000) == 0  # less than any floating-point number above zero, and no error


needs_sctk = pytest.mark.skipif(shutil.which("sctk") is None, reason="needs NIST's sctk, Debian's package of that name")


def made_up(generator, reference, rate):
    """What a system hears of a reference: at every word it may lose, mistake or invent some."""
    heard = []
    for word in reference:
        kind = generator.choices(["equal", "substitute", "delete", "insert"], [1 - rate, rate / 2, rate / 4, rate / 4])[
            0
        ]
        heard += {"equal": [word], "substitute": ["x" + word], "delete": [], "insert": [word, "uh"]}[kind]
    return heard


def write_trn(path, texts):
    path.write_text("".join(f"{' '.join(words)} ({name})\n" for name, words in texts.items()))


def parse_sgml(path):
    """sclite's alignments by id."""
    found = {}
    for name, path_text in re.findall(r'<PATH id="\((.*?)\)".*?>\n(.*?)\n?</PATH>', path.read_text(), re.DOTALL):
        parts = re.findall(r'([CSDI]),(?:"(.*?)")?,(?:"(.*?)")?(?::|$)', path_text)
        found[name] = [Column(KINDS[kind], said, heard) for kind, said, heard in parts]
    return found


def sctk(folder, command, text=None):
    return subprocess.run(
        ["sctk", *command.split()], cwd=folder, input=text, check=True, capture_output=True, text=True
    )


def compare_with_sctk(folder, test):
    """What sc_stats says of `a.trn` and `b.trn` against `reference.trn`; sclite's alignments stay beside them."""
    for name in "ab":
        sctk(folder, f"sclite -r reference.trn trn -h {name}.trn trn -i spu_id -o sgml -O . -n {name}")
    sctk(folder, f"sc_stats -p -t {test} -v -n found", "".join((folder / f"{name}.sgml").read_text() for name in "ab"))
    return (folder / f"found.stats.{test}").read_text()


@pytest.fixture(scope="module")
def nist(tmp_path_factory):
    """References, two systems' hypotheses, sclite's alignments of both, and what sc_stats makes of them."""
    folder, generator = tmp_path_factory.mktemp("sctk"), random.Random(11)
    words = ["one", "two", "three", "four", "five"]
    references = {f"s{i % 6}_{i}": generator.choices(words, k=generator.randrange(1, 25)) for i in range(150)}
    systems = [{name: made_up(generator, said, rate) for name, said in references.items()} for rate in (0.12, 0.07)]
    write_trn(folder / "reference.trn", references)
    for name, heard in zip("ab", systems, strict=True):
        write_trn(folder / f"{name}.trn", heard)
    reports = [compare_with_sctk(folder, test) for test in ("mapsswe", "mcn")]
    return references, systems, [parse_sgml(folder / f"{name}.sgml") for name in "ab"], reports


@needs_sctk
def test_mapsswe_is_that_of_sc_stats_on_its_alignment(nist):
    _, _, (a, b), (report, _) = nist
    found = mapsswe((a[name], b[name]) for name in a)
    segments_there = int(re.search(r"# segs: (\d+)", report)[1])
    figures = re.search(r"\(mean: +(\S+)\) \(std dev: +(\S+)\) \(Z Stat: +(\S+)\) \(Stat Diff: (\w+)\)", report)
    assert found.segments == segments_there > 100
    assert [f"{-found.mean:.3f}", f"{found.deviation:.3f}", f"{-found.z:.3f}"] == list(figures.groups()[:3])  # A less B
    assert figures[4] == ("Yes" if found.p < 0.05 else "No")


@needs_sctk
def test_mapsswe_of_our_alignment_is_close_to_that_of_sc_stats(nist):
    references, systems, (a, b), _ = nist
    texts = [(" ".join(said), *(" ".join(heard[name]) for heard in systems)) for name, said in references.items()]
    ours = mapsswe((align(said, heard_a), align(said, heard_b)) for said, heard_a, heard_b in texts)
    theirs = mapsswe((a[name], b[name]) for name in a)
    assert ours.segments == pytest.approx(theirs.segments, rel=0.05)
    assert ours.z == pytest.approx(theirs.z, rel=0.1)


@needs_sctk
def test_sentences_are_right_where_sc_stats_says_so(nist):
    references, systems, _, (_, report) = nist
    a, b = (
        {name: count_errors(" ".join(said), " ".join(heard[name])) for name, said in references.items()}
        for heard in systems
    )
    found = mcnemar(a, b)
    table = re.search(r"corr +(\d+) +(\d+)\s+incorr +(\d+) +(\d+)", report)
    counts = [found.both_right, found.only_a_right, found.only_b_right, found.both_wrong]
    assert counts == [*map(int, table.groups())]
    assert all(counts)


@needs_sctk
@pytest.mark.parametrize(("only_a", "only_b"), [(10, 2), (3, 5), (8, 12), (5, 15)])
def test_mcnemar_is_that_of_sc_stats(tmp_path, only_a, only_b):
    # Of more than 20 sentences sc_stats takes a normal approximation, which in its version 2.4.10 is out: 0.000 for
    # 60 against 50, where the binomial gives 0.39.
    said, wrong = ["one", "two", "three"], ["one", "two"]
    names = [f"s_{number}" for number in range(only_a + only_b)]
    right_by = {"a": names[:only_a], "b": names[only_a:]}
    write_trn(tmp_path / "reference.trn", dict.fromkeys(names, said))
    for system, right in right_by.items():
        write_trn(tmp_path / f"{system}.trn", {name: said if name in right else wrong for name in names})
    report = compare_with_sctk(tmp_path, "mcn")
    texts = {True: count_errors("a b c", "a b c"), False: count_errors("a b c", "a b")}
    found = mcnemar(*({name: texts[name in right] for name in names} for right in right_by.values()))
    assert f"{found.p:.3f}" == re.search(r"it occurr?ing is ([\d.]+)", report)[1]
    assert re.search(r"null hypothesis is (\w+)", report)[1] == ("REJECTED" if found.p < 0.05 else "ACCEPTED")
    assert binomial_p(60, 50) == pytest.approx(two_tailed(9 / math.sqrt(110)), abs=1e-3)
