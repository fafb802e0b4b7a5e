"""The server as its clients see it: OpenAI's own client, and plain sockets for those that do not keep to the rules."""

import errno
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import wave
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openai
import pytest
import uvicorn
from conftest import status_of, write_tone

import asr
from asr.alignment import Word
from asr.errors import AsrError, AudioError, Interrupted
from asr.formats import render
from asr.server import launch
from asr.server.app import create_app
from asr.server.guard import is_anywhere, is_loopback
from asr.server.launch import listening, serve
from asr.server.uploads import Limits, shown
from asr.transcript import Transcript

ROOT = Path(__file__).resolve().parents[1]
WORDS = (Word("so", 0.1, 0.3, 0.95), Word("it", 0.4, 0.5, 0.7), Word("goes", 2.0, 2.5, 0.25))


class Fake:
    """Hears the same words in everything but `noise`; waits for `go` first, and notes what it was given."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.heard: list[bytes] = []
        self.paths: list[Path] = []
        self.ended: list[bytes] = []

    def transcribe(self, audio: Path, *, advance=lambda _: None) -> Transcript:
        self.paths.append(audio)
        self.heard.append(audio.read_bytes())
        assert self.go.wait(20)
        advance(1.0)
        self.ended.append(self.heard[-1])
        if self.heard[-1] == b"noise":
            raise AudioError(f"{audio}: no sound found in it")
        if self.heard[-1] == b"bug":
            raise ZeroDivisionError
        return Transcript(str(audio), "so it goes", 3.21, None, WORDS)


class Running:
    """A server in a thread, at a port of its own."""

    def __init__(self, server: uvicorn.Server, port: int) -> None:
        self.port = port
        self.app = server.config.app
        self.url = f"http://127.0.0.1:{port}"
        # a connection of its own for each request: one that is kept may be closed just as it is used again
        alone = {"default_headers": {"Connection": "close"}}
        self.client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=30, **alone)

    @property
    def leftovers(self) -> list[Path]:
        return list(Path(self.app.state.scratch).iterdir())

    def transcribe(self, content: bytes = b"speech", name: str = "talk.wav", **more: object) -> object:
        return self.client.audio.transcriptions.create(model="whisper-1", file=(name, content), **more)

    def get(self, path: str, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers

    def raw(self, head: str, body: bytes = b"") -> tuple[int, dict[str, str]]:
        """Sends bytes as they are, and returns the status with the `error` of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response.status, json.loads(response.read())["error"]


