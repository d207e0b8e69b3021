"""One MGD step of a convolutional network on each side: this package, PyTorch, JAX. Used by cnn_speed.py.

A step of the peers: the next `batch` pictures are drawn, signs are drawn, the mean cost of the batch is measured with
theta and with theta + theta_ac, and G += C_ac theta_ac / amplitude**2. They skip the write at the end of a window and
keep their pictures as numbers, which ours are made into at every step.

    python cnn_sides.py SIDE CPUS     requests and answers are JSON objects, one a line
    {"do": "prepare", "net": .., "seconds": ..} -> {"cells": {name: variant}, "cost": mean cost of the first pictures}
    {"do": "time", "cell": ..} -> {"evaluations": .., "seconds": .., "processor": seconds of all threads}
    {"do": "roof", "clock": "wall" | "cpu"} -> {"flops": of a float32 matrix product}
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np

AMPLITUDE, PICTURES, BATCH = 1e-3, 5000, 1000
CHECKED = 1000  # pictures
SHAPES = {"fashion-cnn": (1, 28, 28), "cifar-cnn": (3, 32, 32)}
CELLS = {"batch 1000": (1000, 1000), "batch 32": (32, 20), "batch 1": (1, 640)}  # of ours: batch and tau_theta
ROOF_SIZES, ROOF_SECONDS = (1024, 2048, 4096), 0.25


def pictures(net: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8[n, pixels] and labels int[n], random."""
    random = np.random.default_rng(1)
    x = random.integers(0, 256, (PICTURES, int(np.prod(SHAPES[net]))), np.uint8)
    return x, np.arange(PICTURES) % 10


def start(net: str) -> np.ndarray:
    """theta float32[P], the same on all sides; not what training starts from, but of such a size."""
    import analogmgd as am

    return (0.1 * np.random.default_rng(2).standard_normal(am.Network.preset(net).n_params)).astype(np.float32)


def parts(net: str) -> list[tuple[tuple[int, ...], int, int]]:
    """Shape of the weights, first weight, first bias of each layer with parameters."""
    import analogmgd as am

    found, at = [], 0
    for layer in am.Network.preset(net).layers:
        if isinstance(layer, am.Conv2d):
            shape: tuple[int, ...] = (layer.c_out, layer.c_in, *layer.kernel)
        elif isinstance(layer, am.Dense):
            shape = (layer.n_out, layer.n_in)
        else:
            continue
        found.append((shape, at, at + int(np.prod(shape))))
        at += int(np.prod(shape)) + shape[0]
    return found


class Ours:
    """Batches of several sizes, tau_x = 1; the baseline of every new batch is measured."""

    def __init__(self, net: str) -> None:
        import analogmgd as am

        self.am, self.net = am, am.Network.preset(net)
        x, labels = pictures(net)
        self.theta = start(net)
        self.data = am.Dataset(x, labels, x[:CHECKED], labels[:CHECKED])

    def variants(self) -> dict[str, Any]:
        return {name: {"batch": batch, "tau_theta": window} for name, (batch, window) in CELLS.items()}

    def _run(self, cell: str, steps: int, eta: float = 1e-9, **more: Any) -> Any:
        batch, window = CELLS[cell]
        rule = self.am.MGD(batch=batch, tau_theta=window, amplitude=AMPLITUDE, eta=eta)
        settings = {"record": (), "chips": 1, "theta0": self.theta, **more}
        return self.am.train(self.net, self.data, rule, steps=steps, **settings)

    def job(self, cell: str) -> Any:
        return lambda steps: float(self._run(cell, steps).extra["wall_seconds"])

    def per_step(self, cell: str) -> int:
        """Evaluations of the network."""
        return 2 * CELLS[cell][0]

    def cost(self) -> float:
        return float(self._run("batch 1000", 1, eta=0.0, record=("cost",), eval_samples=None).cost[0, 0])


