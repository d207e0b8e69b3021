"""A user's own device from measured pulses: every step model fitted, the best one chosen.

The data (`device_data`: CSV or arrays) are one device's reads after up and down pulses. Conductance is mapped linearly
onto w in [-1, 1], its extremes over the measurement. Each model predicts every read from those before it by an extended
Kalman filter (Kalman, J. Basic Eng. 82, 35 (1960)): a pulse adds its step, with variance (c2c step)**2, or where that
is likelier and the model has it (`c2c_additive`) with that of the step at w = 0; a read scatters with variance
(write_noise dw_min)**2, so that a device that jumps at random is told from one whose reads scatter. The parameters, the
first state and the two noises are those of greatest likelihood.

Models are compared by -2 ln(likelihood) + p ln(n) (Schwarz, Ann. Stat. 6, 461 (1978)), p the number of parameters that
change anything: a bound that the device never reached does not count. The lowest wins; of those within 2 of it, the
first in the order of `MODELS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .device_data import PulseData, read_pulses
from .device_kalman import Likeliest, likeliest, predict
from .device_models import MODELS, Array, FitModel
from .device_needs import idle
from .device_presets import DEFAULTS
from .devices import Device
from .errors import ConfigError
from .settings import did_you_mean

SMALLEST_RMS = 1e-7  # in units of w; below it models count as equal
UNDECIDED = 2.0  # difference of the criterion that is no reason to prefer a model
ASTRAY = 3.0  # times the smallest rms_response: such a model explains the data by noise rather than by its steps
DIGITS = 6  # of the numbers of a device: more mean nothing
TINY = 1e-9  # below it a number of a device is 0
NAMES = tuple(model.name for model in MODELS)


@dataclass(frozen=True)
class ModelFit:
    """One model's fit.

    model : name, as in `device_presets`
    preset : what differs from `device_presets.DEFAULTS`, in units of w
    rms : of the errors predicting one read from those before, in units of the conductance measured
    rms_response : of the reads about the response computed from the first alone, without noise, same units
    parameters : how many of them the data depend on
    criterion : -2 ln(likelihood) + parameters ln(n), but for a constant; only differences mean something
    predicted, response : float64[n], the conductance at every read that `rms` and `rms_response` are about
    """

    model: str
    preset: Mapping[str, Any]
    rms: float
    rms_response: float
    parameters: int
    criterion: float
    predicted: Array = field(repr=False, compare=False)
    response: Array = field(repr=False, compare=False)


@dataclass(frozen=True)
class DeviceFit:
    """The fits of all models, the one chosen first, then by their criterion.

    fits : one `ModelFit` per model
    conductance : what w = -1 and w = 1 stand for, in units of the conductance measured
    source : name of the file, or "pulse data"
    data : what was fitted
    """

    fits: tuple[ModelFit, ...]
    conductance: tuple[float, float]
    source: str
    data: PulseData = field(repr=False, compare=False)

    @property
    def model(self) -> str:
        """Name of the model chosen."""
        return self.fits[0].model

    @property
    def preset(self) -> dict[str, Any]:
        """The device: keys as in `device_presets.PRESETS`; spreads between devices are not in one device's data."""
        return dict(self.fits[0].preset)

    @property
    def doubt(self) -> str | None:
        """A line where the model chosen explains the data by noise, and another one by its steps; else None."""
        chosen, near = self.fits[0], min(self.fits, key=lambda f: f.rms_response)
        if chosen.rms_response <= ASTRAY * near.rms_response:
            return None
        return (
            f"the response of {chosen.model} misses the reads by {chosen.rms_response:.3g} (rms), that of {near.model} "
            f"by {near.rms_response:.3g}: it takes for noise what may be the steps of {near.model}"
        )

    def choose(self, model: str) -> DeviceFit:
        """The same with another model chosen. Raises `ConfigError` for one that was not fitted."""
        tried = [f.model for f in self.fits]
        if model not in tried:
            hint = did_you_mean(str(model), tried)
            raise ConfigError(f"model {model!r}: is none of those fitted: {', '.join(tried)}{hint}")
        rest = sorted((f for f in self.fits if f.model != model), key=lambda f: f.criterion)
        return replace(self, fits=(self.fits[tried.index(model)], *rest))

    def device(self, **changes: Any) -> Device:
        """The device of the model chosen, some of its settings changed; six digits of every number.

        Raises `ConfigError` where a setting cannot be.
        """
        rounded = {k: _rounded(v) if isinstance(v, float) else v for k, v in self.preset.items()}
        values = {k: v for k, v in {**DEFAULTS, **rounded}.items() if k in Device.model_fields}
        idly = idle(Device(**{**values, "write": "pulsed"}))
        return Device(**{**{k: v for k, v in values.items() if k not in idly}, **changes})

    def to_toml(self) -> str:
        """The table [device], with what the numbers mean, for a configuration or `analogmgd train --device FILE`."""
        from . import __version__
        from .device_toml import device_toml

        low, high = self.conductance
        head = (
            f"fit of the {self.model} model to {self.source} ({len(self.data.conductance)} reads), by analogmgd "
            f"{__version__}",
            f"w = -1 is a conductance of {low:.6g}, w = 1 one of {high:.6g}; "
            f"residuals {self.fits[0].rms:.3g} from read to read",
            "of one device: the spreads between devices (dw_spread, w_max_spread, ..) are not in its data",
        )
        return device_toml(self.device(), head)

    def table(self) -> str:
        """The models with their residuals, the one chosen first, as text.

        criterion: difference to the lowest; below 2 nothing speaks for either, above 10 the matter is clear.
        """
        head = f"{'model':<12} {'rms':>10} {'rms response':>13} {'parameters':>11} {'criterion':>10}"
        best = min(f.criterion for f in self.fits)
        rows = [
            f"{f.model:<12} {f.rms:>10.4g} {f.rms_response:>13.4g} {f.parameters:>11} {f.criterion - best:>+10.1f}"
            for f in self.fits
        ]
        return "\n".join([head, *rows])


