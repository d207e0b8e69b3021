"""Digits on every preset device: trained on the chip, and trained elsewhere and then written to it.

    python bench/devices.py [--chips 64] [--steps 2000000] [--only reram-es,ecram] [--short]

64-32-10, tanh, cross-entropy, on chips of 10 ns a step, momentum 0.9 (a number kept for each parameter beside its
device). For each device tau_theta and then eta are tried on 16 chips of another seed; what is shown is the accuracy of
64 chips on the test set, each with devices of its own, all scaled so that a nominal w of 1 (of pcm 2, the end of its
range) is a theta of 2. Devices with 1/f noise, which take long, have a tenth of the steps and 16 chips. --short tries
one eta with two values of tau_theta; --only keeps what there is of the other devices. The choice is made with other
starts and devices, but on the same test pictures.
Written to the chip: the parameters that backpropagation finds on the ideal network, clipped to what each device
can hold, with its write noise; nothing is corrected after it. Both: from there trained on the chip with a tenth of
eta. Makes bench/results/devices_digits.json and .png.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np
from common import RESULTS, machine, save
from tqdm import tqdm

import analogmgd as am
from analogmgd.devices import NAMES

NETWORK = am.Network.mlp([64, 32, 10], "tanh", cost="cross-entropy", init="glorot")
ETAS = (3e-6, 1e-6, 1e-5)  # the first with every window, the others with the best
WINDOWS = (100, 1000, 10_000, 40_000)
MOMENTUM = 0.9
SHORT = (1e-5,), (1000, 10_000)
FINE = 0.1  # of eta, for chips that have been written
SLOW = 10  # times fewer steps where 1/f noise takes long
RANGE = 2.0  # the parameters that backpropagation finds lie within +-2 but for 2 in 1000
TRIED = 16  # chips of the grid
Grid = tuple[tuple[float, ...], tuple[int, ...]]


def chip_of(name: str) -> am.Chip:
    """A chip with these devices."""
    device = am.device(name)
    if device.w_max is not None:
        device = am.device(name, scale=RANGE / (device.w_max if device.one_sided else 1.0))
    return am.Chip(NETWORK, device=device, step_time="mem-compute")


def trained(name: str, eta: float, tau_theta: int, steps: int, chips: int, seed: int, theta0: Any = None) -> am.Trace:
    """A run of MGD."""
    rule = am.MGD(eta=eta, amplitude=0.01, tau_theta=tau_theta, baseline="antithetic", momentum=MOMENTUM)
    return am.train(
        chip_of(name), "digits", rule, steps=steps, chips=chips, seed=seed, theta0=theta0, eval_samples=None
    )


def best_settings(name: str, steps: int, grid: Grid, say: tqdm) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """eta and tau_theta with the highest median accuracy at the end, and all that was tried."""
    tried: list[dict[str, Any]] = []

    def attempt(eta: float, tau_theta: int) -> None:
        say.set_postfix_str(f"{name}: eta {eta:g}, tau_theta {tau_theta}")
        run = trained(name, eta, tau_theta, steps, TRIED, seed=1)
        tried.append({"eta": eta, "tau_theta": tau_theta, "accuracy": float(np.median(run.accuracy[-1]))})
        say.update()

    etas, windows = grid
    for tau_theta in windows:
        attempt(etas[0], tau_theta)
    window = max(tried, key=lambda one: one["accuracy"])["tau_theta"]
    for eta in etas[1:]:
        attempt(eta, window)
    return max(tried, key=lambda one: one["accuracy"]), tried


def tuned(name: str, settings: dict[str, Any], steps: int, theta0: np.ndarray) -> list[float]:
    """Accuracy of chips that were written and then trained."""
    run = trained(name, FINE * settings["eta"], settings["tau_theta"], steps, len(theta0), 0, theta0)
    return quartiles(run.accuracy[-1])


def quartiles(values: np.ndarray) -> list[float]:
    """Median, lower and upper quartile."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return [float(middle), float(low), float(high)]


