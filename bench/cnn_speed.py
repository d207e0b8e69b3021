"""One MGD step of the convolutional networks, beside PyTorch and JAX: GFLOP/s, ratios, share of the machine.

    python bench/cnn_speed.py [--threads 2] [--rounds 9] [--clock wall|cpu] [--loaded] [-o DIR]

`fashion-cnn` and `cifar-cnn`, single precision, random pictures of 0 to 255. A step: a new batch of 1000 pictures
(tau_x = 1), the baseline C0 and the perturbed cost C of all of them with one perturbation, so 2000 evaluations, and
G += C_ac theta_ac / amplitude**2; theta is written once in 1000 steps. Peers (see cnn_sides.py) do the same in
processes of their own on the same processors, taking turns with ours; of the ways a peer has (memory layouts, compiled
or not) the one with the best median counts. Ours also at batch 32 (tau_theta 20) and 1 (tau_theta 640), where every
step has a sample and a perturbation of its own, and its baseline.

Two counts of operations an evaluation: `nominal`, two for each weight at each place of its kernel, what the network
as written asks; `needed`, without the places that no pool reads (7 x 7 places make 3 x 3 pools of 2 x 2), which ours
skips and peers do not. The share of the machine is of the needed ones, over the best float32 matrix product of NumPy,
PyTorch and JAX with as many threads, measured in the same rounds. Ratios are medians of those round by round.
--loaded marks the result: other work ran on the machine, which slows sides whose threads wait for each other more
than it slows others. There, `--threads 1 --clock cpu` compares the time of the thread itself (cnn_speed_1.json).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import RESULTS, machine, save
from matplotlib.figure import Figure
from tqdm import tqdm

import analogmgd as am
from analogmgd.bench.rounds import spread

NETS = ("fashion-cnn", "cifar-cnn")
SIDES = ("ours", "torch", "jax")
BASE = "batch 1000"
GOALS = {"flops": 120e9, "share": 0.6, "torch": 4.0, "jax": 4.0}
COST_AGREES = 1e-4  # relative
COLOURS = {"ours": "#0072b2", "torch": "#d55e00", "jax": "#009e73"}


def operations(net: am.Network) -> dict[str, float]:
    """Floating-point operations of an evaluation, nominal and needed.

    >>> operations(am.Network.preset("fashion-cnn"))
    {'nominal': 1476352, 'needed': 1190656}
    """
    nominal = needed = 0
    for k, layer in enumerate(net.layers):
        if not isinstance(layer, am.Dense | am.Conv2d):
            continue
        _, high, wide = (*net.shapes[k + 1], 1, 1)[:3]
        each, after = 2 * layer.rows * layer.columns, net.layers[k + 1 : k + 2]
        nominal += each * high * wide
        if after and isinstance(after[0], am.MaxPool2d):
            high, wide = (n - n % after[0].size for n in (high, wide))
        needed += each * high * wide
    return {"nominal": nominal, "needed": needed}


class Side:
    """A process that measures."""

    def __init__(self, name: str, cpus: list[int]) -> None:
        command = [sys.executable, str(Path(__file__).with_name("cnn_sides.py")), name, ",".join(map(str, cpus))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions: dict[str, str] = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a side ended; what it said is above")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def measure(sides: dict[str, Side], rounds: int, seconds: float, clock: str) -> dict[str, Any]:
    """Evaluations per second of every cell and round, and the roofs, operations/s."""
    timed = {"wall": "seconds", "cpu": "processor"}[clock]
    rates: dict[str, dict[str, list[float]]] = {net: {} for net in NETS}
    costs: dict[str, dict[str, float]] = {net: {} for net in NETS}
    turns = []
    for net in NETS:
        for name, side in sides.items():
            answer = side.ask("prepare", net=net, seconds=seconds)
            costs[net][name] = answer["cost"]
            turns += [(net, name, cell) for cell in answer["cells"]]
        apart = max(abs(c / costs[net]["ours"] - 1) for c in costs[net].values())
        if apart > COST_AGREES:
            raise RuntimeError(f"{net}: the sides do not compute the same cost: {costs[net]}")
    roofs: dict[str, list[float]] = {name: [] for name in sides}
    for _ in tqdm(range(rounds), file=sys.stderr, disable=None, unit="round"):
        for name, side in sides.items():
            roofs[name].append(side.ask("roof", clock=clock)["flops"])
        for net, name, cell in turns:
            took = sides[name].ask("time", net=net, cell=cell)
            title = f"{name}: {cell}"
            rates[net].setdefault(title, []).append(took["evaluations"] / took[timed])
    return {"rates": rates, "cost": costs, "roof": {("numpy" if n == "ours" else n): r for n, r in roofs.items()}}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """For each network: cells, the peers' best, ratios, share of the matrix product; each [median, least, largest]."""
    out = {}
    roof = [max(values) for values in zip(*found["roof"].values(), strict=True)]
    for net in NETS:
        count, rates = operations(am.Network.preset(net)), found["rates"][net]
        cells = {}
        for title, values in rates.items():
            needed = title.startswith("ours")
            each = count["needed" if needed else "nominal"]  # what it does
            share = [each * rate / top for rate, top in zip(values, roof, strict=True)]
            nominal, done = ([n * v / 1e9 for v in spread(values)] for n in (count["nominal"], each))
            cells[title] = {"evaluations/s": spread(values), "nominal GFLOP/s": nominal, "done GFLOP/s": done}
            cells[title]["share of matrix product"] = spread(share)
        ours, best = rates[f"ours: {BASE}"], {}
        for peer in ("torch", "jax"):
            of_peer = [title for title in rates if title.startswith(f"{peer}:")]
            if of_peer:
                title = max(of_peer, key=lambda t: spread(rates[t])[0])
                ratio = spread([a / b for a, b in zip(ours, rates[title], strict=True)])
                best[peer] = {"variant": title, "ours over it": ratio}
        out[net] = {"operations": count, "cells": cells, "peers": best}
    return out


