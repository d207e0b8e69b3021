"""What the two filters of the analog mode do to the gradient estimate G.

    python bench/analog_filters.py [--quick] [-o DIR]

Chips at a fixed theta (eta = 0) and one sample, presented again every tau_x, double precision. Measured points against
lines from the filters' equations. Writes analog_filters.json and analog_filters.png. Half a minute on 2 cores, with
--quick 10 s.

Top: scale of G, the factor of its mean against the gradient, 2-2-1 with random codes. Bottom: (d, e) efficiency,
|mean G| over sqrt(mean |G|^2), 2-2-1 with random codes; (f) angle between the mean of G and the gradient, 49-4-4, for
perturbations of which delayed copies are not orthogonal. Error bars are standard errors.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from common import RESULTS, machine, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.linalg import hadamard

import analogmgd as am
from analogmgd.plot_base import BLUE, GREEN, ORANGE, PINK, RED, STYLE

ALWAYS = 2**20  # tau_x of a sample that never changes
HUES = (BLUE, ORANGE, GREEN, PINK)
MARKERS = "osD^"
KINDS = {"walsh": (GREEN, "^"), "sinusoid": (PINK, "D"), "sequential": (RED, "v")}


# What the equations say. All times in units of dt.


def pass_once(tau_hp: Any) -> Any:
    """a: what the high-pass lets through of a change, at once."""
    return tau_hp / (tau_hp + 1.0)


def scale(tau_hp: Any, tau_x: Any, hold: int = 1) -> Any:
    """Mean of G against the gradient, codes held for `hold` iterations, tau_x a multiple of it."""
    a = pass_once(tau_hp)
    return a * (1 - a**hold) / (hold * (1 - a)) * (1 - hold / tau_x)


def transfer(frequency: Any, tau_hp: float) -> Any:
    """H of the high-pass at a frequency in cycles per dt."""
    turn = np.exp(-2j * np.pi * np.asarray(frequency))
    a = pass_once(tau_hp)
    return a * (1 - turn) / (1 - a * turn)


def response(frequency: Any, tau_hp: float) -> Any:
    """Its in-phase part, the scale of a sinusoid's estimate."""
    return transfer(frequency, tau_hp).real


def variance_of_cost(tau_hp: float, tau_x: int) -> float:
    """Mean square of C_ac over that of the change of cost itself, independent codes every iteration."""
    a = pass_once(tau_hp)
    if tau_x >= ALWAYS:
        return 2 * a * a / (1 + a)
    v = 0.0
    for _ in range(10_000):
        start, total = v, 0.0
        for n in range(tau_x):  # E[C_ac c] is a, but 0 where the sample has just changed
            v = a * a * v if n == 0 else a * a * (v + 2 - 2 * (0 if n == 1 else a))
            total += v
        if abs(v - start) < 1e-12 * max(v, 1e-300):
            break
    return total / tau_x


def efficiency(tau_hp: float, tau_x: int, tau_theta: float, n_params: int) -> float:
    """|mean G| / sqrt(mean |G|^2): the low-pass leaves dt/(2 tau_theta + dt) of the variance of one iteration."""
    s, a = float(scale(tau_hp, tau_x)), pass_once(tau_hp)
    one = n_params * variance_of_cost(tau_hp, tau_x) - a * a * (1 - 1 / tau_x)
    return s / math.sqrt(s * s + one / (2 * tau_theta + 1))


def noise(tau_hp: float, tau_x: int) -> float:
    """How many times longer a tau_theta than without filters it takes to the same efficiency, large P."""
    return variance_of_cost(tau_hp, tau_x) / float(scale(tau_hp, tau_x)) ** 2


def noise_table() -> list[dict[str, float]]:
    """The best tau_hp for some tau_x, and what others cost."""
    rows = []
    for tau_x in (4, 16, 64, 256):
        tau_hps = np.geomspace(0.1, 100, 301)
        best = min(tau_hps, key=lambda h: noise(h, tau_x))
        others = {
            f"noise_at_{name}": noise(q * tau_x, tau_x) for name, q in (("third", 1 / 3), ("tau_x", 1), ("ten", 10))
        }
        rows.append({"tau_x": tau_x, "best_tau_hp": float(best), "noise": noise(best, tau_x), **others})
    return rows


