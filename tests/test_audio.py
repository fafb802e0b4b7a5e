import functools
import os
import re
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from asr import audio
from asr.audio import read, read_blocks, resample
from asr.errors import AudioError

RATE_HZ = 16000


def tone(frequency_hz, duration_s=1.0, rate_hz=RATE_HZ, level=0.3):
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (level * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


@functools.cache
def babble(duration_s=2.0, rate_hz=RATE_HZ, seed=0):
    """A sound that is nowhere like itself elsewhere, below 3 kHz, so that any codec keeps it and a shift shows."""
    random = np.random.default_rng(seed)
    sound = sum(tone(f, duration_s, rate_hz) for f in random.uniform(200, 3000, 12))
    swell = np.interp(np.arange(len(sound)), np.linspace(0, len(sound), 40), random.uniform(0, 1, 40))
    return (sound * swell / np.abs(sound).max() * 0.5).astype(np.float32)


def loudness_db(waveform):
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-30)


def peak_hz(waveform, rate_hz=RATE_HZ):
    return np.argmax(np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))) * rate_hz / len(waveform)


def encode(path, samples, rate_hz, codec, layout="mono", gap_s=0.0, file_format=None, **container_options):
    """Writes (channels, samples) with FFmpeg; `gap_s` is a pause in the middle that is in the time stamps only."""
    samples = np.atleast_2d(samples)
    half = samples.shape[1] // 2
    with av.open(str(path), "w", format=file_format, options=container_options) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        for start, part in ((0, samples[:, :half]), (half + round(gap_s * rate_hz), samples[:, half:])):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_film(path, sound=None, pictures=1):
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        if sound is not None:
            stream = container.add_stream("pcm_f32le", rate=RATE_HZ, layout="mono")
            frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            frame.sample_rate = RATE_HZ
            container.mux(stream.encode(frame))
        for _ in range(pictures):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(video.encode(None))


def write_or_encode(path, rate_hz):
    if path.suffix == ".m4a":
        encode(path, babble(rate_hz=rate_hz), rate_hz, "aac")
    else:
        soundfile.write(path, babble(rate_hz=rate_hz), rate_hz, "GSM610" if path.stem == "gsm" else None)


def cut(path, share):
    """`path` with only that share of its bytes."""
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return path


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000, 96000])
def test_any_rate_keeps_pitch_level_and_length(tmp_path, rate_hz):
    soundfile.write(tmp_path / "a.wav", tone(1000, 1.5, rate_hz), rate_hz, "FLOAT")
    waveform = read(tmp_path / "a.wav", RATE_HZ)
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert len(waveform) == pytest.approx(24000, abs=1)
    assert peak_hz(waveform) == pytest.approx(1000, abs=0.7)
    np.testing.assert_allclose(waveform[800:23200], tone(1000, 1.5)[800:23200], atol=1e-4)


def test_what_16_khz_cannot_hold_disappears(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(9000, 1.0, 44100), 44100, "FLOAT")
    inner = read(tmp_path / "a.wav", RATE_HZ)[800:-800]
    assert loudness_db(inner) < loudness_db(tone(9000, 1.0, 44100)) - 100


