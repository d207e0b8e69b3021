"""What a point's chips say: medians and quartiles with intervals, times to a target with censoring, shares.

A chip that does not reach its target within the run, or diverges, is censored at the end of the run. All of a point
are censored at the same time, so that Kaplan and Meier's estimate (1958) is the distribution of those that got there,
and its median is the middle chip's time where half of them did; it is unknown, NaN, where fewer did. Points of
different length that are taken together have an end for each chip.
Intervals: of a median by the bootstrap over chips (percentiles, 95 %), of a share by Wilson (1927).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
RESAMPLES, SEED, BLOCK = 2000, 20230403, 1 << 22
LEVEL = 0.95


def spread(values: Array) -> dict[str, float]:
    """Median with its interval, and quartiles, of the finite values.

    >>> found = spread(np.arange(101.0))
    >>> found["median"], found["q25"], found["q75"], found["low"] < 50 < found["high"]
    (50.0, 25.0, 75.0, True)
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values)]
    if not len(values):
        return dict.fromkeys(("median", "q25", "q75", "low", "high"), float("nan")) | {"n": 0}
    q25, median, q75 = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    low, high = interval_of_median(values)
    return {"median": median, "q25": q25, "q75": q75, "low": low, "high": high, "n": len(values)}


def time_to_target(times: Array, end: float | Array) -> dict[str, float]:
    """Kaplan-Meier median with its interval, quartiles, and how many got there; `times` NaN where a chip did not.

    end : of the runs, of all or of each

    >>> found = time_to_target(np.array([1.0, 2.0, 3.0, np.nan, np.nan]), end=10.0)
    >>> found["median"], found["reached"]
    (3.0, 3)
    """
    times = np.asarray(times, np.float64)
    ends = np.broadcast_to(np.asarray(end, np.float64), times.shape)
    reached = np.isfinite(times)
    found: dict[str, float] = {"reached": int(reached.sum()), "n": len(times)}
    if not reached.any():
        return dict.fromkeys(("median", "q25", "q75", "low", "high"), float("nan")) | found
    until = np.where(reached, times, ends)
    for name, quantile in zip(("q25", "median", "q75"), survival(until, reached, (0.75, 0.5, 0.25)), strict=True):
        found[name] = quantile
    if (ends == ends[0]).all():
        found["low"], found["high"] = interval_of_median(np.where(reached, times, np.inf), first=True)
        return found
    random = np.random.default_rng(SEED)
    drawn = [random.integers(0, len(times), len(times)) for _ in range(RESAMPLES)]
    middles = [survival(until[some], reached[some], (0.5,))[0] if reached[some].any() else np.nan for some in drawn]
    found["low"], found["high"] = percentiles(np.nan_to_num(np.array(middles), nan=np.inf))
    return found


def survival(until: Array, reached: Array, left: tuple[float, ...]) -> list[float]:
    """Times at which no more than so much of Kaplan and Meier's estimate is left, NaN where it is not known."""
    from scipy import stats  # type: ignore[import-untyped]

    alive = stats.ecdf(stats.CensoredData.right_censored(until, ~reached)).sf
    there = [alive.quantiles[alive.probabilities <= part + 1e-12] for part in left]
    return [float(quantiles[0]) if len(quantiles) else float("nan") for quantiles in there]


def percentiles(middles: Array) -> tuple[float, float]:
    """The ends of an interval from medians of drawn chips; NaN where one is not finite."""
    ends = (1 - LEVEL) / 2
    low, high = np.quantile(middles, [ends, 1 - ends], method="inverted_cdf")
    return tuple(float(v) if np.isfinite(v) else float("nan") for v in (low, high))  # type: ignore[return-value]


def interval_of_median(values: Array, first: bool = False) -> tuple[float, float]:
    """Percentiles of the medians of resampled chips; infinite times are later than any, NaN where the bound is one.

    first : the median of an even number is the first of the two in the middle, as Kaplan and Meier's
    """
    n = len(values)
    values = np.sort(values)
    random = np.random.default_rng(SEED)
    middles: list[Array] = []
    for start in range(0, RESAMPLES, max(1, BLOCK // n)):
        drawn = np.sort(random.integers(0, n, (min(max(1, BLOCK // n), RESAMPLES - start), n)), axis=1)
        later = values[drawn[:, (n - 1) // 2 if first else n // 2]]
        middles.append(later if first else (later + values[drawn[:, (n - 1) // 2]]) / 2)
    return percentiles(np.concatenate(middles))


def share(count: int, n: int) -> dict[str, float]:
    """count of n with Wilson's interval.

    >>> {k: round(v, 3) for k, v in share(8, 10).items()}
    {'share': 0.8, 'low': 0.49, 'high': 0.943}
    """
    from scipy import stats

    if n == 0:
        return {"share": float("nan"), "low": float("nan"), "high": float("nan")}
    ends = stats.binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    return {"share": count / n, "low": float(ends.low), "high": float(ends.high)}
