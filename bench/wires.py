"""Wires: time of an exact solve beside SciPy's sparse LU, and what the correction between exact solves is worth.

    python bench/wires.py [--quick] [-o DIR]

Square arrays, devices uniform in 1 to 100 uS, rows driven at the left, columns sensed at the bottom. Writes wires.json
and wires.png. A minute on 2 cores, with --quick 10 s.

(a) The effective matrix M of one array, alone and with its sensitivity S, against factorisation and solves of the same
nodal equations by scipy.sparse.linalg.splu, with the adjoint trick too (n right-hand sides) and its matrix assembled
beforehand: three column orderings, right-hand sides in one call and one by one; the fastest of the six counts. All in
turns; median over repeats; the matrices are compared. (b) Error of the elementwise correction as a fraction of
the change, root mean square over inputs 0..1 V; median and range over arrays, for three kinds of change. (c) What wires
leave of the currents.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import scipy
from common import RESULTS, machine, save
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse import csc_array, diags_array, eye_array, kron
from scipy.sparse.linalg import splu

from analogmgd.plot_base import BLUE, GREEN, ORANGE, STYLE
from analogmgd.wires import Wires, correction_error, effective_matrix, linearise

LOW, HIGH = 1e-6, 1e-4  # siemens
ORDERINGS = {
    "COLAMD": {"permc_spec": "COLAMD"},
    "MMD_AT_PLUS_A": {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}},
    "MMD_ATA": {"permc_spec": "MMD_ATA"},
}
VARIANTS = [f"{ordering}, {how}" for ordering in ORDERINGS for how in ("one call", "one by one")]
AS_FIRST_WRITTEN = "COLAMD, one call"
CHANGES = {
    "every device, a little (1 uS rms)": (BLUE, "o"),
    "every device, drawn anew": (ORANGE, "s"),
    "all devices, 1 % less": (GREEN, "D"),
}


def draw_devices(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, n]).uniform(LOW, HIGH, (n, n))


def change(kind: str, G: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, len(G), 1])
    if kind.startswith("every device, a"):
        return np.clip(G + rng.normal(0, 1e-6, G.shape), LOW, HIGH)
    return rng.uniform(LOW, HIGH, G.shape) if kind.startswith("every") else 0.99 * G


# The yardstick: nodal equations as a sparse matrix.


def nodal(G: np.ndarray, r: float) -> tuple[csc_array, np.ndarray, np.ndarray]:
    """Nodal matrix, row nodes first, drivers and amplifiers behind r ohm; the nodes of inputs and of outputs."""
    n = len(G)
    wire = diags_array([-np.ones(n - 1), np.full(n, 2.0), -np.ones(n - 1)], offsets=[-1, 0, 1]).tolil()
    wire[n - 1, n - 1] = 1  # cell 0 is the one with an end
    wire = wire / r
    rows = kron(eye_array(n), wire)
    columns = kron(wire[::-1, ::-1], eye_array(n))
    D = diags_array(G.ravel())
    A = csc_array(kron([[1, 0], [0, 0]], rows) + kron([[0, 0], [0, 1]], columns) + kron([[1, -1], [-1, 1]], D))
    return A, np.arange(n) * n, n * n + (n - 1) * n + np.arange(n)


def by_splu(A: csc_array, inputs: np.ndarray, outputs: np.ndarray, r: float, variant: str) -> np.ndarray:
    """M from one factorisation and as many solves as there are outputs: A is symmetric."""
    ordering, at_once = variant.split(", ")
    lu = splu(A, **ORDERINGS[ordering])
    rhs = np.zeros((len(outputs), A.shape[0]))
    rhs[np.arange(len(outputs)), outputs] = 1 / r
    if at_once == "one call":
        return lu.solve(rhs.T)[inputs].T / r
    return np.stack([lu.solve(one)[inputs] for one in rhs]) / r


def timed(work: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each, in turns, and what they returned. Each is called twice and the second time counts."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    results = {}
    for _ in range(repeats):
        for name, call in work.items():
            call()  # caches and memory as a caller of its own finds them
            began = time.perf_counter()
            results[name] = call()
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(s)) for name, s in seconds.items()}, results


def measure_time(n: int, repeats: int, r: float = 1.0) -> dict[str, Any]:
    G = draw_devices(n, 0)
    wires = Wires(row=r, column=r, source=r, sense=r)
    A, inputs, outputs = nodal(G, r)
    work: dict[str, Callable[[], Any]] = {
        "M": lambda: effective_matrix(G, wires), "M_and_S": lambda: linearise(G, wires),
    }  # fmt: skip
    for name in VARIANTS:
        work[name] = lambda name=name: by_splu(A, inputs, outputs, r, name)
    seconds, results = timed(work, repeats)
    best = min(VARIANTS, key=lambda name: seconds[name])
    error = np.abs(results["M"] / results[best] - 1).max()
    return {
        "n": n, "repeats": repeats, "seconds": seconds, "fastest_splu": best,
        "ratio_M": seconds[best] / seconds["M"], "ratio_M_and_S": seconds[best] / seconds["M_and_S"],
        "ratio_M_as_first_written": seconds[AS_FIRST_WRITTEN] / seconds["M"],
        "largest_relative_difference": float(error),
    }  # fmt: skip


def measure_error(n: int, r: float, kind: str, arrays: int) -> dict[str, Any]:
    wires = Wires(row=r, column=r)
    pairs = [(G, change(kind, G, k)) for k in range(arrays) for G in [draw_devices(n, k)]]
    with_it, without = np.array([correction_error(G, G_new, wires) for G, G_new in pairs]).T
    return {
        "n": n, "ohm": r, "change": kind, "arrays": arrays,
        "with": float(np.median(with_it)), "with_range": [float(with_it.min()), float(with_it.max())],
        "without": float(np.median(without)), "without_range": [float(without.min()), float(without.max())],
    }  # fmt: skip


def measure_loss(n: int, r: float) -> dict[str, Any]:
    G = draw_devices(n, 0)
    M = effective_matrix(G, Wires(row=r, column=r))
    return {"n": n, "ohm": r, "current_left": float(M.sum() / G.sum()), "least_cell": float((M / G.T).min())}


def measure_all(quick: bool) -> dict[str, Any]:
    ohms = [0.1, 1.0, 10.0] if quick else [0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
    sizes = [8, 16, 32, 64] if quick else [8, 16, 32, 64, 128]
    return {
        "time": [measure_time(n, 3 if quick or n > 64 else 15) for n in sizes],
        "error": [measure_error(64, r, kind, 3 if quick else 16) for kind in CHANGES for r in ohms],
        "loss": [measure_loss(n, r) for n in (16, 32, 64, 128) for r in ohms],
    }


# The figure.


def draw_time(ax: Axes, rows: list[dict[str, Any]]) -> None:
    n = [r["n"] for r in rows]
    for label, pick, colour, marker in (
        ("splu, as first written", lambda r: r["seconds"][AS_FIRST_WRITTEN], "0.6", "v"),
        ("splu, fastest of six", lambda r: r["seconds"][r["fastest_splu"]], "0.3", "^"),
        ("M and S (linearise)", lambda r: r["seconds"]["M_and_S"], ORANGE, "s"),
        ("M (effective_matrix)", lambda r: r["seconds"]["M"], BLUE, "o"),
    ):
        ax.loglog(n, [1e3 * pick(r) for r in rows], color=colour, marker=marker, ms=5, lw=1.2, label=label)
    ax.set_xticks(n, [str(k) for k in n])
    ax.minorticks_off()
    ax.set_xlabel("rows = columns")
    ax.set_ylabel("time of an exact solve (ms)")
    ax.set_title("a  Exact solve")
    ax.legend(loc="upper left")


def draw_error(ax: Axes, rows: list[dict[str, Any]]) -> None:
    for kind, (colour, marker) in CHANGES.items():
        mine = [r for r in rows if r["change"] == kind]
        ohm = [r["ohm"] for r in mine]
        for key, line, fill in (("with", "-", colour), ("without", ":", "white")):
            low, high = (np.array([r[f"{key}_range"][k] for r in mine]) for k in (0, 1))
            middle = np.array([r[key] for r in mine])
            ax.errorbar(
                ohm, 100 * middle, 100 * np.array([middle - low, high - middle]), color=colour, marker=marker, ms=5,
                lw=1.2, mfc=fill, ls=line, elinewidth=1, label=kind if key == "with" else None,
            )  # fmt: skip
    ax.plot([], [], color="0.4", ls=":", label="the same without correction")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("wire (ohm per cell)")
    ax.set_ylabel("error (% of the change of the currents)")
    ax.set_title("b  Between exact solves, 64 x 64")
    ax.legend(loc="lower right")


def draw_loss(ax: Axes, rows: list[dict[str, Any]]) -> None:
    sizes = sorted({r["n"] for r in rows})
    for k, n in enumerate(sizes):
        mine = [r for r in rows if r["n"] == n]
        colour = mpl.colormaps["viridis"](k / len(sizes))
        ohm = [r["ohm"] for r in mine]
        left = [100 * r["current_left"] for r in mine]
        ax.semilogx(ohm, left, color=colour, marker="o", ms=5, lw=1.2, label=f"{n} x {n}")
    ax.set_ylim(0, 103)
    ax.set_xlabel("wire (ohm per cell)")
    ax.set_ylabel("current, all inputs on (% of ideal)")
    ax.set_title("c  What wires leave of the currents")
    ax.legend(loc="lower left")


def draw(result: dict[str, Any], path: Path) -> None:
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(13, 4.2), layout="constrained")
        a, b, c = fig.subplots(1, 3)
        draw_time(a, result["time"])
        draw_error(b, result["error"])
        draw_loss(c, result["loss"])
        fig.savefig(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and arrays, to try it")
    parser.add_argument("-o", "--out", type=Path, default=RESULTS, metavar="DIR")
    args = parser.parse_args(argv)
    began = time.perf_counter()
    command = " ".join(["python bench/wires.py", *(["--quick"] if args.quick else [])])
    here = machine() | {"scipy": scipy.__version__, "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS")}
    result = {"command": command, "machine": here} | measure_all(args.quick)
    save("wires", result, args.out)
    draw(result, args.out / "wires.png")
    for r in result["time"]:
        milliseconds = {name: round(1e3 * s, 3) for name, s in r["seconds"].items()}
        print(f"{r['n']:4d}: {milliseconds} ms; splu ({r['fastest_splu']}) / M = {r['ratio_M']:.1f}, "
              f"/ M and S = {r['ratio_M_and_S']:.1f}; difference {r['largest_relative_difference']:.1e}")  # fmt: skip
    for r in result["error"]:
        print(f"{r['ohm']:5g} ohm, {r['change']}: {100 * r['with']:.2f} %, without {100 * r['without']:.1f} %")
    print(f"{args.out / 'wires.png'}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
