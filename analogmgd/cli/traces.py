"""`analogmgd info`, `plot` and `export`: what a trace holds, as text, pictures and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analogmgd.errors import ConfigError, TraceError

from .output import count, pairs, print_json, si

if TYPE_CHECKING:
    from analogmgd.trace import Columns, Trace

INFO_EPILOG = """\b
Examples:
  analogmgd info run.h5
  analogmgd info run.h5 --json
  analogmgd info run.h5 --check
  analogmgd info run.h5 --config > again.toml; analogmgd train again.toml
"""
PLOT_EPILOG = """\b
Examples:
  analogmgd plot run.h5
  analogmgd plot run.h5 -o figure.pdf --force
"""
EXPORT_EPILOG = """\b
Examples:
  analogmgd export run.h5 --format csv
  analogmgd export run.h5 --format parquet -o tables --force

\b
CSV and Parquet hold tables with one observation a line (step, time, chip, cost, accuracy, ...),
npz the arrays as they are; config.toml and metadata.json (units, meanings) go beside them.
"""
trace_argument = click.argument("file", metavar="FILE")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
force_option = click.option("--force", is_flag=True, help="Replace what is there.")


def is_sweep(path: str) -> bool:
    """Whether a file is a sweep's and no trace."""
    from analogmgd.sweep_check import is_sweep as found

    return found(path)


@contextmanager
def opened(path: str) -> Iterator[Trace]:
    """A trace to read; a file that is none is wrong usage."""
    from analogmgd.trace import Trace

    try:
        trace = Trace(path)
    except TraceError as error:
        raise ConfigError(str(error)) from error
    with trace:
        yield trace


@click.command(epilog=INFO_EPILOG)
@trace_argument
@click.option("--config", "show_config", is_flag=True, help="Print the run's configuration as TOML.")
@click.option("--check", is_flag=True, help="Look for damage: structure, checksums, what must hold; exit 1 if any.")
@json_option
def info(file: str, show_config: bool, check: bool, as_json: bool) -> int | None:
    """Say what a trace holds and what became of the run, also while it runs; or what a sweep holds."""
    if check:
        return say_check(file, as_json)
    if is_sweep(file):
        from analogmgd.sweep_file import SweepFile

        from .sweep import table, text

        with SweepFile(file) as sweep:
            if show_config:
                click.echo(sweep.config, nl=False)
            else:
                rows = table(sweep)
                print_json({"points": rows}) if as_json else click.echo(text(sweep, rows))
        return None
    with opened(file) as trace:
        if as_json:
            print_json(full_info(trace))
        elif show_config:
            click.echo(trace.config, nl=False)
        else:
            click.echo(info_text(trace))
    return None


def say_check(file: str, as_json: bool) -> int:
    """Every problem of a file in a line, or that there is none; the exit code."""
    from dataclasses import asdict

    from analogmgd.trace_check import check_trace

    found = check_trace(file)
    if as_json:
        print_json({"file": file, "whole": found.whole, **asdict(found)})
    elif found.problems:
        click.echo("\n".join(found.problems))
    else:
        rows = count(found.rows, "point" if found.kind == "sweep" else "row") + " done" * (found.kind == "sweep")
        early = "no checksums: an earlier version wrote it; structure and values fit"
        sums = "all checksums right" if found.checksums else early
        click.echo(f"whole: {rows}, {count(found.datasets, 'dataset')}, {sums}")
    return 0 if found.whole else 1


def full_info(trace: Trace) -> dict[str, Any]:
    """Everything about a trace but its arrays."""
    from analogmgd.config import parse_toml

    return {
        **trace.summary(),
        "status_text": trace.status_text,
        "format_version": trace.format_version,
        "environment": trace.environment,
        "datasets": {f"{group}/{name}": about(columns, name) for group, columns in groups(trace) for name in columns},
        "config": parse_toml(trace.config, "the trace's configuration"),
    }


def about(columns: Columns, name: str) -> dict[str, Any]:
    """Shape, axes and unit of a dataset."""
    return {
        "shape": list(columns.shape(name)),
        "dims": list(columns.dims(name)),
        "unit": columns.unit(name),
    }


