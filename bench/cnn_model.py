"""How the recipes were found: a model of training by MGD that is some forty times as fast as emulating it.

    python bench/cnn_model.py [--net NET] [--quick] [--jobs N] [-o DIR]

G, averaged over a window of K steps that show S samples, each for K/S steps with independent random signs, is

    (1/S) sum_x Q_x grad C_x + sqrt(E_x v_x / K) xi,    xi normal, independent from parameter to parameter

where grad C_x is the gradient of the cost of sample x. C_ac / amplitude of a sample is nearly normal, with the variance
|grad C_x|^2 (a sum over all parameters). Without a clip Q_x = 1 and v_x = |grad C_x|^2. A clip at c (in units of the
amplitude) makes Q_x = erf(z / sqrt 2), z = c / |grad C_x|, and v_x the variance of the clipped normal. So one
backpropagation of S samples and P normal numbers stand for K (1 + S/K) evaluations of the perturbed network. Left out:
higher orders in the amplitude, the other covariances of G (1/K of what is kept), and that |grad C_x| is taken from the
size of the error at the outputs, |softmax - target|, times a factor that is measured on one window in 25.

Accuracy is on 5,000 training pictures left out of the training, so no choice was made on the test set. A setting is
kept or dropped by one run (seed 1). Needs PyTorch; ANALOGMGD_DATA is the folder of the data. Writes cnn_model.json and
.png; a run of bench/cnn.py is the proof.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from cnn_sides import parts
from common import RESULTS, machine
from matplotlib.figure import Figure
from tqdm import tqdm

import analogmgd as am

HELD_OUT, ROWS, MEASURED_EVERY, SMOOTHING = 5000, 8, 25, 0.01
DATA = {"fashion-cnn": "fashion_mnist", "mlp-784-128-10": "fashion_mnist", "cifar-cnn": "cifar10"}
SHAPES = {"fashion-cnn": (1, 28, 28), "mlp-784-128-10": (784,), "cifar-cnn": (3, 32, 32)}


@dataclass(frozen=True)
class Setting:
    """What is tried. eta is that of the mean of G over a window, times 1/(1 - momentum)."""

    net: str
    steps: float
    eta: float
    optimiser: str = "plain"  # "gain": G over the running root mean square of C_ac; "adam", "sign": local ones
    clip: float | None = None  # of |C_ac| / amplitude
    momentum: float = 0.9
    window: int = 6400
    samples: int = 10  # of a window
    scales: tuple[float, ...] = ()  # of the amplitude, layer by layer
    centred: bool = False  # pixels from -1 to 1 instead of 0 to 1
    seed: int = 1


def grid(quick: bool) -> list[Setting]:
    """All settings; `quick`: a few short ones."""
    f, c, m = "fashion-cnn", "cifar-cnn", "mlp-784-128-10"
    if quick:
        return [Setting(f, 1e6, 0.04, window=3200), Setting(f, 1e6, 0.04, clip=5.0, window=3200)]
    some = [Setting(f, 23e6, e) for e in (0.01, 0.02, 0.04, 0.08, 0.16)]
    some += [
        Setting(f, 23e6, e, clip=k) for k, es in ((20.0, (0.02, 0.04, 0.08)), (5.0, (0.02, 0.04, 0.08))) for e in es
    ]
    some += [Setting(f, 23e6, e, "gain") for e in (0.2, 0.4, 0.8)]
    some += [Setting(f, 23e6, e, "adam") for e in (0.003, 0.01, 0.03)]
    some += [Setting(f, 23e6, e, "sign") for e in (0.0003, 0.001, 0.003)]
    layers = (((1, 1, 0.5, 1), 0.05), ((1, 1, 0.5, 1), 0.1), ((2, 1, 1, 2), 0.03), ((1, 0.5, 0.35, 0.5), 0.2))
    some += [Setting(f, 23e6, e, scales=s) for s, e in layers]
    some += [Setting(f, 23e6, e, centred=True) for e in (0.02, 0.04)]
    some += [Setting(f, 23e6, 0.02, momentum=p) for p in (0.5, 0.97)]
    some += [Setting(f, 100e6, e) for e in (0.0125, 0.025, 0.04, 0.08)]
    some += [Setting(c, 50e6, e) for e in (0.006, 0.012, 0.02, 0.04)] + [Setting(c, 50e6, 0.02, centred=True)]
    some += [Setting(c, 50e6, e, "gain") for e in (0.1, 0.2)]
    some += [Setting(c, 100e6, e) for e in (0.006, 0.012, 0.02)]
    some += [Setting(m, 23e6, e) for e in (0.02, 0.04, 0.08)]
    some += [Setting(m, 100e6, e) for e in (0.006, 0.0125, 0.025, 0.05)]
    return some


class Model:
    """A network of theta float32[P] in PyTorch."""

    def __init__(self, net: str) -> None:
        import torch

        self.torch, self.f, self.layers = torch, torch.nn.functional, parts(net)
        self.images = len(SHAPES[net]) == 3

    def logits(self, theta: Any, x: Any) -> Any:
        """(n, 10) of pictures (n, ..)."""
        f, h = self.f, x
        for q, (shape, w, b) in enumerate(self.layers):
            weights, biases = theta[w:b].view(shape), theta[b : b + shape[0]]
            if len(shape) == 4:
                h = f.max_pool2d(f.relu(f.conv2d(h, weights, biases)), 2)
            else:
                h = f.linear(h.flatten(1), weights, biases)
                h = h if q == len(self.layers) - 1 else f.relu(h)
        return h

    def one(self, theta: Any, x: Any, y: Any) -> Any:
        """Cost of one picture."""
        return self.f.cross_entropy(self.logits(theta, x[None]), y[None], label_smoothing=SMOOTHING)

    def start(self, seed: int) -> Any:
        """Glorot-uniform weights, biases 0."""
        torch = self.torch
        theta = torch.zeros(sum(math.prod(s) + s[0] for s, _, _ in self.layers))
        random = torch.Generator().manual_seed(seed)
        for shape, w, b in self.layers:
            ends = (shape[0] + shape[1]) * math.prod(shape[2:])
            theta[w:b] = (2 * torch.rand(b - w, generator=random) - 1) * math.sqrt(6 / ends)
        return theta


def pictures(net: str) -> tuple[np.ndarray, np.ndarray]:
    """Training pictures float32 and labels."""
    data = am.load_dataset(DATA[net])
    return data.inputs("train", np.float32).reshape(-1, *SHAPES[net]), data.labels("train")


def trained(s: Setting) -> dict[str, Any]:
    """One run: accuracy and cost of the pictures held out, ROWS times."""
    import torch

    torch.set_num_threads(1)
    model = Model(s.net)
    images, labels = (torch.tensor(a) for a in pictures(s.net))
    images = 2 * images - 1 if s.centred else images
    held, held_labels = images[-HELD_OUT:], labels[-HELD_OUT:]
    images, labels = images[:-HELD_OUT], labels[:-HELD_OUT]
    theta = model.start(s.seed).requires_grad_()
    random = torch.Generator().manual_seed(s.seed + 1000)
    amplitude = torch.ones(len(theta))
    for (shape, w, b), scale in zip(model.layers, s.scales, strict=False):
        amplitude[w : b + shape[0]] = scale
    each = torch.func.vmap(torch.func.grad(model.one), in_dims=(None, 0, 0))
    targets = torch.eye(10) * (1 - SMOOTHING) + SMOOTHING / 10
    velocity, second = torch.zeros(len(theta)), torch.zeros(len(theta))
    windows, factor, power, order = int(s.steps // s.window), 0.0, 0.0, torch.zeros(0, dtype=torch.int64)
    marks = {round(windows * k / ROWS) for k in range(1, ROWS + 1)}
    found: dict[str, list[float]] = {"step": [], "accuracy": [], "cost": []}
    for n in range(windows):
        if len(order) < s.samples:
            order = torch.randperm(len(images), generator=random)
        chosen, order = order[: s.samples], order[s.samples :]
        x, y = images[chosen], labels[chosen]
        out = model.logits(theta, x)
        error = (model.f.softmax(out.detach(), 1) - targets[y]).norm(dim=1)
        if n % MEASURED_EVERY == 0:
            sizes = (each(theta.detach(), x, y) * amplitude).norm(dim=1)
            now = float((sizes**2).sum() / (error**2).sum())
            factor = 0.9 * factor + 0.1 * now if n else now
        size = (math.sqrt(factor) * error).clamp_min(1e-9)
        kept, variance = clipped(size, s.clip)
        cost = (kept * model.f.cross_entropy(out, y, label_smoothing=SMOOTHING, reduction="none")).mean()
        (g,) = torch.autograd.grad(cost, theta)
        noise = math.sqrt(float(variance.mean()) / s.window)
        power = 0.999 * power + 0.001 * float(variance.mean()) if n else float(variance.mean())
        g = g * amplitude**2 + torch.randn(len(g), generator=random) * amplitude * noise
        velocity.mul_(s.momentum).add_(g, alpha=1 - s.momentum)
        rate = s.eta * (1 + math.cos(math.pi * n / windows)) / 2
        with torch.no_grad():
            if s.optimiser == "adam":
                second.mul_(0.999).addcmul_(g, g, value=0.001)
                theta -= rate * velocity / ((second / (1 - 0.999 ** (n + 1))).sqrt() + 1e-8)
            elif s.optimiser == "sign":
                theta -= rate * velocity.sign()
            else:
                theta -= rate / (math.sqrt(power) if s.optimiser == "gain" else 1.0) * velocity
            if n + 1 in marks:
                out = torch.cat([model.logits(theta, part) for part in held.split(1000)])
                found["step"].append((n + 1) * s.window)
                found["accuracy"].append(round(float((out.argmax(1) == held_labels).float().mean()), 4))
                found["cost"].append(
                    round(float(model.f.cross_entropy(out, held_labels, label_smoothing=SMOOTHING)), 4)
                )
    return {"setting": asdict(s), **found}


def clipped(size: Any, clip: float | None) -> tuple[Any, Any]:
    """Q_x and v_x of samples whose gradients have the size |grad C_x|."""
    import torch

    if clip is None:
        return torch.ones_like(size), size**2
    z = clip / size
    kept = torch.erf(z / math.sqrt(2))
    inside = kept - math.sqrt(2 / math.pi) * z * torch.exp(-z * z / 2)
    return kept, size**2 * inside + clip**2 * (1 - kept)


def name(setting: dict[str, Any]) -> str:
    """What a line of the table and of the plot is of, without eta."""
    s = Setting(**{**setting, "scales": tuple(setting["scales"])})
    words = [s.optimiser if s.optimiser != "plain" else ""]
    words += [f"clip {s.clip:g}" if s.clip else "", f"momentum {s.momentum:g}" if s.momentum != 0.9 else ""]
    words += [f"amplitudes {'/'.join(f'{a:g}' for a in s.scales)}" if s.scales else "", "pixels -1..1" * s.centred]
    return ", ".join(w for w in words if w) or "plain"


def draw(result: dict[str, Any], path: Path) -> None:
    """Accuracy at the end against eta, a panel a network and length."""
    runs = result["runs"]
    panels = sorted({(r["setting"]["net"], r["setting"]["steps"]) for r in runs})
    figure = Figure(figsize=(4.2 * min(3, len(panels)), 3.6 * -(-len(panels) // 3)), layout="constrained")
    axes = figure.subplots(-(-len(panels) // 3), min(3, len(panels)), squeeze=False).ravel()
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    for ax, (net, steps) in zip(axes, panels, strict=False):
        here = [r for r in runs if (r["setting"]["net"], r["setting"]["steps"]) == (net, steps)]
        for k, label in enumerate(dict.fromkeys(name(r["setting"]) for r in here)):
            line = [(r["setting"]["eta"], 100 * r["accuracy"][-1]) for r in here if name(r["setting"]) == label]
            ax.plot(*zip(*sorted(line), strict=True), "osv^D"[k % 5] + "-", color=f"C{k % 10}", ms=4, lw=1, label=label)
        ax.set(xscale="log", xlabel="eta, of the mean of G", ylabel="accuracy of pictures held out (%)")
        etas = sorted({r["setting"]["eta"] for r in here})
        if len(etas) <= 6:
            ax.set_xticks(etas, [f"{eta:g}" for eta in etas])
            ax.minorticks_off()
        ax.set_title(f"{net}, {steps / 1e6:g} million steps", fontsize=9)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=6, ncols=1 + (len(ax.lines) > 6), loc="lower right" if len(ax.lines) > 6 else "best")
    figure.savefig(path, dpi=110)


def show(runs: list[dict[str, Any]]) -> None:
    """A line per setting."""
    print(
        "| network | steps, millions | setting | eta | accuracy (%) | cost |\n| --- | ---: | --- | ---: | ---: | ---: |"
    )
    order = [(r["setting"]["net"], r["setting"]["steps"], name(r["setting"])) for r in runs]
    for r, key, before in zip(runs, order, [None, *(a for a, _ in pairwise(order))], strict=True):
        net, steps, what = ("", "", "") if key == before else key
        length = f"{steps / 1e6:g}" if isinstance(steps, float) else ""
        accuracy = 100 * r["accuracy"][-1]
        print(f"| {net} | {length} | {what} | {r['setting']['eta']:g} | {accuracy:.1f} | {r['cost'][-1]:.3f} |")


def main() -> None:
    """Train all settings, save, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=list(DATA), help="only this network")
    parser.add_argument("--quick", action="store_true", help="two short runs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="runs at a time")
    parser.add_argument("-o", type=Path, default=RESULTS, metavar="DIR", help="folder of the results")
    options = parser.parse_args()
    settings = [s for s in grid(options.quick) if options.net in (None, s.net)]
    with ProcessPoolExecutor(options.jobs) as pool:
        jobs = [pool.submit(trained, s) for s in settings]
        runs = [job.result() for job in tqdm(jobs, file=sys.stderr, disable=None)]
    result = {"machine": machine(1), "held out": HELD_OUT, "runs": runs}
    options.o.mkdir(parents=True, exist_ok=True)
    (options.o / "cnn_model.json").write_text(json.dumps(result) + "\n")
    draw(result, options.o / "cnn_model.png")
    show(runs)


if __name__ == "__main__":
    main()