class Torch:
    """Contiguous or channels-last, as it is or compiled; inference mode."""

    def __init__(self, net: str) -> None:
        import torch
        import torch.nn.functional as f

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self.torch, self.f, self.layers = torch, f, parts(net)
        x, labels = pictures(net)
        self.x = (torch.tensor(x).float() / 255).reshape(-1, *SHAPES[net])
        self.y, self.theta = torch.tensor(labels), torch.tensor(start(net))
        self.g = torch.zeros_like(self.theta)

    def variants(self) -> dict[str, Any]:
        both: tuple[Any, ...] = (False, True)
        return {
            f"{'channels last' if last else 'contiguous'}{', compiled' if fast else ''}": {"last": last, "fast": fast}
            for last in both
            for fast in both
        }

    def forward(self, theta: Any, x: Any, y: Any, last: bool) -> Any:
        f, h = self.f, x
        for shape, w, b in self.layers:
            weights = theta[w:b].view(shape)
            if len(shape) == 4:
                if last:
                    weights = weights.contiguous(memory_format=self.torch.channels_last)
                h = f.max_pool2d(f.relu(f.conv2d(h, weights, theta[b : b + shape[0]])), 2)
            else:
                h = f.linear(h.flatten(1), weights, theta[b : b + shape[0]])
        return f.cross_entropy(h, y, label_smoothing=0.01)

    def job(self, cell: str) -> Any:
        torch, v = self.torch, self.variants()[cell]
        x_all = self.x.contiguous(memory_format=torch.channels_last) if v["last"] else self.x

        def step(theta: Any, g: Any, x: Any, y: Any, signs: Any) -> Any:
            c_ac = self.forward(theta + AMPLITUDE * signs, x, y, v["last"]) - self.forward(theta, x, y, v["last"])
            return g + c_ac / AMPLITUDE * signs

        if v["fast"]:
            torch._dynamo.reset()
            step = torch.compile(step, dynamic=False, fullgraph=True)

        def run(steps: int) -> float:
            begun = time.perf_counter()
            with torch.inference_mode():
                for _ in range(steps):
                    chosen = torch.randint(0, PICTURES, (BATCH,))
                    signs = torch.empty_like(self.theta).bernoulli_(0.5).mul_(2).sub_(1)
                    self.g = step(self.theta, self.g, x_all[chosen], self.y[chosen], signs)
            return time.perf_counter() - begun

        return run

    def per_step(self, cell: str) -> int:
        return 2 * BATCH

    def cost(self) -> float:
        return float(self.forward(self.theta, self.x[:CHECKED], self.y[:CHECKED], False))


class Jax:
    """Pictures as N C H W or as N H W C; one jitted function for as many steps as asked."""

    def __init__(self, net: str) -> None:
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp, self.layers = jax, jnp, parts(net)
        x, labels = pictures(net)
        self.x = (x.astype(np.float32) / 255).reshape(-1, *SHAPES[net])
        self.y, self.theta = jnp.asarray(0.99 * np.eye(10, dtype=np.float32)[labels] + 0.001), jnp.asarray(start(net))

    def variants(self) -> dict[str, Any]:
        return {"NCHW": False, "NHWC": True}

    def forward(self, theta: Any, x: Any, y: Any, last: bool) -> Any:
        lax, jnp, h = self.jax.lax, self.jnp, x
        order = ("NHWC", "HWIO", "NHWC") if last else ("NCHW", "OIHW", "NCHW")
        pool = (1, 2, 2, 1) if last else (1, 1, 2, 2)
        for shape, w, b in self.layers:
            weights, bias = theta[w:b].reshape(shape), theta[b : b + shape[0]]
            if len(shape) == 4:
                weights = weights.transpose(2, 3, 1, 0) if last else weights
                h = lax.conv_general_dilated(h, weights, (1, 1), "VALID", dimension_numbers=order)
                h = jnp.maximum(h + (bias if last else bias[:, None, None]), 0)
                h = lax.reduce_window(h, -jnp.inf, lax.max, pool, pool, "VALID")
            else:
                h = h.transpose(0, 3, 1, 2) if last else h
                h = h.reshape(len(h), -1) @ weights.T + bias
        return -(self.jax.nn.log_softmax(h) * y).sum(axis=1).mean()

    def job(self, cell: str) -> Any:
        jax, jnp, last = self.jax, self.jnp, self.variants()[cell]
        x_all = jnp.asarray(self.x.transpose(0, 2, 3, 1) if last else self.x)

        @jax.jit
        def step(theta: Any, g: Any, key: Any, x_all: Any, y_all: Any) -> Any:
            key, one, two = jax.random.split(key, 3)
            chosen = jax.random.randint(one, (BATCH,), 0, PICTURES)
            signs = jax.random.rademacher(two, theta.shape, jnp.float32)
            x, y = x_all[chosen], y_all[chosen]
            c_ac = self.forward(theta + AMPLITUDE * signs, x, y, last) - self.forward(theta, x, y, last)
            return g + c_ac / AMPLITUDE * signs, key

        state = [jnp.zeros_like(self.theta), jax.random.key(0)]

        def run(steps: int) -> float:
            begun = time.perf_counter()
            for _ in range(steps):
                state[:] = step(self.theta, state[0], state[1], x_all, self.y)
            state[0].block_until_ready()
            return time.perf_counter() - begun

        return run

    def per_step(self, cell: str) -> int:
        return 2 * BATCH

    def cost(self) -> float:
        return float(self.forward(self.theta, self.jnp.asarray(self.x[:CHECKED]), self.y[:CHECKED], False))


