"""A fake recognizer hears words of known times: a word is a stretch of one amplitude; cut in two, it is another."""

import io
import os
import re
import signal
from itertools import pairwise
from pathlib import Path
from threading import Event
from time import sleep

import numpy as np
import pytest
import soundfile
from conftest import status_of, tone
from rich.console import Console

from asr import listening
from asr.alignment import Word
from asr.audio import read, read_blocks
from asr.errors import AudioError
from asr.listening import Pace, Spool, listen, session, settled_until
from asr.microphone import Playback
from asr.recognizer import Recognizer
from asr.transcript import Transcript

RATE_HZ = 1000
LEVELS = 1 << 14


def said(gaps_s, lengths_s, end_s=0.0):
    """The samples of words 1, 2, 3 ... after the gaps, and where each begins and ends."""
    parts, times, at = [], [], 0
    for number, (gap_s, length_s) in enumerate(zip(gaps_s, lengths_s, strict=True), start=1):
        gap, length = round(gap_s * RATE_HZ), round(length_s * RATE_HZ)
        parts += [np.zeros(gap), np.full(length, number / LEVELS)]
        times.append((at + gap, at + gap + length))
        at += gap + length
    return np.concatenate([*parts, np.zeros(round(end_s * RATE_HZ))]).astype(np.float32), times


class FakeRecognizer:
    sample_rate_hz = RATE_HZ

    def __init__(self, times, jitter_s=0.0):
        self.lengths = {number: end - begin for number, (begin, end) in enumerate(times, start=1)}
        self.rng = np.random.default_rng(7)
        self.jitter_s = jitter_s
        self.heard_s = []

    def transcribe(self, audio, sample_rate_hz=None):
        if isinstance(audio, Path):
            audio = read(audio, RATE_HZ)
        else:
            assert sample_rate_hz == RATE_HZ
        self.heard_s.append(len(audio) / RATE_HZ)
        levels = np.rint(audio * LEVELS).astype(int)
        edges = [0, *(np.flatnonzero(np.diff(levels)) + 1), len(levels)]
        words = tuple(self.word(int(levels[begin]), begin, end) for begin, end in pairwise(edges) if levels[begin])
        return Transcript("", " ".join(word.text for word in words), len(audio) / RATE_HZ, words=words)

    def word(self, level, begin, end):
        text = f"{level}" if end - begin == self.lengths[level] else f"part of {level}"
        shift_s = self.rng.uniform(-self.jitter_s, self.jitter_s)
        return Word(text, begin / RATE_HZ + shift_s, end / RATE_HZ + shift_s, 1.0)


class Blocks:
    """Sound that has all been said; `waiting_s` tells, per block, what a busy machine would have in its queue."""

    losses = ""

    def __init__(self, samples, size=100, waiting_s=()):
        self.parts = np.split(samples, range(size, len(samples), size))
        self.waits = list(waiting_s)
        self.waiting_s = 0.0

    def blocks(self, sample_rate_hz):
        for number, part in enumerate(self.parts):
            self.waiting_s = self.waits[number] if number < len(self.waits) else 0.0
            yield part


def told(samples, times, folder, jitter_s=0.0):
    """Every word that was told, those that were shown at each step, and the recognizer."""
    recognizer, words, steps = FakeRecognizer(times, jitter_s), [], []

    def show(now, others):
        words.extend(now)
        steps.append([word.text for word in [*words, *others]])

    with Spool(folder / "a.wav", RATE_HZ) as recording:
        listen(recognizer, Blocks(samples), recording, show)
    return [word.text for word in words], steps, recognizer


def numbers(count):
    return [str(number) for number in range(1, count + 1)]


@pytest.mark.parametrize("seed", range(10))
def test_each_word_is_told_once_whatever_the_pauses(tmp_path, seed):
    rng = np.random.default_rng(seed)
    count = 150
    gaps_s = np.where(rng.random(count) < 0.3, rng.uniform(0.3, 6.0, count), rng.uniform(0.05, 0.3, count))
    samples, times = said(gaps_s, rng.uniform(0.1, 0.9, count), end_s=rng.uniform(0.0, 3.0))
    words, _, recognizer = told(samples, times, tmp_path)
    assert words == numbers(count)
    assert max(recognizer.heard_s) <= Pace().window_s


@pytest.mark.parametrize("seed", range(10))
def test_times_that_differ_a_little_from_window_to_window_do_no_harm(tmp_path, seed):
    rng = np.random.default_rng(seed)
    gaps_s = np.where(rng.random(120) < 0.3, rng.uniform(0.4, 2.0, 120), rng.uniform(0.08, 0.2, 120))
    samples, times = said(gaps_s, rng.uniform(0.2, 0.9, 120))
    assert told(samples, times, tmp_path, jitter_s=0.04)[0] == numbers(120)


