"""A user's own device from measured pulses: every step model fitted, the best one chosen.

The data (`device_data`: CSV or arrays) are one device's reads after up and down pulses. Conductance is mapped linearly
onto w in [-1, 1], its extremes over the measurement. Each model predicts every read from those before it: with w the
model's state, y the read and e = y - w the error of the prediction, w <- w + K e, then the pulses that follow. The gain
K is fitted too: 1 where the device itself jumps at random (cycle to cycle), 0 where only the reads scatter (write
noise), so that neither is mistaken for the other; e is white if the model is right (innovations form; Ljung, System
Identification, 1999, chapter 7). From K and the variance S of e: c2c**2 mean(step**2) = K**2 S, write noise (1 - K) S.

Models are compared by n ln(S) + p ln(n), p the number of parameters that change anything (Schwarz 1978): a bound that
the device never reached does not count. The lowest wins; of those within 2 of it, the first in the order of `MODELS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .device_data import PulseData, read_pulses
from .device_models import MODELS, Array, FitModel, plateaus
from .errors import ConfigError

SMALLEST_RMS = 1e-7  # in units of w; below it models count as equal
UNDECIDED = 2.0  # difference of the criterion that is no reason to prefer a model


@dataclass(frozen=True)
class ModelFit:
    """One model's fit.

    model : name, as in `device_presets`
    preset : what differs from `device_presets.DEFAULTS`, in units of w
    rms : of the errors predicting one read from those before, in units of the conductance measured
    rms_response : of the reads about the response computed from the first alone, without noise, same units
    parameters : how many of them the data depend on
    criterion : n ln(mean square error) + parameters ln(n); only differences mean something
    """

    model: str
    preset: Mapping[str, Any]
    rms: float
    rms_response: float
    parameters: int
    criterion: float


@dataclass(frozen=True)
class DeviceFit:
    """The fits of all models, the one chosen first, then by their criterion.

    fits : one `ModelFit` per model
    conductance : what w = -1 and w = 1 stand for, in units of the conductance measured
    source : name of the file, or "pulse data"
    """

    fits: tuple[ModelFit, ...]
    conductance: tuple[float, float]
    source: str

    @property
    def model(self) -> str:
        """Name of the model chosen."""
        return self.fits[0].model

    @property
    def preset(self) -> dict[str, Any]:
        """The device: keys as in `device_presets.PRESETS`; spreads between devices are not in one device's data."""
        return dict(self.fits[0].preset)

    def table(self) -> str:
        """The models with their residuals, the one chosen first, as text.

        criterion: difference to the one chosen; below 2 nothing speaks for either, above 10 the matter is clear.
        """
        head = f"{'model':<12} {'rms':>10} {'rms response':>13} {'parameters':>11} {'criterion':>10}"
        best = self.fits[0].criterion
        rows = [
            f"{f.model:<12} {f.rms:>10.4g} {f.rms_response:>13.4g} {f.parameters:>11} {f.criterion - best:>+10.1f}"
            for f in self.fits
        ]
        return "\n".join([head, *rows])


def fit(data: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any]) -> DeviceFit:
    """Fit every step model to one device's measured pulses, and choose.

    data : path of a CSV file with a header and the columns `pulse`, `conductance` and, if wanted, `direction`; or a
        mapping of such columns; or (pulse, conductance[, direction]). `device_data` says what the columns mean. Ten
        rows of each direction are the least; a whole sweep up and down, nearly to the bounds, is what a good fit needs.

    Raises `ConfigError`, one line, where the data cannot be used or SciPy is missing. Takes the order of a second per
    thousand pulses and model.

    >>> up, down = [0.02 * n for n in range(51)], [1.0 - 0.025 * n for n in range(1, 41)]
    >>> device = fit(([*range(51), *range(1, 41)], up + down))
    >>> device.model, round(device.preset["dw_min"], 4), round(device.preset["up_down"], 4)
    ('constant', 0.05, -0.2)
    >>> device.conductance
    (0.0, 1.0)
    """
    measured = read_pulses(data)
    low, high = float(measured.conductance.min()), float(measured.conductance.max())
    y = (measured.conductance - low) * (2.0 / (high - low)) - 1.0
    fits = [_fit_model(model, measured, y, (high - low) / 2.0) for model in MODELS]
    lowest = min(f.criterion for f in fits)
    chosen = next(f for f in fits if f.criterion <= lowest + UNDECIDED)
    rest = sorted((f for f in fits if f is not chosen), key=lambda f: f.criterion)
    return DeviceFit((chosen, *rest), (low, high), measured.name)