@contextmanager
def running(recognizer, **limits):
    with listening("127.0.0.1", 0) as opened:
        app = create_app(recognizer, Limits(**limits), "numbers")
        server = uvicorn.Server(uvicorn.Config(app, http="h11", log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield Running(server, opened.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def recognizer():
    return Fake()


@pytest.fixture(scope="module")
def server(recognizer):
    with running(recognizer, upload_bytes=100_000, places=3) as server:
        yield server


def multipart(content: bytes = b"speech", **fields: str) -> bytes:
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    return "".join(parts).encode() + head.encode() + content + b"\r\n--b--\r\n"


POST = "POST /v1/audio/transcriptions HTTP/1.1\nHost: localhost\nContent-Type: multipart/form-data; boundary=b\n"


def send(port: int, content: bytes) -> socket.socket:
    """A connection over which a recording was sent, and nothing has been received."""
    connection, body = socket.create_connection(("127.0.0.1", port)), multipart(content)
    connection.sendall(f"{POST}Content-Length: {len(body)}\n\n".replace("\n", "\r\n").encode() + body)
    return connection


def wait_until(condition) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_json(server, recognizer):
    assert server.transcribe(b"some bytes").text == "so it goes"
    assert recognizer.heard[-1] == b"some bytes"


def test_text(server):
    assert server.transcribe(response_format="text") == "so it goes\n"


@pytest.mark.parametrize("name", ["srt", "vtt"])
def test_subtitles(server, name):
    subtitles = server.transcribe(response_format=name)
    assert subtitles == render(Transcript("", "so it goes", 3.21, None, WORDS), name)
    assert "goes" in subtitles


def test_verbose_json(server):
    answer = server.transcribe(response_format="verbose_json", language="en", prompt="names", temperature=0.5)
    assert (answer.task, answer.language, answer.duration, answer.text) == ("transcribe", "en", 3.21, "so it goes")
    assert [(each.id, each.start, each.end, each.text) for each in answer.segments] == [
        (0, 0.1, 0.5, "so it"),
        (1, 2.0, 2.5, "goes"),
    ]
    assert answer.segments[1].seek == 200
    assert answer.segments[0].confidence == 0.825
    assert answer.words is None


def test_verbose_json_with_words(server):
    asked = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
    answer = server.transcribe(**asked)
    assert [(each.word, each.start, each.end, each.confidence) for each in answer.words] == [
        ("so", 0.1, 0.3, 0.95),
        ("it", 0.4, 0.5, 0.7),
        ("goes", 2.0, 2.5, 0.25),
    ]
    assert answer.segments is None
    both = server.transcribe(**asked | {"timestamp_granularities": ["word", "segment"]})
    assert (len(both.words), len(both.segments)) == (3, 2)


def test_what_is_unknown_is_passed_over(server):
    extra = {"chunking_strategy": "auto", "mood": "good", "stream": "false"}
    assert server.transcribe(extra_body=extra).text == "so it goes"


@pytest.mark.parametrize(
    ("fields", "message", "parameter"),
    [
        (
            {"response_format": "xml"},
            "response_format 'xml' is not known; choose json, text, srt, vtt",
            "response_format",
        ),
        ({"temperature": 3}, "temperature '3' is not a number from 0 to 1", "temperature"),
        ({"extra_body": {"temperature": "warm"}}, "temperature 'warm' is not a number from 0 to 1", "temperature"),
        (
            {"timestamp_granularities": ["letter"]},
            "'letter' is not known; choose segment, word",
            "timestamp_granularities",
        ),
    ],
)
def test_fields_that_cannot_be(server, recognizer, fields, message, parameter):
    before = len(recognizer.heard)
    with pytest.raises(openai.BadRequestError) as refused:
        server.transcribe(**fields)
    assert message in refused.value.body["message"]
    assert refused.value.body["type"] == "invalid_request_error"
    assert refused.value.param == parameter
    assert len(recognizer.heard) == before
    assert not server.leftovers


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\passwd", "pass\0wd", "\x1b[2Jpasswd"])
def test_a_file_name_is_shown_and_never_a_path(server, recognizer, name):
    body = multipart(b"noise").replace(b"a.wav", name.encode())
    status, error = server.raw(f"{POST}Content-Length: {len(body)}", body)
    assert status == 400
    assert error["message"] in ("passwd: no sound found in it", "[2Jpasswd: no sound found in it")
    assert recognizer.paths[-1].name == "recording"
    assert recognizer.paths[-1].is_relative_to(server.app.state.scratch)
    assert not recognizer.paths[-1].exists()


def test_names_are_not_endless():
    assert len(shown("a" * 10_000)) == 80
    assert shown("") == shown("\n") == shown("folder/") == "recording"


@pytest.mark.parametrize("content", [b"speech", b"noise", b"bug", b"x" * 90_000])
def test_nothing_is_left_on_the_disk(server, recognizer, content):
    try:
        server.transcribe(content)
    except openai.APIStatusError:
        assert content in (b"noise", b"bug")
    assert recognizer.heard[-1] == content
    assert not server.leftovers
    assert server.app.state.jobs.free == 3


def test_of_a_bug_the_client_learns_only_that_there_is_one(server):
    with pytest.raises(openai.InternalServerError) as refused:
        server.transcribe(b"bug")
    assert refused.value.body["message"] == "the server made a mistake; its terminal says more"
    assert refused.value.type == "server_error"


def test_too_large_by_its_header_before_anything_is_sent(server):
    status, error = server.raw(f"{POST}Content-Length: 100001")
    assert (status, error["code"], error["message"]) == (413, "too_large", "the upload is larger than 0.1 MB")


def test_too_large_without_a_header(server, recognizer):
    before = len(recognizer.heard)
    body = multipart(b"x" * 150_000)
    chunks = b"".join(
        b"2710\r\n" + body[start : start + 10_000].ljust(10_000) + b"\r\n" for start in range(0, 150_000, 10_000)
    )
    status, error = server.raw(f"{POST}Transfer-Encoding: chunked", chunks)
    assert (status, error["code"]) == (413, "too_large")
    assert len(recognizer.heard) == before
    assert not server.leftovers


def test_too_large_for_a_false_header(server, recognizer):
    before = len(recognizer.heard)
    status, error = server.raw(f"{POST}Content-Length: 99000", multipart(b"x" * 150_000))
    assert (status, error["param"]) == (400, "file")
    assert len(recognizer.heard) == before


def test_headers_that_cannot_be(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(f"{POST}Content-Length: -5\n\n".replace("\n", "\r\n").encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_the_client_is_told_when_it_sends_too_much(server):
    with pytest.raises(openai.APIStatusError) as refused:
        server.transcribe(b"x" * 3_000_000)
    assert refused.value.status_code == 413
    assert server.transcribe().text == "so it goes"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", multipart()[:-30]),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--b--\r\n',
        ),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=other", multipart()),
        ("multipart/form-data", multipart()),
        ("application/json", b'{"file": "/etc/passwd"}'),
        ("application/x-www-form-urlencoded", b"file=/etc/passwd"),
    ],
)
def test_forms_that_cannot_be(server, recognizer, kind, body):
    before = len(recognizer.heard)
    head = f"POST /v1/audio/transcriptions HTTP/1.1\nHost: localhost\nContent-Type: {kind}\nContent-Length: {len(body)}"
    status, error = server.raw(head, body)
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert len(recognizer.heard) == before
    assert not server.leftovers


def test_a_full_disk(server, monkeypatch):
    def copy(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfileobj", copy)
    with pytest.raises(openai.InternalServerError) as refused:
        server.transcribe()
    assert refused.value.status_code == 507
    assert refused.value.body["message"] == "the server cannot store the upload (No space left on device)"
    assert not server.leftovers


def test_part_headers_that_do_not_end(server):
    body = b"--b\r\nContent-Disposition: " + b"x" * 90_000
    status, error = server.raw(f"{POST}Content-Length: {len(body)}", body)
    assert (status, error["type"]) == (400, "invalid_request_error")


def test_a_full_queue(server, recognizer):
    recognizer.go.clear()
    try:
        threads = [threading.Thread(target=server.transcribe) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: server.app.state.jobs.free == 0)
        with pytest.raises(openai.InternalServerError) as refused:
            server.transcribe()
        assert refused.value.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "5"
        assert (refused.value.code, refused.value.type) == ("queue_full", "server_error")
        assert json.loads(server.get("/health")[1])["free"] == 0
    finally:
        recognizer.go.set()
    for thread in threads:
        thread.join()
    assert server.transcribe().text == "so it goes"


def test_a_client_that_goes_is_not_waited_for(server, recognizer):
    recognizer.go.clear()
    try:
        first = threading.Thread(target=server.transcribe, args=(b"first",))
        first.start()
        wait_until(lambda: recognizer.heard[-1] == b"first")
        with send(server.port, b"given up"):
            wait_until(lambda: server.app.state.jobs.free == 1)
        wait_until(lambda: server.app.state.jobs.free == 2)
    finally:
        recognizer.go.set()
    first.join()
    assert server.transcribe(b"next").text == "so it goes"
    assert b"given up" not in recognizer.heard


def test_work_that_takes_too_long_ends_by_itself():
    recognizer = Fake()
    recognizer.go.clear()
    with running(recognizer, timeout_s=0.3, places=2) as server:
        with pytest.raises(openai.InternalServerError) as refused:
            server.transcribe()
        assert (refused.value.status_code, refused.value.code) == (504, "timeout")
        assert refused.value.body["message"] == "the transcription took longer than 0.3 s"
        assert server.app.state.jobs.free == 1
        assert len(server.leftovers) == 1
        recognizer.go.set()
        wait_until(lambda: server.app.state.jobs.free == 2)
        assert not server.leftovers
        assert server.transcribe(b"next").text == "so it goes"
    assert recognizer.ended == [b"next"]


def test_an_upload_that_takes_too_long():
    recognizer = Fake()
    with running(recognizer, timeout_s=0.3) as server:
        status, error = server.raw(f"{POST}Content-Length: 500", multipart()[:100])
        assert (status, error["message"]) == (408, "the upload took longer than 0.3 s")
        assert server.app.state.jobs.free == 8
        assert not recognizer.heard
        assert not server.leftovers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST:99", "[::1]", "[::1]:8000"])
def test_hosts_that_are_served(server, host):
    assert server.get("/health", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "", "[::1", "localhost,evil.example"]
)
def test_hosts_that_are_not_served(server, host):
    status, body, _ = server.get("/", Host=host)
    assert status == 403
    assert f"host {host!r} is not served here" in json.loads(body)["error"]["message"]


def test_pages_elsewhere_may_not_use_the_server(server):
    assert server.get("/health", Origin=server.url)[0] == 200
    for origin in ("https://evil.example", "null", "http://localhost:1", f"{server.url}.evil.example"):
        status, body, headers = server.get("/health", Origin=origin)
        assert (status, json.loads(body)["error"]["code"]) == (403, "origin")
        assert "Access-Control-Allow-Origin" not in headers


def test_other_hosts_when_all_addresses_are_listened_to():
    with_name = create_app(Fake(), host="speech.example")
    anywhere = create_app(Fake(), host="0.0.0.0")
    for app, hosts in (
        (with_name, {"speech.example": 200, "evil.example": 403, "10.0.0.1": 403}),
        (anywhere, {"10.0.0.1:8000": 200, "[fe80::1]": 200, socket.gethostname(): 200, "evil.example": 403}),
    ):
        for host, status in hosts.items():
            assert status_at(app, host) == status, host


def status_at(app, host: str) -> int:
    from starlette.testclient import TestClient

    return TestClient(app).get("/health", headers={"Host": host}).status_code


@pytest.mark.parametrize(
    ("host", "loopback", "anywhere"),
    [
        ("127.0.0.1", True, False),
        ("127.1.2.3", True, False),
        ("localhost", True, False),
        ("::1", True, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("192.168.1.5", False, False),
        ("speech.example", False, False),
    ],
)
def test_kinds_of_hosts(host, loopback, anywhere):
    assert (is_loopback(host), is_anywhere(host)) == (loopback, anywhere)


def test_models_and_health(server):
    (model,) = server.client.models.list()
    assert (model.id, model.object, model.owned_by) == ("numbers", "model", "asr")
    assert json.loads(server.get("/health")[1]) == {
        "status": "ok",
        "model": "numbers",
        "max_upload_bytes": 100_000,
        "places": 3,
        "free": 3,
    }


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/v1/audio/speech", "/../cli.py", "/page.html"])
def test_what_is_not_there(server, path):
    status, body, _ = server.get(path)
    assert status == 404
    assert json.loads(body)["error"]["message"] == "Not Found"


def test_the_page_may_load_nothing_from_elsewhere(server):
    status, body, headers = server.get("/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert policy.count("'sha256-") == body.count("<script>") + body.count("<style>") == 2
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "src=" not in body
    assert 'style="' not in body
    assert "onclick=" not in body


def test_a_real_model(babbler, tmp_path):
    recognizer = asr.load(babbler, device="cpu")
    recording = write_tone(tmp_path / "tone.wav")
    with running(recognizer) as server:
        answer = server.transcribe(recording.read_bytes(), response_format="verbose_json")
        assert answer.text == recognizer.transcribe(recording).text != ""
        assert answer.duration == 1.0
        for content, message in (
            (b"not a recording", "no sound found in it"),
            (b"", "the file is empty"),
            (recording.read_bytes()[:1000], "damaged or cut short"),
            (f"ffconcat version 1.0\nfile {recording}\n".encode(), "no sound found in it"),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                server.transcribe(content, "notes.wav")
            assert refused.value.body["message"].startswith(f"notes.wav: {message}")
            assert (refused.value.code, refused.value.param) == ("invalid_recording", "file")


class Slow:
    """A real recognizer that stays at the first piece of a recording for as long as anybody waits for it."""

    def __init__(self, folder: Path) -> None:
        self.recognizer = asr.load(folder, device="cpu")
        self.heard_s: list[float] = []

    def transcribe(self, audio: Path, *, advance) -> Transcript:
        def stay(seconds: float) -> None:
            self.heard_s.append(seconds)
            wait_until(lambda: advance(0.0))

        return self.recognizer.transcribe(audio, advance=stay)


@pytest.fixture(scope="module")
def hour(tmp_path_factory) -> bytes:
    """An hour of noise."""
    path = tmp_path_factory.mktemp("hour") / "noise.wav"
    with wave.open(str(path), "wb") as recording:
        recording.setparams((1, 1, 8000, 0, "NONE", ""))
        recording.writeframes(np.random.default_rng(5).bytes(3600 * 8000))
    return path.read_bytes()


def test_a_client_that_goes_ends_the_work_at_the_next_piece(babbler, hour, caplog):
    recognizer = Slow(babbler)
    with running(recognizer, places=1) as server:
        with send(server.port, hour):
            wait_until(lambda: recognizer.heard_s)
            assert server.app.state.jobs.free == 0
        wait_until(lambda: server.app.state.jobs.free == 1)
        assert recognizer.heard_s == [50.0]
        assert not server.leftovers
    assert not caplog.records  # asyncio complains of exceptions that nobody took


def test_work_that_takes_too_long_ends_at_the_next_piece(babbler, tmp_path):
    recognizer = Slow(babbler)
    with running(recognizer, timeout_s=0.5) as server:
        with pytest.raises(openai.InternalServerError, match="the transcription took longer than 0.5 s"):
            server.transcribe(write_tone(tmp_path / "tone.wav", duration_s=60.0).read_bytes())
        wait_until(lambda: server.app.state.jobs.free == 8)
        assert len(recognizer.heard_s) == 1
        assert not server.leftovers


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where the server keeps its files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def when_it_serves(monkeypatch):
    """Has a client's steps done in a thread, with the port, as soon as a server in this one says that it listens."""
    threads, lines = [], []

    def arrange(steps) -> list[str]:
        def say(line: str) -> None:
            lines.append(line)
            if found := re.search(r" at http://.*:(\d+); Ctrl-C stops$", line):
                threads.append(threading.Thread(target=steps, args=(int(found[1]),)))
                threads[-1].start()

        monkeypatch.setattr(launch, "say", say)
        return lines

    yield arrange
    for thread in threads:
        thread.join()


def threads_at_work() -> set[threading.Thread]:
    """But for those that read recordings, which are kept."""
    return {each for each in threading.enumerate() if not each.name.startswith("readers")} - {
        threading.current_thread()
    }


def stop() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_the_work_at_the_next_piece(babbler, hour, scratch, when_it_serves, monkeypatch):
    monkeypatch.setattr(launch, "GRACE_S", 0)
    recognizer, answers, before = Slow(babbler), [], threads_at_work()

    def steps(port: int) -> None:
        with send(port, hour) as connection:
            try:
                wait_until(lambda: recognizer.heard_s)
            finally:
                stop()
            answers.append(connection.recv(100))

    when_it_serves(steps)
    with listening("127.0.0.1", 0) as opened, pytest.raises(Interrupted, match="stopped"):
        serve(recognizer, opened, "127.0.0.1", Limits(), "slow")
    assert len(recognizer.heard_s) == 1
    wait_until(lambda: answers)  # the client is a thread of its own
    assert answers[0].startswith(b"HTTP/1.1 503")
    assert not list(scratch.iterdir())
    wait_until(lambda: threads_at_work() <= before)


def test_a_port_in_use():
    with listening("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]
        with pytest.raises(
            AsrError, match=rf"--host 127.0.0.1 --port {port}: cannot be listened to \(Address already in use\)$"
        ):
            listening("127.0.0.1", port).__enter__()
    for host in ("203.0.113.1", "a" * 100):
        with pytest.raises(AsrError, match=rf"--host {host} --port 0: cannot be listened to \(.+\)$"):
            listening(host, 0).__enter__()


def test_no_answer_waits_for_the_next_packet():
    with listening("127.0.0.1", 0) as opened, socket.create_connection(opened.getsockname()):
        accepted, _ = opened.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_missing_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else object())
    assert status_of("serve") == 1
    assert capsys.readouterr().err == "asr: serving needs uvicorn: pip install 'asr[serve]'\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_command_serves_until_ctrl_c(babbler, scratch, when_it_serves, host, capfd):
    found = []

    def steps(port: int) -> None:
        try:
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
            found.extend([client.models.list().data[0].id, *scratch.glob("asr-serve-*")])
        finally:
            stop()

    lines = when_it_serves(steps)
    assert status_of("serve", "--model", babbler, "--port", "0", "--host", host, "--device", "cpu") == 130
    *warnings, line = lines
    assert line.startswith(f"{babbler.parent.name} at http://{host}:")
    assert [line.startswith("warning: --host 0.0.0.0 lets other machines in") for line in warnings] == (
        [True] if host == "0.0.0.0" else []
    )
    assert found[0] == babbler.parent.name
    assert len(found) == 2
    assert capfd.readouterr().err == "asr: stopped\n"
    assert not list(scratch.iterdir())


NEVER = """
import threading
import cli
from asr.server.launch import listening, serve
from asr.server.uploads import Limits

class Never:
    def transcribe(self, audio, *, advance):
        threading.Event().wait()

with listening("127.0.0.1", 0) as opened:
    serve(Never(), opened, "127.0.0.1", Limits(), "never")
"""


@pytest.mark.slow
def test_two_ctrl_c_stop_what_never_ends(tmp_path):
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", NEVER]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        port = int(process.stderr.readline().split(";")[0].rpartition(":")[2])
        with send(port, b"speech"):
            wait_until(lambda: list(tmp_path.glob("asr-serve-*/*/recording")))
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        assert process.stderr.read().splitlines()[-1] == "asr: stopped in the middle of a recording"
    assert not list(tmp_path.iterdir())
