"""How good the gradient estimate G is: direction and spread against integration time, error against amplitude.

    python bench/gradient_estimate.py [--quick] [-o DIR]

Every draw is a chip with parameters of its own, one fixed sample, eta = 0, antithetic baseline unless said otherwise,
double precision. Writes gradient_estimate.json and gradient_estimate.png. Some 8 minutes on 2 busy cores; --quick:
10 seconds.

Top: mean angle between G and the true gradient after K steps. Middle: efficiency, mean(G.g/|g|^2) over
sqrt(mean |G|^2/|g|^2), with its standard error; the lines are sqrt(K/(K+P-1)) for random codes and sqrt(K/(K+P+1)) for
gaussian. Bottom: relative error of G after one period of the perturbation, median over chips.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from common import RESULTS, machine, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import analogmgd as am
from analogmgd.plot_base import BLUE, GREEN, ORANGE, PINK, RED, STYLE

NETS = {9: [2, 2, 1], 220: [49, 4, 4], 2000: [78, 20, 20]}
COLOURS = {"random": BLUE, "gaussian": ORANGE, "walsh": GREEN, "sinusoid": PINK, "sequential": RED}
MARKERS = {"random": "o", "gaussian": "s", "walsh": "^", "sinusoid": "D", "sequential": "v"}
EXTRA = {"random": -1, "gaussian": 1}  # efficiency sqrt(K/(K + P + extra))
FIT = {"measured": (1e-5, 1e-3), "antithetic": (1e-3, 1e-2)}  # amplitudes the slope is fitted over


def problem(n_params: int, draws: int) -> tuple[am.Network, am.Dataset, np.ndarray, np.ndarray]:
    """(network, one sample, theta0 (draws, P), true gradients (draws, P))."""
    sizes = NETS[n_params]
    net = am.Network.mlp(sizes, "tanh", "sigmoid")
    rng = np.random.default_rng(n_params)
    data = am.Dataset(rng.random((1, sizes[0])), rng.random((1, sizes[-1])))
    theta0 = rng.normal(0, 0.3, (draws, n_params))
    return net, data, theta0, am.gradient(net, data, theta0)


def estimates(problem, kind: str, steps: int, every: int, seed: int = 0, precision: str = "double", **rule):
    """G (rows, draws, P) after every, 2 every, .. steps steps of one window."""
    net, data, theta0, _ = problem
    settings = {"amplitude": 1e-4, "baseline": "antithetic"} | rule
    mgd = am.MGD(perturbation=kind, eta=0, tau_theta=steps, tau_x=steps, **settings)
    run = am.train(
        net, data, mgd, steps=steps, chips=len(theta0), seed=seed, theta0=theta0, precision=precision,
        record="gradient", record_every=every,
    )  # fmt: skip
    return run.record["gradient"][1:]


def direction(G: np.ndarray, g: np.ndarray) -> dict[str, float]:
    """Mean angle, efficiency and their standard errors over the draws (delta method)."""
    norm = np.linalg.norm(g, axis=1)
    along, square = (G * g).sum(axis=1) / norm**2, (G**2).sum(axis=1) / norm**2
    angle = np.degrees(np.arccos(np.clip(along * norm / np.linalg.norm(G, axis=1), -1, 1)))
    root = math.sqrt(square.mean())
    value = along.mean() / root
    influence = along / root - value / 2 * square / square.mean()
    n = math.sqrt(len(G))
    return {
        "angle_degrees": float(angle.mean()),
        "angle_error": float(angle.std(ddof=1) / n),
        "efficiency": float(value),
        "efficiency_error": float(influence.std(ddof=1) / n),
    }


def windows(n_params: int, longest: float, kind: str) -> list[tuple[int, int, list[int]]]:
    """(steps, every, K wanted) of the runs that cover K = 1 to longest P, and one period of the perturbation."""
    runs, steps = [], round(longest * n_params)
    while steps > 100:
        every = steps // 10
        runs.append((10 * every, every, [3 * every, 10 * every]))
        steps //= 10
    runs.append((steps, 1, [K for K in (1, 2, 3, 6, 10, 20, 30, 60, 90) if steps >= K]))
    period = am.MGD(perturbation=kind).period(n_params)
    return [*runs, (period, period, [period])] if period and period <= longest * n_params else runs


def against_time(n_params: int, draws: int, longest: float) -> list[dict[str, Any]]:
    """One row a perturbation and K."""
    case = problem(n_params, draws)
    rows = []
    for kind in COLOURS:
        found = {}
        for steps, every, wanted in windows(n_params, longest, kind):
            G = estimates(case, kind, steps, every, seed=steps)
            found |= {K: direction(G[K // every - 1], case[3]) for K in wanted}
        for K in sorted(found):
            row = {"P": n_params, "perturbation": kind, "K": K, **found[K]}
            if kind in EXTRA:
                row["formula"] = math.sqrt(K / (K + n_params + EXTRA[kind]))
                row["z"] = (row["efficiency"] - row["formula"]) / row["efficiency_error"]
            rows.append(row)
    return rows


def against_amplitude(n_params: int, draws: int, amplitudes: np.ndarray) -> list[dict[str, Any]]:
    """One row a perturbation, baseline and precision: errors over the amplitudes and the fitted exponent."""
    case = problem(n_params, draws)
    norm = np.linalg.norm(case[3], axis=1)
    rows = []
    curves = [(k, b, "double") for k in ("walsh", "sinusoid", "sequential") for b in FIT]
    for kind, baseline, precision in [*curves, ("walsh", "measured", "single")]:
        steps = am.MGD(perturbation=kind).period(n_params)
        errors = []
        for a in amplitudes:
            G = quietly(estimates, case, kind, steps, steps, 0, precision, baseline=baseline, amplitude=float(a))[-1]
            share = 1 if kind == "sequential" else steps
            errors.append(float(np.median(np.linalg.norm(G / share - case[3], axis=1) / norm)))
        row = {"P": n_params, "perturbation": kind, "baseline": baseline, "precision": precision, "error": errors}
        if precision == "double":
            low, high = FIT["antithetic" if kind == "sinusoid" else baseline]
            fitted = (amplitudes >= low * 0.99) & (amplitudes <= high * 1.01)
            row["slope"] = float(np.polyfit(np.log(amplitudes[fitted]), np.log(np.array(errors)[fitted]), 1)[0])
        rows.append(row)
    return rows


def quietly(function, *args, **settings):
    """Call without the warning about small amplitudes in single precision, which are the point here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", am.AnalogMGDWarning)
        return function(*args, **settings)


