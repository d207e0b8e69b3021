"""Where the points of a sweep run: the interface, and threads of this process. A Dask cluster is in `sweep_dask`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Protocol

from .config import Config
from .data import Dataset
from .engine import thread_count
from .errors import ConfigError
from .sweep_point import Stopped, Target, measured

Outcome = dict[str, Any] | str | None  # arrays of a point; or why it failed; or nothing, as it was stopped
Make = Callable[[], tuple[Config, Dataset]]
MOST_WORKERS = 1024


class Pool(Protocol):
    """Runs points. One sweep uses it, from one thread.

    threads : of all of it, now
    room : points it wants to have at a time, now
    chip_steps : done since it was made
    note : what it waits for, in a few words
    """

    chip_steps: int
    note: str

    @property
    def threads(self) -> int: ...

    @property
    def room(self) -> int: ...

    def begin(self, n: int, make: Make, targets: tuple[Target, ...], threads: int) -> None:
        """Start point n, on so many threads or fewer."""

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Points that have ended since the last call; waits so long for the first."""

    def stop(self) -> None:
        """End what runs, and wait for that; what had finished can still be asked for."""


@contextmanager
def pool_of(threads: int | None = None, scheduler: str | None = None, workers: int | None = None) -> Iterator[Pool]:
    """Threads of this process, or an existing Dask cluster, or a local one of so many processes.

    Raises ConfigError where the arguments exclude each other, ClusterError where no cluster can be had.
    """
    if scheduler is None and workers is None:
        yield Threads(thread_count(threads))
        return
    if scheduler is not None and workers is not None:
        raise ConfigError("--scheduler and --workers exclude each other: an existing cluster, or a local one")
    if scheduler is not None and threads is not None:
        raise ConfigError("--scheduler and --threads exclude each other: the workers have their own threads")
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise ConfigError(f"--workers {workers}: must be a whole number from 1 to {MOST_WORKERS}")
    from .sweep_dask import cluster, local

    with cluster(scheduler) if scheduler is not None else local(workers or 1, thread_count(threads)) as pool:
        yield pool


def outcome(make: Make, targets: tuple[Target, ...], threads: int, tick: Callable[[int], None]) -> Outcome:
    """Run a point; what it raises becomes a line, so that it stops nothing else. Only `Stopped` goes on."""
    try:
        return measured(*make(), targets, threads, tick)
    except Stopped:
        raise
    except Exception as error:
        return line(error)


def line(error: BaseException) -> str:
    """An error in one line, with its kind where it is none of ours."""
    from .errors import AnalogMGDError

    text = " ".join(str(error).split())
    kind = type(error).__name__
    return text if text and isinstance(error, AnalogMGDError | OSError) else f"{kind}: {text}".removesuffix(": ")


class Threads:
    """Threads of this process, a point each."""

    def __init__(self, threads: int) -> None:
        self.threads = self.room = threads
        self.chip_steps, self.note = 0, ""
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._pool = ThreadPoolExecutor(threads, "analogmgd-point")
        self._running: dict[Future[Outcome], int] = {}

    def begin(self, n: int, make: Make, targets: tuple[Target, ...], threads: int) -> None:
        self._running[self._pool.submit(outcome, make, targets, threads, self._count)] = n

    def _count(self, chip_steps: int) -> None:
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            self.chip_steps += chip_steps

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        done, _ = wait(self._running, timeout=seconds, return_when=FIRST_COMPLETED)
        return [(self._running.pop(future), self._outcome(future)) for future in done]

    @staticmethod
    def _outcome(future: Future[Outcome]) -> Outcome:
        try:
            return future.result()
        except Stopped:
            return None

    def stop(self) -> None:
        self._stop.set()
        self._pool.shutdown()
