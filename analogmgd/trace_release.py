"""Take back the flag "open for writing" from a trace whose writer was killed.

What `h5clear -s --increment=0` of the HDF5 tools does, for those who have no such tools.
"""

from __future__ import annotations

import os
import struct

from analogmgd.errors import TraceError
from analogmgd.trace_open import writer_alive
from analogmgd.trace_reader import FileStore

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUPERBLOCK = struct.Struct("<8sBBBBQQQQ")  # version 3, with 8-byte offsets; the checksum (4 bytes) follows
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


def release(path: str | os.PathLike[str]) -> bool:
    """Let every HDF5 program open a trace whose writer is gone; no data are touched.

    The superblock's flags are cleared and its end-of-file address is set to the size of the file, so that
    whoever writes next does not overwrite what is there.

    Returns:
        True if the flag was set, False if there was nothing to do.

    Raises:
        TraceError: one line: its writer still runs, or may on another host; the file is no trace.
    """
    name = os.fspath(path)
    store = FileStore(name)
    swmr, attributes = store.swmr, store.attributes()
    store.close()
    if not swmr:
        return False
    if writer_alive(attributes) is not False:
        raise TraceError(
            f"the trace {name!r} may still be written by process {attributes.get('writer_pid')} "
            f"on {attributes.get('writer_host')}"
        )
    try:
        with open(name, "r+b") as file:
            head = file.read(_SUPERBLOCK.size)
            checksum = file.read(4)
            fields = list(_SUPERBLOCK.unpack(head))
            known = fields[0] == _SIGNATURE and fields[1:4] == [3, 8, 8] and fields[5] == 0
            if not known or checksum != struct.pack("<I", lookup3(head)):
                raise TraceError(f"the trace {name!r} has a damaged superblock")
            end = max(fields[7], os.fstat(file.fileno()).st_size)
            file.truncate(end)
            fields[4], fields[7] = 0, end
            head = _SUPERBLOCK.pack(*fields)
            file.seek(0)
            file.write(head + struct.pack("<I", lookup3(head)))
    except OSError as error:
        if isinstance(error, TraceError):
            raise
        raise TraceError(f"cannot write the trace {name!r}: {error.strerror}") from error
    return True
