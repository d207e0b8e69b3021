"""A block of one chip with samples or steps in the lanes: what networks of pictures run on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np

from .kernels import column_backprop as backprop
from .kernels import column_evaluate, image_back
from .kernels import columns as kernel
from .kernels import table as t
from .kernels.row_costs import COSTS
from .kernels.sample import KEY_ROWS
from .kernels.simd import WIDTH
from .plan_tables import ACTIVATIONS, Samples
from .row_block import RowBlock, padded
from .stages import stages_of

GROUP = 128  # columns a thread measures before their errors are applied
MOST = 256  # steps, whose signs are to stay in the cache
EVALUATE_WORK = 200_000_000  # multiply-adds in one call of the evaluation


class ColumnBlock(RowBlock):
    """Chip number `first` of a plan; `n` counts the steps done. `team`: threads that share its work."""

    def _prepare(self, team: int) -> None:
        """Tables and scratch."""
        plan, train, real = self.plan, self.plan.train, self.plan.dtype
        self.stages, self._unfused = (
            stages_of(plan.chip.network, tuple(ACTIVATIONS.items()), fused) for fused in (True, False)
        )
        s = self.stages
        self._tables = (
            plan.ints, plan.reals, plan.layers, s.stages, s.places, s.targets, s.input_rows, train.x, train.smoothed,
        )  # fmt: skip
        batch, tau_theta = plan.rule.batch, int(plan.ints[t.TAU_THETA])
        steps = max(1, min(tau_theta, MOST, GROUP * team // batch)) if plan.mgd else 1
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

    def _scratch(self) -> tuple[np.ndarray, ...]:
        plan, real, s = self.plan, self.plan.dtype, self.stages
        return (
            lanes(s.rows, real), lanes(WIDTH, real), np.zeros((2, self._size), real),
            lanes(s.most if plan.mgd and plan.rule.batch < kernel.SHARED else 0, real), lanes(1, np.dtype(np.uint32)),
            lanes(plan.chip.network.n_out, real), np.zeros(WIDTH, np.int64),
        )  # fmt: skip

    def advance(self, until: int, probe: bool) -> None:
        """Do steps n .. until-1 (at most PROBE_ROWS with the probe on, whose rows start at 0)."""
        if self.plan.mgd is None:
            self._backprop(until, probe)
        else:
            self._measure(until, probe)
        self.n = until

    def _measure(self, until: int, probe: bool) -> None:
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

    def _backprop(self, until: int, probe: bool) -> None:
        plan, start = self.plan, self.n
        _, theta, G, velocity, last_gradient, _, first_bad = self._chip
        index, keys, words, _, normals = self._lead
        chosen, batch = self._group[4], plan.rule.batch
        cuts = [-(-batch * k // backprop.PARTS) for k in range(backprop.PARTS + 1)]
        for n in range(start, until):
            backprop.draw_batch(n, self.seed, self.ids, plan.ints, index, keys, chosen)
            self._gradients(plan.train, chosen, cuts, self._no_spread)
            backprop.write_gradient(
                n, until, plan.n_params, self.seed, self.ids, plan.ints, plan.reals, self._parts, self._totals, theta,
                G, velocity, last_gradient, first_bad, words, normals,
            )  # fmt: skip
            if probe and len(self.probe_lane):
                self.probe_cost[n - start, 0] = self._totals[0, 0, 0]
                self.probe_sample[n - start, 0] = chosen[0]
            self._totals[:] = 0

    @cached_property
    def _parts(self) -> np.ndarray:
        return np.zeros((backprop.PARTS, 1, self._size), self.plan.dtype)

    @cached_property
    def _totals(self) -> np.ndarray:
        return np.zeros((backprop.PARTS, 1, 1), self.plan.dtype)

    @cached_property
    def _back(self) -> list[tuple[np.ndarray, ...]]:
        """Scratch of the gradient, for each part: work, delta, sums, y."""
        real, rows, n_out = self.plan.dtype, self._unfused.rows, self.plan.chip.network.n_out
        sizes = (rows, rows, WIDTH, n_out)
        return [tuple(lanes(n, real) for n in sizes) for _ in range(backprop.PARTS)]

    def _gradients(self, samples: Samples, chosen: np.ndarray, cuts: list[int], neuron: np.ndarray) -> None:
        """Add the gradients of samples chosen[cuts[k]:cuts[k + 1]] to part k, parts side by side."""
        plan, s = self.plan, self._unfused
        tables = (s.stages, s.places, s.targets, s.input_rows)
        scale = plan.dtype.type(plan.reals[t.INPUT_SCALE])

        def part(k: int) -> None:
            image_back.gradient_columns(
                cuts[k], cuts[k + 1], plan.cost, scale, tables, neuron, self.theta, samples.x, samples.smoothed, chosen,
                self._back[k], self._parts[k], self._totals[k],
            )  # fmt: skip

        team = len(self._own)
        for first in range(0, backprop.PARTS, team):
            self._together([(part, k) for k in range(first, min(first + team, backprop.PARTS))])

    def _gradient(self, samples: Samples, chosen: np.ndarray, neuron: np.ndarray) -> np.ndarray:
        self._parts[:] = 0
        count = len(chosen)
        cuts = [-(-count * k // backprop.PARTS) for k in range(backprop.PARTS + 1)]
        self._gradients(samples, chosen, cuts, neuron)
        out = self._parts.sum(axis=0)
        self._parts[:] = 0
        self._totals[:] = 0
        return out[:, : self.plan.n_params] / self.plan.dtype.type(count)

    def sample_gradient(self, samples: Samples) -> np.ndarray:
        """real[1, P]: gradient of this chip's cost of the samples it was last shown."""
        chosen = self._lead[0][:, 0].astype(np.int64)
        return self._gradient(samples, chosen, self.neuron if self.plan.mgd else self._no_spread)

    def chips_gradient(self) -> np.ndarray:
        """real[1, P]: G at the end of the last window, or so far where no window has ended yet."""
        if self.plan.mgd is None:
            return self.last_gradient[:, : self.plan.n_params].copy()
        return super().chips_gradient()

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
                self.neuron if plan.mgd else self._no_spread, self.theta, samples.x, samples.targets, samples.smoothed,
                chosen, (work, sums, y, np.zeros_like(y)), total, correct,
            )  # fmt: skip
        return total[0] / n_samples, correct[0] / n_samples


def lanes(rows: int, dtype: np.dtype) -> np.ndarray:
    """Zeros [rows, 16]."""
    from .block import aligned

    return aligned((rows, WIDTH), dtype)
