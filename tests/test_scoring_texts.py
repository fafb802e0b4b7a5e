import io
import json
import re
from pathlib import Path

import pytest
from conftest import write_tone

from asr.alignment import Word
from asr.errors import DataError
from asr.evaluation import to_lines
from asr.files import write_json_lines
from asr.formats import render
from asr.manifest import Utterance, write_manifest
from asr.reading import Reading
from asr.scoring import entries
from asr.scoring.texts import Texts, read_texts, read_together
from asr.transcript import Transcript

WORDS = (Word("so", 0.1, 0.3, 0.9), Word("it", 0.5, 0.7, 0.25))


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts_of(found: Texts) -> dict[str, str]:
    return {name: entry.text for name, entry in found.entries.items()}


LINES = {
    "manifest": '{"audio_filepath": "a/u1.wav", "duration": 1.5, "text": "so it"}\n'
    '{"audio_filepath": "a/u2.wav", "duration": 2, "text": ""}\n',
    "JSON lines": '{"id": "u1", "text": "so it"}\n{"id": "u2", "text": "", "words": []}\n',
    "Kaldi text": "u1 so it\nu2\n",
    "trn": ";; a comment\nso it (u1)\n(u2)\n",
    "CSV": 'id,text\nu1,"so it"\nu2,\n',
    "TSV": "utterance\tsentence\nu1\tso it\nu2\t\n",
}


@pytest.mark.parametrize("name", ["anything", "x.txt", "x.jsonl", "x.stm"])
@pytest.mark.parametrize("kind", LINES)
def test_kinds_are_found_by_content_whatever_the_name(kind, name, tmp_path):
    found = read_texts(file(tmp_path, name, LINES[kind]))
    assert (found.kind, texts_of(found)) == (kind, {"u1": "so it", "u2": ""})


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("change", ["mark", "windows", "old mac", "no last end", "blank lines"])
def test_marks_and_ends_of_lines_change_nothing(kind, change, tmp_path):
    text = LINES[kind]
    changed = {
        "mark": b"\xef\xbb\xbf" + text.encode(),
        "windows": text.replace("\n", "\r\n").encode(),
        "old mac": text.replace("\n", "\r").encode(),
        "no last end": text.rstrip("\n").encode(),
        "blank lines": text.replace("\n", "\n\n").encode(),
    }[change]
    found = read_texts(file(tmp_path, "x", changed))
    assert (found.kind, texts_of(found)) == (kind, {"u1": "so it", "u2": ""})


def test_a_manifest_that_we_write_and_the_hypotheses_that_nemo_adds(tmp_path):
    utterance = Utterance("a", tmp_path / "audio/a.wav", "so it", "ann", offset_s=2.5, duration_s=1.5)
    write_manifest(tmp_path / "m.jsonl", [utterance])
    entry = read_texts(tmp_path / "m.jsonl").entries["a"]
    assert entry == entries.Entry("a", "so it", 1, "ann", 1.5, tmp_path / "audio/a.wav", 2.5)
    lines = [{"audio_filepath": f"{name}.wav", "duration": 1, "text": "x", "pred_text": "y"} for name in "ab"]
    write_json_lines(tmp_path / "nemo.json", lines)
    reference, (hypothesis,) = read_together(tmp_path / "nemo.json", [tmp_path / "nemo.json"])
    assert (texts_of(reference), texts_of(hypothesis)) == ({"a": "x", "b": "x"}, {"a": "y", "b": "y"})
    del lines[1]["pred_text"]
    write_json_lines(tmp_path / "nemo.json", lines)
    with pytest.raises(DataError, match=r"nemo.json:2: no 'pred_text'"):
        read_texts(tmp_path / "nemo.json", hypothesis=True)


def test_what_decoding_writes(tmp_path):
    write_json_lines(tmp_path / "d.jsonl", to_lines({"u1": Reading("so it", WORDS), "u2": Reading("")}))
    found = read_texts(tmp_path / "d.jsonl")
    assert found.kind == "JSON lines"
    assert found.entries == {"u1": entries.Entry("u1", "so it", 1, words=WORDS), "u2": entries.Entry("u2", "", 2)}


