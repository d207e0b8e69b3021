"""The wires of a block of lanes in the training loop: the arrays of the layers, and their state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .device_law import MAPPINGS, beside, drifted, mapped
from .errors import ConfigError
from .faults import FaultBlock
from .kernels import elimination
from .kernels import table as t
from .kernels.hardware import Wires as Parts
from .rule import MGD
from .wires import effective_matrix, tiles

if TYPE_CHECKING:
    from .chip import Chip
    from .plan import Plan


def check_wires(chip: Chip, rule: object) -> None:
    """Raise ConfigError where the wires of a chip lack what training with them needs."""
    wires, device = chip.wires, chip.device
    if wires is None or wires.ideal or not isinstance(rule, MGD):
        return
    if wires.g_unit is None:
        raise ConfigError("wires.g_unit is required: the conductance in siemens that w = 1 of a device is")
    if device.mapping != "one-sided" and device.w_max is None:
        raise ConfigError(f'device.mapping = "{device.mapping}": wires need device.w_min and device.w_max with it')


def array_table(chip: Chip) -> np.ndarray:
    """int64[arrays, TILE]: the arrays that the layers lie on, a last row for the biases; see `kernels.table`."""
    assert chip.wires is not None
    rows = [
        (q, i.start, i.stop - i.start, j.start, j.stop - j.start)
        for q, layer in enumerate(chip.network.arrays)
        for i, j in tiles(layer.rows + bias_rows(chip), layer.columns, chip.wires.tile)
    ]
    return np.array(rows, np.int64)


def bias_rows(chip: Chip) -> int:
    """Rows of an array that are driven at 1 for the biases: 1, or 0 where biases are not devices."""
    return 0 if chip.device.digital_biases else 1


def wiring(chip: Chip) -> np.ndarray:
    """float64[WIRING]: see `kernels.table`; conductances in units of theta."""
    wires, device = chip.wires, chip.device
    assert wires is not None
    assert wires.g_unit is not None
    siemens = wires.g_unit / device.scale  # of a conductance 1 in units of theta
    out = np.zeros(t.WIRING)
    out[t.ROW_R], out[t.COLUMN_R] = wires.row * siemens, wires.column * siemens
    out[t.SOURCE_R], out[t.SENSE_R] = wires.source * siemens, wires.sense * siemens
    out[t.DRIVEN_BOTH], out[t.SENSED_BOTH] = wires.driven == "both", wires.sensed == "both"
    out[t.REFRESH], out[t.TOLERANCE] = wires.refresh or 0, wires.tolerance
    out[t.EXACT] = wires.update == "exact"
    drifts = device.drift_nu > 0 or device.drift_nu_spread > 0
    broken = chip.faults.devices or chip.faults.lines
    out[t.ONE_LINE] = MAPPINGS[device.mapping] == t.ONE_SIDED and not drifts and not broken
    out[t.BIAS_ROWS] = bias_rows(chip)
    return out


def scratch_shape(chip: Chip) -> tuple[int, int, bool]:
    """Rows and columns of the largest array as it is eliminated, and whether columns are sensed at both ends."""
    assert chip.wires is not None
    sides = np.sort(array_table(chip)[:, [t.TILE_ROWS, t.TILE_COLUMNS]], axis=1)
    both = "both" in (chip.wires.sensed, chip.wires.driven)  # either, as arrays may be turned
    return int(sides[:, 1].max()), int(sides[:, 0].max()), both


def scratch_bytes(chip: Chip) -> int:
    """Memory that a block of lanes needs for its solves."""
    rows, n, both = scratch_shape(chip)
    size, width = 4 * -(-n // 4), 16 * -(-n // 16)
    return 8 * width * (3 * rows + size * (elimination.BLOCKS + rows * (1 + both)))


class WireBlock:
    """The wires of the chips in a block; own real[P, lanes] what their devices amount to, gain real[P, lanes] the
    mismatch of the perturbation, which takes what the wires leave of it.

    parts : for the kernel; state : what changes
    """

    def __init__(
        self, plan: Plan, own: np.ndarray, gain: np.ndarray, rows: Callable[..., np.ndarray], faults: FaultBlock | None,
        stuck: tuple[np.ndarray, np.ndarray],
    ) -> None:  # fmt: skip
        chip = plan.chip
        n, one = len(own), plan.dtype.type
        self.own, self.base, self.plus, self.minus = rows(n), rows(n), rows(n), rows(n)
        self.own[:] = own
        self.plus += one(1)  # of what does not lie on an array
        self.minus += one(1)
        self.mismatch = rows(0 if plan.exact_amplitude else n)
        self.mismatch[:] = gain[: len(self.mismatch)]
        antithetic = plan.mgd is not None and plan.mgd.baseline == "antithetic"
        about = wiring(chip)
        middle = rows(n if about[t.EXACT] and antithetic else 0)
        stuck_plus, stuck_minus = self._stuck(plan, rows, faults, stuck)
        steps = np.dtype(np.int64)
        after, last, solves = rows(1, steps), rows(1, steps), rows(1, np.dtype(np.uint64))
        worst = rows(2, np.dtype(np.float64))
        scratch = elimination.scratch(*scratch_shape(chip))
        self.parts = Parts(
            about, array_table(chip).ravel(), self.own, self.base, self.plus, self.minus, self.mismatch, middle,
            stuck_plus, stuck_minus, after, last, solves, worst, rows(n), rows(n), np.zeros(n), np.zeros(n), *scratch,
        )  # fmt: skip
        self.state = (self.own, self.base, self.plus, self.minus, after, last, solves, worst, gain)
        self.counts = {"own": self.own, "wire_solves": solves, "wire_error": worst[:1]}

    def _stuck(
        self, plan: Plan, rows: Callable[..., np.ndarray], faults: FaultBlock | None, stuck: tuple[np.ndarray, ...]
    ) -> list[np.ndarray]:
        """Conductances that do not move, plus and minus real[P or 0, lanes], NaN where they do; 0 on open lines."""
        if faults is None or not (len(stuck[0]) or len(faults.open)):
            return [rows(0), rows(0)]
        out = [rows(plan.n_params), rows(plan.n_params)]
        for array, at in zip(out, stuck, strict=True):
            array[:] = at if len(at) else np.nan
            if len(faults.open):
                array[faults.open] = 0
        return out

    def left_of(self, grad: np.ndarray) -> np.ndarray:
        """The gradient to what the devices amount to, from that to what the network sees; real[P, lanes]."""
        return grad * (0.5 * (self.plus + self.minus)).astype(grad.dtype)


def conductances(
    held: np.ndarray, own: np.ndarray, iterations: float, about: np.ndarray,
    nu: tuple[np.ndarray | None, np.ndarray | None], stuck: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """g_plus and g_minus of devices written as `held` that amount to `own` so many iterations later, float64[P, lanes].

    As `kernels.wire_pairs.pair`; nu : exponents of both; stuck : as `WireBlock` has them.
    """
    plus, minus = mapped(own, about)
    if nu[0] is not None and nu[1] is not None:
        up, down = drifted(held, iterations, about, nu[0], nu[1], stuck)
        more = own - (up - down)
        (plus, minus), (p, m) = mapped(held + more, about), mapped(held, about)
        plus, minus = up + plus - p, down + minus - m
    if len(stuck[0]):
        plus, minus = beside(plus, minus, own, stuck)
    below, above = np.maximum(-plus, 0), np.maximum(-minus, 0)
    return plus + below + above, minus + below + above


def seen(chip: Chip, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """float64[chips, P], what the network sees of conductances plus and minus float64[chips, P] in units of theta."""
    assert chip.wires is not None
    assert chip.wires.g_unit is not None
    siemens = chip.wires.g_unit / chip.device.scale
    theta = plus - minus
    first = 0
    for layer in chip.network.arrays:
        last = first + layer.rows * layer.columns
        biases = slice(last, last + layer.columns)
        weights = slice(first, last)

        def array(g: np.ndarray, weights=weights, biases=biases, layer=layer) -> np.ndarray:
            square = g[:, weights].reshape(-1, layer.columns, layer.rows)
            if bias_rows(chip):
                square = np.concatenate([square, g[:, biases, np.newaxis]], axis=2)
            return siemens * square.swapaxes(1, 2)

        matrix = (effective_matrix(array(plus), chip.wires) - effective_matrix(array(minus), chip.wires)) / siemens
        theta[:, weights] = matrix[:, :, : layer.rows].reshape(len(theta), -1)
        if bias_rows(chip):
            theta[:, biases] = matrix[:, :, layer.rows]
        first = biases.stop
    return theta
