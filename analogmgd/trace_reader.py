"""Reads trace files, whole or still being written, and says in one line what is wrong with others."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from analogmgd.errors import TraceError
from analogmgd.limits import free_memory
from analogmgd.trace_checksums import Checksums
from analogmgd.trace_contents import Array, unseal
from analogmgd.trace_open import OPEN_TRIES, OpenFile, one_line, writer_alive
from analogmgd.trace_schema import FORMAT, FORMAT_VERSION, PROBE, RECORD, STATUSES, si_bytes
from analogmgd.trace_structure import NEEDED, check_described, check_size, check_structure, reading

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
            self.checksums = Checksums(self)
            check_structure(self)
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
            if "points" in file and "header" not in file:
                raise TraceError(f"{self._name!r} is a sweep, no trace: `analogmgd sweep`, given again, does the rest")
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
        check_described(self._name, header)
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
            if (self._rows(path) is None and not path.startswith("check/")) or path.endswith("/step"):
                check_size(self._name, path, dataset, dataset.shape, self._handle.size)
        self._datasets[path] = dataset
        return dataset

    def _count(self, path: str) -> int:
        """Whole rows: leading steps that are not the fill value."""
        dataset = self._dataset(path)
        with reading(self._name, f"/{path}"):
            if dataset.ndim != 1 or dataset.dtype.kind != "i":
                raise TraceError(f"the trace {self._name!r} is damaged: /{path} is not a list of steps")
            steps = dataset[:]
        unset = np.flatnonzero(steps < 0)
        count = int(unset[0]) if len(unset) else len(steps)
        if not (np.diff(steps[:count]) > 0).all() or not (steps[count:] == -1).all():
            raise TraceError(f"the trace {self._name!r} is damaged: the steps of /{path} do not rise")
        said = self._attributes.get("rows" if path.startswith("record/") else "probe_rows", count)
        if said != count:
            raise TraceError(f"the trace {self._name!r} is damaged: /{path} has {count} rows; it ended with {said}")
        return count

    def attributes(self) -> dict[str, Any]:
        return dict(self._attributes)

    def names(self, group: str) -> tuple[str, ...]:
        with reading(self._name, f"/{group}"):
            if group not in self._handle.file:
                return ()
            found = self._handle.file[group]
            if not isinstance(found, h5py.Group):
                raise TraceError(f"the trace {self._name!r} is damaged: /{group} is not a group")
            found = [name for name in found if f"{group}/{name}" in self._attributes["datasets"]]
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
        whole = False
        if all(part == slice(0, rows, 1) or part == slice(None) for part in index):
            size = math.prod(self.shape(path)) * dataset.dtype.itemsize
            if size > free_memory():
                raise TraceError(f"/{path} of the trace {self._name!r} takes {si_bytes(size)}; read it in parts")
            whole = True
        try:
            found = np.asarray(dataset[index])
        except (OSError, RuntimeError) as error:  # others are over a wrong index
            text = f"cannot read /{path}: {one_line(error)}"
            raise TraceError(f"the trace {self._name!r} is damaged: {text}") from error
        if whole:
            self.checksums.confirm(path, found)
        return found

    def confirm(self, path: str, rows: int | None = None) -> None:
        """Raise TraceError where a dataset is not what was written; what is read whole is confirmed by itself."""
        with reading(self._name, f"/{path}"):
            self.checksums.confirm(path, None, rows)

    def raw(self, path: str) -> h5py.Dataset:
        """A dataset as it is in the file, with what lies behind the whole rows."""
        return self._dataset(path)

    def refresh(self) -> None:
        """See what was written since: the file is opened anew, which also tells whether it was closed."""
        self.close()
        self._open()

    def close(self) -> None:
        self._handle.close()
