import codecs
import io
import json
import os
import subprocess
import sys
from pathlib import Path, PurePath

import numpy as np
import pytest
from conftest import tone, write_tone

from asr import audio
from asr.inputs import Input, find

ROOT = Path(__file__).resolve().parents[1]


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"sound")


def found(*arguments):
    """Path and name of each input; there must be no errors."""
    inputs, errors = find([str(argument) for argument in arguments])
    assert errors == []
    return [(str(each.path), each.name.as_posix()) for each in inputs]


def refused(*arguments):
    """The only error; there must be no inputs."""
    inputs, (error,) = find([str(argument) for argument in arguments])
    assert inputs == []
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_any_kind_is_called_after_its_stem(here):
    touch(here, "a.wav", "deep/talk 1.2.MP3", "memo", "notes.pdf")
    assert found("a.wav", "deep/talk 1.2.MP3", "memo", here / "notes.pdf") == [
        ("a.wav", "a"),
        ("deep/talk 1.2.MP3", "talk 1.2"),
        ("memo", "memo"),
        (str(here / "notes.pdf"), "notes"),
    ]
    assert find(["a.wav"]) == ([Input("a.wav", Path("a.wav"), PurePath("a"))], [])


@pytest.mark.parametrize("name", [".wav", "..wav", "...wav", "....wav"])
def test_no_file_has_a_name_that_leads_elsewhere(here, name):
    touch(here, name)
    assert found(name) == [(name, name)]


def test_a_folder_stands_for_the_recordings_in_it(here):
    touch(here, "c/b/2.flac", "c/b/10.opus", "c/a.WAV", "c/z.mkv", "c/a.txt", "c/list.lst", "c/c.json", "c/README")
    touch(here, "c/.hidden.wav", "c/.cache/d.wav")
    names = ["a", "b/10", "b/2", "z"]
    assert [name for _, name in found("c")] == [name for _, name in found(here / "c")] == names
    assert found("c/")[0] == ("c/a.WAV", "a")
    assert [name for _, name in found(".")] == ["c/a", "c/b/10", "c/b/2", "c/z"]


def test_a_folder_without_recordings_is_an_error(here):
    touch(here, "c/a.txt", "c/.hidden.wav")
    assert refused("c") == "c: no recordings in this folder or below, to go by the suffixes"


@pytest.mark.parametrize("folder", ["two\nlines", "10:30", " a b ", os.fsdecode(b"\xff\xfe"), "[1]", "-o", "*"])
def test_odd_folder_names(here, folder):
    touch(here, f"{folder}/{folder}.wav", f"{folder}/none.txt")
    path, name = f"{folder}/{folder}.wav", folder
    assert found(folder) == found(path) == found(f"{folder}/*.wav") == found(f"{folder}/**/*.wav") == [(path, name)]
    assert str(find([f"{folder}/none.wav"])[1][0]).startswith(folder.replace("\n", "\\n"))


def test_loops_of_links_come_to_an_end(here):
    touch(here, "c/a.wav", "c/d/b.wav", "elsewhere/e.wav")
    for number in range(5):  # without care, 5 ** 40 ways
        (here / "c" / "d" / f"loop{number}").symlink_to(here / "c")
    (here / "c" / "linked").symlink_to(here / "elsewhere")
    (here / "c" / "again").symlink_to(here / "elsewhere")
    (here / "c" / "self.wav").symlink_to("self.wav")
    for argument in ("c", "c/**/*.wav"):
        inputs, errors = find([argument])
        assert [each.name.as_posix() for each in inputs] == ["a", "again/e", "d/b"]
        assert [str(error) for error in errors] == ["c/self.wav: no such file"]


