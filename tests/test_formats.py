import html
import json
import random
from datetime import timedelta
from itertools import pairwise

import av
import pytest
import srt
import webvtt

import asr
from asr import textgrid
from asr.alignment import Phone, Word
from asr.errors import AudioError, ConfigError, DataError
from asr.formats import FORMATS, Timed, format_named, parse, render, timed
from asr.segments import cues, segments
from asr.transcript import Alternative, Transcript

TALK = Transcript(
    "talks/a talk.flac",
    'say "R&B" <now> ok',
    3.0,
    None,
    (
        Word("say", 0.1, 0.4, 0.9),
        Word('"R&B"', 0.5, 0.9004, 0.25),
        Word("<now>", 1.0, 1.0, 0.5),
        Word("ok", 1.6, 2.0, 1.0),
    ),
    (Alternative('say "R&B" <now> ok', -1.25), Alternative("say", -3.0)),
    "model",
)
SILENCE = Transcript("silence.wav", "", 2.0)

WRITTEN = {
    "txt": 'say "R&B" <now>\nok\n',
    "srt": '1\n00:00:00,100 --> 00:00:02,000\nsay "R&B" <now> ok\n',
    "vtt": 'WEBVTT\n\n00:00:00.100 --> 00:00:02.000\nsay "R&amp;B" &lt;now&gt; ok\n',
    "tsv": 'start\tend\ttext\n100\t1000\tsay "R&B" <now>\n1600\t2000\tok\n',
    "ctm": (
        "a_talk 1 0.100 0.300 say 0.900\n"
        'a_talk 1 0.500 0.400 "R&B" 0.250\n'
        "a_talk 1 1.000 0.001 <now> 0.500\n"
        "a_talk 1 1.600 0.400 ok 1.000\n"
    ),
    "stm": 'a_talk 1 unknown 0.100 1.000 <o> say "R&B" <now>\na_talk 1 unknown 1.600 2.000 <o> ok\n',
}

ODD_WORDS = [
    '"',
    '""',
    "&amp;",
    "<b>",
    "</i>",
    "-->",
    "1",
    "00:00:01,000",
    "ß",
    "日本語",
    "e\u0301",
    "x" * 90,
    "|",
    ";;",
    "{a}",
]


def random_transcript(seed: int, begin_s: float = 0.0) -> Transcript:
    rng = random.Random(seed)
    time_s, words = begin_s + rng.choice([0.0, 0.7]), []
    for _ in range(rng.choice([1, 3, 40])):
        end_s = time_s + rng.choice([0.0, 0.0003, 0.04, 0.3, 1.1])
        words.append(Word(rng.choice([*ODD_WORDS, "so", "it", "goes"]), time_s, end_s, rng.random()))
        time_s = end_s + rng.choice([0.0, 0.0004, 0.12, 0.5, 3.0])
    return Transcript("a.wav", " ".join(word.text for word in words), time_s, None, tuple(words))


TRANSCRIPTS = [TALK, *(random_transcript(seed) for seed in range(60)), random_transcript(60, begin_s=400_000.0)]


def expected(transcript: Transcript, name: str) -> list[str]:
    """The texts that a format holds."""
    if name in ("srt", "vtt"):
        return [" ".join(cue.lines) for cue in cues(transcript.words, transcript.duration_s)]
    parts = transcript.words if name in ("json", "ctm", "textgrid") else segments(transcript.words)
    return [part.text for part in parts]


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written(name):
    assert render(TALK, name) == WRITTEN[name]


