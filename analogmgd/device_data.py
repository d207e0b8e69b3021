"""Measured responses of a device to pulses: CSV files and arrays, checked once.

Rows are reads of the conductance, in the order they were taken:

pulse        whole number: the pulse after which the conductance was read; counts on within a sweep, so a gap means
             several pulses between two reads, the same number again a repeated read, 0 a read before the first pulse
conductance  any unit (microsiemens, say); the fit keeps it
direction    optional: up, +1, down or -1, of the pulses since the row before

Without `direction`, negative pulse numbers are down pulses (1 .. 500, then -1 .. -500). Without those either, the count
starts anew with every sweep and sweeps alternate, the first one up (1 .. 500, then 1 .. 500 again).
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ConfigError
from .settings import short
from .text_file import read_text

FEWEST = 10  # rows after up pulses, and after down pulses
MOST = 1000  # pulses between two rows; the fit gives them one by one
REQUIRED = ("pulse", "conductance")
DIRECTIONS = {"up": 1, "+1": 1, "1": 1, "+": 1, "down": -1, "-1": -1, "-": -1}
Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class PulseData:
    """pulses : int64 (n,), pulses between the row before and this one, negative: down; conductance : float64 (n,)."""

    pulses: npt.NDArray[np.int64]
    conductance: npt.NDArray[np.float64]
    name: str


def read_pulses(source: Any) -> PulseData:
    """A CSV file (path), a mapping of the columns, or a sequence (pulse, conductance[, direction]) of arrays.

    Raises `ConfigError`, one line: a file that cannot be read, a missing column, a cell that is not a number (with its
    line), too few rows, a conductance that never changes.

    >>> measured = read_pulses({"pulse": [*range(11), *range(1, 11)], "conductance": [*range(11), *range(9, -1, -1)]})
    >>> measured.pulses.tolist()
    [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1]
    >>> read_pulses({"pulse": [1, 2], "current": [1.0, 2.0]})
    Traceback (most recent call last):
    analogmgd.errors.ConfigError: pulse data: no column conductance; found pulse, current
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        name, columns, places = path.name, *_read_csv(path)
    else:
        name, columns = "pulse data", _from_arrays(source)
        places = [f"row {k}" for k in range(1, len(columns["pulse"]) + 1)]
    pulse = [_number(v, "pulse", f"{name}, {at}") for v, at in zip(columns["pulse"], places, strict=True)]
    g = [_number(v, "conductance", f"{name}, {at}") for v, at in zip(columns["conductance"], places, strict=True)]
    for value, at in zip(pulse, places, strict=True):
        if value != round(value):
            raise ConfigError(f"{name}, {at}: pulse = {value:g}: must be a whole number")
    numbers = [round(v) for v in pulse]
    if "direction" in columns:
        directions = [_direction(v, f"{name}, {at}") for v, at in zip(columns["direction"], places, strict=True)]
        for value, at in zip(numbers, places, strict=True):
            if value < 0:
                raise ConfigError(f"{name}, {at}: pulse = {value}: must not be negative beside a column direction")
    else:
        directions = _implied(numbers)
    pulses = _between([abs(n) for n in numbers], directions)
    for n, at in zip(pulses, places, strict=True):
        if abs(n) > MOST:
            raise ConfigError(f"{name}, {at}: {abs(n)} pulses since the row before; at most {MOST}")
    _enough(pulses, g, name)
    return PulseData(np.array(pulses, dtype=np.int64), np.array(g, dtype=np.float64), name)


