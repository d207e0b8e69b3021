"""Numbers that are read off the panels of a study, each with an interval, and how they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from .errors import ConfigError
from .study_bootstrap import of_difference, of_ratio, of_slope
from .study_curves import Curve, Panel

KINDS = ("value", "ratio", "difference", "slope", "tolerated", "needed")


class Reading(NamedTuple):
    """A number and its interval (95 %): value NaN, it is only known to lie within; all NaN, nothing is known."""

    low: float
    value: float
    high: float


NOTHING = Reading(math.nan, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number of a panel.

    panel : number of the panel; line : label of its line, or none: the first
    kind : "value" at x = at; "ratio" of the value at `at` over that at `to` (of line `over`, of panel `beside`, if
        given, else the same); "difference" of them; "slope" of log value against log x, between `at` and `to`
        (default all); "tolerated": the largest x up to which, from the least (or `at`) on, the value over that at the
        least stays inside `within`; "needed": the least x down to which, from the largest (or `at`) on, it does

    The interval of a ratio or a difference is of drawn chips, the same for both (`study_bootstrap`), or where there are
    no draws goes from the far ends of both, which is cautious. A time that is not known, since less than half of the
    chips got there, is more than the run's.
    """

    panel: int
    kind: str
    at: Any = None
    to: Any = None
    line: str | None = None
    over: str | None = None
    beside: int | None = None
    within: tuple[float, float] | None = None

    @classmethod
    def read(cls, study: str, table: Mapping[str, Any], panels: Sequence[Panel], what: str) -> Self:
        """From a table of a study's file; `what` it is called in a message."""
        try:
            pairs = {k: tuple(float(v) for v in table[k]) for k in ("expect", "within") if k in table}
            found = cls(**{**table, **pairs})
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigError(f"study {study!r}: {what}: {error}") from None
        there = range(len(panels))
        if (
            found.kind not in KINDS
            or found.panel not in there
            or (found.beside is not None and found.beside not in there)
            or (found.kind in ("tolerated", "needed")) != (found.within is not None)
            or any(len(pair) != 2 or not pair[0] < pair[1] for pair in pairs.values())
            or (found.kind in ("value", "ratio", "difference") and found.at is None)
        ):
            raise ConfigError(f"study {study!r}: {what}: kind, panel, at, within or expect are wrong")
        return found

    def reading(self, curves: Sequence[Sequence[Curve]]) -> Reading:
        """From the lines of all panels; ConfigError where a line has no such x."""
        mine = of(curves[self.panel], self.line)
        if mine is None:
            return NOTHING
        if self.kind == "slope":
            return slope(mine, self.at, self.to)
        if self.within is not None:
            return (tolerated if self.kind == "tolerated" else needed)(mine, self.within, self.at)
        k = mine.at(self.at)
        if self.kind == "value":
            return bounded(mine, k)
        label = self.over if self.over is not None else self.line
        other = of(curves[self.panel if self.beside is None else self.beside], label)
        if other is None:
            return NOTHING
        j = other.at(self.at if self.to is None else self.to)
        return (difference if self.kind == "difference" else ratio)(mine, k, other, j)

    def described(self, panels: Sequence[Panel]) -> str:
        """What the number is, in words."""
        panel = panels[self.panel]
        lines = ", ".join(panel.line_keys)
        line = f" ({lines} = {self.line})" if self.line is not None else ""
        x = panel.x or "x"
        if self.kind == "value":
            return f"{panel.value} at {x} = {self.at}{line}"
        if self.kind == "slope":
            return f"exponent of {panel.value} with {x}{line}"
        if self.within is not None:
            low, high = self.within
            end, way = ("least", "up") if self.kind == "tolerated" else ("largest", "down")
            bounds = f"at least {short(low)}" if math.isinf(high) else f"{short(low)} to {short(high)}"
            return f"{panel.value} is {bounds} times that at the {end} {x}, {way} to {x}{line}"
        other = panels[self.beside] if self.beside is not None else panel
        parts = [f"at {other.x or 'x'} = {self.to}" if self.to is not None else ""]
        parts += [f"({', '.join(other.line_keys)} = {self.over})" if self.over else ""]
        parts += [f"in {other.title!r}" if self.beside is not None else ""]
        word = "over" if self.kind == "ratio" else "minus"
        return " ".join([f"{panel.value} at {x} = {self.at}{line} {word} that", *(part for part in parts if part)])


