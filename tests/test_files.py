import json

import pytest

from asr.errors import AsrError, DataError
from asr.files import (
    digest,
    digest_of,
    digest_of_listing,
    make_folder,
    read_json,
    read_json_lines,
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


def test_digests(tmp_path):
    (tmp_path / "a").write_text("abc")
    assert digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of({"a": 1, "b": 2}) == digest_of(json.loads('{"b": 2, "a": 1}'))
    before = digest_of_listing(tmp_path)
    assert before == digest_of_listing(tmp_path)
    (tmp_path / "b").write_text("")
    assert digest_of_listing(tmp_path) != before