def crossed(kind: str, g: np.ndarray, tau_hp: float) -> np.ndarray:
    """Mean of G with a periodic perturbation and a sample that stays."""
    n_params = len(g)
    if kind == "sinusoid":
        first, period = am.MGD().sine_grid(n_params)
        return g * response((first + np.arange(n_params)) / period, tau_hp)
    if kind == "walsh":
        codes = hadamard(1 << n_params.bit_length())[:, 1 : n_params + 1].astype(float)
    else:
        codes = np.eye(n_params)
    cost = np.fft.ifft(np.fft.fft(codes @ g) * transfer(np.fft.fftfreq(len(codes)), tau_hp)).real
    return codes.T @ cost / len(codes)


# What the chips do.


class Case(NamedTuple):
    """One network, one sample, one theta, and the gradient there."""

    net: am.Network
    data: am.Dataset
    theta0: np.ndarray
    g: np.ndarray


def make_case(*sizes: int) -> Case:
    net = am.Network.mlp(sizes, "tanh", "sigmoid")
    rng = np.random.default_rng(net.n_params)
    data = am.Dataset(rng.random((1, sizes[0])), rng.random((1, sizes[-1])))
    theta0 = rng.normal(0, 0.3, net.n_params)
    return Case(net, data, theta0, am.gradient(net, data, theta0))


def record_G(case: Case, chips: int, steps: int, every: int, **rule: Any) -> np.ndarray:
    """G (rows, chips, P), dt = 1."""
    mgd = am.MGD(mode="analog", eta=0, amplitude=1e-4, **rule)
    run = am.train(
        case.net, case.data, mgd, steps=steps, chips=chips, theta0=case.theta0, precision="double", record="gradient",
        record_every=every,
    )  # fmt: skip
    return run.record["gradient"][1:]


def measure(case: Case, chips: int, **rule: Any) -> dict[str, Any]:
    """Scale and efficiency of settled G with random codes, over all phases of samples and codes; standard errors."""
    settle = 10 * rule["tau_theta"] + 6 * rule["tau_hp"]
    phases = rule["tau_p"] if rule["tau_x"] == ALWAYS else math.lcm(rule["tau_x"], rule["tau_p"])
    every = phases * math.ceil(settle / phases / 40) + 1  # rows one phase further each time
    G = record_G(case, chips, every * (phases + math.ceil(settle / every)), every, **rule)[-phases:]
    norm = np.linalg.norm(case.g)
    along, square = (G @ case.g).mean(axis=0) / norm**2, (G**2).sum(axis=2).mean(axis=0) / norm**2
    root = math.sqrt(square.mean())
    value = along.mean() / root
    error = (along / root - value / 2 * square / square.mean()).std(ddof=1)  # delta method
    n = math.sqrt(chips)
    return {
        **rule, "scale": float(along.mean()), "scale_error": float(along.std(ddof=1) / n),
        "efficiency": float(value), "efficiency_error": float(error / n),
    }  # fmt: skip


def measure_angle(case: Case, kind: str, tau_hp: float) -> dict[str, Any]:
    """Angle between the gradient and G averaged over every phase of the perturbation's period."""
    period, every, tau_theta = am.MGD(perturbation=kind).period(len(case.g)), 9, 200.0
    assert math.gcd(period, every) == 1  # so that `period` rows see every phase once
    rows = period + math.ceil(12 * max(tau_hp, tau_theta) / every)
    rule = {"tau_hp": tau_hp, "tau_x": ALWAYS, "tau_theta": tau_theta}
    G = record_G(case, 1, rows * every, every, perturbation=kind, **rule)[-period:, 0].mean(axis=0)
    return {
        "perturbation": kind, "tau_hp": tau_hp, "angle_degrees": angle(G, case.g),
        "formula": angle(crossed(kind, case.g, tau_hp), case.g),
    }  # fmt: skip