def test_channels_are_averaged(tmp_path):
    channels = np.random.default_rng(0).uniform(-1, 1, (500, 6)).astype(np.float32)
    channels[:2] = [[0.6, 0, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4, 0.5, -0.6]]
    soundfile.write(tmp_path / "a.wav", channels, RATE_HZ, "FLOAT")
    waveform = read(tmp_path / "a.wav", RATE_HZ)
    np.testing.assert_allclose(waveform[:2], [0.1, 0.15], atol=1e-7)
    np.testing.assert_allclose(waveform, [sum(map(float, frame)) / 6 for frame in channels], atol=1e-7)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "PCM_U8"), ("a.wav", "ULAW"), ("a.wav", "GSM610"),
        ("a.flac", "PCM_16"), ("a.aiff", "PCM_16"), ("a.ogg", "VORBIS"), ("a.ogg", "OPUS"),
    ],
)  # fmt: skip
def test_formats_that_libsndfile_writes(tmp_path, name, subtype):
    source = babble(rate_hz=8000)
    soundfile.write(tmp_path / name, source, 8000, subtype)
    waveform = read(tmp_path / name, 8000)
    assert np.array_equal(waveform, soundfile.read(tmp_path / name, 20000, dtype="float32")[0])
    assert len(waveform) == pytest.approx(len(source), abs=320)  # a GSM block, the longest of these
    assert np.corrcoef(waveform[: len(source)], source)[0, 1] > (0.6 if subtype == "GSM610" else 0.95)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.m4a", "aac", 44100),
        ("a.mp4", "aac", 16000),
        ("a.webm", "libopus", 48000),
        ("a.mka", "aac", 8000),
        ("a.m4a", "alac", 16000),
        ("a.mov", "pcm_u8", 16000),
        ("a.mov", "pcm_s16le", 16000),
        ("a.mkv", "pcm_f32le", 16000),
    ],
)
def test_formats_that_only_ffmpeg_writes_at_the_level_of_the_source(tmp_path, name, codec, rate_hz):
    source = babble(rate_hz=rate_hz)
    path = encode(tmp_path / name, [source, source], rate_hz, codec, "stereo")
    waveform, expected = read(path, RATE_HZ), resample(source, rate_hz, RATE_HZ)
    assert len(waveform) == pytest.approx(len(expected), abs=0.13 * RATE_HZ)
    shared = min(len(waveform), len(expected))
    assert np.corrcoef(waveform[:shared], expected[:shared])[0, 1] > 0.99
    assert loudness_db(waveform[:shared]) == pytest.approx(loudness_db(expected[:shared]), abs=0.1)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_an_mp3_is_what_libsndfile_makes_of_it(tmp_path, rate_hz):
    soundfile.write(tmp_path / "a.mp3", np.stack([babble(rate_hz=rate_hz), babble(rate_hz=rate_hz, seed=1)]).T, rate_hz)
    expected = soundfile.read(tmp_path / "a.mp3")[0].mean(axis=1)
    np.testing.assert_allclose(read(tmp_path / "a.mp3", rate_hz), expected, atol=1e-4)


@pytest.mark.parametrize(("codec", "layout"), [("aac", "7.1"), ("aac", "hexadecagonal"), ("pcm_f32le", "7.1")])
def test_so_many_channels_that_pyav_alone_would_crash(tmp_path, codec, layout):
    count = 8 if layout == "7.1" else 16
    run = [sys.executable, "-c", "import sys; from asr.audio import read; from pathlib import Path\n"
           "read(Path(sys.argv[1]), 48000).tofile(sys.argv[2])"]  # fmt: skip
    with av.open(str(tmp_path / "a.mka"), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout=layout)
        stream.bit_rate = 64000 * count
        packed = np.repeat(babble(rate_hz=48000), count)[None]
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    subprocess.run([*run, tmp_path / "a.mka", tmp_path / "raw"], check=True)  # so that a crash is only a failure
    waveform = np.fromfile(tmp_path / "raw", np.float32)[:96000]
    assert np.corrcoef(waveform, babble(rate_hz=48000))[0, 1] > 0.99


