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

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from .errors import AnalogMGDError, ConfigError, TraceError
from .sweep_layout import (
    DONE,
    ERROR_BYTES,
    FAILED,
    FORMAT,
    FORMAT_VERSION,
    OF_CHIP,
    TO_TARGET,
    TODO,
    Array,
    misshapen,
    row_sums,
)
from .sweep_point import Target
from .trace_checksums import crc
from .trace_contents import unseal
from .trace_open import FAULTS, one_line
from .vary import Axis, Points


def early(file: Any) -> dict[str, Any]:
    """What /about would say, of a file that has no checksums."""
    about = {name: file.attrs[name] for name in ("format_version", "analogmgd_version", "config")}
    texts = {"sweep": file.attrs["sweep"], "environment": file.attrs.get("environment", "{}")}
    return {**about, "format_version": int(about["format_version"]), **{k: json.loads(v) for k, v in texts.items()}}


def being_written(path: str) -> bool:
    """Whether another process has the file of a sweep locked, to write it.

    >>> being_written("nosuch.h5")
    False
    """
    try:
        h5py.File(path, "r", locking=True).close()
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES) and os.access(path, os.R_OK)
    return False


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
            why = "another process is writing it" if (write or alone) and being_written(path) else one_line(error)
            raise TraceError(f"{path!r} cannot be opened: {why}") from error
        try:
            self._read(confirm)
        except BaseException:
            self.close()
            raise

    def _read(self, confirm: bool) -> None:
        """What the file says of itself; from attributes, which can hang HDF5 where they are damaged, if need be."""
        path, file = self.path, self.file
        try:
            self.known = "about" in file  # whether it has checksums
            if "points" not in file or not (self.known or file.attrs.get("format") == FORMAT):
                raise ConfigError(f"{path!r} is not a sweep")
            about = unseal(bytes(file["about"][0])) if self.known else early(file)
            if not isinstance(about["format_version"], int) or about["format_version"] > FORMAT_VERSION:
                version = about["format_version"]
                raise ConfigError(f"{path!r} has version {version} of its format; this program knows {FORMAT_VERSION}")
            self.about, sweep = about, about["sweep"]
            self.points = Points(tuple(Axis(k, tuple(v)) for k, v in sweep["axes"].items()), sweep["zipped"])
            self.targets = tuple(Target(*t) for t in sweep["targets"])
            self.chips = int(sweep["chips"])
            self.config, self.version = str(about["config"]), str(about["analogmgd_version"])
            self.environment: dict[str, Any] = about["environment"]
            self.fixed: dict[str, int] = about.get("fixed_crc32", {})
            wrong = (self.misshapen() or [*self.wrong()]) if confirm else []
        except (*FAULTS, AttributeError) as error:
            if isinstance(error, AnalogMGDError):
                raise
            raise TraceError(f"the sweep {path!r} is damaged: {one_line(error)}") from error
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            what = f"{wrong[0]}{more}; `analogmgd info --check` shows all, `analogmgd repair` keeps what is whole"
            raise TraceError(f"the sweep {path!r} is damaged: {what}")

    def misshapen(self) -> list[str]:
        """Datasets that are missing or of another shape."""
        return misshapen(self.file, self.points, len(self.targets), self.chips, self.known)

    def wrong(self) -> Iterator[str]:
        """A line for each checksum that is not right."""
        if not self.known:
            return
        for name, expected in self.fixed.items():
            if crc(self.file[name][:]) != expected:
                yield f"the checksum of /{name} is wrong"
        yield from (f"the checksum of point {n} is wrong" for n in np.flatnonzero(self.damaged(self.state)))

    def damaged(self, state: Array) -> Array:
        """bool[points]: those that are not to do any more, and whose checksums are wrong.

        state : read before, as nothing changes any more of the points that are done
        """
        if not self.known:
            return np.zeros(len(state), bool)
        found: Array = (state != TODO) & (row_sums(self.file, state) != self.file["points/crc32"][:])
        return found

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
