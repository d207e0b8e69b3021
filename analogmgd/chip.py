"""The chip: a network on imperfect hardware. What is wrong with it belongs here, how it learns to the rule."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from .devices import Device, device
from .network import Network
from .settings import Settings, number

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