def test_an_id_may_be_a_number_and_a_confidence_unknown(tmp_path):
    word = {"word": "so", "start": 0, "end": 1, "confidence": float("nan")}
    found = read_texts(file(tmp_path, "x", json.dumps({"id": 0, "text": "so", "words": [word]})))
    assert found.entries["0"].words == (Word("so", 0, 1, 1.0),)


def test_what_transcribing_writes(tmp_path):
    transcript = Transcript("talks/u1.mp3", "so it", 2.0, words=WORDS)
    written = {name: file(tmp_path, f"x.{name}", render(transcript, name)) for name in ("json", "ctm", "stm", "tsv")}
    found = read_texts(written["json"])
    assert found.kind == "JSON"
    assert found.entries == {"u1": entries.Entry("u1", "so it", 1, duration_s=2.0, words=WORDS)}
    compact = file(tmp_path, "compact", json.dumps(json.loads(written["json"].read_text())))
    assert read_texts(compact).entries == found.entries
    found = read_texts(written["ctm"])
    assert found.kind == "ctm"
    assert found.entries == {"u1": entries.Entry("u1", "so it", 1, words=WORDS, recording="u1", channel="1")}
    assert texts_of(read_texts(written["stm"])) == {"u1-1-0.100-0.700": "so it"}
    with pytest.raises(DataError, match=r"x.tsv:1: segments of one recording \(start, end, text\) have no id"):
        read_texts(written["tsv"])


def test_stm(tmp_path):
    text = (
        ";; a comment\n"
        "a 1 ann 0.0 1.5 <o,f0,male> so it\n"
        "a 1 inter 1.5 2 ignore_time_segment_in_scoring\n"
        "a 1 7 2 3.25 goes <unk> (laughs loudly)\n"
        "a 2 unknown 2 3.25\n"
    )
    found = read_texts(file(tmp_path, "x", text))
    assert found.kind == "stm"
    assert texts_of(found) == {
        "a-1-0.000-1.500": "so it",
        "a-1-2.000-3.250": "goes <unk> (laughs loudly)",
        "a-2-2.000-3.250": "",
    }
    assert [entry.speaker for entry in found.entries.values()] == ["ann", "7", ""]
    assert [(entry.offset_s, entry.duration_s) for entry in found.entries.values()] == [(0, 1.5), (2, 1.25), (2, 1.25)]
    assert [(entry.line, entry.offset_s, entry.duration_s) for entry in found.ignored] == [(3, 1.5, 0.5)]


def test_ctm(tmp_path):
    text = "a 1 0.5 0.25 so 0.5\na 1 0.5 1 it NA lex\n;; b\nb A 0 1.5 7\nb B 1 1 ho\nb A 0.75 1 up\n"
    found = read_texts(file(tmp_path, "x", text))
    assert found.kind == "ctm"
    assert texts_of(found) == {"a": "so it", "b-A": "7 up", "b-B": "ho"}
    assert found.entries["a"].words == (Word("so", 0.5, 0.75, 0.5), Word("it", 0.5, 1.5, 1.0))
    assert found.entries["b-A"].words == (Word("7", 0, 1.5, 1.0), Word("up", 0.75, 1.75, 1.0))


def test_a_suffix_tells_where_content_cannot(tmp_path):
    assert read_texts(file(tmp_path, "said", "utt1 1 2 3 4\nutt2 5 6 7 8\n")).kind == "Kaldi text"
    assert read_texts(file(tmp_path, "x.ctm", "utt1 1 2 3 4\nutt2 5 6 7 8\n")).kind == "ctm"
    assert read_texts(file(tmp_path, "x.stm", "utt1 1 2 3 4\nutt2 5 6 7 8\n")).kind == "stm"
    assert read_texts(file(tmp_path, "x", "a 1 0.5 0.25 7\nb 1 0.5 0.25 8\n")).kind == "ctm"
    assert read_texts(file(tmp_path, "x", "a 1 2 0.5 1.25 x 9\nb 1 2 0.5 1.25 y\n")).kind == "stm"