def test_surround_sound_through_ffmpeg_is_averaged(tmp_path):
    channels = np.stack([tone(f, rate_hz=48000, level=0.6) for f in (300, 500, 700, 60, 900, 1100)])
    path = encode(tmp_path / "a.mkv", channels, 48000, "pcm_f32le", "5.1")
    np.testing.assert_allclose(read(path, 48000), channels.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(("name", "rate_hz"), [("a.wav", 16000), ("a.flac", 44100), ("a.ogg", 8000), ("a.m4a", 48000)])
def test_blocks_joined_are_the_recording_bit_for_bit(tmp_path, name, rate_hz):
    write_or_encode(tmp_path / name, rate_hz)
    whole = read(tmp_path / name, RATE_HZ)
    for block_s in (0.01, 0.37, 1.0, 30.0):
        blocks = list(read_blocks(tmp_path / name, RATE_HZ, block_s))
        assert {len(block) for block in blocks[:-1]} <= {round(block_s * RATE_HZ)}
        assert 0 < len(blocks[-1]) <= block_s * RATE_HZ
        assert np.array_equal(np.concatenate(blocks), whole)


def test_reading_is_decoding_and_resampling_bit_for_bit(tmp_path):
    soundfile.write(tmp_path / "a.wav", babble(rate_hz=44100), 44100, "FLOAT")
    assert np.array_equal(read(tmp_path / "a.wav", RATE_HZ), resample(babble(rate_hz=44100), 44100, RATE_HZ))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "gsm.wav", "a.m4a"])
def test_a_stretch_is_that_part_of_the_whole(tmp_path, name):
    write_or_encode(tmp_path / name, RATE_HZ)
    whole = read(tmp_path / name, RATE_HZ)
    for offset_s, duration_s in [(0.0, 0.5), (0.7, None), (0.5, 1.0), (1.25, 0.75), (1.1, 0.01)]:
        end = None if duration_s is None else round((offset_s + duration_s) * RATE_HZ)
        stretch = read(tmp_path / name, RATE_HZ, offset_s, duration_s)
        np.testing.assert_allclose(stretch, whole[round(offset_s * RATE_HZ) : end], atol=1e-6)


def test_a_stretch_resampled_differs_from_the_whole_at_its_edges_only(tmp_path):
    soundfile.write(tmp_path / "a.wav", babble(rate_hz=44100), 44100)
    stretch = read(tmp_path / "a.wav", RATE_HZ, 0.5, 1.0)
    assert len(stretch) == RATE_HZ
    np.testing.assert_allclose(stretch[200:-200], read(tmp_path / "a.wav", RATE_HZ)[8200:23800], atol=1e-3)


@pytest.mark.parametrize(
    "samples", [np.zeros(RATE_HZ), np.where(tone(200) > 0, 1.0, -1.0), tone(440, 0.01), np.full(1, 0.5)]
)
def test_silence_clipping_and_blips_are_sound(tmp_path, samples):
    soundfile.write(tmp_path / "a.wav", samples.astype(np.float32), RATE_HZ, "FLOAT")
    assert np.array_equal(read(tmp_path / "a.wav", RATE_HZ), samples.astype(np.float32))
    assert len(read(tmp_path / "a.wav", 8000)) == pytest.approx(len(samples) / 2, abs=0.5)


@pytest.mark.parametrize("head_bytes", [0x7FFFF000, 0x7FFFFFD4, 0xFFFFFFFF])
def test_a_streamed_wav_that_never_knew_its_size_is_whole(tmp_path, head_bytes):
    soundfile.write(tmp_path / "a.wav", tone(440), RATE_HZ)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[40:44] = struct.pack("<I", head_bytes)
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read(tmp_path / "a.wav", RATE_HZ)) == RATE_HZ


def test_a_streamed_flac_that_never_knew_its_size_is_whole(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(440), RATE_HZ)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0  # the last 36 bits of these are the number of samples
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    assert soundfile.info(tmp_path / "a.flac").frames == audio.UNKNOWN_FRAMES
    assert len(read(tmp_path / "a.flac", RATE_HZ)) == RATE_HZ


