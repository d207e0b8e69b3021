"""Correlated variation of the devices of an array, by one sum over all cells near each."""

import math

import numpy as np


def kernel(length):
    """Weights of the cells around one, float64[2 r + 1, 2 r + 1], r = ceil(4 length); their squares add up to 1."""
    r = math.ceil(4 * length)
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    g = np.exp(-(x**2 + y**2) / (2 * length**2))
    return g / math.sqrt((g**2).sum())


def field(white, length):
    """white float64[rows + 2 r, columns + 2 r] -> float64[rows, columns], each cell the weighted sum around it."""
    g = kernel(length)
    rows, columns = (n - len(g) + 1 for n in white.shape)
    return np.array([
        [(g * white[i : i + len(g), j : j + len(g)]).sum() for j in range(columns)] for i in range(rows)
    ])  # fmt: skip


def correlation(length, rows, columns):
    """Between cells so many rows and columns apart, with the window as it is cut."""
    g = np.exp(-(np.arange(-math.ceil(4 * length), math.ceil(4 * length) + 1) ** 2) / (2 * length**2))

    def along(d):
        return (g[d:] * g[: len(g) - d]).sum() / (g**2).sum() if d < len(g) else 0.0

    return along(rows) * along(columns)
