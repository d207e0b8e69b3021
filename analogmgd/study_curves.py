"""Panels of a study: a quantity of a sweep against a key, lines for another key, the best value of a third."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ConfigError
from .sweep_file import DONE, SweepFile
from .sweep_statistics import share, spread, time_to_target

Array = npt.NDArray[Any]
VALUES = {  # what a panel may show: label of its axis, scale
    "time": ("steps to {target}", 1.0),
    "seconds": ("emulated seconds to {target}", 1.0),
    "solved": ("chips that reach {target} (%)", 100.0),
    "accuracy": ("accuracy at the end (%)", 100.0),
    "cost": ("cost at the end", 1.0),
    "angle": ("angle of G to the gradient (degrees)", 1.0),
    "until": ("steps until the angle is {level:g} degrees", 1.0),
    "wall": ("seconds here until {target}", 1.0),
    "largest": ("largest {of} ({share} % reach {target})", 1.0),
}
HERE = "backpropagation, here"
LESS_IS_BETTER = {"time", "seconds", "cost", "angle", "wall"}


@dataclass(frozen=True)
class Curve:
    """A line of a panel: at each x the middle with its interval (95 %), of how many chips, and the best key's value.

    middle is NaN where it is not known, as the time to a target that less than half of the chips reach.
    """

    label: str
    x: list[Any]
    low: list[float]
    middle: list[float]
    high: list[float]
    chips: list[int]
    best: list[Any]

    def at(self, x: Any) -> int:
        """Place of a value of x; ConfigError where there is none."""
        for k, value in enumerate(self.x):
            if value == x:
                return k
        raise ConfigError(f"line {self.label!r} has no {x!r}; it has {', '.join(map(str, self.x))}")


@dataclass(frozen=True)
class Panel:
    """What is drawn of a sweep.

    title; sweep : its name; value : one of VALUES; x : key of the horizontal axis, pick : the number of a list to take;
        without a key, all points together; lines : key or keys with a line for each value
    best : key whose best value is taken at each x (the least time, cost or angle, the largest share or accuracy)
    target : number of the target; of : key whose largest value is asked for ("largest"), share : of the chips, or the
        one along which an angle falls to a level ("until")
    beside : another sweep, whose time on this machine stands beside the others under the name HERE
    where : key -> value, points that are looked at
    """

    title: str
    sweep: str
    value: str
    x: str | None = None
    lines: str | tuple[str, ...] | None = None
    best: str | None = None
    target: int = 0
    of: str | None = None
    share: float = 0.5
    level: float = 45.0
    pick: int | None = None
    beside: str | None = None
    where: Mapping[str, Any] | None = None
    xlabel: str | None = None

    @classmethod
    def read(cls, study: str, table: Mapping[str, Any], sweeps: Mapping[str, Any]) -> Panel:
        """From a table of a study's file."""
        try:
            lists = {k: tuple(v) for k, v in table.items() if isinstance(v, list)}
            panel = cls(**{**table, **lists})
        except TypeError as error:
            raise ConfigError(f"study {study!r}: panel {table.get('title')!r}: {error}") from None
        if (
            panel.value not in VALUES
            or not {panel.sweep, panel.beside or panel.sweep} <= set(sweeps)
            or (panel.value in ("largest", "until")) != (panel.of is not None)
        ):
            raise ConfigError(f"study {study!r}: panel {panel.title!r}: value {panel.value!r} of sweep {panel.sweep!r}")
        return panel

    def label(self, targets: Any) -> str:
        """Of the vertical axis."""
        target = str(targets[self.target]) if targets else ""
        return VALUES[self.value][0].format(target=target, of=self.of, share=f"{100 * self.share:g}", level=self.level)

    @property
    def line_keys(self) -> tuple[str, ...]:
        """Keys that make lines."""
        return (self.lines,) if isinstance(self.lines, str) else self.lines or ()

    def curves(self, files: Mapping[str, SweepFile]) -> list[Curve]:
        """Its lines, from what is done of a study's sweeps."""
        found = self.lines_of(files[self.sweep])
        if self.beside:
            (here,) = Panel("", self.beside, "wall", target=self.target).lines_of(files[self.beside])
            for name, values in vars(found[0]).items():
                if name != "label":
                    values += [HERE] if name == "x" else getattr(here, name)
        return found

    def lines_of(self, file: SweepFile) -> list[Curve]:
        """Its lines, from what is done of its sweep."""
        done = np.flatnonzero(file.state == DONE)
        for key, value in (self.where or {}).items():
            done = done[file.column(key)[done] == value]
        of_x = file.column(self.x) if self.x else np.full(len(file.points), "all")
        of_lines = [file.column(key) for key in self.line_keys]
        labels = [", ".join(named(column[n]) for column in of_lines) for n in range(len(of_x))]
        found = []
        for label in dict.fromkeys(labels[n] for n in done):
            chosen = np.array([n for n in done if labels[n] == label])
            rows = []
            for x in ordered(of_x[chosen]):
                number = plain(x) if self.pick is None else json.loads(x)[self.pick]
                rows.append((number, *self.point(file, chosen[of_x[chosen] == x])))
            if rows:
                found.append(Curve(label, *(list(column) for column in zip(*rows, strict=True))))
        return found

    def point(self, file: SweepFile, points: Array) -> tuple[float, float, float, int, Any]:
        """low, middle, high, chips and the best value of some points of one x and line."""
        if self.value == "largest":
            assert self.of is not None
            return self.largest(file, points)
        if self.value == "until":
            return self.until(file, points)
        if self.best is None:
            return (*self.statistic(file, points), None)
        column = file.column(self.best)
        tried = []
        for value in ordered(column[points]):
            found = self.statistic(file, points[column[points] == value])
            tried.append((self.rank(file, points[column[points] == value], found), plain(value), found))
        _, value, found = min(tried, key=lambda one: one[0])
        return (*found, value)

    def rank(self, file: SweepFile, points: Array, found: tuple[float, float, float, int]) -> tuple[float, float]:
        """Smaller is better: the middle, and where it is not known the share of chips that get there."""
        if self.value in ("time", "seconds"):
            reached = np.isfinite(gathered(file, "steps_to_target", points, self.target)).mean()
            return (found[1] if np.isfinite(found[1]) else np.inf, -float(reached))
        middle = found[1] if np.isfinite(found[1]) else np.inf if self.value in LESS_IS_BETTER else -np.inf
        return (middle if self.value in LESS_IS_BETTER else -middle, 0.0)

    def statistic(self, file: SweepFile, points: Array) -> tuple[float, float, float, int]:
        """low, middle, high and number of all chips of some points."""
        scale = VALUES[self.value][1]
        if self.value in ("accuracy", "cost", "angle"):
            found = spread(gathered(file, f"final_{self.value}", points))
            return scale * found["low"], scale * found["median"], scale * found["high"], int(found["n"])
        if self.value == "wall":
            took = [file.file["points/wall_seconds"][n] / file.file["chips/steps"][n, 0] for n in points]
            times = gathered(file, "steps_to_target", points, self.target)
            chips = [int((file.file["chips/chip"][n] >= 0).sum()) for n in points]
            pace = np.repeat(np.array(took) / np.array(chips), chips)
            found = time_to_target(times * pace, float((gathered(file, "steps", points) * pace).max()))
            return found["low"], found["median"], found["high"], len(times)
        times = gathered(file, f"{'seconds' if self.value == 'seconds' else 'steps'}_to_target", points, self.target)
        if self.value == "solved":
            found = share(int(np.isfinite(times).sum()), len(times))
            return scale * found["low"], scale * found["share"], scale * found["high"], len(times)
        end = gathered(file, "seconds" if self.value == "seconds" else "steps", points)
        found = time_to_target(times, float(end.max()))
        return found["low"], found["median"], found["high"], len(times)

    def largest(self, file: SweepFile, points: Array) -> tuple[float, float, float, int, Any]:
        """The largest value of `of` at which the share of chips that reach the target is large enough; low, high: at
        which its interval says so for sure, and may still say so."""
        assert self.of is not None
        column = file.column(self.of)
        ends = {"low": np.nan, "share": np.nan, "high": np.nan}
        chips = 0
        for value in ordered(column[points]):
            times = gathered(file, "steps_to_target", points[column[points] == value], self.target)
            found, chips = share(int(np.isfinite(times).sum()), len(times)), len(times)
            for name in ends:
                if found[name] >= self.share:
                    ends[name] = float(value)
        return ends["low"], ends["share"], ends["high"], chips, None

    def until(self, file: SweepFile, points: Array) -> tuple[float, float, float, int, Any]:
        """Where the median angle, and the ends of its interval, fall to the level: between points on logarithms."""
        assert self.of is not None
        column, rows, chips = file.column(self.of), [], 0
        for value in ordered(column[points]):
            found = spread(gathered(file, "final_angle", points[column[points] == value]))
            rows.append((float(value), found["low"], found["median"], found["high"]))
            chips = int(found["n"])
        x, *angles = (np.array(row) for row in zip(*rows, strict=True))
        low, middle, high = (crossing(x, angle, self.level) for angle in angles)
        return low, middle, high, chips, None


