"""The rule as a user of JAX would write it: one jitted loop over steps, chips by vmap, no step seen by the host.

Variants, of which the fastest is taken (see `searches`):

- form "step": scan of a vmap over chips; "chip": vmap of a scan, with a key per chip; "window": the steps of a
  tau_theta window in groups, all at once;
- axis: chips first or last in every array (the axis vmap works on);
- dot: matrix-vector products, or multiply and sum, which XLA can fuse with what is around it;
- signs: jax.random.rademacher, a random byte a sign, or 32 signs from a random word;
- rng: threefry2x32 (JAX's default), rbg or unsafe_rbg (XLA's own generator: Philox here);
- devices: 2 has pmap share the chips out between two devices of a thread each;
- ahead: steps whose random words are drawn in one go (form "chip": only the length of the scan); unroll: of the scan;
- window forms: "vmap" over perturbed copies of the network, or "split": W x and theta_ac x apart.

Samples are independent uniform draws: a permutation per chip and epoch costs JAX a sort.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .problem import Problem, Searches, whole_groups


def versions() -> dict[str, str]:
    """Of the libraries."""
    import jaxlib

    return {"jax": jax.__version__, "jaxlib": jaxlib.__version__}


BASE = {
    "form": "step", "axis": "first", "dot": "dot", "signs": "packed", "rng": "threefry2x32", "ahead": 16, "unroll": 1,
    "devices": 1,
}  # fmt: skip
WINDOW = {"form": "window", "chips": 1, "how": "split", "dot": "sum", "signs": "packed", "group": 4}


def searches(problem: Problem, one: bool) -> Searches:
    """How the fastest variant is looked for."""
    chips = 1 if one else width(problem)
    plain = {"form": "chip", "signs": "rademacher", "chips": chips, "ahead": 1000 if problem.n_params < 10_000 else 10}
    if one and problem.tau_theta > 1:
        return Searches(plain, WINDOW, [
            [{"group": 10}],
            [{"group": 1}, {"group": 2}, {"group": 40}],
            [{"dot": "dot"}, {"how": "vmap"}],
            [{"rng": "rbg"}, {"signs": "bytes"}],
        ], {})  # fmt: skip
    start = {"form": "step", "signs": "packed", "ahead": 16}
    if one:
        return Searches(plain, {**start, "ahead": 256}, [
            [{"ahead": 4096}, {"dot": "sum"}],
            [{"unroll": 4}, {"rng": "rbg"}, {"axis": "last"}],
            [{"signs": "bytes"}, {"form": "chip"}],
        ], {"ahead": 4096})  # fmt: skip
    devices = [{"devices": n} for n in (jax.local_device_count(),) if n > 1]
    return Searches(plain, start, [
        [*devices, {"chips": 4 * chips}],
        [{"chips": 2 * chips}, {"chips": max(1, chips // 2)}, {"chips": max(1, chips // 4)}, {"chips": 16 * chips}],
        [{"axis": "last"}, {"dot": "sum"}, {"dot": "sum", "axis": "last"}],
        [{"rng": "rbg"}, {"rng": "unsafe_rbg"}, {"ahead": 1}, {"ahead": 64}, {"unroll": 4}],
        [{"signs": "bytes"}, {"form": "chip"}, *devices],
    ], devices[0] if devices else {})  # fmt: skip


def width(problem: Problem) -> int:
    """Chips to start the search with: about what a core's cache holds."""
    return int(2 ** np.clip(np.round(np.log2(6000 / problem.n_params)), 0, 9))


def memory(problem: Problem, variant: dict[str, Any]) -> float:
    """Bytes: random words of the steps drawn in one go (signs, in a window); eight arrays of the parameters."""
    v = {**BASE, **variant}
    steps = {"window": 8 * v.get("group", 0), "step": 2 * v["ahead"], "chip": 2}[v["form"]]
    return problem.n_params * v["chips"] * v["devices"] * (steps + 8 * problem.dtype.itemsize)


