"""What the page of an inspection holds; the tests in a browser tell what a person sees of it."""

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_inspection_arrays import recognizer, sweep
from test_inspection_picture import made

from asr.errors import AsrError
from asr.inspection.arrays import inspect
from asr.inspection.page import packed, write_page


def content(path: Path) -> dict:
    return json.loads(re.search('id="data">(.*)</script>', path.read_text())[1])


def unpacked(map: dict) -> np.ndarray:
    levels = np.frombuffer(base64.b64decode(map["data"]), np.uint8).reshape(-1, map["columns"])
    return map["low"] + (map["high"] - map["low"]) * levels / 255


def test_bytes_of_values():
    assert base64.b64decode(packed(np.array([[-1.0, 0.0], [0.5, 9.0]]), -1, 1)) == bytes([0, 128, 191, 255])
    assert base64.b64decode(packed(np.zeros(3), 0, 0)) == bytes(3)


def test_what_the_page_holds(tmp_path):
    inspection = made()
    assert write_page(inspection, tmp_path / "a.html") == 0
    data = content(tmp_path / "a.html")
    assert (data["source"], data["start"], data["duration"], data["frame"]) == ("a $1$ <b>.wav", 7, 4, 1)
    assert data["tokens"]["spellings"] == ["blank", " ", "a", "$"]
    assert data["tokens"]["path"] == [[2, 1, 2], [1, 2, 3], [3, 3, 4]]
    assert np.allclose(unpacked(data["tokens"]), np.exp(inspection.log_probabilities), atol=0.003)
    assert data["words"] == [["a", 1, 2, 0.9], ["$", 3, 4, 0.8]]
    (view,) = data["views"]
    assert (view["layer"], view["direction"], view["units"], view["of"]) == (1, "forward", [3, 1], 4)
    assert np.allclose(unpacked(view["maps"][1]), inspection.views[0].maps["cell"], atol=0.015)
    assert "<b>" not in (tmp_path / "a.html").read_text().split('id="data">')[1].split("</script>")[0]


def test_the_sound_is_in_it(tmp_path):
    inspection = inspect(recognizer(), sweep(0.5))
    write_page(inspection, tmp_path / "a.html")
    text = re.search('id="sound">(.*)</script>', (tmp_path / "a.html").read_text())[1]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)))
    assert rate == 16000
    assert np.allclose(samples, sweep(0.5), atol=1e-4)


def test_tokens_without_any_probability_are_left_out(tmp_path):
    log_probabilities = np.log(np.array([[0.5, 0.001, 0.499], [0.4, 0.005, 0.595]], np.float32))
    write_page(replace(made(), log_probabilities=log_probabilities, tokens=()), tmp_path / "a.html")
    assert content(tmp_path / "a.html")["tokens"]["spellings"] == ["blank", "a"]


def test_other_layers_are_left_out_of_a_page_that_would_be_too_large(tmp_path, monkeypatch):
    inspection = inspect(recognizer(), sweep(0.5), layer=1, every=True)
    assert write_page(inspection, tmp_path / "a.html") == 0
    assert len(content(tmp_path / "a.html")["views"]) == 4
    bytes_of_data = sum(map(len, re.findall('id="(?:data|sound)">(.*)</script>', (tmp_path / "a.html").read_text())))
    monkeypatch.setattr("asr.inspection.page.MOST_BYTES", bytes_of_data - 100)
    assert write_page(inspection, tmp_path / "a.html") == 3
    (view,) = content(tmp_path / "a.html")["views"]
    assert (view["layer"], view["direction"]) == (1, "forward")


def test_attention_is_made_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr("asr.inspection.page.ATTENTION_PIXELS", 2)
    attention = np.array([[0, 2, 4, 4], [2, 4, 4, 4], [1, 1, 3, 3], [1, 1, 3, 3]], np.float32)
    view = replace(made().views[0], attention=attention)
    write_page(replace(made(), views=(view,)), tmp_path / "a.html")
    found = unpacked(content(tmp_path / "a.html")["views"][0]["attention"])
    assert np.allclose(found, [[2, 4], [1, 3]], atol=0.02)


def test_a_page_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AsrError, match=r"file.a.html: cannot be written"):
        write_page(made(), tmp_path / "file" / "a.html")