def measure(names: list[str], chips: int, steps: int, grid: Grid, known: dict[str, Any]) -> dict[str, Any]:
    """Everything that is shown; known : devices measured before."""
    say = tqdm(total=len(names) * (len(grid[0]) + len(grid[1])) + 1, file=sys.stderr)
    ideal = am.train(NETWORK, "digits", am.Backprop(eta=0.03), steps=50_000, chips=chips, eval_samples=None)
    say.update()
    found: dict[str, Any] = {"backprop": quartiles(ideal.accuracy[-1]), "devices": dict(known)}
    for name in names:
        slow = am.device(name).flicker > 0
        done, some = (steps // SLOW, TRIED) if slow else (steps, chips)
        settings, tried = best_settings(name, done, grid, say)
        say.set_postfix_str(name)
        run = trained(name, settings["eta"], settings["tau_theta"], done, some, seed=0)
        written = am.train(
            chip_of(name), "digits", am.MGD(eta=0.0), steps=1, chips=chips, theta0=ideal.theta, eval_samples=None
        )
        both = tuned(name, settings, done, ideal.theta[:some])
        found["devices"][name] = {
            "settings": settings, "steps": done, "chips": some, "tried": tried, "on chip": quartiles(run.accuracy[-1]),
            "written": quartiles(written.accuracy[0]), "both": both, "accuracies": run.accuracy[-1].tolist(),
            "spent": run.summary()["spent"],
        }  # fmt: skip
        say.update()
        save("devices_digits", found | {"machine": machine(), "chips": chips, "steps": steps, "range": RANGE})
    say.close()
    return found


def draw(result: dict[str, Any]) -> None:
    """devices_digits.png."""
    from matplotlib.figure import Figure

    names = list(result["devices"])
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for offset, key, colour, label in (
        (-0.14, "on chip", "#0072b2", "MGD on the chip"),
        (0.0, "both", "#009e73", "written, then MGD on the chip"),
        (0.14, "written", "#d55e00", "backpropagation elsewhere, then written"),
    ):
        values = 100 * np.array([result["devices"][name].get(key, [np.nan] * 3) for name in names])
        errors = [values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]]
        at = np.arange(len(names)) + offset
        axes.errorbar(at, values[:, 0], errors, fmt="o", color=colour, capsize=3, label=label)
    axes.axhline(
        100 * result["backprop"][0], color="0.3", linewidth=1, linestyle="--", label="ideal chip, backpropagation"
    )
    axes.axhline(10, color="0.7", linewidth=1, linestyle=":", label="chance")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylabel("test accuracy (%)")
    axes.set_ylim(0, 101)
    axes.set_title(
        f"digits, 64-32-10, {result['chips']} chips, {result['steps']:,} steps; medians and quartiles", fontsize=10
    )
    axes.legend(fontsize=8, loc="center right")
    figure.savefig(RESULTS / "devices_digits.png", dpi=130)


def main() -> None:
    """Measure, save, draw, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, default=64)
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--short", action="store_true", help="fewer settings tried")
    parser.add_argument("--only", default=",".join(NAMES))
    options = parser.parse_args()
    names, file = options.only.split(","), RESULTS / "devices_digits.json"
    known = json.loads(file.read_text())["devices"] if file.exists() and len(names) < len(NAMES) else {}
    result = measure(names, options.chips, options.steps, SHORT if options.short else (ETAS, WINDOWS), known)
    result["devices"] = {name: result["devices"][name] for name in NAMES if name in result["devices"]}
    result |= {"machine": machine(), "chips": options.chips, "steps": options.steps, "range": RANGE}
    save("devices_digits", result)
    draw(result)
    print(f"backpropagation, ideal: {100 * result['backprop'][0]:.1f} %")
    for name, one in result["devices"].items():
        shown = [one[key] for key in ("on chip", "written", "both")]
        texts = [f"{100 * m:5.1f} [{100 * a:.1f}, {100 * b:.1f}] %" for m, a, b in shown]
        print(f"{name:18s} on chip {texts[0]} written {texts[1]} both {texts[2]} {one['settings']}")


if __name__ == "__main__":
    main()
