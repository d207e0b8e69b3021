"""A user's own device from measured pulses: every step model fitted, the best one chosen.

The data (`device_data`: CSV or arrays) are one device's reads after up and down pulses. Conductance is mapped linearly
onto w in [-1, 1], its extremes over the measurement. Each model predicts every read from those before it by an extended
Kalman filter (Kalman, J. Basic Eng. 82, 35 (1960)): a pulse adds its step, with variance (c2c step)**2, a read
scatters with variance (write_noise dw_min)**2, so that a device that jumps at random is told from one whose reads
scatter. The parameters, the first state and the two noises are those of greatest likelihood.

Models are compared by -2 ln(likelihood) + p ln(n) (Schwarz, Ann. Stat. 6, 461 (1978)), p the number of parameters that
change anything: a bound that the device never reached does not count. The lowest wins; of those within 2 of it, the
first in the order of `MODELS`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .device_data import PulseData, read_pulses
from .device_models import MODELS, Array, FitModel, plateaus
from .errors import ConfigError
from .settings import did_you_mean

SMALLEST_RMS = 1e-7  # in units of w; below it models count as equal
NUDGE = 1e-6  # of w, for the slope of the step
UNDECIDED = 2.0  # difference of the criterion that is no reason to prefer a model


@dataclass(frozen=True)
class ModelFit:
    """One model's fit.

    model : name, as in `device_presets`
    preset : what differs from `device_presets.DEFAULTS`, in units of w
    rms : of the errors predicting one read from those before, in units of the conductance measured
    rms_response : of the reads about the response computed from the first alone, without noise, same units
    parameters : how many of them the data depend on
    criterion : -2 ln(likelihood) + parameters ln(n), but for a constant; only differences mean something
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


def fit(
    data: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any], models: Sequence[str] | None = None
) -> DeviceFit:
    """Fit every step model to one device's measured pulses, and choose.

    data : path of a CSV file with a header and the columns `pulse`, `conductance` and, if wanted, `direction`; or a
        mapping of such columns; or (pulse, conductance[, direction]). `device_data` says what the columns mean. Ten
        rows of each direction are the least; a whole sweep up and down, nearly to the bounds, is what a good fit needs.
    models : names of the models to try, by default all

    Raises `ConfigError`, one line, where the data or a name cannot be used or SciPy is missing. Takes the order of a
    second per thousand pulses and model.

    >>> up, down = [0.02 * n for n in range(51)], [1.0 - 0.025 * n for n in range(1, 41)]
    >>> device = fit(([*range(51), *range(1, 41)], up + down))
    >>> device.model, round(device.preset["dw_min"], 4), round(device.preset["up_down"], 4)
    ('constant', 0.05, -0.2)
    >>> device.conductance
    (0.0, 1.0)
    """
    known = [model.name for model in MODELS]
    for name in known if models is None else models:
        if name not in known:
            raise ConfigError(f"models: {name!r} is none of {', '.join(known)}{did_you_mean(str(name), known)}")
    tried = [model for model in MODELS if models is None or model.name in models]
    if not tried:
        raise ConfigError(f"models: none given; expected some of {', '.join(known)}")
    measured = read_pulses(data)
    low, high = float(measured.conductance.min()), float(measured.conductance.max())
    y = (measured.conductance - low) * (2.0 / (high - low)) - 1.0
    fits = [_fit_model(model, measured, y, (high - low) / 2.0) for model in tried]
    lowest = min(f.criterion for f in fits)
    chosen = next(f for f in fits if f.criterion <= lowest + UNDECIDED)
    rest = sorted((f for f in fits if f is not chosen), key=lambda f: f.criterion)
    return DeviceFit((chosen, *rest), (low, high), measured.name)


