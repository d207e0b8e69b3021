"""What commands print: numbers with units, aligned tables, strict JSON."""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click

PREFIXES = "fpnµm kMGTP"


def si(value: float, unit: str = "", digits: int = 3) -> str:
    """A number with an SI prefix and its unit.

    >>> si(21_800_000, " chip-steps/s"), si(2e-10, "s"), si(0, "s"), si(64)
    ('21.8 M chip-steps/s', '200 ps', '0 s', '64')
    """
    if not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    power = min(5, max(-5, math.floor(math.log10(abs(value)) / 3))) if value else 0
    if power < 5 and abs(float(f"{value / 1000.0**power:.{digits}g}")) >= 1000:
        power += 1
    number = float(f"{value / 1000.0**power:.{digits}g}")
    prefix = PREFIXES[power + 5].strip()
    return f"{number:.15g} {prefix}{unit if prefix else unit.lstrip()}".rstrip()


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(0.034), duration(42.13), duration(185), duration(7384), duration(2e5)
    ('34 ms', '42.1 s', '3 min 5 s', '2 h 3 min', '2 d 7 h')
    """
    if seconds < 60:
        return si(seconds, "s")
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60} s"
    if seconds < 86400:
        return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"
    return f"{int(seconds) // 86400} d {int(seconds) % 86400 // 3600} h"


def count(number: int, word: str) -> str:
    """A number and its noun, thousands apart.

    >>> count(1, "chip"), count(100_000, "step"), count(2, "class")
    ('1 chip', '100 000 steps', '2 classes')
    """
    plural = word + ("es" if word.endswith("s") else "s")
    return f"{number:,} {word if number == 1 else plural}".replace(",", " ")


def wrapped(text: str, used: int) -> list[str]:
    """Lines of a text, wrapped at the edge of the terminal where that is where it goes."""
    lines = text.split("\n")
    if not sys.stdout.isatty():
        return lines
    room = max(20, shutil.get_terminal_size().columns - used)
    return [part for line in lines for part in textwrap.wrap(line, room, break_long_words=False) or [""]]


def pairs(rows: Sequence[tuple[str, str]], indent: str = "  ") -> str:
    """Names and values in two columns; rows whose value is empty are left out."""
    kept = [(name, value) for name, value in rows if value]
    width = max((len(name) for name, _ in kept), default=0)
    lines = []
    for name, value in kept:
        first, *rest = wrapped(value, len(indent) + width + 2)
        lines.append(f"{indent}{name:<{width}}  {first}")
        lines += [f"{indent}{'':<{width}}  {line}" for line in rest]
    return "\n".join(lines)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a header, columns as wide as they need to be; the last one is wrapped."""
    table = [head, *rows]
    last = len(head) - 1
    widths = [max(len(row[i]) for row in table) + 2 for i in range(last)]
    lines = []
    for row in table:
        start = "".join(text.ljust(w) for text, w in zip(row, widths, strict=False))
        for part in wrapped(row[last], sum(widths)):
            lines.append((start + part).rstrip())
            start = " " * len(start)
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """The value as strict JSON can hold it: NaN and infinities are null, NumPy values and tuples plain.

    >>> plain({"a": float("nan"), 3: (1, 2.5)})
    {'a': None, '3': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | range):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))
