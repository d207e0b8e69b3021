"""Wires in the training loop: what they cost in accuracy, with and without training on the chip, and in time.

    python bench/wires_loop.py [--chips 32] [--steps 200000] [--only accuracy|cost] [-o DIR]

(1) Digits, 64-32-10, tanh, cross-entropy, on chips whose crossbars (65 x 32 and 33 x 10, a last row for the biases)
have 0 to 10 ohm a segment; devices of 1 to 100 uS, theta from -2 to 2, written without error, a weight on a pair
one-sided (the other at 1 uS) or symmetric (about the middle: far more current). Trained by MGD on the chip from the
start; trained by backpropagation on the ideal network and then written; and that trained on by MGD on the chip, in a
third of the steps. Medians and quartiles of the chips.
(2) Time of a step with wires over that without, the same chip otherwise, 63-64-10 in vectors of 16 chips, no solve
among them, in turns in one process (processor time of the thread). And of one exact solve of 64 x 64, beside SciPy.
Writes wires_loop.json and wires_loop.png. Six minutes on 2 idle cores.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine, save
from matplotlib.figure import Figure

import analogmgd as am
from analogmgd.engine import make_blocks
from analogmgd.kernels import elimination
from analogmgd.plan import Plan
from analogmgd.plot_base import BLUE, GREEN, ORANGE, STYLE
from analogmgd.train import settle

from wires import by_splu, draw_devices, nodal, timed, VARIANTS  # isort: skip

NETWORK = am.Network.mlp([64, 32, 10], "tanh", cost="cross-entropy", init="glorot")
MAPPINGS = ("one-sided", "symmetric")
G_UNIT = 99e-6  # siemens for w = 1: devices from 1 to 100 uS
OHMS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
RULE = am.MGD(eta=3e-4, amplitude=0.01, tau_theta=10, baseline="antithetic", schedule="cosine")
TUNING = RULE.replace(eta=1e-4)
TOLERANCE = 0.02


def wires_of(ohm: float, mapping: str) -> am.Wires:
    """Solved by the tolerance; by the clock where that would be nearly every write."""
    when = {"refresh": 500} if mapping == "symmetric" and ohm > 2 else {"tolerance": TOLERANCE}
    return am.Wires(row=ohm, column=ohm, g_unit=G_UNIT, **when)


def device_of(mapping: str) -> am.Device:
    return am.Device(w_min=-1.0, w_max=1.0, g_min=0.01, scale=2.0, mapping=mapping)


def quartiles(values: np.ndarray) -> list[float]:
    """Median, lower and upper quartile."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return [float(middle), float(low), float(high)]


def measure_accuracy(chips: int, steps: int) -> dict[str, Any]:
    """(1)."""
    ideal = am.train(NETWORK, "digits", am.Backprop(eta=0.03), steps=50_000, chips=chips, eval_samples=None)
    found: dict[str, Any] = {"backprop": quartiles(ideal.accuracy[-1]), "ohms": []}
    for mapping, ohm in itertools.product(MAPPINGS, OHMS):
        chip = am.Chip(NETWORK, device=device_of(mapping), wires=wires_of(ohm, mapping), step_time="mem-compute")
        run = am.train(chip, "digits", RULE, steps=steps, chips=chips, eval_samples=None, record_every=steps)
        written = am.train(chip, "digits", am.MGD(eta=0.0), steps=1, chips=chips, theta0=ideal.theta, eval_samples=None)
        tuned = am.train(
            chip, "digits", TUNING, steps=steps // 3, chips=chips, theta0=ideal.theta, eval_samples=None,
            record_every=steps,
        )  # fmt: skip
        spent = run.summary()["spent"]
        found["ohms"].append({
            "mapping": mapping, "ohm": ohm, "on chip": quartiles(run.accuracy[-1]),
            "written": quartiles(written.accuracy[0]), "tuned": quartiles(tuned.accuracy[-1]),
            "solves": spent.get("wire_solves_per_chip", 0.0),
            "largest_error": spent.get("largest_wire_error", 0.0),
            "wall_seconds": run.summary()["wall_seconds"],
        })  # fmt: skip
        print(found["ohms"][-1], flush=True)
    return found


DEVICES = {
    "written without error, bounded": am.Device(w_min=-1.0, w_max=1.0, g_min=0.01),
    "the same, perturbations 1 % apart": am.Device(w_min=-1.0, w_max=1.0, g_min=0.01, amplitude_mismatch=0.01),
    "pulsed (ecram)": am.device("ecram", g_min=0.01),
}


def block_of(device: am.Device, tau_theta: int, wires: am.Wires | None) -> Any:
    """16 chips of 63-64-10."""
    rng = np.random.default_rng(0)
    data = am.Dataset(rng.random((200, 63)), rng.random((200, 10)))
    chip = am.Chip(am.Network.mlp([63, 64, 10], "tanh"), device=device, wires=wires)
    rule = am.MGD(eta=1e-4, amplitude=0.01, tau_theta=tau_theta)
    config = am.Config(chip, rule, {"name": data.name}, am.Run(chips=16, steps=10**6))
    return make_blocks(Plan(settle(config, data), data), None, 1, 16)[0]