def _fit_model(model: FitModel, measured: PulseData, y: Array, unit: float) -> ModelFit:
    """Least squares of the prediction errors over the model's parameters, the first state and the gain K."""
    x, jacobian = _solve(model, measured.pulses, y)
    e, squares, free = (a[:, 0] for a in predict(model, x[:, np.newaxis], measured.pulses, y))
    silent = x.copy()
    silent[-1] = 0.0
    response = predict(model, silent[:, np.newaxis], measured.pulses, y)[0][:, 0]
    n, mean_square = len(y), max(float(np.mean(e**2)), SMALLEST_RMS**2)
    reached = np.any(jacobian(x) != 0.0, axis=0)
    if not reached[-4]:
        x[-4] = min(x[-4], 1.0)  # where the measurement ended
    if not reached[-3]:
        x[-3] = max(x[-3], -1.0)
    preset = model.preset(x[:-2])
    inside = (free > 0.0) & (squares > 0.0)  # a step that ended at a bound says little of its noise
    if inside.any() and mean_square > SMALLEST_RMS**2:
        K, S = float(x[-1]), float(np.mean(e[inside] ** 2))
        preset["c2c"] = float(K * np.sqrt(S / np.mean(squares[inside])))
        preset["write_noise"] = float(np.sqrt((1.0 - K) * S) / preset["dw_min"])
    preset["source"] = f"fit to {measured.name}"
    parameters = int(np.count_nonzero(reached))
    return ModelFit(
        model.name,
        preset,
        float(np.sqrt(np.mean(e**2))) * unit,
        float(np.sqrt(np.mean(response**2))) * unit,
        parameters,
        n * float(np.log(mean_square)) + parameters * float(np.log(n)),
    )


def _solve(model: FitModel, pulses: Any, y: Array) -> tuple[Array, Callable[[Array], Array]]:
    """The best of a few starts, polished: parameters, first state, K; and the derivative of the errors by them."""
    lower, upper = np.array([*model.lower, -2.0, 0.0]), np.array([*model.upper, 2.0, 1.0])

    def errors(x: Array) -> Array:
        return predict(model, x[:, np.newaxis], pulses, y)[0][:, 0]

    def jacobian(x: Array) -> Array:
        h = 1e-6 * np.maximum(np.abs(x), 1e-2)
        h = np.where(x + h > upper, -h, h)
        e = predict(model, np.column_stack([x, x[:, np.newaxis] + np.diag(h)]), pulses, y)[0]
        return np.asarray((e[:, 1:] - e[:, :1]) / h)

    def solve(x: Array, **stop: float) -> Any:
        x = np.clip(x, lower + 1e-9, upper - 1e-9)
        return _least_squares()(errors, x, jacobian, bounds=(lower, upper), x_scale="jac", **stop)

    first = np.array([*model.start(pulses, y), y[0], 0.0])
    tries = []
    for bounds in ((1.0, 1.0), plateaus(pulses, y)) if model.only_clips else (None,):
        for K in (0.03, 0.6):
            x = first.copy()
            x[-1] = K
            if bounds is not None:
                x[-4], x[-3] = bounds[0], -bounds[1]
            tries.append(solve(x, max_nfev=12))
    best = min(tries, key=lambda r: r.cost)
    return np.array(solve(best.x, max_nfev=200, xtol=1e-10).x), jacobian


def predict(model: FitModel, x: Array, pulses: Any, y: Array) -> tuple[Array, Array, Array]:
    """Errors of the predictions one read ahead, the squared steps before each read, and 1 where it is off the bounds.

    x (parameters + 2, c): c sets of parameters at once, their last rows the first state and the gain K; results (n, c).
    """
    parameters, w, K = x[:-2], x[-2], x[-1]
    high, low = parameters[-2], parameters[-1]  # the bounds come last in every model
    e = np.empty((len(y), x.shape[1]))
    squares, free = np.zeros_like(e), np.ones_like(e)
    for k in range(len(y)):
        step = model.up if pulses[k] > 0 else model.down
        for _ in range(abs(int(pulses[k]))):
            move = step(parameters, w)
            w = np.minimum(np.maximum(w + move, low), high)
            squares[k] += move**2
        free[k] = (w < high) & (w > low)
        e[k] = y[k] - w
        w = w + K * e[k]
    return e, squares, free


def _least_squares() -> Any:
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise ConfigError('fit needs SciPy: pip install "analogmgd[fit]"') from None
    return least_squares