def draw(result: dict[str, Any], path: Path) -> None:
    """The figure: a column a network; angle, efficiency, error."""
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(11, 10.4), layout="constrained")
        axes = fig.subplots(3, len(NETS), sharey="row")
        for column, (n_params, sizes) in enumerate(NETS.items()):
            draw_time(axes[0, column], axes[1, column], n_params, result)
            draw_amplitude(axes[2, column], n_params, result)
            axes[0, column].set_title(f"{'-'.join(map(str, sizes))},  P = {n_params}")
        axes[0, 0].set_ylabel("mean angle of G to the gradient (°)")
        axes[0, 0].set_yticks(range(0, 91, 15))
        axes[0, 0].set_ylim(-3, 92)
        axes[1, 0].set_ylabel("efficiency  ⟨G·g⟩ / (|g| √⟨|G|²⟩)")
        axes[1, 0].set_ylim(0.015, 1.3)
        axes[2, 0].set_ylabel("relative error of G after a period")
        axes[2, 0].set_ylim(1e-12, 3e3)
        axes[0, 2].legend(loc="lower left")
        axes[1, 2].legend(loc="lower right")
        fig.legend(*axes[2, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        fig.savefig(path)


def draw_time(top: Axes, middle: Axes, n_params: int, result: dict[str, Any]) -> None:
    """Angle and efficiency of one network; random and gaussian nearly coincide, so one has open circles."""
    rows = [r for r in result["time"] if r["P"] == n_params]
    K = np.geomspace(1, max(r["K"] for r in rows), 200)
    for kind, colour in COLOURS.items():
        mine = [r for r in rows if r["perturbation"] == kind]
        at = [r["K"] for r in mine]
        style = {"color": colour, "marker": MARKERS[kind], "ms": 4.5, "lw": 1.2}
        style |= {"mfc": "none", "ms": 8} if kind == "random" else {}
        top.plot(at, [r["angle_degrees"] for r in mine], label=kind, **style)
        if kind in EXTRA:
            label = f"√(K/(K+P{'−' if EXTRA[kind] < 0 else '+'}1)), {kind}"
            middle.plot(K, np.sqrt(K / (K + n_params + EXTRA[kind])), color=colour, lw=1.2, label=label)
            style |= {"lw": 0, "zorder": 3}
        middle.errorbar(at, [r["efficiency"] for r in mine], [r["efficiency_error"] for r in mine], **style)
    for ax in (top, middle):
        ax.set_xscale("log")
        ax.axvline(n_params, color="0.5", lw=0.9, ls=":")
        ax.set_xlabel("integration time K (steps); dotted: K = P")
    middle.set_yscale("log")


def draw_amplitude(ax: Axes, n_params: int, result: dict[str, Any]) -> None:
    """Error against amplitude, the fitted exponents written beside."""
    a = np.array(result["amplitudes"])
    slopes: dict[str, list[str]] = {}
    for r in result["amplitude_errors"]:
        if r["P"] != n_params:
            continue
        kind, both = r["perturbation"], r["baseline"] == "antithetic"
        style = {"color": COLOURS[kind], "marker": MARKERS[kind], "ms": 4, "lw": 1.2, "ls": "--" if both else "-"}
        style["mfc"] = "white" if both else COLOURS[kind]
        label = f"{kind}, {r['baseline']}"
        if r["precision"] == "single":
            style |= {"color": "0.35", "ls": ":", "marker": "x"}
            label += ", single precision"
        else:
            slopes.setdefault(kind, []).append(f"{r['slope']:.2f}")
        ax.loglog(a, r["error"], label=label, **style)
    text = "\n".join(f"{kind} {' / '.join(values)}" for kind, values in slopes.items())
    ax.text(0.03, 0.97, f"slope, measured / antithetic\n{text}", transform=ax.transAxes, va="top", fontsize=8.5)
    ax.set_xlabel("amplitude (units of theta)")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer draws and shorter times, to try it")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS, metavar="DIR")
    args = parser.parse_args(argv)
    began = time.perf_counter()
    amplitudes = np.geomspace(1e-6, 1e-1, 6 if args.quick else 16)
    result: dict[str, Any] = {
        "command": " ".join(["python bench/gradient_estimate.py", *(["--quick"] if args.quick else [])]),
        "machine": machine(),
        "draws": 128 if args.quick else 1024,
        "amplitudes": amplitudes.tolist(),
        "time": [],
        "amplitude_errors": [],
    }
    for n_params in NETS:
        longest = 1.0 if args.quick else 10.0
        result["time"] += against_time(n_params, result["draws"], longest)
        result["amplitude_errors"] += against_amplitude(n_params, 16, amplitudes)
        print(f"P = {n_params}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    z = [r["z"] for r in result["time"] if "z" in r]
    result["largest_z"] = max(z, key=abs)
    result["mean_square_z"] = float(np.mean(np.square(z)))
    save("gradient_estimate", result, args.out)
    draw(result, args.out / "gradient_estimate.png")
    print(f"{len(z)} efficiencies against their formula: largest |z| {max(map(abs, z)):.2f}")
    for r in result["amplitude_errors"]:
        if "slope" in r:
            print(f"P = {r['P']:4d} {r['perturbation']:10s} {r['baseline']:10s} error ~ amplitude^{r['slope']:.3f}")
    print(args.out / "gradient_estimate.png")


if __name__ == "__main__":
    main()