def angle(u: np.ndarray, v: np.ndarray) -> float:
    """Degrees."""
    return float(np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))))


def measure_all(quick: bool) -> dict[str, Any]:
    """Every panel's points; times in units of dt."""
    small, large = make_case(2, 2, 1), make_case(49, 4, 4)
    chips = 256 if quick else 4096
    few = slice(None, None, 3 if quick else 1)
    tau_hps = [0.3, 1, 3, 10, 30, 100, 300][few]
    common = {"tau_theta": 200.0, "tau_p": 1}

    def points(grid: list[dict[str, Any]]) -> list[dict[str, Any]]:
        rows = [measure(small, chips, **common | settings) for settings in grid]
        for r in rows:
            r["scale_formula"] = float(scale(r["tau_hp"], r["tau_x"], r["tau_p"]))
            if r["tau_p"] == 1:
                r["efficiency_formula"] = efficiency(r["tau_hp"], r["tau_x"], r["tau_theta"], len(small.g))
        return rows

    return {
        "over_tau_hp": points([{"tau_hp": h, "tau_x": x} for x in (2, 8, 32, ALWAYS) for h in tau_hps]),
        "over_tau_x": points([{"tau_hp": h, "tau_x": x} for h in (1, 10, 100) for x in [2, 3, 4, 8, 16, 32, 64][few]]),
        "over_tau_p": points(
            [{"tau_hp": h, "tau_x": ALWAYS, "tau_p": p} for h in (1, 10, 100) for p in [1, 2, 4, 8, 16, 32][few]]
        ),
        "over_tau_theta": points(
            [
                {"tau_hp": h, "tau_x": x, "tau_theta": float(q)}
                for h, x in ((10, ALWAYS), (10, 10), (100, 10), (1, 10))
                for q in [10, 30, 100, 300, 1000][few]
            ]
        ),
        "angles": [measure_angle(large, kind, float(h)) for kind in KINDS for h in [1, 3, 10, 30, 100, 300, 1000][few]],
    }


# The figure.


def samples(tau_x: int) -> str:
    return "sample stays" if tau_x == ALWAYS else f"tau_x = {tau_x} dt"


def curves(ax: Axes, rows: list[dict[str, Any]], x: str, group: Any, y: str, label: Any, line: Any) -> None:
    """Measured points with error bars on the formula's lines, one colour a group."""
    at = np.geomspace(min(r[x] for r in rows), max(r[x] for r in rows), 120)
    if x in ("tau_x", "tau_p"):
        at = np.unique(at.round().astype(int))
    for number, key in enumerate(dict.fromkeys(group(r) for r in rows)):
        mine = [r for r in rows if group(r) == key]
        colour, marker = HUES[number], MARKERS[number]
        ax.plot(at, [line(v, mine[0]) for v in at], color=colour, lw=1.2)
        ax.errorbar(
            [r[x] for r in mine], [r[y] for r in mine], [r[f"{y}_error"] for r in mine], color=colour, marker=marker,
            ms=5, lw=0, elinewidth=1.2, label=label(mine[0]),
        )  # fmt: skip
    ax.set_xscale("log")


