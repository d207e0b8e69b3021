"""MGD beside backpropagation from the same starts, each at its best learning rate from a grid.

    python bench/learning.py xor|nist7x7|digits [--quick]

The learning rate is chosen on chips of another seed than the ones reported. Chip c of both rules starts from the
same theta0 (uniform in +-0.5), so differences are paired. Writes bench/results/learning_NAME.json and .png.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import RESULTS, machine, save
from matplotlib.figure import Figure

import analogmgd as am

BLUE, ORANGE = "#0072B2", "#D55E00"
Z95 = 1.959964


@dataclass(frozen=True)
class Case:
    """One comparison: network, budgets in steps, learning rates to choose from."""

    data: str
    sizes: tuple[int, ...]
    chips: int
    chips_to_choose: int
    mgd_steps: int
    mgd_etas: tuple[float, ...]
    backprop_steps: int
    backprop_etas: tuple[float, ...]
    mgd: dict[str, Any]


CASES = {
    "xor": Case(
        "parity", (2, 2, 1), 4096, 1024, 1_000_000, (0.1, 0.2, 0.5, 1.0), 200_000, (0.5, 1.0, 2.0, 4.0),
        {"amplitude": 0.01},
    ),
    "nist7x7": Case(
        "nist7x7", (49, 4, 4), 256, 32, 50_000_000, (0.005, 0.01, 0.02), 2_000_000, (0.1, 0.3, 1.0),
        {"amplitude": 0.01, "schedule": "cosine"},
    ),
    "digits": Case(
        "digits", (64, 32, 10), 256, 32, 6_000_000, (0.005, 0.01, 0.02), 200_000, (0.5, 1.0, 2.0),
        {"amplitude": 0.01, "schedule": "cosine"},
    ),
}  # fmt: skip


def run(case: Case, rule: am.MGD | am.Backprop, steps: int, chips: int, seed: int) -> am.Trace:
    """One ensemble, 200 recorded rows."""
    net = am.Network.mlp(case.sizes)
    return am.train(net, case.data, rule, steps=steps, chips=chips, seed=seed, record_every=max(1, steps // 200))


def make_rule(case: Case, kind: str, eta: float) -> am.MGD | am.Backprop:
    """The rule of a case at a learning rate; both with the same schedule."""
    if kind == "mgd":
        return am.MGD(eta=eta, **case.mgd)
    return am.Backprop(eta=eta, schedule=case.mgd.get("schedule", "constant"))


def choose(case: Case, kind: str, steps: int, etas: tuple[float, ...], chips: int) -> dict[str, Any]:
    """Mean final score at every eta of the grid, on chips of seed 1000; the best one."""
    scores = {}
    for eta in etas:
        start = time.perf_counter()
        scores[eta] = float(score(case, run(case, make_rule(case, kind, eta), steps, chips, 1000)).mean())
        print(f"  {kind} eta {eta:g}: mean {scores[eta]:.4f}  ({time.perf_counter() - start:.0f} s)", flush=True)
    return {"grid": list(etas), "score": list(scores.values()), "eta": max(scores, key=lambda e: scores[e])}


def score(case: Case, trace: am.Trace, row: int = -1) -> np.ndarray:
    """Per chip: solved (XOR: all four outputs right), or test accuracy."""
    final = np.asarray(trace.accuracy[row], np.float64)
    return (final == 1.0).astype(float) if case.data == "parity" else final


def flatness(case: Case, trace: am.Trace) -> float:
    """Mean score at the end minus at three quarters of the budget."""
    return float(score(case, trace).mean() - score(case, trace, len(trace.step) * 3 // 4).mean())


def quantiles(x: np.ndarray) -> dict[str, float]:
    """The distribution over the chips, in seven numbers."""
    return {f"q{q:g}": float(np.quantile(x, q / 100)) for q in (0, 5, 25, 50, 75, 95, 100)} | {"mean": float(x.mean())}


def draw(name: str, case: Case, traces: dict[str, am.Trace], result: dict[str, Any], path: Any) -> None:
    """Learning curves, the distribution of the final score, and the paired differences."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for (kind, trace), colour in zip(traces.items(), (ORANGE, BLUE), strict=True):
        accuracy = np.asarray(trace.accuracy[:])
        low, mid, high = np.quantile(accuracy, [0.25, 0.5, 0.75], axis=1)
        label = {"mgd": "MGD", "backprop": "backpropagation"}[kind] + f", eta {result[kind]['eta']:g}"
        step = np.maximum(np.asarray(trace.step[:]), 1)
        if case.data == "parity":
            left.plot(step, (accuracy == 1.0).mean(axis=1), color=colour, label=label)
        else:
            left.plot(step, mid, color=colour, label=label)
            left.fill_between(step, low, high, color=colour, alpha=0.25, lw=0)
        final = np.sort(accuracy[-1])
        middle.plot(final, np.arange(1, len(final) + 1) / len(final), color=colour, drawstyle="steps-post")
    left.set(xscale="log", xlabel="steps", ylabel="chips solved" if case.data == "parity" else "test accuracy")
    left.legend(frameon=False, loc="lower right")
    middle.set(xlabel="final test accuracy", ylabel="fraction of chips at or below")
    difference = score(case, traces["mgd"]) - score(case, traces["backprop"])
    bins = [-1.5, -0.5, 0.5, 1.5] if case.data == "parity" else 31
    right.hist(100 * difference if case.data != "parity" else difference, bins=bins, color="0.6", edgecolor="white")
    d = result["difference"]
    right.set(
        xlabel="MGD - backpropagation, same chip" + ("" if case.data == "parity" else ", points"),
        ylabel="chips",
        title=f"{100 * d['mean']:+.2f} points, 95 % [{100 * d['low']:+.2f}, {100 * d['high']:+.2f}]",
    )
    sizes = "-".join(map(str, case.sizes))
    figure.suptitle(f"{name}, {sizes}, {result['chips']} chips, same starts")
    figure.savefig(path, dpi=130)


