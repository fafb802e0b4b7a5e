import codecs
import errno
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asr.errors import AsrError, DataError
from asr.files import (
    digest,
    digest_of,
    digest_of_listing,
    locked,
    make_folder,
    read_json,
    read_json_lines,
    read_lines,
    read_text,
    sweep,
    write_json,
    write_json_lines,
    writing,
)


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with writing(path) as stream:
        stream.write("old")
    with pytest.raises(RuntimeError), writing(path) as stream:
        stream.write("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o044  # others may read it


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AsrError, match="file/a.txt: cannot be written"), writing(tmp_path / "file" / "a.txt"):
        pass
    with pytest.raises(AsrError, match="file/b: the folder cannot be made"):
        make_folder(tmp_path / "file" / "b")


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "😀" * 63])
def test_the_longest_names_there_are(tmp_path, name):
    with writing(tmp_path / name) as stream:
        stream.write("text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5]})
    assert read_json(tmp_path / "a.json") == {"é": [1, 2.5]}
    write_json_lines(tmp_path / "a.jsonl", [{"a": 1}, {"b": "é"}])
    assert read_json_lines(tmp_path / "a.jsonl") == [{"a": 1}, {"b": "é"}]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[1]\n", b'{"a": 1}\nxyz\n'])
def test_json_lines_errors_name_the_file(tmp_path, content):
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.jsonl"):
        read_json_lines(tmp_path / "bad.jsonl")


def test_json_errors_name_the_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: No such file"):
        read_json(tmp_path / "none.json")


def test_lines_have_their_numbers_and_no_byte_order_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF8 + "né\r\n \r\nso\n".encode())
    assert read_lines(tmp_path / "a.txt") == [(1, "né"), (3, "so")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("so".encode("utf-16"), "a.txt: the file is UTF-16; save it as UTF-8"),
        ("so".encode("utf-16-le"), "a.txt: not text (byte 1 is zero)"),
        (b"so\ncaf\xe9 so\n", "a.txt:2: not UTF-8 (byte 0xe9); is it Latin-1?"),
        (None, "a.txt: No such file or directory"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_text(Path("a.txt"))
    assert str(raised.value) == message


def test_digests(tmp_path):
    (tmp_path / "a").write_text("abc")
    assert digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of({"a": 1, "b": 2}) == digest_of(json.loads('{"b": 2, "a": 1}'))
    before = digest_of_listing(tmp_path)
    assert before == digest_of_listing(tmp_path)
    (tmp_path / "b").write_text("")
    assert digest_of_listing(tmp_path) != before


ROOT = Path(__file__).resolve().parents[1]


def at_work(block, path):
    """Another process, in the middle of a block of `locked` or `writing`."""
    imports = "import sys, time\nfrom pathlib import Path\nfrom asr.files import locked, writing"
    lines = f"{imports}\nwith {block}(Path(sys.argv[1])):\n  print(1, flush=True)\n  time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", lines, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "1\n"
    return process


def killed(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_locked_folder_is_refused_until_its_holder_dies(tmp_path):
    holder = at_work("locked", tmp_path)
    line = rf"^{re.escape(str(tmp_path))}: another run \(process {holder.pid}, since 20[\d :-]+\) is at work"
    with pytest.raises(AsrError, match=line), locked(tmp_path):
        pass
    killed(holder)
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()}, since 20")


def test_a_process_locks_a_folder_once(tmp_path):
    with locked(tmp_path):
        with pytest.raises(AsrError, match=f"process {os.getpid()}, "), locked(tmp_path):
            pass
        with pytest.raises(AsrError), locked(tmp_path):  # the refused one has not freed it
            pass
        with locked(tmp_path / "another"):
            pass
    with locked(tmp_path):
        pass


def test_a_lock_is_freed_by_an_error(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is inherited")
def test_a_forked_reader_does_not_hold_the_lock(tmp_path):
    """DataLoader's outlive a killed training by seconds."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()

    def read():
        theirs.send("begun")
        theirs.recv()

    with locked(tmp_path):
        reader = fork.Process(target=read, daemon=True)  # so that a failure here ends it
        reader.start()
        assert ours.recv() == "begun"
        with pytest.raises(AsrError), locked(tmp_path):  # nor has it freed it
            pass
    with locked(tmp_path):
        assert reader.is_alive()
    ours.send("end")
    reader.join()


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_a_locked_folder_that_stays_empty_goes_again(tmp_path, error):
    folder = tmp_path / "exp" / "tones"
    try:
        with locked(folder):
            assert folder.is_dir()
            if error:
                raise error
    except RuntimeError:
        assert error
    assert list(tmp_path.iterdir()) == []


def test_a_locked_folder_with_something_in_it_stays(tmp_path):
    with locked(tmp_path / "made" / "full"):
        (tmp_path / "made" / "full" / "a").touch()
    assert (tmp_path / "made" / "full" / "a").exists()
    with locked(tmp_path / "made" / "empty"):
        pass
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["full"]
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine"):  # empty, but not of its making
        pass
    assert (tmp_path / "mine").is_dir()


def test_a_folder_that_cannot_be_written_needs_no_lock(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # as permissions do, but also for root
    done = []
    with locked(tmp_path), locked(tmp_path):
        done.append(1)
    assert done == [1]


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    done = []
    with locked(tmp_path):
        done.append(1)
    assert done == [1]


def test_a_folder_that_cannot_be_made_is_named_by_its_lock(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AsrError, match="file/exp: the folder cannot be made"), locked(tmp_path / "file" / "exp"):
        pass


def test_a_killed_writer_leaves_the_old_content_and_a_sweep_removes_the_rest(tmp_path):
    names = ("top", "training/state.pt", "training/tensorboard/deep")
    for name in names:
        write_json(tmp_path / name, "old")
        killed(at_work("writing", tmp_path / name))
    others = [tmp_path / name for name in (".lock", "notes.unfinished", "training/.hidden", ".unfinished/kept")]
    for path in others:
        make_folder(path.parent)
        path.touch()
    left = sorted(tmp_path.rglob(".*.unfinished"))
    assert [path.parent.relative_to(tmp_path).as_posix() for path in left] == [".", "training", "training/tensorboard"]
    sweep(tmp_path)
    assert list(tmp_path.rglob(".*.unfinished")) == left[2:]  # right below is as far as it looks
    assert all(path.exists() for path in others)
    assert [read_json(tmp_path / name) for name in names] == ["old"] * 3
    sweep(tmp_path)
    sweep(tmp_path / "nowhere")