def measure_steps(repeats: int = 15, steps: int = 300) -> list[dict[str, Any]]:
    """(2), the step."""
    found = []
    rare = am.Wires(row=1.0, column=1.0, g_unit=1e-4, refresh=10**9)
    for name, device in DEVICES.items():
        for tau_theta in (10, 1):
            blocks = {"without": block_of(device, tau_theta, None), "with": block_of(device, tau_theta, rare)}
            seconds: dict[str, list[float]] = {k: [] for k in blocks}
            for _ in range(repeats + 1):
                for k, block in blocks.items():
                    began = time.thread_time()
                    block.advance(block.n + steps, probe=False)
                    seconds[k].append(time.thread_time() - began)
            ratio = np.array(seconds["with"][1:]) / np.array(seconds["without"][1:])
            found.append({
                "device": name, "tau_theta": tau_theta, "ratio": quartiles(ratio),
                "ns_per_chip_step": {k: 1e9 * float(np.median(s[1:])) / steps / 16 for k, s in seconds.items()},
            })  # fmt: skip
            print(found[-1], flush=True)
    return found


def measure_solve(n: int, repeats: int = 9) -> dict[str, Any]:
    """(2), a solve: M and S of one array in the loop, and M by sparse LU (factorised and solved, assembled before)."""
    G = draw_devices(n, 0)
    cells, work, stack = elimination.scratch(n, n, False)
    cells[elimination.G, :, :n] = G
    A, inputs, outputs = nodal(G, 1.0)
    ends = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    calls: dict[str, Any] = {"loop": lambda: elimination.solve_one(ends, True, n, cells, work, stack)}
    for name in VARIANTS:
        calls[name] = lambda name=name: by_splu(A, inputs, outputs, 1.0, name)
    seconds, results = timed(calls, repeats)
    best = min(VARIANTS, key=lambda name: seconds[name])
    off = float(np.abs(cells[elimination.M, :, :n].T / results[best] - 1).max())
    found = {
        "n": n, "milliseconds": 1e3 * seconds["loop"], "splu_milliseconds": 1e3 * seconds[best], "fastest_splu": best,
        "largest_relative_difference": off,
    }  # fmt: skip
    print(found, flush=True)
    return found


def draw(result: dict[str, Any], path: Path) -> None:
    """The figure of (1)."""
    import matplotlib as mpl

    at = np.arange(len(OHMS))
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(9.6, 4.2), layout="constrained")
        for ax, mapping, title in zip(
            fig.subplots(1, 2, sharey=True), MAPPINGS, ("a  One-sided", "b  Symmetric"), strict=True
        ):
            rows = [r for r in result["accuracy"]["ohms"] if r["mapping"] == mapping]
            for key, colour, marker, label in (
                ("on chip", BLUE, "o", "MGD on the chip"),
                ("written", ORANGE, "s", "backpropagation elsewhere, then written"),
                ("tuned", GREEN, "D", "the same, then MGD on the chip"),
            ):
                values = 100 * np.array([r[key] for r in rows])
                errors = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
                ax.errorbar(at, values[:, 0], errors, color=colour, marker=marker, ms=5, lw=1.2, capsize=3, label=label)
            best = 100 * result["accuracy"]["backprop"][0]
            ax.axhline(best, color="0.3", lw=1, ls="--", label="ideal chip, backpropagation")
            ax.axhline(10, color="0.7", lw=1, ls=":", label="chance")
            ax.set_xticks(at, [f"{ohm:g}" for ohm in OHMS])
            ax.set_ylim(0, 101)
            ax.set_xlabel("wire (ohm per cell)")
            ax.set_title(f"{title}: digits, {result['chips']} chips")
        fig.axes[0].set_ylabel("test accuracy (%)")
        fig.axes[0].legend(loc="lower left")
        fig.savefig(path)


def main() -> None:
    """Measure, save, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, default=32)
    parser.add_argument("--steps", type=int, default=150_000)
    parser.add_argument("--only", choices=("accuracy", "cost"))
    parser.add_argument("-o", "--out", type=Path, default=RESULTS, metavar="DIR")
    args = parser.parse_args()
    began = time.perf_counter()
    result: dict[str, Any] = {"machine": machine(), "chips": args.chips, "steps": args.steps}
    if args.only != "accuracy":
        result |= {"steps_with_over_without": measure_steps(), "solves": [measure_solve(n) for n in (16, 32, 64)]}
    if args.only != "cost":
        result["accuracy"] = measure_accuracy(args.chips, args.steps)
        draw(result, args.out / "wires_loop.png")
    save("wires_loop", result, args.out)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
