"""Checksums of a trace file: CRC-32 (zlib's) of every block of rows and of every array that does not grow.

`/check/record` and `/check/probe` have a line for each block that was published: its first row, its number of rows,
and for every quantity of the group, in the order of /header's `datasets`, the CRC-32 of its values in these rows, as
bytes in C order. It is written after them and before `step`, so that a kill in between leaves at most a line of rows
that nobody sees. What a run is made of has its CRC-32s in the sealed text /header, what it ended with in /final/state;
checkpoints have their own.
"""

from __future__ import annotations

import math
import weakref
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .errors import TraceError

if TYPE_CHECKING:
    from .trace_reader import FileStore

Array = npt.NDArray[Any]
PIECE_BYTES = 8 << 20  # read at once


def crc(array: Array, start: int = 0) -> int:
    """CRC-32 of an array's bytes in C order, going on from that of what comes before.

    >>> crc(np.array([1.0, 2.0])) == crc(np.array([2.0]), crc(np.array([1.0])))
    True
    """
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, start)


def crc_of(dataset: Any, first: int, end: int) -> int:
    """CRC-32 of rows of a dataset (HDF5's or an array), read in pieces."""
    found = 0
    for index in pieces(dataset.shape, dataset.dtype.itemsize, first, end):
        found = crc(dataset[index], found)
    return found


def crcs_of(dataset: Any, blocks: Iterable[tuple[int, int]], rows: int) -> Iterator[int]:
    """CRC-32 of blocks of rows that follow one another, small ones read together; none reads more than `rows`."""
    most = max(1, PIECE_BYTES // max(1, dataset.dtype.itemsize * math.prod(dataset.shape[1:])))
    held, start, stop = np.empty(0), 0, 0
    for first, end in blocks:
        if end - first > most:
            yield crc_of(dataset, first, end)
            continue
        if first < start or end > stop:
            start, stop = first, max(end, min(first + most, rows))
            held = np.asarray(dataset[start:stop])
        yield crc(held[first - start : end - start])


def pieces(shape: tuple[int, ...], itemsize: int, first: int, end: int) -> Iterator[tuple[slice, ...]]:
    """Rows `first` to `end` in parts of about `PIECE_BYTES` that follow one another in memory."""
    row = itemsize * math.prod(shape[1:])
    if row <= PIECE_BYTES or len(shape) == 1:
        step = max(1, PIECE_BYTES // max(1, row))
        for start in range(first, end, step):
            yield (slice(start, min(start + step, end)),)
        return
    for start in range(first, end):
        for rest in pieces(shape[1:], itemsize, 0, shape[1]):
            yield (slice(start, start + 1), *rest)


def line_of(columns: Mapping[str, Array], first: int, count: int) -> Array:
    """The line of a block that is published."""
    return np.array([first, count, *(crc(array[:count]) for array in columns.values())], np.int64)


class Checksums:
    """The checksums that a file has, and whether its contents are theirs.

    known : whether it has any (an earlier version of analogmgd wrote none)
    fixed : path -> CRC-32
    """

    def __init__(self, store: FileStore) -> None:
        self._store: FileStore = weakref.proxy(store)  # no circle: a trace that nobody holds is closed at once
        about = store.attributes()
        self.known = "types" in about
        self.fixed: dict[str, int] = {**about.get("fixed_crc32", {}), **about.get("final_crc32", {})}
        self._confirmed: set[str] = set()
        self._lines: dict[str, Array] = {}

    def columns(self, group: str) -> dict[str, int]:
        """Column of each quantity in the lines of a group."""
        paths = [p for p in self._store.attributes()["datasets"] if p.startswith(f"{group}/") and p != "probe/chip"]
        return {path: 2 + i for i, path in enumerate(paths)}

    def lines(self, group: str) -> Array:
        """int64 (blocks, 2 + quantities).

        Raises:
            TraceError: they are not there, or not of this shape.
        """
        if group not in self._lines:
            raw, rows = self._store.raw(f"check/{group}"), self._store.shape(f"{group}/step")[0]
            if raw.dtype.kind != "i" or raw.shape[1:] != (2 + len(self.columns(group)),):
                raise TraceError(f"the trace {self._store.path!r} is damaged: /check/{group} has shape {raw.shape}")
            self._lines[group] = raw[: rows + 1]  # a block has a row, or more
        return self._lines[group]

    def blocks(self, group: str, rows: int) -> Iterator[tuple[int, int, Array]]:
        """First row, end and line of every block up to `rows`; rows without a checksum have an empty line."""
        reached = 0
        for line in self.lines(group):
            first, count = int(line[0]), int(line[1])
            if reached >= rows:
                return
            if first != reached or not 0 < count < 1 << 62:
                break
            reached += count
            yield first, reached, line
        if reached < rows and not self._store.live:  # a file may grow while it is read
            yield reached, rows, self._lines[group][:0]

    def wrong(self, path: str, array: Array | None = None) -> Iterator[tuple[int, int, str]]:
        """First row, end and what is wrong of each damaged part of a dataset; `array`: the whole of it, if at hand."""
        group = path.split("/")[0]
        if path in self.fixed:
            raw = self._store.raw(path) if array is None else array
            if crc_of(raw, 0, len(raw)) != self.fixed[path]:
                yield 0, len(raw), "its checksum is wrong"
        elif self.known and group in ("record", "probe") and path in self.columns(group):
            yield from self._wrong_rows(path, group, array)

    def _wrong_rows(self, path: str, group: str, array: Array | None) -> Iterator[tuple[int, int, str]]:
        rows, column = self._store.shape(path)[0], self.columns(group)[path]
        blocks = list(self.blocks(group, rows))
        whole = self._store.raw(path) if array is None or (blocks and blocks[-1][1] > len(array)) else array
        # a kill may have cut short what was just being published: the steps of these rows
        cut = blocks and blocks[-1][1] > rows and (path.endswith("/step") or len(whole) < blocks[-1][1])
        known = [block for block in (blocks[:-1] if cut else blocks) if len(block[2])]
        sums = crcs_of(whole, [(first, end) for first, end, _ in known], rows)
        for (first, end, line), found in zip(known, sums, strict=True):
            if found != int(line[column]):
                yield first, min(end, rows), "their checksum is wrong"
        if blocks and not len(blocks[-1][2]):
            yield blocks[-1][0], rows, "they have no checksum"

    def confirm(self, path: str, array: Array | None = None, rows: int | None = None) -> None:
        """Raise TraceError where a dataset (its first `rows`) is not what was written."""
        if path in self._confirmed:
            return
        for first, end, what in self.wrong(path, array):
            if rows is not None and first >= rows:
                return
            raise TraceError(
                f"the trace {self._store.path!r} is damaged: {described(path, first, end, what)}; "
                "`analogmgd info --check` lists what is, `analogmgd repair` keeps the rest"
            )
        if rows is None or rows >= self._store.shape(path)[0]:
            self._confirmed.add(path)


def described(path: str, first: int, end: int, what: str) -> str:
    """One problem in words."""
    if what.startswith("its"):
        return f"/{path}: {what}"
    return f"rows {first} to {end - 1} of /{path}: {what}" if end - first > 1 else f"row {first} of /{path}: {what}"
