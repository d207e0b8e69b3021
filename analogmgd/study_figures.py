"""Figures of a study: a panel for each, middles with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from .errors import ConfigError
from .plot_base import CYCLE, STYLE
from .study_curves import Curve, Panel
from .units import labelled

ACROSS = 3
TICKS = 7  # of a logarithmic horizontal axis, at most
MARKS = "os^Dvp"
EXPECTED = ", expected"  # label of a line of theory
WIDE = 10.0  # last over first positive value from which an axis is logarithmic


def draw_study(
    title: str, panels: Sequence[Panel], curves: Sequence[Sequence[Curve]], labels: Sequence[str], path: Path
) -> None:
    """All panels into one picture."""
    count = len(panels)
    wide = 2 if count == 4 else min(ACROSS, count)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * wide, 3.6 * -(-count // wide)), layout="constrained")
        axes = figure.subplots(-(-count // wide), wide, squeeze=False).ravel()
        for ax in axes[count:]:
            ax.set_visible(False)
        for ax, panel, some, label in zip(axes, panels, curves, labels, strict=False):
            draw_panel(ax, panel, some, label)
        figure.suptitle(title, fontsize=11)
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot write the picture {str(path)!r}: {error}") from error


def draw_panel(ax: Axes, panel: Panel, curves: Sequence[Curve], label: str) -> None:
    """Lines with error bars, crosses where nothing is known; words side by side."""
    words = [x for curve in curves for x in curve.x if isinstance(x, str | bool)]
    names = list(dict.fromkeys(words))
    several = bool(panel.lines) or len(curves) > 1
    for k, curve in enumerate(curves):
        x = [float(names.index(v)) if names else float(v) for v in curve.x]
        shift = 0.14 * (k - (len(curves) - 1) / 2) if names else 0.0
        middle = np.array(curve.middle)
        low, high = np.array(curve.low), np.array(curve.high)
        down = np.where(np.isfinite(low), middle - low, 0.0)
        up = np.where(np.isfinite(high), high - middle, 0.0)
        known = np.isfinite(middle)
        colour = CYCLE[k % len(CYCLE)]
        if curve.label.endswith(EXPECTED):
            ax.plot(x, middle, ls="--", lw=1.4, color="0.3", label=curve.label, zorder=1)
            continue
        top = (np.array(x) + shift)[~known]  # where it is not known, a cross at the edge
        if len(top):
            edge = 0.02 if panel.value == "largest" else 0.98  # none of those tried, or more than was looked at
            ax.plot(top, np.full(len(top), edge), "x", ms=5, color=colour, transform=ax.get_xaxis_transform())
        if not known.any():
            continue
        ax.errorbar(
            (np.array(x) + shift)[known], middle[known], yerr=np.abs([down[known], up[known]]),
            fmt=MARKS[k % len(MARKS)] + ("" if names else "-"), ms=4, lw=1.2, capsize=2,
            color=colour, label=curve.label if several else None,
        )  # fmt: skip
    ax.set(title=panel.title, xlabel=panel.xlabel or labelled(panel.x or ""), ylabel=label)
    if names:
        ax.set_xticks(range(len(names)), [str(name) for name in names], rotation=30, ha="right")
    else:
        scale(ax, [v for curve in curves for v in curve.x], "x")
    shown = [v for curve in curves for v in curve.middle if np.isfinite(v)]
    if panel.value in ("time", "seconds", "largest", "until", "wall", "results"):
        scale(ax, shown, "y", log=True)
    if not shown:
        ax.text(0.5, 0.5, "nowhere known", ha="center", color="0.4", transform=ax.transAxes)
        ax.set_yticks([])
    if panel.value == "solved":
        ax.set_ylim(-3, 103)
    if several and shown:
        ax.legend(title=", ".join(panel.line_keys), fontsize=7, title_fontsize=7)


def scale(ax: Axes, values: Sequence[float], axis: str, log: bool = False) -> None:
    """Logarithmic where the values span much."""
    positive = sorted({float(v) for v in values if v > 0})
    if not positive or (positive[-1] < WIDE * positive[0] and not log) or any(v < 0 for v in values):
        return
    of, line = (ax.set_xscale, ax.xaxis) if axis == "x" else (ax.set_yscale, ax.yaxis)
    if any(v == 0 for v in values):
        of("symlog", linthresh=positive[0], linscale=0.4)
    else:
        of("log")
    if axis == "x":  # the values themselves, as many as there is room for
        some = sorted({float(v) for v in values})
        some = some[:: -(-len(some) // TICKS)]
        line.set_ticks(some, [brief(v) for v in some])
        line.set_minor_locator(NullLocator())
    elif positive[-1] < 30 * positive[0]:  # powers of ten alone would be too few
        line.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        line.set_major_formatter(FuncFormatter(lambda v, place: brief(v)))
        line.set_minor_formatter(NullFormatter())


def brief(value: float) -> str:
    """A number as short as it goes on an axis.

    >>> brief(0.0003), brief(4096.0), brief(65536.0), brief(200000.0)
    ('0.0003', '4096', '65536', '200k')
    """
    if value >= 1e5:
        return f"{value / 1e3:.3g}k" if value < 1e6 else f"{value / 1e6:.3g}M"
    return f"{value:.5g}"
