"""The rule as a user of PyTorch would write it: no autograd, all chips in one batched operation, state kept in place.

Variants, of which the fastest is taken (see `searches`):

- form "first": theta[chips, P], layers by baddbmm; "last": theta[P, chips], layers by multiply and sum; both with
  theta and theta + theta_ac in one buffer, so that one pass evaluates both; "window": the steps of a tau_theta
  window in groups, W x and theta_ac x apart; "compiled": torch.compile of `ahead` steps of "last";
- signs: bernoulli_, random_ (a byte a sign), or eight signs looked up by a random byte;
- ahead: steps whose signs and samples are drawn in one go; threads: 1 spares small operations the waiting for others.

Samples are independent uniform draws: a permutation per chip and epoch would take a sort.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch.nn.functional import embedding

from .problem import Problem, Searches, whole_groups

BASE = {"form": "first", "signs": "table", "ahead": 32}


def versions() -> dict[str, str]:
    """Of the libraries."""
    return {"torch": torch.__version__}


def searches(problem: Problem, one: bool) -> Searches:
    """How the fastest variant is looked for."""
    p = problem.n_params
    chips = 1 if one else int(2 ** np.clip(np.round(np.log2(150_000 / p)), 0, 14))
    ahead = int(np.clip(4_000_000 // (p * chips), 1, 256 if one else 32))
    plain = {"form": "first", "signs": "bernoulli", "ahead": 1, "chips": chips}
    if one and problem.tau_theta > 1:
        return Searches(plain, {"form": "window", "signs": "table", "group": 1}, [
            [{"group": 4}],
            [{"group": n} for n in (2, 20, 100, 250, 1000)] + [{"signs": "random_"}, {"threads": 1}],
        ], {})  # fmt: skip
    form = "last" if p < 5000 else "first"
    other = "first" if form == "last" else "last"
    start = {"form": form, "signs": "table", "ahead": ahead}
    compiled = [{"form": "compiled", "ahead": min(4, ahead)}, {"form": "compiled", "ahead": 1}]
    if one:
        return Searches(
            plain, start, [[{"threads": 1}], [{"form": other}], [*compiled, {"form": "compiled", "ahead": 16}]], {}
        )
    return Searches(plain, start, [
        [{"threads": 1}, {"chips": 4 * chips}],
        [{"chips": 2 * chips}, {"chips": max(1, chips // 4)}, {"chips": max(1, chips // 16)}, {"threads": 1}],
        [{"form": other}, {"ahead": max(1, ahead // 8)}, {"signs": "random_"}],
        compiled,
    ], {"threads": 1})  # fmt: skip


def memory(problem: Problem, variant: dict[str, Any]) -> float:
    """Bytes: signs of the steps done in one go, and their random bytes as int32; eight arrays of the parameters."""
    ahead = variant["group"] if variant["form"] == "window" else variant["ahead"]
    return problem.dtype.itemsize * problem.n_params * variant["chips"] * (2 * ahead + 8)


class Signs:
    """Random signs +-1, real[shape]."""

    def __init__(self, kind: str, real: torch.dtype) -> None:
        self.kind, self.real = kind, real
        bits = (torch.arange(256)[:, None] >> torch.arange(8)) & 1
        self.table = (1 - 2 * bits).to(real)

    def draw(self, *shape: int) -> torch.Tensor:
        """New ones."""
        if self.kind == "bernoulli":
            return torch.empty(shape, dtype=self.real).bernoulli_(0.5).mul_(2).sub_(1)
        if self.kind == "random_":
            return torch.empty(shape, dtype=torch.int8).random_(0, 2).to(self.real).mul_(2).sub_(1)
        count = int(np.prod(shape))
        words = torch.empty(-(-count // 64), dtype=torch.int64).random_(-(2**63), None)
        found = embedding(words.view(torch.uint8).int(), self.table)
        return found.view(-1)[:count].view(shape)


def compiled_steps(problem: Problem, steps: int) -> Any:
    """So many steps of layout "last" without anything in place, compiled as one graph; tau_theta = 1.

    (theta[P, chips], signs[steps, P, chips], xs[steps, n_in, chips], ys[steps, n_out, chips]) -> theta
    """
    layers, amplitude, gain = list(problem.layers), problem.amplitude, problem.eta / problem.amplitude

    def work(theta: torch.Tensor, signs: torch.Tensor, xs: torch.Tensor, ys: torch.Tensor) -> torch.Tensor:
        for k in range(steps):
            both = torch.stack([theta, theta + amplitude * signs[k]], dim=1)
            h = xs[k][:, None]
            for n_in, n_out, w, b in layers:
                weights = both[w : w + n_in * n_out].view(n_out, n_in, 2, -1)
                h = torch.sigmoid((weights * h).sum(dim=1) + both[b : b + n_out])
            c = ((h - ys[k][:, None]) ** 2).mean(dim=0)
            theta = theta - gain * signs[k] * (c[1] - c[0])
        return theta

    torch._dynamo.reset()  # it keeps at most eight versions of a function, of all variants together
    return torch.compile(work, dynamic=False, fullgraph=True)


class Job:
    """A variant, ready."""

    def __init__(self, problem: Problem, variant: dict[str, Any]) -> None:
        torch.set_grad_enabled(False)
        self.threads = int(variant.get("threads", os.environ.get("OMP_NUM_THREADS", 1)))
        torch.set_num_threads(self.threads)
        self.problem, self.variant = problem, {**BASE, **variant}
        self.chips, self.form = self.variant["chips"], self.variant["form"]
        self.x, self.y = torch.tensor(problem.x), torch.tensor(problem.y)
        self.signs = Signs(self.variant["signs"], self.x.dtype)
        self.last = self.form in ("last", "compiled")
        self.chunk = problem.tau_theta if self.form == "window" else self.variant["ahead"]
        if self.form == "window":
            whole_groups(problem.tau_theta, self.variant["group"])
        self._compiled: Any = compiled_steps(problem, self.chunk) if self.form == "compiled" else None

    def reset(self, theta0: np.ndarray, seed: int) -> None:
        """Start from theta0 real[chips, P]."""
        torch.manual_seed(seed)
        start = torch.tensor(theta0.T if self.last else theta0)
        p, chips = self.problem.n_params, self.chips
        # copies of the network: theta, theta + theta_ac
        self.both = torch.empty((p, 2, chips) if self.last else (2, chips, p), dtype=start.dtype)
        self._theta = self.both[:, 0] if self.last else self.both[0]
        self._theta.copy_(start)
        self.gradient = torch.zeros_like(start)
        self.n = 0

    def theta(self) -> np.ndarray:
        """real[chips, P]."""
        return (self._theta.T if self.last else self._theta).numpy().copy()

    def run(self, steps: int) -> int:
        """Whole chunks of steps."""
        chunks = max(1, round(steps / self.chunk))
        torch.set_num_threads(self.threads)
        work = {"window": self._window, "first": self._eager, "last": self._eager, "compiled": self._fused}[self.form]
        for _ in range(chunks):
            work()
        return chunks * self.chunk

    def _drawn(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Signs, samples and targets of the next steps, steps first."""
        ahead, chips = self.chunk, self.chips
        index = torch.randint(len(self.x), (ahead, chips))
        x, y = self.x[index], self.y[index]
        if self.last:
            shape = (ahead, self.problem.n_params, chips)
            return self.signs.draw(*shape), x.transpose(1, 2).contiguous(), y.transpose(1, 2).contiguous()
        return self.signs.draw(ahead, chips, self.problem.n_params), x, y

    def _eager(self) -> None:
        q = self.problem
        signs, xs, ys = self._drawn()
        theta = self._theta
        moved = self.both[:, 1] if self.last else self.both[1]
        measure = self._costs_last if self.last else self._costs_first
        for s, x, y in zip(signs.unbind(), xs.unbind(), ys.unbind(), strict=True):
            torch.add(theta, s, alpha=q.amplitude, out=moved)
            base, c = measure(self.both, x, y).unbind()
            c_ac = c.sub_(base) if self.last else c.sub_(base).unsqueeze_(1)
            self.n += 1
            if q.tau_theta == 1:
                theta.addcmul_(s, c_ac, value=-q.eta / q.amplitude)
                continue
            self.gradient.addcmul_(s, c_ac, value=1 / q.amplitude)
            if self.n % q.tau_theta == 0:
                theta.sub_(self.gradient, alpha=q.eta)
                self.gradient.zero_()

    def _costs_first(self, both: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """real[2, chips] of both[2, chips, P], x[chips, n_in], y[chips, n_out]."""
        flat = both.view(2 * self.chips, -1)
        h = x.expand(2, *x.shape).reshape(2 * self.chips, -1, 1)
        for n_in, n_out, w, b in self.problem.layers:
            weights = flat[:, w : w + n_in * n_out].view(-1, n_out, n_in)
            h = torch.baddbmm(flat[:, b : b + n_out, None], weights, h).sigmoid_()
        return (h.view(2, self.chips, -1) - y).square_().mean(dim=2)

    def _costs_last(self, both: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """real[2, chips] of both[P, 2, chips], x[n_in, chips], y[n_out, chips]."""
        h = x[:, None]
        for n_in, n_out, w, b in self.problem.layers:
            weights = both[w : w + n_in * n_out].view(n_out, n_in, 2, -1)
            h = (weights * h).sum(dim=1).add_(both[b : b + n_out]).sigmoid_()
        return (h - y[:, None]).square_().mean(dim=0)

    def _fused(self) -> None:
        self._theta.copy_(self._compiled(self._theta.contiguous(), *self._drawn()))

    def _window(self) -> None:
        """A whole window of one chip."""
        q, group = self.problem, self.variant["group"]
        theta = self._theta[0]
        gradient = torch.zeros_like(theta)
        layers = [(theta[w : w + i * o].view(o, i), theta[b : b + o], i, o, w, b) for i, o, w, b in q.layers]
        for _ in range(q.tau_theta // group):
            index = torch.randint(len(self.x), (group,))
            h = g = self.x[index]
            y = self.y[index]
            signs = self.signs.draw(group, q.n_params)
            for weights, bias, n_in, n_out, w, b in layers:
                h = torch.addmm(bias, h, weights.T).sigmoid_()
                s = signs[:, w : w + n_in * n_out].view(group, n_out, n_in)
                moved = torch.baddbmm(signs[:, b : b + n_out, None], s, g[:, :, None])[:, :, 0]
                g = torch.addmm(bias, g, weights.T).add_(moved, alpha=q.amplitude).sigmoid_()
            c_ac = (g - y).square_().mean(dim=1) - (h - y).square_().mean(dim=1)
            gradient.addmv_(signs.T, c_ac, alpha=1 / q.amplitude)
        theta.sub_(gradient, alpha=q.eta)