def test_tables(tmp_path):
    header = "Path,Reference,hypothesis,client_id,duration,offset\n"
    rows = '"x/u1.wav","so, ""it""\ngoes",so,ann,2.5,1\nu2.wav,b,c,,,\n'
    path = file(tmp_path, "t.csv", header + rows)
    assert list(read_texts(path).entries.values()) == [
        entries.Entry("u1", 'so, "it"\ngoes', 2, "ann", 2.5, tmp_path / "x/u1.wav", 1.0),
        entries.Entry("u2", "b", 4, audio=tmp_path / "u2.wav"),
    ]
    assert texts_of(read_texts(path, hypothesis=True)) == {"u1": "so", "u2": "c"}


def test_two_columns_without_a_header_are_ids_and_texts(tmp_path):
    found = read_texts(file(tmp_path, "x.tsv", "anna\tso it\nbert\tgoes\n"))
    assert (found.kind, texts_of(found)) == ("Kaldi text", {"anna": "so it", "bert": "goes"})


def test_plain_lines_count_when_they_are_blank(tmp_path):
    a = file(tmp_path, "a", "so it goes\n\nso it was\n")
    b = file(tmp_path, "b", "so\tit goes\nx\n\n")
    reference, (hypothesis,) = read_together(a, [b])
    assert reference.kind == hypothesis.kind == "plain lines"
    assert texts_of(reference) == {"1": "so it goes", "2": "", "3": "so it was"}
    assert texts_of(hypothesis) == {"1": "so\tit goes", "2": "x", "3": ""}


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        ("84-1-0001 so it\n84-1-0002 goes\n", "84-1-0002 go\n84-1-0001 so\n", "Kaldi text"),
        ("utt1 so\n", "utt1\n", "Kaldi text"),
        ("u1 so\nanna it\nu2 so\n", "u1 so\nu2 so\n", "Kaldi text"),
        ("001 so it\n", "001 so\n", "Kaldi text"),
        ("a41de7 so it\nb so\n", "a41de7 so it\nb so\n", "plain lines"),
        ("1 2 3\n2 2 5\n", "1 2 3\n2 5\n", "plain lines"),
        ("the cat\nthe mat\n", "the cat\na mat\n", "plain lines"),
        ("so it\ngoes on\n", "no it\ngot on\n", "plain lines"),
        ("so it\n", "so\n", "plain lines"),
    ],
)
def test_ids_are_told_from_words(a, b, kind, tmp_path):
    reference, hypotheses = read_together(file(tmp_path, "a.txt", a), [file(tmp_path, "b.txt", b)] * 2)
    assert {reference.kind, *(found.kind for found in hypotheses)} == {kind}


def test_the_name_tells_ids_that_do_not_look_like_any(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    said = "anna so it\nbert goes\n"
    a, b = file(tmp_path / "a", "text", said), file(tmp_path / "b", "text", said)
    assert read_together(a, [b])[0].kind == "Kaldi text"
    a, b = file(tmp_path, "a.x", said), file(tmp_path, "b.x", said)
    with pytest.raises(
        DataError, match=r"a.x: each line begins with a word of its own, such as 'anna', that is in .*b.x too"
    ):
        read_together(a, [b])


def test_beside_a_file_with_ids_lines_have_ids(tmp_path):
    trn, kaldi = file(tmp_path, "x.trn", "so it (anna)\ngo (bert)\n"), file(tmp_path, "x", "bert go\nanna so\n")
    assert texts_of(read_together(trn, [kaldi])[1][0]) == {"bert": "go", "anna": "so"}
    assert texts_of(read_together(kaldi, [trn])[0]) == {"bert": "go", "anna": "so"}
    with pytest.raises(DataError, match=r"y: its lines begin with no id of .*x.trn \(trn\), the first with 'so'"):
        read_together(trn, [file(tmp_path, "y", "so it\nno\n")])


def test_a_folder_of_texts(tmp_path):
    (tmp_path / "deeper").mkdir()
    file(tmp_path, "u1.txt", "so it\ngoes\n"), file(tmp_path / "deeper", "u2.txt", ""), file(tmp_path, "u1.srt", "1\n")
    found = read_texts(tmp_path)
    assert (found.kind, texts_of(found)) == ("folder of texts", {"u1": "so it goes", "u2": ""})
    file(tmp_path / "deeper", "u1.txt", "x")
    with pytest.raises(DataError, match=r"u1.txt: the id 'u1' is also that of .*deeper/u1.txt"):
        read_texts(tmp_path)


def test_the_standard_input(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"so it (u1)\n")))
    reference, _ = read_together(Path("-"), [file(tmp_path, "b", "u1 so it\n")])
    assert texts_of(reference) == {"u1": "so it"}
    with pytest.raises(DataError, match="only one of the files"):
        read_together(Path("-"), [Path("-")])


