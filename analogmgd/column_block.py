"""A block of one chip with samples or steps in the lanes: what networks of pictures run on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .kernels import column_evaluate
from .kernels import columns as kernel
from .kernels import table as t
from .kernels.row_costs import COSTS
from .kernels.sample import KEY_ROWS
from .kernels.simd import WIDTH
from .plan import ACTIVATIONS, Plan, Samples
from .row_block import RowBlock, padded
from .stages import stages_of

GROUP = 128  # columns a thread measures before their errors are applied
MOST = 256  # steps, whose signs are to stay in the cache
EVALUATE_WORK = 200_000_000  # multiply-adds in one call of the evaluation


class ColumnBlock(RowBlock):
    """Chip number `first` of a plan; `n` counts the steps done. `team`: threads that share its work."""

    def __init__(self, plan: Plan, first: int, theta0: np.ndarray | None, team: int = 1) -> None:
        self.stages = stages_of(plan.chip.network, tuple(ACTIVATIONS.items()))
        super().__init__(plan, first, theta0, 1)
        batch, tau_theta = plan.rule.batch, int(plan.ints[t.TAU_THETA])
        steps = max(1, min(tau_theta, MOST, GROUP * team // batch))
        real = plan.dtype
        words = padded((self._size + 31) // 32, 64) + 64
        self._group_size = steps
        columns = steps * batch
        self._group = (
            np.zeros((COSTS, steps), real), np.zeros((steps, words), np.uint32), np.zeros(steps, np.int64),
            np.zeros(steps, np.int64), np.zeros(columns, np.int64), np.zeros((2, columns), real),
        )  # fmt: skip
        self._lead = (
            np.zeros((batch, WIDTH), np.uint32), np.zeros((KEY_ROWS, WIDTH), np.uint32),
            np.zeros((4, WIDTH), np.uint32), np.zeros((4, WIDTH), real), np.zeros((1, 64), real),
        )  # fmt: skip
        self._own = [self._scratch() for _ in range(team)]
        self._pool = ThreadPoolExecutor(team - 1) if team > 1 else None
        train, s = plan.train, self.stages
        self._tables = (
            plan.ints, plan.reals, plan.layers, s.stages, s.places, s.targets, s.input_rows, train.x, train.smoothed,
        )  # fmt: skip

    def _scratch(self) -> tuple[np.ndarray, ...]:
        plan, real, s = self.plan, self.plan.dtype, self.stages
        return (
            lanes(s.rows, real), lanes(WIDTH, real), np.zeros((2, self._size), real),
            lanes(s.most if plan.rule.batch < kernel.SHARED else 0, real), lanes(1, np.dtype(np.uint32)),
            lanes(plan.chip.network.n_out, real), np.zeros(WIDTH, np.int64),
        )  # fmt: skip

    def advance(self, until: int, probe: bool) -> None:
        """Do steps n .. until-1 (at most PROBE_ROWS with the probe on, whose rows start at 0)."""
        on = (self.probe_lane if probe else self._probe_off, self.probe_cost, self.probe_cost_ac, self.probe_sample)
        start, team = self.n, len(self._own)
        tau_theta, batch = int(self.plan.ints[t.TAU_THETA]), self.plan.rule.batch
        n = start
        while n < until:
            m = min(until, n + self._group_size, (n // tau_theta + 1) * tau_theta)

            def part(
                phase: int, a: int, b: int, p0: int, p1: int, own: tuple[np.ndarray, ...], n: int = n, m: int = m
            ) -> None:
                kernel.steps_columns(
                    phase, n, m, a, b, start, until, p0, p1, self.seed, self.ids, self._tables, self._chip,
                    self._group, self._lead, own, on,
                )  # fmt: skip

            part(kernel.DRAW, 0, 0, 0, 0, self._own[0])
            units = kernel.units_of(m - n, batch)
            cuts = [units * i // team for i in range(team + 1)]
            self._together(
                [(part, kernel.MEASURE, cuts[i], cuts[i + 1], 0, 0, self._own[i]) for i in range(team)]
            )  # fmt: skip
            part(kernel.BROADCAST, 0, 0, 0, 0, self._own[0])
            part(kernel.CONCLUDE, 0, 0, 0, self._size, self._own[0])
            n = m
        self.n = until

    def _together(self, jobs: list[tuple[Any, ...]]) -> None:
        futures = [self._pool.submit(*job) for job in jobs[1:]] if self._pool else []
        function, *arguments = jobs[0]
        function(*arguments)
        for future in futures:
            future.result()

    def evaluate(self, samples: Samples, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean cost and accuracy over the first samples, float64[1] each; noise off."""
        plan, s = self.plan, self.stages
        work, sums, *_, y, _ = self._own[0]
        total, correct = np.zeros((1, 1)), np.zeros((1, 1), np.uint32)
        chosen = np.arange(n_samples)
        tables = (s.stages, s.places, s.targets, s.input_rows)
        chunk = padded(max(1, EVALUATE_WORK // max(1, plan.chip.network.products)))
        for s0 in range(0, n_samples, chunk):
            column_evaluate.evaluate_columns(
                s0, min(s0 + chunk, n_samples), plan.cost, plan.dtype.type(plan.reals[t.INPUT_SCALE]), tables,
                self.neuron, self.theta, samples.x, samples.targets, samples.smoothed, chosen,
                (work, sums, y, np.zeros_like(y)), total, correct,
            )  # fmt: skip
        return total[0] / n_samples, correct[0] / n_samples


def lanes(rows: int, dtype: np.dtype) -> np.ndarray:
    """Zeros [rows, 16]."""
    from .block import aligned

    return aligned((rows, WIDTH), dtype)
