"""Sweeps for other programs: tidy CSV or Parquet, or the arrays as they are.

    points    point, each key that is varied, state, error, wall_seconds
    chips     point, each key that is varied, chip, status, .., steps_to_TARGET, seconds_to_TARGET; of done points

A file `metadata.json` with units and meanings goes beside them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .export import Table, check_format, write_files
from .sweep_file import SweepFile
from .sweep_layout import DONE, OF_CHIP, TO_TARGET
from .units import unit_of

Array = npt.NDArray[Any]
STATES = np.array(["to do", "done", "failed"])


def export_sweep(sweep: SweepFile, fmt: str, directory: str | os.PathLike[str], force: bool = False) -> list[Path]:
    """Write a sweep as "csv", "parquet" or "npz" files (see the module's text); returns the files.

    Raises ConfigError where a file exists (without `force`) or cannot be written.

    >>> import analogmgd as am
    >>> file = am.sweep("parity", {"rule.eta": [0.1, 0.5]}, "tidy.h5", settings={"run.steps": 500, "run.chips": 3})
    >>> [path.name for path in export_sweep(file, "csv", "tidy")]
    ['points.csv', 'chips.csv', 'config.toml', 'metadata.json']
    """
    check_format(fmt)
    tables = [points_table(sweep), chips_table(sweep)]
    about = {t.name: {k: {"unit": unit, "meaning": text} for k, (_, unit, text) in t.columns.items()} for t in tables}
    return write_files(fmt, directory, force, tables, "sweep", arrays(sweep), sweep.config, about)


def varied(sweep: SweepFile) -> dict[str, Array]:
    """Values of each key at every point."""
    return {axis.key: sweep.column(axis.key) for axis in sweep.points.axes}


def points_table(sweep: SweepFile) -> Table:
    """One line a point."""
    keys = varied(sweep)
    values = {"point": np.arange(len(sweep.points)), **keys, "state": STATES[sweep.state]}
    errors = sweep.errors()
    values["error"] = np.array([errors.get(n, "") for n in range(len(sweep.points))])
    values["wall_seconds"] = sweep.file["points/wall_seconds"][:]
    meanings = {"point": "number of the point", "state": "what became of it", "error": "why it failed"}
    meanings["wall_seconds"] = "time it took"
    columns = {
        name: (array.dtype, "s" if name == "wall_seconds" else unit_of(name), meanings.get(name, "what is varied"))
        for name, array in values.items()
    }
    return Table("points", columns, iter([values]))


def chips_table(sweep: SweepFile) -> Table:
    """One line for each chip of a point that is done."""
    keys = varied(sweep)
    columns: dict[str, Any] = {"point": (np.dtype(np.int64), "1", "number of the point")}
    columns |= {name: (array.dtype, unit_of(name), "what is varied") for name, array in keys.items()}
    columns |= {name: (np.dtype(dtype), unit, text) for name, (dtype, _, unit, text) in OF_CHIP.items()}
    names = [str(target).replace(" ", "_") for target in sweep.targets]
    for kind, (dtype, _, unit, text) in TO_TARGET.items():
        columns |= {f"{kind.removesuffix('target')}{name}": (np.dtype(dtype), unit, text) for name in names}

    def blocks() -> Iterator[dict[str, Array]]:
        for n in np.flatnonzero(sweep.state == DONE):
            own = {name: sweep.file[f"chips/{name}"][n] for name in OF_CHIP}
            there = own["chip"] >= 0
            block = {"point": np.full(there.sum(), n)} | {k: np.full(there.sum(), v[n]) for k, v in keys.items()}
            block |= {name: values[there] for name, values in own.items()}
            for kind in TO_TARGET:
                for k, name in enumerate(names):
                    block[f"{kind.removesuffix('target')}{name}"] = sweep.file[f"chips/{kind}"][n, k][there]
            yield block

    return Table("chips", columns, blocks())


def arrays(sweep: SweepFile) -> Iterator[tuple[str, tuple[int, ...], np.dtype[Any], Iterator[Array]]]:
    """Every dataset."""
    loose = {f"points/{k}": v for k, v in varied(sweep).items()} | {"points/state": sweep.state}
    loose |= {f"chips/{name}": sweep.values(name) for name in (*OF_CHIP, *TO_TARGET)}
    for path, array in loose.items():
        yield path, array.shape, array.dtype, iter([array])
