import struct

import av
import numpy as np
import pytest
import soundfile
from conftest import tone

from asr.ogg import is_whole

CRC = [0] * 256
for byte in range(256):
    register = byte << 24
    for _ in range(8):
        register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
    CRC[byte] = register & 0xFFFFFFFF


def page(number, content, serial=7):
    """A page by the book, RFC 3533; its checksum byte by byte."""
    segments = [255] * (len(content) // 255) + [len(content) % 255]
    head = b"OggS" + struct.pack("<BBqIII", 0, 0, 0, serial, number, 0) + bytes([len(segments), *segments])
    checksum = 0
    for byte in head + content:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ CRC[checksum >> 24 ^ byte]
    return head[:22] + struct.pack("<I", checksum) + head[26:] + content


PAGES = [page(number, bytes([number]) * length) for number, length in enumerate([30, 0, 5000, 254 * 255, 10], start=3)]
OTHER = [page(number, b"picture", serial=8) for number in range(2)]


def whole(tmp_path, *parts):
    (tmp_path / "a.ogg").write_bytes(b"".join(parts))
    return is_whole(tmp_path / "a.ogg")


def test_what_is_whole(tmp_path):
    assert whole(tmp_path, *PAGES)
    assert whole(tmp_path, PAGES[0], OTHER[0], PAGES[1], PAGES[2], OTHER[1], *PAGES[3:])
    assert whole(tmp_path, b"junk", *PAGES[:2], b"Ogg" * 50000, *PAGES[2:], bytes(1000))
    assert whole(tmp_path)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_page_that_is_missing(tmp_path, missing):
    assert not whole(tmp_path, *PAGES[:missing], *PAGES[missing + 1 :])


@pytest.mark.parametrize("left", [4, 26, 27, 28, 3000])
def test_a_page_that_is_cut_off(tmp_path, left):
    assert not whole(tmp_path, *PAGES[:2], PAGES[2][:left])
    assert not whole(tmp_path, *PAGES[:2], PAGES[2][:left], *PAGES[3:])


def test_every_bit_of_a_page_counts(tmp_path):
    for bit in range(32, 8 * len(PAGES[0])):  # behind "OggS"
        damaged = bytearray(PAGES[0])
        damaged[bit // 8] ^= 1 << bit % 8
        assert not whole(tmp_path, damaged, PAGES[1])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_what_libsndfile_writes_is_whole(tmp_path, subtype):
    soundfile.write(tmp_path / "a.ogg", tone(440, 5.0), 16000, subtype)
    assert is_whole(tmp_path / "a.ogg")
    content = (tmp_path / "a.ogg").read_bytes()
    assert not whole(tmp_path, content[:-1])


def test_what_ffmpeg_writes_is_whole(tmp_path):
    with av.open(str(tmp_path / "a.ogg"), "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone(440, 5.0, 48000)[None]), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert is_whole(tmp_path / "a.ogg")
