"""The rule as a plain vectorised NumPy program over the chips.

Variants: form "last", theta[P, chips], layers by multiply and add; "first", theta[chips, P], layers by matmul. Signs
are eight bits of a random byte at a time, looked up in a table (faster than a draw per sign), from the generator SFC64;
ahead: steps whose signs and samples are drawn in one go. Samples are independent uniform draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .problem import Problem, Searches

BASE = {"form": "last", "ahead": 32}


def versions() -> dict[str, str]:
    """Of the libraries."""
    return {"numpy": np.__version__}


def searches(problem: Problem, one: bool) -> Searches:
    """How the fastest variant is looked for."""
    p = problem.n_params
    chips = 1 if one else int(2 ** np.clip(np.round(np.log2(40_000 / p)), 0, 12))
    ahead = int(np.clip(2_000_000 // (p * chips), 1, 256 if one else 32))
    plain = {"form": "first", "ahead": 1, "chips": chips}
    start = {"form": "last" if p < 5000 else "first", "ahead": ahead}
    if one:
        return Searches(plain, start, [[{"form": "first"}]], {})
    return Searches(plain, start, [[{"chips": 4 * chips}, {"chips": max(1, chips // 4)}], [{"form": "first"}]], {})


def memory(problem: Problem, variant: dict[str, Any]) -> float:
    """Bytes: signs of the steps drawn in one go; eight arrays of the parameters."""
    return problem.dtype.itemsize * problem.n_params * variant["chips"] * (2 * variant["ahead"] + 8)


class Job:
    """A variant, ready."""

    def __init__(self, problem: Problem, variant: dict[str, Any]) -> None:
        self.problem, self.variant = problem, {**BASE, **variant}
        self.chips, self.last = self.variant["chips"], self.variant["form"] == "last"
        self.chunk = self.variant["ahead"]
        if problem.n_params < 10_000:
            self.threads = 1  # only products of larger matrices are shared out, by BLAS; ufuncs never
        bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
        self.table = (1 - 2 * bits).astype(problem.dtype)

    def reset(self, theta0: np.ndarray, seed: int) -> None:
        """Start from theta0 real[chips, P]."""
        self.random = np.random.Generator(np.random.SFC64(seed))
        self._theta = np.array(theta0.T if self.last else theta0, order="C")
        self.gradient = np.zeros_like(self._theta)
        self.n = 0

    def theta(self) -> np.ndarray:
        """real[chips, P]."""
        return (self._theta.T if self.last else self._theta).copy()

    def run(self, steps: int) -> int:
        """Whole chunks of steps."""
        chunks = max(1, round(steps / self.chunk))
        for _ in range(chunks):
            self._some()
        return chunks * self.chunk

    def _some(self) -> None:
        q, ahead, chips = self.problem, self.chunk, self.chips
        theta, real = self._theta, q.dtype.type
        count = ahead * theta.size
        signs = self.table[np.frombuffer(self.random.bytes(-(-count // 8)), np.uint8)].ravel()[:count]
        index = self.random.integers(0, len(q.x), (ahead, chips), np.uint32)
        measure = self._cost_last if self.last else self._cost_first
        for s, i in zip(signs.reshape(ahead, *theta.shape), index, strict=True):
            x, y = q.x[i], q.y[i]
            c_ac = -measure(theta, x, y)
            c_ac += measure(theta + real(q.amplitude) * s, x, y)
            c_ac = c_ac if self.last else c_ac[:, None]
            self.n += 1
            if q.tau_theta == 1:
                theta -= (real(q.eta / q.amplitude) * c_ac) * s
                continue
            self.gradient += (real(1 / q.amplitude) * c_ac) * s
            if self.n % q.tau_theta == 0:
                theta -= real(q.eta) * self.gradient
                self.gradient[:] = 0

    def _cost_last(self, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        h = x.T
        for n_in, n_out, w, b in self.problem.layers:
            weights = theta[w : w + n_in * n_out].reshape(n_out, n_in, -1)
            h = sigmoid((weights * h).sum(axis=1) + theta[b : b + n_out])
        return ((h - y.T) ** 2).mean(axis=0)

    def _cost_first(self, theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        h = x
        for n_in, n_out, w, b in self.problem.layers:
            weights = theta[:, w : w + n_in * n_out].reshape(-1, n_out, n_in)
            h = sigmoid(np.matmul(weights, h[:, :, None])[:, :, 0] + theta[:, b : b + n_out])
        return ((h - y) ** 2).mean(axis=1)


def sigmoid(a: np.ndarray) -> np.ndarray:
    """In place."""
    np.negative(a, out=a)
    np.exp(a, out=a)
    a += 1
    return np.reciprocal(a, out=a)
