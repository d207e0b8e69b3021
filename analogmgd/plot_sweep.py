"""Figures of a sweep: medians over the chips with quartile bands against what is varied, or maps of two keys."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .errors import ConfigError
from .plot_base import CYCLE, STYLE
from .study_values import final
from .sweep_file import SweepFile
from .sweep_layout import DONE
from .sweep_statistics import share, spread, time_to_target
from .units import labelled

Array = npt.NDArray[Any]
LINES = 6  # of a second key; more, and it is drawn as a map
MARGIN = 0.04  # of the horizontal axis
WIDE = 30.0  # last over first positive value from which an axis is logarithmic


def plot_sweep(sweep: SweepFile, path: str | os.PathLike[str], x: str | None = None) -> Path:
    """Draw what is done of a sweep.

    x : key of the horizontal axis, by default the varied number with the most values. One more key makes lines, or a
        map where it has many values; what is varied besides is taken together.

    Raises ConfigError where x is not varied or the picture cannot be written.

    >>> import analogmgd as am
    >>> file = am.sweep("parity", {"rule.eta": [0.1, 0.5]}, "drawn.h5", settings={"run.steps": 500, "run.chips": 3})
    >>> plot_sweep(file, "drawn.png").name
    'drawn.png'
    """
    keys = [axis.key for axis in sweep.points.axes if len(set(map(str, axis.values))) > 1] or [sweep.points.axes[0].key]
    if x is not None and x not in keys:
        raise ConfigError(f"{x} is not varied; varied are {', '.join(keys)}")
    numeric = [k for k in keys if sweep.column(k).dtype.kind in "fi"]
    x = x or max(numeric or keys, key=lambda k: len(np.unique(sweep.column(k))))
    rest = [k for k in keys if k != x and not follows(sweep, k, x)]
    lines = rest[0] if rest else None
    more = [k for k in rest[1:] if not follows(sweep, k, x, rest[0])]
    what = [q for q in ("accuracy", "cost") if np.isfinite(sweep.values(f"final_{q}")).any()][:1] or ["accuracy"]
    panels: list[tuple[str, str, int]] = [("final", what[0], -1)]
    panels += [("time", str(t), k) for k, t in enumerate(sweep.targets)]
    panels += [("share", str(t), k) for k, t in enumerate(sweep.targets)]
    mapped = lines is not None and len(np.unique(sweep.column(lines))) > LINES
    wide = min(3, len(panels))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * wide, 3.4 * -(-len(panels) // wide)), layout="constrained")
        axes = figure.subplots(-(-len(panels) // wide), wide, squeeze=False).ravel()
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        for ax, panel in zip(axes, panels, strict=False):
            (draw_map if mapped else draw_lines)(ax, sweep, panel, x, lines)
        done = int((sweep.state == DONE).sum())
        about = f"{done} of {len(sweep.points)} points, {sweep.chips} chips each"
        figure.suptitle(about + (f"; other varied keys together: {', '.join(more)}" if more else ""), fontsize=9)
        try:
            figure.savefig(path)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot write the picture {os.fspath(path)!r}: {error}") from error
    return Path(path)


def follows(sweep: SweepFile, key: str, *others: str) -> bool:
    """Whether a key has one value wherever these others have theirs."""
    columns = [np.unique(sweep.column(k), return_inverse=True)[1].ravel() for k in (*others, key)]
    there = np.stack(columns, axis=1)
    return len(np.unique(there, axis=0)) == len(np.unique(there[:, :-1], axis=0))


def draw_lines(ax: Axes, sweep: SweepFile, panel: tuple[str, str, int], x: str, lines: str | None) -> None:
    """Medians with quartile bands; shares with Wilson's intervals."""
    across, ticks = places(sweep.column(x))
    of_line, done = sweep.column(lines) if lines else np.zeros(len(across)), sweep.state == DONE
    for k, value in enumerate(np.unique(of_line)):
        chosen = (of_line == value) & done
        at, low, middle, high = [], [], [], []
        for place in np.unique(across[chosen]):
            found = statistic(sweep, panel, np.flatnonzero(chosen & (across == place)))
            at.append(place)
            low.append(found[0])
            middle.append(found[1])
            high.append(found[2])
        label = f"{lines} = {value:g}" if lines and of_line.dtype.kind in "fi" else f"{lines} = {value}"
        ax.plot(at, middle, "o-", ms=3.5, color=CYCLE[k % len(CYCLE)], label=label if lines else None)
        ax.fill_between(at, low, high, color=CYCLE[k % len(CYCLE)], alpha=0.2, lw=0)
    name_axes(ax, sweep, panel, x, ticks, across)
    if lines:
        ax.legend(fontsize=7)
    ax.set_ylabel(unit(panel))
    if panel[0] == "time":
        shown = np.concatenate([line.get_ydata() for line in ax.lines] or [np.zeros(0)]).astype(np.float64)
        if (shown > 0).any():
            ax.set_yscale("log")
        else:
            ax.text(
                0.5, 0.5, "less than half of the chips, everywhere", ha="center", transform=ax.transAxes, color="0.4"
            )
            ax.set_yticks([])
    elif panel[0] == "share":
        ax.set_ylim(-3, 103)


