"""Salvages the points that are whole of a damaged sweep into a new one."""

from __future__ import annotations

import os

import numpy as np

from .errors import AnalogMGDError, ConfigError, TraceError
from .sweep_file import SweepFile
from .sweep_layout import DONE, SUMMED, TODO, created
from .trace_open import FAULTS, one_line
from .trace_repair import Repaired


def repair_sweep(path: str, out: str, force: bool) -> Repaired:
    """A new sweep with the points that are whole; the others are to do again. See `trace_repair.repair`."""
    if os.path.exists(out) and not force:
        raise ConfigError(f"{out!r} exists: choose another path, or replace it with --force")
    try:
        old = SweepFile(path, confirm=False, alone=True)
    except (AnalogMGDError, *FAULTS) as error:
        raise TraceError(f"{path!r} cannot be repaired: {one_line(error)}") from error
    with old:
        state, lost = whole_points(old)
        created(out, old.points, old.chips, old.targets, old.config, old.environment, old.version, force)
        with SweepFile(out, write=True) as new:
            for n in np.flatnonzero(state != TODO):
                for name in SUMMED:
                    new.file[name][n] = old.file[name][n]
                new.end(int(n), int(state[n]))
        return Repaired(out, int((state == DONE).sum()), 0, 0, tuple(lost), "sweep", len(state))


def whole_points(old: SweepFile) -> tuple[np.ndarray, list[str]]:
    """States of points, those that are not whole as to do; a line for each thing that is lost."""
    nothing = np.full(len(old.points), TODO, np.int8)
    try:
        wrong = old.misshapen()
        if wrong:
            return nothing, [*wrong, "all points"]
        state = old.state
        damaged = old.damaged(state)
    except FAULTS as error:
        return nothing, [f"all points: {one_line(error)}"]
    return np.where(damaged, TODO, state), [f"point {n}" for n in np.flatnonzero(damaged)]