@pytest.mark.parametrize("offset_s", np.arange(0.0, 1.0, 0.1).tolist())
def test_speech_without_a_pause_is_told_when_the_window_is_full(tmp_path, offset_s):
    samples, times = said([0.05 + offset_s, *[0.02] * 99], [0.38] * 100)
    words, steps, _ = told(samples, times, tmp_path)
    assert words == numbers(100)
    assert steps[19] == numbers(len(steps[19]) - 1) + steps[19][-1:]  # the last may be cut
    assert len(steps[19]) >= 47  # of the 50 that there were in 20 s


def test_a_sound_longer_than_the_window_does_not_hold_it_up(tmp_path):
    samples, times = said([0.5, 0.5, 0.5], [0.5, 40.0, 0.5], end_s=1.0)
    words, _, recognizer = told(samples, times, tmp_path)
    assert words[0] == "1"
    assert words[-1] == "3"
    assert max(recognizer.heard_s) <= Pace().window_s


def test_a_word_is_told_once_it_has_a_pause_behind_it(tmp_path):
    samples, times = said([0.2, 0.1, 1.0], [0.5, 0.5, 0.4], end_s=2.0)
    _, steps, _ = told(samples, times, tmp_path)
    assert steps[0] == ["1", "part of 2"]
    assert steps[1] == ["1", "2"]
    assert steps[2] == ["1", "2", "3"]


def test_silence_says_nothing_and_keeps_the_window_short(tmp_path):
    words, steps, recognizer = told(np.zeros(60 * RATE_HZ, np.float32), [], tmp_path)
    assert words == []
    assert len(steps) == 61
    assert max(recognizer.heard_s) < 7.0


WORDS = [Word("a", 1.0, 2.0, 1.0), Word("b", 2.5, 3.0, 1.0), Word("c", 3.1, 4.0, 1.0)]


@pytest.mark.parametrize(
    ("words", "told_s", "until_s", "full", "expected_s"),
    [
        (WORDS, 0.8, 5.0, False, 4.5),  # behind the last word
        (WORDS, 0.8, 4.1, False, 2.25),  # its pause is not long enough yet
        (WORDS, 0.8, 2.2, False, 0.8),  # nor is that behind the first
        (WORDS[1:], 2.4, 4.1, False, 2.4),
        (WORDS[1:], 2.4, 4.1, True, 4.05),  # the gap between the two lies in the earlier half
        ([Word("b", 2.5, 3.3, 1.0), Word("c", 3.4, 4.0, 1.0)], 2.4, 4.02, True, 3.35),
        (WORDS[2:], 3.0, 3.9, True, 3.9),  # in the middle of a word, where there is nothing else
        ([], 0.0, 0.2, False, 0.0),
        ([], 1.0, 3.0, False, 2.0),
        ([], 0.5, 0.0, True, 0.5),
    ],
)
def test_where_the_words_of_a_window_are_settled(words, told_s, until_s, full, expected_s):
    assert settled_until(words, told_s, until_s, 0.3, full) == pytest.approx(expected_s)


def test_a_step_is_put_off_while_sound_is_waiting(tmp_path, capfd):
    samples, times = said([0.3] * 12, [0.4] * 12)
    recognizer, words = FakeRecognizer(times), []
    waiting_s = [0.0] * 15 + [3.0 - 0.1 * number for number in range(30)]
    with Spool(tmp_path / "a.wav", RATE_HZ) as recording:
        figures = listen(
            recognizer, Blocks(samples, waiting_s=waiting_s), recording, lambda now, others: words.extend(now)
        )
    assert [word.text for word in words] == numbers(12)
    assert (figures.late_steps, len(figures.step_latencies_s)) == (2, 6)
    assert capfd.readouterr().err.count("slower than the speech") == 1


def test_the_sound_is_kept_as_it_comes(tmp_path):
    sound = np.concatenate([tone(50, 1.0, RATE_HZ), np.array([1.5, -1.5], np.float32)])
    with Spool(tmp_path / "a.wav", RATE_HZ) as recording:
        for block in np.split(sound, [300, 300, 700]):
            recording.append(block)
            kept, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")  # whole while it grows
            assert len(kept) == round(recording.duration_s * RATE_HZ)
        np.testing.assert_array_equal(recording.read(0.25, 1.002), kept[250:])
    assert rate == RATE_HZ
    np.testing.assert_allclose(kept, np.clip(sound, -1, 1), atol=2**-15)


def test_a_recording_that_cannot_be_kept(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"precious")
    with pytest.raises(AudioError, match=r"a.wav: there is such a file already"):
        Spool(tmp_path / "a.wav", RATE_HZ)
    with pytest.raises(AudioError, match=r"b.wav: cannot be written \(No such file or directory\)"):
        Spool(tmp_path / "missing" / "b.wav", RATE_HZ)
    assert (tmp_path / "a.wav").read_bytes() == b"precious"