def info_text(trace: Trace) -> str:
    """A trace for people."""
    from .resolve import headline
    from .train import outcome

    env = trace.environment
    made = [f"analogmgd {trace.version}", *(f"{k} {env[k]}" for k in ("python", "numpy", "numba") if k in env)]
    made += [f"{env['cpu']}, {count(env['threads'], 'thread')}"] if {"cpu", "threads"} <= set(env) else []
    rows = outcome(trace, trace.summary(), planned_steps(trace))
    rows += [("created", trace.created_utc), ("by", ", ".join(made)), ("holds", "\n".join(held(trace)))]
    return f"{headline(trace)}\n{pairs(rows)}"


def held(trace: Trace) -> list[str]:
    """A line for every dataset of a trace."""
    nouns = {"record": "row", "probe": "step", "probe_chip": "chip"}
    found = []
    for group, columns in groups(trace):
        for name in columns:
            shape, dims = columns.shape(name), columns.dims(name)
            size = " x ".join(
                str(n) if dim.startswith("axis") else count(n, nouns.get(dim, dim))
                for n, dim in zip(shape, dims, strict=True)
            )
            unit = columns.unit(name)
            found.append((f"{group}/{name}", size + (f", {unit}" if unit not in ("1", "step") else "")))
    return pairs(found, indent="").split("\n")


def groups(trace: Trace) -> tuple[tuple[str, Columns], ...]:
    """The groups of a trace that hold datasets of any shape."""
    return (("record", trace.record), ("probe", trace.probe), ("chips", trace.chip_arrays))


def planned_steps(trace: Trace) -> int | None:
    """Steps the run was to make, where its configuration says so."""
    from analogmgd.config import parse_toml

    try:
        steps = parse_toml(trace.config).get("run", {}).get("steps")
    except (ConfigError, AttributeError):
        return None
    return steps if isinstance(steps, int) else None


@click.command(epilog=PLOT_EPILOG)
@trace_argument
@click.option("-o", "--out", metavar="PICTURE", help="A .png, .pdf or .svg; by default FILE.png.")
@click.option("--x", metavar="KEY", help="Sweeps: the varied key of the horizontal axis.")
@force_option
@json_option
def plot(file: str, out: str | None, x: str | None, force: bool, as_json: bool) -> None:
    """Draw a trace: learning curves with their spread over the chips, and what else it holds."""
    target = Path(out) if out else Path(file).with_suffix(".png")
    if is_sweep(file):
        from analogmgd.plot_sweep import plot_sweep
        from analogmgd.sweep_file import SweepFile

        refuse_existing(target, force)
        with SweepFile(file) as sweep:
            plot_sweep(sweep, target, x)
        print_json({"picture": str(target)}) if as_json else click.echo(f"wrote {target}")
        return
    if x is not None:
        raise ConfigError("--x is for sweeps")
    with opened(file) as trace:
        refuse_existing(target, force)
        from analogmgd.plot import plot_trace

        plot_trace(trace, target)
    print_json({"picture": str(target)}) if as_json else click.echo(f"wrote {target}")


def refuse_existing(path: Path, force: bool) -> None:
    """ConfigError where a file is there that nobody asked to replace."""
    if path.exists() and not force:
        raise ConfigError(f"{str(path)!r} exists: choose another path, or replace it with --force")


@click.command(epilog=EXPORT_EPILOG)
@trace_argument
@click.option("--format", "fmt", required=True, type=click.Choice(["csv", "npz", "parquet"]), help="Kind of files.")
@click.option("-o", "--out", metavar="DIR", help="Folder for the files; by default FILE without its ending.")
@force_option
@json_option
def export(file: str, fmt: str, out: str | None, force: bool, as_json: bool) -> None:
    """Write a trace as files for other programs."""
    target = Path(out) if out else Path(file).with_suffix("")
    if is_sweep(file):
        from analogmgd.export_sweep import export_sweep
        from analogmgd.sweep_file import SweepFile

        with SweepFile(file) as sweep:
            written = export_sweep(sweep, fmt, target, force)
    else:
        with opened(file) as trace:
            from analogmgd.export import export_trace

            written = export_trace(trace, fmt, target, force)
    sizes = [(path, path.stat().st_size) for path in written]
    if as_json:
        print_json({"format": fmt, "folder": str(target), "files": {str(p): size for p, size in sizes}})
    else:
        click.echo(pairs([(str(path), si(size, "B")) for path, size in sizes], indent=""))
