"""This package's side: a cell is one call of `run_config`, nothing recorded, kernels compiled beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np

from analogmgd.config import Config
from analogmgd.data import Dataset, load_dataset
from analogmgd.plan_tables import start_scale
from analogmgd.train import run_config

from .problem import AMPLITUDE, Problem
from .workloads import Cell, Group

SYNTHETIC = 1000  # samples


def versions() -> dict[str, str]:
    """Of the libraries."""
    import llvmlite
    import numba

    from analogmgd import __version__

    return {
        "analogmgd": __version__, "numba": numba.__version__, "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
    }  # fmt: skip


def synthetic() -> Dataset:
    """28 x 28 pictures of 10 classes made from a seed: a smooth pattern each, with noise. About speed only."""
    random = np.random.default_rng(28)
    labels = np.arange(SYNTHETIC) % 10
    patterns = random.random((10, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    pixels = np.clip(patterns[labels] + 0.2 * random.standard_normal((SYNTHETIC, 28, 28)), 0, 1)
    return Dataset((255 * pixels).astype(np.uint8), labels, name="synthetic")


def data_of(group: Group) -> Dataset:
    """The data set of a group."""
    return synthetic() if group.data == "synthetic" else load_dataset(group.data)


def learning_rate(group: Group) -> float:
    """Small enough for the descent to be stable: random codes multiply the curvature by P."""
    return float(min(0.05, 1 / sum(b * (a + 1) for a, b in zip(group.sizes, group.sizes[1:], strict=False))))


def config_of(group: Group, cell: Cell, steps: int, **changes: Any) -> Config:
    """The configuration of a cell."""
    settings = {
        "network.sizes": list(group.sizes), "data.name": group.data, "rule.amplitude": AMPLITUDE,
        "rule.eta": learning_rate(group), "run.record": (), "run.steps": steps, "run.chips": cell.chips,
        **group.setting(cell), **changes,
    }  # fmt: skip
    tables: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        table, name = key.split(".")
        tables.setdefault(table, {})[name] = value
    return Config.from_tables(tables)


def problem_of(group: Group, eta: float | None = None, tau_theta: int | None = None) -> Problem:
    """The base cell of a group as arrays, for the peers."""
    config, data = config_of(group, group.base, 1), data_of(group)
    real = np.float64 if config.run.precision == "double" else np.float32
    rule: Any = config.rule
    return Problem(
        group.sizes, data.inputs("train", real), data.targets("train", real), start_scale(config.chip, real),
        rule.eta if eta is None else eta, tau_theta or int(rule.tau_theta),
    )  # fmt: skip


class Job:
    """A cell, as the peers' jobs are; `seconds` is of the run proper, without drawing chips and building arrays."""

    def __init__(self, group: Group, cell: Cell, threads: int, **changes: Any) -> None:
        self.group, self.cell, self.threads, self.changes = group, cell, cell.threads or threads, changes
        self.chips, self.data = cell.chips, data_of(group)
        self.theta0: np.ndarray | None = None
        self.seed, self.seconds = 0, 0.0

    def reset(self, theta0: np.ndarray | None, seed: int) -> None:
        """Start from theta0 real[chips, P], or from what the network says."""
        self.theta0, self.seed = theta0, seed

    def run(self, steps: int) -> int:
        """Do so many steps, always from the start."""
        config = config_of(self.group, self.cell, steps, **{"run.seed": self.seed, **self.changes})
        run = run_config(config, self.data, theta0=self.theta0, threads=self.threads)
        if run.status == "interrupted":
            raise KeyboardInterrupt
        self.seconds = float(run.extra["wall_seconds"])
        self._theta = run.theta
        return steps

    def theta(self) -> np.ndarray:
        """real[chips, P], after the last run."""
        return np.asarray(self._theta)