def test_json():
    assert json.loads(render(TALK, "json")) == {
        "source": "talks/a talk.flac",
        "text": 'say "R&B" <now> ok',
        "duration_s": 3.0,
        "model": "model",
        "asr_version": asr.__version__,
        "segments": [
            {"start": 0.1, "end": 1.0, "text": 'say "R&B" <now>'},
            {"start": 1.6, "end": 2.0, "text": "ok"},
        ],
        "words": [
            {"word": "say", "start": 0.1, "end": 0.4, "confidence": 0.9},
            {"word": '"R&B"', "start": 0.5, "end": 0.9, "confidence": 0.25},
            {"word": "<now>", "start": 1.0, "end": 1.0, "confidence": 0.5},
            {"word": "ok", "start": 1.6, "end": 2.0, "confidence": 1.0},
        ],
        "alternatives": [{"text": 'say "R&B" <now> ok', "score": -1.25}, {"text": "say", "score": -3.0}],
    }
    assert "alternatives" not in json.loads(render(SILENCE, "json"))


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read(name):
    for transcript in TRANSCRIPTS:
        found = parse(render(transcript, name), name, "a file")
        assert [part.text for part in found] == expected(transcript, name)
        if name == "txt":
            continue
        assert all(part.start_s <= part.end_s for part in found)
        assert all(left.end_s <= right.start_s for left, right in pairwise(found))
        if name in ("ctm", "json"):
            confidences = [word.confidence for word in transcript.words]
            assert [part.confidence for part in found] == pytest.approx(confidences, abs=6e-4)
        if name in ("ctm", "stm"):
            assert {part.recording for part in found} == {"a" if transcript.source == "a.wav" else "a_talk"}


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "txt"])
def test_times_are_kept_to_the_millisecond(name):
    words = tuple(Word(f"w{n}", n * 1.9301, n * 1.9301 + 1.1, 0.5) for n in range(100))
    transcript = Transcript("a.wav", " ".join(word.text for word in words), 200.0, None, words)
    for part in parse(render(transcript, name), name, "a file"):  # each word is a segment and a cue of its own
        word = words[int(part.text[1:])]
        assert (part.start_s, part.end_s) == (round(word.start_s * 1000) / 1000, round(word.end_s * 1000) / 1000)


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        ([], []),
        ([(0.0004, 0.0006)], [(0, 1)]),
        ([(0.9996, 1.2345), (1.2345, 2.0)], [(1000, 1234), (1234, 2000)]),
        ([(1.0, 1.0)], [(1000, 1001)]),
        ([(1.0, 1.0), (1.0, 1.0), (1.0, 1.5)], [(1000, 1001), (1001, 1002), (1002, 1500)]),
        ([(1.0, 1.0), (1.0, 1.0), (1.0, 1.001)], [(1000, 1001), (1001, 1002), (1002, 1003)]),
    ],
)
def test_milliseconds(times_s, expected):
    words = [Word("a", *pair, 0.5) for pair in times_s]
    assert list(timed(words)) == [(*pair, word) for pair, word in zip(expected, words, strict=True)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("txt", ""),
        ("srt", ""),
        ("vtt", "WEBVTT\n"),
        ("tsv", "start\tend\ttext\n"),
        ("ctm", ""),
        ("stm", ""),
    ],
)
def test_of_silence_there_is_an_empty_file(name, content):
    assert render(SILENCE, name) == content


@pytest.mark.parametrize("name", FORMATS)
def test_of_silence_nothing_is_read(name):
    assert parse(render(SILENCE, name), name, "a file") == []
    assert parse(render(Transcript("a.wav", "", 0.0), name), name, "a file") == []


def test_a_hundred_hours_and_more():
    late = Transcript("a.wav", "so", 400_000.0, None, (Word("so", 363_661.5, 363_663.0, 0.5),))
    assert "101:01:01,500 --> 101:01:03,000" in render(late, "srt")
    assert "101:01:01.500 --> 101:01:03.000" in render(late, "vtt")
    assert "a 1 363661.500 1.500 so" in render(late, "ctm")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a\tb\n c.wav", "a_b_c"),
        ("folder/;;talk.tar.gz", "talk.tar"),
        ("", "_"),
        ("-", "-"),
        ("b\udcff.wav", "b\\udcff"),  # a byte that is not UTF-8, as Python gives it
    ],
)
def test_any_name_of_a_recording_will_do(source, name):
    transcript = Transcript(source, "so it", 2.0, None, (Word("so", 0.1, 0.5, 0.5), Word("it", 0.6, 0.9, 0.5)))
    for each in FORMATS:
        content = render(transcript, each).encode("utf-8").decode()
        assert " ".join(part.text for part in parse(content, each, source)) == "so it"
    assert {part.recording for part in parse(render(transcript, "ctm"), "ctm", source)} == {name}
    assert {part.recording for part in parse(render(transcript, "stm"), "stm", source)} == {name}


def test_white_space_in_words_breaks_nothing():
    words = (Word("new\n\nyork", 0.1, 0.5, 0.5), Word(" ", 0.5, 0.6, 0.5), Word("\u2028a\tb", 0.6, 0.9, 0.5))
    transcript = Transcript("a.wav", "new york a b", 2.0, None, words)
    for name in FORMATS:
        found = " ".join(part.text for part in parse(render(transcript, name), name, "a file"))
        assert found == ("new_york a_b" if name == "ctm" else "new york a b")


def test_a_text_without_times():
    bare = Transcript("a.wav", "so it goes", 3.0)
    assert render(bare, "txt") == "so it goes\n"
    assert json.loads(render(bare, "json"))["text"] == "so it goes"
    with pytest.raises(DataError, match=r"^a.wav: srt needs the times of the words, and the transcript has none$"):
        render(bare, "srt")


