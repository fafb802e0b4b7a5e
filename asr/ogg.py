"""Whether an Ogg file is whole. Decoders pass over a damaged page in silence, and the speech in it is gone.

Source: RFC 3533, section 6 (the page format).
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 27
PAGE_BYTES = HEADER_BYTES + 255 + 255 * 255
"""The longest that a page can be: header, table of segments, segments."""

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Every byte with its bits in the other order."""


def is_whole(path: Path) -> bool:
    """Whether the pages are complete, as they were written, and none is missing between two of the same stream.

    What is no page, before, between or after them, is passed over.
    """
    numbers: dict[int, int] = {}
    with path.open("rb") as stream:
        for page, is_complete in _pages(stream):
            if not is_complete or not _is_as_written(page):
                return False
            serial, number = struct.unpack_from("<II", page, 14)
            if number != numbers.get(serial, number - 1) + 1:
                return False
            numbers[serial] = number
    return True


def _pages(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Each page, and whether it has the length that its header says."""
    start = 0
    while True:
        stream.seek(start)
        page = stream.read(HEADER_BYTES + 255)
        if page.startswith(b"OggS"):
            segments = page[26] if len(page) >= HEADER_BYTES else 255
            length = HEADER_BYTES + segments + sum(page[HEADER_BYTES : HEADER_BYTES + segments])
            page = page[:length] + stream.read(max(0, length - len(page)))
            yield page, len(page) == length
            start += length
        else:
            page += stream.read(PAGE_BYTES)
            if len(page) < 4:
                return
            found = page.find(b"OggS")
            start += len(page) - 3 if found < 0 else found


def _is_as_written(page: bytes) -> bool:
    """Whether a page has the checksum in its header: zlib's CRC-32, but of bits in the other order and from 0 on."""
    expected = int.from_bytes(page[22:26].translate(REVERSED), "big")
    content = (page[:22] + bytes(4) + page[26:]).translate(REVERSED)
    return zlib.crc32(content, 0xFFFFFFFF) ^ 0xFFFFFFFF == expected
