"""Pictures of a trace: learning curves with their spread over the chips, and what else the file holds."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analogmgd.errors import ConfigError, TraceError
from analogmgd.trace import Trace
from analogmgd.trace_open import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")
PANEL_INCHES = (5.6, 3.5)
HEADER_INCHES = 0.75


def plot_trace(trace: Trace | str | os.PathLike[str], path: str | os.PathLike[str]) -> Figure:
    """Draw everything a trace holds into one picture.

    Cost and accuracy: median over the chips, quartiles (dark band) and 5 to 95 % (light band), single chips
    where they are few; the x axis is the step, with emulated hardware time above. Beside them, where
    recorded: the final accuracy of all chips, the angle to the true gradient, the size of the gradient
    estimate, the parameters of one chip, and the per-step probes. Values that are not finite are left out;
    a cross marks where a diverged chip ends.

    Args:
        trace: a `Trace` or the path of one.
        path: picture to write; .png, .pdf or .svg. Its directory must exist.

    Returns:
        The matplotlib figure, for changes of your own.

    Raises:
        ConfigError: the ending is unknown, or the picture cannot be written.
        TraceError: the trace cannot be read, or holds nothing yet.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(), steps=200, chips=4)
    >>> figure = plot_trace(run, "parity.png")
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise ConfigError(f"the picture {str(path)!r} must end in one of {', '.join(FORMATS)}")
    if not isinstance(trace, Trace):
        with Trace(trace) as opened:
            return plot_trace(opened, path)
    import matplotlib  # here: it takes half a second, and only plots need it

    from analogmgd.plot_base import STYLE

    with matplotlib.rc_context(STYLE):
        figure = draw(trace)
        try:
            figure.savefig(target)
        except OSError as error:
            raise ConfigError(f"cannot write the picture {str(path)!r}: {one_line(error)}") from error
    return figure


def draw(trace: Trace) -> Figure:
    """The figure of `plot_trace`, in the current matplotlib style."""
    from matplotlib.figure import Figure

    from analogmgd.plot_base import legend
    from analogmgd.plot_panels import panels

    trace.confirm()
    chosen = panels(trace)
    if not chosen:
        raise TraceError(f"the trace {trace.path or 'in memory'} holds no rows yet: there is nothing to draw")
    columns = min(2, len(chosen))
    rows = -(-len(chosen) // columns)
    width, height = PANEL_INCHES[0] * max(columns, 1.3), PANEL_INCHES[1] * rows
    figure = Figure(figsize=(width, height + HEADER_INCHES), layout="constrained")
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[HEADER_INCHES, *[PANEL_INCHES[1]] * rows])
    header = figure.add_subplot(grid[0, :])
    header.set_axis_off()
    title, line = headline(trace)
    header.text(0, 0.95, title, fontsize=14, fontweight="bold", va="top", transform=header.transAxes)
    header.text(0, 0.30, line, fontsize=9.5, color="0.3", va="top", transform=header.transAxes)
    explained: set[str] = set()
    for number, panel in enumerate(chosen):
        row, column = 1 + number // columns, number % columns
        alone = number == len(chosen) - 1 and column == 0
        ax = figure.add_subplot(grid[row, :] if alone else grid[row, column])
        where = panel(ax, trace)
        if where:
            legend(ax, where, explained)
    return figure


def headline(trace: Trace) -> tuple[str, str]:
    """Title and second line: data set, network, rule, device; chips, steps, outcome, status."""
    try:
        tables: dict[str, Any] = tomllib.loads(trace.config)
    except (tomllib.TOMLDecodeError, RecursionError):
        tables = {}

    def get(table: str, key: str) -> Any:
        found = tables.get(table)
        return found.get(key) if isinstance(found, dict) else None

    sizes, rule = get("network", "sizes"), get("rule", "type")
    network = "-".join(str(n) for n in sizes) if isinstance(sizes, list) else f"{trace.n_params} parameters"
    how = "backpropagation" if rule == "backprop" else f"{get('rule', 'perturbation') or ''} MGD".strip()
    data = Path(str(get("data", "name") or "trace")).stem
    device = get("device", "name")
    title = [data, network, how if rule or get("rule", "perturbation") else None]
    title += [str(device)] if device not in (None, "ideal") else []

    summary = trace.summary()
    count = summary["chips"]
    line = [f"{count} chip{'s' * (count != 1)}", f"{summary['steps']:,} steps".replace(",", "\u2009")]
    if summary["emulated_seconds"]:
        line.append(f"{eng(summary['emulated_seconds'])}s of hardware time")
    if summary["final_accuracy"]:
        middle = summary["final_accuracy"]["median"]
        low, high = summary["final_accuracy"]["quartiles"]
        spread = f" ({100 * low:.1f} to {100 * high:.1f})" if count > 1 else ""
        line.append(f"final accuracy {100 * middle:.1f}{spread} %")
    elif summary["final_cost"]:
        line.append(f"final cost {summary['final_cost']['median']:.3g}")
    for word in ("collapsed", "diverged"):
        number = summary[word] if word == "collapsed" else len(summary[word])
        if number:
            line.append(f"{number} chip{'s' * (number != 1)} {word}")
    line.append(f"status: {trace.status_text}")
    return "  ·  ".join(part for part in title if part), "   |   ".join(line)


def eng(value: float) -> str:
    """A number with an SI prefix, to be followed by its unit.

    >>> eng(0.00123), eng(45000.0)
    ('1.23 m', '45 k')
    """
    power = int(np.clip(np.floor(np.log10(abs(value)) / 3), -5, 4)) if value else 0
    return f"{value / 1000.0**power:.3g} {'fpnµm kMGT'[power + 5].strip()}"
