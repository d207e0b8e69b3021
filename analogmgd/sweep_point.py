"""One point of a sweep: a run, and what becomes of each of its chips."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .config import Config
from .data import Dataset
from .errors import ConfigError
from .merge import Rows
from .plan import Plan
from .train import run_config

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
            raise ConfigError(f"--target {text!r}: expected an accuracy such as 0.9, or cost=0.01")
        return cls(name, value)

    def reached(self, values: Array) -> Array:
        """bool, of the values of its quantity."""
        with np.errstate(invalid="ignore"):
            found: Array = values >= self.value if self.quantity == "accuracy" else values <= self.value
        return found

    def __str__(self) -> str:
        return f"{self.quantity} {self.value:g}"


class Watch:
    """Counts chip-steps, and ends the run when `stop` is set."""

    def __init__(self, stop: threading.Event, done: Callable[[int], None]) -> None:
        self.stop_asked, self.done, self.told = stop, done, 0

    def start(self, plan: Plan) -> None:
        """Nothing to do."""

    def tick(self, chip_steps: int, row: Rows) -> None:
        """Hand on what was done since the last call."""
        if self.stop_asked.is_set():
            raise Stopped
        self.done(chip_steps - self.told)
        self.told = chip_steps

    def stop(self) -> None:
        """Nothing to do."""


def measured(config: Config, data: Dataset, targets: tuple[Target, ...], threads: int, watch: Watch) -> dict[str, Any]:
    """Run a point: arrays over its chips by name, (chips,) or (targets, chips), and `wall_seconds`.

    A target is reached at the first recorded row that shows it; NaN: not within the run.
    """
    begun = time.perf_counter()
    run = run_config(config, data, threads=threads, progress=watch)
    if run.status == "interrupted":
        raise Stopped
    accuracy, cost = (run.record[name][:] if name in run.record else None for name in ("accuracy", "cost"))
    chips = len(run.chips)
    found: dict[str, Any] = {"status": np.full(chips, COMPLETE, np.int8), "chip": run.chips}
    found["diverged_step"] = np.full(chips, -1, np.int64)
    for chip, step in run.diverged.items():
        lane = int(np.flatnonzero(run.chips == chip)[0])
        found["status"][lane], found["diverged_step"][lane] = DIVERGED, step
    for name, values, best in (("accuracy", accuracy, np.fmax), ("cost", cost, np.fmin)):
        values = np.full((1, chips), np.nan) if values is None else values.astype(np.float64)
        found[f"final_{name}"] = np.where(found["status"] == DIVERGED, np.nan, values[-1])
        found[f"best_{name}"] = best.reduce(values, axis=0)
    found["steps"] = np.full(chips, run.step[-1], np.int64)
    found["seconds"] = np.full(chips, run.time[-1], np.float64)
    found["steps_to_target"] = np.full((len(targets), chips), np.nan)
    found["seconds_to_target"] = np.full((len(targets), chips), np.nan)
    for k, target in enumerate(targets):
        values = accuracy if target.quantity == "accuracy" else cost
        if values is None:
            continue
        reached = target.reached(values)
        first = reached.argmax(axis=0)
        there = reached.any(axis=0)
        found["steps_to_target"][k, there] = run.step[:][first[there]]
        found["seconds_to_target"][k, there] = run.time[:][first[there]]
    return {**found, "wall_seconds": time.perf_counter() - begun}