@pytest.mark.parametrize("loud_first", [True, False])
def test_an_mp3_of_unknown_length_is_whole(tmp_path, loud_first):
    """libsndfile guesses from the first frame, and leaves off what lies behind its guess."""
    noise = np.random.default_rng(0).normal(0, 0.2, 44100)
    halves = [noise, np.zeros(3 * 44100)] if loud_first else [np.zeros(3 * 44100), noise]
    with av.open(str(tmp_path / "a.mp3"), "w", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="mono")
        stream.options = {"flags": "+qscale", "global_quality": "708"}
        frame = av.AudioFrame.from_ndarray(np.concatenate(halves).astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert abs(soundfile.info(tmp_path / "a.mp3").duration - 4) > 0.5
    assert len(read(tmp_path / "a.mp3", RATE_HZ)) == pytest.approx(4 * RATE_HZ, abs=0.1 * RATE_HZ)


@pytest.mark.parametrize("loud_first", [True, False])
def test_bare_aac_of_unknown_length_is_whole(tmp_path, loud_first):
    halves = [babble(), np.zeros(6 * RATE_HZ, np.float32)]
    path = encode(tmp_path / "a.aac", np.concatenate(halves if loud_first else halves[::-1]), RATE_HZ, "aac")
    assert len(read(path, RATE_HZ)) == pytest.approx(8 * RATE_HZ, abs=0.13 * RATE_HZ)


def test_the_run_in_that_aac_counts_is_forgiven(tmp_path):
    path = encode(tmp_path / "a.mka", tone(440, 2.048, 8000), 8000, "aac")
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(2.176e6)
    assert len(read(path, 8000)) == 2.048 * 8000


def test_what_is_called_an_mp3_and_is_none(tmp_path):
    for name, file_format in (("wav.mp3", "WAV"), ("flac.mp3", "FLAC"), ("aiff.mp3", "AIFF"), ("ogg.MP3", "OGG")):
        soundfile.write(tmp_path / name, tone(440), RATE_HZ, format=file_format)
        assert len(read(tmp_path / name, RATE_HZ)) == RATE_HZ
        with pytest.raises(AudioError):
            read(cut(tmp_path / name, 0.7), RATE_HZ)


def test_a_film_may_last_longer_than_its_sound(tmp_path):
    write_film(tmp_path / "a.mkv", tone(440), pictures=30)
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.duration == pytest.approx(3e6)
    assert len(read(tmp_path / "a.mkv", RATE_HZ)) == RATE_HZ


def test_mp3s_joined_end_to_end_and_junk_behind_them_are_read_to_the_end(tmp_path):
    one = encode(tmp_path / "one.mp3", babble(rate_hz=44100), 44100, "libmp3lame").read_bytes()
    (tmp_path / "a.mp3").write_bytes(one + one + b"junk" * 500)
    assert len(read(tmp_path / "a.mp3", RATE_HZ)) == pytest.approx(4 * RATE_HZ, abs=0.1 * RATE_HZ)


def test_an_mp3_that_changes_its_channels_midway_is_read_to_the_end(tmp_path):
    mono = encode(tmp_path / "mono.mp3", babble(rate_hz=44100), 44100, "libmp3lame")
    left = babble(rate_hz=44100, seed=1)
    stereo = encode(tmp_path / "stereo.mp3", np.stack([left, 0 * left]), 44100, "libmp3lame", layout="stereo")
    for number, parts in enumerate([(mono, stereo), (stereo, mono)]):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        waveform = read(path, 44100)
        assert len(waveform) == pytest.approx(4 * 44100, abs=0.1 * 44100)
        for half, part in zip(np.array_split(waveform, 2), parts, strict=True):
            assert loudness_db(half) == pytest.approx(loudness_db(read(part, 44100)), abs=1)


def test_an_mp3_that_changes_its_rate_midway_is_refused(tmp_path):
    parts = [encode(tmp_path / f"{hz}.mp3", babble(rate_hz=hz), hz, "libmp3lame") for hz in (44100, 16000)]
    (tmp_path / "a.mp3").write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(AudioError, match="a.mp3: damaged or cut short, at most [12]\\.[0-9]+ s of its 2"):
        read(tmp_path / "a.mp3", RATE_HZ)


def test_a_tag_that_is_not_utf_8_is_no_trouble(tmp_path):
    encode(tmp_path / "a.mp3", tone(440), RATE_HZ, "libmp3lame", id3v2_version="0")
    title = b"\x03caf\xe9"
    tag = b"TIT2" + struct.pack(">IH", len(title), 0) + title
    content = b"ID3\x03\0\0" + struct.pack(">I", len(tag)) + tag + (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(UnicodeDecodeError):
        av.open(str(tmp_path / "a.mp3"))
    assert len(read(tmp_path / "a.mp3", RATE_HZ)) == RATE_HZ


def test_a_pause_that_was_never_sent_is_no_damage(tmp_path):
    path = encode(tmp_path / "a.mkv", babble(), RATE_HZ, "pcm_s16le", gap_s=3.0)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(5e6, abs=1e5)
    assert len(read(path, RATE_HZ)) == 2 * RATE_HZ


def write_text(path):
    path.write_text("one two three\n" * 100)


def write_unknown_codec(path):
    encode(path, tone(440, rate_hz=48000), 48000, "libopus", file_format="webm")
    path.write_bytes(path.read_bytes().replace(b"A_OPUS", b"A_NONE"))


def write_samples(*values):
    return lambda path: soundfile.write(path, np.array(values, dtype=np.float32), RATE_HZ, "FLOAT", format="WAV")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file or directory"),
        (Path.mkdir, "Is a directory"),
        (Path.touch, "the file is empty"),
        (write_text, "no sound found in it: not a recording"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(9000)), "no sound found in it"),
        (write_film, "no sound found in it"),
        (write_unknown_codec, "no sound found in it"),
        (write_samples(), "no samples"),
        (write_samples(0.1, np.nan, 0.1), "NaN or infinite samples after 0.00 s"),
        (write_samples(*[0.1] * 40000, -np.inf), "NaN or infinite samples after 2.05 s"),
        (lambda path: cut(encode(path, babble(), RATE_HZ, "aac", file_format="mp4"), 0.5), "no sound found in it"),
    ],
)
def test_refusals(tmp_path, make, message):
    make(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=message) as caught:
        read(tmp_path / "a.wav", RATE_HZ)
    assert str(caught.value).startswith(f"{tmp_path / 'a.wav'}: ")
    assert "\n" not in str(caught.value)


