"""What a sweep costs beside the runs it is made of: points of about 0.1 s, against one long run of the same kernels.

    python bench/sweep_overhead.py [--points 60] [--rounds 5] [--threads T]

XOR, 64 chips a point, cost, accuracy and the time to a target kept. The same number of chip-steps is done by a sweep
and by one run that records nothing, in turns; the rate of the sweep over that of the run is shown, by the clock on the
wall and by the time of all threads. Writes sweep_overhead.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from common import machine, save

from analogmgd.bench.rounds import spread
from analogmgd.cli.resolve import Source, overlay
from analogmgd.engine import thread_count
from analogmgd.sweep import Sweep
from analogmgd.sweep_point import Target
from analogmgd.train import run_config, settle
from analogmgd.vary import Axis, grid

STEPS, CHIPS = 100_000, 64


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of all threads."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Measure, save, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    threads, found = thread_count(options.threads), Source("parity")
    given = {"run": {"steps": STEPS, "chips": CHIPS}}
    points = grid([Axis("run.seed", tuple(range(options.points)))])
    sweep = Sweep(lambda tables: found.config(overlay(given, tables)), points, [Target("accuracy", 1.0)])
    config, data = sweep.at(0)
    # as many chip-steps in one run, of as many blocks as threads
    steps = STEPS * options.points // threads
    run = config.run.replace(steps=steps, chips=CHIPS * threads, record=(), record_every=None)
    long = settle(replace(config, run=run), data)
    walls, processors, each = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for n in range(options.rounds + 1):
            path = Path(folder) / f"{n}.h5"
            of_sweep = timed(lambda path=path: sweep.run(path, threads))
            of_run = timed(lambda: run_config(long, data, threads=threads))
            if n:  # the first compiles
                walls.append(of_run[0] / of_sweep[0])
                processors.append(of_run[1] / of_sweep[1])
                each.append(of_sweep[1] / options.points)
    result = {
        "machine": machine(threads), "points": options.points, "chips": CHIPS, "steps": STEPS,
        "processor seconds of a point": spread(each), "rate over that of a run": spread(walls),
        "the same, by the time of all threads": spread(processors),
    }  # fmt: skip
    save("sweep_overhead", result)
    for name in ("processor seconds of a point", "rate over that of a run", "the same, by the time of all threads"):
        print(f"{name}: {result[name]}")


if __name__ == "__main__":
    main()
