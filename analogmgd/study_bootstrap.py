"""Ratios and differences of what the same chips do at two points: intervals by the bootstrap over chips, in pairs.

A chip has the same start, devices and order of samples at all points, and chips differ by more than most settings do.
So the chips that are drawn are the same for both points, and what is common to them drops out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .study_values import Array
from .sweep_statistics import LEVEL, SEED

DRAWS = 1000
_drawn: dict[int, Array] = {}


def chips_drawn(n: int) -> Array:
    """int[DRAWS, n], chips of each draw; the same for every set of n chips."""
    if n not in _drawn:
        _drawn.clear()  # one number of chips at a time is enough
        _drawn[n] = np.random.default_rng((SEED, n)).integers(0, n, (DRAWS, n), dtype=np.int32)
    return _drawn[n]


def medians(values: Array, first: bool = False) -> Array | None:
    """float64[DRAWS], medians of drawn chips; None where a value is not known.

    first : the median of an even number is the first of the two in the middle, as Kaplan and Meier's; infinite: later
    """
    n = len(values)
    if n == 0 or np.isnan(values).any():
        return None
    some = values[chips_drawn(n)]
    low, high = (n - 1) // 2, n // 2
    if first or low == high:
        found: Array = np.partition(some, low, axis=1)[:, low]
        return found
    some = np.partition(some, (low, high), axis=1)
    return np.asarray((some[:, low] + some[:, high]) / 2)


def shares(reached: Array) -> Array | None:
    """float64[DRAWS], shares of drawn chips."""
    return reached[chips_drawn(len(reached))].mean(axis=1) if len(reached) else None


def ends(low: Array, high: Array) -> tuple[float, float]:
    """95 % interval from draws of which bounds are known: NaN is anything."""
    part = (1 - LEVEL) / 2
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return (
        float(np.quantile(low, part, method="inverted_cdf")),
        float(np.quantile(high, 1 - part, method="inverted_cdf")),
    )


def of_ratio(a: Array, b: Array, a_end: float, b_end: float) -> tuple[float, float]:
    """Interval of a/b, draws of both; an infinite draw is more than `a_end`, `b_end`. Not negative.

    >>> a = np.array([2.0, 4.0, 6.0])
    >>> of_ratio(a, a / 2, np.nan, np.nan)
    (2.0, 2.0)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.where(np.isinf(a), a_end, a) / b
        high = a / np.where(np.isinf(b), b_end, b)
    found = ends(low, high)
    return max(0.0, found[0]), found[1]


def of_difference(a: Array, b: Array) -> tuple[float, float]:
    """Interval of a - b."""
    with np.errstate(invalid="ignore"):
        return ends(a - b, a - b)


def of_slope(u: Array, draws: Sequence[Array]) -> float:
    """Standard deviation of the exponent, least squares on logarithms, u centred logarithms of x; NaN: not known."""
    with np.errstate(invalid="ignore", divide="ignore"):
        v = np.log(np.stack(draws, axis=1))
        slopes = (v * u).sum(axis=1) / (u * u).sum()
    return float(slopes.std(ddof=1)) if np.isfinite(slopes).all() else float("nan")
