"""A progress bar on standard error: rate, cost, accuracy over the chips, emulated time, time left.

On a terminal it is a bar that is drawn over; elsewhere (a log file, a pipe) a line now and then.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .cli.output import duration, si

if TYPE_CHECKING:
    from .merge import Rows
    from .plan import Plan

REDRAW_SECONDS = 0.1
FIRST_LINE_SECONDS, LINE_SECONDS = 5.0, 30.0  # without a terminal: until the first line, between lines
RATE_SECONDS = 3.0  # the rate is that of the last seconds,
SETTLE_SECONDS = 0.3  # and not known before
BAR_WIDTH = 10  # of the bar alone, at least
COMPILING = "compiling kernels (first run only) ..."


class Forgiving:
    """A stream that may fail: what cannot be shown is no reason to stop a run."""

    def __init__(self, file: IO[str]) -> None:
        self._stream = file

    def write(self, text: str) -> int:
        """Write, or do nothing where that fails."""
        try:
            return self._stream.write(text)
        except OSError:
            return 0

    def flush(self) -> None:
        """Flush, or do nothing where that fails."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Bar:
    """Watches a run; see `analogmgd.train.Progress`.

    file : text stream to write to, by default standard error
    title : lines to write before anything else
    compiled : whether kernels had to be compiled (attribute)

    >>> import io
    >>> from analogmgd import MGD, Network, train
    >>> bar = Bar(io.StringIO())
    >>> run = train(Network.mlp([2, 2, 1]), "parity", MGD(), steps=100, chips=8, progress=bar)
    """

    def __init__(self, file: IO[str] | None = None, title: str = "") -> None:
        self._file: Any = Forgiving(sys.stderr if file is None else file)
        self._title = title
        self._tty = bool(getattr(self._file, "isatty", lambda: False)())
        self._bar: Any = None
        self._plan: Plan | None = None
        self._listener: Any = None
        self._compiling = 0
        self.compiled = False
        self._lock = threading.RLock()

    def prepare(self) -> None:
        """Say so when kernels are compiled, from now on; `start` does this too, but some are compiled before it."""
        if self._listener is not None:
            return
        from numba.core import event

        bar = self

        class Listener(event.Listener):  # type: ignore[misc]
            def on_start(self, event: Any) -> None:
                bar._compile(1)

            def on_end(self, event: Any) -> None:
                bar._compile(-1)

        self._listener = Listener()
        event.register("numba:compile", self._listener)

    def needs(self, memory: int, disk: int) -> None:
        """What the run will take, bytes."""
        writes = f", writes about {si(disk, 'B')}" if disk else ""
        self._write(f"needs about {si(memory, 'B')} of memory{writes}")

    def start(self, plan: Plan) -> None:
        """The run is about to begin."""
        self.prepare()
        self._plan = plan
        self._chips = len(plan.ids)
        self._total = self._chips * plan.run.steps
        self._began = time.monotonic()
        self._due = self._began if self._tty else self._began + FIRST_LINE_SECONDS
        self._gap = FIRST_LINE_SECONDS
        self._history = deque([(self._began, 0)])
        self._first: int | None = None  # chip-steps at the first tick
        self._write()
        if self._tty:
            from tqdm import tqdm

            tqdm.monitor_interval = 0  # its thread, which would redraw a bar that stands still, is not needed
            with self._lock:
                self._bar = tqdm(
                    total=self._total, file=self._file, leave=False, ncols=self._columns(), mininterval=0,
                    bar_format="{percentage:3.0f}%|{bar}| {desc}", desc="starting",
                )  # fmt: skip

    def tick(self, chip_steps: int, row: Rows) -> None:
        """So many chip-steps are done; row is the latest recorded one, or empty."""
        now = time.monotonic()
        if self._plan is None:
            return
        if self._first is None:  # a run that is gone on with does not begin at 0
            self._first = chip_steps
            self._history = deque([(now, chip_steps)])
        if now < self._due:
            return
        self._due = now + REDRAW_SECONDS
        if chip_steps > self._first == self._history[-1][1]:
            self._history = deque([(self._history[-1][0], self._first)])  # the time before was for compiling
        self._history.append((now, chip_steps))
        while len(self._history) > 2 and now - self._history[1][0] > RATE_SECONDS:
            self._history.popleft()
        if self._tty:
            self._draw(chip_steps, row, now)
        elif self._rate():
            self._due = now + self._gap
            self._gap = min(1.5 * self._gap, LINE_SECONDS)
            share = 100 * chip_steps / self._total
            self._write(f"{share:3.0f} %  {', '.join(self._parts(chip_steps, row))}")

    def stop(self) -> None:
        """The run has ended; may be called more than once."""
        if self._listener is not None:
            from numba.core import event

            event.unregister("numba:compile", self._listener)
            self._listener = None
        with self._lock:
            if self._bar is not None:
                self._bar.close()
                self._bar = None
        self._plan = None

    def _compile(self, change: int) -> None:
        """A compilation has begun or ended; called in whatever thread compiles."""
        with self._lock:
            self._compiling += change
            if self._compiling and not self.compiled:
                self.compiled = True
                self._write(COMPILING)

    def _write(self, *lines: str) -> None:
        """The title, the first time, and lines of their own above the bar."""
        with self._lock:
            if self._bar is not None:
                self._bar.clear()
            title, self._title = [self._title] if self._title else [], ""
            for line in [*title, *lines]:
                print(line, file=self._file, flush=True)
            if self._bar is not None:
                self._bar.refresh()

    def _draw(self, chip_steps: int, row: Rows, now: float) -> None:
        columns = self._columns()
        if chip_steps > (self._first or 0):
            text = ", ".join(self._parts(chip_steps, row))
            if len(text) + BAR_WIDTH + 8 > columns:
                text = "  ".join(self._parts(chip_steps, row, brief=True))
        else:
            text = f"{'compiling' if self._compiling else 'starting'}, {now - self._began:.0f} s"
        with self._lock:
            if self._bar is not None:
                self._bar.n, self._bar.ncols = chip_steps, columns
                self._bar.set_description_str(text)

    def _columns(self) -> int:
        try:
            return (os.get_terminal_size(self._file.fileno()).columns or 80) - 1
        except (OSError, ValueError, AttributeError):
            return 79

    def _rate(self) -> float:
        """Chip-steps a second of late, 0 where that is not known yet."""
        (t0, n0), (t1, n1) = self._history[0], self._history[-1]
        return (n1 - n0) / (t1 - t0) if t1 - t0 > SETTLE_SECONDS else 0.0

    def _parts(self, chip_steps: int, row: Rows, brief: bool = False) -> list[str]:
        """What there is to say, in full or in words that leave room for a bar in 80 columns."""
        assert self._plan is not None
        rate, parts = self._rate(), []
        if rate > 0:
            parts.append(f"{si(rate).replace(' ', '')}/s" if brief else si(rate, " chip-steps/s"))
        cost, accuracy = (quartiles(row.get(name)) for name in ("cost", "accuracy"))
        if cost:
            parts.append(f"cost {cost[1]:{'.2g' if brief else '.3g'}}")
        if accuracy:
            low, middle, high = (f"{100 * q:.3g}" for q in accuracy)
            comma = " " if brief else ", "
            values = f"{middle} [{low}{comma}{high}] %" if self._chips > 1 else f"{middle} %"
            parts.append(f"{'acc' if brief else 'accuracy'} {values}")
        hardware = si(self._plan.seconds(chip_steps // self._chips), "s")
        parts.append(f"hw {hardware}" if brief else f"hardware time {hardware}")
        if rate > 0:
            parts.append(f"{duration(round((self._total - chip_steps) / rate))} left")
        return parts


def quartiles(values: np.ndarray | None) -> list[float] | None:
    """Lower quartile, median, upper quartile of the finite values, or None."""
    if values is None:
        return None
    finite = values[np.isfinite(values)]
    return [float(q) for q in np.quantile(finite, [0.25, 0.5, 0.75])] if len(finite) else None
