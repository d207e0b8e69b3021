"""Rows and probes of a run: at which steps, and put together from the blocks they come from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .plan import Plan

Rows = dict[str, np.ndarray]


class RowPlan:
    """At which steps a row is recorded: 0, every `every` steps, and the last.

    rows, last : how many there are already, and the step of the last of them

    >>> [RowPlan(1000, 300).step(row) for row in range(5)]
    [0, 300, 600, 900, 1000]
    >>> more = RowPlan(1500, 300, rows=5, last=1000)
    >>> [more.step(row) for row in range(5, more.count)]
    [1200, 1500]
    """

    def __init__(self, steps: int, every: int, rows: int = 0, last: int = 0) -> None:
        self.steps, self.every = steps, every
        self._ahead = last // every + 1 - rows if rows else 0  # of the row's number
        self.count = 1 + -(-steps // every) - self._ahead
        if rows and last >= steps:
            self.count = rows

    def step(self, row: int) -> int:
        """Steps done when row number `row` is taken."""
        return min((row + self._ahead) * self.every, self.steps)


class RowMerger:
    """Puts the blocks' parts of a row together and hands whole rows on in order."""

    def __init__(self, plan: Plan, rows: RowPlan, blocks: int, sink: Callable[[Rows], None], written: int = 0) -> None:
        self.plan, self.rows, self.sink = plan, rows, sink
        self.blocks = blocks
        self.written = written
        self.latest: Rows = {}
        self.hopeless = False  # no chip has finite parameters any more; rows end there
        self._parts: dict[int, dict[int, Rows]] = {}

    def add(self, row: int, block: int, part: Rows) -> None:
        """Row number `row` of block number `block`."""
        self._parts.setdefault(row, {})[block] = part
        while len(self._parts.get(self.written, ())) == self.blocks and not self.hopeless:
            parts = self._parts.pop(self.written)
            ordered = [parts[b] for b in range(self.blocks)]
            whole = {name: np.concatenate([p[name] for p in ordered]) for name in ordered[0]}
            self.latest = whole
            self.hopeless = not whole["finite"].any()
            step = self.rows.step(self.written)
            kept: Rows = {name: whole[name][np.newaxis] for name in self.plan.run.record}
            kept["step"] = np.array([step], np.int64)
            kept["time"] = np.array([self.plan.seconds(step)])
            self.sink(kept)
            self.written += 1


class ProbeMerger:
    """Puts the probes of blocks that are at different steps together, in order of steps."""

    def __init__(self, widths: list[int], sink: Callable[[Rows], None]) -> None:
        self.sink = sink
        self._waiting: dict[int, list[Rows]] = {i: [] for i, width in enumerate(widths) if width}

    def add(self, block: int, piece: Rows) -> None:
        """The next steps of a block's probes."""
        self._waiting[block].append(piece)
        while all(self._waiting.values()):
            count = min(len(pieces[0]["step"]) for pieces in self._waiting.values())
            heads = [self._take(pieces, count) for pieces in self._waiting.values()]
            whole = {name: np.concatenate([h[name] for h in heads], axis=1) for name in heads[0] if name != "step"}
            self.sink({"step": heads[0]["step"], **whole})

    @staticmethod
    def _take(pieces: list[Rows], count: int) -> Rows:
        first = pieces.pop(0)
        if len(first["step"]) > count:
            pieces.insert(0, {name: array[count:] for name, array in first.items()})
        return {name: array[:count] for name, array in first.items()}
