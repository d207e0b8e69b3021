"""`analogmgd train`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analogmgd.errors import ConfigError

from .options import SettingsCommand, overrides
from .output import count, duration, pairs, print_json, si

if TYPE_CHECKING:
    from analogmgd.config import Config
    from analogmgd.trace import Trace

EXIT = {"complete": 0, "diverged": 1, "interrupted": 130}
NAMED = 5  # diverged chips that the summary names
EPILOG = """\b
Examples:
  analogmgd train digits
  analogmgd train nist7x7 --chips 256 --eta 0.05 --sigma-c 0.01 --out noisy.h5
  analogmgd train parity --bits 3 --network 3-6-1 --rule backprop --json
  analogmgd train mydata.npz --network 12-40-3 --set rule.momentum=0.5
  analogmgd train digits --config > run.toml; analogmgd train run.toml --steps 1e6

\b
A .npz or .h5 file holds arrays x_train, y_train and, optionally, x_test, y_test.
What is not said comes from the TOML file, and else from a preset for the data set;
--config shows the outcome. Ctrl-C ends the run and keeps the trace.
"""


@click.command(cls=SettingsCommand, epilog=EPILOG)
@click.argument("source", metavar="DATASET|FILE")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any key, such as rule.eta=0.5.")
@click.option("--record", multiple=True, metavar="WORD,..", help="cost, accuracy, theta, gradient, cost_ac, angle")
@click.option("-o", "--out", metavar="FILE.h5", help="Trace to write; by default DATASET-RULE-seedN.h5, here.")
@click.option("--force", is_flag=True, help="Replace the trace if it is there.")
@click.option("--no-trace", is_flag=True, help="Keep nothing.")
@click.option("--threads", type=int, metavar="N", help="Default: ANALOGMGD_THREADS, or all processors.")
@click.option("--config", "show_config", is_flag=True, help="Print the configuration as TOML, do not run.")
@click.option("--quiet", is_flag=True, help="No progress, no summary: only the trace's path.")
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
@click.pass_context
def train(
    ctx: click.Context,
    source: str,
    assignments: tuple[str, ...],
    record: tuple[str, ...],
    out: str | None,
    force: bool,
    no_trace: bool,
    threads: int | None,
    show_config: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> int:
    """Train an ensemble of emulated chips, each on its own, and keep a trace.

    DATASET is a name (see `analogmgd datasets`) or the path of a .npz or .h5 file; FILE.toml a
    configuration, whole or in part.
    """
    if no_trace and (out or force):
        raise click.UsageError("--no-trace goes without --out and --force", ctx)
    given = overrides(settings, assignments, record)
    from .resolve import default_trace, resolve

    config, data = resolve(source, given)
    path = None if no_trace else check_out(out, source, config, force) or default_trace(config)
    from analogmgd.train import run_config, settle

    config = settle(config, data)
    if show_config:
        text = config.to_toml()
        print_json(config.to_tables()) if as_json else click.echo(text, nl=False)
        return 0
    bar = None
    if not quiet:
        from analogmgd.progress import Bar

        from .resolve import describe

        size = f"{count(len(config.run.chip_ids), 'chip')} x {count(config.run.steps, 'step')}"
        bar = Bar(title=f"{describe(config)}\n{size} -> {path or 'no trace'}")
        bar.prepare()
    try:
        run = run_config(config, data, trace=path, force=force, threads=threads, progress=bar)
    finally:
        if bar:
            bar.stop()
    return concluded(run, config, source, path, quiet, as_json, bar is not None and bar.compiled)


def concluded(
    run: Trace, config: Config, source: str, path: str | None, quiet: bool, as_json: bool, compiled: bool
) -> int:
    """What is said of a run that has ended; the exit code."""
    with run:
        if run.status != "complete":
            click.echo(f"analogmgd: {trouble(run, path)}", err=True)
        report(run, config, source, path, quiet, as_json, compiled)
        return EXIT.get(run.status, 1)


def check_out(out: str | None, source: str, config: Config, force: bool) -> str | None:
    """Refuse, before anything is compiled, a trace that cannot be written or would replace the input."""
    if out is None:
        return None
    from analogmgd.trace_place import check_target

    for name in (source, str(config.data["name"])):
        if os.path.exists(name) and os.path.exists(out) and os.path.samefile(name, out):
            raise ConfigError(f"--out {out!r} would replace the file the run is made from")
    check_target(out, force)
    return out


def report(
    run: Trace, config: Config, source: str, path: str | None, quiet: bool, as_json: bool, compiled: bool
) -> None:
    """What is printed at the end."""
    summary = run.summary()
    if as_json:
        file = source if Path(source).suffix.lower() == ".toml" else None
        print_json(
            {"status": run.status, "trace": path, "config_file": file, "config": config.to_tables(),
             "summary": summary}
        )  # fmt: skip
    elif quiet:
        if path:
            click.echo(path)
    else:
        click.echo(pairs(outcome(run, summary, config.run.steps, compiled)))
        if path:
            click.echo(f"\nNext: analogmgd plot {quoted(path)}")


def trouble(run: Trace, path: str | None) -> str:
    """Why a run is not complete, in a line."""
    kept = f"; {path} keeps what was recorded" if path else ""
    if run.status == "diverged":
        return f"error: the parameters of {diverged_text(run.diverged)} stopped being finite{kept}"
    return f"interrupted at step {run.extra.get('step', 0)}{kept}"


def quoted(path: str) -> str:
    """A path as the shell takes it."""
    import shlex

    return shlex.quote(path)


def spread(values: dict[str, Any] | None, scale: float, unit: str, digits: str) -> str:
    """Median and quartiles over the chips."""
    if values is None:
        return ""
    low, high = (format(scale * q, digits) for q in values["quartiles"])
    middle = format(scale * values["median"], digits)
    return f"{middle}{unit}" + (f"  [{low}, {high}]" if values["finite"] > 1 else "")


def diverged_text(chips: Mapping[Any, int]) -> str:
    """Which chips diverged and at which step."""
    if not chips:
        return ""
    named = [f"chip {chip} at step {step}" for chip, step in list(chips.items())[:NAMED]]
    more = f" and {len(chips) - NAMED} more" if len(chips) > NAMED else ""
    return f"{count(len(chips), 'chip')} ({', '.join(named)}{more})"


def outcome(run: Trace, summary: dict[str, Any], planned: int | None, compiled: bool = False) -> list[tuple[str, str]]:
    """The readable summary of a run, as names and values."""
    steps, chips = int(run.extra.get("step", summary["steps"])), summary["chips"]
    of = f" of {planned:,}".replace(",", " ") if planned and planned != steps else ""
    accuracy, cost = summary["final_accuracy"], summary["final_cost"]
    seconds, wall, rate = summary["emulated_seconds"], summary["wall_seconds"], summary["chip_steps_per_s"]
    note = "   median [quartiles] over the chips" if (accuracy or cost or {}).get("finite", 1) > 1 else ""
    return [
        ("status", run.status_text),
        ("chips", f"{chips} (seed {summary['seed']})"),
        ("steps", f"{steps:,}".replace(",", " ") + of),
        ("accuracy", spread(accuracy, 100, " %", ".1f") + (note if accuracy else "")),
        ("cost", spread(cost, 1, "", ".3g") + (note if cost and not accuracy else "")),
        ("solved", solved(run)),
        ("collapsed", f"{summary['collapsed']} (learnt, then fell to chance)" if summary["collapsed"] else ""),
        ("diverged", diverged_text(summary["diverged"])),
        ("writes", written(summary["spent"])),
        ("saturated", saturated(summary["spent"])),
        ("wires", solved_wires(summary["spent"])),
        ("emulated", emulated(seconds)),
        ("took", took(wall, rate, compiled)),
        ("trace", trace_text(summary["path"])),
    ]


def written(spent: dict[str, Any]) -> str:
    """Pulses, and what they took."""
    parts = []
    if "pulses_per_device" in spent:
        parts.append(f"{si(spent['pulses_per_device'])} pulses a device on average")
    if "joules_per_chip" in spent:
        parts.append(f"{si(spent['joules_per_chip'], 'J')} a chip with the reads")
    if "pulse_seconds_at_once" in spent:
        once, turn = (si(spent[f"pulse_seconds_{how}"], "s") for how in ("at_once", "in_turn"))
        parts.append(f"{once} of pulses, all devices at once, {turn} one after another")
    return ", ".join(parts)


def saturated(spent: dict[str, Any]) -> str:
    """Conversions that were cut, where any were."""
    cut = {name: n for name, n in spent.get("saturated", {}).items() if n}
    return ", ".join(f"{si(n)} conversions of {name}" for name, n in cut.items()) + (" were cut" if cut else "")


def solved_wires(spent: dict[str, Any]) -> str:
    """Exact solves of the arrays, and what they found."""
    if "wire_solves_per_chip" not in spent:
        return ""
    error = f", error of the currents before one {100 * spent['largest_wire_error']:.2g} % at most"
    return f"{si(spent['wire_solves_per_chip'])} exact solves a chip{error}"


def solved(run: Trace) -> str:
    """How many chips classify the whole test set right at the end, where any does."""
    if "accuracy" not in run.record or not run.rows:
        return ""
    perfect = int((run.record.read("accuracy", -1) >= 1).sum())
    return f"{perfect} of {count(len(run.chips), 'chip')} (every test sample right)" if perfect else ""


def took(wall: float | None, rate: float | None, compiled: bool) -> str:
    """Time and speed on this computer."""
    if not wall or not rate:
        return ""
    return f"{duration(wall)}, {si(rate, ' chip-steps/s')}" + (" (with compiling)" if compiled else "")


def emulated(seconds: float) -> str:
    """Emulated time, with an SI prefix."""
    return f"{si(seconds, 's')} of hardware time" + (f" ({duration(seconds)})" if seconds >= 120 else "")


def trace_text(path: str | None) -> str:
    """Where the trace is and how large."""
    return f"{path} ({si(os.path.getsize(path), 'B')})" if path else ""
