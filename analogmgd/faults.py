"""Faults: devices that are stuck, lines that are open, neurons that are dead, devices that wear out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from .kernels import draw
from .kernels import table as t
from .kernels.philox import FAULT, fill_words
from .settings import NonNegative, Positive, Real, Settings, number, whole

if TYPE_CHECKING:
    from .plan import Plan

Fraction = Annotated[float, BeforeValidator(number), Field(ge=0, le=1)]
Count = Annotated[int, BeforeValidator(whole), Field(ge=0)]
Place = tuple[Count, Count]
Kind = Literal["plus", "minus"]
MOST_PULSES = 2**32 - 1


def _places(value: Any) -> Any:
    """Lists of lists, as TOML has them, as tuples."""
    return tuple(tuple(v) if isinstance(v, list) else v for v in value) if isinstance(value, list) else value


class Faults(Settings):
    """What is broken on a chip. Fractions are drawn for each chip; places are the same on all.

    stuck_low, stuck_high, stuck_random : fraction of the single devices (two for each parameter) whose conductance is
        stuck at the least, at the largest, or anywhere between; the other device of the pair still moves. They need
        device.w_min and w_max
    stuck : places of stuck devices: (parameter, "plus" | "minus", value), value from 0 (the least) to 1 (the largest
        conductance that the device takes as its weight goes from w_min to w_max)
    rows, columns : fraction of the lines of each layer's array that are open: what lies on a dead row sees no input, a
        dead column gives 0 and its perturbations have no effect; dead_rows, dead_columns : (layer, number) of such
    neurons : fraction of the neurons whose output is `neuron_output` for ever; dead_neurons : (layer, number) of such
    endurance : median number of pulses after which a device moves no more, or None; endurance_spread : spread of
        its logarithm

    >>> Faults(stuck_low=0.01, dead_rows=[(0, 3)]).dead_rows
    ((0, 3),)
    """

    table: ClassVar[str] = "faults"
    stuck_low: Fraction = 0.0
    stuck_high: Fraction = 0.0
    stuck_random: Fraction = 0.0
    stuck: Annotated[tuple[tuple[Count, Kind, Fraction], ...], BeforeValidator(_places)] = ()
    rows: Fraction = 0.0
    columns: Fraction = 0.0
    neurons: Fraction = 0.0
    neuron_output: Real = 0.0
    dead_rows: Annotated[tuple[Place, ...], BeforeValidator(_places)] = ()
    dead_columns: Annotated[tuple[Place, ...], BeforeValidator(_places)] = ()
    dead_neurons: Annotated[tuple[Place, ...], BeforeValidator(_places)] = ()
    endurance: Positive | None = None
    endurance_spread: NonNegative = 0.0

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.stuck_low + self.stuck_high + self.stuck_random > 1:
            raise ValueError("stuck_low, stuck_high, stuck_random: must not be more than 1 together")
        if self.endurance_spread > 0 and self.endurance is None:
            raise ValueError(f"endurance_spread = {self.endurance_spread} needs endurance")
        return self

    @property
    def devices(self) -> bool:
        """Whether single devices are stuck."""
        return bool(self.stuck) or self.stuck_low + self.stuck_high + self.stuck_random > 0

    @property
    def lines(self) -> bool:
        """Whether lines are open."""
        return bool(self.dead_rows or self.dead_columns) or self.rows + self.columns > 0

    @property
    def outputs(self) -> bool:
        """Whether neurons are dead."""
        return bool(self.dead_neurons) or self.neurons > 0

    @property
    def any(self) -> bool:
        """Whether anything is, or gets, broken."""
        return self.devices or self.lines or self.outputs or self.endurance is not None

    def check(self, layers: list[tuple[int, int]], n_params: int) -> str | None:
        """What lies outside of a network with layers (n_in, n_out), in words; None where all is inside."""
        for p, _, _ in self.stuck:
            if p >= n_params:
                return f"faults.stuck: parameter {p}: must be less than {n_params}, the parameters of the network"
        for name, side in (("dead_rows", 0), ("dead_columns", 1), ("dead_neurons", 1)):
            for layer, k in getattr(self, name):
                if layer >= len(layers):
                    return f"faults.{name}: layer {layer}: must be less than {len(layers)}, the layers of the network"
                if k >= layers[layer][side]:
                    return f"faults.{name}: [{layer}, {k}]: must be less than {layers[layer][side]} in that layer"
        return None


def spans(low: np.ndarray, high: np.ndarray, about: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Least and largest conductance of the devices plus and minus of pairs whose weight goes from `low` to `high`.

    The reference of a pair does not move; where it is stuck, it is stuck as a device that moves would be.
    """
    base = about[t.G_PAIR]
    if about[t.MAPPING] == t.ONE_SIDED:
        (a, b), (c, d) = (np.maximum(low, 0), np.maximum(high, 0)), (np.maximum(-high, 0), np.maximum(-low, 0))
    elif about[t.MAPPING] == t.SYMMETRIC:
        (a, b), (c, d) = (low / 2, high / 2), (-high / 2, -low / 2)
    else:
        (a, b), (c, d) = (low, high), (low, high)
    return (base + a, base + b), (base + c, base + d)


