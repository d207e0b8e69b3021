"""Panels of a study: a quantity of a sweep against a key, lines for another key, the best value of a third."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ConfigError
from .study_bootstrap import medians, shares
from .study_values import Array, crossing, final, gathered, named, ordered, paired, plain
from .sweep_file import SweepFile
from .sweep_layout import DONE
from .sweep_statistics import share, spread, time_to_target

VALUES = {  # what a panel may show: label of its axis, scale
    "time": ("steps to {target}", 1.0),
    "seconds": ("emulated seconds to {target}", 1.0),
    "solved": ("chips that reach {target} (%)", 100.0),
    "accuracy": ("accuracy at the end (%)", 100.0),
    "gain": ("accuracy, minus its own at {against} (points)", 100.0),
    "cost": ("cost at the end", 1.0),
    "angle": ("angle of G to the gradient (degrees)", 1.0),
    "until": ("steps until the angle is {level:g} degrees", 1.0),
    "wall": ("seconds here until {target}", 1.0),
    "largest": ("largest {of} ({share} % reach {target})", 1.0),
    "results": ("emulated seconds to an accuracy", 1.0),
}
HERE = "backpropagation, here"
LESS_IS_BETTER = {"time", "seconds", "cost", "angle", "wall"}


@dataclass(frozen=True)
class Curve:
    """A line of a panel: at each x the middle with its interval (95 %), of how many chips, and the best key's value.

    middle is NaN where it is not known, as the time to a target that less than half of the chips reach; such a time is
    more than `beyond`, the end of what was looked at (NaN where there is no such end).
    """

    label: str
    x: list[Any]
    low: list[float]
    middle: list[float]
    high: list[float]
    chips: list[int]
    best: list[Any]
    beyond: list[float] = field(default_factory=list)
    draws: list[Any] = field(default_factory=list, repr=False)  # middles of drawn chips, see `study_bootstrap`
    edge: list[bool] = field(default_factory=list)  # whether the best value is the least or largest of those tried

    @property
    def table(self) -> dict[str, Any]:
        """What is kept of it, without the draws."""
        return {name: value for name, value in vars(self).items() if name != "draws"}

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
    beside : another sweep, whose time on this machine, at its own best value, stands beside the others as HERE
    against : value of x whose chips are taken away, each from itself ("gain")
    expected : label of a line of random perturbations; a line with the angle that theory expects of it is added
    where : key -> value, points that are looked at
    results : pattern of files that bench/cnn.py wrote ("results"), instead of a sweep
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
    against: Any = None
    expected: str | None = None
    results: str | None = None
    xlabel: str | None = None

    @classmethod
    def read(cls, study: str, table: Mapping[str, Any], sweeps: Mapping[str, Any]) -> Panel:
        """From a table of a study's file."""
        try:
            lists = {k: tuple(v) for k, v in table.items() if isinstance(v, list)}
            panel = cls(**{"sweep": "", **table, **lists})
        except TypeError as error:
            raise ConfigError(f"study {study!r}: panel {table.get('title')!r}: {error}") from None
        if (
            panel.value not in VALUES
            or not {panel.sweep, panel.beside or panel.sweep} <= {*sweeps, *([""] if panel.results else [])}
            or (panel.value in ("largest", "until")) != (panel.of is not None)
            or (panel.value == "gain") != (panel.against is not None)
            or (panel.value == "results") != (panel.results is not None)
            or (panel.expected is not None and panel.value != "angle")
        ):
            raise ConfigError(f"study {study!r}: panel {panel.title!r}: value {panel.value!r} of sweep {panel.sweep!r}")
        return panel

    def label(self, targets: Any) -> str:
        """Of the vertical axis."""
        target = str(targets[self.target]) if targets else ""
        words = {"of": self.of, "share": f"{100 * self.share:g}", "level": self.level, "against": named(self.against)}
        return VALUES[self.value][0].format(target=target, **words)

    @property
    def line_keys(self) -> tuple[str, ...]:
        """Keys that make lines."""
        return (self.lines,) if isinstance(self.lines, str) else self.lines or ()

    def curves(self, files: Mapping[str, SweepFile], results: Path | None = None) -> list[Curve]:
        """Its lines, from what is done of a study's sweeps, or from the files in `results`."""
        if self.results:
            from .study_results import of_results

            return of_results(results, self.results)
        found = self.lines_of(files[self.sweep])
        if self.beside:
            here = Panel("", self.beside, "wall", best=self.best, target=self.target).lines_of(files[self.beside])
            for name, values in vars(found[0]).items() if found and here else ():
                if name != "label":
                    values += [HERE] if name == "x" else getattr(here[0], name)
        if self.expected is not None:
            from .study_theory import expected_angles

            found += [
                Curve(f"{c.label}, expected", c.x, y, y, y, c.chips, c.best, [np.nan] * len(y))
                for c in found
                if c.label == self.expected and (y := expected_angles(files[self.sweep], c.x))
            ]
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
            base = chosen[of_x[chosen] == self.against] if self.against is not None else chosen
            rows = []
            for x in ordered(of_x[chosen]) if len(base) else ():
                number = plain(x) if self.pick is None else json.loads(x)[self.pick]
                here = chosen[of_x[chosen] == x]
                point = self.point(file, here, base)
                rows.append((number, *point, self.at_edge(file, here, point[4])))
            if rows:
                found.append(Curve(label, *(list(column) for column in zip(*rows, strict=True))))
        return found

    def point(self, file: SweepFile, points: Array, base: Array) -> tuple[Any, ...]:
        """low, middle, high, chips, the best value, the end of what was looked at, and draws, of the points of one x
        and line.

        base : points of the x whose chips are taken away
        """
        if self.value == "largest":
            return (*self.largest(file, points), None, np.nan, None)
        if self.value == "until":
            assert self.of is not None
            return (*self.until(file, points), None, float(file.column(self.of)[points].max()), None)
        best = None
        if self.best is not None:
            points, best = self.at_best(file, points)
        beyond = np.nan
        if self.value in ("time", "seconds"):
            beyond = float(gathered(file, "steps" if self.value == "time" else "seconds", points).min())
        if self.value == "gain":
            base = self.at_best(file, base)[0] if self.best is not None else base
            found = spread(paired(file, points, base, "accuracy"))
            numbers = [100 * found[name] for name in ("low", "median", "high")]
            return numbers[0], numbers[1], numbers[2], int(found["n"]), best, beyond, None
        return (*self.statistic(file, points), best, beyond, self.drawn(file, points))

    def drawn(self, file: SweepFile, points: Array) -> Array | None:
        """Middles of drawn chips."""
        if self.value in ("accuracy", "cost", "angle"):
            return medians(VALUES[self.value][1] * final(file, self.value, points))
        if self.value in ("time", "seconds", "solved"):
            kind = "seconds" if self.value == "seconds" else "steps"
            times = gathered(file, f"{kind}_to_target", points, self.target)
            if self.value == "solved":
                found = shares(np.isfinite(times))
                return None if found is None else 100 * found
            return medians(np.where(np.isfinite(times), times, np.inf), first=True)
        return None

    def at_best(self, file: SweepFile, points: Array) -> tuple[Array, Any]:
        """Those of the points that have the best value of a key, and that value."""
        assert self.best is not None
        column, tried = file.column(self.best), []
        for value in ordered(column[points]):
            some = points[column[points] == value]
            tried.append((self.rank(file, some, self.statistic(file, some)), plain(value), some))
        _, value, some = min(tried, key=lambda one: one[0])
        return some, value

    def at_edge(self, file: SweepFile, points: Array, best: Any) -> bool:
        """Whether the best value of a key is the least or the largest number tried: a better one may lie beyond."""
        if self.best is None or best is None:
            return False
        tried = file.column(self.best)[points]
        return bool(tried.dtype.kind in "fi" and tried.min() < tried.max() and best in (tried.min(), tried.max()))

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
        if self.value in ("accuracy", "gain", "cost", "angle"):
            found = spread(final(file, "accuracy" if self.value == "gain" else self.value, points))
            return scale * found["low"], scale * found["median"], scale * found["high"], int(found["n"])
        if self.value == "wall":
            took = [file.file["points/wall_seconds"][n] / file.file["chips/steps"][n, 0] for n in points]
            times = gathered(file, "steps_to_target", points, self.target)
            chips = [int((file.file["chips/chip"][n] >= 0).sum()) for n in points]
            pace = np.repeat(np.array(took) / np.array(chips), chips)
            found = time_to_target(times * pace, gathered(file, "steps", points) * pace)
            return found["low"], found["median"], found["high"], len(times)
        times = gathered(file, f"{'seconds' if self.value == 'seconds' else 'steps'}_to_target", points, self.target)
        if self.value == "solved":
            found = share(int(np.isfinite(times).sum()), len(times))
            return scale * found["low"], scale * found["share"], scale * found["high"], len(times)
        found = time_to_target(times, gathered(file, "seconds" if self.value == "seconds" else "steps", points))
        return found["low"], found["median"], found["high"], len(times)

    def largest(self, file: SweepFile, points: Array) -> tuple[float, float, float, int]:
        """The largest value of `of` at which the share of chips that reach the target is large enough; low, high: at
        which its interval says so for sure, and may still say so (NaN: at the largest of all, so perhaps beyond)."""
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
        high = ends["high"] if ends["high"] < column[points].max() else np.nan
        return ends["low"], ends["share"], high, chips

    def until(self, file: SweepFile, points: Array) -> tuple[float, float, float, int]:
        """Where the median angle, and the ends of its interval, fall to the level: between points on logarithms."""
        assert self.of is not None
        column, rows, chips = file.column(self.of), [], 0
        for value in ordered(column[points]):
            found = spread(gathered(file, "final_angle", points[column[points] == value]))
            rows.append((float(value), found["low"], found["median"], found["high"]))
            chips = int(found["n"])
        x, *angles = (np.array(row) for row in zip(*rows, strict=True))
        low, middle, high = (crossing(x, angle, self.level) for angle in angles)
        return low, middle, high, chips