def test_patterns_that_the_shell_did_not_expand(here):
    touch(here, "c/a1.wav", "c/a2.mp3", "c/b3.wav", "c/d/a4.wav", "c/d/e/a5.wav", "c/a6.txt", "c/a7.dat", "c/.a8.wav")
    for pattern, names in [
        ("c/*", "a1 a2 b3"),
        ("c/a?.*", "a1 a2"),
        ("c/[!a]*", "b3"),
        ("c/a*.wav", "a1"),
        ("c/a*.dat", "a7"),  # a suffix that was asked for
        ("c/*/*", "d/a4"),
        ("*/a1.wav", "c/a1"),
        ("c/**/a?.wav", "a1 d/a4 d/e/a5"),
        ("c/**", "a1 a2 b3 d/a4 d/e/a5"),
        ("**/e/*.wav", "c/d/e/a5"),
        ("c/**/d/**/a5.*", "d/e/a5"),
        ("./c/*.mp3", "a2"),
        (f"{here}/c/*.mp3", "a2"),
    ]:
        assert [name for _, name in found(pattern)] == names.split(), pattern


@pytest.mark.parametrize("pattern", ["c/*.flac", "none/*.wav", "c/../x*/**", "*x/none.wav", "?", "[z]"])
def test_a_pattern_that_nothing_fits(here, pattern):
    touch(here, "c/a.wav")
    assert refused(pattern) in (
        f"{pattern}: no recording fits this pattern",
        "none: No such file or directory",
    )


def test_a_file_that_is_called_like_a_pattern(here):
    touch(here, "a[1].wav", "a1.wav", "talks [2024]/x.wav", "talks 2/x.wav")
    assert found("a[1].wav") == [("a[1].wav", "a[1]")]
    assert found("talks [2024]/*.wav") == [("talks [2024]/x.wav", "x")]
    assert refused("talks [2024]/none.wav") == "talks [2024]/none.wav: no recording fits this pattern"


def test_a_file_named_twice_counts_once_and_the_order_is_kept(here):
    touch(here, "c/b.wav", "c/a.wav")
    (here / "link.wav").symlink_to("c/a.wav")
    (here / "all.txt").write_text("c/b.wav\nlink.wav\nc/b.wav\n")
    expected = [("c/b.wav", "b"), ("c/a.wav", "a")]
    assert found("c/b.wav", "./c/b.wav", "c", "c", here / "c" / "a.wav", "link.wav", "all.txt", "c/*") == expected


def test_one_bad_argument_does_not_stop_the_others(here):
    touch(here, "a.wav", "b.wav", "empty/x.pdf")
    (here / "bad.jsonl").write_text('{"audio_filepath": "a.wav", "duration": 1}\n{]\n')
    bad = ["none.wav", "empty", "bad.jsonl", "*.flac", "", "x" * 300]
    inputs, errors = find(["a.wav", *bad, "b.wav"])
    assert [each.source for each in inputs] == ["a.wav", "b.wav"]
    assert [str(error).split(":")[0] for error in errors[:4]] == bad[:4]
    assert "bad.jsonl:2: not JSON" in str(errors[2])
    assert [str(error) for error in errors[4:]] == ["an input with an empty name", f"{'x' * 300}: File name too long"]


def test_a_pipe_is_no_file(here):
    os.mkfifo(here / "pipe.wav")
    touch(here, "a.wav")
    assert refused("pipe.wav") == "pipe.wav: not a file; a stream is read from stdin, whose name is -"
    assert len(find(["."])[0]) == len(find(["."])[1]) == 1


def test_a_folder_that_may_not_be_read_is_named(here, monkeypatch):
    touch(here, "c/a.wav", "c/shut/b.wav")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # taking the right away would not stop root
    inputs, errors = find(["c"])
    assert [each.source for each in inputs] == ["c/a.wav"]
    assert [str(error) for error in errors] == ["c/shut: Permission denied"]


def write_manifest(path, *records):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "".join(json.dumps({"audio_filepath": "a.wav", "duration": None} | each) + "\n" for each in records)
    )


