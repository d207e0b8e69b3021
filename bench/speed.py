"""Chip-steps per second of the kernels, and what recording costs.

    python bench/speed.py [--quick]

Networks 2-2-1, 49-4-4 and 64-32-10, for 1, 64 and 4096 chips, random codes, all time constants 1, single
precision, every step with its measured baseline and new sample. A chip-step is counted as 4 operations a
parameter for the pair of network evaluations (2 multiply-adds) plus 2 for the update.
Prints a table and writes bench/results/speed.json.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from common import RESULTS, machine, save

import analogmgd as am

WORK = (("2-2-1", [2, 2, 1], "parity"), ("49-4-4", [49, 4, 4], "nist7x7"), ("64-32-10", [64, 32, 10], "digits"))
CHIPS = (1, 64, 4096)
OPERATIONS = 6  # per parameter and chip-step


def rate(sizes: list[int], data: str, chips: int, seconds: float, **options: Any) -> float:
    """Chip-steps per second of one run that takes about `seconds`, the kernels being warm."""
    net, rule = am.Network.mlp(sizes), am.MGD(eta=0.01)
    options = {"record": (), **options}
    steps = 64
    while True:
        start = time.perf_counter()
        run = am.train(net, data, rule, steps=steps, chips=chips, **options)
        took = time.perf_counter() - start
        if took > 0.8 * seconds or steps > 2**40:
            return float(run.summary()["chip_steps_per_s"])
        steps = int(steps * min(16, max(1.25, seconds / took)))


def matrix_product_rate() -> float:
    """GFLOP/s of a float32 matrix product with NumPy's BLAS: the roof to quote beside."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    a @ a
    best = min(_timed(lambda: a @ a) for _ in range(10))
    return 2 * 1024**3 / best / 1e9


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def recording(seconds: float, repeats: int) -> dict[str, float]:
    """Slow-down by recording cost and accuracy as by default, and by a probe of one chip; medians of pairs."""
    out = {}
    for name, sizes, data in WORK:
        net, rule = am.Network.mlp(sizes), am.MGD(eta=0.01)
        steps = int(rate(sizes, data, 256, seconds) * seconds / 256)

        def once(steps: int = steps, net: Any = net, data: str = data, rule: Any = rule, **options: Any) -> float:
            run = am.train(net, data, rule, steps=steps, chips=256, **{"record": (), **options})
            return float(run.extra["wall_seconds"])

        pairs: dict[str, list[float]] = {"record": [], "probe": []}
        for _ in range(repeats):
            plain = once()
            pairs["record"].append(once(record=("cost", "accuracy")) / plain)
            pairs["probe"].append(once(probe_chips=[0]) / plain)
        for what, ratios in pairs.items():
            out[f"{name} {what}"] = float(np.median(ratios))
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter runs, fewer repetitions")
    parser.add_argument("--recording", action="store_true", help="only the cost of recording, into the last result")
    arguments = parser.parse_args()
    quick = arguments.quick
    if arguments.recording:
        last = json.loads((RESULTS / "speed.json").read_text())
        last["recording"] = recording(2.0, 5)
        print(last["recording"])
        save("speed", last)
        return
    seconds, repeats = (0.5, 3) if quick else (2.0, 5)
    roof = matrix_product_rate()
    rows = []
    print(f"{'network':10}{'chips':>7}{'M chip-steps/s':>17}{'GFLOP/s':>10}{'of matrix product':>20}")
    for name, sizes, data in WORK:
        for chips in CHIPS:
            rates = [rate(sizes, data, chips, seconds) for _ in range(repeats)]
            r = float(np.median(rates))
            flops = r * OPERATIONS * am.Network.mlp(sizes).n_params / 1e9
            rows.append(
                {"network": name, "chips": chips, "rate": r, "spread": [min(rates), max(rates)], "gflops": flops}
            )
            print(f"{name:10}{chips:7}{r / 1e6:17.2f}{flops:10.2f}{flops / roof:19.1%}", flush=True)
    costs = recording(seconds, repeats)
    for what, ratio in costs.items():
        print(f"{what}: {100 * (ratio - 1):+.1f} % time")
    result = {"machine": machine(), "quick": quick, "matrix_product_gflops": roof, "rates": rows, "recording": costs}
    print(f"wrote {save('speed' + ('_quick' if quick else ''), result)}")


if __name__ == "__main__":
    main()
