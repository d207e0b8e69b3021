"""A long run with a trace: memory is flat after its first tenth, memory and file are as foretold.

    python bench/memory_flat.py [--chip-steps 1e10] [--chips 1024] [--threads N]

XOR on 2-2-1, cost, accuracy and parameters recorded, in a process of its own whose memory (RSS) is taken every second
(of short runs, more often). What a process with its kernels loaded has, idle, is taken off; they are compiled
before, in another process. Foretold is what `analogmgd train` prints as "needs about ..". Writes memory_flat.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from common import machine, save

ALLOWED = 0.05  # of the file's size; and of the memory, by which it may grow after the first tenth
RUN = """
import json, sys
import analogmgd as am, analogmgd.engine, analogmgd.session, analogmgd.trace, llvmlite.binding, numba, scipy, psutil

class Watch:
    def needs(self, memory, disk):
        print(json.dumps({"memory": memory, "disk": disk}), flush=True)
    def start(self, plan):
        pass
    def tick(self, chip_steps, row):
        pass
    def stop(self):
        pass

path, chips, steps, threads = sys.argv[1], *map(int, sys.argv[2:])
am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(eta=0.1), steps=100, chips=16, threads=threads)
print("idle", flush=True)
sys.stdin.readline()
run = am.train(
    am.Network.mlp([2, 2, 1]), "parity", am.MGD(eta=0.1, amplitude=0.01), steps=steps, chips=chips, threads=threads,
    record=("cost", "accuracy", "theta"), trace=path, progress=Watch(),
)
print(json.dumps({"status": run.status, "wall_seconds": run.summary()["wall_seconds"]}), flush=True)
"""


def run(path: Path, chips: int, steps: int, threads: int, every: float) -> dict[str, Any]:
    """One run: RSS of the idle process, samples (seconds, bytes) during it, what was foretold, and the file's size."""
    words = [sys.executable, "-c", RUN, str(path), str(chips), str(steps), str(threads)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "idle\n"
    watched = psutil.Process(process.pid)
    idle = watched.memory_info().rss
    process.stdin.write("\n")
    process.stdin.flush()
    foretold = json.loads(process.stdout.readline())
    samples, began = [], time.monotonic()
    while process.poll() is None:
        try:
            samples.append((time.monotonic() - began, watched.memory_info().rss))
        except psutil.NoSuchProcess:
            break
        time.sleep(every)
    ended = json.loads(process.stdout.readline())
    process.wait()
    while samples and samples[-1][1] == 0:  # it had ended
        samples.pop()
    return {"idle": idle, "foretold": foretold, "samples": samples, "ended": ended, "file": path.stat().st_size}


def main() -> int:
    """Run, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip-steps", type=float, default=1e10)
    parser.add_argument("--chips", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=len(psutil.Process().cpu_affinity()))
    options = parser.parse_args()
    steps = int(options.chip_steps / options.chips)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "compiled.h5", options.chips, 1000, options.threads, 0.1)
        found = run(Path(folder) / "run.h5", options.chips, steps, options.threads, 1.0 if steps > 10**6 else 0.1)
    samples = [rss for _, rss in found["samples"]]
    tenth = max(samples[: max(1, len(samples) // 10)])
    growth = max(samples) / tenth - 1
    disk = found["foretold"]["disk"]
    error = found["file"] / disk - 1
    taken = max(samples) - found["idle"]
    megabytes = {"idle": found["idle"], "first tenth": tenth, "most": max(samples)}
    parts = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in megabytes.items())
    print(f"{options.chips} chips x {steps} steps, {found['ended']}, {len(samples)} samples")
    print(f"{parts} (+{100 * growth:.2f} %)")
    print(f"memory {taken / 1e6:.1f} MB above idle, {found['foretold']['memory'] / 1e6:.1f} MB foretold")
    print(f"file {found['file'] / 1e6:.3f} MB, {disk / 1e6:.3f} MB foretold ({100 * error:+.2f} %)")
    stride = max(1, len(samples) // 200)
    save("memory_flat", {
        "machine": machine(options.threads), "chips": options.chips, "steps": steps,
        "chip_steps": options.chips * steps, **found["ended"], "rss_idle_bytes": found["idle"],
        "rss_most_bytes": max(samples), "growth_after_first_tenth": growth, "bytes_above_idle": taken,
        "bytes_foretold": found["foretold"]["memory"], "file_bytes": found["file"], "file_bytes_foretold": disk,
        "samples": [[round(at, 1), rss] for at, rss in found["samples"][::stride]],
    })  # fmt: skip
    return int(growth > ALLOWED or abs(error) > ALLOWED or found["ended"]["status"] != "complete")


if __name__ == "__main__":
    sys.exit(main())