def test_a_manifest_gives_stretches_and_ids(here):
    touch(here, "data/a.wav", "data/b.wav")
    records = [
        {"id": "one", "offset": 1.5, "duration": 2},
        {"id": "two", "offset": 1.5, "duration": 3},
        {"id": "whole"},
    ]
    write_manifest(here / "data" / "m.JSONL", *records, {"audio_filepath": "b.wav", "offset": 4})
    assert find(["data/m.JSONL"]) == (
        [
            Input("data/a.wav", Path("data/a.wav"), PurePath("one"), 1.5, 2.0, "one"),
            Input("data/a.wav", Path("data/a.wav"), PurePath("two"), 1.5, 3.0, "two"),
            Input("data/a.wav", Path("data/a.wav"), PurePath("whole"), 0.0, None, "whole"),
            Input("data/b.wav", Path("data/b.wav"), PurePath("b@4"), 4.0, None, "b@4"),
        ],
        [],
    )


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("84-121123-0000", "84-121123-0000"),
        ("naïve ñ: a@1.5", "naïve ñ: a@1.5"),
        ("../../x", "%2E.%2F..%2Fx"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("two\nlines\0", "two%0Alines%00"),
        ("..", "%2E."),
        (".", "%2E"),
        ("c:\\x", "c:%5Cx"),
    ],
)
def test_no_id_leads_elsewhere(here, id, name):
    touch(here, "a.wav", "none.wav")
    write_manifest(here / "m.json", {"id": id}, {"id": id + "?", "audio_filepath": "none.wav"})
    inputs, _ = find(["m.json"])
    assert [(str(each.name), each.id) for each in inputs] == [(name, id), (name + "?", id + "?")]
    assert (here / "out" / f"{name}.txt").resolve().parent == here / "out"


def test_what_a_manifest_names_and_is_not_there(here):
    touch(here, "a.wav")
    write_manifest(here / "m.jsonl", {"id": "x", "audio_filepath": "none\0.wav"}, {"id": "y"})
    inputs, errors = find(["m.jsonl"])
    assert [each.id for each in inputs] == ["y"]
    assert [str(error) for error in errors] == ["m.jsonl: x: none\0.wav: no such file"]


def test_a_list_counts_from_its_own_folder_or_from_here(here):
    touch(here, "lists/near.wav", "far/a b.wav", "lists/c/d.wav")
    lines = ["near.wav", "", "far/a b.wav\r", "  c/d.wav", str(here / "far" / "x.wav"), "../far/y.wav"]
    touch(here, "far/x.wav", "far/y.wav")
    (here / "lists" / "all.txt").write_bytes(codecs.BOM_UTF8 + "\n".join(lines).encode())
    absolute = here.relative_to("/").as_posix()
    assert found("lists/all.txt") == [
        ("lists/near.wav", "near"),
        ("far/a b.wav", "far/a b"),
        ("lists/c/d.wav", "c/d"),
        (str(here / "far" / "x.wav"), f"{absolute}/far/x"),
        ("lists/../far/y.wav", f"{absolute}/far/y"),
    ]


def test_a_list_may_name_files_whose_names_are_no_text(here):
    name = os.fsdecode(b"\xff.wav")
    touch(here, name)
    (here / "all.lst").write_bytes(b"\xff.wav\n")
    assert found("all.lst") == [(name, os.fsdecode(b"\xff"))]


def test_lines_of_kaldi(here):
    touch(here, "a.wav", "b c.wav", "d.wav")
    (here / "wav.scp").write_text("utt/1 a.wav\nutt2\t b c.wav\nd.wav\n")
    inputs, errors = find(["wav.scp"])
    assert [(each.source, str(each.name), each.id) for each in inputs] == [
        ("a.wav", "utt%2F1", "utt/1"),
        ("b c.wav", "utt2", "utt2"),
        ("d.wav", "d", ""),
    ]
    assert errors == []


def test_commands_in_a_list_are_not_run(here):
    touch(here, "a.wav")
    (here / "wav.scp").write_text("utt1 touch made.wav; cat a.wav |\nutt2 a.wav\n")
    inputs, (error,) = find(["wav.scp"])
    assert [each.id for each in inputs] == ["utt2"]
    assert str(error).startswith("wav.scp:1: 'utt1 touch made.wav; cat a.wav |' is a command")
    assert not (here / "made.wav").exists()


