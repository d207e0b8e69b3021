"""Blocks of chips on a pool of threads, chunk by chunk, rows handed on in order.

No result depends on the number of threads, on how chips are put into blocks, or on where chunks are cut.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import math
import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from .block import PROBE_ROWS, Block, lanes_per_block
from .column_block import ColumnBlock
from .merge import ProbeMerger, RowMerger, RowPlan, Rows
from .picture_block import lane_block
from .plan import Plan
from .row_block import RowBlock

CHUNK_SECONDS = 0.03
CHECKPOINT_SECONDS = 5.0  # from one checkpoint to the next, or
CHECKPOINT_SHARE = 100  # so many times what the last one took to write
CHECKPOINT_RATE = 1e8  # bytes a second, for the first one
ALONE = {"rows": RowBlock, "columns": ColumnBlock}  # kinds of blocks of one chip


def make_blocks(plan: Plan, theta0: np.ndarray | None, threads: int, lanes: int | None) -> list[Block] | list[RowBlock]:
    """The chips of a plan in blocks; threads beyond the number of large chips help each of them."""
    count = len(plan.ids)
    if plan.kind in ALONE:
        kind = ALONE[plan.kind]
        return [kind(plan, chip, theta0, team=max(1, threads // count)) for chip in range(count)]
    lanes = lanes or lanes_per_block(plan, threads)
    block = lane_block(plan)
    return [block(plan, first, min(lanes, count - first), theta0) for first in range(0, count, lanes)]


def angle_degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between the rows of a and b, float64[n], degrees; NaN where one of them is 0."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        dot, aa, bb = ((u * v).sum(axis=1) for u, v in ((a, b), (a, a), (b, b)))
        return np.degrees(np.arccos(np.clip(dot / np.sqrt(aa * bb), -1.0, 1.0)))


class Pace:
    """Steps per second of the blocks of a run, which are alike: what a block starts from in its first call."""

    def __init__(self) -> None:
        self.steps = 0.0


class Runner:
    """One block on its way through the run; `work` is called by one thread at a time."""

    def __init__(self, block: Block | RowBlock, rows: RowPlan, stop: threading.Event, others: Pace) -> None:
        self.block, self.rows, self.stop, self.others = block, rows, stop, others
        self.row = 0
        self.told = 0  # steps the engine has counted
        self.pace = 0.0
        self.limit = rows.steps
        run = block.plan.run
        self.probe_from = run.probe_from
        self.probe_until = run.probe_until or rows.steps

    @property
    def done(self) -> bool:
        """Nothing left to do up to `limit`."""
        return self.block.n >= self.limit and (self.row >= self.rows.count or self._next > self.limit)

    @property
    def _next(self) -> int:
        return self.rows.step(self.row)

    def work(self) -> tuple[list[Rows], list[Rows]]:
        """Go on for about CHUNK_SECONDS; returns the rows and the probes that came up."""
        taken: list[Rows] = []
        probes: list[Rows] = []
        end = time.perf_counter() + CHUNK_SECONDS
        while not self.done:
            if self.row < self.rows.count and self.block.n == self._next:
                taken.append(self.measure())
                self.row += 1
            else:
                self._advance(probes)
            if time.perf_counter() > end or self.stop.is_set():
                break
        return taken, probes

    def _advance(self, probes: list[Rows]) -> None:
        block = self.block
        n = block.n
        self.pace = self.pace or self.others.steps
        until = min(self._next if self.row < self.rows.count else self.limit, self.limit)
        until = min(until, n + max(1, int(self.pace * CHUNK_SECONDS)))
        probe = len(block.probe_lane) > 0 and self.probe_from <= n < self.probe_until
        if probe:
            until = min(until, n + PROBE_ROWS, self.probe_until)
        elif n < self.probe_from:
            until = min(until, self.probe_from)
        start = time.perf_counter()
        block.advance(until, probe)
        pace = (until - n) / max(time.perf_counter() - start, 1e-7)
        self.pace = pace if self.pace == 0.0 else min(pace, 16 * self.pace)
        self.others.steps = self.pace
        if probe:
            took = slice(0, until - n)
            probes.append(
                {
                    "step": np.arange(n, until, dtype=np.int64),
                    "cost": block.probe_cost[took].copy(),
                    "cost_ac": block.probe_cost_ac[took].copy(),
                    "sample": block.probe_sample[took].copy(),
                }
            )

    def measure(self) -> Rows:
        """What a row holds of this block's chips, by name, plus `finite`."""
        block, plan = self.block, self.block.plan
        run, last = plan.run, self.row == self.rows.count - 1
        out: Rows = {"finite": block.finite()}
        if "cost" in run.record or "accuracy" in run.record:
            everything = len(plan.test.x)
            some = everything if last or run.eval_samples is None else min(run.eval_samples, everything)
            out["cost"], out["accuracy"] = block.evaluate(plan.test, some)
        if "theta" in run.record:
            out["theta"] = block.chips_theta()
        if "cost_ac" in run.record:
            out["cost_ac"] = block.chips_cost_ac()
        if "gradient" in run.record or "angle" in run.record:
            gradient = block.chips_gradient()
            out["gradient"] = gradient
            if "angle" in run.record:
                if run.angle == "sample":
                    true = block.sample_gradient(plan.shown)
                elif run.angle == "chip":
                    true = block.true_gradient(plan.shown, ideal=False)
                else:
                    true = block.true_gradient(plan.train, ideal=True)
                out["angle"] = angle_degrees(gradient, true)
        return out


