"""What an inspection holds is what the model hears; what it cannot hold is refused."""

import numpy as np
import pytest
import torch
from conftest import tone, write_tone

from asr.cells import CELLS
from asr.checkpoint import create
from asr.errors import AsrError, AudioError
from asr.features import FeatureConfig
from asr.inspection.arrays import by_peak, inspect, mel_centres_hz, parse_units, read_stretch, save_arrays
from asr.inspection.layers import looks
from asr.model import ModelConfig
from asr.recognizer import Recognizer, load
from asr.text import Vocabulary


def recognizer(encoder: str = "lstm", hidden: int = 6) -> Recognizer:
    torch.manual_seed(1)
    model = ModelConfig(channels=2, layers=2, hidden=hidden, heads=2, subsampling=2, encoder=encoder)
    checkpoint = create(FeatureConfig(16000, 20), model, Vocabulary.of_characters(" abc"), {})
    return Recognizer(checkpoint, torch.device("cpu"))


@pytest.fixture(scope="module")
def talker(babbler) -> Recognizer:
    return load(babbler, "cpu", greedy=True)


def sweep(duration_s: float = 1.5) -> np.ndarray:
    """A tone that rises, so that all frames differ."""
    time_s = np.arange(round(duration_s * 16000)) / 16000
    return (0.3 * np.sin(2 * np.pi * (300 + 900 * time_s) * time_s)).astype(np.float32)


def test_it_is_what_the_model_hears(talker):
    found = inspect(talker, sweep(), "talk.wav")
    transcript = talker.transcribe(sweep(), 16000)
    assert len(transcript.text) > 5
    assert [word.text for word in found.words] == transcript.text.split()
    assert [(word.start_s, word.end_s) for word in found.words] == [(w.start_s, w.end_s) for w in transcript.words]
    assert np.allclose(found.log_probabilities, talker.matrix(sweep(), 16000), atol=1e-4)
    assert "".join(found.spellings[span.token] for span in found.tokens).split() == transcript.text.split()
    assert found.duration_s == 1.5
    assert (found.hop_s, found.frame_s) == (0.01, 0.02)
    assert (found.views[0].layer, found.views[0].direction) == (2, "forward")


@pytest.mark.parametrize("encoder", [*CELLS, "transformer"])
def test_every_encoder_to_numpy_and_back(encoder, tmp_path):
    whole = recognizer(encoder)
    found = inspect(whole, sweep(0.5), layer=1, units="0-2,5")
    save_arrays(found, tmp_path / "arrays.npz")
    with np.load(tmp_path / "arrays.npz", allow_pickle=False) as arrays:
        stored = dict(arrays)
    frames = len(stored["log_probabilities"])
    assert frames == 26
    (look, *_) = looks(whole.checkpoint.model, torch.from_numpy(stored["features"]), 1, "forward")
    names = (
        ["output"]
        if encoder == "transformer"
        else list(
            CELLS[encoder](1, 1).step(
                torch.zeros(1, len(CELLS[encoder].drives)), (torch.zeros(1, 1),) * CELLS[encoder].states
            )[1]
        )
    )
    assert sorted(stored["units"]) == [0, 1, 2, 5]
    for name in names:
        assert np.allclose(stored[name.replace(" ", "_")], look.trace[name].numpy()[:, stored["units"]], atol=1e-6)
    assert ("attention" in stored) == (encoder == "transformer")
    assert np.array_equal(stored["waveform"], sweep(0.5))
    assert stored["spellings"].tolist() == ["<blank>", " ", "a", "b", "c"]
    assert len(stored["words"]) == len(stored["word_start_s"]) == len(found.words)
    assert str(stored["direction"]) == ("" if encoder == "transformer" else "forward")


def test_every_layer_and_the_one_asked_for_first():
    found = inspect(recognizer(), sweep(0.5), layer=1, direction="backward", every=True)
    assert [(view.layer, view.direction) for view in found.views] == [
        (1, "backward"),
        (1, "forward"),
        (2, "forward"),
        (2, "backward"),
    ]


def test_units_are_ordered_by_when_they_peak():
    output = np.zeros((5, 4), np.float32)
    output[[3, 1, 4], [0, 1, 3]] = [
        1,
        2,
        0.5,
    ]  # unit 0 peaks at frame 3, 1 at 1, 3 at 4; 2 is still, 1 falls below it later
    output[2, 1] = -3
    assert by_peak({"output": output}, [0, 1, 3]) == [1, 0, 3]
    assert by_peak({"output": output}, None) == [2, 1, 0, 3]