MANIFEST = '{"audio_filepath": "%s.wav", "duration": %s, "text": "x"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x", "", ": the file is empty"),
        ("x", ";; nothing\n", ": no utterance in it"),
        ("x", "so".encode("utf-16"), ": the file is UTF-16; save it as UTF-8"),
        ("x", b"u1 so\nu2 caf\xe9 so\n", ":2: not UTF-8 (byte 0xe9); is it Latin-1?"),
        ("x", b"RIFF\0\0", ": not text (byte 4 is zero)"),
        ("x", MANIFEST % ("u1", 1) + MANIFEST % ("u1", 1), ":2: the id 'u1' is also in line 1"),
        ("x", MANIFEST % ("u1", "NaN"), ":1: duration nan: seconds were expected, a number from 0"),
        ("x", MANIFEST % ("u1", -1), ":1: duration -1: seconds"),
        ("x", MANIFEST % ("u1", '"long"'), ":1: duration 'long': seconds"),
        ("x", MANIFEST % ("u1", "[1]"), ":1: duration [1]: seconds"),
        ("x", MANIFEST % ("u1", 1) + "u2 so\n", ":2: not JSON ("),
        ("x", MANIFEST % ("u1", 1) + "[3]\n", ":2: a JSON object was expected, found [3]"),
        ("x", '{"audio_filepath": 5, "text": "x"}', ":1: audio_filepath has to be a string, found 5"),
        ("x", '{"audio_filepath": "a.wav", "duration": 1}', ":1: no 'text'"),
        ("x", '{"id": "u1", "text": 5}', ":1: text has to be a string, found 5"),
        ("x", '{"text": "a", "who": 1}\n{"text": "b"}\n', ":1: no 'id' and no 'audio_filepath', only 'text', 'who'"),
        ("x", '{"id": "u1", "text": "a', ":1: neither JSON nor JSON lines"),
        ("x", '{"id": "u1", "text": "a", "words": [{"word": "a"}]}', ":1: words have to be objects with word"),
        (
            "x",
            '{"id": "u1", "text": "a", "words": [{"word": "a", "start": -1, "end": 1}]}',
            ":1: start -1: seconds were expected",
        ),
        ("x", r'{"id": "u1", "text": "so \ud800"}', ":1: half a character (a lone surrogate) in 'u1'"),
        ("x", "u1 so\nu2 it\nu1 so\n", ":3: the id 'u1' is also in line 1"),
        ("x", "so (u1)\n" * 9 + "it\n", ":10: a trn's line ends in (id), found 'it'"),
        ("x", "so {uh / oh} (u1)\n", ":1: alternations and optional words are not supported ({)"),
        ("x", "so (uh) it (u1)\n", ":1: alternations and optional words are not supported ((uh))"),
        ("x", "so @ it (u1)\n", ":1: alternations and optional words are not supported (@)"),
        ("x", "a 1 s 0.5 1.5 <o> {so} it\n", ":1: alternations and optional words are not supported ({)"),
        ("x", "a 1 s 0.5 1.5 x\n" * 10 + "a 1\n", ":11: an stm's line has file, channel, speaker, begin and end"),
        ("x", "a 1 s 1.5 0.5 x\n", ":1: the segment ends at 0.5 s, before it begins at 1.5 s"),
        ("x", "a 1 s 0.5 1.5 x\na 1 s nan 1.5 y\n", ":2: begin 'nan': seconds were expected"),
        ("x", "a 1 s 0.5 1.5 x\na 1 s 0.5 1.5 y\n", ":2: the id 'a-1-0.500-1.500' is also in line 1"),
        ("x.stm", "a 1 s 0.5 1.5 ignore_time_segment_in_scoring\n", ": no utterance in it"),
        ("x", "a 1 1.5 0.5 so\na 1 0.5 0.5 it\n", ":2: a word at 0.5 s behind one at 1.5 s; sort the words by time"),
        ("x", "a 1 0.5 -0.5 so\n", ":1: duration '-0.5': seconds were expected"),
        ("x", "a 1 0.5 0.5 so\na 1 inf 0.5 so\n", ":2: start 'inf': seconds were expected"),
        ("x", "a 1 0.5 0.5 so\na 1 * * <ALT_BEGIN>\n", ":2: alternations are not supported (<ALT_BEGIN>)"),
        ("x", "a 1 0.5 0.5 so\n" * 10 + "a 1 0.5 0.5\n", ":11: a ctm's line has file, channel, start, duration"),
        ("x", "id\ttext\nu1\tso\nu2\tso\tit\n", ":3: 3 columns, but the header has 2"),
        ("x", "id,text\nu1,so\nu2\n", ":3: 1 columns, but the header has 2"),
        ("x", 'id,text\nu1,so\nu2,"so\nu3,it\n', ":3: the table is damaged (unexpected end of data)"),
        ("x", "id,text\n,so\n", ":2: the id is empty"),
        ("x", "id,text\nu1,so\nu1,it\n", ":3: the id 'u1' is also in line 2"),
        ("x", "id,text,duration\nu1,so,-2\n", ":2: duration '-2': seconds were expected"),
        ("x.csv", "id,words\nu1,so\n", ":1: no column for the text (such as reference, ref, text), only id, words"),
        (
            "x.tsv",
            "who\twhen\ttext\n",
            ":1: no column for the id (such as id, utterance, utterance_id), only who, when",
        ),
    ],
)
def test_refusals_in_one_line(name, content, message, tmp_path):
    path = file(tmp_path, name, content)
    with pytest.raises(DataError, match=f"^{re.escape(f'{path}{message}')}") as caught:
        read_texts(path)
    assert "\n" not in str(caught.value)


