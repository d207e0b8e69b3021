"""Reads trace files, whole or still being written, and says in one line what is wrong with others."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import psutil  # type: ignore[import-untyped]

from analogmgd.errors import TraceError
from analogmgd.trace_contents import Array, unseal
from analogmgd.trace_open import OPEN_TRIES, OpenFile, one_line, writer_alive
from analogmgd.trace_schema import FORMAT, FORMAT_VERSION, PROBE, RECORD, STATUSES, si_bytes

HEADER: dict[str, Any] = {
    "config": str,
    "environment": str,
    "seed": int,
    "analogmgd_version": str,
    "created_utc": str,
    "chance_accuracy": float,
    "datasets": dict,
}
STATE: dict[str, Any] = {"status": str, "ended": bool, "extra": dict}
NEEDED = ("record/step", "record/time", "chips/id", "final/theta", "final/diverged_step", "final/state")


@contextlib.contextmanager
def reading(path: str, what: str) -> Iterator[None]:
    """Turn what h5py raises over a damaged file into one line."""
    try:
        yield
    except TraceError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, UnicodeError) as error:
        raise TraceError(f"the trace {path!r} is damaged: cannot read {what}: {one_line(error)}") from error


class FileStore:
    """`analogmgd.trace_memory.Store` over an HDF5 file. Arrays are read when they are asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: str | None = os.fspath(path)
        self._name = os.fspath(path)
        self.live = False  # its writer is at work: HDF5's SWMR mode
        self._open()

    def _open(self) -> None:
        for trial in range(OPEN_TRIES):
            self._handle = OpenFile(self._name)
            try:
                self._read_structure()
                return
            except TraceError:
                # a file may be caught between two writes; a damaged one stays damaged
                if not self._handle.flagged or trial == OPEN_TRIES - 1:
                    raise
            time.sleep(0.002 * trial)

    def _read_structure(self) -> None:
        try:
            self._datasets: dict[str, h5py.Dataset] = {}
            self.rows = self.probe_rows = 0
            self._read_attributes()
            self.live = self._handle.flagged and bool(writer_alive(self._attributes, self._name))
            if self.live and self._attributes["writer_pid"] != os.getpid():  # HDF5 has no two modes in one
                self._handle.close()  # only now: SWMR mode may hang on a file that is damaged
                self._handle, self._datasets = OpenFile(self._name, swmr=True), {}
                self._read_attributes()
            running = self._attributes["status"] == "running"
            self.writer_gone = running and writer_alive(self._attributes, self._name) is False
            for path in NEEDED:
                self._dataset(path)
            self.rows = self._count("record/step")
            if "probe" in self._handle.file:
                self.probe_rows = self._count("probe/step")
            self._check_shapes()
        except BaseException:
            self._handle.close()
            raise

    def _read_attributes(self) -> None:
        """What the trace says of itself, from /header and /final/state, which have checksums.

        The root's attributes say the same for other programs. They are not read here, but for a number:
        HDF5 keeps texts of any length in a heap without checksums, and can hang where that is damaged.
        """
        with reading(self._name, "its attributes"):
            file = self._handle.file
            if "header" not in file or "format_version" not in file.attrs:
                raise TraceError(f"{self._name!r} is an HDF5 file but not a trace of analogmgd")
            kind = file.attrs.get_id("format_version").dtype.kind
            version = int(file.attrs["format_version"]) if kind in "iu" else 0
        if version < 1:
            raise TraceError(f"the trace {self._name!r} is damaged: its format_version is not a number >= 1")
        if version > FORMAT_VERSION:
            raise TraceError(
                f"the trace {self._name!r} has format version {version}; this analogmgd reads up to "
                f"{FORMAT_VERSION}: upgrade analogmgd to read it"
            )
        header, state = self._text("header", HEADER), self._text("final/state", STATE)
        if state["status"] not in STATUSES or header.get("format") != FORMAT:
            raise TraceError(f"the trace {self._name!r} is damaged: its status is {state['status']!r}")
        self._attributes = {**header, **state, "format_version": version}

    def _text(self, path: str, kinds: dict[str, Any]) -> dict[str, Any]:
        """A text of the file: JSON with a checksum and these entries."""
        with reading(self._name, f"/{path}"):
            dataset = self._dataset(path)
            if dataset.dtype.kind != "S" or dataset.shape != (1,):
                raise TraceError(f"the trace {self._name!r} is damaged: /{path} is not a text")
            found = unseal(bytes(dataset[0]))
            for name, kind in kinds.items():
                if not isinstance(found[name], kind):
                    raise TraceError(f"the trace {self._name!r} is damaged: /{path} has a wrong {name}")
        return found

    def _dataset(self, path: str) -> h5py.Dataset:
        """The dataset at a path, if it is a plain one of this file whose data are all there."""
        if path in self._datasets:
            return self._datasets[path]
        with reading(self._name, f"/{path}"):
            if path not in self._handle.file:
                raise TraceError(f"the trace {self._name!r} is damaged: /{path} is missing")
            dataset = self._handle.file[path]
            links = [self._handle.file.get(part, getlink=True) for part in {path.split("/")[0], path}]
            if (
                not isinstance(dataset, h5py.Dataset)
                or not all(isinstance(link, h5py.HardLink) for link in links)
                or dataset.is_virtual
                or dataset.external
                or dataset.ndim < 1
                or dataset.dtype.kind not in "fiubS"
            ):
                raise TraceError(f"the trace {self._name!r} is damaged: /{path} is not an array of this file")
            if self._rows(path) is None or path.endswith("/step"):
                self._check_size(path, dataset, dataset.shape)
        self._datasets[path] = dataset
        return dataset

    def _check_size(self, path: str, dataset: h5py.Dataset, shape: tuple[int, ...]) -> None:
        """Refuse sizes that the file cannot hold before memory is taken for them."""
        if dataset.id.get_create_plist().get_nfilters():
            return  # packed by another program: its size says nothing
        claimed, size = math.prod(shape) * dataset.dtype.itemsize, self._handle.size
        stored = min(dataset.id.get_storage_size(), size)
        if dataset.chunks is None and stored:
            stored = min(stored, size - (dataset.id.get_offset() or 0))
        if claimed > stored:
            raise TraceError(
                f"the trace {self._name!r} is damaged: /{path} claims {si_bytes(claimed)}, "
                f"the file has {si_bytes(stored)}"
            )

    def _check_end(self, path: str, dataset: h5py.Dataset) -> None:
        """In a file that ends before HDF5 says it does: the whole rows must be in the part that is there.

        So it is after a kill, when room was given out and not yet used; HDF5 would read zeros from it.
        """
        size = self._handle.size
        if size >= self._handle.file.id.get_filesize() or dataset.chunks is None:
            return
        rows, width = self._rows(path), math.prod(dataset.chunks[1:]) * dataset.dtype.itemsize
        ends = []

        def note(chunk: Any) -> None:
            ends.append(chunk.byte_offset + width * min(dataset.chunks[0], rows - chunk.chunk_offset[0]))

        dataset.id.chunk_iter(note)
        if ends and max(ends) > size:
            raise TraceError(f"the trace {self._name!r} is truncated: rows of /{path} lie beyond its end")

    def _count(self, path: str) -> int:
        """Whole rows: leading steps that are not the fill value."""
        dataset = self._dataset(path)
        with reading(self._name, f"/{path}"):
            if dataset.ndim != 1 or dataset.dtype.kind != "i":
                raise TraceError(f"the trace {self._name!r} is damaged: /{path} is not a list of steps")
            steps = dataset[:]
        unset = np.flatnonzero(steps < 0)
        count = int(unset[0]) if len(unset) else len(steps)
        if not (np.diff(steps[:count]) > 0).all():
            raise TraceError(f"the trace {self._name!r} is damaged: the steps of /{path} do not rise")
        return count

    def _check_shapes(self) -> None:
        final = self._dataset("final/theta").shape
        ids = self._dataset("chips/id").shape
        kinds = [self._dataset(path).dtype.kind for path in NEEDED]
        if kinds != ["i", "f", "i", "f", "i", "S"]:
            raise TraceError(f"the trace {self._name!r} is damaged: its arrays have types {kinds}")
        if self._dataset("final/diverged_step").shape != ids or len(final) != 2 or len(ids) != 1 or final[0] != ids[0]:
            raise TraceError(f"the trace {self._name!r} is damaged: /final/theta and /chips/id disagree")
        sizes = {"chip": ids[0], "parameter": final[1]}
        if "probe/chip" in self._handle.file:
            sizes["probe_chip"] = self._dataset("probe/chip").shape[0]
        for group, table, rows in (("record", RECORD, self.rows), ("probe", PROBE, self.probe_rows)):
            for name in self.names(group):
                path = f"{group}/{name}"
                shape = self._dataset(path).shape
                axes = table[name].axes if name in table else ()
                expected = tuple(sizes.get(axis, -1) for axis in axes) if name in table else shape[1:]
                if self._rows(path) is not None and (shape[1:] != expected or shape[0] < rows):
                    raise TraceError(
                        f"the trace {self._name!r} is damaged: /{path} has shape {shape}; expected {(rows, *expected)}"
                    )
                with reading(self._name, f"/{path}"):
                    self._check_size(path, self._dataset(path), self.shape(path))
                    self._check_end(path, self._dataset(path))

    def attributes(self) -> dict[str, Any]:
        return dict(self._attributes)

    def names(self, group: str) -> tuple[str, ...]:
        with reading(self._name, f"/{group}"):
            if group not in self._handle.file:
                return ()
            found = self._handle.file[group]
            if not isinstance(found, h5py.Group):
                raise TraceError(f"the trace {self._name!r} is damaged: /{group} is not a group")
            order = list({"record": RECORD, "probe": PROBE}.get(group, {}))
            return tuple(sorted(found, key=lambda n: (order.index(n) if n in order else len(order), n)))

    def _rows(self, path: str) -> int | None:
        group, _, name = path.partition("/")
        if group == "record":
            return self.rows
        return self.probe_rows if group == "probe" and name != "chip" else None

    def shape(self, path: str) -> tuple[int, ...]:
        rows = self._rows(path)
        shape = self._dataset(path).shape
        return shape if rows is None else (rows, *shape[1:])

    def dtype(self, path: str) -> np.dtype[Any]:
        return self._dataset(path).dtype

    def axes(self, path: str) -> tuple[str, tuple[str, ...]]:
        unit, dims = self._attributes["datasets"].get(path, ["1", []])
        return unit, tuple(dims)

    def read(self, path: str, index: tuple[Any, ...] = ()) -> Array:
        dataset = self._dataset(path)
        rows = self._rows(path)
        if rows is not None:
            first = index[0] if index else slice(None)
            if isinstance(first, slice):
                first = slice(*first.indices(rows))
            elif np.ndim(first) == 0 and not -rows <= first < rows:
                raise IndexError(f"row {first} of {rows}")
            elif np.ndim(first) == 0 and first < 0:
                first += rows
            index = (first, *index[1:])
        elif not index:
            index = (slice(None),)
        if all(part == slice(0, rows, 1) or part == slice(None) for part in index):
            size = math.prod(self.shape(path)) * dataset.dtype.itemsize
            if size > psutil.virtual_memory().available:
                raise TraceError(f"/{path} of the trace {self._name!r} takes {si_bytes(size)}; read it in parts")
        try:
            return np.asarray(dataset[index])
        except (OSError, RuntimeError) as error:  # others are over a wrong index
            text = f"cannot read /{path}: {one_line(error)}"
            raise TraceError(f"the trace {self._name!r} is damaged: {text}") from error

    def refresh(self) -> None:
        """See what was written since: the file is opened anew, which also tells whether it was closed."""
        self.close()
        self._open()

    def close(self) -> None:
        self._handle.close()