def _read_csv(path: Path) -> tuple[Columns, list[str]]:
    """Columns of text, and the place of every row in the file."""
    lines = read_text(path).splitlines()
    rows = [(k, line) for k, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not rows:
        raise ConfigError(f"{path.name}: is empty; needed: a header with {', '.join(REQUIRED)}, then rows of numbers")
    first = rows[0][1]
    separator = next((s for s in ",;\t" if s in first), ",")
    cells = [next(csv.reader([line], delimiter=separator, skipinitialspace=True)) for _, line in rows]
    header = [c.strip().lower() for c in cells[0]]
    _required(header, path.name)
    wanted = [c for c in (*REQUIRED, "direction") if c in header]
    columns: Columns = {c: [] for c in wanted}
    places = []
    for (k, _), row in zip(rows[1:], cells[1:], strict=True):
        if len(row) != len(header):
            raise ConfigError(f"{path.name}, line {k}: {len(row)} cells; the header has {len(header)}")
        for c in wanted:
            columns[c].append(row[header.index(c)].strip())
        places.append(f"line {k}")
    return columns, places


def _from_arrays(source: Any) -> Columns:
    """Columns of a mapping or of a sequence of two or three arrays."""
    if isinstance(source, Mapping):
        given = {str(k).strip().lower(): v for k, v in source.items()}
    elif isinstance(source, Sequence) and len(source) in (2, 3):
        given = dict(zip((*REQUIRED, "direction"), source, strict=False))
    else:
        what = f"{type(source).__name__}" + (f" of {len(source)}" if isinstance(source, Sequence) else "")
        raise ConfigError(f"pulse data: {what}; expected a path, a mapping, or (pulse, conductance[, direction])")
    _required(given, "pulse data")
    columns: Columns = {}
    for key in (*REQUIRED, "direction"):
        if key in given:
            values = np.asarray(given[key])
            if values.ndim != 1:
                raise ConfigError(f"pulse data: {key} has shape {values.shape}; expected (n,)")
            columns[key] = values.tolist()
    if len({len(v) for v in columns.values()}) > 1:
        raise ConfigError("pulse data: " + ", ".join(f"{k} has {len(v)}" for k, v in columns.items()) + " values")
    return columns


def _required(found: Iterable[str], name: str) -> None:
    found = list(found)
    missing = [c for c in REQUIRED if c not in found]
    if missing:
        raise ConfigError(f"{name}: no column {' and '.join(missing)}; found {', '.join(found)}")


def _number(value: Any, key: str, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: {key} = {short(value)}: must be a number") from None
    if not math.isfinite(number):
        raise ConfigError(f"{where}: {key} = {short(value)}: must be finite")
    return number


def _direction(value: Any, where: str) -> int:
    text = str(value).strip().lower()
    text = text.removesuffix(".0")
    if text not in DIRECTIONS:
        raise ConfigError(f"{where}: direction = {short(value)}: must be up, +1, down or -1")
    return DIRECTIONS[text]


def _implied(numbers: list[int]) -> list[int]:
    """Directions from the pulse numbers alone."""
    if min(numbers, default=0) < 0:
        return [-1 if n < 0 else 1 for n in numbers]
    direction, directions = 1, [1] * min(len(numbers), 1)
    for before, n in pairwise(numbers):
        if n < before:
            direction = -direction
        directions.append(direction)
    return directions


def _between(numbers: list[int], directions: list[int]) -> list[int]:
    """Signed pulses between neighbouring rows; the first row is where it starts."""
    pulses = [0] * min(len(numbers), 1)
    for k in range(1, len(numbers)):
        same_sweep = directions[k] == directions[k - 1] and numbers[k] >= numbers[k - 1]
        pulses.append(directions[k] * (numbers[k] - numbers[k - 1] if same_sweep else numbers[k]))
    return pulses


def _enough(pulses: list[int], g: list[float], name: str) -> None:
    up, down = sum(n > 0 for n in pulses), sum(n < 0 for n in pulses)
    if min(up, down) < FEWEST:
        raise ConfigError(f"{name}: {up} rows after up pulses, {down} after down pulses; needed: {FEWEST} of each")
    if min(g) == max(g):
        raise ConfigError(f"{name}: conductance is {g[0]:g} in every row; it must change")
