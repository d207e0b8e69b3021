"""The panels of `analogmgd.plot.plot_trace`. Each draws one thing into one matplotlib axes."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from analogmgd.plot_base import (
    BLUE,
    DASHED,
    FEW,
    GREEN,
    ORANGE,
    PARAMETERS,
    PIECES,
    PINK,
    PROBED,
    RED,
    Array,
    Panel,
    Where,
    chip_colour,
    curve,
    log_if_wide,
    nothing_finite,
    rows_drawn,
    spread,
    step_axis,
    time_axis,
)  # fmt: skip
from analogmgd.trace import Trace


def panels(trace: Trace) -> list[Panel]:
    """What can be drawn of a trace, in order; empty if it holds nothing."""
    found: list[Panel] = []
    has = {name for name in trace.record if trace.rows}
    found += [cost] if "cost" in has else []
    found += [accuracy] if "accuracy" in has else []
    if len(trace.chips) >= FEW:
        found += [partial(outcome, name=name) for name in ("accuracy", "cost") if name in has][:1]
    for name, panel in (("angle", angle), ("gradient", gradient), ("cost_ac", cost_ac), ("theta", theta)):
        found += [panel] if name in has else []
    if trace.probe_rows:
        found += [partial(probe, name="cost"), partial(probe, name="cost_ac")]
    return found


def cost(ax: Axes, trace: Trace) -> Where:
    values = curve(ax, trace, "cost", BLUE)
    log_if_wide(ax, values)
    time_axis(ax, trace)
    ax.set_title("Cost")
    ax.set_ylabel("mean cost (1)")
    return "best"


def accuracy(ax: Axes, trace: Trace) -> Where:
    values = curve(ax, trace, "accuracy", GREEN)
    finite = values[np.isfinite(values)]
    time_axis(ax, trace)
    ax.set_title("Accuracy")
    ax.set_ylabel("classified right")
    if len(finite):
        low = float(np.quantile(finite, 0.02))
        if trace.chance is not None:
            ax.axhline(trace.chance, label="chance", **DASHED)
            low = min(low, trace.chance)
        ax.set_ylim(max(-0.02, low - 0.05), 1.02)
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="\u2009%"))
    return "best"


def outcome(ax: Axes, trace: Trace, name: str) -> Where:
    """How the chips ended: a histogram over the chips."""
    last = trace.record.read(name, -1).astype(np.float64)
    finite = last[np.isfinite(last)]
    ax.set_title(f"Final {name} of the {len(last)} chips")
    ax.set_ylabel("chips")
    ax.set_xlabel({"accuracy": "classified right", "cost": "mean cost (1)"}[name])
    ax.grid(axis="x", visible=False)
    if nothing_finite(ax, finite):
        ax.set_xticks([])
        return "best"
    if name == "accuracy":  # accuracies are multiples of 1/n: bars lie around them, 100 % in the last
        low = max(0.0, np.floor(20 * finite.min()) / 20 - 0.05)
        width = next(w for w in (0.0025, 0.005, 0.0125, 0.025) if 41 * w > 1 - low)
        bins = np.arange(low - width / 2, 1 + width, width)
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol="\u2009%"))
        ax.xaxis.set_major_locator(MaxNLocator(6))
    else:
        pad = 0.05 * (np.ptp(finite) or abs(finite[0]) or 1.0)
        bins = np.linspace(finite.min() - pad, finite.max() + pad, 41)
        if finite.min() > 0 and finite.max() > 10 * finite.min():
            bins = np.geomspace(finite.min() * 0.95, finite.max() * 1.05, 41)
            ax.set_xscale("log")
    ax.hist(finite, bins=list(bins), color=GREEN if name == "accuracy" else BLUE, alpha=0.75)
    ax.set_xlim(bins[0], bins[-1])
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.axvline(float(np.median(finite)), color="black", lw=1.2, label="median")
    if name == "accuracy" and trace.chance is not None and trace.chance > bins[0]:
        ax.axvline(trace.chance, label="chance", **DASHED)
    if len(finite) < len(last):
        ax.plot([], [], " ", label=f"not drawn: {len(last) - len(finite)} chips, not finite")
    return "best"


def angle(ax: Axes, trace: Trace) -> Where:
    values = curve(ax, trace, "angle", RED)
    ax.set_title("Angle of the estimate to the true gradient")
    ax.set_ylabel("angle (degrees)")
    if np.isfinite(values).any():
        ax.axhline(90, **DASHED)
        note = "90°: tells nothing"
        ax.annotate(note, (1, 90), (-2, 3), ax.get_yaxis_transform(), "offset points", ha="right", fontsize=8,
                    bbox={"color": "white", "alpha": 0.7, "pad": 0.5})  # fmt: skip
        ax.set_ylim(0, float(np.clip(ax.get_ylim()[1], 105, 180)))
        ax.yaxis.set_major_locator(MultipleLocator(30))
    return "lower left"


def gradient(ax: Axes, trace: Trace) -> Where:
    shape = trace.record.shape("gradient")
    rows = rows_drawn(trace, 8 * shape[1] * shape[2])
    norms = np.empty((len(rows), shape[1]))
    for i, row in enumerate(rows):
        with np.errstate(over="ignore", invalid="ignore"):
            one = trace.record.read("gradient", int(row)).astype(np.float64)
            norms[i] = np.sqrt(np.square(one).sum(axis=1))
    spread(ax, trace, trace.record.read("step", np.s_[:])[rows], norms, PINK)
    log_if_wide(ax, norms)
    ax.set_title("Size of the gradient estimate")
    ax.set_ylabel("|G| (1)")
    return "best"


def cost_ac(ax: Axes, trace: Trace) -> Where:
    curve(ax, trace, "cost_ac", ORANGE)
    ax.set_title("Modulated cost at the recorded steps")
    ax.set_ylabel("C − C₀ (1)")
    return "best"


def theta(ax: Axes, trace: Trace) -> None:
    """Some parameters of the chip whose final cost is the median one."""
    column = 0
    if "cost" in trace.record:
        last = trace.record.read("cost", -1)
        order = np.argsort(np.where(np.isfinite(last), last, np.inf))
        column = int(order[max(0, np.isfinite(last).sum() - 1) // 2])
    count = min(PARAMETERS, trace.n_params)
    numbers = np.unique(np.linspace(0, trace.n_params - 1, count).round().astype(int))
    rows = rows_drawn(trace, 8 * trace.n_params)
    index = slice(0, trace.rows) if len(rows) == trace.rows else rows
    values = trace.record.read("theta", (index, column, slice(None)))[:, numbers].astype(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    steps = trace.record.read("step", np.s_[:])[rows]
    step_axis(ax, steps)
    which = "Parameters" if count == trace.n_params else f"{count} of {trace.n_params} parameters"
    ax.set_title(f"{which} of chip {trace.chips[column]}")
    ax.set_ylabel("theta (1)")
    if nothing_finite(ax, values):
        return
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(numbers)))
    for number, colour, line in zip(numbers, colours, values.T, strict=True):
        ax.plot(steps, line, color=colour, lw=1.3, marker="o" if len(rows) == 1 else None, label=f"{number}")
    place: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "handlelength": 1.2}
    ax.legend(title="number", title_fontsize=8.5, **place)


def envelope(trace: Trace, name: str) -> tuple[Array, Array]:
    """A probe in consecutive pieces: steps (pieces,), and mean, rms, min, max (4, pieces, chips)."""
    count = trace.probe_rows if trace.probe_rows <= 2 * PIECES else min(PIECES, trace.probe_rows // 20)
    edges = np.linspace(0, trace.probe_rows, count + 1).astype(np.int64)
    found = []
    for first, last in itertools.pairwise(edges):
        block = trace.probe.read(name, np.s_[first:last, :PROBED]).astype(np.float64)
        gone = ~np.isfinite(block).all(axis=0)
        block[:, gone] = 0.0
        rms = np.sqrt(np.square(block).mean(axis=0))
        row = np.stack([block.mean(axis=0), rms, block.min(axis=0), block.max(axis=0)])
        row[:, gone] = np.nan
        found.append(row)
    steps = np.array([trace.probe.read("step", int(first)) for first in edges[:-1]])
    return steps, np.stack(found, axis=1)


def probe(ax: Axes, trace: Trace, name: str) -> Where:
    """A per-step signal: every value, or for long ones the mean and the range of pieces.

    The modulated cost of several chips would be a block of colour: of those, the root mean square.
    """
    steps, (mean, rms, low, high) = envelope(trace, name)
    chips = trace.probe["chip"]
    dense = len(steps) < trace.probe_rows
    as_rms = dense and name == "cost_ac" and len(chips) > 1
    notes = []
    if dense:
        notes.append("root mean square" if as_rms else "line: mean, band: range")
        notes[0] += f" over {trace.probe_rows / len(steps):.3g} steps"
    if len(chips) > PROBED:
        notes.append(f"{len(chips) - PROBED} more chips not drawn")
    step_axis(ax, steps)
    ax.set_xlabel("\n".join(["step", "; ".join(notes)]) if notes else "step")
    title = {"cost": "Probe: perturbed cost", "cost_ac": "Probe: modulated cost"}[name]
    ax.set_title(title if len(chips) > 1 else f"{title}, chip {chips[0]}")
    signal = {"cost": "C", "cost_ac": "C − C₀"}[name]
    ax.set_ylabel(f"rms of {signal} (1)" if as_rms else f"{signal} (1)")
    if nothing_finite(ax, mean):
        return "best"
    for column in range(mean.shape[1]):
        colour = chip_colour(trace, chips[column], column)
        if dense and not as_rms:
            ax.fill_between(steps, low[:, column], high[:, column], color=colour, alpha=0.25, lw=0)
        line = rms if as_rms else mean
        label = f"chip {chips[column]}" if len(chips) > 1 else None
        dot = "o" if len(steps) == 1 else None
        ax.plot(steps, line[:, column], color=colour, lw=1.0, marker=dot, label=label)
    return "best"
