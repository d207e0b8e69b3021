"""What the machine can do with so many threads: matrix products, and changing an array in the caches and in memory.

Bandwidth counts the bytes of a = a + 1 in place, as parameters are changed: 8 for each float32. Each figure is the
best of several.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .work import L1_BYTES, L2_BYTES

SIZES = (512, 1024, 2048)
MEMORY_BYTES = 256 << 20  # of all threads together; beyond any level-3 cache one is likely to meet
REPEATS = 5


def cache_bytes(level: int) -> int | None:
    """Size of a core's data cache, where Linux says."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            text = (index / "size").read_text().strip()
            kind = (index / "type").read_text().strip()
            if kind != "Instruction" and (index / "level").read_text().strip() == str(level):
                return int(text[:-1]) * {"K": 1024, "M": 1 << 20}[text[-1]]
        except (OSError, ValueError, KeyError):
            continue
    return None


def products(dtype: Any) -> float:
    """Operations per second of a matrix product (BLAS takes its threads from the environment)."""
    best = 0.0
    for n in SIZES:
        a = np.random.default_rng(0).random((n, n)).astype(dtype)
        out = a @ a
        for _ in range(max(2, REPEATS * 512 // n)):
            start = time.perf_counter()
            np.matmul(a, a, out=out)
            best = max(best, 2 * n**3 / (time.perf_counter() - start))
    return best


def additions(array_bytes: int, threads: int, seconds: float = 0.1) -> float:
    """Bytes per second of a = a + 1 with an array of that size on each thread."""
    arrays = [np.ones(array_bytes // 4, np.float32) for _ in range(threads)]
    one = np.float32(1)

    def work(mine: np.ndarray, times: int) -> None:
        for _ in range(times):
            np.add(mine, one, out=mine)

    with ThreadPoolExecutor(threads) as pool:

        def once(times: int) -> float:
            start = time.perf_counter()
            list(pool.map(work, arrays, [times] * threads))
            return time.perf_counter() - start

        times = max(1, round(seconds / (once(3) / 3)))
        took = min(once(times) for _ in range(REPEATS))
    return 2 * array_bytes * times * threads / took


def between(l2: int, l3: int, threads: int) -> int:
    """Bytes for each thread that its level 2 does not hold and level 3, shared by all, does (if there is such a size).

    >>> between(1 << 20, 32 << 20, 2) >> 20
    8
    """
    return max(2 * l2, l3 // (2 * threads))


def measure(threads: int) -> dict[str, Any]:
    """flops_single, flops_double in operations/s; l2_, l3_ and memory_bandwidth in bytes/s of all threads together."""
    l2 = cache_bytes(2) or L2_BYTES
    l3 = cache_bytes(3) or 2 * l2  # none: nothing is set against it, see `work.fraction`
    return {
        "threads": threads,
        "l1_bytes": cache_bytes(1) or L1_BYTES,
        "l2_bytes": l2,
        "flops_single": products(np.float32),
        "flops_double": products(np.float64),
        "l3_bytes": l3,
        "l2_bandwidth": additions(l2 // 2, threads),
        "l3_bandwidth": additions(between(l2, l3, threads), threads),
        "memory_bandwidth": additions(MEMORY_BYTES // threads, threads),
    }
