"""Pictures of devices: their response to pulses up and down, and the size of their steps at every weight."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .device_figures import Figures, drawn_device, figures, mean_steps, nominal, offset, symmetric_state
from .device_response import Response, device_response
from .devices import Device
from .devices import device as preset
from .errors import ConfigError
from .plot import FORMATS
from .trace_open import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_INCHES = (11.0, 3.7)
LEGEND_INCHES = 0.4
MOST_DEVICES, MOST_PULSES, MOST_ROWS = 200, 100_000, 20
POINTS = 300  # weights at which steps are drawn
SIDES = ("up", "down")


def plot_devices(
    devices: Sequence[Device | str],
    path: str | os.PathLike[str],
    pulses: int = 500,
    drawn: int = 5,
    seed: int = 0,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Draw devices, one row each: on the left w against the number of pulses, as many up and then down, starting at
    the lower bound; on the right how far a pulse moves w on average, at every w. Thin lines are single devices with
    their spread (and, on the left, their noise from pulse to pulse), thick ones the device without either. Dots are
    symmetry points, where up and down steps are equal.

    Args:
        devices: of `Device` or names of presets, written by pulses.
        path: picture to write; .png, .pdf or .svg. Its directory must exist.
        pulses: in each direction, 1 to 100,000.
        drawn: devices beside the nominal one, 0 to 200: those of parameter 0 of the chips 0, 1, ...
        seed: decides the devices and their noise.
        labels: one for each, by default the name of its preset, or its model.

    Returns:
        The matplotlib figure, for changes of your own.

    Raises:
        ConfigError: a device is not written by pulses, a number is out of range, or the picture cannot be written.

    >>> figure = plot_devices(["ecram"], "ecram.png", pulses=100)
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise ConfigError(f"the picture {str(path)!r} must end in one of {', '.join(FORMATS)}")
    for name, number, low, high in (
        ("pulses", pulses, 1, MOST_PULSES), ("devices", drawn, 0, MOST_DEVICES), ("seed", seed, 0, 2**64 - 1),
        ("number of presets", len(devices), 1, MOST_ROWS),
    ):  # fmt: skip
        if not low <= number <= high:
            raise ConfigError(f"{name} = {number}: must be from {low} to {high:,}")
    chosen = [preset(d) if isinstance(d, str) else d for d in devices]
    names = [d.name if d.name != "ideal" else f"{d.model} steps" for d in chosen] if labels is None else list(labels)
    if len(names) != len(chosen):
        raise ConfigError(f"labels: {len(names)} for {len(chosen)} devices; must be one for each")
    responses = [_responses(d, pulses, drawn, seed) for d in chosen]
    import matplotlib  # here: it takes half a second, and only plots need it

    from .plot_base import STYLE

    with matplotlib.rc_context(STYLE):
        figure = draw(chosen, names, responses, pulses)
        try:
            figure.savefig(target)
        except OSError as error:
            raise ConfigError(f"cannot write the picture {str(path)!r}: {one_line(error)}") from error
    return figure


def _responses(device: Device, pulses: int, drawn: int, seed: int) -> tuple[Response, Response | None]:
    """Of the nominal device, and of those drawn."""
    series = (pulses, -pulses)
    plain = device_response(nominal(device), series, 1)
    return plain, device_response(device, series, drawn, seed=seed) if drawn else None


def draw(
    devices: Sequence[Device], names: Sequence[str], responses: Sequence[tuple[Response, Response | None]], pulses: int
) -> Figure:
    """The figure of `plot_devices`, in the current matplotlib style."""
    from matplotlib.figure import Figure

    width, height = ROW_INCHES
    figure = Figure(figsize=(width, height * len(devices) + LEGEND_INCHES), layout="constrained")
    grid = figure.add_gridspec(len(devices) + 1, 2, height_ratios=[LEGEND_INCHES, *[height] * len(devices)])
    for row, (device, name, (plain, several)) in enumerate(zip(devices, names, responses, strict=True)):
        left, right = figure.add_subplot(grid[row + 1, 0]), figure.add_subplot(grid[row + 1, 1])
        found = figures(device)
        left.set_title(f"{name}\n")
        right.set_title(" \n")  # so that the panels of a row are level
        left.annotate(
            figure_text(found), (0, 1), xytext=(0, 5), xycoords="axes fraction", textcoords="offset points",
            fontsize=8.5, color="0.3",
        ).set_in_layout(False)  # it may reach over the next panel  # fmt: skip
        draw_response(left, device, plain.w, several.w if several else None, pulses, found)
        draw_steps(right, device, several)
    _legend(figure.add_subplot(grid[0, :]), any(several is not None for _, several in responses))
    return figure


def figure_text(found: Figures) -> str:
    """What the user needs first, in a line."""
    text = [
        f"{'more than 100 000' if n is None else f'{n:,}'} {side}".replace(",", " ")
        for n, side in zip((found.pulses_up, found.pulses_down), SIDES, strict=True)
    ]
    noise = "" if found.step_noise is None else f"   |   noise of a step {100 * found.step_noise:.3g} %"
    uneven = "" if found.asymmetry is None else f"   |   asymmetry {100 * found.asymmetry:.3g} %"
    return f"pulses over 90 % of the range: {', '.join(text)}{uneven}{noise}"


def _colours() -> dict[str, str]:
    from .plot_base import BLUE, RED

    return dict(zip(SIDES, (BLUE, RED), strict=True))


def draw_response(
    ax: Axes,
    device: Device,
    plain: npt.NDArray[np.float64],
    several: npt.NDArray[np.float64] | None,
    pulses: int,
    found: Figures,
) -> None:
    """w against the number of pulses; plain (2 pulses + 1, 1), several (2 pulses + 1, devices)."""
    from .plot_base import DASHED

    colours = _colours()
    parts = {"up": np.arange(pulses + 1), "down": np.arange(pulses, 2 * pulses + 1)}
    for side, at in parts.items():
        if several is not None:
            ax.plot(at, several[at], color=colours[side], lw=0.7, alpha=0.5, rasterized=len(at) > 10_000)
        ax.plot(at, plain[at], color="white", lw=4, zorder=3)
        ax.plot(at, plain[at], color=colours[side], lw=2.2, ls=_dash(side), zorder=4)
    if found.symmetry_point is not None:
        ax.axhline(found.symmetry_point, **DASHED, zorder=1)
    if found.write_noise:
        x, w = 1.5 * pulses, float(np.max(plain if several is None else several))
        ax.errorbar(x, w - found.write_noise, found.write_noise, color="black", capsize=3, lw=1.2)
        ax.annotate(
            "±\u2009noise of a write", (x, w - found.write_noise), xytext=(7, 0), textcoords="offset points",
            va="center", fontsize=8.5,
        ).set_in_layout(False)  # fmt: skip
    ax.set_xlim(0, 2 * pulses)
    number = f"{pulses:,}".replace(",", " ")
    ax.set_xlabel(f"pulses ({number} up, then {number} down)")
    ax.set_ylabel("weight w (normalised)")


def draw_steps(ax: Axes, device: Device, several: Response | None) -> None:
    """Mean step of a pulse against w: nominal, and of the devices drawn; symmetry points as dots."""
    count = 0 if several is None else several.w.shape[1]
    drawn = [drawn_device(device, several.drawn, i) for i in range(count)] if several is not None else []
    for one, thick in [*((d, False) for d in drawn), (nominal(device), True)]:
        w, steps = step_curves(one)
        for k, (side, colour) in enumerate(_colours().items()):
            if thick:
                ax.plot(w, steps[:, k], color="white", lw=4, zorder=3)
                ax.plot(w, steps[:, k], color=colour, lw=2.2, ls=_dash(side), zorder=4)
            else:
                ax.plot(w, steps[:, k], color=colour, lw=0.7, alpha=0.5)
        point = symmetric_state(one)
        if point is not None:
            up, down = mean_steps(one, point)
            if abs(up - down) < 1e-6 * max(up, down):  # else a bound cuts one of them, and the lines do not meet here
                ax.plot(point - offset(one), up, zorder=5, **_dot(thick))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("weight w (normalised)")
    ax.set_ylabel("mean step of a pulse |Δw|")


def step_curves(device: Device) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """w float64[POINTS] over the range of a device without spread; its mean steps up and down, float64[POINTS, 2]."""
    assert device.w_max is not None and device.w_min is not None  # noqa: PT018
    states = np.linspace(device.w_min, device.w_max, POINTS)
    return states - offset(device), np.array([mean_steps(device, float(h)) for h in states])


def _dash(side: str) -> Any:
    return "-" if side == "up" else (0, (5, 1.5))


def _dot(thick: bool) -> dict[str, Any]:
    size = {"ms": 7, "mew": 1.2} if thick else {"ms": 3.5, "mew": 0.6}
    return {"marker": "o", "ls": "", "color": "black", "mec": "white", **size}


def _legend(ax: Axes, several: bool) -> None:
    """What the lines mean, above everything."""
    from matplotlib.lines import Line2D

    from .plot_base import DASHED

    handles = [
        Line2D([], [], color=c, lw=2.2, ls=_dash(s), label=f"{s}, nominal device") for s, c in _colours().items()
    ]
    if several:
        handles += [
            Line2D([], [], color=c, lw=0.7, alpha=0.6, label=f"{s}, devices drawn") for s, c in _colours().items()
        ]
    handles.append(Line2D([], [], label="symmetry point", **_dot(True)))
    handles.append(Line2D([], [], label="its weight (nominal)", **DASHED))
    ax.set_axis_off()
    ax.legend(handles=handles, loc="center", ncols=len(handles), borderaxespad=0)
