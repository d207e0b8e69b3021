"""Devices nearby that are alike: the correlated part of what each device draws.

White noise on a grid that is wider than the array on all sides, smoothed by a Gaussian along rows and columns, so that
every cell has the same number of neighbours: unit variance everywhere, correlation exp(-(d / (2 length))^2) between
cells at distance d. Sums are in a fixed order, element by element, so the bits depend on nothing else.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from .device_draws import exponential
from .device_law import FIRST_WRITE, Normals
from .kernels import draw
from .kernels import table as t
from .kernels.perturb import BLOCKS
from .kernels.philox import FIELD

if TYPE_CHECKING:
    from .plan import Plan

REACH = 4  # lengths, up to which cells count


def weights(length: float) -> np.ndarray:
    """float64[2 reach + 1]: Gaussian of this length, its squares adding up to 1.

    >>> weights(0.5).round(4).tolist()
    [0.0003, 0.1329, 0.9822, 0.1329, 0.0003]
    """
    reach = math.ceil(REACH * length)
    x = np.arange(-reach, reach + 1) / length
    kernel = exponential(-0.5 * x * x)
    total = 0.0
    for k in kernel.tolist():
        total += k * k
    return kernel / math.sqrt(total)


def smooth(white: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """white real[rows + 2 reach, columns + 2 reach, ..] smoothed along both axes: real[rows, columns, ..]."""
    one, rows, columns = white.dtype.type, *(n - len(kernel) + 1 for n in white.shape[:2])
    tall = np.zeros((rows, *white.shape[1:]), white.dtype)
    for k, weight in enumerate(kernel.tolist()):
        tall += one(weight) * white[k : k + rows]
    out = np.zeros((rows, columns, *white.shape[2:]), white.dtype)
    for k, weight in enumerate(kernel.tolist()):
        out += one(weight) * tall[:, k : k + columns]
    return out


def alike(plan: Plan, own: Normals, seed: np.uint64, ids: np.ndarray) -> Normals:
    """`own` normals k -> real[P, lanes] of the devices, a share of each now common to devices nearby.

    sqrt(share) field + sqrt(1 - share) own. A cell is a parameter, biases being the row after the last input; fields
    of different k and layers are independent. Number k of the stream FIELD covers the grids of all layers.
    """
    device, layers = plan.chip.device, plan.layers
    if device.correlated_share == 0:
        return own
    kernel = weights(device.correlation_length)
    wider, lanes = len(kernel) - 1, ids.shape[1]
    shapes = [(int(row[t.N_IN]) + 1 + wider, int(row[t.N_OUT]) + wider) for row in layers]
    cells = sum(a * b for a, b in shapes)

    @cache
    def normals(k: int) -> np.ndarray:
        mine = own(k)
        if k == FIRST_WRITE:  # the noise of a write is not of the device
            return mine
        one = mine.dtype.type
        white = np.zeros((4 * ((cells + 3) // 4), lanes), mine.dtype)
        draw.draw_normals(seed, ids, FIELD, k, np.zeros((4 * BLOCKS, lanes), np.uint32), white)
        field, first = [], 0
        for a, b in shapes:
            grid = smooth(white[first : first + a * b].reshape(a, b, lanes), kernel)  # (n_in + 1, n_out, lanes)
            field += [grid[:-1].swapaxes(0, 1).reshape(-1, lanes), grid[-1]]
            first += a * b
        share, rest = math.sqrt(device.correlated_share), math.sqrt(1 - device.correlated_share)
        return one(share) * np.concatenate(field) + one(rest) * mine

    return normals
