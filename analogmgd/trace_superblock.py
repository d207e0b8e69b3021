"""The first bytes of an HDF5 file, where it says that it is being written.

HDF5 refuses a file whose flag "open for writing" is set, also after its writer was killed, and reading it
in SWMR mode can hang for hours if the file is damaged. `Unflagged` shows such a file as if it had been
closed, without touching it; `trace_release` writes that down.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass, replace
from typing import Any

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LAYOUT = struct.Struct("<8s4B4Q")  # version 3 with 8-byte offsets; a checksum (4 bytes) follows
SIZE = _LAYOUT.size + 4
_FLAGS = 0b101  # open for writing, open for SWMR writing
_MASK = 0xFFFFFFFF


def lookup3(data: bytes) -> int:
    """Bob Jenkins' lookup3 hash ("hashlittle", initial value 0), the checksum of HDF5 metadata.

    >>> hex(lookup3(b"Four score and seven years ago"))  # known answer of lookup3.c
    '0x17770551'
    """

    def rotated(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & _MASK

    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    while len(data) > 12:
        x, y, z = struct.unpack("<3I", data[:12])
        a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
        for k in (4, 6, 8, 16, 19, 4):
            a = ((a - c) & _MASK) ^ rotated(c, k)
            c = (c + b) & _MASK
            a, b, c = b, c, a
        data = data[12:]
    if not data:
        return c
    x, y, z = struct.unpack("<3I", data.ljust(12, b"\0"))
    a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
    for k in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - rotated(b, k)) & _MASK
        a, b, c = b, c, a
    return b


@dataclass(frozen=True)
class Superblock:
    """Superblock of version 3 (HDF5 1.10)."""

    flags: int
    base: int
    extension: int
    end: int  # size that HDF5 has given out
    root: int

    @property
    def writing(self) -> bool:
        return bool(self.flags & _FLAGS)

    def closed(self, end: int) -> Superblock:
        """The same for a closed file which has given out `end` bytes, if not more."""
        return replace(self, flags=0, end=max(self.end, end))

    def pack(self) -> bytes:
        body = _LAYOUT.pack(_SIGNATURE, 3, 8, 8, self.flags, self.base, self.extension, self.end, self.root)
        return body + struct.pack("<I", lookup3(body))

    @classmethod
    def unpack(cls, data: bytes) -> Superblock | None:
        """From the first bytes of a file; None if they are no whole superblock of version 3."""
        if len(data) < SIZE:
            return None
        signature, *sizes, flags, base, extension, end, root = _LAYOUT.unpack(data[: _LAYOUT.size])
        block = cls(flags, base, extension, end, root)
        good = signature == _SIGNATURE and sizes == [3, 8, 8] and base == 0 and block.pack() == data[:SIZE]
        return block if good else None


def superblock(path: str) -> Superblock | None:
    """The superblock of a file, None if it has none of version 3 at its start."""
    with open(path, "rb") as file:
        return Superblock.unpack(file.read(SIZE))


class Unflagged(io.RawIOBase):
    """A file object for `h5py.File`: a file as if it had been closed.

    What HDF5 gives out it writes down late, so all addresses up to a GiB beyond the end of the file are
    taken for given out; zeros are read there.
    """

    def __init__(self, path: str, block: Superblock) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by close)
        closed = block.closed(os.fstat(self._file.fileno()).st_size + (1 << 30))
        self._head, self._end, self._place = closed.pack(), closed.end, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view, place = memoryview(buffer).cast("B"), self._place
        self._file.seek(place)
        got = 0
        while got < len(view):
            count = self._file.readinto(view[got:])
            if not count:
                break
            got += count
        view[got:] = bytes(len(view) - got)
        if place < SIZE:
            head = self._head[place : place + len(view)]
            view[: len(head)] = head
        self._place += len(view)
        return len(view)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()
