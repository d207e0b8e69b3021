"""What lies in the file of a sweep, and how it is made. See `sweep_file`."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from . import __version__
from .errors import ConfigError
from .sweep_point import Target
from .trace_checksums import crc
from .trace_contents import seal
from .trace_open import one_line
from .trace_place import move_new
from .units import unit_of
from .vary import Points

Array = npt.NDArray[Any]
FORMAT, FORMAT_VERSION = "analogmgd-sweep", 1
TODO, DONE, FAILED = 0, 1, 2
ERROR_BYTES = 300
OF_CHIP = {  # type, fill value, unit, meaning
    "chip": (np.int64, -1, "1", "id of the chip"),
    "status": (np.int8, 0, "1", "1 complete, 2 diverged"),
    "diverged_step": (np.int64, -1, "step", "step at which it diverged, -1: it did not"),
    "steps": (np.int64, 0, "step", "steps of the run"),
    "seconds": (np.float64, np.nan, "s", "emulated hardware time of the run"),
    "final_accuracy": (np.float64, np.nan, "1", "accuracy at the end, whole test set"),
    "best_accuracy": (np.float64, np.nan, "1", "largest recorded accuracy"),
    "final_cost": (np.float64, np.nan, "1", "cost at the end, whole test set"),
    "best_cost": (np.float64, np.nan, "1", "least recorded cost"),
    "final_angle": (np.float64, np.nan, "deg", "angle of G to the gradient at the end, where it is recorded"),
}
TO_TARGET = {
    "steps_to_target": (np.float64, np.nan, "step", "first recorded step at which a target is reached, NaN: never"),
    "seconds_to_target": (np.float64, np.nan, "s", "emulated time until then"),
}
SUMMED = [f"chips/{name}" for name in (*OF_CHIP, *TO_TARGET)] + ["points/wall_seconds", "points/error"]


def created(
    path: str,
    points: Points,
    chips: int,
    targets: tuple[Target, ...],
    config: str,
    environment: dict[str, Any],
    version: str | None = None,
    force: bool = False,
) -> None:
    """Make the file, beside its place first; `force`: in the place of one that is there."""
    sweep = {
        "axes": {axis.key: list(axis.values) for axis in points.axes},
        "zipped": points.zipped,
        "targets": [[t.quantity, t.value] for t in targets],
        "chips": chips,
    }
    about = {
        "format": FORMAT, "format_version": FORMAT_VERSION, "analogmgd_version": version or __version__,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"), "config": config,
    }  # fmt: skip
    columns = {f"points/{axis.key}": column([point[axis.key] for point in points]) for axis in points.axes}
    sums = {name: crc(values) for name, values in columns.items()}
    n = len(points)
    part = f"{path}.{os.getpid()}.part"
    try:
        with h5py.File(part, "w", libver=("earliest", "v110")) as file:
            file.attrs.update(about, sweep=json.dumps(sweep), environment=json.dumps(environment))
            sealed = seal({**about, "sweep": sweep, "environment": environment, "fixed_crc32": sums})
            file["about"] = np.array([sealed])
            place(file, "points/state", (n,), np.int8, TODO, "1", "0 to do, 1 done, 2 failed")
            place(file, "points/error", (n,), f"S{ERROR_BYTES}", b"", "1", "why it failed")
            place(file, "points/wall_seconds", (n,), np.float64, np.nan, "s", "time it took here")
            place(file, "points/crc32", (n,), np.int64, -1, "1", "checksum of the point's state and values")
            for axis in points.axes:
                file[f"points/{axis.key}"] = columns[f"points/{axis.key}"]
                file[f"points/{axis.key}"].attrs.update(unit=unit_of(axis.key), meaning="what is varied")
            for name, (dtype, fill, unit, text) in OF_CHIP.items():
                place(file, f"chips/{name}", (n, chips), dtype, fill, unit, text)
            for name, (dtype, fill, unit, text) in TO_TARGET.items():
                place(file, f"chips/{name}", (n, len(targets), chips), dtype, fill, unit, text)
        os.replace(part, path) if force else move_new(part, path)
    except FileExistsError:
        raise ConfigError(f"{path!r} exists: another process has just made it") from None
    except OSError as error:
        raise ConfigError(f"cannot create {path!r}: {one_line(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)


def place(file: Any, name: str, shape: tuple[int, ...], dtype: Any, fill: Any, unit: str, meaning: str) -> None:
    """A dataset of full size that lies in the file from the start."""
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    if fill:  # 0 and the empty text are what HDF5 fills with by itself
        made.set_fill_value(np.array(fill, dtype))
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    h5py.h5d.create(
        file.id,
        name.encode(),
        h5py.h5t.py_create(np.dtype(dtype), logical=True),
        h5py.h5s.create_simple(shape),
        made,
        links,
    )
    file[name].attrs.update(unit=unit, meaning=meaning)


def column(values: list[Any]) -> Array:
    """Values of a key as an array: numbers where all are, else texts."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        whole = all(isinstance(v, int) and abs(v) < 2**63 for v in values)
        return np.array(values, np.int64 if whole else np.float64)
    texts = [v if isinstance(v, str) else json.dumps(v) for v in values]
    return np.array([t.encode() for t in texts])


def row_sums(file: Any, state: Array, first: int = 0) -> Array:
    """Checksums of points: CRC-32 of number (int64), state (int8), then the bytes of each dataset of `SUMMED` in turn.

    file : of the sweep
    state : of the points from `first` on

    Returns int64 (points,).
    """
    numbers = np.arange(first, first + len(state))
    found = [crc(np.array([s], np.int8), crc(np.array([n]))) for n, s in zip(numbers, state, strict=True)]
    for name in SUMMED:
        values = file[name][first : first + len(state)]
        found = [crc(row, before) for row, before in zip(values[:, None], found, strict=True)]
    return np.array(found, np.int64)


def misshapen(file: Any, points: Points, targets: int, chips: int, known: bool) -> list[str]:
    """Datasets that are missing, or of another type or shape.

    targets : number of them; known : whether there are checksums
    """
    n = len(points)
    types: dict[str, Any] = {"state": np.int8, "error": f"S{ERROR_BYTES}", "wall_seconds": np.float64} | (
        {"crc32": np.int64} if known else {}
    )
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {
        f"points/{name}": (np.dtype(t), (n,)) for name, t in types.items()
    }
    for axis in points.axes:
        wanted[f"points/{axis.key}"] = column([*axis.values]).dtype, (n,)
    wanted |= {f"chips/{name}": (np.dtype(about[0]), (n, chips)) for name, about in OF_CHIP.items()}
    wanted |= {f"chips/{name}": (np.dtype(about[0]), (n, targets, chips)) for name, about in TO_TARGET.items()}
    found = {path: file[path] for path in wanted if path in file}
    wrong = [f"/{path} is missing" for path in wanted if path not in found]
    for path, dataset in found.items():
        dtype, shape = getattr(dataset, "dtype", None), getattr(dataset, "shape", ())
        if (dtype, shape) != wanted[path]:
            wrong.append(f"/{path} is {dtype}{list(shape or ())}; expected {wanted[path][0]}{list(wanted[path][1])}")
    return wrong