def thread_count(threads: int | None) -> int:
    """Threads to use: as asked, else ANALOGMGD_THREADS, else the processors this process may use."""
    from .errors import ConfigError

    text = os.environ.get("ANALOGMGD_THREADS") if threads is None else threads
    if text is None or text == "":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        count = int(text) if isinstance(text, str) else operator.index(text)
    except (TypeError, ValueError):
        count = 0
    if not 1 <= count <= 4096:
        name = "ANALOGMGD_THREADS" if threads is None else "threads"
        raise ConfigError(f"{name} = {text}: must be a whole number from 1 to 4096")
    return count


class Interrupts:
    """Counts Ctrl-C and SIGTERM instead of raising; the second Ctrl-C raises KeyboardInterrupt.

    Only in the main thread; elsewhere signals stay as they are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, Any] = {}

    def _handle(self, number: int, frame: Any) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            over = self.count and getattr(handler, "ends", False)  # the command line's: after Ctrl-C it only says so
            signal.signal(number, signal.SIG_IGN if over else handler)


class Engine:
    """A run: made from a plan, told where rows go, then `run`."""

    def __init__(self, plan: Plan, rows: RowPlan, theta0: np.ndarray | None, threads: int, lanes: int | None = None):
        self.plan, self.rows, self.threads = plan, rows, threads
        self.stop = threading.Event()
        pace = Pace()
        self.runners = [Runner(block, rows, self.stop, pace) for block in make_blocks(plan, theta0, threads, lanes)]
        self.steps_done = 0  # chip-steps, those before a stop included
        self.first_row = 0
        self.cut_short = False  # by a second Ctrl-C: rows of steps that are done may be missing

    @property
    def theta(self) -> np.ndarray:
        """real[chips, P], parameters now."""
        return np.concatenate([r.block.chips_theta() for r in self.runners])

    @property
    def step(self) -> int | None:
        """Steps done, if by all chips as many, and if all rows up to there were handed on."""
        done = {r.block.n for r in self.runners}
        return done.pop() if len(done) == 1 and not self.cut_short else None

    def state(self) -> list[np.ndarray]:
        """What the run is to be gone on with, first axis chips; it does not depend on blocks and threads."""
        if len(self.runners) == 1:
            return self.runners[0].block.state()
        found = [np.empty(shape, dtype) for dtype, shape in self.state_kinds]
        first = 0
        for r in self.runners:  # one block's beside the whole: there may not be room for more
            last = first + r.block.count
            for whole, array in zip(found, r.block.state(), strict=True):
                whole[first:last] = array
            first = last
        return found

    @functools.cached_property
    def state_kinds(self) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
        """Type and shape of each array of `state`."""
        count = len(self.plan.ids)
        return [(array.dtype, (count, *array.shape[1:])) for array in self.runners[0].block.state()]

    def state_bytes(self) -> int:
        """Bytes of `state`."""
        return sum(dtype.itemsize * math.prod(shape) for dtype, shape in self.state_kinds)

    def load(self, step: int, row: int, state: Sequence[np.ndarray]) -> None:
        """Go on from a step, the next row to be taken being number `row`, with what `state` gave."""
        first = 0
        for r in self.runners:
            last = first + r.block.count
            r.block.load(step, [array[first:last] for array in state])
            r.row, r.told, first = row, step, last
        self.first_row, self.steps_done = row, step * len(self.plan.ids)

    @property
    def counts(self) -> dict[str, np.ndarray]:
        """What is counted, by name, first axis chips; see `trace_schema.COUNTS`."""
        parts = [r.block.chips_counts() for r in self.runners]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def first_bad(self) -> dict[int, int]:
        """chip id -> step whose cost was the first that is not finite."""
        out = {}
        for r in self.runners:
            for lane in np.flatnonzero(r.block.first_bad[0, : r.block.count] >= 0):
                out[int(r.block.ids[0, lane])] = int(r.block.first_bad[0, lane])
        return out

    def lost(self, last: int) -> dict[int, int]:
        """The same with the chips whose parameters are not finite now, for which `last` stands, if nothing earlier."""
        found = self.first_bad()
        for chip in self.plan.ids[~np.isfinite(self.theta).all(axis=1)]:
            found.setdefault(int(chip), last)
        return found

    def run(
        self,
        on_rows: Callable[[Rows], None],
        on_probe: Callable[[Rows], None],
        on_tick: Callable[[int, Rows], Any] = lambda steps, row: None,
        on_checkpoint: Callable[[], Any] | None = None,
        interrupts: Interrupts | None = None,
    ) -> str:
        """Do all steps; returns "complete", "interrupted" (Ctrl-C) or "diverged" (no chip is left that is finite).

        on_rows gets one whole row at a time in order, on_probe the probes likewise, on_tick the chip-steps done and
        the latest row, several times a second; on_checkpoint is called every few seconds, when all chips have done as
        many steps and all rows up to there have been handed on. All are called in this thread. interrupts: those of the
        caller, who has entered them.
        """
        merger = RowMerger(self.plan, self.rows, len(self.runners), on_rows, self.first_row)
        probes = ProbeMerger([len(r.block.probe_lane) for r in self.runners], on_probe)
        status = "complete"
        own = Interrupts() if interrupts is None else contextlib.nullcontext(interrupts)
        with own as stops, ThreadPoolExecutor(self.threads, "analogmgd") as pool:
            due = time.perf_counter() + self._first_checkpoint() if on_checkpoint else math.inf

            def ended() -> bool:
                return stops.count > 0 or merger.hopeless

            def pause() -> bool:
                return ended() or time.perf_counter() > due

            try:
                while not (ended() or self.done):
                    self._drive(pool, merger, probes, on_tick, pause)
                    if on_checkpoint and not (ended() or self.done):
                        self._align(max(r.block.n for r in self.runners))
                        self._drive(pool, merger, probes, on_tick, lambda: False)
                        if self.done:  # the end has a checkpoint of its own
                            break
                        begun = time.perf_counter()
                        on_checkpoint()
                        now = time.perf_counter()
                        due = now + max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * (now - begun))
                        self._align(self.rows.steps)
                if ended():
                    status = "interrupted" if stops.count else "diverged"
                    self._align(max(r.block.n for r in self.runners))
                    self._drive(pool, merger, probes, on_tick, lambda: False)
            except KeyboardInterrupt:  # the second Ctrl-C: at once
                status, self.cut_short = "interrupted", True
            finally:
                self.stop.set()
        return status

    def _first_checkpoint(self) -> float:
        """Seconds until the first checkpoint."""
        return max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * self.state_bytes() / CHECKPOINT_RATE)

    @property
    def done(self) -> bool:
        """All chips have done all steps and shown all rows."""
        return all(r.done and r.limit == self.rows.steps for r in self.runners)

    def _align(self, step: int) -> None:
        """Let every block go on to `step` and no further, so that all chips end at the same one."""
        self.stop.clear()
        for runner in self.runners:
            runner.limit = step

    def _drive(
        self,
        pool: ThreadPoolExecutor,
        merger: RowMerger,
        probes: ProbeMerger,
        on_tick: Callable[[int, Rows], Any],
        enough: Callable[[], bool],
    ) -> None:
        """Work on the block that is furthest behind until all are done, or until `enough` and all have paused."""
        ready = [(r.block.n, i) for i, r in enumerate(self.runners) if not r.done]
        heapq.heapify(ready)
        pending: dict[Future[tuple[list[Rows], list[Rows]]], tuple[int, int]] = {}
        while pending or (ready and not self.stop.is_set()):
            while ready and len(pending) <= self.threads and not self.stop.is_set():
                _, i = heapq.heappop(ready)
                pending[pool.submit(self.runners[i].work)] = (i, self.runners[i].row)
            finished, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in finished:
                i, row = pending.pop(future)
                taken, pieces = future.result()
                runner = self.runners[i]
                self.steps_done += (runner.block.n - runner.told) * runner.block.count
                runner.told = runner.block.n
                for offset, part in enumerate(taken):
                    merger.add(row + offset, i, part)
                for piece in pieces:
                    probes.add(i, piece)
                if not runner.done:
                    heapq.heappush(ready, (runner.block.n, i))
            on_tick(self.steps_done, merger.latest)
            if enough():
                self.stop.set()
