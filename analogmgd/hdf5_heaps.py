"""Heaps of an HDF5 file, where texts of any length lie, looked at before HDF5 does.

Of all that it keeps of its own they alone have no checksum; HDF5 takes the memory that a damaged one claims, or hangs.
"""

from __future__ import annotations

import contextlib
import mmap
import os

from .limits import at_most

SIGNATURE = b"GCOL\1\0\0\0"
HEAD = 16  # bytes of a heap's head, and of an object's
ROOM = 64 << 20  # bytes that reading texts may take beside the file's size


def reading_texts(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """While texts of a file are read whose heaps are not damaged: their lengths, too, are believed by HDF5."""
    return at_most(os.path.getsize(path) + ROOM)


def damaged_heap(path: str | os.PathLike[str]) -> str:
    """What is wrong with a heap of a file, in words; empty: nothing.

    A heap is its signature and its size, then objects: number (2 bytes), references (2), 4 unused, size (8), contents
    filled up to a multiple of 8; number 0 is what is free, and the last one (HDF5 file format, III.E).
    """
    if not os.path.getsize(path):
        return ""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(SIGNATURE)
        while at >= 0:
            size = int.from_bytes(content[at + 8 : at + 16], "little")
            if size > len(content) - at:
                return f"a heap in it claims {size} bytes; {len(content) - at} are there"
            place, end = at + HEAD, at + size
            while place + HEAD <= end:
                number = int.from_bytes(content[place : place + 2], "little")
                length = int.from_bytes(content[place + 8 : place + 16], "little")
                taken = length if number == 0 else HEAD + -(-length // 8) * 8
                if taken < HEAD or place + taken > end:
                    return f"a text in a heap claims {length} bytes; {end - place} are left"
                place += taken
            at = content.find(SIGNATURE, max(at + 1, place))
    return ""
