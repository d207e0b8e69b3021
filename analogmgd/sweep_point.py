"""One point of a sweep: a run, and what becomes of each of its chips."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .config import Config
from .data import Dataset
from .engine import Engine
from .errors import ConfigError
from .merge import RowPlan, Rows
from .plan import Plan
from .settings import short

Array = npt.NDArray[Any]
COMPLETE, DIVERGED = 1, 2  # status of a chip; 0: the point has not been run


class Stopped(Exception):
    """The sweep is asked to stop: what there is of this point is not kept."""


@dataclass(frozen=True)
class Target:
    """An accuracy to be reached, or a cost to fall to.

    >>> Target.read("accuracy=0.9"), str(Target.read("0.95"))
    (Target(quantity='accuracy', value=0.9), 'accuracy 0.95')
    """

    quantity: str
    value: float

    @classmethod
    def read(cls, text: str) -> Target:
        """`0.9`, `accuracy=0.9` or `cost=0.01`."""
        name, equals, number = text.rpartition("=")
        name = name.strip() if equals else "accuracy"
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if name not in ("accuracy", "cost") or not value > 0 or (name == "accuracy" and value > 1) or value == np.inf:
            raise ConfigError(f"--target {short(text)}: expected an accuracy such as 0.9, or cost=0.01")
        return cls(name, value)

    def reached(self, values: Array) -> Array:
        """bool, of the values of its quantity."""
        with np.errstate(invalid="ignore"):
            found: Array = values >= self.value if self.quantity == "accuracy" else values <= self.value
        return found

    def __str__(self) -> str:
        return f"{self.quantity} {self.value:g}"


def measured(
    config: Config, data: Dataset, targets: tuple[Target, ...], threads: int, tick: Callable[[int], None]
) -> dict[str, Any]:
    """Run a point: arrays over its chips by name, (chips,) or (targets, chips), and `wall_seconds`.

    tick : called several times a second with the chip-steps done since the last call; what it raises ends the run
    A target is reached at the first recorded row that shows it; NaN: not within the run.
    """
    begun = time.perf_counter()
    plan = Plan(config, data)
    assert config.run.record_every is not None
    engine = Engine(plan, RowPlan(config.run.steps, config.run.record_every), None, threads)
    kept: dict[str, list[Array]] = {name: [] for name in ("step", "accuracy", "cost", "angle")}
    told = 0

    def keep(rows: Rows) -> None:
        for name, values in kept.items():
            if name in rows:
                values.append(np.array(rows[name]))

    def watch(chip_steps: int, row: Rows) -> None:
        nonlocal told
        tick(chip_steps - told)
        told = chip_steps

    if engine.run(keep, lambda rows: None, watch) == "interrupted":
        raise Stopped
    chips, step = len(plan.ids), np.concatenate([np.ravel(s) for s in kept["step"]])
    seconds = np.array([plan.seconds(int(n)) for n in step])
    bad = engine.lost(int(step[-1]))
    found: dict[str, Any] = {"chip": plan.ids.astype(np.int64)}
    found["diverged_step"] = np.array([bad.get(chip, -1) for chip in found["chip"].tolist()])
    lost = found["diverged_step"] >= 0
    found["status"] = np.where(lost, DIVERGED, COMPLETE)
    values = {}
    for name, best in (("accuracy", np.fmax), ("cost", np.fmin)):
        # in the precision in which a trace keeps them
        recorded = np.array(kept[name] if kept[name] else np.full((len(step), chips), np.nan), plan.dtype)
        rows = recorded.reshape(-1, chips).astype(np.float64)
        values[name] = rows
        found[f"final_{name}"] = np.where(lost, np.nan, rows[-1])
        found[f"best_{name}"] = best.reduce(rows, axis=0)
    if kept["angle"]:
        found["final_angle"] = np.asarray(kept["angle"][-1], np.float64).reshape(chips)
    found["steps"], found["seconds"] = np.full(chips, step[-1]), np.full(chips, seconds[-1])
    for kind, times in (("steps_to_target", step), ("seconds_to_target", seconds)):
        found[kind] = np.full((len(targets), chips), np.nan)
        for k, target in enumerate(targets):
            reached = target.reached(values[target.quantity])
            there = reached.any(axis=0)
            found[kind][k, there] = times[reached.argmax(axis=0)[there]]
    return {**found, "wall_seconds": time.perf_counter() - begun}
