"""`analogmgd report`: traces, sweeps and studies as one page of HTML that needs no network."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .errors import ConfigError
from .report_page import Facts, Figure, Folded, Heading, Paragraph, Part, Section, Table, page
from .sweep_file import SweepFile
from .sweep_layout import DONE, FAILED, TODO
from .sweep_statistics import LEVEL, RESAMPLES, spread
from .trace import Trace
from .trace_open import one_line

ROWS = 500  # of a table, at most
PER_CENT = "\u00a0%"
QUANTITIES = {"accuracy": (100, PER_CENT), "cost": (1, "")}  # factor and unit of what people read
INTERVAL = f"{100 * LEVEL:g} % interval"
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def report(files: Paths, path: str | os.PathLike[str], *, title: str = "", force: bool = False) -> Path:
    """Write one page about traces and sweeps: configuration, environment, status, curves, tables.

    files : paths of traces and sweeps, also of ones that still run, or directories of studies; one or several
    path : of the page, .html; force : replace what is there
    title : of the page

    Returns the path. Raises ConfigError where a file is none of ours or the page cannot be written.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(), steps=200, chips=4, trace="run.h5")
    >>> am.report("run.h5", "run.html").name
    'run.html'
    """
    chosen = [os.fspath(f) for f in ([files] if isinstance(files, str | os.PathLike) else files)]
    target = Path(path)
    if not chosen:
        raise ConfigError("report: give one file or more")
    check(target, chosen, force)
    sections = [section(file) for file in chosen]
    title = title or (sections[0].title if len(sections) == 1 else f"{len(sections)} results")
    made = datetime.now(UTC).isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC")
    write(target, page(title, f"analogmgd {__version__}, {made}", sections))
    return target


def check(target: Path, files: Sequence[str], force: bool) -> None:
    """ConfigError where the page cannot be written, or would replace what nobody asked to."""
    for file in files:
        if target.exists() and os.path.exists(file) and os.path.samefile(target, file):
            raise ConfigError(f"{str(target)!r} is a file that the report is made from: choose another path")
    if target.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"the report {str(target)!r} must end in .html")
    if target.is_dir():
        raise ConfigError(f"cannot write {str(target)!r}: it is a directory")
    if not target.parent.is_dir():
        raise ConfigError(f"cannot write {str(target)!r}: its directory does not exist")
    if target.exists() and not force:
        raise ConfigError(f"{str(target)!r} exists: choose another path, or replace it with --force")


def write(target: Path, text: str) -> None:
    """Beside its place first: what was there stays until all is written."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        os.replace(part, target)
    except OSError as error:
        raise ConfigError(f"cannot write {str(target)!r}: {one_line(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def section(file: str) -> Section:
    """What there is to say about a file."""
    from .cli.traces import is_sweep, opened

    if os.path.isdir(file):
        from .report_study import of_study

        return of_study(Path(file))
    if is_sweep(file):
        with SweepFile(file) as sweep:
            return of_sweep(sweep)
    with opened(file) as trace:
        return of_trace(trace)


def drawn(draw: Callable[[Path], object]) -> bytes:
    """The PNG that something draws."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        draw(path)
        return path.read_bytes()


# ---------------------------------------------------------------- traces


def of_trace(trace: Trace) -> Section:
    """A trace: outcome, curves, statistics of the last row, what diverged, how it was made."""
    from .cli.resolve import headline
    from .cli.traces import held, planned_steps
    from .cli.train import outcome
    from .plot import plot_trace

    summary, name = trace.summary(), Path(trace.path or "trace").name
    facts = [row for row in outcome(trace, summary, planned_steps(trace)) if row[0] != "trace"]
    parts: list[Part] = [Facts(facts)]
    if trace.rows:
        shown = ", ".join(n for n in trace.record if n not in ("step", "time"))
        values = "; ".join(f"{key} {value}" for key, value in facts if key in ("status", "steps", "accuracy", "cost"))
        parts.append(
            Figure(
                drawn(lambda path: plot_trace(trace, path)),
                f"Curves of {name} against the step: {shown}. {values}.",
                "Medians over the chips, quartiles and 5 to 95 % as bands; single chips where they are few.",
            )
        )
        parts += last_row(trace)
    else:
        parts.append(Paragraph("There are no rows yet, so no curves."))
    if trace.diverged:
        rows = [[str(chip), str(step)] for chip, step in list(trace.diverged.items())[:ROWS]]
        caption = "Chips that diverged" + more(len(trace.diverged))
        parts.append(Table(["chip", "step"], rows, caption))
    parts += [Heading("What the file holds"), Facts([held_row(line) for line in held(trace)])]
    made = {"created": trace.created_utc, "analogmgd": trace.version, "seed": trace.seed, **trace.environment}
    return Section(name, f"trace, {trace.status_text}: {headline(trace)}", [*parts, *how(made, trace.config)])


def held_row(line: str) -> tuple[str, str]:
    """Name and size of a dataset, of a line of `held`."""
    name, _, size = line.partition(" ")
    return name, size.strip()


def last_row(trace: Trace) -> list[Part]:
    """Statistics over the chips of the last recorded row."""
    rows = []
    for name, (factor, unit) in QUANTITIES.items():
        if name not in trace.record:
            continue
        last = np.asarray(trace.record.read(name, -1), np.float64)
        found, best = spread(last * factor), trace.summary()[f"final_{name}"]
        if not best:
            continue
        quartiles, interval = between(found, "q25", "q75", unit), between(found, "low", "high", unit)
        number = f"{found['n']} of {len(last)}"
        rows.append(
            [name, amount(found["median"], unit), interval, quartiles, amount(factor * best["best"], unit), number]
        )
    if not rows:
        return []
    head = ["", "median", f"{INTERVAL} of it", "quartiles", "best", "finite chips"]
    step = f"{int(trace.record.read('step', -1)):,}".replace(",", " ")
    return [Table(head, rows, f"Over the chips at step {step}; the interval is from {RESAMPLES} resamples of them")]


# ---------------------------------------------------------------- sweeps


def of_sweep(sweep: SweepFile) -> Section:
    """A sweep: how much of it is done, figures, a row for each point, what failed, how it was made."""
    from .cli.sweep import table
    from .plot_sweep import plot_sweep

    name, state = Path(sweep.path).name, sweep.state
    done, failed, todo = (int((state == which).sum()) for which in (DONE, FAILED, TODO))
    status = ", ".join(
        [
            f"{done} of {len(state)} points done",
            *[f"{n} {word}" for n, word in ((failed, "failed"), (todo, "to do")) if n],
        ]
    )
    varied = "; ".join(f"{axis.key}: {values(axis.values)}" for axis in sweep.points.axes)
    about = [
        ("status", status),
        (
            "varied",
            varied.replace("; ", "\n")
            + ("\nside by side" if sweep.points.zipped and len(sweep.points.axes) > 1 else ""),
        ),
        ("chips", f"{sweep.chips} at each point"),
        ("targets", ", ".join(map(str, sweep.targets))),
        ("took", took(sweep)),
    ]
    parts: list[Part] = [Facts(about)]
    if done:
        alt = f"Results of {name} against what is varied. {status}. {varied}."
        caption = "Medians over the chips, quartiles as bands; shares with Wilson's intervals."
        narrow = not sweep.targets
        parts.append(Figure(drawn(lambda path: plot_sweep(sweep, path)), alt, caption, narrow))
    else:
        parts.append(Paragraph("No point is done yet, so there is no figure."))
    rows = table(sweep)
    parts.append(points_table(sweep, rows))
    wrong = [[str(row["point"]), settings(row), row["error"]] for row in rows if row["state"] == "failed"]
    if wrong:
        parts.append(Table(["point", "settings", "error"], wrong[:ROWS], "Points that failed" + more(len(wrong))))
    attrs = sweep.file.attrs
    made = {"created": attrs.get("created_utc", ""), "analogmgd": attrs.get("analogmgd_version", "")}
    made |= json.loads(attrs.get("environment", "{}"))
    return Section(name, f"sweep, {status}", [*parts, *how(made, sweep.config, "Configuration of the first point")])


def points_table(sweep: SweepFile, rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each point."""
    keys = [axis.key for axis in sweep.points.axes]
    there = [row for row in rows if row["state"] == "done"]
    shown = [q for q in QUANTITIES if any(row[f"final_{q}"]["n"] for row in there)]
    head = ["point", *keys]
    for name in shown:
        head += [f"{name}, median", INTERVAL, "quartiles"]
    for target in sweep.targets:
        head += [f"steps to {target}, median", INTERVAL, "chips that reach it", INTERVAL]
    head.append("diverged")
    lines = []
    for row in rows[:ROWS]:
        line = [str(row["point"]), *(value(v) for v in row["settings"].values())]
        if row["state"] != "done":
            lines.append([*line, row["state"], *[""] * (len(head) - len(line) - 1)])
            continue
        for name in shown:
            factor, unit = QUANTITIES[name]
            found = {k: v * factor if k != "n" else v for k, v in row[f"final_{name}"].items()}
            line += [
                amount(found["median"], unit),
                between(found, "low", "high", unit),
                between(found, "q25", "q75", unit),
            ]
        for one in row["targets"]:
            share = {k: 100 * one[k] for k in ("share", "low", "high")}
            line += [amount(one["steps"]["median"]), between(one["steps"], "low", "high")]
            line += [amount(share["share"], PER_CENT), between(share, "low", "high", PER_CENT)]
        lines.append([*line, str(row["diverged"] or "")])
    caption = "Over the chips of each point"
    if sweep.targets:
        caption += "; times censored where a chip does not get there (Kaplan and Meier)"
    return Table(head, lines, caption + more(len(rows)))


def settings(row: Mapping[str, Any]) -> str:
    """What a point is, in a line."""
    return ", ".join(f"{key} = {value(v)}" for key, v in row["settings"].items())


def took(sweep: SweepFile) -> str:
    """Time of the points, on the clocks of those who did them."""
    from .cli.output import duration

    seconds = sweep.file["points/wall_seconds"][:]
    return f"{duration(float(np.nansum(seconds)))}, all points together" if np.isfinite(seconds).any() else ""


# ---------------------------------------------------------------- both


def how(made: Mapping[str, Any], config: str, title: str = "Configuration") -> list[Part]:
    """Environment and configuration."""
    rows = [(key.replace("_", " "), value(text)) for key, text in made.items()]
    return [Heading("How it was made"), Facts(rows), Folded(f"{title} (TOML)", config)]


def value(one: Any) -> str:
    """A setting in a few characters."""
    if isinstance(one, bool):
        return "yes" if one else "no"
    return f"{one:g}" if isinstance(one, float) else str(one)


def values(some: Sequence[Any]) -> str:
    """Those of a key: all, or of many the first and the last."""
    if len(some) <= 12:
        return ", ".join(map(value, some))
    return f"{value(some[0])}, {value(some[1])}, ... {value(some[-1])} ({len(some)} values)"


def amount(number: float, unit: str = "") -> str:
    """A number, or a dash where it is not known."""
    if not np.isfinite(number):
        return "–"
    return f"{number:.4g}{unit}" if abs(number) < 10_000 else f"{number:,.0f}{unit}".replace(",", "\u202f")


def between(found: Mapping[str, float], low: str, high: str, unit: str = "") -> str:
    """Two ends; of a time the later one may not be known."""
    if not np.isfinite(found[high]):
        return f"from {amount(found[low], unit)}" if np.isfinite(found[low]) else "–"
    return f"{amount(found[low])} to {amount(found[high], unit)}"


def more(n: int) -> str:
    """That not all are shown."""
    return f"; the first {ROWS} of {n} (`export` writes all)" if n > ROWS else ""
