"""Picture of a fit: the reads and what the models make of them, the residuals, the steps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .device_fit import DeviceFit, ModelFit
from .device_models import Array, mean_steps
from .errors import ConfigError
from .plot import FORMATS
from .plot_devices import step_curves
from .trace_open import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (12.0, 6.6)
MANY = 4000  # reads above which dots become pixels in a .pdf or .svg
OUTER = 0.998  # share of the residuals within the panel


def plot_fit(found: DeviceFit, path: str | os.PathLike[str]) -> Figure:
    """Draw a fit: above, the reads and the response of every model without noise; below, what the chosen model leaves;
    on the right, the mean step of a pulse at every conductance, measured over blocks of reads and of every model.

    Args:
        found: by `analogmgd.fit_device`.
        path: picture to write; .png, .pdf or .svg. Its directory must exist.

    Returns:
        The matplotlib figure, for changes of your own.

    Raises:
        ConfigError: the picture cannot be written.

    >>> import analogmgd as am
    >>> w = am.device_response("gokmen-vlasov", [200, -200], 1).w[:, 0]
    >>> found = am.fit_device(([*range(201), *range(1, 201)], w), ["constant"])
    >>> figure = plot_fit(found, "fit.png")
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise ConfigError(f"the picture {str(path)!r} must end in one of {', '.join(FORMATS)}")
    import matplotlib  # here: it takes half a second, and only plots need it

    from .plot_base import STYLE

    with matplotlib.rc_context(STYLE):
        figure = draw(found)
        try:
            figure.savefig(target)
        except OSError as error:
            raise ConfigError(f"cannot write the picture {str(path)!r}: {one_line(error)}") from error
    return figure


def draw(found: DeviceFit) -> Figure:
    """The figure of `plot_fit`, in the current matplotlib style."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.7, 1], height_ratios=[2, 1])
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    steps = figure.add_subplot(grid[:, 1])
    at = np.cumsum(np.abs(found.data.pulses))
    draw_response(above, found, at)
    draw_residuals(below, found, at)
    draw_steps(steps, found)
    return figure


def colours(found: DeviceFit) -> dict[str, Any]:
    """One for each model; the chosen one black."""
    from .plot_base import CYCLE

    return {f.model: "black" if k == 0 else CYCLE[k - 1] for k, f in enumerate(found.fits)}


def lines(fit: ModelFit, found: DeviceFit) -> dict[str, Any]:
    """How a model's line looks."""
    chosen = fit is found.fits[0]
    return {"color": colours(found)[fit.model], "lw": 2.0 if chosen else 1.0, "zorder": 4 if chosen else 3}


def draw_response(ax: Axes, found: DeviceFit, at: Array) -> None:
    """Reads, and the response of every model from the first read alone."""
    g = found.data.conductance
    ax.plot(at, g, ".", color="0.7", ms=4, zorder=2, label="reads", rasterized=len(g) > MANY)
    for f in found.fits:
        label = f"{f.model}, rms {f.rms_response:.3g}" + (" (chosen)" if f is found.fits[0] else "")
        ax.plot(at, f.response, label=label, **lines(f, found))
    margin = 0.08 * float(np.ptp(g))
    ax.set_ylim(float(g.min()) - margin, float(g.max()) + margin)
    ax.set_xlim(0, int(at[-1]))
    ax.set_title(f"{found.source}: response without noise")
    ax.set_ylabel("conductance (unit of the data)")
    ax.tick_params(labelbottom=False)
    ax.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.02))


def draw_residuals(ax: Axes, found: DeviceFit, at: Array) -> None:
    """Reads less what the chosen model predicts, from the reads before (dots) and from the first alone (line)."""
    chosen, g = found.fits[0], found.data.conductance
    left = g - chosen.predicted
    ax.axhline(0, color="0.5", lw=0.8, zorder=1)
    ax.plot(at, left, ".", color="0.7", ms=4, zorder=2, rasterized=len(g) > MANY, label="from the reads before")
    ax.plot(at, g - chosen.response, color="black", lw=1.0, zorder=3, label="response")
    most = 1.15 * max(float(np.quantile(np.abs(r), OUTER)) for r in (left, g - chosen.response)) or 1.0
    ax.set_ylim(-most, most)
    ax.set_title(f"read less prediction, {chosen.model}: rms {chosen.rms:.3g} from the reads before")
    ax.set_ylabel("residual")
    ax.set_xlabel("pulses given")
    ax.legend(ncols=2, loc="lower right")


def draw_steps(ax: Axes, found: DeviceFit) -> None:
    """Mean step against conductance: of blocks of reads, and of the models."""
    low, high = found.conductance
    unit = 0.5 * (high - low)
    w = (found.data.conductance - low) / unit - 1.0
    top = []
    for sign, marker, label in ((1, "^", "up, measured"), (-1, "v", "down, measured")):
        change, middle = mean_steps(found.data.pulses, w, sign)
        top.append(float(np.quantile(sign * change, 0.95)) * unit)
        ax.plot(low + unit * (middle + 1), sign * change * unit, marker, color="0.6", ms=5, zorder=2, label=label)
    for f in found.fits:
        try:
            state, steps = step_curves(found.choose(f.model).device())
        except ConfigError:  # a fit of no use: no steps are left at w = 0
            continue
        inside = np.abs(state) <= 1.0
        for k, dash in enumerate(("-", (0, (5, 1.5)))):
            style = lines(f, found) | {"ls": dash}
            ax.plot(low + unit * (state[inside] + 1), steps[inside, k] * unit, **style)
        if f is found.fits[0]:
            top.append(float(steps[inside].max()) * unit)
    ax.plot([], [], color="0.3", ls="-", label="up, fitted")
    ax.plot([], [], color="0.3", ls=(0, (5, 1.5)), label="down, fitted")
    ax.axhline(0, color="0.5", lw=0.8, zorder=1)
    ax.set_ylim(-0.1 * max(top), 1.35 * max(top))
    ax.set_title("mean step of a pulse")
    ax.set_xlabel("conductance (unit of the data)")
    ax.set_ylabel("step")
    ax.legend(ncols=2, loc="upper center")