def of(curves: Sequence[Curve], label: str | None) -> Curve | None:
    """A line by its label, or the first."""
    if label is None:
        return curves[0] if curves else None
    return next((curve for curve in curves if curve.label == label), None)


def bounded(curve: Curve, k: int) -> Reading:
    """A point of a line; an end that is not known is 0 or infinite, a middle that is not known more than was looked at.

    >>> c = Curve("", [1, 2], [9.0, float("nan")], [10.0, float("nan")], [float("nan")] * 2, [7, 7], [None] * 2, [50.0] * 2)
    >>> bounded(c, 0), bounded(c, 1)
    (Reading(low=9.0, value=10.0, high=inf), Reading(low=50.0, value=nan, high=inf))
    """  # noqa: E501
    low, middle, high = curve.low[k], curve.middle[k], curve.high[k]
    if math.isnan(middle):
        end = curve.beyond[k] if curve.beyond else math.nan
        return NOTHING if math.isnan(end) else Reading(end, math.nan, math.inf)
    return Reading(0.0 if math.isnan(low) else low, middle, math.inf if math.isnan(high) else high)


def quotient(a: float, b: float) -> float:
    """a / b of numbers that are not negative, ends of intervals among them.

    >>> quotient(1.0, 4.0), quotient(3.0, math.inf), quotient(2.0, 0.0)
    (0.25, 0.0, inf)
    """
    if math.isnan(a) or math.isnan(b) or a == b == 0:
        return math.nan
    if math.isinf(b):
        return 0.0
    return a / b if b else math.inf


def ratio(mine: Curve, k: int, other: Curve, j: int) -> Reading:
    """A point of a line over one of another."""
    a, b = bounded(mine, k), bounded(other, j)
    if math.isnan(a.low) or math.isnan(b.low):
        return NOTHING
    far = Reading(quotient(a.low, b.high), quotient(a.value, b.value), quotient(a.high, b.low))
    drawn = draws(mine, k), draws(other, j)
    if drawn[0] is None or drawn[1] is None:
        return far
    low, high = of_ratio(*drawn, mine.beyond[k], other.beyond[j])
    return Reading(low, far.value, high)


def difference(mine: Curve, k: int, other: Curve, j: int) -> Reading:
    """A point of a line minus one of another."""
    a, b = bounded(mine, k), bounded(other, j)
    drawn = draws(mine, k), draws(other, j)
    if drawn[0] is None or drawn[1] is None or math.isnan(a.value) or math.isnan(b.value):
        return Reading(a.low - b.high, a.value - b.value, a.high - b.low)
    low, high = of_difference(*drawn)
    return Reading(low, a.value - b.value, high)


def draws(curve: Curve, k: int) -> Any:
    """Middles of drawn chips at a point, or None."""
    return curve.draws[k] if curve.draws else None


def tolerated(curve: Curve, within: tuple[float, float], first: Any = None) -> Reading:
    """The largest x up to which the middle over that of the least x (or `first`) stays within, from there on without a
    gap; low: up to which its whole interval does; high: some of it. Infinite: as far as was looked at.

    >>> c = Curve("", [0, 1, 2, 4], [88, 87, 70, 30], [90, 89, 82, 33], [92, 91, 86, 36], [9] * 4, [None] * 4)
    >>> tolerated(c, (0.95, math.inf))
    Reading(low=1.0, value=1.0, high=2.0)
    """
    return held(curve, within, first, 1)


def needed(curve: Curve, within: tuple[float, float], first: Any = None) -> Reading:
    """The same from the largest x downwards; low: down to which some of its interval is within, 0: as far as was looked
    at."""
    low, value, high = held(curve, within, first, -1)
    return Reading(0.0 if math.isinf(high) else high, value, low)


