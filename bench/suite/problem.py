"""What a workload computes, as plain arrays that every peer can take.

All sides do the same in the same precision: a sample a step, its baseline whenever the sample or theta has changed, the
cost with theta + theta_ac, G += C_ac theta_ac / amplitude**2, theta -= eta G every tau_theta steps; sigmoid neurons,
mean squared error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

AMPLITUDE = 0.01


@dataclass(frozen=True)
class Problem:
    """x real[n, n_in], y real[n, n_out]; scale real[P]: theta0 is uniform within +-scale; eta per step."""

    sizes: tuple[int, ...]
    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    eta: float
    tau_theta: int = 1
    amplitude: float = AMPLITUDE

    @property
    def n_params(self) -> int:
        """P, the number of weights and biases."""
        return len(self.scale)

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self.x.dtype

    @cached_property
    def layers(self) -> list[tuple[int, int, int, int]]:
        """(n_in, n_out, first weight, first bias) of each layer; weights are row-major (n_out, n_in)."""
        rows, start = [], 0
        for n_in, n_out in zip(self.sizes, self.sizes[1:], strict=False):
            rows.append((n_in, n_out, start, start + n_in * n_out))
            start += n_out * (n_in + 1)
        return rows

    def start(self, chips: int, seed: int) -> np.ndarray:
        """theta0, real[chips, P]."""
        u = np.random.default_rng(seed).uniform(-1, 1, (chips, self.n_params))
        return (u * self.scale).astype(self.dtype)

    def costs(self, theta: np.ndarray) -> np.ndarray:
        """Mean cost over the training set of each chip, float64[chips], of theta real[chips, P]."""
        out = np.empty(len(theta))
        for c, t in enumerate(theta.astype(np.float64)):
            h = self.x.astype(np.float64)
            for n_in, n_out, w, b in self.layers:
                h = 1 / (1 + np.exp(-(h @ t[w : w + n_in * n_out].reshape(n_out, n_in).T + t[b : b + n_out])))
            out[c] = ((h - self.y) ** 2).mean()
        return out


class Searches(NamedTuple):
    """How a peer's fastest variant is looked for.

    plain : what one writes first; start : changes to it that the search starts from; rounds : of changes, each on top
    of what was fastest before; usual : changes to start that have been fastest, taken unsearched where time is short.
    """

    plain: dict[str, Any]
    start: dict[str, Any]
    rounds: list[list[dict[str, Any]]]
    usual: dict[str, Any]


def whole_groups(window: int, group: int) -> None:
    """ValueError unless groups of steps make up a window: what is left over would not be done."""
    if window % group:
        raise ValueError(f"group={group} does not divide tau_theta={window}")


class Job(Protocol):
    """One way of doing a problem, compiled and ready."""

    chips: int

    def reset(self, theta0: np.ndarray, seed: int) -> None:
        """Start from theta0 real[chips, P] with a new G."""

    def run(self, steps: int) -> int:
        """Do about so many steps (whole chunks) of every chip and wait for the end; returns how many."""

    def theta(self) -> np.ndarray:
        """real[chips, P]."""


class Peer(Protocol):
    """A module of a peer."""

    def versions(self) -> dict[str, str]:
        """Of the libraries."""

    def searches(self, problem: Problem, one: bool) -> Searches:
        """How the fastest variant is looked for; one: a single chip."""

    def memory(self, problem: Problem, variant: dict[str, Any]) -> float:
        """About how many bytes a variant needs, from above."""

    def build(self, problem: Problem, variant: dict[str, Any]) -> Job:
        """Prepare a variant."""
