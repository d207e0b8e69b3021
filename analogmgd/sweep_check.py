"""Whether the file of a sweep is whole."""

from __future__ import annotations

from collections.abc import Iterator

import h5py  # type: ignore[import-untyped]
import numpy as np

from .errors import AnalogMGDError
from .sweep_file import SweepFile
from .sweep_layout import DONE, FAILED
from .trace_attributes import wrong_attributes
from .trace_check import Checked
from .trace_open import FAULTS, OpenFile, one_line


def is_sweep(path: str) -> bool:
    """Whether a file is a sweep's and no trace, by what lies in it: the texts of a damaged file can hang HDF5."""
    try:
        opened = OpenFile(path)
    except (AnalogMGDError, *FAULTS):
        return False
    try:
        return "points" in opened.file and "header" not in opened.file
    except FAULTS:
        return False
    finally:
        opened.close()


def check_sweep(path: str) -> Checked:
    """Structure, checksums, states and values of a sweep."""
    try:
        with SweepFile(path, confirm=False) as sweep:
            found = sweep.misshapen() or [*sweep.wrong(), *attributes(sweep), *problems(sweep)]
            groups = [sweep.file[name] for name in ("points", "chips")]
            count = sum(isinstance(item, h5py.Dataset) for group in groups for item in group.values())
            return Checked(tuple(found), int((sweep.state == DONE).sum()), 0, count, sweep.known, "sweep")
    except AnalogMGDError as error:
        return Checked((str(error),), checksums=False, kind="sweep")
    except (*FAULTS, AttributeError) as error:
        return Checked((f"the sweep {path!r} is damaged: {one_line(error)}",), checksums=False, kind="sweep")


def attributes(sweep: SweepFile) -> Iterator[str]:
    """Attributes that do not say what /about says."""
    if sweep.known:
        names = ("format", "format_version", "analogmgd_version", "created_utc", "config", "sweep", "environment")
        yield from wrong_attributes(sweep.path, sweep.file, {"/": {name: sweep.about[name] for name in names}})


def problems(sweep: SweepFile) -> Iterator[str]:
    """What cannot be."""
    state = sweep.state
    if not np.isin(state, (0, DONE, FAILED)).all():
        yield "/points/state has states that are none"
    for n in np.flatnonzero(state == FAILED):
        if not sweep.file["points/error"][n]:
            yield f"point {n} failed, but /points/error does not say why"
    for n in np.flatnonzero(state == DONE):
        ids, status = sweep.file["chips/chip"][n], sweep.file["chips/status"][n]
        there = ids >= 0
        if not there.any() or len(np.unique(ids[there])) != there.sum():
            yield f"point {n} is done, but its chips are {ids[:5].tolist()}"
        elif not np.isin(status[there], (1, 2)).all() or (sweep.file["chips/steps"][n][there] <= 0).any():
            yield f"point {n} is done, but not all of its chips have a status and steps"
        for name in ("final_accuracy", "best_accuracy"):
            values = sweep.file[f"chips/{name}"][n]
            if ((values < 0) | (values > 1)).any():
                yield f"point {n} has values of {name} that are not from 0 to 1"