def draw_map(ax: Axes, sweep: SweepFile, panel: tuple[str, str, int], x: str, lines: str | None) -> None:
    """Medians as colours."""
    assert lines is not None
    of_x, of_line, done = sweep.column(x), sweep.column(lines), sweep.state == DONE
    columns, rows = np.unique(of_x), np.unique(of_line)
    values = np.full((len(rows), len(columns)), np.nan)
    for i, row in enumerate(rows):
        for j, value in enumerate(columns):
            chosen = (of_line == row) & (of_x == value) & done
            if chosen.any():
                values[i, j] = statistic(sweep, panel, np.flatnonzero(chosen))[1]
    if panel[0] == "time":
        values = np.log10(values)
    image = ax.pcolormesh(values, cmap="viridis")
    for count, labels, axis in ((len(columns), columns, ax.xaxis), (len(rows), rows, ax.yaxis)):
        some = np.unique(np.linspace(0, count - 1, min(count, 6)).round().astype(int))
        axis.set_ticks(some + 0.5, [f"{labels[k]:.3g}" if labels.dtype.kind in "fi" else str(labels[k]) for k in some])
    ax.set(xlabel=labelled(x), ylabel=labelled(lines), title=title(panel))
    ax.grid(False)
    figure = ax.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=ax, label=("log10 of " if panel[0] == "time" else "") + unit(panel))


def statistic(sweep: SweepFile, panel: tuple[str, str, int], points: Array) -> tuple[float, float, float]:
    """Low, middle, high of all chips of some points."""
    kind, name, k = panel
    there = np.concatenate([sweep.file["chips/chip"][n] for n in points]) >= 0
    if kind == "final":
        found = spread(final(sweep, name, points) * (100 if name == "accuracy" else 1))
        return found["q25"], found["median"], found["q75"]
    times = np.concatenate([sweep.file["chips/steps_to_target"][n, k] for n in points])[there]
    if kind == "share":
        found = share(int(np.isfinite(times).sum()), len(times))
        return 100 * found["low"], 100 * found["share"], 100 * found["high"]
    found = time_to_target(times, np.concatenate([sweep.file["chips/steps"][n] for n in points])[there])
    return found["q25"], found["median"], found["q75"]


def places(values: Array) -> tuple[Array, Array | None]:
    """Where values lie on the axis; words one beside the other, with their names."""
    if values.dtype.kind in "fi":
        return values.astype(np.float64), None
    names, at = np.unique(values, return_inverse=True)
    return at.astype(np.float64), names


def name_axes(
    ax: Axes, sweep: SweepFile, panel: tuple[str, str, int], x: str, ticks: Array | None, across: Array
) -> None:
    """Labels and scale."""
    ax.set(xlabel=labelled(x), title=title(panel))
    if ticks is not None:
        ax.set_xticks(range(len(ticks)), list(ticks), rotation=30 if len(ticks) > 3 else 0)
        return
    low, high = float(across.min()), float(across.max())  # the same in all panels, also where nothing is drawn
    positive = np.unique(across[across > 0])
    if len(positive) > 1 and positive[-1] / positive[0] >= WIDE and low >= 0:
        if low == 0:
            ax.set_xscale("symlog", linthresh=positive[0])
            ax.set_xlim(-0.2 * positive[0], high * 1.2)
        else:
            ax.set_xscale("log")
            room = (high / low) ** MARGIN
            ax.set_xlim(low / room, high * room)
    elif high > low:
        ax.set_xlim(low - MARGIN * (high - low), high + MARGIN * (high - low))


def title(panel: tuple[str, str, int]) -> str:
    """What a panel shows."""
    kind, name, _ = panel
    return {"final": f"{name} at the end", "time": f"steps to {name}", "share": f"chips that reach {name}"}[kind]


def unit(panel: tuple[str, str, int]) -> str:
    """Of its numbers."""
    kind, name, _ = panel
    return {"final": "%" if name == "accuracy" else name, "time": "steps", "share": "% of the chips"}[kind]
