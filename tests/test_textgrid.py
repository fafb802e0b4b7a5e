import pytest

from asr.textgrid import read, write

TIERS = {"words": [(0, 300, "so"), (300, 301, ""), (450, 900, 'it "goes"')], "segments": [(0, 900, "so it")]}


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0.000
xmax = 1.000
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0.000
        xmax = 1.000
        intervals: size = 3
        intervals [1]:
            xmin = 0.000
            xmax = 0.100
            text = ""
        intervals [2]:
            xmin = 0.100
            xmax = 0.300
            text = "a ""b\"""
        intervals [3]:
            xmin = 0.300
            xmax = 1.000
            text = ""
"""


def test_a_tier_fills_the_recording():
    assert write({"words": [(100, 300, 'a "b"')]}, 1000) == LONG


@pytest.mark.parametrize(
    ("intervals", "end", "bounds"),
    [
        ([], 500, ["0.000", "0.500"]),
        ([], 0, ["0.000", "0.001"]),
        ([(0, 500, "a")], 500, ["0.000", "0.500"]),
        ([(0, 200, "a"), (200, 500, "b")], 500, ["0.000", "0.200", "0.200", "0.500"]),
        ([(499, 501, "a")], 500, ["0.000", "0.499", "0.499", "0.501"]),
        ([(360_000_000, 360_000_500, "a")], 360_000_500, ["0.000", "360000.000", "360000.000", "360000.500"]),
    ],
)
def test_intervals_follow_each_other(intervals, end, bounds):
    lines = write({"words": intervals}, end).splitlines()
    assert [line.split()[-1] for line in lines if line.startswith(" " * 12) and "xm" in line] == bounds


def test_what_was_written_is_read():
    assert read(write(TIERS, 1000)) == {name: [row for row in tier if row[2]] for name, tier in TIERS.items()}
    assert read(write({"words": [], 'a "tier"': []}, 1000)) == {"words": [], 'a "tier"': []}


def test_labels_that_look_like_the_format_are_read():
    tiers = {"words": [(0, 100, "xmin = 3"), (100, 200, '12 "'), (200, 300, "7"), (300, 400, "intervals [1]:")]}
    assert read(write(tiers, 500)) == tiers


def test_the_short_form_and_tiers_of_points_are_read():
    short = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1.5\n<exists>\n2\n'
        '"TextTier"\n"clicks"\n0\n1.5\n1\n0.25\n"click"\n"IntervalTier"\n"words"\n0\n1.5\n2\n0\n1e-1\n"a"\n0.1\n1.5\n""\n'
    )
    assert read(short) == {"words": [(0, 100, "a")]}


@pytest.mark.parametrize(
    "text", ["", "hello", 'File type = "ooTextFile"\nObject class = "Pitch 1"', write({}, 1)[:-30]]
)
def test_other_files_are_refused(text):
    with pytest.raises(ValueError, match="TextGrid|unpack"):
        read(text)


def test_praat_reads_it(tmp_path):
    praat = pytest.importorskip("parselmouth", reason="praat-parselmouth has no wheel for this machine")
    (tmp_path / "talk.TextGrid").write_text(write(TIERS, 1000), encoding="utf-8")
    grid = praat.read(str(tmp_path / "talk.TextGrid"))
    ask = praat.praat.call
    assert [ask(grid, "Get tier name", tier) for tier in (1, 2)] == ["words", "segments"]
    found = [
        [
            (
                round(ask(grid, "Get start time of interval", tier, place) * 1000),
                round(ask(grid, "Get end time of interval", tier, place) * 1000),
                ask(grid, "Get label of interval", tier, place),
            )
            for place in range(1, ask(grid, "Get number of intervals", tier) + 1)
        ]
        for tier in (1, 2)
    ]
    assert found == [
        [(0, 300, "so"), (300, 301, ""), (301, 450, ""), (450, 900, 'it "goes"'), (900, 1000, "")],
        [(0, 900, "so it"), (900, 1000, "")],
    ]
