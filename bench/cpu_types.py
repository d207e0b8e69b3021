"""The same runs on narrower instruction sets: are the bits those of this processor?

    python bench/cpu_types.py [--kinds N] [--types NAME ...]

Every kind of run (`disturbed.KINDS`, and chips with wires, noise and converters) is carried out by a process whose
kernels numba compiles for another type of processor (NUMBA_CPU_NAME, NUMBA_CPU_FEATURES), whose NumPy is told to leave
out what that one does not have (NPY_DISABLE_CPU_FEATURES), and whose BLAS takes an old one's code (OPENBLAS_CORETYPE).
All that their traces hold is compared with this processor's, to the bit; where it differs, the largest difference is
given relative to the largest element. x86-64 only. Writes cpu_types.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, save
from disturbed import KINDS, Contents, Kind, contents, prepare, run_words

SHORTER = 60  # times shorter than runs that are to be killed
V2 = "+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16"
V3 = f"{V2},+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+movbe"
V4 = f"{V3},+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512cd"
ABOVE_V3, ABOVE_V2 = "X86_V4 AVX512_ICL AVX512_SPR", "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
TYPES = {  # numba's processor and its features, what NumPy leaves out, OpenBLAS's processor
    "x86-64-v4": (V4, "AVX512_ICL AVX512_SPR", "SkylakeX"),
    "x86-64-v3": (V3, ABOVE_V3, "Haswell"),
    "x86-64-v2": (V2, ABOVE_V2, "Nehalem"),
}
ALL = {
    **KINDS,
    "wires, noise and converters": Kind("ensemble", (
        "nist7x7", "--chips", "8", "--device", "reram-es", "--set", "device.read_noise=0.01", "--set", "wires.row=1",
        "--set", "wires.column=1", "--set", "wires.g_unit=1e-4", "--set", "neuron.spread=0.1", "--set",
        "rule.tau_theta=10", "--sigma-c", "0.01", "--set", "converters.cost_flicker=0.01", "--set",
        "converters.dac_bits=6", "--set", "chip.step_time=1e-6", "--record", "cost,accuracy,theta",
    ), 60_000),
}  # fmt: skip


def environment(name: str | None, cache: Path) -> dict[str, str]:
    """That of a process on a type of processor; None: this one."""
    found = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    if name is not None:
        features, left_out, blas = TYPES[name]
        found |= {
            "NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NPY_DISABLE_CPU_FEATURES": left_out,
            "OPENBLAS_CORETYPE": blas,
        }  # fmt: skip
    return found


def carried_out(name: str | None, kinds: list[str], folder: Path) -> dict[str, Contents]:
    """What the traces of all kinds hold, on a type of processor."""
    found = {}
    for number, kind in enumerate(kinds):
        short = replace(ALL[kind], rows=100)
        path = str(folder / f"{number}.h5")
        words = [*run_words(short, short.steps // SHORTER), "-o", path, "--force", "--quiet"]
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "analogmgd", *words], check=True, env=environment(name, folder / f"cache-{name}")
        )
        print(f"{name or 'here'}: {kind}: {time.monotonic() - began:.0f} s", flush=True)
        found[kind] = contents(path)
    return found


def compared(mine: Contents, theirs: Contents) -> dict[str, Any]:
    """Which arrays differ, and by how much at most, relative to the largest element."""
    names = [name for name in mine if isinstance(mine[name], np.ndarray)]
    assert names == [name for name in theirs if isinstance(theirs[name], np.ndarray)]
    worst = 0.0
    different = [name for name in names if mine[name].tobytes() != theirs[name].tobytes()]
    for name in different:
        a, b = (np.asarray(each[name], np.float64) for each in (mine, theirs))
        worst = max(worst, float(np.nanmax(np.abs(a - b)) / max(np.nanmax(np.abs(a)), 1e-300)))
    return {"arrays": len(names), "different": different, "largest_relative_difference": worst}


def main() -> int:
    """All types; say and save what there was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--types", nargs="+", choices=list(TYPES), default=list(TYPES))
    parser.add_argument("--kinds", type=int, default=len(ALL), help="only the first of them")
    options = parser.parse_args()
    if platform.machine() not in ("x86_64", "AMD64"):
        raise SystemExit("these types are x86-64's")
    kinds = list(ALL)[: options.kinds]
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        here = carried_out(None, kinds, Path(folder))
        found = {}
        for name in options.types:
            there = carried_out(name, kinds, Path(folder))
            found[name] = {kind: compared(here[kind], there[kind]) for kind in kinds}
            print(f"{name}: {json.dumps(found[name])}", flush=True)
    save("cpu_types", {"machine": machine(), "types": found})
    return int(any(one["different"] for each in found.values() for one in each.values()))


if __name__ == "__main__":
    sys.exit(main())
