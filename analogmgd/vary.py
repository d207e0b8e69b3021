"""What a sweep varies: axes of dotted keys with their values, and the points they make."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError
from .settings import short

MOST_VALUES = 100_000  # of one axis
Point = dict[str, Any]  # dotted key -> value


@dataclass(frozen=True)
class Axis:
    """A key and the values it takes.

    >>> Axis.read("neuron.spread=0,0.05,0.1")
    Axis(key='neuron.spread', values=(0, 0.05, 0.1))
    >>> [f"{v:.3g}" for v in Axis.read("rule.eta=1e-4..1e-1:log:4").values]
    ['0.0001', '0.001', '0.01', '0.1']
    >>> Axis.read("rule.tau_theta=1..9:3").values
    (1, 5, 9)
    """

    key: str
    values: tuple[Any, ...]

    @classmethod
    def read(cls, text: str) -> Axis:
        """KEY=V1,V2,.. with values as in TOML, words without quotes, or ranges FIRST..LAST:N, FIRST..LAST:log:N."""
        from .cli.options import toml_value

        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not key or not values:
            raise ConfigError(f"--vary {short(text)}: expected KEY=V1,V2,.. or KEY=FIRST..LAST:log:N")
        found: list[Any] = []
        for part in split(values):
            found += span(key, part) if ".." in part else [toml_value(part)]
        return cls.made(key, found)

    @classmethod
    def made(cls, key: str, values: Any) -> Axis:
        """From a key and a list, as in TOML; a text is read as on the command line."""
        if isinstance(values, str):
            return cls.read(f"{key}={values}")
        if not isinstance(values, Sequence) or not values:
            raise ConfigError(f"sweep.vary: {key} = {short(values)}: must be a list of values, at least one")
        if len(values) > MOST_VALUES:
            raise ConfigError(f"sweep.vary: {key} has {len(values)} values: at most {MOST_VALUES} are allowed")
        for value, times in Counter(map(repr, values)).items():
            if times > 1:
                raise ConfigError(f"sweep.vary: {key}: {value[:60]} is given twice")
        return cls(key, tuple(values))


def split(text: str) -> list[str]:
    """At commas outside of brackets and quotes.

    >>> split("1,[2,3],'a,b'")
    ['1', '[2,3]', "'a,b'"]
    """
    parts, depth, quote = [""], 0, ""
    for c in text:
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in "[{":
            depth += 1
        elif c in "]}":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += c
    return [part.strip() for part in parts if part.strip()]


def span(key: str, text: str) -> list[Any]:
    """FIRST..LAST:N or FIRST..LAST:log:N; whole numbers where all of them are."""
    ends, _, rest = text.partition(":")
    kind, _, number = rest.rpartition(":")
    try:
        first, last = (float(end) for end in ends.split(".."))
        n = int(number)
    except ValueError:
        raise ConfigError(f"--vary {key}: {short(text)}: expected FIRST..LAST:N or FIRST..LAST:log:N") from None
    if (
        kind not in ("", "log", "lin")
        or not 2 <= n <= MOST_VALUES
        or not (math.isfinite(first) and math.isfinite(last))
    ):
        raise ConfigError(
            f"--vary {key}: {short(text)}: expected FIRST..LAST:N or FIRST..LAST:log:N, N from 2 to {MOST_VALUES}"
        )
    if kind == "log":
        if first <= 0 or last <= 0:
            raise ConfigError(f"--vary {key}: {short(text)}: the ends of a log range must be greater than 0")
        values = [first * (last / first) ** (k / (n - 1)) for k in range(n)]
    else:
        values = [first + (last - first) * k / (n - 1) for k in range(n)]
    values[-1] = last
    whole = all(v == int(v) for v in values) and "." not in ends.replace("..", "") and "e" not in ends.lower()
    return [int(v) for v in values] if whole else [float(f"{v:.12g}") for v in values]


def grid(axes: Sequence[Axis], zipped: bool = False) -> Points:
    """All combinations, the last axis fastest, or with `zipped` the values side by side."""
    keys = [axis.key for axis in axes]
    for k, key in enumerate(keys):
        if key in keys[:k]:
            raise ConfigError(f"{key} is varied twice")
    if not axes:
        raise ConfigError("nothing is varied: give --vary KEY=V1,V2,..")
    if zipped and len({len(axis.values) for axis in axes}) > 1:
        sizes = ", ".join(f"{axis.key} {len(axis.values)}" for axis in axes)
        raise ConfigError(f"--zip needs as many values of every key, and there are: {sizes}")
    return Points(tuple(axes), zipped)


@dataclass(frozen=True)
class Points:
    """The points of a sweep, made when they are asked for.

    >>> points = grid([Axis("a.b", (1, 2)), Axis("c.d", (3, 4, 5))])
    >>> len(points), points[4]
    (6, {'a.b': 2, 'c.d': 4})
    """

    axes: tuple[Axis, ...]
    zipped: bool = False

    def __len__(self) -> int:
        return len(self.axes[0].values) if self.zipped else math.prod(len(axis.values) for axis in self.axes)

    def __getitem__(self, n: int) -> Point:
        if not 0 <= n < len(self):
            raise IndexError(n)
        return {axis.key: axis.values[place] for axis, place in zip(self.axes, self.places(n), strict=True)}

    def __iter__(self) -> Iterator[Point]:
        return (self[n] for n in range(len(self)))

    def places(self, n: int) -> list[int]:
        """Which value of each axis point n has."""
        if self.zipped:
            return [n] * len(self.axes)
        found = []
        for axis in reversed(self.axes):
            n, place = divmod(n, len(axis.values))
            found.append(place)
        return found[::-1]


def listed(points: Sequence[Mapping[str, Any]]) -> Points:
    """A list of points, each a table of dotted keys, all with the same keys."""
    if not isinstance(points, Sequence) or not points or not all(isinstance(p, Mapping) and p for p in points):
        raise ConfigError("sweep.points: must be a list of tables of dotted keys, at least one")
    keys = list(points[0])
    for n, point in enumerate(points):
        if list(point) != keys:
            raise ConfigError(
                f"sweep.points: point {n} has the keys {', '.join(point)}; the first has {', '.join(keys)}"
            )
    return Points(tuple(Axis(key, tuple(point[key] for point in points)) for key in keys), zipped=True)


def flat(table: dict[str, Any], lead: str = "") -> dict[str, Any]:
    """Tables in tables as dotted keys.

    >>> flat({"rule": {"eta": [1, 2]}, "run.seed": [3]})
    {'rule.eta': [1, 2], 'run.seed': [3]}
    """
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= flat(value, f"{lead}{key}.") if isinstance(value, dict) else {f"{lead}{key}": value}
    return found


def tables(point: Point) -> dict[str, dict[str, Any]]:
    """A point as tables of a configuration.

    >>> tables({"rule.eta": 0.1, "rule.tau_x": 2})
    {'rule': {'eta': 0.1, 'tau_x': 2}}
    """
    found: dict[str, dict[str, Any]] = {}
    for key, value in point.items():
        table, _, name = key.partition(".")
        found.setdefault(table, {})[name] = value
    return found


__all__ = ["Axis", "Point", "Points", "flat", "grid", "listed", "split", "tables"]
