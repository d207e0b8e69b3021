"""Four processes that share one cold kernel cache, started at once: no error, the same bits, a cache that is whole.

    python bench/cold_cache.py [--rounds 20] [--processes 4]

Every round has a new, empty cache (NUMBA_CACHE_DIR). Its processes train the same small ensemble and print a
checksum of all they recorded; then one more process takes the kernels from the cache that they left: it has to compile
nothing and to end with the same bits. Writes cold_cache.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine, save

RUN = """
import hashlib, json, numba, analogmgd as am
from numba.core import event
with event.install_recorder("numba:compile") as compiled:
    settings = dict(steps=2000, chips=16, record_every=100, threads=1)
    run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(eta=0.1), **settings)
digest = hashlib.sha256()
for array in (run.step[:], run.cost[:], run.accuracy[:], run.theta[:]):
    digest.update(array.tobytes())
print(json.dumps({"sha256": digest.hexdigest(), "compiled": len(compiled.buffer) // 2}))
"""


def started(cache: Path) -> subprocess.Popen[str]:
    """One process."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it printed, or how it failed."""
    out, err = process.communicate()
    if process.returncode or err:
        return {"failed": process.returncode, "said": err[-2000:]}
    found: dict[str, Any] = json.loads(out)
    return found


def round_of(processes: int, cache: Path) -> dict[str, Any]:
    """All at once, then one more."""
    began = time.monotonic()
    together = [ended(process) for process in [started(cache) for _ in range(processes)]]
    after = ended(started(cache))
    left = [path.name for path in cache.rglob("*") if path.is_file() and path.suffix not in (".nbi", ".nbc")]
    good = {one.get("sha256") for one in [*together, after]}
    return {
        "sha256": sorted(map(str, good)),
        "compiled": [one.get("compiled") for one in together],
        "compiled_after": after.get("compiled"),
        "failures": [one for one in [*together, after] if "failed" in one],
        "files_left": left,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    """All rounds; say and save what there was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(round_of(options.processes, Path(folder)))
        print(f"round {number + 1}: {rounds[-1]}", flush=True)
    bits = {one for each in rounds for one in each["sha256"]}
    failures = [one for each in rounds for one in each["failures"]]
    cold = sum(each["compiled_after"] != 0 for each in rounds)
    left = sum(len(each["files_left"]) for each in rounds)
    print(f"{len(rounds)} rounds of {options.processes}: {len(failures)} failures, {len(bits)} different results, "
          f"{cold} caches that did not hold all, {left} files left over")  # fmt: skip
    save("cold_cache", {
        "machine": machine(), "processes": options.processes, "rounds": rounds, "failures": len(failures),
        "different_results": len(bits), "caches_not_whole": cold, "files_left_over": left,
    })  # fmt: skip
    return bool(failures or len(bits) > 1 or cold or left)


if __name__ == "__main__":
    sys.exit(main())