def test_a_recording_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(self, *_):
        raise PermissionError(13, "Permission denied", str(self))

    soundfile.write(tmp_path / "a.wav", tone(440), RATE_HZ)
    monkeypatch.setattr(Path, "open", refuse)  # taking the right away would not stop root
    with pytest.raises(AudioError, match="a.wav: Permission denied"):
        read(tmp_path / "a.wav", RATE_HZ)


@pytest.mark.parametrize(
    ("name", "least_s", "whole"),
    [
        ("a.wav", 1.9, " of its 4.00 s"),
        ("a.aiff", 1.9, " of its 4.00 s"),
        ("a.flac", 1.0, " of its 4.00 s"),
        ("a.mp3", 1.8, " of its 4.00 s"),
        ("a.ogg", 0.0, ""),
        ("a.opus", 0.0, ""),
        ("fast.m4a", 1.7, " of its 4.00 s"),
        ("a.webm", 1.7, " of its 4.01 s"),
    ],
)
def test_a_recording_cut_in_half_says_how_much_is_left(tmp_path, name, least_s, whole):
    path = tmp_path / name
    if path.suffix == ".webm":
        encode(path, babble(4.0, 48000), 48000, "libopus")
    elif path.suffix == ".m4a":
        encode(path, babble(4.0, 48000), 48000, "aac", movflags="faststart")
    else:
        soundfile.write(path, babble(4.0), RATE_HZ, **({"format": "OGG", "subtype": "OPUS"} if "opus" in name else {}))
    assert len(read(path, RATE_HZ)) == pytest.approx(4 * RATE_HZ, abs=0.05 * RATE_HZ)
    with pytest.raises(AudioError) as caught:
        read(cut(path, 0.5), RATE_HZ)
    start, end = f"{path}: damaged or cut short, at most ", f" s{whole} can be read"
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(end)
    assert least_s <= float(str(caught.value)[len(start) : -len(end)]) <= 2.2


