"""Whether the file of a sweep is whole."""

from __future__ import annotations

from collections.abc import Iterator

import h5py  # type: ignore[import-untyped]
import numpy as np

from .errors import AnalogMGDError
from .sweep_file import DONE, FAILED, OF_CHIP, TO_TARGET, SweepFile
from .trace_check import FAULTS, Checked
from .trace_open import OpenFile, one_line


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
            found = misshapen(sweep) or [*(text for _, text in sweep.wrong()), *problems(sweep)]
            groups = [sweep.file[name] for name in ("points", "chips")]
            count = sum(isinstance(item, h5py.Dataset) for group in groups for item in group.values())
            return Checked(tuple(found), int((sweep.state == DONE).sum()), 0, count, sweep.known, "sweep")
    except AnalogMGDError as error:
        return Checked((str(error),), checksums=False, kind="sweep")
    except (*FAULTS, AttributeError) as error:
        return Checked((f"the sweep {path!r} is damaged: {one_line(error)}",), checksums=False, kind="sweep")


def misshapen(sweep: SweepFile) -> list[str]:
    """Datasets that are missing or of another shape."""
    points = len(sweep.points)
    shapes: dict[str, tuple[int, ...]] = {
        "points/state": (points,),
        "points/error": (points,),
        "points/wall_seconds": (points,),
    }
    shapes |= {"points/crc32": (points,)} if sweep.known else {}
    shapes |= {f"points/{axis.key}": (points,) for axis in sweep.points.axes}
    shapes |= {f"chips/{name}": (points, sweep.chips) for name in OF_CHIP}
    shapes |= {f"chips/{name}": (points, len(sweep.targets), sweep.chips) for name in TO_TARGET}
    wrong = [f"/{path} is missing" for path in shapes if path not in sweep.file]
    wrong += [
        f"/{path} has shape {sweep.file[path].shape}; expected {shape}"
        for path, shape in shapes.items()
        if path in sweep.file and getattr(sweep.file[path], "shape", None) != shape
    ]
    return wrong


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
