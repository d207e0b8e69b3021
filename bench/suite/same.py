"""Checks that all sides do the same work.

1. Cost: chips that start from the same distribution are trained for the same number of steps on each side; their
   costs over the training set are compared by a two-sample Kolmogorov-Smirnov test.
2. Gradient: with theta held for a window of M steps and eta = 1/M, theta0 - theta is the mean of G. From the same
   theta0 on many chips its mean has to be the true gradient (`am.gradient`) within its standard error: along the
   gradient (z below 4), and in every component (chance of the largest z above 1e-3). Both of the fastest and of the
   plain variants.

A variant is checked with another number of chips than it is timed with. What torch.compile makes has no tau_theta: its
costs are checked, its gradient in the form it is compiled from.
"""

from __future__ import annotations

from math import erfc, sqrt
from typing import Any

import numpy as np

from .problem import Problem

CHIPS = 512
LEAST_P = 1e-3  # below it a check has failed; about 30 are made in a run
LEARN = {"2-2-1": {"steps": 20_000, "eta": 0.5}, "49-4-4": {"steps": 5_000, "eta": 0.02}}
GRADIENT = (*LEARN, "64-32-10")  # the groups with a check of the gradient
GRADIENT_STEPS = 1000


def learn(
    side: str, module: Any, threads: int, variant: dict[str, Any] | None, group: str, steps: int, eta: float,
    tau_theta: int, seed: int, same_start: bool, chips: int = CHIPS,
) -> dict[str, Any]:  # fmt: skip
    """In a worker: train chips and report their costs, or the mean and standard error of theta0 - theta."""
    from .ours import problem_of
    from .workloads import Cell, group_named

    found = group_named(group)
    problem = problem_of(found, eta, tau_theta)
    start = problem.start(chips, 0 if same_start else seed)
    if same_start:
        start[:] = start[0]
    if side == "ours":
        changes = {"rule.eta": eta, "rule.tau_theta": tau_theta}
        job = module.Job(found, Cell("check", chips), threads, **changes)
    else:
        variant = dict(variant or module.searches(problem, False)[0])
        job = module.Job(problem, {**variant, **divided(chips, variant, steps, tau_theta)})
    job.reset(start, seed)
    if job.run(steps) != steps:
        raise ValueError(f"a chunk of {job.chunk} steps does not divide {steps}")
    if not same_start:
        return {"costs": problem.costs(job.theta()).tolist()}
    moved = start.astype(np.float64) - job.theta()
    return {
        "theta0": start[0].tolist(),
        "mean": moved.mean(axis=0).tolist(),
        "mean_error": (moved.std(axis=0, ddof=1) / sqrt(chips)).tolist(),
        "along": [float(v) for v in along(problem, start[0], moved)],
    }


def divided(chips: int, variant: dict[str, Any], steps: int, tau_theta: int) -> dict[str, Any]:
    """So many chips in all, and chunks that divide the steps; the compiled form has no tau_theta.

    >>> divided(512, {"form": "compiled", "ahead": 16}, 1000, 1)
    {'chips': 512, 'ahead': 10}
    >>> divided(512, {"form": "compiled", "ahead": 16}, 1000, 1000)
    {'chips': 512, 'ahead': 10, 'form': 'last'}
    """
    out = {"chips": chips // variant.get("devices", 1)}
    if "ahead" in variant:
        out["ahead"] = next(k for k in range(variant["ahead"], 0, -1) if steps % k == 0)
    if variant["form"] == "compiled" and tau_theta > 1:
        out["form"] = "last"
    return out


def true_gradient(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Gradient of the mean cost by backpropagation, float64[P]; theta real[P]."""
    theta = theta.astype(np.float64)
    outs = [problem.x.astype(np.float64)]
    for n_in, n_out, w, b in problem.layers:
        weights = theta[w : w + n_in * n_out].reshape(n_out, n_in)
        outs.append(1 / (1 + np.exp(-(outs[-1] @ weights.T + theta[b : b + n_out]))))
    gradient = np.zeros_like(theta)
    delta = 2 * (outs[-1] - problem.y) / problem.y.size
    for (n_in, n_out, w, b), h, out in zip(problem.layers[::-1], outs[-2::-1], outs[:0:-1], strict=True):
        delta = delta * out * (1 - out)
        gradient[w : w + n_in * n_out] = (delta.T @ h).ravel()
        gradient[b : b + n_out] = delta.sum(axis=0)
        delta = delta @ theta[w : w + n_in * n_out].reshape(n_out, n_in)
    return gradient


def along(problem: Problem, theta: np.ndarray, moved: np.ndarray) -> tuple[float, float]:
    """Mean and standard error over chips of G's component along the gradient, in units of the gradient's length."""
    g = true_gradient(problem, theta)
    share = moved @ g / (g @ g)
    return share.mean(), share.std(ddof=1) / sqrt(len(share))


def compare_costs(ours: list[float], peer: list[float]) -> dict[str, Any]:
    """The two-sample test; medians for the reader."""
    from scipy.stats import ks_2samp

    p = float(ks_2samp(ours, peer).pvalue)
    medians = [float(np.median(side)) for side in (ours, peer)]
    return {"kind": "cost", "p": p, "medians": medians, "chips": [len(ours), len(peer)], "ok": p > LEAST_P}


def compare_gradient(group: str, learnt: dict[str, Any]) -> dict[str, Any]:
    """A side's mean G beside the true gradient."""
    from analogmgd.gradients import gradient

    from .ours import config_of, data_of
    from .workloads import group_named

    found = group_named(group)
    theta0 = np.array(learnt["theta0"])
    true = gradient(config_of(found, found.base, 1).chip.network, data_of(found), theta0)
    z = np.abs(np.array(learnt["mean"]) - true) / np.array(learnt["mean_error"])
    largest = float(z.max())
    chance = min(1.0, len(z) * erfc(largest / sqrt(2)))
    share, error = learnt["along"]
    return {
        "kind": "gradient", "largest_z": largest, "p": chance, "along": share, "along_error": error,
        "ok": chance > LEAST_P and abs(share - 1) < 4 * error,
    }  # fmt: skip
