"""The step models that `device_fit` fits: parameters, signed steps, first guesses, and the preset they make.

Parameters are rows of an array (p, c), c sets at once, the upper and lower bound always last; all in units of w, which
runs from -1 to 1 over the measurement. Slopes and rates are per unit of w here, relative to the bounds in the preset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Step = Callable[[Array, Array], Array]
BLOCKS = 12  # averages per sweep, for the first guesses
RATES = (-12.0, -6.0, -3.0, -1.5, 1.5, 3.0, 6.0, 12.0)  # first guesses of the exponential, per unit of w
EDGE = 0.3  # the nearest to 0 that a bound may be


@dataclass(frozen=True)
class FitModel:
    """One step model.

    up, down : change of w by one pulse, at w; the first two parameters are its sizes at w = 0
    lower, upper : limits of the parameters
    start : first guess from (pulses, reads)
    preset : keys of a device, of the parameters
    only_clips : the bounds only stop w; the steps do not depend on them
    additive_too : the noise of a pulse may be that of the step at w = 0 instead (for constant steps it is the same)
    """

    name: str
    only_clips: bool
    up: Step
    down: Step
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    start: Callable[[Any, Array], list[float]]
    preset: Callable[[Array], dict[str, Any]]
    additive_too: bool = False


def _blocks(pulses: Any, y: Array, direction: int) -> list[tuple[Array, Array]]:
    """(pulses given so far, mean read) of a few blocks of each sweep of that direction."""
    sweep = np.sign(pulses)
    sweep[0] = sweep[1]
    edges = [0, *(np.flatnonzero(np.diff(sweep)) + 1), len(y)]
    found = []
    for a, b in pairwise(edges):
        if sweep[a] == direction and b - a >= 2:
            count = np.cumsum(np.abs(pulses[a:b])).astype(float)
            parts = np.array_split(np.arange(b - a), min(BLOCKS, b - a))
            found.append((np.array([count[i].mean() for i in parts]), np.array([y[a:b][i].mean() for i in parts])))
    return found


def plateaus(pulses: Any, y: Array) -> tuple[float, float]:
    """The highest block of an up sweep, and minus the lowest of a down sweep: bounds, if they were reached."""
    high = [w.max() for _, w in _blocks(pulses, y, 1)]
    low = [w.min() for _, w in _blocks(pulses, y, -1)]
    return max([*high, EDGE]), -min([*low, -EDGE])


def mean_steps(pulses: Any, y: Array, direction: int) -> tuple[Array, Array]:
    """Change of w per pulse, and w half-way, between the blocks of each sweep of that direction."""
    changes, middles = [], []
    for n, w in _blocks(pulses, y, direction):
        moved = np.diff(n) > 0
        changes += list(np.diff(w)[moved] / np.diff(n)[moved])
        middles += list((w[1:] + w[:-1])[moved] / 2.0)
    if len(changes) < 2:  # sweeps of one row each: up, down, up, ..
        k = 1 + np.flatnonzero(np.sign(pulses[1:]) == direction)
        return (y[k] - y[k - 1]) / np.abs(pulses[k]), (y[k] + y[k - 1]) / 2.0
    return np.array(changes), np.array(middles)


def _mean(pulses: Any, y: Array, direction: int) -> float:
    """Size of a step, above 0: the upper quartile, as a bound that was reached makes many of them 0."""
    return max(float(np.quantile(direction * mean_steps(pulses, y, direction)[0], 0.75)), 1e-5)


def _line(pulses: Any, y: Array, direction: int) -> tuple[float, float]:
    """D and k of the step size D (1 - k direction w), both above 0."""
    change, w = mean_steps(pulses, y, direction)
    slope, offset = np.polyfit(direction * w, direction * change, 1)
    D = max(float(offset), _mean(pulses, y, direction) / 10.0)
    return D, max(float(-slope) / D, 0.02)


def _exponential(pulses: Any, y: Array, direction: int) -> tuple[float, float, float]:
    """D, A and rate of the step size D (1 - A exp(rate direction w)): the best rate of a few, D and A linear."""
    change, w = mean_steps(pulses, y, direction)
    best = (np.inf, 0.0, 0.0, 0.0)
    for rate in RATES:
        basis = np.column_stack([np.ones_like(w), np.exp(rate * direction * w)])
        (c0, c1), *_ = np.linalg.lstsq(basis, direction * change, rcond=None)
        c0 = max(float(c0), _mean(pulses, y, direction) / 100.0)
        c1 = float(basis[:, 1] @ (direction * change - c0) / (basis[:, 1] @ basis[:, 1]))
        error = float(np.sum((basis @ [c0, c1] - direction * change) ** 2))
        best = min(best, (error, c0, -c1 / c0, rate))
    return best[1:]


def _steps(up: float, down: float) -> dict[str, Any]:
    """dw_min and up_down of two nominal step sizes: the smaller direction is dw_min (1 - |up_down|)."""
    return {"dw_min": float(max(up, down)), "up_down": float(1.0 - down / up if up > down else up / down - 1.0)}


def _bounds(x: Array) -> dict[str, Any]:
    return {"w_max": float(x[-2]), "w_min": float(x[-1])}


def _both(x: Array, name: str, **more: float) -> dict[str, Any]:
    return {"model": name, **_steps(x[0], x[1]), **_bounds(x), **{k: float(v) for k, v in more.items()}}


def _exponential_preset(x: Array) -> dict[str, Any]:
    half = (x[-2] - x[-1]) / 2.0  # z = w / half
    return _both(x, "exponential", a_up=x[2], a_down=x[3], g_up=x[4] * half, g_down=x[5] * half)


def _linear_start(pulses: Any, y: Array) -> list[float]:
    (D_up, k_up), (D_down, k_down) = _line(pulses, y, 1), _line(pulses, y, -1)
    return [D_up, D_down, k_up, k_down, 1.0, -1.0]


def _soft_start(pulses: Any, y: Array) -> list[float]:
    (D_up, k_up), (D_down, k_down) = _line(pulses, y, 1), _line(pulses, y, -1)
    return [D_up, D_down, max(1.0 / k_up, 1.02), min(-1.0 / k_down, -1.02)]


def _exponential_start(pulses: Any, y: Array) -> list[float]:
    up, down = _exponential(pulses, y, 1), _exponential(pulses, y, -1)
    return [*(v for pair in zip(up, down, strict=True) for v in pair), 1.0, -1.0]


def _power_start(pulses: Any, y: Array) -> list[float]:
    return [2.0 * _mean(pulses, y, 1), 2.0 * _mean(pulses, y, -1), 1.0, 1.0, 1.05, -1.05]


def _share(distance: Array, x: Array) -> Array:
    """Distance to a bound as a share of the range, at least 0: a state may be put past its bound by a read."""
    return np.maximum(distance / (x[-2] - x[-1]), 1e-12)


# Lower limits of the steps; limits of the bounds. What would be 0 only at 3 times the range measured is no soft bound.
STEP, LOWEST, HIGHEST = (1e-7, 1e-7), (EDGE, -3.0), (3.0, -EDGE)
MODELS = (  # the simpler first
    FitModel(
        "constant",
        True,
        lambda x, w: x[0] + 0.0 * w,
        lambda x, w: -x[1] + 0.0 * w,
        (*STEP, *LOWEST),
        (2.0, 2.0, *HIGHEST),
        lambda pulses, y: [_mean(pulses, y, 1), _mean(pulses, y, -1), 1.0, -1.0],
        lambda x: _both(x, "constant"),
    ),
    FitModel(
        "soft-bounds",
        False,
        lambda x, w: x[0] * (1.0 - w / x[2]),
        lambda x, w: -x[1] * (1.0 - w / x[3]),
        (*STEP, *LOWEST),
        (2.0, 2.0, *HIGHEST),
        _soft_start,
        lambda x: _both(x, "soft-bounds"),
        additive_too=True,
    ),
    FitModel(
        "linear",
        True,
        lambda x, w: x[0] * (1.0 - x[2] * w),
        lambda x, w: -x[1] * (1.0 + x[3] * w),
        (*STEP, 0.0, 0.0, *LOWEST),
        (2.0, 2.0, 3.0, 3.0, *HIGHEST),
        _linear_start,
        lambda x: _both(x, "linear", slope_up=x[2] * x[-2], slope_down=-x[3] * x[-1]),
        additive_too=True,
    ),
    FitModel(
        "power",
        False,
        lambda x, w: x[0] * _share(x[4] - w, x) ** x[2],
        lambda x, w: -x[1] * _share(w - x[5], x) ** x[3],
        (*STEP, 0.0, 0.0, *LOWEST),
        (2.0, 2.0, 10.0, 10.0, *HIGHEST),
        _power_start,
        lambda x: _both(x, "power", g_up=x[2], g_down=x[3]),
    ),
    FitModel(
        "exponential",
        True,
        lambda x, w: x[0] * np.maximum(0.0, 1.0 - x[2] * np.exp(x[4] * w)),
        lambda x, w: -x[1] * np.maximum(0.0, 1.0 - x[3] * np.exp(-x[5] * w)),
        (*STEP, -1e4, -1e4, -20.0, -20.0, *LOWEST),
        (2.0, 2.0, 1e4, 1e4, 20.0, 20.0, *HIGHEST),
        _exponential_start,
        _exponential_preset,
    ),
)