def crossing(x: Array, y: Array, level: float) -> float:
    """Where falling y, linear in log x between points, first is at or below a level; NaN where it never is.

    >>> round(crossing(np.array([1.0, 10.0, 100.0]), np.array([80.0, 60.0, 20.0]), 40.0), 3)
    31.623
    """
    below = np.flatnonzero(y <= level)
    if not len(below):
        return float("nan")
    k = int(below[0])
    if k == 0:
        return float(x[0])
    part = (y[k - 1] - level) / (y[k - 1] - y[k])
    return float(x[k - 1] * (x[k] / x[k - 1]) ** part)


def named(value: Any) -> str:
    """A value of a key, as the label of a line."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def gathered(file: SweepFile, name: str, points: Array, target: int | None = None) -> Array:
    """float64[n] of all chips of some points."""
    there = np.concatenate([file.file["chips/chip"][n] for n in points]) >= 0
    parts = [file.file[f"chips/{name}"][n] if target is None else file.file[f"chips/{name}"][n, target] for n in points]
    values: Array = np.concatenate(parts).astype(np.float64)[there]
    return values


def ordered(values: Array) -> list[Any]:
    """Different values: numbers by size, texts as they first come."""
    if values.dtype.kind in "fi":
        return [v.item() for v in np.unique(values)]
    return list(dict.fromkeys(values.tolist()))


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    return value.item() if isinstance(value, np.generic) else value
