"""`analogmgd sweep`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from analogmgd.errors import ConfigError
from analogmgd.settings import short

from .options import SettingsCommand, overrides, places
from .output import columns, count, duration, print_json, si

if TYPE_CHECKING:
    from pathlib import Path

    from analogmgd.sweep import Sweep
    from analogmgd.sweep_file import SweepFile
    from analogmgd.sweep_pool import Pool

EXIT = {"complete": 0, "failed": 1, "interrupted": 130}
MANY = 10_000  # points from which --yes is needed
SHOWN = 60  # points that the report lists
TARGETS = {"parity": ["1"]}  # of data sets; all others have
USUAL_TARGETS = ["0.8", "0.9", "0.95"]
EPILOG = """\b
Examples:
  analogmgd sweep digits --vary neuron.spread=0,0.05,0.1,0.2 --vary rule.tau_theta=1,10,100 --chips 256
  analogmgd sweep parity --vary rule.eta=1e-3..1:log:7 --target 1 --out eta.h5
  analogmgd sweep nist7x7 --vary device.name=ideal,ecram,reram-es --vary rule.eta=0.01,0.02,0.005 --zip
  analogmgd plot eta.h5; analogmgd export eta.h5 --format csv

\b
All combinations are run (with --zip the values side by side), each an ensemble of chips with the
same seeds. A TOML file may hold a table [sweep]: vary (a table of lists), zip, points (a list of
tables of dotted keys), targets. The file is complete for every finished point at any moment; the
same command goes on where it was stopped.
"""


@click.command(cls=SettingsCommand, epilog=EPILOG)
@click.argument("source", metavar="DATASET|FILE")
@click.option("--vary", multiple=True, metavar="KEY=V1,V2,..", help="Values, or FIRST..LAST:N, FIRST..LAST:log:N.")
@click.option("--zip", "zipped", is_flag=True, help="Values side by side instead of all combinations.")
@click.option("--target", multiple=True, metavar="ACCURACY", help="Keep the time to it; or cost=0.01.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any key, the same at all points.")
@click.option("-o", "--out", metavar="FILE.h5", default="sweep.h5", show_default=True, help="File of the sweep.")
@click.option("--force", is_flag=True, help="Replace the file instead of going on with it.")
@click.option("--yes", is_flag=True, help=f"Run more than {MANY} points.")
@places
@click.option("--quiet", is_flag=True, help="No progress, no table.")
@click.option("--json", "as_json", is_flag=True, help="The table as one JSON object.")
def sweep(
    source: str,
    vary: tuple[str, ...],
    zipped: bool,
    target: tuple[str, ...],
    assignments: tuple[str, ...],
    out: str,
    force: bool,
    yes: bool,
    threads: int | None,
    workers: int | None,
    scheduler: str | None,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Train ensembles of chips at many points of settings, and keep what becomes of each chip.

    DATASET is a name (see `analogmgd datasets`) or the path of a .npz or .h5 file; FILE.toml a
    configuration, whole or in part.
    """
    from analogmgd.engine import thread_count
    from analogmgd.sweep import Sweep
    from analogmgd.sweep_file import SweepFile
    from analogmgd.sweep_pool import pool_of

    from .resolve import Source, overlay

    given = overrides(settings, assignments)
    found = Source(source, sweeps=True)
    points = points_of(found.sweep, vary, zipped)
    check_keys([axis.key for axis in points.axes], given)
    here = thread_count(threads)
    targets = targets_of(found, given, target)
    whole = Sweep(lambda tables: found.config(overlay(given, tables)), points, targets)
    if len(points) > MANY and not yes:
        from analogmgd.sweep import paced

        raise ConfigError(
            f"{len(points)} points would take about {duration(paced(whole, here))}: give --yes to run them"
        )
    path = out_path(out, source, force)
    with pool_of(threads, scheduler, workers) as pool:
        if force:
            path.unlink(missing_ok=True)
        status = followed(whole, out, pool, quiet)
    with SweepFile(out) as file:
        rows = table(file)
        if as_json:
            print_json({"status": status, "file": out, "points": rows})
        elif not quiet:
            click.echo(text(file, rows))
            click.echo(f"\nNext: analogmgd plot {out}")
        for n, why in list(file.errors().items())[:3]:
            click.echo(f"analogmgd: error: point {n}: {why}", err=True)
    return EXIT[status]


def points_of(table: dict[str, Any], vary: tuple[str, ...], zipped: bool) -> Any:
    """What is varied, by the command line or else by the table [sweep]."""
    from analogmgd.vary import Axis, flat, grid, listed

    unknown = [key for key in table if key not in ("vary", "zip", "points", "targets")]
    if unknown:
        raise ConfigError(f"sweep.{unknown[0]}: unknown key; allowed: vary, zip, points, targets")
    if vary:
        return grid([Axis.read(one) for one in vary], zipped)
    if "points" in table:
        if "vary" in table:
            raise ConfigError("sweep: give vary or points, not both")
        return listed(table["points"])
    axes = table.get("vary", {})
    if not isinstance(axes, dict):
        raise ConfigError(f"sweep.vary = {short(axes)}: must be a table of lists")
    together = table.get("zip", False)
    if not isinstance(together, bool):
        raise ConfigError(f"sweep.zip = {together!r}: must be true or false")
    return grid([Axis.made(key, values) for key, values in flat(axes).items()], zipped or together)