def held(curve: Curve, within: tuple[float, float], first: Any, sign: int) -> Reading:
    """How far the whole interval, the middle and some of the interval stay within, upwards or downwards."""
    order = sorted(range(len(curve.x)), key=lambda k: sign * curve.x[k])
    order = [k for k in order if first is None or sign * curve.x[k] >= sign * first]
    if not order or math.isnan(curve.middle[order[0]]):
        return NOTHING
    going, found = dict.fromkeys(("low", "value", "high"), True), {}
    for n, k in enumerate(order):
        low, middle, high = over(curve, k, order[0])
        there = {
            "low": within[0] <= low and high <= within[1],
            "value": within[0] <= middle <= within[1],
            "high": not math.isnan(low) and high >= within[0] and low <= within[1],
        }
        for name, holds in there.items():
            going[name] = going[name] and (holds or n == 0)
            if going[name]:
                found[name] = float(curve.x[k])
    return Reading(found["low"], found["value"], math.inf if going["high"] else found["high"])


def over(curve: Curve, k: int, base: int) -> Reading:
    """A point over the base: of drawn chips, or its interval over the middle of the base."""
    if draws(curve, k) is not None and draws(curve, base) is not None:
        return ratio(curve, k, curve, base)
    return Reading(*(quotient(v, curve.middle[base]) for v in bounded(curve, k)))


def slope(curve: Curve, first: Any = None, last: Any = None) -> Reading:
    """Exponent of the middle as a power of x: least squares on logarithms, with a 95 % interval from the scatter of the
    points (Student's t), or from drawn chips or the points' own intervals, whichever is wider. Nothing where a middle
    is not known: to leave such points out would favour those that are quick.

    >>> c = Curve("", [1, 2, 4], [0.9, 1.9, 3.9], [1, 2, 4], [1.1, 2.1, 4.1], [9, 9, 9], [None] * 3)
    >>> round(slope(c).value, 3)
    1.0
    """
    from scipy import stats  # type: ignore[import-untyped]

    rows = [k for k, x in enumerate(curve.x) if (first is None or x >= first) and (last is None or x <= last) and x > 0]
    if len(rows) < 3 or not all(curve.middle[k] > 0 for k in rows):
        return NOTHING
    x, low, middle, high = (
        np.array([c[k] for k in rows], float) for c in (curve.x, curve.low, curve.middle, curve.high)
    )
    u, v = np.log(x), np.log(middle)
    u = u - u.mean()
    square = float((u * u).sum())
    value = float((u * v).sum() / square)
    residual = v - v.mean() - value * u
    scatter = math.sqrt(float((residual**2).sum()) / (len(x) - 2) / square)
    if all(draws(curve, k) is not None for k in rows):
        given = of_slope(u, [curve.draws[k] for k in rows])
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            sides = np.array([v - np.log(low), np.log(high) - v]) / 1.96
        own = np.where(np.isfinite(sides), sides, 0.0).max(axis=0)  # the longer side
        given = math.sqrt(float((u**2 * own**2).sum())) / square
    if math.isnan(given):
        return NOTHING
    error = max(float(stats.t.ppf(0.975, len(x) - 2)) * scatter, 1.96 * given)
    return Reading(value - error, value, value + error)


def in_words(number: Number, curves: Sequence[Sequence[Curve]]) -> str:
    """As `written`; what a short version has not looked at is said to be so."""
    try:
        return written(number.reading(curves))
    except ConfigError:
        return "(not looked at)"


def written(reading: Sequence[float | None]) -> str:
    """low, value, high in words; None as JSON has it for what is not finite.

    >>> written((1.0, 2.0, 3.0)), written((5.0, math.nan, math.inf)), written((0.0, math.nan, 0.2))
    ('2 [1, 3]', 'more than 5', 'less than 0.2')
    """
    low, value, high = (math.nan if v is None or math.isinf(v) else v for v in reading)
    if not math.isnan(value):
        return f"{short(value)} [{short(low)}, {short(high)}]"
    if math.isfinite(high) and math.isfinite(low):
        return f"between {short(low)} and {short(high)}" if low > 0 else f"less than {short(high)}"
    return f"more than {short(low)}" if math.isfinite(low) and low > 0 else "not known"


def short(value: Any) -> str:
    """A number with three digits, whole ones in full, - for none.

    >>> short(12345.0), short(4096), short(float("nan")), short("pcm")
    ('12300', '4096', '-', 'pcm')
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if isinstance(value, int) and abs(value) < 10**6:
        return str(value)
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.3g}"
    return f"{float(f'{value:.3g}'):g}"
