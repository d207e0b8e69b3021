"""`analogmgd repair`."""

from __future__ import annotations

import click

from .output import count, print_json

EPILOG = """\b
Examples:
  analogmgd repair run.h5 -o whole.h5
  analogmgd repair run.h5 -o whole.h5 && analogmgd resume whole.h5

\b
`analogmgd info run.h5 --check` says whether a file is damaged at all. The old file is only read. The new one has
the rows whose checksums are right, and what else is whole; its status is "interrupted". Of a sweep it has the points
whose checksums are right; the others are to do again.
"""


@click.command(epilog=EPILOG)
@click.argument("file", metavar="FILE")
@click.option("-o", "--out", metavar="NEW", required=True, help="The new file.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def repair(file: str, out: str, force: bool, as_json: bool) -> None:
    """Salvage what is whole of a damaged trace or sweep into a new file."""
    from dataclasses import asdict

    from analogmgd.trace_repair import repair as salvage

    found = salvage(file, out, force)
    if as_json:
        print_json(asdict(found))
        return
    for line in found.lost:
        click.echo(f"lost: {line}")
    if found.kind == "sweep":
        kept = f"{found.rows} of {count(found.points, 'point')} done"
        then = f"; `analogmgd sweep`, given again with -o {out}, does the rest" if found.rows < found.points else ""
    else:
        kept = count(found.rows, "row") + (f", {count(found.probe_rows, 'probe')}" if found.probe_rows else "")
        where = f"from step {found.checkpoint}" if found.checkpoint else "from the start"
        then = f"; `analogmgd resume {out}` goes on {where}"
    click.echo(f"wrote {out}: {kept if found.lost else f'nothing was lost: {kept}'}{then}")
