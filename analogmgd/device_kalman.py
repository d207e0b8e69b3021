"""The likelihood of reads under a step model, by an extended Kalman filter, and its greatest value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .device_models import Array, FitModel, plateaus

NUDGE = 1e-6  # of w, for the slope of the step


@dataclass(frozen=True)
class Likeliest:
    """Where the likelihood is greatest.

    x : parameters, first state, angle of the noises
    weighted, derivative : errors (n,) of the predictions one read ahead, weighted, and by x (n, len(x))
    typical : the step that the angle refers to; additive : whether the noise of a pulse is of the step at w = 0
    """

    x: Array
    weighted: Array
    derivative: Array
    typical: float
    additive: bool


def likeliest(model: FitModel, pulses: Any, y: Array, additive: bool) -> Likeliest:
    """The best of a few starts, polished."""
    from scipy.optimize import least_squares

    lower, upper = np.array([*model.lower, -2.0, 0.0]), np.array([*model.upper, 2.0, np.pi / 2.0])
    typical = float(np.sum(np.abs(np.diff(y))) / np.sum(np.abs(pulses)))
    latest: dict[bytes, tuple[Array, Array]] = {}

    def evaluate(x: Array) -> tuple[Array, Array]:
        """Weighted errors at x and their derivative; of the latest x they are kept."""
        if x.tobytes() not in latest:
            h = 1e-6 * np.maximum(np.abs(x), 1e-2)
            h = np.where(x + h > upper, -h, h)
            sets = np.column_stack([x, x[:, np.newaxis] + np.diag(h)])
            e, s = predict(model, sets, pulses, y, typical, additive)
            weighted = e * np.exp(np.mean(np.log(s), axis=0) / 2.0) / np.sqrt(s)
            latest.clear()
            latest[x.tobytes()] = weighted[:, 0], (weighted[:, 1:] - weighted[:, :1]) / h
        return latest[x.tobytes()]

    def solve(x: Array, **stop: float) -> Any:
        x = np.clip(x, lower + 1e-9, upper - 1e-9)
        return least_squares(
            lambda x: evaluate(x)[0], x, lambda x: evaluate(x)[1], bounds=(lower, upper), x_scale="jac", **stop
        )

    first = np.array([*model.start(pulses, y), y[0], 0.0])
    tries = []
    for bounds in ((1.0, 1.0), plateaus(pulses, y)) if model.only_clips else (None,):
        for angle in (0.1, 1.0):
            x = first.copy()
            x[-1] = angle
            if bounds is not None:
                x[-4], x[-3] = bounds[0], -bounds[1]
            tries.append(solve(x, max_nfev=10))
    best = min(tries, key=lambda r: r.cost)
    x = np.array(solve(best.x, max_nfev=200, xtol=1e-10).x)
    return Likeliest(x, *evaluate(x), typical, additive)


def predict(
    model: FitModel, x: Array, pulses: Any, y: Array, typical: float, additive: bool = False
) -> tuple[Array, Array]:
    """Errors of the predictions one read ahead, and their variances s, up to a common factor.

    x (parameters + 2, c): c sets of parameters at once; their last rows are the first state and an angle: a read has
    the variance cos(angle)**2, a pulse sin(angle)**2 (step/typical)**2, or if additive that of the step at w = 0.
    Results (n, c). With angle 0 they predict the response without noise. The sum of e**2 exp(mean(ln s)) / s is least
    where the likelihood is greatest.
    """
    parameters, w = x[:-2], x[-2]
    high, low = parameters[-2], parameters[-1]  # the bounds come last in every model
    of_reads = np.cos(x[-1]) ** 2 + 1e-6  # never quite 0: where steps vanish nothing else would be left
    of_pulses = (np.sin(x[-1]) / typical) ** 2
    P = np.zeros_like(w)
    e, s = np.empty((len(y), x.shape[1])), np.empty((len(y), x.shape[1]))
    shift = np.array([[0.0], [NUDGE]])
    for k in range(len(y)):
        step, at_zero = (model.up, parameters[0]) if pulses[k] > 0 else (model.down, parameters[1])
        for _ in range(abs(int(pulses[k]))):
            move, nudged = step(parameters, w + shift)
            w = w + move
            P = P * (1.0 + (nudged - move) / NUDGE) ** 2 + of_pulses * (at_zero if additive else move) ** 2
            P = np.where((w < high) & (w > low), P, 0.0)  # a bound is where it is
            w = np.minimum(np.maximum(w, low), high)
        e[k], s[k] = y[k] - w, P + of_reads
        gain = P / s[k]
        w, P = w + gain * e[k], (1.0 - gain) * P
    return e, s
