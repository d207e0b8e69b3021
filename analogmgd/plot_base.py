"""What the panels of `analogmgd.plot_panels` share: colours, the spread over chips, the axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from analogmgd.trace import Trace

Array = npt.NDArray[Any]
Where = Literal["best", "upper left", "lower left"]
Panel = Callable[[Axes, Trace], Where | None]  # returns where its legend goes, None if it made its own

# Okabe and Ito's colours: told apart with every kind of colour vision, and in grey by their order here
BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
}
DASHED: dict[str, Any] = {"color": "0.5", "lw": 1, "ls": (0, (4, 3))}
POINTS = 1500  # rows drawn at most: more cannot be seen
FEW = 5  # below this many chips each has a line of its own
SOME = 12  # up to this many, thin lines of single chips lie under the median
BYTES = 256 << 20  # read at most about so much for one panel
PARAMETERS = 10  # parameters of one chip that are drawn
PIECES = 500  # pieces that a long probe is cut into
PROBED = 6  # probed chips that are drawn


def rows_drawn(trace: Trace, row_bytes: int = 8) -> Array:
    """Numbers of the rows to draw: all, or evenly spaced ones, the first and the last among them."""
    most = int(np.clip(BYTES // max(1, row_bytes), 10, POINTS))
    if trace.rows <= most:
        return np.arange(trace.rows)
    return np.unique(np.linspace(0, trace.rows - 1, most).round().astype(np.int64))


def read_rows(trace: Trace, name: str, rows: Array) -> Array:
    """Some rows of a recorded quantity, as float64."""
    if len(rows) == trace.rows:
        return trace.record.read(name, np.s_[:]).astype(np.float64)
    return np.stack([trace.record.read(name, int(row)) for row in rows]).astype(np.float64)


def quantiles(values: Array, levels: tuple[float, ...]) -> Array:
    """Quantiles over the last axis of the finite values; NaN where there are none. (levels, rows)"""
    found = np.full((len(levels), len(values)), np.nan)
    for row, row_values in enumerate(values):
        finite = row_values[np.isfinite(row_values)]
        if len(finite):
            found[:, row] = np.quantile(finite, levels)
    return found


def chip_colour(trace: Trace, chip: int, order: int) -> str:
    """The colour of a chip: the same in every panel where chips are few, else by its order in this one."""
    if len(trace.chips) < FEW:
        order = int(np.flatnonzero(trace.chips == chip)[0])
    return CYCLE[order % len(CYCLE)]


def nothing_finite(ax: Axes, values: Array) -> bool:
    """Say so in the panel if there is nothing to draw."""
    if np.isfinite(values).any():
        return False
    ax.text(0.5, 0.5, "no finite values", ha="center", transform=ax.transAxes, color="0.4")
    ax.set_yticks([])
    return True


def spread(ax: Axes, trace: Trace, steps: Array, values: Array, colour: str) -> None:
    """Median, quartiles and 5 to 95 % over the chips, or single lines where chips are few."""
    step_axis(ax, steps)
    if nothing_finite(ax, values):
        return
    values = np.where(np.isfinite(values), values, np.nan)
    chips = values.shape[1]
    dot = "o" if len(steps) == 1 else None
    if chips == 1:
        ax.plot(steps, values[:, 0], color=colour, marker=dot)
    elif chips < FEW:
        for column, chip in enumerate(trace.chips):
            own = chip_colour(trace, chip, column)
            ax.plot(steps, values[:, column], color=own, marker=dot, label=f"chip {chip}")
    else:
        if chips <= SOME:
            ax.plot(steps, values, color=colour, lw=0.6, alpha=0.45, marker=dot, ms=3)
        low, first, middle, third, high = quantiles(values, (0.05, 0.25, 0.5, 0.75, 0.95))
        if dot:
            for bottom, top, width, label in ((low, high, 2, "5 to 95 %"), (first, third, 9, "quartiles")):
                ax.vlines(steps, bottom, top, color=colour, lw=width, alpha=0.35, label=label)
        else:
            ax.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0, label="5 to 95 %")
            ax.fill_between(steps, first, third, color=colour, alpha=0.35, lw=0, label="quartiles")
        ax.plot(steps, middle, color=colour, marker=dot, label="median of the chips")
    crosses(ax, trace, steps, values)


def crosses(ax: Axes, trace: Trace, steps: Array, values: Array) -> None:
    """A cross at the last finite value of every diverged chip."""
    ends = []
    for chip in trace.diverged:
        column = values[:, np.flatnonzero(trace.chips == chip)[0]]
        finite = np.flatnonzero(np.isfinite(column))
        ends += [(steps[finite[-1]], column[finite[-1]])] if len(finite) else []
    if ends:
        x, y = zip(*ends, strict=True)
        ax.plot(x, y, "x", color="black", ms=5, mew=1.2, label=f"diverged ({len(trace.diverged)})", zorder=5)


def step_axis(ax: Axes, steps: Array) -> None:
    ax.set_xlabel("step")
    ax.xaxis.set_major_formatter(EngFormatter(sep="\u2009"))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if len(steps) > 1:
        ax.set_xlim(steps[0], steps[-1])
    else:
        ax.set_xlim(steps[0] - 1, steps[0] + 1)
        ax.set_xticks([int(steps[0])])


def time_axis(ax: Axes, trace: Trace) -> None:
    """Emulated hardware time along the top, where it rises with the steps."""
    rows = rows_drawn(trace)
    time = trace.record.read("time", np.s_[:])[rows]
    steps = trace.record.read("step", np.s_[:])[rows].astype(np.float64)
    if len(rows) < 2 or not (np.isfinite(time).all() and (np.diff(time) > 0).all()):
        return

    def along(x: Array, from_: Array, to: Array) -> Array:
        """Piecewise linear, with its first and last slope beyond the ends."""
        i = np.clip(np.searchsorted(from_, x) - 1, 0, len(from_) - 2)
        return to[i] + (np.asarray(x) - from_[i]) * (to[i + 1] - to[i]) / (from_[i + 1] - from_[i])

    functions = (lambda x: along(x, steps, time), lambda x: along(x, time, steps))
    top = ax.secondary_xaxis("top", functions=functions)
    top.xaxis.set_major_formatter(EngFormatter(unit="s"))
    top.xaxis.set_major_locator(MaxNLocator(5))
    top.set_xlabel("emulated hardware time", fontsize=8.5, color="0.3")
    top.tick_params(labelsize=8.5)
    top.spines["top"].set_visible(True)


def log_if_wide(ax: Axes, values: Array) -> None:
    """A logarithmic y axis for values over more than a decade; zeros (and 2 % of the least) are cut off."""
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    if not len(positive) or finite.min() < 0:
        return
    low, high = float(np.quantile(positive, 0.02)), float(positive.max())
    if high > 10 * low:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.3, high * 1.3)


def curve(ax: Axes, trace: Trace, name: str, colour: str) -> Array:
    """Learning curve of a quantity (R, chips); returns the values drawn."""
    rows = rows_drawn(trace, 8 * len(trace.chips))
    values = read_rows(trace, name, rows)
    spread(ax, trace, trace.record.read("step", np.s_[:])[rows], values, colour)
    return values


def legend(ax: Axes, where: Where, seen: set[str]) -> None:
    """A legend of what no panel before has explained; `seen` grows by it."""
    handles, labels = ax.get_legend_handles_labels()
    new = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label not in seen]
    if new:
        ax.legend(*zip(*new, strict=True), loc=where, ncols=2 if len(new) > 4 else 1)
        seen.update(labels)
