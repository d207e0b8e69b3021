"""The sides of the benchmark at work, for its tests; called in a process of its own (see `elsewhere` there)."""

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from analogmgd.bench import same
from analogmgd.bench.ours import problem_of
from analogmgd.bench.workloads import group_named


def learnt(side, tau_theta, steps, eta, seed, same_start, chips=256, changes=None):
    """What `same.learn` reports for 2-2-1, in the variant the search starts from with some changes."""
    module = import_module(f"analogmgd.bench.{'ours' if side == 'ours' else 'peer_' + side}")
    variant = None
    if side != "ours":
        searches = module.searches(problem_of(group_named("2-2-1")), False)
        variant = {**searches.plain, **searches.start, **(changes or {})}
    return same.learn(side, module, 1, variant, "2-2-1", steps, eta, tau_theta, seed, same_start, chips)


def along_after_windows(side, variant, windows):
    """Mean G of so many windows from one theta0, along the gradient, with its standard error: 49-4-4."""
    module = import_module(f"analogmgd.bench.peer_{side}")
    problem = problem_of(group_named("49-4-4"), 1 / 1000, 1000)
    job = module.Job(problem, {"form": "window", "chips": 1, **variant})
    start = problem.start(1, 0)
    moved = []
    for seed in range(windows):
        job.reset(start, seed)
        assert job.run(1000) == 1000
        moved.append(start[0].astype(np.float64) - job.theta()[0])
    return same.along(problem, start[0], np.array(moved))


def memory(side, group, variant):
    """Bytes a peer says a variant needs."""
    return import_module(f"analogmgd.bench.peer_{side}").memory(problem_of(group_named(group)), variant)


def need(side):
    """Skip where a side is not installed, without importing it."""
    if side in ("jax", "torch") and find_spec(side) is None:
        pytest.skip(f"{side} is not installed")
