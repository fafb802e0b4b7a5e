import gzip
import hashlib
import io
import os
import random
import re
import shutil
import socket
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

import asr.download
from asr.config import build
from asr.download import Archive, download, fetch, unpack
from asr.errors import AsrError, ConfigError, DownloadError

BODY = random.Random(0).randbytes(200_000)


def sha256(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


class Server(ThreadingHTTPServer):
    """Answers its requests with the functions in `script`, one after the other, the last one for ever."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.ranges = [], []

    def url(self, path="file.tar.gz"):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        script = self.server.script
        self.server.ranges.append(self.headers.get("Range"))
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def send(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def whole(body=BODY, stop=None):
    """Sends the file from its start, whatever was asked for, and hangs up after `stop` bytes."""
    return lambda handler: handler.send(200, body[:stop], Content_Length=len(body))


def ranged(body=BODY, stop=None, shift=0):
    """Sends what was asked for, `stop` bytes of it at most; `shift` makes it another stretch of the file."""

    def answer(handler):
        asked = handler.headers.get("Range")
        if asked is None:
            return whole(body, stop)(handler)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        if start >= len(body):
            return handler.send(416, b"<html>no</html>", Content_Range=f"bytes */{len(body)}")
        rest = body[start + shift :]
        extent = f"bytes {start + shift}-{len(body) - 1}/{len(body)}"
        return handler.send(206, rest[:stop], Content_Range=extent, Content_Length=len(rest))

    return answer


def status(code):
    return lambda handler: handler.send(code)


def reset(handler):
    """Sends half the file, then a reset instead of a goodbye."""
    ranged(stop=len(BODY) // 2)(handler)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def half_chunked(handler):
    handler.protocol_version = "HTTP/1.1"
    chunk = BODY[:100_000]
    body = f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" + b"fff\r\nnot all of it"
    handler.send(200, body, Transfer_Encoding="chunked")
    handler.close_connection = True


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch_body(server, folder, body=BODY, **options):
    return fetch(server.url(), sha256(body), folder / "file.tar.gz", **{"pause_s": 0, **options})


def tar_of(*members, compress=True):
    """A tar file of `(name, content)` files and ready-made `TarInfo`s."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return gzip.compress(stream.getvalue()) if compress else stream.getvalue()


def special(name, kind=tarfile.REGTYPE, linkname=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def tree(folder):
    """Every file below `folder` with its content, and every other thing."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


# Fetching


@pytest.mark.parametrize("checksum", [sha256(BODY), f"md5:{hashlib.md5(BODY).hexdigest()}", sha256(BODY).upper()])
def test_a_file_is_fetched_once(server, tmp_path, checksum):
    server.script = [whole()]
    target = tmp_path / "new" / "file.tar.gz"
    for _ in range(2):
        assert fetch(server.url(), checksum, target) == target
        assert tree(target.parent) == {"file.tar.gz": BODY}
    assert server.ranges == [None]


@pytest.mark.parametrize("checksum", ["", "abc", "sha1:" + 40 * "0", "md5:" + 64 * "0", "sha256:" + 64 * "x"])
def test_a_checksum_that_nothing_could_have_is_refused(tmp_path, checksum):
    with pytest.raises(DownloadError, match=f"checksum '{checksum}': write md5: and 32 or sha256: and 64 hexadecimal"):
        fetch("http://127.0.0.1:1/a", checksum, tmp_path / "a")


def test_a_broken_connection_costs_only_the_rest(server, tmp_path):
    server.script = [ranged(stop=60_000)]  # four times, more often than `attempts`
    assert fetch_body(server, tmp_path, attempts=2).read_bytes() == BODY
    assert server.ranges == [None, "bytes=60000-", "bytes=120000-", "bytes=180000-"]
    assert list(tree(tmp_path)) == ["file.tar.gz"]


@pytest.mark.parametrize("broken", [reset, half_chunked, status(503), status(429)], ids=lambda f: f.__name__)
def test_other_ways_to_break_off(server, tmp_path, broken):
    server.script = [broken, broken, ranged()]
    assert fetch_body(server, tmp_path).read_bytes() == BODY


def test_a_server_that_falls_silent(server, tmp_path, monkeypatch):
    monkeypatch.setattr(asr.download, "SILENCE_S", 0.1)
    over, waited = threading.Event(), []

    def silent(handler):
        whole(stop=100_000)(handler)
        waited.append(over.wait(5))

    server.script = [silent, ranged()]
    assert fetch_body(server, tmp_path).read_bytes() == BODY
    assert waited == []
    over.set()
    assert 80_000 < int(server.ranges[1][len("bytes=") : -1]) <= 100_000


def test_what_an_earlier_run_left_is_gone_on_with(server, tmp_path):
    server.script = [ranged()]
    (tmp_path / "file.tar.gz.part").write_bytes(BODY[:150_001])
    assert fetch_body(server, tmp_path).read_bytes() == BODY
    assert server.ranges == ["bytes=150001-"]


def test_what_an_earlier_run_left_may_be_all(server, tmp_path):
    server.script = [ranged()]
    (tmp_path / "file.tar.gz.part").write_bytes(BODY)
    assert fetch_body(server, tmp_path).read_bytes() == BODY
    assert server.ranges == ["bytes=200000-"]


@pytest.mark.parametrize("script", [[whole(stop=90_000), whole()], [whole(), ranged()]])
def test_a_server_that_ignores_the_range(server, tmp_path, script):
    server.script = script
    (tmp_path / "file.tar.gz.part").write_bytes(BODY[:50_000])
    assert fetch_body(server, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize("answer", [ranged(shift=7), status(206), status(416)])
def test_a_wrong_answer_to_a_range_starts_anew(server, tmp_path, answer):
    server.script = [answer, ranged()]
    (tmp_path / "file.tar.gz.part").write_bytes(BODY[:50_000])
    assert fetch_body(server, tmp_path).read_bytes() == BODY
    assert server.ranges == ["bytes=50000-", None]


def test_a_part_that_is_longer_than_the_file_starts_anew(server, tmp_path):
    server.script = [ranged()]
    (tmp_path / "file.tar.gz.part").write_bytes(BODY + b"more")
    assert fetch_body(server, tmp_path).read_bytes() == BODY
    assert server.ranges == ["bytes=200004-", None]


@pytest.mark.parametrize("script", [[whole(stop=50_000)], [ranged(stop=50_000), ranged(shift=7)] * 20])
def test_getting_no_further_comes_to_an_end(server, tmp_path, script):
    server.script = script
    with pytest.raises(DownloadError, match="gave up after 3 attempts"):
        fetch_body(server, tmp_path, attempts=3)
    assert len(server.ranges) == 4


def test_wrong_once(server, tmp_path, capsys):
    server.script = [whole(b"wrong"), ranged()]
    assert fetch_body(server, tmp_path).read_bytes() == BODY
    assert tree(tmp_path) == {"file.tar.gz": BODY, "file.tar.gz.bad": b"wrong"}
    assert server.ranges == [None, None]
    assert f"expected {sha256(BODY)}, found {sha256(b'wrong')}; set aside as" in capsys.readouterr().err


def test_wrong_always(server, tmp_path):
    server.script = [whole(b"wrong")]
    with pytest.raises(DownloadError) as caught:
        fetch_body(server, tmp_path)
    for part in (server.url(), sha256(BODY), sha256(b"wrong"), str(tmp_path / "file.tar.gz.bad")):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == {"file.tar.gz.bad": b"wrong"}
    assert len(server.ranges) == 2


def test_a_wrong_file_that_is_there_is_set_aside(server, tmp_path):
    server.script = [whole()]
    (tmp_path / "file.tar.gz").write_bytes(b"wrong")
    fetch_body(server, tmp_path)
    assert tree(tmp_path) == {"file.tar.gz": BODY, "file.tar.gz.bad": b"wrong"}


@pytest.mark.parametrize("code", [401, 403, 404, 410, 416])
def test_a_refusal_is_final(server, tmp_path, code):
    server.script = [status(code)]
    with pytest.raises(DownloadError, match=rf"^{server.url()}: HTTP {code} [\w ]+$"):
        fetch_body(server, tmp_path)
    assert len(server.ranges) == 1


def test_an_unreachable_host(server, tmp_path, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a"
    with pytest.raises(DownloadError, match=f"^{url}: Connection refused; gave up after 3 attempts$"):
        fetch(url, sha256(BODY), tmp_path / "a", attempts=3, pause_s=0)
    assert capsys.readouterr().err.count("Connection refused; going on") == 2


@pytest.mark.parametrize("url", ["no address", "http://127.0.0.1:port/", "http://127.0.0.1/a b", "http://[::1"])
def test_what_is_no_address_is_refused_at_once(tmp_path, capsys, url):
    with pytest.raises(DownloadError, match=re.escape(url)):
        fetch(url, sha256(BODY), tmp_path / "a", pause_s=0)
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_noticed_first(server, tmp_path, monkeypatch):
    server.script = [whole()]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(DownloadError, match=f"{tmp_path}: the rest of {server.url()} takes 0.2 MB, the disk has 0.1"):
        fetch_body(server, tmp_path)
    (tmp_path / "a.tar").write_bytes(tar_of(("a", BODY)))
    with pytest.raises(DownloadError, match=f"{tmp_path}: what {tmp_path}/a.tar holds takes 0.2 MB, the disk has 0.1"):
        unpack(tmp_path / "a.tar", tmp_path)


def test_a_disk_that_fills_up_is_no_broken_connection(server, tmp_path):
    server.script = [whole()]
    (tmp_path / "file.tar.gz.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"file\.tar\.gz: cannot be written \(No space left on device\)"):
        fetch_body(server, tmp_path)
    assert len(server.ranges) == 1


def test_a_target_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AsrError, match="file/sub: the folder cannot be made"):
        fetch_body(server, tmp_path / "file" / "sub")
    (tmp_path / "file.tar.gz").mkdir()
    with pytest.raises(AsrError, match=r"file\.tar\.gz: cannot be written \(Is a directory\)"):
        fetch_body(server, tmp_path)
    (tmp_path / "a.tar").write_bytes(tar_of(("a", b"")))
    with pytest.raises(AsrError, match="file: the folder cannot be made"):
        unpack(tmp_path / "a.tar", tmp_path / "file")


# Unpacking


@pytest.mark.parametrize("compress", [True, False])
def test_unpacking(tmp_path, compress):
    folder = special("L/deep", tarfile.DIRTYPE)
    executable = special("L/deep/empty")
    folder.mode, executable.mode = 0, 0o6777
    archive = tmp_path / "a.tar"
    archive.write_bytes(tar_of(folder, executable, ("./L/b", b"two"), ("L/b", b"three"), compress=compress))
    previous = os.umask(0o027)
    try:
        unpack(archive, tmp_path / "out")
    finally:
        os.umask(previous)
    assert tree(tmp_path / "out") == {"L": None, "L/deep": None, "L/deep/empty": b"", "L/b": b"three"}
    assert (tmp_path / "out/L/deep").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "out/L/deep/empty").stat().st_mode & 0o7777 == 0o640


def test_stripping(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of(special("L", tarfile.DIRTYPE), ("L/a", b"1"), ("./L/s/b", b"2")))
    unpack(tmp_path / "a.tar", tmp_path / "out", strip=1)
    assert tree(tmp_path / "out") == {"a": b"1", "s": None, "s/b": b"2"}
    with pytest.raises(DownloadError, match="member 'L/a' has no name left without 2 leading parts"):
        unpack(tmp_path / "a.tar", tmp_path / "out2", strip=2)


def test_unpacking_into_what_is_there(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of(("L/s/a", b"new"), ("L/s/new/b", b"new"), ("L/README", b"new")))
    (tmp_path / "out/L/s/old").mkdir(parents=True)
    for name in ("L/s/a", "L/s/old/c", "L/README"):
        (tmp_path / "out" / name).write_bytes(b"old")
    unpack(tmp_path / "a.tar", tmp_path / "out")
    files = {name: content for name, content in tree(tmp_path / "out").items() if content}
    assert files == {"L/README": b"new", "L/s/a": b"new", "L/s/new/b": b"new", "L/s/old/c": b"old"}


def test_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_of(("a", b""), ("a/b", b"")))
    (tmp_path / "b.tar").write_bytes(tar_of(("x/b", b"")))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x").write_bytes(b"mine")
    for name in ("a.tar", "b.tar"):
        with pytest.raises(DownloadError, match=f"{name}: cannot be unpacked into {tmp_path}/out"):
            unpack(tmp_path / name, tmp_path / "out")
        assert tree(tmp_path / "out") == {"x": b"mine"}


@pytest.mark.parametrize("strip", [0, 1])
@pytest.mark.parametrize(
    "hostile",
    [
        [special("../../escape")],
        [special("OUTSIDE/escape")],
        [special("good/../../outside/escape")],
        [special("good/..")],
        [special("../outside/folder", tarfile.DIRTYPE)],
        [special("link", tarfile.SYMTYPE, "/"), special("linkOUTSIDE/escape")],
        [special("link", tarfile.SYMTYPE, "good")],
        [special("hard", tarfile.LNKTYPE, "OUTSIDE/secret")],
        [special("hard", tarfile.LNKTYPE, "good")],
        [special("device", tarfile.CHRTYPE)],
        [special("device", tarfile.BLKTYPE)],
        [special("pipe", tarfile.FIFOTYPE)],
        [special("way_out/escape")],
    ],
)
def test_a_hostile_archive_writes_nothing(server, tmp_path, hostile, strip):
    folder, outside = tmp_path / "corpus", tmp_path / "outside"
    for path in (folder, outside):
        path.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (folder / "way_out").symlink_to(outside)
    members = [
        info.replace(
            name=("" if info.name.startswith("OUTSIDE") else strip * "L/") + info.name.replace("OUTSIDE", str(outside)),
            linkname=info.linkname.replace("OUTSIDE", str(outside)),
        )
        for info in [special("good"), *hostile]
    ]
    body = tar_of(*members)
    server.script = [whole(body)]
    before = tree(tmp_path)
    with pytest.raises(DownloadError, match=r"'[^']*' (is neither a file nor a folder|leads out of)") as caught:
        download([Archive(server.url(), sha256(body), "good")], folder, strip)
    assert members[1].name in str(caught.value)
    assert tree(tmp_path) == before | {"corpus/file.tar.gz": body}


@pytest.mark.parametrize("name", ["../escape", "nul\0", "/escape"])
def test_a_hostile_name_in_an_extended_header(tmp_path, name):
    info = special("good")
    info.pax_headers = {"path": name}
    (tmp_path / "a.tar").write_bytes(tar_of(special("good"), info))
    with pytest.raises(DownloadError, match="leads out of|embedded null byte"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_an_archive_that_is_not_whole(tmp_path):
    whole = tar_of(*((f"s/{number}", BODY[:2000]) for number in range(4)))
    cuts = [whole[:stop] for stop in (*range(0, len(whole), 97), len(whole) - 1)]
    flips = [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        for at in (*range(10, len(whole) - 9, 97), *range(len(whole) - 8, len(whole)))
    ]  # from behind gzip's header; the last byte of the data may end in bits that mean nothing
    archive, folder = tmp_path / "a.tar.gz", tmp_path / "out"
    for body in [*cuts, *flips, b"<html>", gzip.decompress(whole)[:5000]]:
        archive.write_bytes(body)
        with pytest.raises(DownloadError, match=r"^[^\n]*a\.tar\.gz: cannot be unpacked into [^\n]* \([^\n]+\)$"):
            unpack(archive, folder)
        assert tree(folder) == {}
    with pytest.raises(DownloadError, match=r"none\.tar: cannot be unpacked into .* \(No such file or directory\)"):
        unpack(tmp_path / "none.tar", folder)


def test_a_negative_size_is_refused(tmp_path):
    """Python's own reader goes round in circles on one (CVE-2025-8194)."""
    body = bytearray(tar_of(("a", b""), ("b", b""), compress=False))
    body[512 + 124 : 512 + 136] = b"\xff" * 10 + b"\xfc\x00"  # -1024, as GNU tar writes it
    body[512 + 148 : 512 + 156] = b" " * 8
    body[512 + 148 : 512 + 156] = f"{sum(body[512:1024]):06o}\0 ".encode()
    (tmp_path / "a.tar").write_bytes(body)
    with pytest.raises(DownloadError, match="a.tar"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_nothing_half_is_seen_while_unpacking(tmp_path, monkeypatch):
    (tmp_path / "a.tar").write_bytes(tar_of(("split/a", b"1"), ("split/b", b"2"), ("README", b"3")))
    copied = []

    def copy(source, destination):
        copied.append(destination.name)
        assert not (tmp_path / "out/split").exists()
        if len(copied) == 2:
            raise KeyboardInterrupt
        destination.write(source.read())

    monkeypatch.setattr(shutil, "copyfileobj", copy)
    with pytest.raises(KeyboardInterrupt):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


def test_files_arrive_before_folders(tmp_path, monkeypatch):
    (tmp_path / "a.tar").write_bytes(tar_of(("dev/a", b"1"), ("TABLE", b"2"), ("test/b", b"3"), ("zzz", b"4")))
    arrived, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, place: (arrived.append(place.name), replace(path, place)))
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert sorted(arrived[:2]) == ["TABLE", "zzz"]
    assert sorted(arrived[2:]) == ["dev", "test"]


# Both


def test_a_corpus_is_downloaded_once(server, tmp_path, capsys):
    bodies = [tar_of(("L/README", b"a"), (f"L/{split}/x.flac", split.encode())) for split in ("dev", "train")]
    archives = [
        build(Archive, {"url": server.url(f"{split}.tgz?x=1"), "checksum": sha256(body), "holds": split}, "recipe.toml")
        for split, body in zip(("dev", "train"), bodies, strict=True)
    ]
    server.script = [whole(body) for body in bodies]
    for _ in range(2):
        download(archives, tmp_path / "L", strip=1)
        expected = {"README": b"a", "dev": None, "dev/x.flac": b"dev", "train": None, "train/x.flac": b"train"}
        assert tree(tmp_path / "L") == expected
    assert len(server.ranges) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        line
        for split in ("dev", "train")
        for line in (
            f"downloading {server.url(f'{split}.tgz?x=1')} into {tmp_path}/L",
            f"unpacking {tmp_path}/L/{split}.tgz",
        )
    ]


def test_an_archive_without_what_it_should_hold(server, tmp_path):
    body = tar_of(("a", b"1"))
    server.script = [whole(body)]
    for _ in range(2):
        with pytest.raises(DownloadError, match=r"file\.tar\.gz: unpacked, but there is no .*/train"):
            download([Archive(server.url(), sha256(body), "train")], tmp_path)
    assert len(server.ranges) == 1


def test_an_archive_that_holds_nothing_is_no_setting():
    with pytest.raises(ConfigError, match="holds = ''"):
        build(Archive, {"url": "u", "checksum": "c", "holds": ""}, "recipe.toml")
