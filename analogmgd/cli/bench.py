"""`analogmgd bench`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from analogmgd.errors import ConfigError

from .output import print_json

EPILOG = """\b
Examples:
  analogmgd bench --quick
  analogmgd bench --only 49-4-4 --peers jax
  analogmgd bench -o results --json

\b
The peers JAX and PyTorch come with `pip install "analogmgd[bench]"`; what is not installed is skipped.
"""
INTERRUPTED = 130


@click.command(epilog=EPILOG)
@click.option("--quick", is_flag=True, help="Shorter runs, fewer of them: under two minutes in all.")
@click.option("--only", multiple=True, metavar="NAME,..", help="These groups of workloads only.")
@click.option("--peers", metavar="NAME,..", help="jax, torch, numpy (the default is all three), or none.")
@click.option("--threads", type=int, metavar="N", help="Processors to use; by default all this process may use.")
@click.option(
    "-o",
    "--out",
    metavar="FOLDER",
    help="Write versus.json and versus.png there, over what is there (versus.partial.* if something failed).",
)
@click.option("--json", "as_json", is_flag=True, help="The whole result as one JSON object.")
def bench(
    quick: bool, only: tuple[str, ...], peers: str | None, threads: int | None, out: str | None, as_json: bool
) -> int:
    """Measure the speed beside JAX, PyTorch and NumPy doing the same, and how near it is to what the machine can do."""
    from analogmgd.bench.workloads import NAMES, PEERS

    wanted = known("--only", [name for text in only for name in text.split(",")], NAMES)
    sides = PEERS if peers is None else () if peers == "none" else known("--peers", peers.split(","), PEERS)
    from analogmgd.bench.progress import Steps
    from analogmgd.bench.report import evaluate, save, text
    from analogmgd.bench.run import benchmark, free_processors, one_line, parts

    free = free_processors()
    if threads is not None and not 1 <= threads <= len(free):
        raise ConfigError(f"--threads {threads}: must be from 1 to {len(free)}, the processors this process may use")
    folder = Path(out) if out else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # fails now rather than in twenty minutes
    result: dict[str, Any] = {}
    stopped = False
    with Steps(parts(wanted, quick)) as steps:
        # Both as Ctrl-C, also where a shell has them ignored.
        before = {n: signal.signal(n, signal.default_int_handler) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            benchmark(wanted, sides, free[:threads], quick, steps.say, steps.done, result)
        except KeyboardInterrupt:
            stopped = True
        except Exception as error:
            if not result:
                raise  # nothing has been measured that could be lost
            result["errors"].append(one_line(error))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if stopped:
        click.echo("analogmgd: interrupted; what is complete follows", err=True)
    told = 0  # errors that the report has named
    if result and not as_json:  # before the files: it shall not be lost where they cannot be written
        try:
            click.echo(text(result))
            told = len(result["errors"])
        except Exception as error:
            result["errors"].append(f"report: {one_line(error)}")
    written: list[Path] = []
    if folder is not None and result:
        try:
            written = save(result, folder)
        except OSError as error:
            result["errors"].append(f"{folder}: {one_line(error)}")
    if as_json:
        print_json({**result, "goals": evaluate(result), "files": [str(path) for path in written]})
    for path in written if not as_json else ():
        click.echo(f"wrote {path}")
    for line in result.get("errors", [])[told:]:
        click.echo(f"analogmgd: {line}", err=True)
    if stopped:
        return INTERRUPTED
    return 1 if result.get("errors") or not all(check["ok"] for check in result.get("checks", ())) else 0


def known(option: str, names: list[str], allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if they are all there."""
    for name in names:
        if name not in allowed:
            raise ConfigError(f"{option} {name!r}: unknown; known: {', '.join(allowed)}")
    return tuple(names)
