"""Three hundred recordings, a hundred of them damaged: each is read or refused, and nothing else happens."""

import os
import queue
import threading
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from conftest import mutated, status_of, write_tone

from asr.audio import duration_s, read
from asr.errors import AudioError

RATE_HZ = 16000
FORMATS = ("wav", "flac", "mp3", "ogg", "m4a")
LIMIT_S = 30.0


def within_limit(function, *arguments):
    """What the function gives, or the exception that it ends with; a hang fails, and even when it is in C."""
    answers = queue.Queue()

    def work():
        try:
            answers.put(function(*arguments))
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=work, daemon=True).start()
    return answers.get(timeout=LIMIT_S)


def encode(path, waveform):
    if path.suffix != ".m4a":
        soundfile.write(path, waveform, RATE_HZ)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(waveform[None], "fltp", "mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def speech(corpora: Path) -> list[np.ndarray]:
    """Sixty stretches of one to two seconds, of three kinds of recordings; it takes a few digits to make a second."""
    stretches = []
    for pattern in ("LibriSpeech/train-clean-5/**/*.opus", "LibriSpeech/dev-clean/**/*.mp3", "fsdd/**/*.flac"):
        paths = sorted(corpora.glob(pattern))[::7]
        if not paths:
            pytest.skip(f"no {pattern}")
        for number, start in zip(range(20), cycle(range(0, len(paths), 5)), strict=False):
            duration_s, parts = 1.0 + number / 20, islice(cycle(paths), start, start + 20)
            waveform = np.zeros(0, np.float32)
            while len(waveform) < duration_s * RATE_HZ:
                waveform = np.append(waveform, read(next(parts), RATE_HZ))
            stretches.append(waveform[: round(duration_s * RATE_HZ)])
    return stretches


@pytest.fixture(scope="module")
def recordings(corpora, tmp_path_factory) -> tuple[dict[Path, int], list[Path]]:
    """Two hundred good ones, with their samples, and a hundred damaged ones."""
    rng = np.random.default_rng(0)
    folder, good, damaged = tmp_path_factory.mktemp("recordings"), {}, []
    for number, waveform in enumerate(speech(corpora)):
        for turn, suffix in enumerate(FORMATS):
            path = folder / f"{number:02}.{suffix}"
            encode(path, waveform)
            if (number + turn) % 3 == 0:
                path.write_bytes(mutated(rng, path.read_bytes()))
                damaged.append(path)
            else:
                good[path] = len(waveform)
    assert (len(good), len(damaged)) == (200, 100)
    return good, damaged


@pytest.mark.corpus
def test_every_good_recording_is_read(recordings):
    for path, samples in recordings[0].items():
        waveform = within_limit(read, path, RATE_HZ)
        assert isinstance(waveform, np.ndarray), f"{path}: {waveform}"
        assert len(waveform) == pytest.approx(samples, abs=0.13 * RATE_HZ), path
        assert within_limit(duration_s, path) == pytest.approx(samples / RATE_HZ, abs=0.13), path


@pytest.mark.corpus
def test_every_damaged_recording_is_refused_in_one_line_that_names_it(recordings, capfd):
    for path in recordings[1]:
        error = within_limit(read, path, RATE_HZ)
        assert isinstance(error, AudioError), f"{path}: {error}"
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        assert isinstance(within_limit(duration_s, path), float | None), path
    assert capfd.readouterr() == ("", "")


@pytest.mark.corpus
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="nobody counts the open files")
def test_no_file_stays_open(recordings):
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - of links that lead nowhere
    for path in [*recordings[1], *list(recordings[0])[:50]]:
        within_limit(read, path, RATE_HZ)
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_damage_is_the_same_every_time_and_of_every_kind(tmp_path):
    data = write_tone(tmp_path / "a.wav").read_bytes()
    first, again = ([mutated(rng, data) for _ in range(60)] for rng in map(np.random.default_rng, (1, 1)))
    assert first == again
    assert data not in first
    for kind in (b"so it goes", data[:44], bytes(44)):
        assert any(each.startswith(kind) for each in first), kind
    assert b"" in first
    for each in first:
        (tmp_path / "b.wav").write_bytes(each)
        with pytest.raises(AudioError):
            read(tmp_path / "b.wav", RATE_HZ)


@pytest.mark.slow
@pytest.mark.corpus
def test_a_batch_of_all_gives_each_a_text_or_a_line(recordings, babbler, tmp_path, capfd):
    good, damaged = recordings
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    folder = damaged[0].parent
    for suffix in FORMATS:  # a name each: 00.wav and 00.flac would be written to one file
        (tmp_path / suffix).mkdir()
        for path in folder.glob(f"*.{suffix}"):
            (tmp_path / suffix / path.name).symlink_to(path)
    status = within_limit(status_of, "transcribe", tmp_path, "--model", babbler, "--format", "json")
    out, err = capfd.readouterr()
    assert (status, out) == (1, "")
    *lines, told = err.splitlines()
    named = {Path(line.removeprefix("asr: ").split(": ")[0]).name for line in lines}
    assert (len(lines), named) == (100, {path.name for path in damaged})
    assert told.startswith("200 transcribed, 100 could not be; ")
    assert {path.stem + path.parent.name for path in tmp_path.rglob("*.json")} == {
        path.stem + path.suffix[1:] for path in good
    }
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 4  # noqa: PTH208 - of worker threads, none of recordings
