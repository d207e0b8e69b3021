"""`analogmgd report`."""

from __future__ import annotations

import os

import click

from .output import print_json, si
from .traces import force_option, json_option

EPILOG = """\b
Examples:
  analogmgd report run.h5
  analogmgd report run.h5 sweep.h5 -o results.html --title "Two ways to learn"
  analogmgd report studies/tau-theta -o tau-theta.html
"""


@click.command(epilog=EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("-o", "--out", metavar="PAGE.html", default="report.html", show_default=True, help="Page to write.")
@click.option("--title", default="", metavar="TEXT", help="Of the page.")
@force_option
@json_option
def report(files: tuple[str, ...], out: str, title: str, force: bool, as_json: bool) -> None:
    """Write traces, sweeps and studies (their directories) as one page of HTML.

    Configuration, environment, curves and tables. The page needs no network and no other file.
    """
    from analogmgd.report import report as write

    path = write(files, out, title=title, force=force)
    size = os.path.getsize(path)
    print_json({"page": str(path), "bytes": size}) if as_json else click.echo(f"wrote {path} ({si(size, 'B')})")