def test_what_could_not_be_read_is_not_written_as_silence():
    with pytest.raises(AudioError, match="a.wav: damaged"):
        render(Transcript("a.wav", "", 0.0, AudioError("a.wav: damaged")), "txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("str", "unknown format str; did you mean 's"),
        ("TextGrid", "unknown format TextGrid; did you mean 'textgrid'?"),
        ("docx", "unknown format docx; known: ctm, json, srt, stm, textgrid, tsv, txt, vtt"),
    ],
)
def test_an_unknown_format_is_refused(name, message):
    for work in (format_named, lambda name: render(TALK, name), lambda name: parse("", name, "a file")):
        with pytest.raises(ConfigError) as raised:
            work(name)
        assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "text", "texts"),
    [
        ("txt", "so\r\n\r\nit goes", [Timed("so"), Timed("it goes")]),
        (
            "srt",
            "\ufeff1\r\n00:00:01,500 --> 00:00:02,000 X1:0\r\nso\r\nit\r\n\r\n2\r\n"
            "00:00:03,000 --> 00:00:04,000\r\ngoes",
            [Timed("so it", 1.5, 2.0), Timed("goes", 3.0, 4.0)],
        ),
        (
            "vtt",
            "WEBVTT - talk\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE so it goes\n\nid\n"
            "00:01.500 --> 00:02.000 align:start\n<v Ann>so <00:00:01.700><c>it</c>\ngoes &amp; on\n\n"
            "00:03.000 --> 00:04.000\n\n00:05.000 --> 01:00:06.000\non",
            [Timed("so it goes & on", 1.5, 2.0), Timed("", 3.0, 4.0), Timed("on", 5.0, 3606.0)],
        ),
        ("tsv", "start\tend\ttext\n0\t1500\tso\tit\n", [Timed("so\tit", 0.0, 1.5)]),
        (
            "json",
            '{"text": "so", "segments": [{"id": 0, "start": 0, "end": 1.5, "text": "so"}]}',
            [Timed("so", 0.0, 1.5)],
        ),
        (
            "ctm",
            ";; a comment\na  A 0.5 0.25 so\nb\tA 1 .5 it 0.75 lex ann\n",
            [Timed("so", 0.5, 0.75, None, "a"), Timed("it", 1.0, 1.5, 0.75, "b")],
        ),
        (
            "stm",
            ";; a comment\na 1 ann 0.5 1.5 <o,f0,female> so it\na 1 ann 2 3 goes on\na 1 ann 3 4\n",
            [
                Timed("so it", 0.5, 1.5, None, "a"),
                Timed("goes on", 2.0, 3.0, None, "a"),
                Timed("", 3.0, 4.0, None, "a"),
            ],
        ),
    ],
)
def test_files_of_others(name, text, texts):
    assert parse(text, name, "a file") == texts


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("srt", "so it goes", "talk.srt: not srt (a number or times were expected, found 'so it goes')"),
        ("srt", "1\n1.5 --> 2.0\nso\n", "talk.srt: not srt (a number or times were expected, found '1.5 --> 2.0')"),
        ("vtt", "1\n", "talk.vtt: not vtt (WEBVTT was expected, found '1\\n')"),
        ("vtt", "WEBVTT\n\n1 --> 2\nso\n", "talk.vtt: not vtt (times were expected, found '1 --> 2')"),
        ("tsv", "so it goes", "talk.tsv: not tsv (the columns start, end and text were expected, found 'so it goes')"),
        ("tsv", "", "talk.tsv: not tsv (the columns start, end and text were expected, found '')"),
        ("tsv", "start\tend\ttext\n1\t2\n", "talk.tsv: not tsv (3 fields were expected, found '1\\t2')"),
        ("tsv", "start\tend\ttext\n1\tx\ta\n", "talk.tsv: not tsv (invalid literal for int() with base 10: 'x')"),
        ("json", "[", "talk.json: not json (Expecting value: line 1 column 2 (char 1))"),
        ("json", "[]", "talk.json: not json (segments or words with start and end were expected, found '[]')"),
        ("json", "{}", "talk.json: not json (segments or words with start and end were expected, found '{}')"),
        ("ctm", "a 1 0.5 so", "talk.ctm: not ctm (5 fields were expected, found 'a 1 0.5 so')"),
        ("ctm", "a 1 so it goes", "talk.ctm: not ctm (could not convert string to float: 'so')"),
        ("stm", "a 1 ann 0.5", "talk.stm: not stm (5 fields were expected, found 'a 1 ann 0.5')"),
        ("textgrid", "so", "talk.textgrid: not textgrid (a TextGrid in text form was expected, found 'so')"),
    ],
)
def test_what_is_not_in_the_format_is_refused(name, text, message):
    with pytest.raises(DataError) as raised:
        parse(text, name, f"talk.{name}")
    assert str(raised.value) == message


