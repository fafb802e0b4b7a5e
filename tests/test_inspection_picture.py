"""Pictures of every encoder; what is in them is read back from the figure."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from test_inspection_arrays import recognizer, sweep

from asr.alignment import Span, Word
from asr.errors import AsrError
from asr.inspection.arrays import Inspection, View, inspect
from asr.inspection.picture import caption, draw_inspection, rows_of
from asr.model import ModelConfig


def made(**changes) -> Inspection:
    """Four frames of a second each: a blank, an a, a space with half its probability, a b."""
    probabilities = np.array(
        [[0.97, 0.01, 0.01, 0.01], [0.1, 0, 0.9, 0], [0.5, 0.5, 0, 0], [0, 0, 0.2, 0.8]], np.float32
    )
    view = View(1, "forward", (3, 1), 4, {"forget gate": np.eye(4, 2, dtype=np.float32), "cell": 3 - 6 * np.eye(4, 2)})
    parts = {
        "source": "a $1$ <b>.wav", "model": "exp/a/model", "config": ModelConfig(layers=2), "start_s": 7.0,
        "sample_rate_hz": 100, "waveform": np.sin(np.arange(400, dtype=np.float32)),
        "features": np.ones((8, 3), np.float32), "hop_s": 0.5, "mel_hz": np.array([100, 900, 3000], np.float32),
        "log_probabilities": np.log(probabilities + 1e-9), "frame_s": 1.0, "spellings": ("<blank>", " ", "a", "$"),
        "tokens": (Span(2, 1, 2, -0.1), Span(1, 2, 3, -0.7), Span(3, 3, 4, -0.2)),
        "words": (Word("a", 1.0, 2.0, 0.9), Word("$", 3.0, 4.0, 0.8)), "views": (view,),
    }  # fmt: skip
    return Inspection(**{**parts, **changes})


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


@pytest.fixture
def drawn(monkeypatch):
    """Draws, and gives the figure."""
    figure = pytest.importorskip("matplotlib.figure")
    figures = []
    save = figure.Figure.savefig
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, *a, **b: (figures.append(self), save(self, *a, **b)))

    def draw(inspection: Inspection, path: Path):
        draw_inspection(inspection, path)
        return figures[-1]

    return draw


def panels(figure) -> dict[str, object]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def test_what_is_drawn_is_what_was_found(drawn, tmp_path):
    figure = drawn(made(), tmp_path / "a.png")
    assert png_size(tmp_path / "a.png")[0] == 1200
    found = panels(figure)
    assert list(found) == [
        "sound",
        "log-mel features, normalised",
        "forget gate",
        "cell state",
        "CTC: probability of each token, of the blank in grey",
    ]
    (gates,) = found["forget gate"].get_images()
    assert np.array_equal(gates.get_array(), np.eye(4, 2).T)
    assert gates.get_clim() == (0, 1)
    assert gates.get_extent()[:2] == [-0.5, 3.5]
    (cells,) = found["cell state"].get_images()
    assert cells.get_clim() == (-3, 3)
    tokens = found["CTC: probability of each token, of the blank in grey"]
    assert [(text.get_text(), text.get_position()[0]) for text in tokens.texts] == [("a", 1), ("\u2423", 2), ("$", 3)]
    peaks = {round(float(line.get_ydata().max()), 2) for line in tokens.lines}
    assert peaks == {0.9, 0.5, 0.8}
    words = figure.axes[len(figure.axes) // 2 - 1]
    assert [(text.get_text(), text.get_position()[0]) for text in words.texts] == [("a", 1.5), ("$", 3.5)]
    assert words.get_xlabel() == "s, from 7 s on"
    assert figure.texts[0].get_text() == "a $1$ <b>.wav: " + caption(made(), made().views[0])
    assert {axes.get_xlim() for axes in [*found.values(), words]} == {(0, 4)}


def test_captions():
    assert caption(made(), made().views[0]) == (
        "layer 1 of 2, lstm, forward; 2 of 4 units, ordered by when their outputs peak"
    )
    view = View(2, None, (0, 1), 2, {})
    assert caption(made(), view) == "layer 2 of 2, lstm; all 2 units, ordered by when their outputs peak"


@pytest.mark.parametrize("encoder", ["lstm_1997", "gru", "rnn", "transformer"])
def test_panels_of_every_encoder(encoder, drawn, tmp_path):
    found = inspect(recognizer(encoder), sweep(0.5))
    titles = list(panels(drawn(found, tmp_path / "a.png")))
    between = ["attention: where the frame at each moment looks", "output"]
    if encoder != "transformer":
        between = ["cell state" if name == "cell" else name for name in found.views[0].maps]
    assert titles[2:-1] == between


def test_silence_has_a_picture(drawn, tmp_path):
    found = inspect(recognizer(), np.zeros(8000, np.float32))
    drawn(found, tmp_path / "a.png")
    drawn(made(tokens=(), words=()), tmp_path / "b.png")


@pytest.mark.parametrize(
    ("labels", "rows"),
    [
        ([(0, 2), (2, 4)], [0, 0]),
        ([(0, 3), (1, 4), (2, 5), (3, 6)], [0, 1, 2, 0]),
        ([(0, 9), (1, 8), (2, 7), (3, 6), (4, 5)], [0, 1, 2, 3, 3]),
        ([], []),
    ],
)
def test_labels_have_room(labels, rows):
    assert rows_of([start for start, _ in labels], [end for _, end in labels]) == rows


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("asr.inspection.picture.find_spec", lambda name: None)
    with pytest.raises(
        AsrError, match=r"a picture needs matplotlib: pip install 'asr\[plot\]'; --html and --npz do without"
    ):
        draw_inspection(made(), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    with pytest.raises(AsrError, match=r"file.a.png: cannot be written"):
        draw_inspection(made(), tmp_path / "file" / "a.png")
