"""Sweeps: many points of settings, each an ensemble of chips, into one file that can be gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .config import Config
from .data import Dataset
from .engine import Interrupts, thread_count
from .errors import AnalogMGDWarning, ConfigError, TraceError
from .session import environment
from .sweep_file import SweepFile
from .sweep_layout import DONE, FAILED, created
from .sweep_point import Stopped, Target, measured
from .sweep_pool import Pool, Threads, pool_of
from .trace_open import one_line
from .trace_place import astray, kept, synced
from .train import settle
from .vary import Axis, Point, Points, grid, listed, tables

ROWS = 200  # of a point, where record_every is not given
CHECKED = 1000  # points that are checked before anything runs; of more, each value of each key
Tables = Mapping[str, Mapping[str, Any]]
Found = tuple[Config, Dataset]


def sweep(
    source: str,
    vary: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    path: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    targets: Sequence[float | str] = (),
    zipped: bool = False,
    threads: int | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
) -> SweepFile:
    """Train ensembles of chips at many points of settings; what `analogmgd sweep` does.

    source : name of a data set, or path of a data or TOML file
    vary : dotted key -> values (a list, or a text such as "1e-4..1e-1:log:7"); or a list of points, each a table
    path : file of the sweep; one that is there and of the same sweep is gone on with
    settings : dotted key -> value, the same at all points
    targets : accuracies, or texts such as "cost=0.01", whose times are kept
    zipped : values side by side instead of all combinations
    threads : default ANALOGMGD_THREADS, else all processors; results do not depend on it, nor on the following
    scheduler : address of a Dask cluster on whose workers the points run
    workers : processes of a local cluster that is made for the sweep; a script that asks for it needs
        `if __name__ == "__main__":`, as those processes import it

    Returns the file, open to be read; after Ctrl-C, or where points failed, with a warning that not all are done.
    Raises ConfigError where a point's settings cannot be, before anything runs; ClusterError where a cluster cannot be
    reached or is lost.

    >>> file = sweep("parity", {"rule.eta": [0.1, 0.5]}, "eta.h5", settings={"run.steps": 2000, "run.chips": 8})
    >>> file.values("final_accuracy").shape, file.column("rule.eta")
    ((2, 8), array([0.1, 0.5]))
    """
    from .cli.resolve import Source, overlay

    found, given = Source(source), tables(dict(settings or {}))
    points = grid([Axis.made(k, v) for k, v in vary.items()], zipped) if isinstance(vary, Mapping) else listed(vary)
    asked = [Target.read(str(one)) for one in targets]
    whole = Sweep(lambda changes: found.config(overlay(given, changes)), points, asked)
    with pool_of(threads, scheduler, workers) as pool:
        whole.run(path, pool=pool)
    file = SweepFile(os.fspath(path))
    done, failed = ((file.state == state).sum() for state in (DONE, FAILED))
    if done < len(points):
        text = f"{path}: {done} of {len(points)} points are done, {failed} failed: given again, it does the rest"
        warnings.warn(text, AnalogMGDWarning, stacklevel=2)
    return file


class Sweep:
    """Points of settings around a configuration.

    resolve : from tables of settings to a configuration and its data
    points : what is varied
    targets : accuracies or costs whose times are kept

    Raises ConfigError where a point's settings cannot be.
    """

    def __init__(self, resolve: Callable[[Tables], Found], points: Points, targets: Sequence[Target] = ()) -> None:
        self._resolve, self.points, self.targets = resolve, points, tuple(targets)
        some = range(len(points)) if len(points) <= CHECKED else each_value(points)
        runs = [self.at(n)[0].run for n in some]
        self.chips = max(len(run.chip_ids) for run in runs)
        checked = sum(len(run.chip_ids) * run.steps for run in runs)
        self.chip_steps = checked * len(points) // len(runs)  # of more points than are checked, about

    def at(self, n: int) -> Found:
        """Configuration and data of point n."""
        try:
            config, data = self._resolve(tables(self.points[n]))
            return settle(config, data, ROWS), data
        except ConfigError as error:
            raise ConfigError(f"{described(self.points[n])}: {error}") from None

    def open(self, path: str, threads: int) -> SweepFile:
        """Its file, made now or found to be of this very sweep."""
        if not Path(path).exists():
            about = {**environment(threads), "data_sha256": self._data()}
            created(path, self.points, self.chips, self.targets, self.at(0)[0].to_toml(), about)
            return SweepFile(path, write=True)
        file = SweepFile(path, write=True)
        problem = self._differs(file)
        if problem:
            file.close()
            raise ConfigError(
                f"{path!r} is of another sweep: {problem}; choose another file, or replace it with --force"
            )
        if file.version != __version__:
            before = f"{path} was begun by analogmgd {file.version}"
            text = f"{before}, this is {__version__}: points may not have the same bits"
            warnings.warn(text, AnalogMGDWarning, stacklevel=3)
        return file

    def _data(self) -> list[str]:
        """Checksums of the data of all points."""
        varied = any(axis.key.startswith("data.") for axis in self.points.axes)
        return sorted({self.at(n)[1].fingerprint() for n in (each_value(self.points) if varied else [0])})

    def _differs(self, file: SweepFile) -> str:
        def plain(points: Points) -> Any:
            return json.loads(json.dumps([[[a.key, a.values] for a in points.axes], points.zipped]))

        if plain(file.points) != plain(self.points):
            return "it varies " + ", ".join(f"{a.key} ({len(a.values)} values)" for a in file.points.axes)
        if file.targets != self.targets:
            return f"its targets are {', '.join(map(str, file.targets)) or 'none'}"
        data = self._data()
        if file.environment.get("data_sha256", data) != data:
            return "its data were others (another checksum)"
        mine, other = self.at(0)[0].to_tables(), Config.from_toml(file.config).to_tables()
        for table in {*mine, *other}:
            for key in {*mine.get(table, {}), *other.get(table, {})}:
                a, b = (t.get(table, {}).get(key) for t in (mine, other))
                if json.dumps(a, default=list) != json.dumps(b, default=list):
                    return f"its {table}.{key} is {b}, not {a}"
        return ""

    def run(
        self,
        path: str | os.PathLike[str],
        threads: int | None = None,
        tick: Callable[[int, int], None] = lambda points, chip_steps: None,
        pool: Pool | None = None,
    ) -> str:
        """Do every point that is not done; "complete", "failed" (some points) or "interrupted" (Ctrl-C).

        path : file of the sweep; one that is there is gone on with, its failed points are tried again
        threads : points at a time; the last ones have several threads each
        tick : called several times a second with the points and the chip-steps done by now, first with those of before
        pool : where points run (see `sweep_pool.pool_of`) instead of threads of this process

        Raises ClusterError where a Dask cluster is lost; what was finished is in the file. TraceError where the file
        was deleted or replaced meanwhile (it is saved beside its place), or the drive did not write it.
        """
        pool, name = pool or Threads(thread_count(threads)), os.fspath(path)
        with self.open(name, pool.threads) as file:
            status = Crew(self, file, pool, tick).work()
            file.file.flush()
            handle = file.file.id.get_vfd_handle()
            try:
                synced(handle)
            except OSError as error:
                raise TraceError(f"cannot write the sweep {name!r}: {one_line(error)}; {kept(name, error)}") from error
            lost = astray(name, handle)
        if lost:
            raise TraceError(f"the sweep {name!r} {lost}")
        return status


class Crew:
    """Gives the points of a sweep to a pool and writes what comes back."""

    def __init__(self, sweep: Sweep, file: SweepFile, pool: Pool, tick: Callable[[int, int], None]) -> None:
        self.sweep, self.file, self.pool, self.tick = sweep, file, pool, tick
        done = file.state == DONE
        self.todo = np.flatnonzero(~done).tolist()
        self.ended, self.failed, self.before = int(done.sum()), 0, file.chip_steps()

    def work(self) -> str:
        """Until nothing is left, or Ctrl-C."""
        waiting, running = self.todo[::-1], 0
        with Interrupts() as interrupts:
            try:
                while (running or waiting) and not interrupts.count:
                    self._show()
                    while waiting and running < self.pool.room and not interrupts.count:
                        share = max(1, self.pool.threads // (running + len(waiting)))
                        self._begin(waiting.pop(), share)
                        running += 1
                    running -= self._keep(0.2)
            finally:
                self.pool.stop()
            self._keep(0)
            self._show()
            if interrupts.count:
                return "interrupted"
        return "failed" if self.failed else "complete"

    def _begin(self, n: int, threads: int) -> None:
        self.pool.begin(n, lambda: self.sweep.at(n), self.sweep.targets, threads)

    def _show(self) -> None:
        self.tick(self.ended, self.before + self.pool.chip_steps)

    def _keep(self, seconds: float) -> int:
        """Write what has ended; how many points that were."""
        ended = self.pool.finished(seconds)
        for n, found in ended:
            if found is None:
                continue
            if isinstance(found, str):
                self.failed += 1
                self.file.fail(n, found)
            else:
                self.file.write(n, found)
            self.ended += 1
        return len(ended)


def each_value(points: Points) -> list[int]:
    """Points that show every value of every key once or more: the first one, and one key changed at a time."""
    if points.zipped:
        return list(range(len(points)))
    found, stride = {0}, 1
    for axis in reversed(points.axes):
        found |= {k * stride for k in range(len(axis.values))}
        stride *= len(axis.values)
    return sorted(found)


def described(point: Point) -> str:
    """`rule.eta = 0.1, rule.tau_x = 2`."""
    return ", ".join(f"{key} = {value}" for key, value in point.items())


def paced(sweep: Sweep, threads: int, seconds: float = 1.0) -> float:
    """Seconds the whole sweep would take, by the pace of its first point."""
    config, data = sweep.at(0)
    few = replace(config, run=config.run.replace(steps=min(2, config.run.steps), record_every=1))
    measured(few, data, (), 1, lambda chip_steps: None)  # compiles
    began, done = time.perf_counter(), 0

    def count(chip_steps: int) -> None:
        nonlocal done
        done += chip_steps
        if time.perf_counter() - began > seconds:
            raise Stopped

    with contextlib.suppress(Stopped):
        measured(config, data, (), 1, count)
    rate = max(1, done) / (time.perf_counter() - began) * threads
    return sweep.chip_steps / rate