def compare(name: str, quick: bool) -> dict[str, Any]:
    """Choose, run, compare; returns what is stored."""
    case = CASES[name]
    shrink = 50 if quick else 1
    chips = max(32, case.chips // (8 if quick else 1))
    some = max(32, case.chips_to_choose // (8 if quick else 1))
    budgets = {
        "backprop": (max(20, case.backprop_steps // shrink), case.backprop_etas),
        "mgd": (max(20, case.mgd_steps // shrink), case.mgd_etas),
    }
    result: dict[str, Any] = {"case": name, "chips": chips, "quick": quick, "machine": machine(), "rule": case.mgd}
    traces = {}
    for kind, (steps, etas) in budgets.items():
        result[kind] = {"steps": steps, "chips_to_choose": some} | choose(case, kind, steps, etas, some)
        start = time.perf_counter()
        traces[kind] = run(case, make_rule(case, kind, result[kind]["eta"]), steps, chips, 0)
        summary = traces[kind].summary()
        result[kind] |= {
            "wall_seconds": time.perf_counter() - start,
            "chip_steps_per_s": summary["chip_steps_per_s"],
            "final": quantiles(score(case, traces[kind])),
            "gain_in_last_quarter": flatness(case, traces[kind]),
            "collapsed": summary["collapsed"],
            "diverged": len(summary["diverged"]),
        }
        print(f"  {kind}: {result[kind]['final']}", flush=True)
    difference = score(case, traces["mgd"]) - score(case, traces["backprop"])
    error = Z95 * difference.std(ddof=1) / np.sqrt(chips)
    result["difference"] = {
        "mean": float(difference.mean()),
        "low": float(difference.mean() - error),
        "high": float(difference.mean() + error),
        "median": float(np.median(difference)),
    }
    stem = f"learning_{name}" + ("_quick" if quick else "")
    draw(name, case, {k: traces[k] for k in ("mgd", "backprop")}, result, RESULTS / f"{stem}.png")
    print(f"  wrote {save(stem, result)}")
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="+", choices=list(CASES))
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the steps, an eighth of the chips")
    arguments = parser.parse_args()
    for name in arguments.case:
        print(name, flush=True)
        d = compare(name, arguments.quick)["difference"]
        print(f"  MGD - backpropagation: {d['mean']:+.4f}, 95 % [{d['low']:+.4f}, {d['high']:+.4f}]")


if __name__ == "__main__":
    main()