def test_of_many_units_those_that_vary_most():
    scale = np.random.default_rng(1).permutation(100)
    output = np.random.default_rng(2).choice([-1.0, 1.0], (200, 1)) * scale
    assert sorted(by_peak({"output": output}, None)) == sorted(np.flatnonzero(scale >= 36))
    view = inspect(recognizer(hidden=80), sweep(0.5)).views[0]
    assert (len(view.units), view.of, view.maps["cell"].shape) == (64, 80, (26, 64))


@pytest.mark.parametrize(
    ("text", "units"), [("auto", None), ("3", [3]), ("0-2,7", [0, 1, 2, 7]), (" 5 , 4-5", [4, 5]), ("7-7", [7])]
)
def test_units(text, units):
    assert parse_units(text, 8) == units


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1,,2", "1-2-3", "8", "0-8", "5-3"])
def test_units_that_make_no_sense(text):
    with pytest.raises(AsrError, match=rf"--units {text}: ") as raised:
        parse_units(text, 8)
    assert "0-31,40" in str(raised.value) or "0 to 7" in str(raised.value)


@pytest.mark.parametrize(
    ("encoder", "wrong", "message"),
    [
        ("lstm", {"layer": 0}, "--layer 0: the model has layers 1 to 2"),
        ("lstm", {"layer": 3}, "--layer 3: the model has layers 1 to 2"),
        ("lstm", {"head": 1}, "--head 1: the model is no Transformer, its encoder is lstm"),
        ("lstm", {"units": "0-6"}, "--units 0-6: 0-6 is not among the units, which are 0 to 5"),
        ("transformer", {"head": 3}, "--head 3: the model has heads 1 to 2"),
        ("transformer", {"direction": "forward"}, "--direction forward: the model is a Transformer"),
        ("transformer", {"units": "12"}, "--units 12: 12 is not among the units, which are 0 to 11"),
    ],
)
def test_what_a_model_does_not_have(encoder, wrong, message):
    with pytest.raises(AsrError, match=message):
        inspect(recognizer(encoder), sweep(0.2), **wrong)


@pytest.mark.parametrize("encoder", ["lstm", "transformer"])
@pytest.mark.parametrize("waveform", [np.zeros(16000, np.float32), tone(440, 0.01)[:1]])
def test_silence_and_a_single_sample(encoder, waveform, tmp_path):
    found = inspect(recognizer(encoder), waveform)
    assert np.isfinite(found.log_probabilities).all()
    save_arrays(found, tmp_path / "arrays.npz")


def test_mel_bins_are_where_their_weights_peak():
    features = recognizer().checkpoint.features
    centres = mel_centres_hz(features)
    peaks = features.mel.mel_scale.fb.argmax(0).numpy() * 16000 / features.mel.n_fft
    assert np.abs(centres - peaks).max() <= 16000 / features.mel.n_fft


def test_stretches(tmp_path):
    path = write_tone(tmp_path / "long.wav", duration_s=25.0, sample_rate_hz=8000)
    waveform, more = read_stretch(path, 16000)
    assert (len(waveform), more) == (20 * 16000, True)
    waveform, more = read_stretch(path, 16000, start_s=10.0)
    assert (len(waveform), more) == (15 * 16000, False)
    waveform, more = read_stretch(path, 16000, 1.0, 2.5)
    assert (len(waveform), more) == (24000, False)


@pytest.mark.parametrize(("start_s", "end_s"), [(2.0, 1.0), (1.0, 1.0), (-1.0, 3.0), (0.0, 61.0)])
def test_stretches_that_make_no_sense(tmp_path, start_s, end_s):
    with pytest.raises(AsrError, match=rf"{end_s - start_s:g} s from {start_s:g} s on were asked for; up to 60 s"):
        read_stretch(write_tone(tmp_path / "a.wav"), 16000, start_s, end_s)


def test_recordings_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty.wav: the file is empty"):
        read_stretch(tmp_path / "empty.wav", 16000)
    with pytest.raises(AudioError, match=r"a.wav: no samples after 5 s"):
        read_stretch(write_tone(tmp_path / "a.wav"), 16000, start_s=5.0)


def test_arrays_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AsrError, match=r"file.a.npz: cannot be written"):
        save_arrays(inspect(recognizer(), sweep(0.2)), tmp_path / "file" / "a.npz")