def split(problem: Problem, flat: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """A flat vector of parameters as weights and biases, layer by layer."""
    return [
        (flat[w : w + n_in * n_out].reshape(n_out, n_in), flat[b : b + n_out]) for n_in, n_out, w, b in problem.layers
    ]


def unpack(problem: Problem, words: jax.Array, signs: str) -> jax.Array:
    """+-1 for every parameter of one chip and step, from its random words (packed, bytes) or its signs."""
    p = problem.n_params
    real = problem.dtype
    if signs == "rademacher":
        return words.astype(real)
    if signs == "bytes":
        return 1 - 2 * (words[:p] >> 7).astype(real)
    bits = (words[:, None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    return (1 - 2 * bits.astype(real)).reshape(-1)[:p]


def draw(problem: Problem, key: jax.Array, shape: tuple[int, ...], signs: str) -> jax.Array:
    """Random words, bytes or signs for so many chips and steps, last axis the parameters."""
    p = problem.n_params
    if signs == "rademacher":
        return jax.random.rademacher(key, (*shape, p), jnp.int8)
    if signs == "bytes":
        return jax.random.bits(key, (*shape, p), jnp.uint8)
    return jax.random.bits(key, (*shape, -(-p // 32)), jnp.uint32)


def draw_index(problem: Problem, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Samples for so many chips and steps; 16 random bits each where randint takes 64 and a division."""
    return ((jax.random.bits(key, shape, jnp.uint16).astype(jnp.uint32) * len(problem.x)) >> 16).astype(jnp.int32)


def cost(problem: Problem, dot: str, theta: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    """Cost of one sample on one chip."""
    for w, b in theta:
        a = (w @ x if dot == "dot" else (w * x).sum(axis=-1)) + b
        x = jax.nn.sigmoid(a)
    return ((x - y) ** 2).mean()


class Job:
    """A variant, compiled; theta is a list of (weights, biases) with the chips on the given axis."""

    def __init__(self, problem: Problem, variant: dict[str, Any]) -> None:
        self.problem, self.variant = problem, {**BASE, **variant}
        self.lanes, self.devices = self.variant["chips"], self.variant["devices"]
        self.chips = self.lanes * self.devices
        self.x, self.y = jnp.asarray(problem.x), jnp.asarray(problem.y)
        form = self.variant["form"]
        self.chunk = problem.tau_theta if form == "window" else self.variant["ahead"]
        if form == "window":
            whole_groups(problem.tau_theta, self.variant["group"])
        body = {"step": self._by_step, "chip": self._by_chip, "window": self._by_window}[form]

        def run(state: Any, chunks: jax.Array) -> Any:
            return lax.fori_loop(0, chunks, lambda i, s: body(s), state)

        if self.devices > 1:
            self._run = jax.pmap(run, in_axes=(0, None), donate_argnums=0)
        else:
            self._run = jax.jit(run, donate_argnums=0)

    def reset(self, theta0: np.ndarray, seed: int) -> None:
        """Start from theta0 real[chips, P]."""
        parts = theta0.reshape(self.devices, self.lanes, -1)
        keys = jax.random.split(jax.random.key(seed, impl=self.variant["rng"]), self.devices)
        states = [self._state(jnp.asarray(part), key) for part, key in zip(parts, keys, strict=True)]
        self.state = jax.tree.map(lambda *a: jnp.stack(a), *states) if self.devices > 1 else states[0]

    def _state(self, flat: jax.Array, key: jax.Array) -> Any:
        """theta, G, key, step number on one device."""
        if self.variant["form"] == "chip":
            key = jax.random.split(key, self.lanes)
        if self.variant["form"] == "window":
            theta = split(self.problem, flat[0])
        else:
            theta = jax.vmap(partial(split, self.problem), out_axes=self.axis)(flat)
        return theta, jax.tree.map(jnp.zeros_like, theta), key, jnp.int32(0)

    @property
    def axis(self) -> int:
        return -1 if self.variant["axis"] == "last" else 0

    def run(self, steps: int) -> int:
        """Whole chunks of steps."""
        chunks = max(1, round(steps / self.chunk))
        self.state = self._run(self.state, chunks)
        jax.block_until_ready(self.state)
        return chunks * self.chunk

    def theta(self) -> np.ndarray:
        """real[chips, P]."""
        theta = jax.tree.map(np.asarray, self.state[0])
        if self.devices == 1:
            theta = jax.tree.map(lambda a: a[None], theta)
        if self.variant["form"] == "window":
            theta = jax.tree.map(lambda a: a[:, None], theta)
        elif self.axis == -1:
            theta = jax.tree.map(lambda a: np.moveaxis(a, -1, 1), theta)
        return np.concatenate([a.reshape(self.chips, -1) for a in jax.tree.leaves(theta)], axis=1)

    def _step(self, theta: Any, gradient: Any, words: jax.Array, index: jax.Array, update: jax.Array) -> Any:
        """One step of one chip."""
        q, v = self.problem, self.variant
        x, y = self.x[index], self.y[index]
        s = split(q, unpack(q, words, v["signs"]))
        measure = partial(cost, q, v["dot"], x=x, y=y)
        base = measure(theta)
        c = measure(jax.tree.map(lambda t, d: t + q.amplitude * d, theta, s)) - base
        if q.tau_theta == 1:
            return jax.tree.map(lambda t, d: t - (q.eta / q.amplitude * c) * d, theta, s), gradient
        gradient = jax.tree.map(lambda g, d: g + (c / q.amplitude) * d, gradient, s)
        theta = jax.tree.map(lambda t, g: jnp.where(update, t - q.eta * g, t), theta, gradient)
        return theta, jax.tree.map(lambda g: jnp.where(update, 0, g), gradient)

    def _by_step(self, state: Any) -> Any:
        q, v = self.problem, self.variant
        key, k1, k2 = jax.random.split(state[2], 3)
        words = draw(q, k1, (v["ahead"], self.lanes), v["signs"])
        index = draw_index(q, k2, (v["ahead"], self.lanes))
        axis = self.axis
        if axis == -1:
            words = jnp.swapaxes(words, 1, 2)
        ax = (axis, axis, axis, 0, None)
        step: Any = jax.vmap(self._step, in_axes=ax, out_axes=axis)

        def body(carry: Any, drawn: Any) -> Any:
            theta, gradient, n = carry
            theta, gradient = step(theta, gradient, *drawn, (n + 1) % q.tau_theta == 0)
            return (theta, gradient, n + 1), None

        carry, _ = lax.scan(body, (state[0], state[1], state[3]), (words, index), unroll=v["unroll"])
        return carry[0], carry[1], key, carry[2]

    def _by_chip(self, state: Any) -> Any:
        q, v = self.problem, self.variant

        def one(theta: Any, gradient: Any, key: jax.Array, n: jax.Array) -> Any:
            def body(carry: Any, _: Any) -> Any:
                theta, gradient, key, n = carry
                key, k1, k2 = jax.random.split(key, 3)
                words = draw(q, k1, (), v["signs"])
                index = draw_index(q, k2, ())
                theta, gradient = self._step(theta, gradient, words, index, (n + 1) % q.tau_theta == 0)
                return (theta, gradient, key, n + 1), None

            return lax.scan(body, (theta, gradient, key, n), None, length=self.chunk, unroll=v["unroll"])[0]

        axis = self.axis
        return jax.vmap(one, in_axes=(axis, axis, 0, None), out_axes=(axis, axis, 0, None))(*state)

    def _by_window(self, state: Any) -> Any:
        """A whole window of one chip, in groups of steps that are done at once."""
        q, v = self.problem, self.variant
        theta, zero, key, n = state
        group, real = v["group"], q.dtype

        def body(carry: Any, _: Any) -> Any:
            gradient, key = carry
            key, k1, k2 = jax.random.split(key, 3)
            index = draw_index(q, k2, (group,))
            words = draw(q, k1, (group,), v["signs"])
            s = jax.vmap(lambda w: split(q, unpack(q, w, v["signs"])))(words)
            x, y = self.x[index], self.y[index]
            base = jax.vmap(partial(cost, q, "dot"), in_axes=(None, 0, 0))(theta, x, y)
            if v["how"] == "vmap":
                moved = jax.tree.map(lambda t, d: t + q.amplitude * d, theta, s)
                c = jax.vmap(partial(cost, q, v["dot"]))(moved, x, y)
            else:
                h = x
                for (w, b), (dw, db) in zip(theta, s, strict=True):
                    sx = jnp.einsum("soi,si->so", dw, h) if v["dot"] == "dot" else (dw * h[:, None, :]).sum(-1)
                    h = jax.nn.sigmoid(h @ w.T + b + q.amplitude * (sx + db))
                c = ((h - y) ** 2).mean(axis=-1)
            c = (c - base) / real.type(q.amplitude)
            gradient = jax.tree.map(lambda g, d: g + jnp.tensordot(c, d, axes=1), gradient, s)
            return (gradient, key), None

        (gradient, key), _ = lax.scan(body, (zero, key), None, length=q.tau_theta // group)
        theta = jax.tree.map(lambda t, g: t - q.eta * g, theta, gradient)
        return theta, zero, key, n + q.tau_theta
