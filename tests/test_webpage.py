import base64
import io
import json

import numpy as np
import pytest
import soundfile

from asr.errors import AsrError
from asr.webpage import dumped, embedded, write_page


@pytest.fixture
def template(tmp_path):
    (tmp_path / "page.html").write_text(
        "<style>\n/* style */\n</style>\n<!-- data -->\n<script>\n/* script */\n</script>\n"
    )
    (tmp_path / "page.css").write_text("p { color: red }\n")
    (tmp_path / "page.js").write_text("let so;\n")
    return tmp_path / "page.html"


def test_a_page_holds_all_that_it_needs(template, tmp_path):
    write_page(tmp_path / "out" / "a.html", template, dumped({"é": "</script>"}), [("sound-1", b"UklG")])
    page = (tmp_path / "out" / "a.html").read_text("utf-8")
    assert page == (
        "<style>\np { color: red }\n</style>\n"
        '<script type="application/json" id="data">{"é":"\\u003c/script>"}</script>\n'
        '<script type="text/plain" id="sound-1">UklG</script>\n'
        "\n<script>\nlet so;\n</script>\n"
    )


def test_what_cannot_be_written_is_named(template, tmp_path):
    with pytest.raises(AsrError, match="page.css/a.html: cannot be written"):
        write_page(tmp_path / "page.css" / "a.html", template, "{}")


@pytest.mark.parametrize("text", ["<!--", "</script>", "<", "a \u2028 b", '"'])
def test_no_text_ends_the_data(text):
    assert "<" not in dumped({text: text})
    assert json.loads(dumped({text: text})) == {text: text}


def test_a_sound_comes_back():
    waveform = np.sin(np.arange(800) / 5).astype(np.float32) / 2
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(embedded(waveform, 8000))))
    assert rate == 8000
    np.testing.assert_allclose(samples, waveform, atol=1e-4)
