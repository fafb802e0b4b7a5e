"""Shared ground: real recordings where they are at hand, sounds made on the spot, one tiny trained recipe."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

import cli

TONES = str(Path(__file__).parent / "tones")
"""The toy recipe: letters as tones."""

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
if "ASR_CORPORA" not in os.environ and BESIDE.is_dir():
    os.environ["ASR_CORPORA"] = str(BESIDE)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; a test that needs it is skipped where it is not."""
    folder = os.environ.get("ASR_CORPORA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real recordings: set ASR_CORPORA")
    return Path(folder)


def tone(frequency_hz: float, duration_s: float, sample_rate_hz: int = 16000) -> np.ndarray:
    time_s = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    return (0.3 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def write_tone(path: Path, frequency_hz: float = 440.0, duration_s: float = 1.0, sample_rate_hz: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(frequency_hz, duration_s, sample_rate_hz), sample_rate_hz)
    return path


def odd_sounds() -> dict[str, tuple[np.ndarray, int]]:
    """A second each of what is unusual and yet all right, with its rate: clipped, 5.1 channels, 8 and 96 kHz."""
    rng = np.random.default_rng(0)
    return {
        "clipped": (np.sign(rng.standard_normal(16000)), 16000),
        "surround": (0.1 * rng.standard_normal((16000, 6)), 16000),
        "telephone": (0.1 * rng.standard_normal(8000), 8000),
        "studio": (0.1 * rng.standard_normal(96000), 96000),
    }


def mutated(rng: np.random.Generator, data: bytes) -> bytes:
    """A recording of a second or more, damaged so that no reader can take it for whole.

    It is cut off, loses its first half to zeros, has another header, or is noise, a text or nothing. (Not among these:
    zeros within a WAV, which are silence; and an MP3 without its beginning, for it can be entered anywhere.)
    """
    share = rng.uniform(0.1, 0.7)
    ways = {
        "cut": data[: round(len(data) * share)],
        "noise": rng.bytes(len(data)),
        "text": (b"so it goes\n" * len(data))[: len(data)],
        "empty": b"",
    }
    if data[:3] != b"ID3" and not (data[0] == 0xFF and data[1] >= 0xE0):
        ways["zeroed"] = bytes(len(data) // 2) + data[len(data) // 2 :]
        ways["header"] = rng.bytes(64) + data[64:]
    return ways[str(rng.choice(list(ways)))]


@pytest.fixture(scope="session")
def babbler(tmp_path_factory) -> Path:
    """A model folder with random weights: what it hears is nonsense, but the same nonsense by every way."""
    import torch

    from asr.checkpoint import create, save_model
    from asr.config import to_table
    from asr.features import FeatureConfig
    from asr.model import ModelConfig
    from asr.text import Vocabulary

    features, model = FeatureConfig(16000, 20), ModelConfig(channels=2, layers=2, hidden=16, subsampling=2)
    torch.manual_seed(2)
    table = {"features": to_table(features), "model": to_table(model)}
    checkpoint = create(features, model, Vocabulary.of_characters(" abcdefgh"), table)
    with torch.no_grad():
        for weight in checkpoint.model.layers.parameters():  # so that it says something
            weight *= 3
        checkpoint.model.head.weight *= 20
        checkpoint.model.head.bias[0] -= 5
    folder = tmp_path_factory.mktemp("babbler") / "model"
    save_model(checkpoint, folder, "# card\n")
    return folder


@contextmanager
def single_threaded() -> Iterator[None]:
    """The toy's steps are so short that threads mostly wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Path:
    """The experiment folder of the toy recipe, run from end to end."""
    folder = tmp_path_factory.mktemp("end-to-end") / "tones"
    with single_threaded():
        assert status_of("run", TONES, "--exp", folder, "--device", "cpu") == 0
    return folder


def status_of(*arguments: str | Path) -> int:
    """The exit status of an `asr` command."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    return stopped.value.code or 0
