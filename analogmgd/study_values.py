"""What panels of studies are made of: values of chips at points, and where a curve crosses a level."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .sweep_file import SweepFile
from .sweep_point import DIVERGED

Array = npt.NDArray[Any]


def crossing(x: Array, y: Array, level: float) -> float:
    """Where falling y, linear in log x between points, first is at or below a level; NaN where it never is.

    >>> round(crossing(np.array([1.0, 10.0, 100.0]), np.array([80.0, 60.0, 20.0]), 40.0), 3)
    31.623
    """
    below = np.flatnonzero(y <= level)
    if not len(below):
        return float("nan")
    k = int(below[0])
    if k == 0:
        return float(x[0])
    part = (y[k - 1] - level) / (y[k - 1] - y[k])
    return float(x[k - 1] * (x[k] / x[k - 1]) ** part)


def named(value: Any) -> str:
    """A value of a key, as the label of a line."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def gathered(file: SweepFile, name: str, points: Array | list[int], target: int | None = None) -> Array:
    """float64[n] of all chips of some points."""
    there = np.concatenate([file.file["chips/chip"][n] for n in points]) >= 0
    parts = [file.file[f"chips/{name}"][n] if target is None else file.file[f"chips/{name}"][n, target] for n in points]
    values: Array = np.concatenate(parts).astype(np.float64)[there]
    return values


def ordered(values: Array) -> list[Any]:
    """Different values: numbers by size, texts as they first come."""
    if values.dtype.kind in "fi":
        return [v.item() for v in np.unique(values)]
    return list(dict.fromkeys(values.tolist()))


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value


def final(file: SweepFile, name: str, points: Array | list[int]) -> Array:
    """float64[n] at the end of the runs; the accuracy of a chip that diverged is 0: to leave it out would favour those
    settings at which many do."""
    values = gathered(file, f"final_{name}", points)
    if name == "accuracy":
        values = np.where(gathered(file, "status", points) == DIVERGED, 0.0, values)
    return values


def paired(file: SweepFile, points: Array, base: Array, name: str) -> Array:
    """float64[n], values of the chips of some points minus those of the same chips at others, point by point."""
    found = []
    for n, m in zip(points, base, strict=True):
        mine, other = (
            dict(zip(gathered(file, "chip", [k]), final(file, name, [k]), strict=True)) for k in (int(n), int(m))
        )
        found += [value - other[chip] for chip, value in mine.items() if chip in other]
    return np.array(found, np.float64)