def test_a_session_ends_with_a_pass_over_all_of_it(tmp_path, capfd):
    samples, times = said([0.5, 1.6, 0.1], [0.4, 0.5, 0.6], end_s=0.2)
    lines = []
    transcript = session(FakeRecognizer(times), Blocks(samples), tmp_path / "a.wav", tell=lines.append)
    assert lines == ["1", "2 3", ""]
    assert transcript.text == "1 2 3"
    assert soundfile.info(tmp_path / "a.wav").duration == 3.9
    errors = capfd.readouterr().err
    assert "heard 3.9 s in 3 steps, shown 0." in errors
    assert "of real time" in errors


def test_a_session_of_so_many_seconds(tmp_path):
    samples, times = said([0.5] * 20, [0.5] * 20)
    assert session(FakeRecognizer(times), Blocks(samples), seconds=4.0).text == "1 2 3 4"


def test_a_session_that_is_stopped(tmp_path):
    samples, times = said([0.5] * 20, [0.5] * 20)
    asked = iter([False] * 59)
    assert session(FakeRecognizer(times), Blocks(samples), stopping=lambda: next(asked, True)).text == "1 2 3 4 5 6"


def test_no_sound_at_all():
    with pytest.raises(AudioError, match="no sound has come in"):
        session(FakeRecognizer([]), Blocks(np.zeros(0, np.float32)))


@pytest.fixture
def sweep(tmp_path):
    time_s = np.arange(4 * 16000) / 16000
    soundfile.write(tmp_path / "sweep.wav", 0.3 * np.sin(2 * np.pi * (200 + 500 * time_s) * time_s), 16000)
    return tmp_path / "sweep.wav"


def test_the_command_ends_with_what_transcribe_says(babbler, sweep, tmp_path, capfd):
    out = tmp_path / "kept.wav"
    assert status_of("listen", "--from", sweep, "--fast", "--model", babbler, "--out", out) == 0
    output, errors = capfd.readouterr()
    *stretches, empty, final = output.splitlines()
    assert "heard 4.0 s in 4 steps" in errors
    assert not empty
    assert all(stretches)
    assert len(final) > 3
    np.testing.assert_array_equal(read(out, 16000), read(sweep, 16000))
    assert status_of("transcribe", sweep, "--model", babbler) == 0
    assert capfd.readouterr().out.splitlines() == [final]


@pytest.mark.parametrize(("times", "status"), [(1, 0), (2, 130)])
def test_ctrl_c(babbler, sweep, monkeypatch, capfd, times, status):
    pressed = Event()

    def blocks(self, sample_rate_hz):
        yield from read_blocks(sweep, sample_rate_hz, 0.5)
        for _ in range(times):
            handler = signal.getsignal(signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(300):  # two that come at once count as one: wait till the first has been noted
                if signal.getsignal(signal.SIGINT) is not handler:
                    break
                sleep(0.01)
        pressed.set()
        while True:
            yield np.zeros(1600, np.float32)

    def patient(self, audio, *arguments):
        final = isinstance(audio, Path)
        assert not final or pressed.wait(20)  # else it may be over before the second time
        return transcribe(self, audio, *arguments)

    transcribe = Recognizer.transcribe
    monkeypatch.setattr(Recognizer, "transcribe", patient)
    monkeypatch.setattr(Playback, "blocks", blocks)
    assert status_of("listen", "--from", sweep, "--model", babbler) == status
    output, errors = capfd.readouterr()
    assert ("heard 4.1 s" in errors) == (status == 0)
    assert ("" in output.splitlines()) == (status == 0)  # the line before the final text


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--from", "missing.wav"], 1, "missing.wav: No such file or directory"),
        (["--fast"], 2, "--fast is for a recording"),
        (["--from", "a.wav", "--out", "b.mp3"], 2, "--out b.mp3: only WAV is written; name a file such as b.wav"),
        (["--greedy", "--lm", "lm.arpa"], 2, "--greedy is without a beam search"),
    ],
)
def test_what_the_command_refuses(babbler, arguments, status, message, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert status_of("listen", "--model", babbler, *arguments) == status
    assert message in capfd.readouterr().err


def test_a_terminal_shows_what_is_said_as_it_comes(monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=200)
    monkeypatch.setattr(listening, "console", lambda: screen)
    monkeypatch.setattr(listening, "say", screen.print)
    samples, times = said([0.5, 1.6, 0.1], [0.4, 0.5, 0.6], end_s=0.2)
    session(FakeRecognizer(times), Blocks(samples))
    shown = screen.file.getvalue()
    assert shown.index("\x1b[2m1\x1b[0m") < shown.index("\x1b[2m2\x1b[0m")  # dim: may still change
    told = [line.strip() for line in re.sub(r"\x1b\[2m.*?\x1b\[0m|\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()]
    assert [line for line in told if line and "heard" not in line] == ["1", "2 3"]
