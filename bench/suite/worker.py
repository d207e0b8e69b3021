"""A process that measures one side: `python -m analogmgd.bench.worker SIDE CPUS`, requests on standard input.

Each request and each answer is one JSON object on a line. CPUS is a comma-separated list the process is pinned to
before any library is loaded; libraries take as many threads as that.

    {"do": "prepare", "group": .., "cells": [..], "seconds": .., "quick": ..}
        compile; for a peer, find its fastest variant (quick: take the usual one); choose a number of steps that takes
        about `seconds`.
        -> {"cells": {name: {"chips", "steps", "expected", "variant", "threads"}}, "tried": [..], "note": ..};
        expected: the rate in chip-steps/s that the number of steps was chosen with
    {"do": "time", "cell": ..}  -> {"chip_steps": .., "seconds": ..}
    {"do": "learn", "group", "cell", "chips", "steps", "eta", "tau_theta", "seed", "same_start"}
        -> see `same.learn`
    {"do": "roof"} -> see `roof`
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from importlib import import_module
from typing import Any

MODULES = {"ours": "ours", "jax": "peer_jax", "torch": "peer_torch", "numpy": "peer_numpy"}
TRY_SECONDS, TRIES = 0.1, 3  # a variant is timed for so long, so often
ENOUGH_SECONDS = 3.0  # less often where that takes longer: some do a window of a thousand slow steps in one go
QUICK_WINDOW = 200


def pin(cpus: list[int]) -> None:
    """This process and all its threads on these processors, and no more threads than that in any library."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    count = str(len(cpus))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = count
    os.environ["ANALOGMGD_THREADS"] = count
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["JAX_NUM_CPU_DEVICES"] = count


def timed(job: Any, steps: int) -> tuple[int, float]:
    """Steps done and seconds."""
    start = time.perf_counter()
    done = job.run(steps)
    seconds = time.perf_counter() - start
    return done, getattr(job, "seconds", 0.0) or seconds


def calibrate(job: Any, seconds: float) -> tuple[int, float]:
    """Steps that take about `seconds`, and chip-steps per second; the job has run before."""
    steps = getattr(job, "chunk", 1)
    while True:
        done, took = timed(job, steps)
        if took > 0.7 * seconds or steps > 2**40:
            return max(1, round(done * seconds / took)), done * job.chips / took
        steps = int(done * min(16, max(1.3, seconds / max(took, 1e-6)))) + 1


def best_rate(job: Any, seconds: float) -> float:
    """Chip-steps per second, the best of TRIES timings: others on the machine can only make it slower."""
    steps, best = calibrate(job, seconds)
    spent, least = 0.0, max(steps, getattr(job, "chunk", 1)) * job.chips  # whole chunks only
    for _ in range(TRIES - 1):
        if spent + least / best > ENOUGH_SECONDS:
            break
        done, took = timed(job, steps)
        spent, best = spent + took, max(best, done * job.chips / took)
    return best


class Worker:
    """What the requests of a side need to remember."""

    def __init__(self, side: str, threads: int) -> None:
        self.side, self.threads = side, threads
        self.module = import_module(f".{MODULES[side]}", __package__)
        self.jobs: dict[str, tuple[Any, int, float]] = {}  # job, steps, rate to be expected
        self.variants: dict[tuple[str, str], dict[str, Any]] = {}  # by group and cell

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        work: dict[str, Any] = {"prepare": self.prepare, "time": self.time, "learn": self.learn, "roof": self.roof}
        return work[request.pop("do")](**request)

    def prepare(self, group: str, cells: list[str], seconds: float, quick: bool) -> dict[str, Any]:
        """Compile and calibrate."""
        from .workloads import PLAIN, group_named

        self.jobs.clear()
        found = group_named(group)
        if self.side == "ours":
            for cell in found.cells:
                if cell.name in cells:
                    job = self.module.Job(found, cell, self.threads)
                    job.run(2)
                    self.jobs[cell.name] = (job, *calibrate(job, cell.longer * seconds))
            return self._prepared([], "")
        from .ours import problem_of
        from .search import search

        problem = problem_of(found)
        if quick and problem.tau_theta > QUICK_WINDOW and problem.n_params > 100_000:
            problem = replace(problem, tau_theta=QUICK_WINDOW)  # one write more per window does not show
        outcome = search(self.module, problem, found.base.chips == 1, quick, self._ready)
        for name, found_job in (("best", outcome.best), (PLAIN, outcome.plain)):
            if name in cells and found_job is not None:
                job, rate = found_job
                self.jobs[name] = (job, max(1, round(rate * seconds / job.chips)), rate)
                self.variants[group, name] = job.variant
        return self._prepared(outcome.tried, outcome.note)

    def _ready(self, problem: Any, variant: dict[str, Any]) -> tuple[Any, float]:
        """A job that has run, and its rate in chip-steps per second."""
        job = self.module.Job(problem, variant)
        job.reset(problem.start(job.chips, 0), 0)
        for _ in range(2):  # the second call of a compiled function may compile again, for the state the first returned
            job.run(getattr(job, "chunk", 1))
        return job, best_rate(job, TRY_SECONDS)

    def _prepared(self, tried: list[Any], note: str) -> dict[str, Any]:
        cells = {
            name: {
                "chips": job.chips,
                "steps": steps,
                "expected": rate,
                "variant": getattr(job, "variant", None),
                "threads": getattr(job, "threads", self.threads),
            }
            for name, (job, steps, rate) in self.jobs.items()
        }
        return {"cells": cells, "tried": tried, "note": note}

    def time(self, cell: str) -> dict[str, Any]:
        """One repetition."""
        job, steps, _ = self.jobs[cell]
        done, seconds = timed(job, steps)
        return {"chip_steps": done * job.chips, "seconds": seconds}

    def learn(self, cell: str, **request: Any) -> dict[str, Any]:
        """Train from given starts, for the comparison of what the sides do."""
        from .same import learn

        return learn(self.side, self.module, self.threads, self.variants.get((request["group"], cell)), **request)

    def roof(self) -> dict[str, Any]:
        """What the machine can do."""
        from .roof import measure

        return measure(self.threads)


def serve(side: str, cpus: list[int]) -> None:
    """Answer until standard input ends; whatever libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    pin(cpus)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")

    try:
        worker = Worker(side, len(cpus))
        say({"versions": worker.module.versions()})
    except ImportError as error:
        say({"missing": error.name or str(error)})
        return
    for line in sys.stdin:
        try:
            say(worker.answer(json.loads(line)))
        except Exception as error:
            say({"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]})


if __name__ == "__main__":
    serve(sys.argv[1], [int(cpu) for cpu in sys.argv[2].split(",")])
