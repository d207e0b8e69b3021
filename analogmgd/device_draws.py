"""The random numbers that devices are drawn from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .device_law import Exponential, Normals
from .kernels import draw
from .kernels.perturb import BLOCKS
from .kernels.philox import DEVICE
from .kernels.simd import WIDTH


def exponential(x: np.ndarray) -> np.ndarray:
    """exp(x) of float64[n], to the same bits everywhere."""
    lanes = np.tile(x[:, np.newaxis], (1, WIDTH))
    out = np.zeros_like(lanes)
    draw.exponential(lanes, out)
    return out[:, 0]


def draws(seed: np.uint64, ids: np.ndarray, count: int, dtype: Any) -> tuple[Normals, Exponential]:
    """`normals` and `exp` of `populate` for the first `count` parameters of the chips ids uint64[1, lanes]."""
    lanes = ids.shape[1]
    words = np.zeros((4 * BLOCKS, lanes), np.uint32)

    @cache
    def normals(k: int) -> np.ndarray:
        out = np.zeros((4 * ((count + 3) // 4), lanes), dtype)
        draw.draw_normals(seed, ids, DEVICE, k, words, out)
        return out[:count]

    def exp(x: np.ndarray) -> np.ndarray:
        out = np.zeros_like(x, order="C")
        draw.exponential(np.ascontiguousarray(x), out)
        return out

    return normals, exp