SIDES = {"ours": Ours, "torch": Torch, "jax": Jax}


def product(side: str, clock: str) -> float:
    """Operations/s of the side's own float32 matrix product, the best of the sizes."""
    best, now = 0.0, {"wall": time.perf_counter, "cpu": time.process_time}[clock]
    for n in ROOF_SIZES:
        a: Any = np.random.default_rng(0).random((n, n), np.float32)
        multiply: Any = np.matmul
        if side == "torch":
            import torch

            a, multiply = torch.tensor(a), torch.mm
        elif side == "jax":
            import jax

            a, dot = jax.numpy.asarray(a), jax.jit(jax.numpy.matmul)
            multiply = lambda p, q: dot(p, q).block_until_ready()  # noqa: E731, B023  (used at once)
        multiply(a, a)
        end = time.perf_counter() + ROOF_SECONDS
        while time.perf_counter() < end:
            begun = now()
            multiply(a, a)
            best = max(best, 2 * n**3 / (now() - begun))
    return best


class Server:
    """What the requests of a side need to remember."""

    def __init__(self, side: str) -> None:
        self.side, self.jobs = side, {}

    def prepare(self, net: str, seconds: float) -> dict[str, Any]:
        """Compile, and choose numbers of steps."""
        side = SIDES[self.side](net)
        for cell in side.variants():
            run = side.job(cell)
            run(2)
            took = run(4) / 4
            steps = max(2, round(seconds / took))
            took = run(steps) / steps
            self.jobs[net, cell] = run, max(2, round(seconds / took)), side.per_step(cell)
        return {"cells": side.variants(), "cost": side.cost()}

    def time(self, net: str, cell: str) -> dict[str, Any]:
        """One turn."""
        run, steps, per_step = self.jobs[net, cell]
        begun = time.process_time()
        return {"seconds": run(steps), "evaluations": steps * per_step, "processor": time.process_time() - begun}

    def roof(self, clock: str) -> dict[str, Any]:
        """Of a matrix product, by the clock on the wall or of the process."""
        return {"flops": product(self.side, clock)}


def versions(side: str) -> dict[str, str]:
    """Of the side's libraries; ImportError where it is not installed."""
    if side == "ours":
        return {}
    return {side: __import__(side).__version__}


def main() -> None:
    """Answer until standard input ends; whatever libraries print goes to standard error."""
    from analogmgd.bench.worker import pin

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    pin([int(cpu) for cpu in sys.argv[2].split(",")])
    answers.write(json.dumps(versions(sys.argv[1])) + "\n")
    server = Server(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(getattr(server, request.pop("do"))(**request)) + "\n")


if __name__ == "__main__":
    main()
