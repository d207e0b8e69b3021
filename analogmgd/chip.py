"""The chip: a network on imperfect hardware. What is wrong with it belongs here, how it learns to the rule."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .devices import Device, device
from .faults import Faults
from .network import Network
from .settings import NonNegative, Positive, Real, Settings, number, whole
from .wires import Wires

Bits = Annotated[int, BeforeValidator(whole), Field(ge=1, le=24)]

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
    """What stands between the crossbars and the rest of the chip; None for bits: no converter.

    sigma_C : float >= 0, in units of the cost: Gaussian noise of every measurement of the perturbed cost
    sigma_C_baseline : bool: the same noise, independent, on the measured baseline too
    dac_bits : 1 to 24, of what drives the rows of each layer; dac_range : (lowest, highest) value
    adc_bits : of the pre-activations; adc_range : largest |a|; adc_gain_spread : relative, adc_offset_spread : in units
        of a, of each column's converter
    cost_bits : of the cost; cost_of : "change", C_ac (the default), or "cost", C and C0 themselves; cost_range : the
        largest |C_ac|, or the largest cost
    What lies outside a range is cut, and counted: `Trace.saturated`.
    Noise of the cost's readout that is not white, in units of the cost, the same for all measurements of a step:
    cost_flicker : rms of 1/f noise, from the time of a step to cost_flicker_slowest (seconds)
    cost_drift : random walk, rms after one second, growing with the square root of the time
    cost_hum, cost_hum_frequency : amplitude and frequency (Hz) of the mains, with a random phase for each chip
    cost_telegraph, cost_telegraph_time : a level that jumps between +-cost_telegraph, and stays for so many seconds on
        average
    error_gain_spread, error_offset_spread : the array of each layer gets C_ac (1 + error_gain_spread xi) +
        error_offset_spread xi', fixed for each layer and chip

    >>> Converters(adc_bits=8, adc_range=4.0).adc_bits
    8
    """

    table: ClassVar[str] = "converters"
    sigma_C: NonNegative = 0.0
    sigma_C_baseline: Annotated[bool, Field(strict=True)] = False
    dac_bits: Bits | None = None
    dac_range: tuple[Real, Real] = (0.0, 1.0)
    adc_bits: Bits | None = None
    adc_range: Positive = 8.0
    adc_gain_spread: NonNegative = 0.0
    adc_offset_spread: NonNegative = 0.0
    cost_bits: Bits | None = None
    cost_of: Literal["change", "cost"] = "change"
    cost_range: Positive = 0.1
    cost_flicker: NonNegative = 0.0
    cost_flicker_slowest: Positive = 1.0
    cost_drift: NonNegative = 0.0
    cost_hum: NonNegative = 0.0
    cost_hum_frequency: Positive = 50.0
    cost_telegraph: NonNegative = 0.0
    cost_telegraph_time: Positive = 1.0
    error_gain_spread: NonNegative = 0.0
    error_offset_spread: NonNegative = 0.0

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.dac_range[0] >= self.dac_range[1]:
            raise ValueError(f"dac_range = {list(self.dac_range)}: the first must be less than the second")
        for name in ("adc_gain_spread", "adc_offset_spread"):
            if getattr(self, name) > 0 and self.adc_bits is None:
                raise ValueError(f"{name} = {getattr(self, name)} needs adc_bits")
        return self

    @property
    def plain(self) -> bool:
        """Whether nothing is converted, and the noise of the cost is white."""
        bits = self.dac_bits, self.adc_bits, self.cost_bits
        return bits == (None, None, None) and not self.coloured and not self.errors_vary

    @property
    def coloured(self) -> bool:
        """Whether the cost has noise that is not white."""
        return max(self.cost_flicker, self.cost_drift, self.cost_hum, self.cost_telegraph) > 0

    @property
    def errors_vary(self) -> bool:
        """Whether the arrays get different error signals."""
        return self.error_gain_spread > 0 or self.error_offset_spread > 0

    @property
    def adc_varies(self) -> bool:
        """Whether the converters of the columns differ."""
        return self.adc_gain_spread > 0 or self.adc_offset_spread > 0


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
    faults : Faults
    wires : Wires of the crossbars, or None: without resistance
    delay : steps after which the error signal arrives at the parameters; delay_matched : whether they delay their own
        perturbations as much (default), or multiply what arrives with the present one
    input_tau : time constant, in steps, with which the inputs follow what is presented; 0: at once
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
    faults: Faults = Faults()
    wires: Wires | None = None
    step_time: Annotated[float, BeforeValidator(_seconds), Field(gt=0)] = 1e-3
    delay: Annotated[float, BeforeValidator(number), Field(ge=0, le=100_000)] = 0
    delay_matched: Annotated[bool, Field(strict=True)] = True
    input_tau: NonNegative = 0.0

    def __init__(self, network: Network, **settings: Any) -> None:
        if isinstance(settings.get("device"), str):
            settings["device"] = device(settings["device"])
        super().__init__(network=network, **settings)
