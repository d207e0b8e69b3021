"""Results of networks for pictures (`bench/cnn.py`) as lines of a study: emulated time beside backpropagation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .chip import TIME_SCALES
from .errors import ConfigError
from .study_curves import Curve

THERE = "backpropagation, there"
PLACE = Path("bench/results")  # of a checkout
LEVELS = [round(0.05 * k, 2) for k in range(19, 3, -1)]


def of_results(place: Path | None, pattern: str) -> list[Curve]:
    """A line for each file that `bench/cnn.py` wrote: the time of each time scale to the highest of the accuracies 0.95,
    0.9, .. that all runs reach, and the wall-clock time of backpropagation of the same network, on the machine of the file.
    Middle and ends are the median, the least and the largest of the seeds.

    place : directory, or None: bench/results, if it is there. Raises ConfigError for a file that cannot be read.
    """  # noqa: E501
    found = []
    for path in sorted((place or PLACE).glob(pattern)) if place or PLACE.is_dir() else ():
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            if "runs" in result and "backprop" in result:
                found.append(line(result))
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ConfigError(f"{str(path)!r} cannot be read as results of bench/cnn.py: {error}") from None
    return [curve for curve in found if curve is not None]


def line(result: dict[str, Any]) -> Curve | None:
    """Of one file; None where its runs have no such accuracy in common."""
    runs, back = result["runs"], result["backprop"]
    ends = [max(run["accuracy"]) for run in [*runs, *back]]
    level = next((level for level in LEVELS if runs and back and min(ends) >= level), None)
    if level is None:
        return None
    times = [[first(run, level, run["hardware seconds"][name]) for run in runs] for name in TIME_SCALES]
    times.append([first(run, level, run["wall"]) for run in back])
    low, middle, high = ([float(f(t)) for t in times] for f in (np.min, np.median, np.max))
    counts = [len(t) for t in times]
    label = f"{result['name']}, {100 * level:.0f} %"
    return Curve(label, [*TIME_SCALES, THERE], low, middle, high, counts, [None] * len(times), [np.nan] * len(times))


def first(run: dict[str, Any], level: float, times: list[float]) -> float:
    """The time of the first row that shows an accuracy."""
    return times[next(k for k, value in enumerate(run["accuracy"]) if value >= level)]