def test_damage_stops_the_blocks_where_it_is_and_not_the_stretches_before(tmp_path):
    soundfile.write(tmp_path / "a.flac", babble(8.0), RATE_HZ)
    cut(tmp_path / "a.flac", 0.5)
    assert len(read(tmp_path / "a.flac", RATE_HZ, 0.5, 1.5)) == 1.5 * RATE_HZ
    blocks = read_blocks(tmp_path / "a.flac", RATE_HZ, 1.0)
    assert [len(next(blocks)) for _ in range(2)] == [RATE_HZ, RATE_HZ]
    with pytest.raises(AudioError, match=r"damaged or cut short, at most .* of its 8.00 s"):
        list(blocks)


@pytest.mark.parametrize(("subtype", "rate_hz"), [("VORBIS", 16000), ("OPUS", 48000)])
@pytest.mark.parametrize("page", [2, 3, 5])
def test_a_damaged_page_of_an_ogg_file_is_damage(tmp_path, subtype, rate_hz, page):
    """libsndfile leaves it out, and FFmpeg too, to which the file falls when libsndfile is too puzzled."""
    soundfile.write(tmp_path / "a.ogg", babble(6.0, rate_hz), rate_hz, subtype)
    content = bytearray((tmp_path / "a.ogg").read_bytes())
    starts = [found.start() for found in re.finditer(b"OggS", content)]
    content[starts[page] + 300] ^= 1
    (tmp_path / "a.ogg").write_bytes(content)
    with pytest.raises(AudioError, match="damaged or cut short"):
        read(tmp_path / "a.ogg", RATE_HZ)


@pytest.mark.parametrize("start", [b"", b"ID3\x03\0\0\0\0\x02\x01" + bytes(257), b"so it goes\n" * 900])
def test_libsndfile_does_not_complain_of_an_mp3_on_stderr(tmp_path, capfd, start):
    soundfile.write(tmp_path / "a.mp3", babble(4.0), RATE_HZ)
    content = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(start if start.startswith(b"so") else start + content[:9000])
    with pytest.raises(AudioError):
        read(tmp_path / "a.mp3", RATE_HZ)
    assert capfd.readouterr().err == ""


def test_numbers_that_have_no_average_are_one_line_and_no_warning(tmp_path, recwarn):
    soundfile.write(tmp_path / "a.wav", np.array([[np.inf, -np.inf]], np.float32), RATE_HZ, "FLOAT")
    encode(tmp_path / "a.mka", np.array([[np.inf] * 99, [-np.inf] * 99], np.float32), RATE_HZ, "pcm_f32le", "stereo")
    for name in ("a.wav", "a.mka"):
        with pytest.raises(AudioError, match="NaN or infinite samples after 0.00 s"):
            read(tmp_path / name, RATE_HZ)
    assert not recwarn


