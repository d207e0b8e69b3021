"""What a study reads off its panels, and whether it agrees with what is claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import ConfigError
from .study_curves import Curve, Panel

KINDS = ("ratio", "value", "slope")
VERDICTS = "confirmed", "contradicted", "not resolved"


@dataclass(frozen=True)
class Check:
    """A number of a panel that is expected within an interval.

    says : the claim, a sentence
    panel : number of the panel; line : label of its line, or none
    kind : "value" at x = at; "ratio" of the value at `at` over that at `to` (of line `over`, if given, else the same
        line); "slope" of log value against log x, between `at` and `to` (default all)
    expect : [low, high]; TOML has inf

    The verdict is "confirmed" where the number's whole interval lies within what is expected, "contradicted" where
    none of it does, else "not resolved".
    """

    says: str
    panel: int
    kind: str
    expect: tuple[float, float]
    at: Any = None
    to: Any = None
    line: str | None = None
    over: str | None = None

    @classmethod
    def read(cls, study: str, table: Mapping[str, Any], panels: Sequence[Panel]) -> Check:
        """From a table of a study's file."""
        try:
            check = cls(**{**table, "expect": tuple(float(v) for v in table["expect"])})
        except (TypeError, KeyError, ValueError) as error:
            raise ConfigError(f"study {study!r}: check {table.get('says')!r}: {error}") from None
        if check.kind not in KINDS or not 0 <= check.panel < len(panels) or not check.expect[0] < check.expect[1]:
            raise ConfigError(f"study {study!r}: check {check.says!r}: kind, panel or expect are wrong")
        return check

    def outcome(self, panels: Sequence[Panel], curves: Sequence[Sequence[Curve]]) -> dict[str, Any]:
        """says, text, value, low, high, expect, verdict."""
        mine = self.of(curves[self.panel], self.line)
        low, value, high = self.number(mine, curves)
        return {
            "says": self.says,
            "what": self.described(panels[self.panel]),
            "value": value,
            "low": low,
            "high": high,
            "expect": list(self.expect),
            "verdict": verdict(low, high, self.expect),
        }

    def number(self, mine: Curve | None, curves: Sequence[Sequence[Curve]]) -> tuple[float, float, float]:
        """low, value, high; NaN where there is nothing to read."""
        nothing = (math.nan, math.nan, math.nan)
        if mine is None:
            return nothing
        if self.kind == "slope":
            return slope(mine, self.at, self.to)
        k = mine.at(self.at)
        if self.kind == "value":
            return mine.low[k], mine.middle[k], mine.high[k]
        other = self.of(curves[self.panel], self.over) if self.over is not None else mine
        if other is None:
            return nothing
        j = other.at(self.at if self.to is None else self.to)
        return quotient(mine.low[k], other.high[j]), quotient(mine.middle[k], other.middle[j]), quotient(
            mine.high[k], other.low[j]
        )  # fmt: skip

    def of(self, curves: Sequence[Curve], label: str | None) -> Curve | None:
        """A line by its label."""
        if label is None:
            return curves[0] if curves else None
        return next((curve for curve in curves if curve.label == label), None)

    def described(self, panel: Panel) -> str:
        """What the number is, in words."""
        lines = ", ".join(panel.line_keys)
        line = f" ({lines} = {self.line})" if self.line is not None else ""
        if self.kind == "value":
            return f"{panel.value} at {panel.x} = {self.at}{line}"
        if self.kind == "slope":
            return f"exponent of {panel.value} with {panel.x}{line}"
        over = f" at {panel.x} = {self.to}" if self.to is not None else ""
        over += f" ({lines} = {self.over})" if self.over is not None else ""
        return f"{panel.value} at {panel.x} = {self.at}{line} over that{over}"


def quotient(a: float, b: float) -> float:
    """a / b, NaN where it is none."""
    return a / b if b else math.nan


def verdict(low: float, high: float, expect: tuple[float, float]) -> str:
    """One of VERDICTS.

    >>> verdict(1.0, 1.2, (0.9, 1.5)), verdict(2.0, 3.0, (0.9, 1.5)), verdict(1.0, 1.6, (0.9, 1.5))
    ('confirmed', 'contradicted', 'not resolved')
    """
    if math.isnan(low) or math.isnan(high):
        return "not resolved"
    if expect[0] <= low and high <= expect[1]:
        return "confirmed"
    return "contradicted" if high < expect[0] or low > expect[1] else "not resolved"


def slope(curve: Curve, first: Any = None, last: Any = None) -> tuple[float, float, float]:
    """Exponent of the middle as a power of x, least squares on logarithms, with two standard errors: those of the
    residuals, or of the points' own intervals, whichever are larger.

    >>> c = Curve("", [1, 2, 4], [0.9, 1.9, 3.9], [1, 2, 4], [1.1, 2.1, 4.1], [9, 9, 9], [None] * 3)
    >>> round(slope(c)[1], 3)
    1.0
    """
    rows = [
        (x, lo, m, hi)
        for x, lo, m, hi in zip(curve.x, curve.low, curve.middle, curve.high, strict=True)
        if (first is None or x >= first) and (last is None or x <= last) and x > 0 and m > 0
    ]
    if len(rows) < 3:
        return math.nan, math.nan, math.nan
    x, low, middle, high = (np.array(column, float) for column in zip(*rows, strict=True))
    u, v = np.log(x), np.log(middle)
    u = u - u.mean()
    value = float((u * v).sum() / (u * u).sum())
    residual = v - v.mean() - value * u
    scatter = float((residual**2).sum() / (len(x) - 2)) / float((u * u).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        own = (np.log(high) - np.log(low)) / (2 * 1.96)
    own = np.where(np.isfinite(own), own, 0.0)
    given = float((u**2 * own**2).sum()) / float((u * u).sum()) ** 2
    error = 2 * math.sqrt(max(scatter, given))
    return value - error, value, value + error
