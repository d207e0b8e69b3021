"""`analogmgd resume`."""

from __future__ import annotations

from typing import Any

import click

from .options import toml_value
from .output import count
from .train import concluded

EPILOG = """\b
Examples:
  analogmgd resume run.h5                   up to the steps it was meant to have
  analogmgd resume run.h5 --steps 1e6       a complete one, further
  analogmgd resume own.h5 --data mydata.npz

\b
The outcome has the bits of a run that never stopped. The file is replaced by one with the rows up to the last
checkpoint (one every few seconds) once that one works; what was recorded after it is done again.
"""


def titled(path: str, steps: Any) -> str:
    """What is gone on with."""
    from analogmgd.config import Config
    from analogmgd.trace import Trace

    from .resolve import describe

    with Trace(path) as trace:
        config = Config.from_toml(trace.config)
        done = trace.checkpoint().step
    wanted = steps if isinstance(steps, int | float) else config.run.steps  # anything else is refused soon
    size = f"{count(len(config.run.chip_ids), 'chip')}, from step {done} to {wanted:.0f}"
    return f"{describe(config)}\n{size} -> {path}"


@click.command(epilog=EPILOG)
@click.argument("path", metavar="FILE.h5")
@click.option("--steps", metavar="N", help="In all; by default what the run was meant to have.")
@click.option("--data", metavar="NAME|FILE", help="The data, where the trace does not say where they are.")
@click.option("--data-dir", metavar="DIR", help="Folder of fashion_mnist's or cifar10's files.")
@click.option("--threads", type=int, metavar="N", help="Default: ANALOGMGD_THREADS, or all processors.")
@click.option("--force", is_flag=True, help="The process on another host that wrote the file is gone.")
@click.option("--quiet", is_flag=True, help="No progress, no summary: only the trace's path.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
def resume(
    path: str,
    steps: str | None,
    data: str | None,
    data_dir: str | None,
    threads: int | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Go on with a run from its trace, as if it had never stopped."""
    from analogmgd import resume as go_on
    from analogmgd.config import Config

    wanted = None if steps is None else toml_value(steps)
    bar = None
    if not quiet:
        from analogmgd.progress import Bar

        bar = Bar(title=titled(path, wanted))
        bar.prepare()
    try:
        run = go_on(
            path, steps=wanted, data=data, data_dir=data_dir, threads=threads, progress=bar or False, force=force
        )
    finally:
        if bar:
            bar.stop()
    config = Config.from_toml(run.config)
    return concluded(run, config, path, path, quiet, as_json, bar is not None and bar.compiled)
