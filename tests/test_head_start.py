"""A search in a process of its own: it does what a decoder does, and its troubles are told as a decoder's are."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tone
from test_decoder import VOCABULARY, WORDS, arpa, matrices

from asr.confidence import Calibration
from asr.decoder import Decoder, DecodingConfig
from asr.errors import AsrError, ModelError
from asr.files import digest
from asr.head_start import DecoderProcess, begin
from asr.model_folder import WEIGHTS
from asr.tuned import Search, Tuned, write_tuned

ROOT = Path(__file__).parents[1]
CONFIG = DecodingConfig(engine="python")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a fork is safe on Linux only")


def python(code, *arguments, cwd=None):
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def tuned(babbler, tmp_path):
    """A copy of the babbler's folder, tuned with a language model of words."""
    folder = shutil.copytree(babbler, tmp_path / "model")
    source = arpa(tmp_path / "lm.arpa", {"ab": -0.5, "ba": -1.0, "face": -1.5})
    found = Tuned(digest(folder / WEIGHTS), "lm.arpa", decoding=replace(CONFIG, beam=20), beam=Calibration())
    write_tuned(folder, found, {"lm.arpa": source})
    return folder


def test_it_needs_no_pytorch():
    code = "import asr.head_start, asr.transcription, cli\nassert 'torch' not in sys.modules"
    assert python(code).stderr == ""


@pytest.mark.parametrize("cores", [1, 2])
def test_it_decodes_as_a_decoder_does(tmp_path, cores, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    make = partial(Decoder, VOCABULARY, CONFIG, arpa(tmp_path / "lm.arpa", WORDS), nbest=3)
    some, decoder = matrices(5), make()
    with closing(DecoderProcess(CONFIG, make)) as apart:
        apart.cores = cores
        assert apart.decode_many(some) == [decoder.decode(matrix) for matrix in some]
        assert apart.decode_many(some[:1]) == [decoder.decode(some[0])]


def test_what_building_raises_decoding_raises(tmp_path):
    make = partial(Decoder, VOCABULARY, CONFIG, tmp_path)
    with closing(DecoderProcess(CONFIG, make)) as apart, pytest.raises(ModelError, match="an ARPA file is needed"):
        apart.decode_many(matrices(1))


def test_a_killed_process_is_told():
    with closing(DecoderProcess(CONFIG, killed)) as apart, pytest.raises(AsrError, match="was killed"):
        apart.decode_many(matrices(1))


def test_none_where_pytorch_has_threads(babbler):
    assert "torch" in sys.modules
    with begin(babbler, Search()) as decoder:
        assert decoder is None


def test_the_process_ends_with_the_block(tuned, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    with begin(tuned) as decoder:
        assert decoder is not None
        decoder.decode_many(matrices(1))
        (worker,) = active_children()
    assert not worker.is_alive()


def test_transcribing_hears_the_same_with_and_without(tuned, tmp_path):
    rng = np.random.default_rng(0)
    for name, frequency_hz in (("low", 300.0), ("high", 900.0), ("higher", 2100.0)):
        write_tone(tmp_path / f"{name}.wav", frequency_hz, duration_s=float(rng.uniform(1, 3)))
    command = ["transcribe", tmp_path, "--model", tuned]
    apart = python("import cli; cli.main()", *command)
    alone = python("import torch, cli; cli.main()", *command)
    assert apart.returncode == alone.returncode == 0, apart.stderr
    assert apart.stdout == alone.stdout
    assert {word for line in apart.stdout.splitlines() for word in line.split("\t")[1].split()} <= {"ab", "ba", "face"}


def test_troubles_are_one_line(tuned, tmp_path):
    recording = write_tone(tmp_path / "a.wav")
    for options, said in (
        (["--lm", tmp_path / "none.arpa"], "none.arpa"),
        (["--set", "decoding.beam=0"], "beam = 0"),
        (["--lexicon", tmp_path / "none.txt"], "none.txt"),
    ):
        done = python("import cli; cli.main()", "transcribe", recording, "--model", tuned, *options)
        *_, last = done.stderr.splitlines()
        assert done.returncode == 1
        assert said in last
        assert "Traceback" not in done.stderr


def test_weights_that_it_was_not_tuned_for_are_told_once(tuned, tmp_path):
    record = tuned / "decoding.json"
    record.write_text(record.read_text().replace(digest(tuned / WEIGHTS), "0" * 64))
    done = python("import cli; cli.main()", "transcribe", write_tone(tmp_path / "a.wav"), "--model", tuned)
    assert done.returncode == 0
    assert done.stderr.count("was tuned for other weights") == 1
