"""Whether what is read off a study's panels agrees with what is claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError
from .study_curves import Curve, Panel
from .study_numbers import Number

VERDICTS = "confirmed", "contradicted", "not resolved"


@dataclass(frozen=True, kw_only=True)
class Check(Number):
    """A number of a panel that is expected within an interval.

    says : the claim, a sentence
    expect : [low, high]; TOML has inf
    panel, kind, at, .. : see `Number`

    The verdict is "confirmed" where the number's whole interval lies within what is expected, "contradicted" where
    none of it does, else "not resolved".
    """

    says: str
    expect: tuple[float, float]

    @classmethod
    def of_table(cls, study: str, table: Mapping[str, Any], panels: Sequence[Panel]) -> Check:
        """From a table of a study's file."""
        return cls.read(study, table, panels, f"check {table.get('says')!r}")

    def outcome(
        self, panels: Sequence[Panel], curves: Sequence[Sequence[Curve]], missing: bool = False
    ) -> dict[str, Any]:
        """says, what, value, low, high, expect, verdict; missing: points may have failed, which resolves nothing."""
        try:
            low, value, high = self.reading(curves)
        except ConfigError:
            if not missing:
                raise
            low = value = high = math.nan
        return {
            "says": self.says,
            "what": self.described(panels),
            "value": value,
            "low": low,
            "high": high,
            "expect": list(self.expect),
            "verdict": verdict(low, high, self.expect),
        }


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
