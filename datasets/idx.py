"""The IDX format of MNIST and its kin: a header, then bytes. Plain or gzipped, whatever the name says.

Header: 0, 0, the type (8: unsigned bytes), the number of dimensions, then each of them as a big-endian uint32.
"""

import gzip
import hashlib
import math
import struct
from pathlib import Path
from typing import IO

import numpy as np

from analogmgd.errors import DataError

from .checks import Array, check_memory
from .places import damage

GZIP = b"\x1f\x8b"
MOST = 1032  # bytes that a byte of gzip can stand for


def read_idx(path: Path, row: tuple[int, ...], what: str) -> tuple[Array, str]:
    """The array uint8 (n, *row) of an IDX file, and the MD5 of all its (decompressed) bytes.

    row : the dimensions after the first. what : "images", "labels", for messages.
    Raises DataError: not such a file, truncated, too long, damaged, or more than memory holds.
    """
    with damage(path), path.open("rb") as file:
        size = path.stat().st_size
        zipped = file.read(2) == GZIP
        file.seek(0)
        stream: IO[bytes] = gzip.GzipFile(fileobj=file) if zipped else file  # type: ignore[assignment]
        rank = 1 + len(row)
        header = stream.read(4 + 4 * rank)
        if header[:4] != bytes((0, 0, 8, rank)):
            raise DataError(f"{path} is not an IDX file of {what}: it begins with {header[:4].hex(' ') or 'nothing'}")
        if len(header) < 4 + 4 * rank:
            raise DataError(f"{path} is truncated: it ends within its header")
        shape = struct.unpack(f">{rank}I", header[4:])
        if shape[1:] != row or shape[0] == 0:
            wanted = ", ".join(["n", *map(str, row)])
            raise DataError(f"{path} claims {what} of shape {shape}; expected ({wanted}), n at least 1")
        count = math.prod(shape)
        if not zipped and size - len(header) != count:
            fault = "is truncated" if size - len(header) < count else "is too long"
            raise DataError(f"{path} {fault}: {what} of shape {shape} take {count} bytes, it has {size - len(header)}")
        if zipped and count > MOST * size:
            raise DataError(f"{path} claims {what} of shape {shape}, more than its {size} bytes can hold")
        check_memory(count, f"{path}: {what} of shape {shape}")
        array = np.empty(shape, np.uint8)
        free = array.data.cast("B")
        while free and (got := stream.readinto(free)):  # type: ignore[attr-defined]
            free = free[got:]
        if free:
            raise DataError(f"{path} is truncated: {what} of shape {shape} take {count} bytes, {len(free)} are missing")
        if stream.read(1):  # at the end gzip's own checksum is compared
            raise DataError(f"{path} is too long: something follows {what} of shape {shape}")
        digest = hashlib.md5(header, usedforsecurity=False)
        digest.update(array.data)
    return array, digest.hexdigest()
