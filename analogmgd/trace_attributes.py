"""Whether a file's attributes, which are for people and other programs, say what its sealed texts say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .hdf5_heaps import damaged_heap, reading_texts
from .trace_open import FAULTS, one_line

TABLES = ("environment", "sweep")  # JSON


def wrong_attributes(path: str, file: Any, expected: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each attribute that differs.

    path : of the file, to look at its heaps before HDF5 does
    file : the same, open
    expected : path of an object -> name of an attribute -> value
    """
    damage = damaged_heap(path)
    if damage:
        yield f"its attributes are damaged: {damage}"
        return
    with reading_texts(path):
        found = [*differing(file, expected)]
    yield from found


def differing(file: Any, expected: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The same, of a file whose heaps are whole."""
    for place, attributes in expected.items():
        for name, value in attributes.items():
            where = f"the attribute {name} of /{place.strip('/')}"
            try:
                found = file[place].attrs[name]
                if not same(json.loads(found) if name in TABLES else found, value):
                    yield f"{where} is not what it was when the file was made"
            except FAULTS as error:
                yield f"{where} cannot be read: {one_line(error)}"


def same(found: Any, value: Any) -> bool:
    """Whether an attribute has this value."""
    if isinstance(value, float) and np.isnan(value):
        return bool(np.isnan(found))
    if isinstance(value, list | tuple):
        return [*np.atleast_1d(found)] == [*value] if len(value) else np.size(found) == 0
    return bool(found == value)