def fit_device(
    data: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any],
    models: Sequence[str] | None = None,
    say: Callable[[str], None] | None = None,
) -> DeviceFit:
    """Fit every step model to one device's measured pulses, and choose.

    data : path of a CSV file with a header and the columns `pulse`, `conductance` and, if wanted, `direction`; or a
        mapping of such columns; or (pulse, conductance[, direction]). `device_data` says what the columns mean. Ten
        rows of each direction are the least; a whole sweep up and down, nearly to the bounds, is what a good fit needs.
    models : names of the models to try, by default all
    say : is called with the name of each model before it is fitted

    Raises `ConfigError`, one line, where the data or a name cannot be used. Takes one to five
    seconds per thousand pulses and model.

    >>> up, down = [0.02 * n for n in range(51)], [1.0 - 0.025 * n for n in range(1, 41)]
    >>> device = fit_device(([*range(51), *range(1, 41)], up + down))
    >>> device.model, round(device.preset["dw_min"], 4), round(device.preset["up_down"], 4)
    ('constant', 0.05, -0.2)
    >>> device.conductance
    (0.0, 1.0)
    >>> device.device(dw_spread=0.1).dw_min
    0.05
    """
    for name in NAMES if models is None else models:
        if name not in NAMES:
            raise ConfigError(f"models: {name!r} is none of {', '.join(NAMES)}{did_you_mean(str(name), list(NAMES))}")
    tried = [model for model in MODELS if models is None or model.name in models]
    if not tried:
        raise ConfigError(f"models: none given; expected some of {', '.join(NAMES)}")
    measured = read_pulses(data)
    low, high = float(measured.conductance.min()), float(measured.conductance.max())
    y = (measured.conductance - low) * (2.0 / (high - low)) - 1.0
    fits = []
    for model in tried:
        if say is not None:
            say(model.name)
        kinds = (False, True) if model.additive_too else (False,)
        found = [_model_fit(model, measured, y, (low, high), likeliest(model, measured.pulses, y, a)) for a in kinds]
        fits.append(min(found, key=lambda f: f.criterion))
    lowest = min(f.criterion for f in fits)
    chosen = next(f for f in fits if f.criterion <= lowest + UNDECIDED)
    rest = sorted((f for f in fits if f is not chosen), key=lambda f: f.criterion)
    return DeviceFit((chosen, *rest), (low, high), measured.name, measured)


fit = fit_device  # its name within this module's own subject


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if abs(value) > TINY else 0.0


def _model_fit(model: FitModel, measured: PulseData, y: Array, ends: tuple[float, float], best: Likeliest) -> ModelFit:
    """What the most likely parameters, first state and noises amount to."""
    x, given = best.x.copy(), (measured.pulses, y, best.typical, best.additive)
    e, s = (a[:, 0] for a in predict(model, x[:, np.newaxis], *given))
    response = predict(model, np.array([*x[:-1], 0.0])[:, np.newaxis], *given)[0][:, 0]
    n, mean_square = len(y), max(float(np.mean(best.weighted**2)), SMALLEST_RMS**2)
    reached = np.any(best.derivative != 0.0, axis=0)
    if not reached[-4]:
        x[-4] = min(x[-4], 1.0)  # where the measurement ended
    if not reached[-3]:
        x[-3] = max(x[-3], -1.0)
    preset = model.preset(x[:-2])
    if mean_square > SMALLEST_RMS**2:
        sigma = float(np.sqrt(np.mean(e**2 / s)))  # the unit of both noises
        preset["c2c"] = float(sigma * np.sin(x[-1]) / best.typical)
        preset["write_noise"] = float(sigma * np.cos(x[-1]) / preset["dw_min"])
        preset |= {"c2c_additive": True} if best.additive else {}
    preset["source"] = f"fit to {measured.name}"
    parameters = int(np.count_nonzero(reached))
    unit = (ends[1] - ends[0]) / 2.0
    return ModelFit(
        model.name,
        preset,
        float(np.sqrt(np.mean(e**2))) * unit,
        float(np.sqrt(np.mean(response**2))) * unit,
        parameters,
        n * float(np.log(mean_square)) + parameters * float(np.log(n)),
        measured.conductance - e * unit,
        measured.conductance - response * unit,
    )
