"""What checkpoints cost: the same run with them, at the usual interval, and without, by turns.

    python bench/checkpoint_cost.py [--rounds 4] [--seconds 15] [--threads 1]

An ensemble of 256 chips (64-32-10) and the largest state that is sensible, 32 chips of 784-128-10. Two figures each:
the difference of the runs, by the time of the processors that the process took (which other programs on the machine
disturb less than the time on the wall, given too); and, measured inside the runs, the share of the time on the wall
that went into writing. Writes checkpoint_cost.json.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, save

import analogmgd as am
from analogmgd import engine
from analogmgd.trace_memory import TraceWriter

CASES = {"64-32-10": 256, "784-128-10": 32}
TOP = 0.02  # share of the time that they may take


def made(sizes: list[int]) -> am.Dataset:
    """Data of the right size; what is learnt does not matter."""
    rng = np.random.default_rng(0)
    x, y = rng.random((500, sizes[0]), np.float32), np.eye(sizes[-1])[rng.integers(0, sizes[-1], 500)]
    return am.Dataset(x, y, name="made")


class Timed:
    """Times the checkpoints of a run, and the processors' time and the wall's of all of it."""

    def __init__(self, net: am.Network, data: am.Dataset, chips: int, threads: int) -> None:
        self.net, self.data, self.chips, self.threads = net, data, chips, threads

    def run(self, steps: int, interval: float) -> dict[str, float]:
        """A run with checkpoints so many seconds apart."""
        writing, count = 0.0, 0
        write = TraceWriter.checkpoint

        def timed_write(writer: TraceWriter, *rest: Any) -> None:
            nonlocal writing, count
            begun = time.perf_counter()
            write(writer, *rest)
            writing += time.perf_counter() - begun
            count += 1

        before = engine.CHECKPOINT_SECONDS
        engine.CHECKPOINT_SECONDS = interval
        TraceWriter.checkpoint = timed_write  # type: ignore[method-assign]
        try:
            wall, cpu = time.perf_counter(), time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                am.train(
                    self.net, self.data, am.MGD(eta=1e-3), steps=steps, chips=self.chips, record_every=steps,
                    eval_samples=10, trace="run.h5", force=True, threads=self.threads,
                ).close()  # fmt: skip
            return {
                "wall_seconds": time.perf_counter() - wall,
                "processor_seconds": time.process_time() - cpu,
                "writing_seconds": writing,
                "checkpoints": count,
            }
        finally:
            engine.CHECKPOINT_SECONDS = before
            TraceWriter.checkpoint = write  # type: ignore[method-assign]


def measured(name: str, chips: int, rounds: int, seconds: float, threads: int) -> dict[str, Any]:
    """Pairs of runs of one network."""
    sizes = [int(n) for n in name.split("-")]
    timed = Timed(am.Network.mlp(sizes), made(sizes), chips, threads)
    timed.run(20, math.inf)  # kernels are compiled, or loaded
    steps = 50
    while (took := timed.run(steps, math.inf)["wall_seconds"]) < 0.8 * seconds:
        steps = int(steps * min(8, max(1.3, seconds / took)))  # short runs are mostly their beginning
    pairs = []
    for number in range(rounds):
        order = (engine.CHECKPOINT_SECONDS, math.inf) if number % 2 else (math.inf, engine.CHECKPOINT_SECONDS)
        found = {interval: timed.run(steps, interval) for interval in order}
        pairs.append((found[engine.CHECKPOINT_SECONDS], found[math.inf]))
    ratios = {
        kind: [with_[f"{kind}_seconds"] / without[f"{kind}_seconds"] - 1 for with_, without in pairs]
        for kind in ("processor", "wall")
    }
    last = [without["writing_seconds"] for _, without in pairs]  # every run writes one at its end
    inside = [
        (with_["writing_seconds"] - end) / with_["wall_seconds"] for (with_, _), end in zip(pairs, last, strict=True)
    ]
    with am.Trace("run.h5") as trace:
        size = sum(array.nbytes for array in trace.checkpoint().arrays)
    return {
        "chips": chips,
        "steps": steps,
        "state_bytes": size,
        "checkpoints_a_run": [int(with_["checkpoints"]) - 1 for with_, _ in pairs],
        "wall_seconds": [round(with_["wall_seconds"], 2) for with_, _ in pairs],
        "share_writing": [round(share, 5) for share in inside],
        "processor_time_more": [round(ratio, 4) for ratio in ratios["processor"]],
        "wall_time_more": [round(ratio, 4) for ratio in ratios["wall"]],
    }


def main() -> None:
    """Measure, save, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        os.chdir(Path(name))
        for network, chips in CASES.items():
            found[network] = one = measured(network, chips, options.rounds, options.seconds, options.threads)
            middle = {kind: float(np.median(one[kind])) for kind in ("share_writing", "processor_time_more")}
            print(
                f"{network}, {chips} chips, state of {one['state_bytes'] / 1e6:.1f} MB: {one['checkpoints_a_run']} "
                f"checkpoints, {100 * middle['share_writing']:.2f} % of the time; "
                f"processor time {100 * middle['processor_time_more']:+.2f} % (goal: below {100 * TOP:.0f} %)",
                flush=True,
            )
    save("checkpoint_cost", {"machine": machine(options.threads), **found})


if __name__ == "__main__":
    main()