class FaultBlock:
    """The faults of the chips in a block of lanes.

    stuck : float64[P, lanes] twice, what the conductances plus and minus are stuck at, 0 (the least) to 1, NaN where
        they move; or None
    open : bool[P, lanes], what lies on a dead line, or no rows; limit : uint32[P, lanes] pulses a device lives for
    dead : bool[neurons, lanes], or no rows
    """

    def __init__(self, plan: Plan, seed: np.uint64, ids: np.ndarray, rows: Callable[..., np.ndarray]) -> None:
        self._plan, self._seed, self._ids, self._rows = plan, seed, ids, rows
        faults, lanes = plan.chip.faults, ids.shape[1]
        none = np.zeros((0, lanes), bool)
        self.stuck: tuple[np.ndarray, np.ndarray] | None = None
        if faults.devices:
            self.stuck = self._pairs()
        self.open = self._lines() if faults.lines else none
        self.dead = self._neurons() if faults.outputs else none
        self.limit = self._limits() if faults.endurance is not None else rows(0, np.dtype(np.uint32))

    def _uniform(self, number: int, count: int) -> np.ndarray:
        """float64[count, lanes] in (0, 1), block `number` of the stream."""
        most = 4 * self._plan.n_params + 4 * self._plan.n_neurons + 64  # of any block: they do not overlap
        out = np.zeros((4 * ((count + 3) // 4), self._ids.shape[1]), np.uint32)
        fill_words(self._seed, self._ids, np.uint64(FAULT), np.uint64(number * 4 * ((most + 3) // 4)), out)
        return (out[:count] + 0.5) * 2.0**-32

    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        faults, n = self._plan.chip.faults, self._plan.n_params
        chance, value = self._uniform(0, 2 * n), self._uniform(1, 2 * n)
        a, b = faults.stuck_low, faults.stuck_low + faults.stuck_high
        c = b + faults.stuck_random
        held = np.where(chance < a, 0.0, np.where(chance < b, 1.0, np.where(chance < c, value, np.nan)))
        for p, which, fraction in faults.stuck:
            held[p if which == "plus" else n + p] = fraction
        return held[:n], held[n:]

    def _lines(self) -> np.ndarray:
        faults, net = self._plan.chip.faults, self._plan.chip.network
        widths = [(layer.rows, layer.columns) for layer in net.arrays]
        rows_dead = self._uniform(2, sum(a for a, _ in widths)) < faults.rows
        columns_dead = self._uniform(3, sum(b for _, b in widths)) < faults.columns
        on_column = not self._plan.chip.device.digital_biases
        parts, i, j = [], 0, 0
        for q, (n_in, n_out) in enumerate(widths):
            row, column = rows_dead[i : i + n_in].copy(), columns_dead[j : j + n_out].copy()
            i, j = i + n_in, j + n_out
            row[[k for layer, k in faults.dead_rows if layer == q]] = True
            column[[k for layer, k in faults.dead_columns if layer == q]] = True
            parts += [(row[np.newaxis] | column[:, np.newaxis]).reshape(n_in * n_out, -1), column & on_column]
        return np.concatenate(parts)

    def _neurons(self) -> np.ndarray:
        faults, net = self._plan.chip.faults, self._plan.chip.network
        dead = self._uniform(4, self._plan.n_neurons) < faults.neurons
        first = np.concatenate([[0], np.cumsum([layer.columns for layer in net.arrays])])
        for layer, k in faults.dead_neurons:
            dead[first[layer] + k] = True
        return dead

    def single(self, side: int, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bounds real[P, lanes] of the devices plus (0) or minus (1) of pairs: equal where they are stuck or open."""
        if self.stuck is not None:
            held = self.stuck[side]
            at = np.where(np.isnan(held), 0, low + held * (high - low)).astype(low.dtype)
            low, high = (np.where(np.isnan(held), x, at) for x in (low, high))
        if len(self.open):
            low, high = (np.where(self.open, low.dtype.type(0), x) for x in (low, high))
        return low, high

    def limits(self, side: int) -> np.ndarray:
        """Pulses that the devices plus (0) or minus (1) of pairs live for, uint32[P, lanes]."""
        return self._limits(side)

    def _limits(self, side: int = 0) -> np.ndarray:
        faults, n = self._plan.chip.faults, self._plan.n_params
        assert faults.endurance is not None
        xi = np.zeros((4 * ((n + 3) // 4), self._ids.shape[1]))
        draw.draw_normals(self._seed, self._ids, FAULT, 2**40 + side, np.zeros((32, xi.shape[1]), np.uint32), xi)
        life = np.zeros_like(xi)
        draw.exponential(faults.endurance_spread * xi, life)
        limit = self._rows(n, np.dtype(np.uint32))
        limit[:] = np.clip(np.floor(faults.endurance * life[:n]), 1, MOST_PULSES)
        return limit

    def conductances(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the devices plus and minus are stuck at, real[P or 0, lanes] in units of theta, NaN where they move.

        low, high : bounds of the weights of whole pairs
        """
        if self.stuck is None:
            return low[:0], high[:0]
        found = []
        for fraction, (least, largest) in zip(self.stuck, spans(low, high, self._plan.about), strict=True):
            at = (least + fraction * (largest - least)).astype(low.dtype)
            if len(self.open):  # nothing of it is seen
                at[self.open] = np.nan
            if self._plan.chip.device.digital_biases:
                at[self._plan.biases] = np.nan
            found.append(at)
        return found[0], found[1]

    def bounds(self, low: np.ndarray, high: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the weights real[P or 0, lanes] as far as the faults leave them; equal where nothing moves.

        With a reference: of what the device that moves holds, whatever the other is stuck at.
        """
        if self.stuck is not None:
            at, about = self.conductances(low, high), self._plan.about
            plus, minus = (
                [np.where(np.isnan(s), end.astype(low.dtype), s) for end in ends]
                for s, ends in zip(at, spans(low, high, about), strict=True)
            )
            if about[t.MAPPING] == t.REFERENCE:
                base = low.dtype.type(about[t.G_PAIR])
                minus = [base, base]
            whole = np.isnan(at[0]) & np.isnan(at[1])  # as they were, to the bit
            low, high = np.where(whole, low, plus[0] - minus[1]), np.where(whole, high, plus[1] - minus[0])
        if len(self.open):
            if not len(low):
                most = float(np.finfo(np.float32).max)
                low, high = (np.full((self._plan.n_params, lanes), x, self._plan.dtype) for x in (-most, most))
            low, high = (np.where(self.open, self._plan.dtype.type(0), x) for x in (low, high))
        return low, high

    def neurons(self, neuron: np.ndarray) -> None:
        """Change neuron real[4 neurons, lanes] so that dead ones give what they give."""
        neuron[0::4][self.dead] = 0  # alpha
        neuron[3::4][self.dead] = self._plan.chip.faults.neuron_output  # b0
