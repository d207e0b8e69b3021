"""`analogmgd study`: studies that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analogmgd.errors import ConfigError

from .options import places
from .output import columns, duration, print_json
from .sweep import EXIT, followed

if TYPE_CHECKING:
    from analogmgd.sweep import Sweep

EPILOG = """\b
Examples:
  analogmgd study list
  analogmgd study run neuron-spread --quick
  analogmgd study run all -o studies

\b
A study's directory holds its sweeps (.h5, which the same command goes on with after a stop), figure.png,
table.csv, study.md and study.json. --quick makes shorter sweeps, in a directory of their own.
"""


@click.group(epilog=EPILOG)
def study() -> None:
    """Carry out studies: sweeps with a question, a figure, a table and what they show."""


@study.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def listed(as_json: bool) -> None:
    """Name the studies, about how long they take, and what was published.

    Example: analogmgd study list
    """
    from analogmgd.study import Study, names

    found = [Study.load(name) for name in names()]
    rows: list[dict[str, Any]] = []
    for s in found:
        (steps, seconds), (quick_steps, quick_seconds) = s.work(), s.work(quick=True)
        rows.append({
            "name": s.name, "title": s.title, "asks": s.asks, "claim": s.claim, "chip_steps": steps,
            "quick_chip_steps": quick_steps, "about_seconds": seconds, "quick_about_seconds": quick_seconds,
        })  # fmt: skip
    if as_json:
        print_json({"studies": rows})
        return
    head = ("name", "takes about", "--quick", "title, and what was published")
    table = []
    for row in rows:
        took = (duration(round(row[key])) for key in ("about_seconds", "quick_about_seconds"))
        table.append((row["name"], *took, row["title"] + (f": {row['claim']}" if row["claim"] else "")))
    click.echo(columns(head, table))
    whole = (duration(round(sum(row[key] for row in rows))) for key in ("about_seconds", "quick_about_seconds"))
    click.echo("\nall: {}, --quick {}, on two processors".format(*whole))


@study.command("run", epilog="\b\nExample:\n  analogmgd study run tau-theta --quick")
@click.argument("name", metavar="NAME|all")
@click.option("--quick", is_flag=True, help="The short version.")
@click.option("-o", "--out", metavar="DIR", help="Default: studies, or studies-quick, here; a study's own inside.")
@click.option("--results", metavar="DIR", help="What bench/cnn.py wrote, for hardware-time. Default: bench/results.")
@places
@click.option("--quiet", is_flag=True, help="No progress, no text.")
@click.option("--json", "as_json", is_flag=True, help="What came out as one JSON object.")
def run(
    name: str,
    quick: bool,
    out: str | None,
    results: str | None,
    threads: int | None,
    workers: int | None,
    scheduler: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Carry out a study, or all of them, or go on with them."""
    from analogmgd.study import Study, names, run_study
    from analogmgd.sweep_pool import pool_of

    chosen = names() if name == "all" else [Study.load(name).name]
    place = Path(out or ("studies-quick" if quick else "studies"))
    if place.exists() and not place.is_dir():
        raise ConfigError(f"--out {str(place)!r}: is not a directory")

    def carry(title: str, sweep: Sweep, path: str) -> str:
        if not quiet:
            click.echo(title, err=True)
        with pool_of(threads, scheduler, workers) as pool:
            return followed(sweep, path, pool, quiet)

    found: list[dict[str, Any]] = []
    for one in chosen:
        found.append(run_study(one, place / one, quick=quick, run=carry, results=results))
        if found[-1]["status"] == "interrupted":
            break
        if not (quiet or as_json):
            click.echo((place / one / "study.md").read_text(encoding="utf-8"))
            click.echo(f"wrote {place / one}\n")
    if as_json:
        print_json({"studies": found})
    status = "interrupted" if found[-1]["status"] == "interrupted" else "complete"
    failed = [one["name"] for one in found if one["status"] == "failed"]
    for one in failed:
        click.echo(f"analogmgd: error: study {one}: some points failed (analogmgd info {place / one}/..h5)", err=True)
    return EXIT["failed" if failed and status == "complete" else status]