def draw(result: dict[str, Any], path: Path) -> None:
    """cnn_speed.png, for one thread cnn_speed_1.png."""
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    top = spread([max(v) for v in zip(*result["roof"].values(), strict=True)])[0] / 1e9
    for axes, (net, one) in zip(figure.subplots(1, 2, sharex=True), result["summary"].items(), strict=True):
        for k, (title, cell) in enumerate(one["cells"].items()):
            middle, low, high = cell["done GFLOP/s"]
            colour = COLOURS[title.split(":")[0]]
            axes.barh(-k, middle, color=colour, xerr=[[middle - low], [high - middle]], ecolor="0.4")
            nominal = cell["nominal GFLOP/s"][0]
            axes.text(high + 2, -k, f"{middle:.0f}" + f" ({nominal:.0f})" * (nominal > middle), va="center", fontsize=8)
        axes.set_yticks([-k for k in range(len(one["cells"]))], list(one["cells"]), fontsize=8)
        axes.axvline(top, color="0.3", linestyle="--", linewidth=1)
        axes.set_title(net, loc="left", fontsize=10)
        axes.set_xlabel("GFLOP/s done (nominal)")
        axes.margins(x=0.2)
    threads = result["machine"]["threads"]
    title = f"one MGD step, {threads} thread{'s' * (threads > 1)}; dashed: matrix product"
    figure.suptitle(title + ", loaded machine" * result["loaded"], fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, save, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.8, help="of each turn")
    parser.add_argument("--loaded", action="store_true", help="mark: other work runs on the machine")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: with --threads 1 only")
    parser.add_argument("-o", type=Path, default=RESULTS, metavar="DIR", help="folder of the results")
    options = parser.parse_args()
    if options.clock == "cpu" and options.threads != 1:
        parser.error("--clock cpu: needs --threads 1, since time of several threads is not theirs together")
    name = "cnn_speed" if options.threads != 1 else "cnn_speed_1"
    cpus = sorted(os.sched_getaffinity(0))[: options.threads]
    os.environ.pop("OPENBLAS_CORETYPE", None)  # they would slow NumPy, the roof
    os.environ.pop("OPENBLAS_L2_SIZE", None)
    sides: dict[str, Side] = {}
    try:
        for side_name in SIDES:
            try:
                sides[side_name] = Side(side_name, cpus)
            except RuntimeError:
                if side_name == "ours":
                    raise
                print(f"{side_name}: left out", file=sys.stderr)
        load = os.getloadavg()[0]
        about = {**machine(len(cpus)), **{k: v for side in sides.values() for k, v in side.versions.items()}}
        found = measure(sides, options.rounds, options.seconds, options.clock)
    finally:
        for side in sides.values():
            side.stop()
    result = {
        "machine": about, "loaded": options.loaded, "clock": options.clock, "load before": load, "goals": GOALS,
        "step": "2000 evaluations: baseline and perturbed cost of 1000 new samples", "rounds": options.rounds, **found,
    }  # fmt: skip
    result["summary"] = summary(found)
    options.o.mkdir(parents=True, exist_ok=True)
    save(name, result, options.o)
    draw(result, options.o / f"{name}.png")
    for net, one in result["summary"].items():
        for title, cell in one["cells"].items():
            nominal, share = cell["nominal GFLOP/s"], cell["share of matrix product"]
            print(f"{net:12s} {title:32s} {nominal[0]:6.1f} [{nominal[1]:.1f}, {nominal[2]:.1f}] GFLOP/s nominal, "
                  f"{cell['done GFLOP/s'][0]:6.1f} done, {share[0]:.2f} of the matrix product")  # fmt: skip
        for best in one["peers"].values():
            ratio = best["ours over it"]
            print(f"{net:12s} over {best['variant']:28s} {ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]")


if __name__ == "__main__":
    main()