def test_lines_of_a_list_that_name_nothing(here):
    touch(here, "a.wav", "c/d.wav")
    (here / "all.txt").write_text(f"a.wav\n\nnone.wav\nc\n{'x' * 999}\n\0\n")
    inputs, errors = find(["all.txt"])
    assert [each.source for each in inputs] == ["a.wav"]
    assert [str(error) for error in errors] == [
        "all.txt:3: no such file as 'none.wav'",
        "all.txt:4: c: not a file; a stream is read from stdin, whose name is -",
        f"all.txt:5: no such file as '{'x' * 200}'",
        "all.txt:6: no such file as '\\x00'",
    ]


def test_a_text_is_no_list(here):
    (here / "talk.txt").write_text("so it goes\non and on\n")
    assert refused("talk.txt") == (
        "talk.txt:1: no such file as 'so it goes'; nor does another line of this list name a recording"
    )
    (here / "blank.txt").write_text("\n \n")
    assert refused("blank.txt") == "blank.txt: the list is empty"


def piped(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_recording_on_stdin_can_be_read_twice(tmp_path, monkeypatch):
    path = write_tone(tmp_path / "a.flac")
    piped(monkeypatch, path.read_bytes())
    (found,), errors = find(["-", "-"])
    assert errors == []
    assert (found.source, found.name, found.offset_s, found.duration_s) == ("-", PurePath("stdin"), 0.0, None)
    for _ in range(2):
        assert np.array_equal(audio.read(found.path, 16000), audio.read(path, 16000))


@pytest.mark.parametrize("content", [b"", b"\x01"])
def test_raw_samples_on_stdin(monkeypatch, content):
    samples = (tone(440, 0.5, 8000) * 32767).astype("<i2")
    piped(monkeypatch, samples.tobytes() + content)  # half a sample at the end says nothing
    (found,), _ = find(["-"], raw_rate_hz=8000)
    assert np.array_equal(audio.read(found.path, 8000), samples.astype(np.float32) / 32768)


@pytest.mark.parametrize("raw_rate_hz", [None, 16000])
def test_an_empty_stdin(monkeypatch, raw_rate_hz):
    piped(monkeypatch, b"")
    inputs, errors = find(["-"], raw_rate_hz)
    assert (inputs, [str(error) for error in errors]) == ([], ["-: stdin is empty"])


@pytest.mark.parametrize("raw_rate_hz", [0, -1, 1 << 31])
def test_no_stream_has_such_a_rate(monkeypatch, raw_rate_hz):
    piped(monkeypatch, b"ab")
    assert [str(error) for error in find(["-"], raw_rate_hz)[1]] == [
        f"-: stdin cannot have {raw_rate_hz} samples a second"
    ]


def test_a_stdin_that_is_closed_or_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert refused("-") == "-: nothing is piped into stdin"
    leader, follower = os.openpty()
    with open(leader, "rb"), open(follower) as terminal:  # noqa: PTH123 - no path has been given to these
        monkeypatch.setattr(sys, "stdin", terminal)
        assert refused("-") == "-: nothing is piped into stdin"


def test_a_stdin_for_which_the_disk_has_no_room(monkeypatch, tmp_path):
    class Endless(io.RawIOBase):
        def read(self, size=-1):
            raise OSError(28, "No space left on device")

    class Stdin:
        buffer = Endless()

        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert refused("-").endswith("stdin (No space left on device)")


def test_stdin_is_kept_in_constant_memory_and_leaves_nothing_behind():
    code = (
        "import resource\nfrom asr.inputs import find\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak(); (found,), errors = find(['-'], 16000)\n"
        "print(found.path.stat().st_size, peak() - before, found.path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=bytes(32 << 20), capture_output=True, check=True
    )
    size, grown_mb, path = done.stdout.decode().split(maxsplit=2)
    assert int(size) == (32 << 20) + 24
    assert float(grown_mb) < 8
    assert not Path(path.strip()).parent.exists()
