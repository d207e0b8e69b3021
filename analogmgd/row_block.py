"""A block of one chip with its weights in the lanes: what large networks run on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .kernels import draw, row_evaluate, row_gradient, row_signs
from .kernels import rows as kernel
from .kernels.row_costs import COSTS
from .kernels.sample import KEY_ROWS
from .kernels.simd import WIDTH
from .plan import Plan
from .plan_tables import Samples, start_scale

COLUMNS = 32  # inputs that share a reading of the weights
GROUP = 32  # steps a thread measures before their errors are applied
MOST = 128  # steps a team does: their signs are to stay in the cache
PROBE_ROWS = 4096
EVALUATE_WORK = 200_000_000  # multiply-adds in one call of the evaluation
SHARED_FROM = 1 << 17  # parameters from which the threads of a team pay for their meetings


def padded(n: int, to: int = WIDTH) -> int:
    """n rounded up to a multiple."""
    return -(-n // to) * to


class RowBlock:
    """Chip number `first` of a plan; `n` counts the steps done. `team`: threads that may share its work."""

    count = 1

    def __init__(self, plan: Plan, first: int, theta0: np.ndarray | None, team: int = 1) -> None:
        self.plan, self.first = plan, first
        self.n = 0
        self.ids = np.full((1, WIDTH), plan.ids[first])
        self.seed = np.uint64(plan.run.seed)
        real, rule = plan.dtype, plan.rule
        self._size = padded(plan.n_params + WIDTH, 64)

        def flat(wanted: bool = True) -> np.ndarray:
            return np.zeros((1, self._size if wanted else 0), real)

        self.theta = flat()
        if theta0 is None:
            scale = flat()
            scale[0, : plan.n_params] = start_scale(plan.chip, real)
            row_signs.draw_theta_row(self.seed, self.ids[0, 0], scale, self.theta)
        else:
            self.theta[0, : plan.n_params] = theta0[first]
        self.theta += 0.0  # no -0, whose sign would depend on whether G is kept
        self.gradient, self.velocity = flat(), flat(rule.momentum > 0)
        self.last_gradient = flat(plan.keep_gradient)
        self.state_row = np.zeros((1, 2), real)
        self.first_bad = np.full((1, 1), -1, np.int64)
        self.neuron = self._neurons()
        self._no_spread = np.zeros((4, 0), real)
        self._chip = (
            self.neuron, self.theta, self.gradient, self.velocity, self.last_gradient, self.state_row, self.first_bad,
        )  # fmt: skip
        probed = plan.ids[first] in np.array(plan.run.probe_chips, np.uint64)
        self.probe_lane = np.zeros(int(probed), np.int64)
        self._probe_off = np.zeros(0, np.int64)
        depth = PROBE_ROWS if probed else 0
        self.probe_cost, self.probe_cost_ac = np.zeros((depth, 1), real), np.zeros((depth, 1), real)
        self.probe_sample = np.zeros((depth, 1), np.int64)
        self._tables: tuple[np.ndarray, ...]
        self._group: tuple[np.ndarray, ...]
        self._own: list[tuple[np.ndarray, ...]]
        self._prepare(team)

    def _prepare(self, team: int) -> None:
        """Tables and scratch."""
        plan, train, real = self.plan, self.plan.train, self.plan.dtype
        self._tables = (plan.ints, plan.reals, plan.layers, train.x, train.smoothed)
        tau_theta = int(plan.ints[kernel.t.TAU_THETA])
        shared = team > 1 and tau_theta > 1 and plan.n_params >= SHARED_FROM
        team = team if shared else 1
        self._group_size = min(GROUP * team, MOST, tau_theta)
        words = padded((self._size + 31) // 32, 64) + 64
        self._group = (
            np.zeros((COSTS, self._group_size), real), np.zeros((self._group_size, words), np.uint32),
            np.zeros(self._group_size, np.int64), np.zeros(self._group_size, np.int64),
        )  # fmt: skip
        self._own = [self._scratch() for _ in range(team)]
        self._pool = ThreadPoolExecutor(team - 1) if shared else None

    def _neurons(self) -> np.ndarray:
        """real[4, neurons + 16], rows (alpha, beta, a0, b0), or of no columns."""
        plan, spread = self.plan, self.plan.chip.neuron.spread
        if spread == 0:
            return np.zeros((4, 0), plan.dtype)
        lanes = np.zeros((4 * plan.n_neurons, WIDTH), plan.dtype)
        draw.draw_neurons(self.seed, self.ids, plan.dtype.type(spread), lanes)
        out = np.zeros((4, plan.n_neurons + WIDTH), plan.dtype)
        out[:, : plan.n_neurons] = lanes[:, 0].reshape(-1, 4).T
        return out

    def _scratch(self) -> tuple[np.ndarray, ...]:
        plan, real, net = self.plan, self.plan.dtype, self.plan.chip.network
        widest = padded(max(layer.columns for layer in net.arrays))
        return (
            np.zeros((COLUMNS, padded(net.n_in)), real), np.zeros((4 * COLUMNS, widest), real),
            np.zeros((1, widest), real), np.zeros((net.n_out, COLUMNS), real), np.zeros((net.n_out, COLUMNS), real),
            np.zeros(COLUMNS, np.int64), np.zeros((plan.rule.batch, WIDTH), np.uint32),
            np.zeros((KEY_ROWS, WIDTH), np.uint32), np.zeros((4, WIDTH), np.uint32), np.zeros((4, WIDTH), real),
            np.zeros((1, 64), real),
        )  # fmt: skip

    @property
    def _physical(self) -> list[np.ndarray]:
        own = [self.theta, self.gradient, self.velocity, self.last_gradient]
        return [*(array[:, : self.plan.n_params] for array in own), self.state_row, self.first_bad]

    def state(self) -> list[np.ndarray]:
        """What the chip is to be gone on with from step n, first axis chips."""
        return [array.copy() for array in self._physical]

    def load(self, n: int, state: list[np.ndarray]) -> None:
        """Go on from step n with what `state` gave."""
        for array, values in zip(self._physical, state, strict=True):
            array[:] = values
        self.n = n

    def advance(self, until: int, probe: bool) -> None:
        """Do steps n .. until-1 (at most PROBE_ROWS with the probe on, whose rows start at 0)."""
        on = self.probe_lane if probe else self._probe_off
        start = self.n
        after = (self.probe_cost, self.probe_cost_ac, self.probe_sample)

        def part(phase: int, base: int, n0: int, n1: int, p0: int, p1: int, own: tuple[np.ndarray, ...]) -> None:
            kernel.steps_rows(
                phase, base, n0, n1, start, until, p0, p1, self.seed, self.ids, self._tables, self._chip, self._group,
                own, (on, *after),
            )  # fmt: skip

        if self._pool is None:
            part(kernel.WHOLE, start, start, until, 0, self._size, self._own[0])
        else:
            self._share(part, until)
        self.n = until

    def _share(self, part: Any, until: int) -> None:
        """The same, the steps of a group and then the parameters divided among the team."""
        team = len(self._own)
        tau_theta = int(self.plan.ints[kernel.t.TAU_THETA])
        n = self.n
        while n < until:
            m = min(until, n + self._group_size, (n // tau_theta + 1) * tau_theta)
            cuts = [n + (m - n) * i // team for i in range(team + 1)]
            self._together(
                [(part, kernel.MEASURE, n, cuts[i], cuts[i + 1], 0, 0, self._own[i]) for i in range(team)]
            )  # fmt: skip
            part(kernel.BROADCAST, n, n, m, 0, 0, self._own[0])
            cuts = [self._size // 64 * i // team * 64 for i in range(team + 1)]
            self._together(
                [(part, kernel.CONCLUDE, n, n, m, cuts[i], cuts[i + 1], self._own[i]) for i in range(team)]
            )  # fmt: skip
            n = m

    def _together(self, jobs: list[tuple[Any, ...]]) -> None:
        """Calls of functions with arguments, side by side: as many as the team has members."""
        futures = [self._pool.submit(*job) for job in jobs[1:]] if self._pool else []
        function, *arguments = jobs[0]
        function(*arguments)
        for future in futures:
            future.result()

    def chips_variation(self) -> dict[str, np.ndarray]:
        """What defines this chip, by name: neuron real[1, neurons, 4], where drawn."""
        n = self.plan.n_neurons
        return {"neuron": self.neuron[:, :n].T[np.newaxis]} if self.neuron.size else {}

    def chips_counts(self) -> dict[str, np.ndarray]:
        """Nothing: devices of networks in rows have no state of their own."""
        return {}

    def finite(self) -> np.ndarray:
        """bool[1]: whether all parameters are numbers."""
        return np.array([np.isfinite(self.theta[0, : self.plan.n_params]).all()])

    def chips_theta(self) -> np.ndarray:
        """real[1, P]: what the network sees."""
        return self.theta[:, : self.plan.n_params].copy()

    def chips_gradient(self) -> np.ndarray:
        """real[1, P]: G at the end of the last window, or so far where no window has ended yet."""
        mgd = self.plan.mgd
        assert mgd is not None
        kept = self.last_gradient if self.n >= mgd.tau_theta else self.gradient
        return kept[:, : self.plan.n_params].copy()

    def chips_cost_ac(self) -> np.ndarray:
        """real[1]: C_ac of the last step, clipped as the rule asks."""
        return self.state_row[0, 1:].copy()

    def evaluate(self, samples: Samples, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean cost and accuracy over the first samples, float64[1] each; noise off."""
        plan = self.plan
        x, work, _, z, y = self._scratch()[:5]
        total, correct = np.zeros((1, 1)), np.zeros((1, 1), np.uint32)
        chunk = padded(max(1, EVALUATE_WORK // plan.n_params), COLUMNS)
        for s0 in range(0, n_samples, chunk):
            row_evaluate.evaluate_rows(
                s0, min(s0 + chunk, n_samples), plan.cost, plan.layers, self.neuron, self.theta, samples.x,
                samples.targets, samples.smoothed, x, work, z, y, total, correct,
            )  # fmt: skip
        return total[0] / n_samples, correct[0] / n_samples

    def true_gradient(self, samples: Samples, ideal: bool) -> np.ndarray:
        """real[1, P]: mean gradient of the cost over all samples, of this chip or of the ideal network."""
        return self._gradient(samples, np.arange(len(samples.x)), self._no_spread if ideal else self.neuron)

    def sample_gradient(self, samples: Samples) -> np.ndarray:
        """real[1, P]: gradient of this chip's cost of the samples it was last shown."""
        index = self._own[-1][6]
        return self._gradient(samples, index[:, 0].astype(np.int64), self.neuron)

    def _gradient(self, samples: Samples, chosen: np.ndarray, neuron: np.ndarray) -> np.ndarray:
        plan = self.plan
        x, work, _, z, y = self._scratch()[:5]
        depth = COLUMNS * len(plan.layers)
        acts, deltas = (np.zeros((depth, work.shape[1]), plan.dtype) for _ in range(2))
        out = np.zeros_like(self.theta)
        chunk = padded(max(1, EVALUATE_WORK // plan.n_params), COLUMNS)
        for s0 in range(0, len(chosen), chunk):
            row_gradient.gradient_rows(
                chosen, s0, min(s0 + chunk, len(chosen)), plan.cost, plan.layers, neuron, self.theta, samples.x,
                samples.smoothed, x, acts, deltas, z, y, np.zeros_like(z), out,
            )  # fmt: skip
        return out[:, : plan.n_params] / plan.dtype.type(len(chosen))