def test_the_second_half_of_a_flac_is_no_recording(tmp_path):
    soundfile.write(tmp_path / "a.flac", babble(8.0), RATE_HZ)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(bytes(len(content) // 2) + content[len(content) // 2 :])
    with pytest.raises(AudioError, match="no sound found in it"):
        read(tmp_path / "a.flac", RATE_HZ)


def test_noise_inside_an_mp3_is_damage(tmp_path):
    soundfile.write(tmp_path / "a.mp3", babble(4.0), RATE_HZ)
    content = bytearray((tmp_path / "a.mp3").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = np.random.default_rng(0).bytes(3000)
    (tmp_path / "a.mp3").write_bytes(content)
    with pytest.raises(AudioError, match="damaged or cut short"):
        read(tmp_path / "a.mp3", RATE_HZ)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3"])
@pytest.mark.parametrize(
    ("offset_s", "duration_s", "message"),
    [
        (0.5, 1.0, "1 s from 0.5 s on was asked for, but only 0.50 s is there"),
        (3.0, 1.0, "1 s from 3 s on was asked for, but only 0.00 s is there"),
        (1.0, None, "no samples after 1 s"),
        (-1.0, None, "all from -1 s on was asked for"),
        (0.0, 0.0, "0 s from 0 s on was asked for"),
        (float("nan"), 1.0, "1 s from nan s on was asked for"),
    ],
)
def test_stretches_that_are_not_there(tmp_path, name, offset_s, duration_s, message):
    soundfile.write(tmp_path / name, tone(440), RATE_HZ)
    with pytest.raises(AudioError, match=f"{name}: {message}$"):
        read(tmp_path / name, RATE_HZ, offset_s, duration_s)


def test_a_duration_that_was_rounded_up_is_forgiven(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440), RATE_HZ)
    assert len(read(tmp_path / "a.wav", RATE_HZ, 0.0, 1.05)) == RATE_HZ


@pytest.mark.parametrize("name", ["10:30.m4a", "naïve ñ.m4a", os.fsdecode(b"\xff.m4a")])
def test_odd_names(tmp_path, monkeypatch, name):
    encode(tmp_path / "a.m4a", tone(440), RATE_HZ, "aac").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(read(Path(name), RATE_HZ)) >= RATE_HZ


def test_resampling_by_nothing_changes_nothing():
    assert resample(tone(440), 8000, 8000) is not None
    assert np.array_equal(resample(tone(440), 8000, 8000), tone(440))
    assert resample(tone(440).astype(np.float64), RATE_HZ, 8000).dtype == np.float32


def test_speed_change():
    faster = resample(tone(440), round(1.1 * RATE_HZ), RATE_HZ)
    assert len(faster) == round(RATE_HZ / 1.1)
    assert peak_hz(faster) == pytest.approx(484, abs=1.2)


def test_reading_at_once_from_many_threads(tmp_path):
    paths = []
    for seed in range(6):
        paths.append(tmp_path / f"{seed}.flac")
        soundfile.write(paths[-1], babble(rate_hz=44100, seed=seed), 44100)
        paths.append(encode(tmp_path / f"{seed}.m4a", babble(rate_hz=44100, seed=seed), 44100, "aac"))
    alone = [read(path, RATE_HZ) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda path: read(path, RATE_HZ), paths))
    assert all(np.array_equal(*pair) for pair in zip(alone, together, strict=True))


def test_memory_stays_constant(tmp_path):
    """Six minutes are 23 MB as float32; the blocks of them must not pile up."""
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE_HZ, 1) as file:
        for _ in range(360):
            file.write(tone(440))
    code = (
        "import resource, sys; from pathlib import Path; from asr.audio import read_blocks\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "blocks = read_blocks(Path(sys.argv[1]), 16000, 10.0); next(blocks); before = peak()\n"
        "count = sum(1 for block in blocks); print(count, peak() - before)"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "a.flac")]
    count, grown_mb = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert int(count) == 35
    assert float(grown_mb) < 8


def test_torch_is_not_needed():
    code = "import sys, asr.audio; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.corpus
@pytest.mark.parametrize(
    "pattern", ["LibriSpeech/**/*.opus", "LibriSpeech/**/*.mp3", "LJSpeech-1.1/**/*.opus", "**/*.flac"]
)
def test_real_recordings(corpora, pattern):
    paths = sorted(corpora.glob(pattern))[:3]
    if not paths:
        pytest.skip(f"no {pattern}")
    for path in paths:
        waveform = read(path, RATE_HZ)
        assert len(waveform) / RATE_HZ == pytest.approx(soundfile.info(path).duration, abs=1 / RATE_HZ)
        assert -60 < loudness_db(waveform) < -5