def seconds(time: timedelta) -> float:
    return time.total_seconds()


def test_srt_is_read_by_a_library():
    for transcript in TRANSCRIPTS:
        theirs = list(srt.parse(render(transcript, "srt"), ignore_errors=False))
        ours = parse(render(transcript, "srt"), "srt", "a file")
        assert [cue.index for cue in theirs] == list(range(1, len(ours) + 1))
        assert [(" ".join(cue.content.split()), seconds(cue.start), seconds(cue.end)) for cue in theirs] == [
            (cue.text, cue.start_s, cue.end_s) for cue in ours
        ]


def test_vtt_is_read_by_a_library():
    for transcript in TRANSCRIPTS:
        theirs = webvtt.from_string(render(transcript, "vtt"))
        found = cues(transcript.words, transcript.duration_s)
        assert [cue.text for cue in theirs] == [html.escape("\n".join(cue.lines), quote=False) for cue in found]
        assert [(cue.start, cue.end) for cue in theirs] == [
            tuple(line.split(" --> ")) for line in render(transcript, "vtt").splitlines() if " --> " in line
        ]


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_ffmpeg_reads_subtitles(tmp_path, name):
    path = tmp_path / f"a.{name}"
    for transcript in TRANSCRIPTS:
        path.write_text(render(transcript, name), encoding="utf-8")
        with av.open(path) as container:
            (stream,) = container.streams.subtitles
            packets = [packet for packet in container.demux(stream) if packet.size]
        theirs = [(bytes(packet).decode(), packet.pts, packet.pts + packet.duration) for packet in packets]
        assert [(" ".join(text.split()), start / 1000, end / 1000) for text, start, end in theirs] == [
            (html.escape(cue.text, quote=False) if name == "vtt" else cue.text, cue.start_s, cue.end_s)
            for cue in parse(render(transcript, name), name, "a file")
        ]


@pytest.mark.slow  # the library takes its time to load
def test_ctm_is_read_by_a_library(tmp_path):
    from lhotse import SupervisionSegment, SupervisionSet

    for transcript in TRANSCRIPTS[1:]:
        (tmp_path / "a.ctm").write_text(render(transcript, "ctm"), encoding="utf-8")
        whole = SupervisionSet.from_segments([SupervisionSegment("1", "a", 0.0, transcript.duration_s + 1.0)])
        theirs = whole.with_alignment_from_ctm(tmp_path / "a.ctm")["1"].alignment["word"]
        assert [(word.symbol, word.start, word.end, word.score) for word in theirs] == [
            (word.text, word.start_s, pytest.approx(word.end_s), word.confidence)
            for word in parse(render(transcript, "ctm"), "ctm", "a file")
        ]


def test_praat_reads_a_textgrid(tmp_path):
    praat = pytest.importorskip("parselmouth", reason="praat-parselmouth has no wheel for this machine")
    for transcript in (*TRANSCRIPTS[:20], SILENCE, Transcript("a.wav", "", 0.0)):
        (tmp_path / "a.TextGrid").write_text(render(transcript, "textgrid"), encoding="utf-8")
        grid = praat.read(str(tmp_path / "a.TextGrid"))
        count = praat.praat.call(grid, "Get number of intervals", 1)
        labels = [praat.praat.call(grid, "Get label of interval", 1, place + 1) for place in range(count)]
        assert list(filter(None, labels)) == [word.text for word in transcript.words]


def test_phones_are_told_where_they_are_known():
    phones = (Phone("S", 0.1, 0.2, 0.75), Phone("EY", 0.25, 0.4, 0.5))
    said = Transcript(
        "a.wav", "say ok", 3.0, None, (Word("say", 0.1, 0.4, 0.9, phones=phones), Word("ok", 1.6, 2.0, 1))
    )
    assert render(said, "ctm") == "a 1 0.100 0.100 S 0.750\na 1 0.250 0.150 EY 0.500\n"
    first, second = json.loads(render(said, "json"))["words"]
    assert first["phones"] == [
        {"phone": "S", "start": 0.1, "end": 0.2, "confidence": 0.75},
        {"phone": "EY", "start": 0.25, "end": 0.4, "confidence": 0.5},
    ]
    assert "phones" not in second
    tiers = textgrid.read(render(said, "textgrid"))
    assert tiers["phones"] == [(100, 200, "S"), (250, 400, "EY")]
    assert tiers["words"] == [(100, 400, "say"), (1600, 2000, "ok")]
    assert "phones" not in textgrid.read(render(TALK, "textgrid"))
