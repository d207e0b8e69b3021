"""What becomes of trained chips that are left alone: accuracy against time under drift and leak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .block import Block
from .config import Config
from .data import Dataset, load_dataset
from .device_law import decayed
from .errors import ConfigError
from .kernels.table import DRIFT_T0
from .picture_block import lane_block
from .plan import Plan
from .rule import MGD
from .trace import Trace
from .wire_block import conductances, seen

LANES = 64
Later = Callable[[float], np.ndarray]


@dataclass(frozen=True)
class Aging:
    """seconds float64[T]; accuracy, cost float64[T, chips]; theta real[T, chips, P], what the network then sees."""

    seconds: np.ndarray
    accuracy: np.ndarray
    cost: np.ndarray
    theta: np.ndarray


def age(run: Trace, seconds: Sequence[float], data: Dataset | None = None) -> Aging:
    """Leave the chips of a finished run alone, with the devices that each has drawn, and test them again.

    run : a Trace that has ended, of chips whose devices drift or leak
    seconds : times after the end of the run, >= 0; every device counts as written at its end
    data : the data set, where the run's own cannot be loaded by its name

    Drift is g(t) = g_w ((t + t0)/t0)^-nu of both conductances of a pair, t0 that of the device, or one step of the run;
    exponents that are drawn at each write are those of the last. What fluctuates is left out. With wires the
    arrays are solved exactly at each of the times.
    Returns an `Aging`. Raises ConfigError where there is nothing that ages (runs of `Backprop` have no devices), or a
    time is negative.

    >>> from analogmgd import MGD, Chip, Device, Network, train
    >>> chip = Chip(Network.mlp([2, 2, 1]), device=Device(drift_nu=0.1, drift_t0=20.0))
    >>> run = train(chip, "parity", MGD(), steps=100, chips=4)
    >>> bool(abs(age(run, [0.0, 1e6]).theta[1]).max() < 0.5 * abs(run.theta).max())
    True
    """
    config = Config.from_toml(run.config)
    times = np.asarray(seconds, np.float64)
    if times.ndim != 1 or not np.isfinite(times).all() or (times < 0).any():
        raise ConfigError(f"seconds = {seconds}: must be a list of times >= 0")
    if not config.chip.device.ages:
        raise ConfigError(f"device {config.chip.device.name!r} neither drifts nor leaks: nothing becomes of its chips")
    if not isinstance(config.rule, MGD):
        raise ConfigError("the run is of backpropagation, which has no devices: start MGD of eta = 0 from its theta")
    plan = Plan(config, data if data is not None else load_dataset(**config.data))
    if run.environment.get("data_sha256") != plan.data.fingerprint():
        raise ConfigError(f"data set {plan.data.name}: it is not the one the run was trained on")
    blocks = [_age_block(plan, run, first, times) for first in range(0, len(plan.ids), LANES)]
    theta, cost, accuracy = (np.concatenate(parts, axis=1) for parts in zip(*blocks, strict=True))
    return Aging(times, accuracy, cost, theta)


def _age_block(plan: Plan, run: Trace, first: int, times: np.ndarray) -> tuple[np.ndarray, ...]:
    count = min(LANES, len(plan.ids) - first)
    block = lane_block(plan)(plan, first, count, None)
    assert block.devices is not None
    chosen = np.minimum(np.arange(first, first + block.theta.shape[1]), first + count - 1)
    later = _pairs(plan, run, chosen) if plan.chip.device.paired else _mapped(plan, run, chosen, block)
    found = []
    for seconds in times:
        block.theta[:] = block.quiet[:] = later(float(seconds) / plan.iteration_seconds)
        if plan.chip.device.digital_biases:
            block.theta[plan.biases] = block.quiet[plan.biases] = run.theta[chosen].T[plan.biases]
        cost, accuracy = block.evaluate(plan.test, len(plan.test.x))
        found.append((block.chips_theta(), cost, accuracy))
    return tuple(np.array(part) for part in zip(*found, strict=True))


def _mapped(plan: Plan, run: Trace, chosen: np.ndarray, block: Block) -> Later:
    """What becomes of weights that devices are mapped onto: theta float64[P, lanes] after so many iterations."""
    assert block.devices is not None
    wires = block.devices.wires
    offset = block.devices.drawn.get("reference", 0)
    start = run.theta if run.own is None else run.own
    held = (start[chosen].T.astype(plan.dtype) + offset).astype(np.float64)
    aging = block.devices.hardware.aging
    stuck = aging.stuck_plus, aging.stuck_minus
    drawn = [block.devices.drawn.get(name) for name in ("drift_nu_plus", "drift_nu_minus", "leak")]

    def later(iterations: float) -> np.ndarray:
        now = decayed(held, iterations, plan.about, drawn[0], drawn[1], drawn[2], stuck) - offset
        if wires is None:
            return now
        held_at = wires.parts.stuck_plus, wires.parts.stuck_minus  # and open lines
        pairs = conductances(held, now, iterations, plan.about, (drawn[0], drawn[1]), held_at)
        return seen(plan.chip, *(np.ascontiguousarray(g.T) for g in pairs)).T

    return later


def _pairs(plan: Plan, run: Trace, chosen: np.ndarray) -> Later:
    """The same of weights whose two conductances are in the trace; what fluctuates is left out."""
    conductances, nu, still = run.conductances, run.nu, run.theta_still
    assert conductances is not None and nu is not None  # noqa: PT018
    pair, nu = (x[chosen].astype(np.float64).transpose(2, 1, 0) for x in (conductances, nu))
    rest = (run.theta if still is None else still)[chosen].T - (pair[0] - pair[1])

    def later(iterations: float) -> np.ndarray:
        now = pair * np.exp(-nu * np.log1p(iterations / plan.about[DRIFT_T0]))
        return now[0] - now[1] + rest

    return later
