"""The file of a sweep: a table of points and chips in HDF5, complete for every finished point at any moment.

All datasets have their full size, and their place in the file, from the start. A finished point writes its row of each
of them and then its state; nothing else of the file changes, so that a kill at any time leaves a file that every HDF5
program opens, with every point whose state says so complete.

    /            attrs: format = "analogmgd-sweep", format_version, analogmgd_version, created_utc, config (TOML of the
                 first point), sweep (JSON: axes, zipped, targets, chips), environment (JSON)
                 the environment also has the checksum of the data
    /points/state          (points,)   0 to do, 1 done, 2 failed
    /points/error          (points,)   why it failed
    /points/KEY            (points,)   value of each key that is varied: numbers, or texts
    /points/wall_seconds   (points,)
    /chips/..              (points, chips)   chip (its id), status (1 complete, 2 diverged), diverged_step, steps,
                           seconds (emulated), final_accuracy, best_accuracy, final_cost, best_cost, final_angle
    /chips/steps_to_target, seconds_to_target  (points, targets, chips)   NaN: not within the run
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from . import __version__
from .errors import ConfigError, TraceError
from .sweep_point import Target
from .trace_open import one_line
from .units import unit_of
from .vary import Axis, Points

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


def created(
    path: str, points: Points, chips: int, targets: tuple[Target, ...], config: str, environment: dict[str, Any]
) -> None:
    """Make the file, beside its place first."""
    about = {
        "axes": {axis.key: list(axis.values) for axis in points.axes},
        "zipped": points.zipped,
        "targets": [[t.quantity, t.value] for t in targets],
        "chips": chips,
    }
    part = f"{path}.{os.getpid()}.part"
    n = len(points)
    try:
        with h5py.File(part, "w", libver=("earliest", "v110")) as file:
            file.attrs.update(
                format=FORMAT, format_version=FORMAT_VERSION, analogmgd_version=__version__,
                created_utc=datetime.now(UTC).isoformat(timespec="seconds"), config=config, sweep=json.dumps(about),
                environment=json.dumps(environment),
            )  # fmt: skip
            place(file, "points/state", (n,), np.int8, TODO, "1", "0 to do, 1 done, 2 failed")
            place(file, "points/error", (n,), f"S{ERROR_BYTES}", b"", "1", "why it failed")
            place(file, "points/wall_seconds", (n,), np.float64, np.nan, "s", "time it took here")
            for axis in points.axes:
                values = [point[axis.key] for point in points]
                file[f"points/{axis.key}"] = column(values)
                file[f"points/{axis.key}"].attrs.update(unit=unit_of(axis.key), meaning="what is varied")
            for name, (dtype, fill, unit, text) in OF_CHIP.items():
                place(file, f"chips/{name}", (n, chips), dtype, fill, unit, text)
            for name, (dtype, fill, unit, text) in TO_TARGET.items():
                place(file, f"chips/{name}", (n, len(targets), chips), dtype, fill, unit, text)
        os.replace(part, path)
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


class SweepFile:
    """The file of a sweep, to read, also while it is written; with `write` to go on with.

    points : what is varied; targets : what times are kept to; chips : of a point, at most; config : TOML of point 0
    state : int8 (points,), 0 to do, 1 done, 2 failed

    Raises ConfigError where the file is no sweep or of a later version, TraceError where it cannot be opened.

    >>> import analogmgd as am
    >>> file = am.sweep("parity", {"rule.eta": [0.1, 0.5]}, "read.h5", settings={"run.steps": 500, "run.chips": 3})
    >>> file.points[1], file.state.tolist(), file.values("steps_to_target").shape
    ({'rule.eta': 0.5}, [1, 1], (2, 0, 3))
    """

    def __init__(self, path: str, write: bool = False) -> None:
        self.path = path
        try:
            self.file = h5py.File(path, "r+" if write else "r", locking=write)  # it may be read while it is written
        except OSError as error:
            if not Path(path).exists():
                raise ConfigError(f"{path!r} does not exist") from None
            raise TraceError(f"{path!r} cannot be opened: {one_line(error)}") from error
        if self.file.attrs.get("format") != FORMAT:
            self.file.close()
            raise ConfigError(f"{path!r} is not a sweep")
        if self.file.attrs["format_version"] > FORMAT_VERSION:
            version = self.file.attrs["format_version"]
            self.file.close()
            raise ConfigError(f"{path!r} has version {version} of its format; this program knows {FORMAT_VERSION}")
        about = json.loads(self.file.attrs["sweep"])
        self.points = Points(tuple(Axis(k, tuple(v)) for k, v in about["axes"].items()), about["zipped"])
        self.targets = tuple(Target(*t) for t in about["targets"])
        self.chips = int(about["chips"])
        self.config = str(self.file.attrs["config"])
        self.environment: dict[str, Any] = json.loads(self.file.attrs.get("environment", "{}"))

    def __enter__(self) -> SweepFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    @property
    def state(self) -> Array:
        """int8[points]."""
        found: Array = self.file["points/state"][:]
        return found

    def write(self, n: int, found: Mapping[str, Any]) -> None:
        """Keep what became of point n, its state last."""
        for name in (name for name in OF_CHIP if name in found):
            self.file[f"chips/{name}"][n, : len(found[name])] = found[name]
        for name in TO_TARGET:
            self.file[f"chips/{name}"][n, :, : found[name].shape[1]] = found[name]
        self.file["points/wall_seconds"][n] = found["wall_seconds"]
        self.file["points/error"][n] = b""  # of an earlier attempt
        self._end(n, DONE)

    def fail(self, n: int, error: str) -> None:
        """Keep why point n failed."""
        whole = error.encode()[:ERROR_BYTES].decode(errors="ignore")  # no part of a character
        self.file["points/error"][n] = whole.encode()
        self._end(n, FAILED)

    def _end(self, n: int, state: int) -> None:
        self.file.flush()
        self.file["points/state"][n] = state
        self.file.flush()

    def column(self, key: str) -> Array:
        """Values of a varied key, numbers or texts."""
        values: Array = self.file[f"points/{key}"][:]
        return np.char.decode(values) if values.dtype.kind == "S" else values

    def values(self, name: str) -> Array:
        """(points, chips) or (points, targets, chips); points that are not done have NaN, -1 or 0."""
        found: Array = self.file[f"chips/{name}"][:]
        return found

    def chip_steps(self) -> int:
        """Steps of all chips of the points that are done."""
        return int(self.file["chips/steps"][:][self.state == DONE].sum())

    def errors(self) -> dict[int, str]:
        """Why the failed points failed."""
        return {
            int(n): self.file["points/error"][n].decode(errors="replace") for n in np.flatnonzero(self.state == FAILED)
        }