def _fit_model(model: FitModel, measured: PulseData, y: Array, unit: float) -> ModelFit:
    """The most likely parameters, first state and noises."""
    x, weighted, derivative, typical = _solve(model, measured.pulses, y)
    e = predict(model, x[:, np.newaxis], measured.pulses, y, typical)[0][:, 0]
    response = predict(model, np.array([*x[:-1], 0.0])[:, np.newaxis], measured.pulses, y, typical)[0][:, 0]
    n, mean_square = len(y), max(float(np.mean(weighted**2)), SMALLEST_RMS**2)
    reached = np.any(derivative != 0.0, axis=0)
    if not reached[-4]:
        x[-4] = min(x[-4], 1.0)  # where the measurement ended
    if not reached[-3]:
        x[-3] = max(x[-3], -1.0)
    preset = model.preset(x[:-2])
    if mean_square > SMALLEST_RMS**2:
        s = predict(model, x[:, np.newaxis], measured.pulses, y, typical)[1][:, 0]
        sigma = float(np.sqrt(np.mean(e**2 / s)))  # the unit of both noises
        preset["c2c"] = float(sigma * np.sin(x[-1]) / typical)
        preset["write_noise"] = float(sigma * np.cos(x[-1]) / preset["dw_min"])
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


def _solve(model: FitModel, pulses: Any, y: Array) -> tuple[Array, Array, Array, float]:
    """Parameters, first state and angle of the noises: the best of a few starts, polished.

    Also the weighted errors there, their derivative, and the typical step that the angle refers to.
    """
    least_squares = _least_squares()
    lower, upper = np.array([*model.lower, -2.0, 0.0]), np.array([*model.upper, 2.0, np.pi / 2.0])
    typical = float(np.sum(np.abs(np.diff(y))) / np.sum(np.abs(pulses)))
    latest: dict[bytes, tuple[Array, Array]] = {}

    def evaluate(x: Array) -> tuple[Array, Array]:
        """Weighted errors at x and their derivative; of the latest x they are kept."""
        if x.tobytes() not in latest:
            h = 1e-6 * np.maximum(np.abs(x), 1e-2)
            h = np.where(x + h > upper, -h, h)
            sets = np.column_stack([x, x[:, np.newaxis] + np.diag(h)])
            e, s = predict(model, sets, pulses, y, typical)
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
    return x, *evaluate(x), typical


def predict(model: FitModel, x: Array, pulses: Any, y: Array, typical: float) -> tuple[Array, Array]:
    """Errors of the predictions one read ahead, and their variances s, up to a common factor.

    x (parameters + 2, c): c sets of parameters at once; their last rows are the first state and an angle: a read has
    the variance cos(angle)**2, a pulse sin(angle)**2 (step/typical)**2. Results (n, c). With angle 0 they predict the
    response without noise. The sum of e**2 exp(mean(ln s)) / s is least where the likelihood is greatest.
    """
    parameters, w = x[:-2], x[-2]
    high, low = parameters[-2], parameters[-1]  # the bounds come last in every model
    of_reads = np.cos(x[-1]) ** 2 + 1e-6  # never quite 0: where steps vanish nothing else would be left
    of_pulses = (np.sin(x[-1]) / typical) ** 2
    P = np.zeros_like(w)
    e, s = np.empty((len(y), x.shape[1])), np.empty((len(y), x.shape[1]))
    shift = np.array([[0.0], [NUDGE]])
    for k in range(len(y)):
        step = model.up if pulses[k] > 0 else model.down
        for _ in range(abs(int(pulses[k]))):
            move, nudged = step(parameters, w + shift)
            w = w + move
            P = P * (1.0 + (nudged - move) / NUDGE) ** 2 + of_pulses * move**2
            P = np.where((w < high) & (w > low), P, 0.0)  # a bound is where it is
            w = np.minimum(np.maximum(w, low), high)
        e[k], s[k] = y[k] - w, P + of_reads
        gain = P / s[k]
        w, P = w + gain * e[k], (1.0 - gain) * P
    return e, s


def _least_squares() -> Any:
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise ConfigError('fit needs SciPy: pip install "analogmgd[fit]"') from None
    return least_squares