def draw(result: dict[str, Any], path: Path) -> None:
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(12, 7.6), layout="constrained")
        (a, b, c), (d, e, f) = fig.subplots(2, 3)
        rows = result["over_tau_hp"]
        curves(a, rows, "tau_hp", lambda r: r["tau_x"], "scale", lambda r: samples(r["tau_x"]),
               lambda v, r: scale(v, r["tau_x"]))  # fmt: skip
        curves(b, result["over_tau_x"], "tau_x", lambda r: r["tau_hp"], "scale", lambda r: f"tau_hp = {r['tau_hp']} dt",
               lambda v, r: scale(r["tau_hp"], v))  # fmt: skip
        curves(c, result["over_tau_p"], "tau_p", lambda r: r["tau_hp"], "scale", lambda r: f"tau_hp = {r['tau_hp']} dt",
               lambda v, r: scale(r["tau_hp"], r["tau_x"], int(v)))  # fmt: skip
        n_params = result["n_params"]
        curves(d, rows, "tau_hp", lambda r: r["tau_x"], "efficiency", lambda r: samples(r["tau_x"]),
               lambda v, r: efficiency(v, r["tau_x"], r["tau_theta"], n_params))  # fmt: skip
        curves(e, result["over_tau_theta"], "tau_theta", lambda r: (r["tau_hp"], r["tau_x"]), "efficiency",
               lambda r: f"tau_hp = {r['tau_hp']} dt, {samples(r['tau_x'])}",
               lambda v, r: efficiency(r["tau_hp"], r["tau_x"], v, n_params))  # fmt: skip
        angles(f, result["angles"])
        for ax, x in zip((a, b, c, d, e, f), ("hp", "x", "p", "hp", "theta", "hp"), strict=True):
            ax.set_xlabel(f"tau_{x} / dt")
        for ax in (b, c):
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_formatter("{x:g}")
        for ax, title in ((a, "a  Scale: high-pass"), (b, "b  Scale: samples"), (c, "c  Scale: codes held for tau_p")):
            ax.set_title(title)
            ax.set_ylabel("scale  ⟨G⟩·g / |g|²")
            ax.set_ylim(0, 1.08)
        for ax, title in ((d, "d  Noise: high-pass, tau_theta = 200 dt"), (e, "e  Noise: low-pass")):
            ax.set_title(title)
            ax.set_ylabel("efficiency  |⟨G⟩| / √⟨|G|²⟩")
            ax.set_ylim(0, 1.08)
        for ax, where in (
            (a, "lower right"),
            (b, "lower right"),
            (c, "lower left"),
            (d, "lower left"),
            (e, "lower right"),
        ):
            ax.legend(loc=where)
        fig.savefig(path)


def angles(ax: Axes, rows: list[dict[str, Any]]) -> None:
    for kind, (colour, marker) in KINDS.items():
        mine = [r for r in rows if r["perturbation"] == kind]
        x = [r["tau_hp"] for r in mine]
        ax.loglog(x, [r["formula"] for r in mine], color=colour, lw=1.2)
        ax.loglog(x, [r["angle_degrees"] for r in mine], color=colour, marker=marker, ms=5, lw=0, label=kind)
    ax.set_title("f  Bias, P = 220")
    ax.set_ylabel("angle of ⟨G⟩ to the gradient (°)")
    ax.set_ylim(1e-3, 100)
    ax.legend(loc="lower left")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer chips and points, to try it")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS, metavar="DIR")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore", am.AnalogMGDWarning)  # of the bias that is measured here
    began = time.perf_counter()
    command = " ".join(["python bench/analog_filters.py", *(["--quick"] if args.quick else [])])
    result = {"command": command, "machine": machine(), "n_params": 9, "noise": noise_table()}
    result |= measure_all(args.quick)
    scales = [r for name in ("over_tau_hp", "over_tau_x", "over_tau_p", "over_tau_theta") for r in result[name]]
    for y in ("scale", "efficiency"):
        rows = [r for r in scales if f"{y}_formula" in r]
        result[f"largest_{y}_difference"] = max(abs(r[y] - r[f"{y}_formula"]) for r in rows)
        worst = max(abs(r[y] - r[f"{y}_formula"]) / r[f"{y}_error"] for r in rows)
        print(f"{len(rows)} points, {y}: largest deviation {worst:.2f} standard errors")
    save("analog_filters", result, args.out)
    draw(result, args.out / "analog_filters.png")
    for r in result["noise"]:
        print(", ".join(f"{key} {value:.3g}" for key, value in r.items()))
    for r in result["angles"]:
        print(
            f"{r['perturbation']:10s} tau_hp = {r['tau_hp']:6g}: {r['angle_degrees']:.3f}°, formula {r['formula']:.3f}°"
        )
    print(f"{args.out / 'analog_filters.png'}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