def test_refusals_of_what_is_no_file(tmp_path):
    with pytest.raises(DataError, match="nowhere: No such file"):
        read_texts(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder: a folder, and no .txt in it"):
        read_texts(tmp_path / "folder")
    with pytest.raises(DataError, match="a.wav: not text"):
        read_texts(write_tone(tmp_path / "a.wav"))


def test_an_utterance_can_be_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "LONGEST", 10)
    assert read_texts(file(tmp_path, "x", f"u1 {'a ' * 5}\n")).entries["u1"].text == "a a a a a"
    for path in (file(tmp_path, "x", f"u1 {'a ' * 5}b\n"), file(tmp_path, "x.txt", "a b c d e f").parent):
        with pytest.raises(DataError, match=r"x(.txt)?:1: 11 characters in one utterance, and 10 are the most"):
            read_texts(path)


def test_a_line_of_ten_megabytes_is_refused_at_once(tmp_path):
    for line in ("x" * 10_000_000, "( " * 5_000_000, "1.5 " * 2_500_000, "u1 " + "(a " * 3_333_333):
        with pytest.raises(DataError, match=r"x:1: \d+ characters in one utterance"):
            read_texts(file(tmp_path, "x", line))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("so it\n\nso\n", "so it\n", r"b has 1 lines, but .*a has 3: without ids they cannot be joined"),
        ("u1 so it\n", "so it\n", r"a: its lines begin with ids, such as 'u1', those of .*b not"),
        ("so it\n", "u1 so it\n", r"b: its lines begin with ids, such as 'u1', those of .*a not"),
        ("a 1 0.5 0.5 so\n", "a 1 s 0.5 1.5 so\n", r"a \(ctm\) is a hypothesis, and .*b \(stm\) a reference: swap"),
        (
            '{"id": "u", "text": "a", "words": [{"word": "a", "start": 0, "end": 1}]}',
            MANIFEST % ("u", 1),
            r"a \(JSON lines\) is a hypothesis, and .*b \(manifest\) a reference: swap",
        ),
    ],
)
def test_files_that_do_not_go_together(a, b, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_together(file(tmp_path, "a", a), [file(tmp_path, "b", b)])
