"""Whether the datasets of a trace file are those that it says it has, of the right types and sizes."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import TraceError
from .trace_open import one_line
from .trace_schema import PROBE, RECORD, si_bytes

if TYPE_CHECKING:
    from .trace_reader import FileStore

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


def check_described(name: str, header: dict[str, Any]) -> None:
    """Refuse a /header that is not what its entries should be."""
    with reading(name, "/header"):
        if not isinstance(json.loads(header["environment"]), dict):
            raise ValueError("its environment is not a table")
        for path, (unit, dims) in header["datasets"].items():
            if not isinstance(unit, str) or not all(isinstance(dim, str) for dim in dims):
                raise ValueError(f"it has a wrong entry for /{path}")
        for path, (dtype, shape) in header.get("types", {}).items():
            np.dtype(dtype)
            if not all(isinstance(n, int) for n in shape) or path not in header["datasets"]:
                raise ValueError(f"it has a wrong entry for /{path}")


def check_size(name: str, path: str, dataset: Any, shape: tuple[int, ...], size: int | None = None) -> None:
    """Refuse sizes that the file cannot hold before memory is taken for them."""
    if dataset.id.get_create_plist().get_nfilters():
        return  # packed by another program: its size says nothing
    claimed, size = math.prod(shape) * dataset.dtype.itemsize, os.stat(name).st_size if size is None else size
    stored = min(dataset.id.get_storage_size(), size)
    if dataset.chunks is None and stored:
        stored = max(0, min(stored, size - (dataset.id.get_offset() or 0)))
    if claimed > stored:
        raise TraceError(
            f"the trace {name!r} is damaged: /{path} claims {si_bytes(claimed)}, the file has {si_bytes(stored)}"
        )


def check_end(store: FileStore, path: str, dataset: Any) -> None:
    """In a file that ends before HDF5 says it does: the whole rows must be in the part that is there.

    So it is after a kill, when room was given out and not yet used; HDF5 would read zeros from it.
    """
    size = store._handle.size
    if size >= store._handle.file.id.get_filesize() or dataset.chunks is None:
        return
    rows, width = store._rows(path), math.prod(dataset.chunks[1:]) * dataset.dtype.itemsize
    ends = []

    def note(chunk: Any) -> None:
        ends.append(chunk.byte_offset + width * min(dataset.chunks[0], rows - chunk.chunk_offset[0]))

    dataset.id.chunk_iter(note)
    if ends and max(ends) > size:
        raise TraceError(f"the trace {store._name!r} is truncated: rows of /{path} lie beyond its end")


def check_declared(store: FileStore) -> None:
    """Whether every dataset that /header names is there, of the type and shape that it says."""
    about = store.attributes()
    for path in about["datasets"]:
        store._dataset(path)
    for path, (dtype, shape) in about.get("types", {}).items():
        dataset = store._dataset(path)
        grows = store._rows(path) is not None or path.startswith("check/")
        found = dataset.shape[1:] if grows else dataset.shape
        if dataset.dtype != np.dtype(dtype) or list(found) != shape:
            raise TraceError(
                f"the trace {store._name!r} is damaged: /{path} is {dataset.dtype}{list(found)}; "
                f"expected {np.dtype(dtype)}{shape}"
            )


def check_structure(store: FileStore) -> None:
    """Refuse datasets that are not there, or of another type or shape than they should be."""
    final = store._dataset("final/theta").shape
    ids = store._dataset("chips/id").shape
    kinds = [store._dataset(path).dtype.kind for path in NEEDED]
    if kinds != ["i", "f", "i", "f", "i", "S"]:
        raise TraceError(f"the trace {store._name!r} is damaged: its arrays have types {kinds}")
    if store._dataset("final/diverged_step").shape != ids or len(final) != 2 or len(ids) != 1 or final[0] != ids[0]:
        raise TraceError(f"the trace {store._name!r} is damaged: /final/theta and /chips/id disagree")
    sizes = {"chip": ids[0], "parameter": final[1]}
    if "probe/chip" in store._handle.file:
        sizes["probe_chip"] = store._dataset("probe/chip").shape[0]
    for group, table, rows in (("record", RECORD, store.rows), ("probe", PROBE, store.probe_rows)):
        for name in store.names(group):
            path = f"{group}/{name}"
            shape = store._dataset(path).shape
            axes = table[name].axes if name in table else ()
            expected = tuple(sizes.get(axis, -1) for axis in axes) if name in table else shape[1:]
            if store._rows(path) is not None and (shape[1:] != expected or shape[0] < rows):
                raise TraceError(
                    f"the trace {store._name!r} is damaged: /{path} has shape {shape}; expected {(rows, *expected)}"
                )
            with reading(store._name, f"/{path}"):
                check_size(store._name, path, store._dataset(path), store.shape(path), store._handle.size)
                check_end(store, path, store._dataset(path))
    check_declared(store)