def check_keys(keys: list[str], given: dict[str, Any]) -> None:
    """Every key is one of a configuration, and not also given once for all."""
    from .options import check_key, known_keys

    known = known_keys()
    for key in keys:
        check_key(key, known)
        table, name = key.split(".", 1)
        if name in given.get(table, {}):
            raise ConfigError(f"{key} is varied and also given once for all")


def targets_of(source: Any, given: dict[str, Any], asked: tuple[str, ...]) -> tuple[Any, ...]:
    """Those asked for, those of the file, or usual ones where there is an accuracy."""
    from analogmgd.sweep_point import Target

    listed = source.sweep.get("targets")
    if asked:
        return tuple(Target.read(one) for one in asked)
    if listed is not None:
        if not isinstance(listed, list):
            raise ConfigError(f"sweep.targets = {short(listed)}: must be a list")
        return tuple(Target.read(str(one)) for one in listed)
    config, data = source.config(given)
    if "accuracy" not in config.run.record or not data.classes:
        return ()
    return tuple(Target.read(one) for one in TARGETS.get(data.name, USUAL_TARGETS))


def out_path(out: str, source: str, force: bool) -> Path:
    """Where the file may be made, gone on with, or replaced."""
    from pathlib import Path

    from analogmgd.sweep_file import being_written

    from .traces import is_sweep

    path = Path(out)
    if path.exists() and os.path.exists(source) and os.path.samefile(source, out):
        raise ConfigError(f"--out {out!r} would replace the file the sweep is made from")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot create {out!r}: its directory does not exist")
    if path.is_dir():
        raise ConfigError(f"cannot create {out!r}: it is a directory")
    if force and path.exists() and not is_sweep(out):
        raise ConfigError(f"{out!r} is not a sweep: --force does not replace it")
    if force and path.exists() and being_written(out):
        raise ConfigError(f"the sweep {out!r} is being written by another process")
    return path


def followed(whole: Sweep, out: str, pool: Pool, quiet: bool) -> str:
    """Run with a progress bar."""
    from tqdm import tqdm

    every = 0.2 if sys.stderr.isatty() else 10.0
    with tqdm(
        total=whole.chip_steps, file=sys.stderr, unit="chip-step", unit_scale=True, disable=quiet, mininterval=every,
        leave=False, dynamic_ncols=True,
    ) as bar:  # fmt: skip
        begun = False

        def tick(ended: int, chip_steps: int) -> None:
            nonlocal begun
            if not begun:  # what was done before counts for what is left, and not for the rate
                begun, bar.initial = True, chip_steps
            points = f"{ended} of {len(whole.points)} points"
            bar.set_postfix_str(f"{points}, {pool.note}" if pool.note else points, refresh=False)
            bar.update(chip_steps - bar.n)

        return whole.run(out, tick=tick, pool=pool)


def table(file: SweepFile) -> list[dict[str, Any]]:
    """A row a point: what is varied, what became of its chips."""
    import numpy as np

    from analogmgd.study_values import final
    from analogmgd.sweep_layout import DONE, FAILED
    from analogmgd.sweep_statistics import share, spread, time_to_target

    rows, state, errors = [], file.state, file.errors()
    for n in range(len(file.points)):
        row: dict[str, Any] = {"point": n, "settings": file.points[n], "state": "to do"}
        if state[n] == FAILED:
            row |= {"state": "failed", "error": errors[n]}
        if state[n] == DONE:
            there = file.file["chips/chip"][n] >= 0
            row |= {"state": "done", "chips": int(there.sum())}
            row["diverged"] = int((file.file["chips/status"][n][there] == 2).sum())
            for name in ("accuracy", "cost"):
                row[f"final_{name}"] = spread(final(file, name, [n]))
            end = float(file.file["chips/steps"][n][there].max())
            row["targets"] = []
            for k, target in enumerate(file.targets):
                times = file.file["chips/steps_to_target"][n, k][there]
                reached = int(np.isfinite(times).sum())
                row["targets"].append(
                    {"target": str(target), "steps": time_to_target(times, end), **share(reached, len(times))}
                )
        rows.append(row)
    return rows


def text(file: SweepFile, rows: list[dict[str, Any]]) -> str:
    """The table for people."""
    keys = [axis.key for axis in file.points.axes]
    cost = all(r["final_accuracy"]["n"] == 0 for r in rows if r["state"] == "done")
    what = "cost" if cost else "accuracy"
    head = [*keys, what, *(f"steps to {t} (chips)" for t in file.targets), "diverged"]
    lines = []
    for row in rows[:SHOWN]:
        line = [f"{v:g}" if isinstance(v, float) else str(v) for v in row["settings"].values()]
        if row["state"] != "done":
            lines.append([*line, row["state"], *[""] * len(file.targets), ""])
            continue
        final, scale = row[f"final_{what}"], 1 if cost else 100
        unit = "" if cost else " %"
        line.append(
            "{:.3g}{} [{:.3g}, {:.3g}]".format(
                scale * final["median"], unit, *(scale * final[q] for q in ("q25", "q75"))
            )
        )
        for one in row["targets"]:
            median = one["steps"]["median"]
            line.append(f"{si(median) if median == median else '-'} ({100 * one['share']:.0f} %)")
        lines.append([*line, str(row["diverged"] or "")])
    more = len(rows) - SHOWN
    about = f"{count(len(rows), 'point')}, {count(file.chips, 'chip')} each; medians [quartiles] over the chips"
    return f"{columns(head, lines)}\n{about}" + (f"; {more} points more" if more > 0 else "")
