"""The fastest variant of a peer: rounds of changes, each on top of what was fastest before."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
    """Try the module's plain variant, then its rounds; `ready` builds a variant and gives its rate.

    quick : no search, but the variant that has been fastest before (`Searches.usual`).
    """
    plain, start, rounds, usual = module.searches(problem, one)
    tried: list[dict[str, Any]] = []

    def attempt(variant: dict[str, Any]) -> Timed | None:
        try:
            found: Timed = limited(lambda: ready(problem, variant))
        except (TooSlow, RuntimeError, ValueError, TypeError, MemoryError) as error:
            tried.append({"variant": variant, "error": " ".join(str(error).split())[:200] or type(error).__name__})
            return None
        tried.append({"variant": variant, "rate": found[1]})
        return found

    if quick:
        plain = {**plain, **start, **usual}
    first = attempt(plain)
    if first is None:
        raise RuntimeError(tried[0]["error"])
    if quick:
        return Outcome(plain, first, None, tried)
    if not one:
        for factor in (4, 1 / 4):  # wider, or narrower, for as long as that helps
            chips = round(factor * plain["chips"])
            while 1 <= chips <= WIDEST:
                other = attempt({**plain, "chips": chips})
                if other is None or other[1] <= first[1]:
                    break
                first, chips = other, round(factor * chips)
    variant, best = plain, first
    for changes in [[start], *rounds]:
        base, round_best = variant, best
        for change in changes:
            found = attempt({**base, **change})
            if found and found[1] > GAIN * round_best[1]:
                variant, round_best = {**base, **change}, found
        best = round_best
    return Outcome(variant, best, first, tried)
