"""The fastest variant of a peer: rounds of changes, each on top of what was fastest before."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from .problem import Problem

LIMIT_SECONDS = 120  # a variant that takes longer to build than this is given up
WIDEST = 1 << 18  # chips of a peer
GAIN = 1.02  # a change is kept if it makes this much of a difference


Timed = tuple[Any, float]


@dataclass
class Outcome:
    """best and plain (None with --quick): job and chip-steps/s; tried: every variant with its rate or its error."""

    variant: dict[str, Any]
    best: Timed
    plain: Timed | None
    tried: list[dict[str, Any]] = field(default_factory=list)

    @property
    def note(self) -> str:
        """What could not be tried."""
        return "; ".join(f"{row['variant']}: {row['error']}" for row in self.tried if "error" in row)


class TooSlow(Exception):
    """A variant took longer than LIMIT_SECONDS."""


def limited(work: Callable[[], Any]) -> Any:
    """What `work` returns, or TooSlow."""
    if not hasattr(signal, "SIGALRM"):
        return work()

    def ring(number: int, frame: Any) -> None:
        raise TooSlow(f"not ready after {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT_SECONDS)
    try:
        return work()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def search(
    module: Any, problem: Problem, one: bool, quick: bool, ready: Callable[[Problem, dict[str, Any]], Timed]
) -> Outcome:
    """Try the module's plain variant, then its rounds, then wider and narrower ones for as long as that helps.

    quick : no search, but the variant that has been fastest before (`Searches.usual`).
    ready : builds a variant and gives its rate.
    """
    plain, start, rounds, usual = module.searches(problem, one)
    tried: list[dict[str, Any]] = []

    def attempt(variant: dict[str, Any]) -> Timed | None:
        if any(row["variant"] == variant for row in tried):
            return None  # it was not faster
        try:
            enough_memory(module.memory(problem, variant))
            found: Timed = limited(lambda: ready(problem, variant))
        except (TooSlow, RuntimeError, ValueError, TypeError, MemoryError) as error:
            tried.append({"variant": variant, "error": " ".join(str(error).split())[:200] or type(error).__name__})
            return None
        tried.append({"variant": variant, "rate": found[1]})
        return found

    def climb(variant: dict[str, Any], best: Timed, values: Sequence[int], key: str) -> tuple[dict[str, Any], Timed]:
        """From a value to twice as much or more and so on, then to half and less, until it is not faster or fails."""
        for way in (up, down):
            for value in way(variant[key], values):
                found = attempt({**variant, key: value})
                if found is None or found[1] <= GAIN * best[1]:
                    break
                variant, best = {**variant, key: value}, found
        return variant, best

    if quick:
        plain = {**plain, **start, **usual}
    first = attempt(plain)
    if first is None:
        raise RuntimeError(tried[0]["error"])
    if quick:
        return Outcome(plain, first, None, tried)
    if not one:
        plain, first = climb(plain, first, powers(plain["chips"]), "chips")
    variant, best = plain, first
    for changes in [[start], *rounds]:
        base, round_best = variant, best
        for change in changes:
            found = attempt({**base, **change})
            if found and found[1] > GAIN * round_best[1]:
                variant, round_best = {**base, **change}, found
        best = round_best
    if not one:
        variant, best = climb(variant, best, powers(variant["chips"]), "chips")
    if "group" in variant:
        variant, best = climb(variant, best, divisors(problem.tau_theta), "group")
    elif "ahead" in variant and variant.get("form") != "chip":  # in which it is only the length of a loop
        alike = [row["variant"] for row in tried if "rate" in row and row["variant"].get("form") == variant.get("form")]
        seen = [other["ahead"] for other in alike if "ahead" in other]
        variant, best = climb(variant, best, outside(variant["ahead"], seen), "ahead")
    return Outcome(variant, best, first, tried)


def up(here: int, values: Sequence[int]) -> Iterator[int]:
    """Values that are at least twice the last one each.

    >>> list(up(10, [1, 2, 5, 10, 15, 25, 40, 50]))
    [25, 50]
    """
    for value in values:
        if value >= 2 * here:
            here = value
            yield value


def down(here: int, values: Sequence[int]) -> Iterator[int]:
    """Values that are at most half of the last one each.

    >>> list(down(10, [1, 2, 5, 10, 15, 25, 40, 50]))
    [5, 2, 1]
    """
    for value in reversed(values):
        if 2 * value <= here:
            here = value
            yield value


def powers(middle: int) -> list[int]:
    """Numbers of chips, each twice the last, one of them `middle`.

    >>> powers(12)[:4]
    [1, 3, 6, 12]
    """
    values = [middle]
    while values[0] > 1:
        values.insert(0, values[0] // 2)
    while 2 * values[-1] <= WIDEST:
        values.append(2 * values[-1])
    return values


def outside(here: int, seen: Sequence[int]) -> list[int]:
    """Powers of two times `here` beyond what has been tried, where `here` is the largest or the least of that.

    >>> outside(4, [1, 4])[:2], outside(4, [4, 16]), outside(4, [1, 4, 16])
    ([8, 16], [1, 2], [])
    """
    top, bottom = here == max(seen), here == min(seen)
    return [value for value in powers(here) if (top and value > here) or (bottom and value < here)]


def divisors(window: int) -> list[int]:
    """Group sizes that a window consists of.

    >>> divisors(20)
    [1, 2, 4, 5, 10, 20]
    """
    return [n for n in range(1, window + 1) if window % n == 0]


def enough_memory(need: float) -> None:
    """MemoryError unless so many bytes leave half of what is free: a worker shall be refused rather than killed."""
    free = psutil.virtual_memory().available
    if need > free / 2:
        raise MemoryError(f"needs about {need / 1e9:.3g} GB; {free / 1e9:.3g} GB are free")
