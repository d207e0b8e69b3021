"""The chip: a network on imperfect hardware. What is wrong with it belongs here, how it learns to the rule."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .errors import ConfigError
from .network import Network
from .settings import Settings, did_you_mean, number

NonNegative = Annotated[float, BeforeValidator(number), Field(ge=0)]

# Orders of magnitude of the three cases of McCaughan et al. 2023, section on hardware time; seconds a step.
TIME_SCALES = {"chip-in-the-loop": 1e-3, "mem-compute": 10e-9, "superconducting": 200e-12}


class Neuron(Settings):
    """Neurons and their device-to-device spread.

    spread : float >= 0, dimensionless
        sigma_a: f(a) = alpha act(beta (a - a0)) + b0 with alpha, beta ~ 1 + sigma_a xi and a0, b0 ~ sigma_a xi, drawn
        once per neuron and chip (McCaughan et al. 2023, logistic form; the same affine spread on the others).

    >>> Neuron(spread=0.1).spread
    0.1
    """

    table: ClassVar[str] = "neuron"
    spread: NonNegative = 0.0


DEVICE_NAMES = ("ideal",)


class Device(Settings):
    """The devices that hold the parameters, and how they are written and perturbed.

    name : preset this came from
    write : "ideal" | "noisy"
        theta += dw, or theta += dw + sigma_theta xi, a fresh draw per parameter and write.
    sigma_theta : float >= 0, in units of theta; needs write = "noisy" (set by itself when left out)
    write_time : float >= 0, seconds an update of all parameters takes; counts in the emulated time
    amplitude_mismatch : float >= 0, relative
        The network sees theta_ac (1 + amplitude_mismatch xi), fixed per parameter and chip; the update uses theta_ac.

    >>> Device(sigma_theta=0.01).write
    'noisy'
    """

    table: ClassVar[str] = "device"
    name: str = "ideal"
    write: Literal["ideal", "noisy"] = "ideal"
    sigma_theta: NonNegative = 0.0
    write_time: NonNegative = 0.0
    amplitude_mismatch: NonNegative = 0.0

    def __init__(self, /, **settings: Any) -> None:
        sigma = settings.get("sigma_theta", 0)
        if "write" not in settings and isinstance(sigma, int | float) and sigma > 0:
            settings["write"] = "noisy"
        super().__init__(**settings)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.name not in DEVICE_NAMES:
            raise ValueError(f"name = {self.name!r}: must be one of {', '.join(DEVICE_NAMES)}")
        if self.write == "ideal" and self.sigma_theta > 0:
            raise ValueError(f'sigma_theta = {self.sigma_theta:g} needs write = "noisy"')
        return self


DEVICES = {"ideal": Device()}


def device(name: str = "ideal", **changes: Any) -> Device:
    """A preset device, some of its settings changed.

    >>> device("ideal", sigma_theta=0.01)
    Device(name='ideal', write='noisy', sigma_theta=0.01, write_time=0.0, amplitude_mismatch=0.0)
    """
    if not isinstance(name, str) or name not in DEVICES:
        known = list(DEVICES)
        hint = did_you_mean(str(name), known)
        raise ConfigError(f"device.name = {name!r}: unknown device{hint}; known: {', '.join(known)}")
    preset = {k: getattr(DEVICES[name], k) for k in Device.model_fields}
    if changes.get("sigma_theta"):
        preset.pop("write")
    return Device(**{**preset, **changes})


class Converters(Settings):
    """Readout of the cost.

    sigma_C : float >= 0, in units of the cost: Gaussian noise of every measurement of the perturbed cost
    sigma_C_baseline : bool: the same noise, independent, on the measured baseline too

    >>> Converters(sigma_C=0.01).sigma_C_baseline
    False
    """

    table: ClassVar[str] = "converters"
    sigma_C: NonNegative = 0.0
    sigma_C_baseline: Annotated[bool, Field(strict=True)] = False


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        if value not in TIME_SCALES:
            names = ", ".join(f'"{k}" ({v:g} s)' for k, v in TIME_SCALES.items())
            raise ValueError(f"must be seconds or one of {names}")
        return TIME_SCALES[value]
    return number(value)


class Chip(Settings):
    """A network on hardware.

    network : Network
    device : Device, or the name of a preset
    neuron : Neuron
    converters : Converters
    step_time : seconds one evaluation of the network takes, or a named scale: "chip-in-the-loop" (1 ms),
        "mem-compute" (10 ns), "superconducting" (200 ps)

    >>> Chip(Network.mlp([2, 2, 1]), step_time="mem-compute").step_time
    1e-08
    """

    table: ClassVar[str] = "chip"
    network: Network
    device: Device = Device()
    neuron: Neuron = Neuron()
    converters: Converters = Converters()
    step_time: Annotated[float, BeforeValidator(_seconds), Field(gt=0)] = 1e-3

    def __init__(self, network: Network, **settings: Any) -> None:
        if isinstance(settings.get("device"), str):
            settings["device"] = device(settings["device"])
        super().__init__(network=network, **settings)
