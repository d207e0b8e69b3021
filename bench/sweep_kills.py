"""Sweeps killed (SIGKILL) at random moments and gone on with: the file is that of a sweep that nobody disturbed.

    python bench/sweep_kills.py [--kills 20] [--seed 0] [--only local|dask]

Once on threads of one process; once on a Dask scheduler with two workers, where the kills hit, by turns, the sweep
itself and one of the workers (another is started in its place). Writes sweep_kills.json.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from common import machine, save

POINTS = 500
WITHIN = (2.0, 8.0)  # a kill comes so many seconds after a start
SWEEP = [
    sys.executable, "-m", "analogmgd", "sweep", "parity", "--vary", f"rule.eta=0.002..1.0:{POINTS}", "--chips", "64",
    "--steps", "300000", "--target", "1", "--quiet", "-o",
]  # fmt: skip


def contents(path: Path) -> dict[str, np.ndarray]:
    """Every dataset but the times on the wall."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(path, "r", locking=False) as file:
        file.visititems(lambda name, one: found.update({name: one[()]}) if isinstance(one, h5py.Dataset) else None)
    for name in ("points/wall_seconds", "points/crc32", "about"):
        found.pop(name)
    return found


def done(path: Path) -> int:
    """Points that are."""
    return int((contents(path)["points/state"] == 1).sum()) if path.exists() else 0


class Cluster:
    """A Dask scheduler with two workers, each a process."""

    def __init__(self, folder: Path) -> None:
        file = folder / "scheduler.json"
        words = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._start("scheduler", *words, "--scheduler-file", str(file))
        while not file.exists() or not file.stat().st_size:
            time.sleep(0.05)
        self.address = json.loads(file.read_text())["address"]
        self.workers = [self._worker(), self._worker()]

    @staticmethod
    def _start(kind: str, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._start("worker", self.address, "--no-nanny", "--no-dashboard", "--nthreads", "1")

    def kill(self) -> None:
        """One worker, which another replaces."""
        lost = self.workers.pop(0)
        lost.kill()
        lost.wait()
        self.workers.append(self._worker())

    def close(self) -> None:
        """End all."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def killed(path: Path, kills: int, random: np.random.Generator, cluster: Cluster | None) -> dict[str, int]:
    """Run a sweep to its end through so many kills; what was hit, and the points kept of each start."""
    words = [*SWEEP, str(path), *(["--scheduler", cluster.address] if cluster else [])]
    hit = {"sweep": 0, "worker": 0, "points done at the last kill": 0}
    while sum(list(hit.values())[:2]) < kills:
        process = subprocess.Popen(words)
        try:
            process.wait(random.uniform(*WITHIN))
        except subprocess.TimeoutExpired:
            if cluster and sum(list(hit.values())[:2]) % 2:
                cluster.kill()
                hit["worker"] += 1
                try:
                    process.wait(random.uniform(0.2, WITHIN[0]))
                except subprocess.TimeoutExpired:
                    process.terminate()
                    process.wait()
            else:
                process.kill()
                hit["sweep"] += process.wait() == -signal.SIGKILL
        else:
            raise SystemExit(f"the sweep ended after {sum(list(hit.values())[:2])} kills: give it more points")
        hit["points done at the last kill"] = done(path)
    subprocess.run(words, check=True)
    return hit


def main() -> None:
    """Kill, compare, save, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["local", "dask"])
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([*SWEEP, str(folder / "whole.h5")], check=True)
        whole = contents(folder / "whole.h5")
        for kind in [options.only] if options.only else ["local", "dask"]:
            random = np.random.default_rng(options.seed)
            cluster = Cluster(folder) if kind == "dask" else None
            try:
                found[kind] = hit = killed(folder / f"{kind}.h5", options.kills, random, cluster)
            finally:
                if cluster:
                    cluster.close()
            again = contents(folder / f"{kind}.h5")
            assert again.keys() == whole.keys()
            for key, values in whole.items():
                np.testing.assert_array_equal(again[key], values, err_msg=f"{kind}: {key}")
            print(f"{kind}: {hit}; {len(whole)} datasets equal those of the sweep that nobody disturbed")
    save("sweep_kills", {"machine": machine(), "points": POINTS, "seed": options.seed, **found})


if __name__ == "__main__":
    main()
