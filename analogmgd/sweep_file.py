"""The file of a sweep: a table of points and chips in HDF5, complete for every finished point at any moment.

All datasets have their full size, and their place in the file, from the start. A finished point writes its row of each
of them, their checksum and then its state; nothing else of the file changes, so that a kill at any time leaves a file
that every HDF5 program opens, with every point whose state says so complete.

    /            attrs: format = "analogmgd-sweep", format_version, analogmgd_version, created_utc, config (TOML of the
                 first point), sweep (JSON: axes, zipped, targets, chips), environment (JSON)
                 the environment also has the checksum of the data
    /about       the same, sealed with a checksum, and those of /points/KEY; what is read here, see `trace_file`, Texts
    /points/state          (points,)   0 to do, 1 done, 2 failed
    /points/error          (points,)   why it failed
    /points/KEY            (points,)   value of each key that is varied: numbers, or texts
    /points/wall_seconds   (points,)
    /points/crc32          (points,)   of the point's number, state and values, as `row_sums` has them; -1 to do
    /chips/..              (points, chips)   chip (its id), status (1 complete, 2 diverged), diverged_step, steps,
                           seconds (emulated), final_accuracy, best_accuracy, final_cost, best_cost, final_angle
    /chips/steps_to_target, seconds_to_target  (points, targets, chips)   NaN: not within the run
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from . import __version__
from .errors import AnalogMGDError, ConfigError, TraceError
from .sweep_point import Target
from .trace_checksums import crc
from .trace_contents import seal, unseal
from .trace_open import move_new, one_line
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


def early(file: Any) -> dict[str, Any]:
    """What /about would say, of a file that has no checksums."""
    about = {name: file.attrs[name] for name in ("format_version", "analogmgd_version", "config")}
    texts = {"sweep": file.attrs["sweep"], "environment": file.attrs.get("environment", "{}")}
    return {**about, "format_version": int(about["format_version"]), **{k: json.loads(v) for k, v in texts.items()}}


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


class SweepFile:
    """The file of a sweep, to read, also while it is written; with `write` to go on with.

    points : what is varied; targets : what times are kept to; chips : of a point, at most; config : TOML of point 0
    state : int8 (points,), 0 to do, 1 done, 2 failed

    confirm : compare all checksums, where it has them; alone : refuse a file that is being written

    Raises ConfigError where the file is no sweep or of a later version, TraceError where it cannot be opened or is
    damaged.

    >>> import analogmgd as am
    >>> file = am.sweep("parity", {"rule.eta": [0.1, 0.5]}, "read.h5", settings={"run.steps": 500, "run.chips": 3})
    >>> file.points[1], file.state.tolist(), file.values("steps_to_target").shape
    ({'rule.eta': 0.5}, [1, 1], (2, 0, 3))
    """

    def __init__(self, path: str, write: bool = False, confirm: bool = True, alone: bool = False) -> None:
        self.path = path
        try:
            # without a lock it can be read while it is written
            self.file = h5py.File(path, "r+" if write else "r", locking=write or alone)
        except OSError as error:
            if not Path(path).exists():
                raise ConfigError(f"{path!r} does not exist") from None
            raise TraceError(f"{path!r} cannot be opened: {one_line(error)}") from error
        try:
            self._read(confirm)
        except BaseException:
            self.close()
            raise

    def _read(self, confirm: bool) -> None:
        """What the file says of itself; from attributes, which can hang HDF5 where they are damaged, if need be."""
        path, file = self.path, self.file
        if "points" not in file or ("about" not in file and file.attrs.get("format") != FORMAT):
            raise ConfigError(f"{path!r} is not a sweep")
        self.known = "about" in file  # whether it has checksums
        try:
            about = unseal(bytes(file["about"][0])) if self.known else early(file)
            if not isinstance(about["format_version"], int) or about["format_version"] > FORMAT_VERSION:
                version = about["format_version"]
                raise ConfigError(f"{path!r} has version {version} of its format; this program knows {FORMAT_VERSION}")
            sweep = about["sweep"]
            self.points = Points(tuple(Axis(k, tuple(v)) for k, v in sweep["axes"].items()), sweep["zipped"])
            self.targets = tuple(Target(*t) for t in sweep["targets"])
            self.chips = int(sweep["chips"])
            self.config, self.version = str(about["config"]), str(about["analogmgd_version"])
            self.environment: dict[str, Any] = about["environment"]
            self.fixed: dict[str, int] = about.get("fixed_crc32", {})
            wrong = [*self.wrong()] if confirm else []
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            if isinstance(error, AnalogMGDError):
                raise
            raise TraceError(f"the sweep {path!r} is damaged: {one_line(error)}") from error
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            what = f"{wrong[0][1]}{more}; `analogmgd info --check` shows all, `analogmgd repair` keeps what is whole"
            raise TraceError(f"the sweep {path!r} is damaged: {what}")

    def wrong(self) -> Iterator[tuple[int, str]]:
        """Point (-1: what is varied) and words for each checksum that is not right."""
        if not self.known:
            return
        for name, expected in self.fixed.items():
            if crc(self.file[name][:]) != expected:
                yield -1, f"the checksum of /{name} is wrong"
        state = self.state  # first: of the points that are done, nothing changes any more
        for n in np.flatnonzero(row_sums(self.file, state) != self.file["points/crc32"][:]):
            if state[n] != TODO:
                yield int(n), f"the checksum of point {n} is wrong"

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
        self.end(n, DONE)

    def fail(self, n: int, error: str) -> None:
        """Keep why point n failed."""
        whole = error.encode()[:ERROR_BYTES].decode(errors="ignore")  # no part of a character
        self.file["points/error"][n] = whole.encode()
        self.end(n, FAILED)

    def end(self, n: int, state: int) -> None:
        """Seal the values of point n, then give it its state."""
        if self.known:
            self.file["points/crc32"][n] = row_sums(self.file, np.array([state], np.int8), n)[0]
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
