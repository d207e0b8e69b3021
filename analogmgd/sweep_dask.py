"""Points of a sweep on the workers of a Dask cluster. This process alone writes the file of the sweep."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import pickle
import queue
import re
import signal
import time
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import Any

from .data import Dataset
from .datasets import MODULES
from .errors import ClusterError, ConfigError
from .sweep_point import Stopped, Target
from .sweep_pool import Make, Outcome, line
from .sweep_worker import Versions, run_point, same, versions

AHEAD = 3  # points in flight per thread of the cluster, so that no worker waits for the next one,
LEAST = 32  # and at least so many, for which a cluster that adapts starts workers
LOOK_SECONDS = 2.0  # between counts of the cluster's threads
CONNECT_SECONDS, CLOSE_SECONDS = 10.0, 10.0
SILENT = logging.CRITICAL + 1
ADDRESS = re.compile(r"((tcp|tls|ws|wss)://)?(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})/?")


def loaded() -> Any:
    """dask.distributed, or a line that says how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its own dependencies
            import distributed
    except ImportError as error:
        raise ConfigError('--scheduler and --workers need Dask: pip install "analogmgd[dask]"') from error
    return distributed


@contextmanager
def quiet() -> Iterator[None]:
    """Dask's loggers write nothing: what matters is said by this program, in a line."""
    changed: list[tuple[Any, int]] = [(logging.getLogger("asyncio"), logging.getLogger("asyncio").level)]
    for name in ("distributed", "tornado", "tornado.application"):
        changed += [(handler, handler.level) for handler in logging.getLogger(name).handlers]
    for one, _ in changed:
        one.setLevel(SILENT)
    try:
        yield
    finally:
        for one, level in changed:
            one.setLevel(level)


@contextmanager
def cluster(address: str) -> Iterator[Cluster]:
    """An existing cluster."""
    match = ADDRESS.fullmatch(address.strip())
    if not match or not 0 < int(match[4]) < 65536:
        raise ConfigError(f"--scheduler {address!r}: expected an address such as tcp://host:8786")
    distributed, address = loaded(), address.strip().rstrip("/")
    with quiet():
        try:
            with ThreadPoolExecutor(1) as thread:  # the caller's may have a loop of its own, as in a notebook
                kind = thread.submit(asyncio.run, who(address)).result()
        except Exception as error:
            raise ClusterError(f"cannot reach the scheduler {address}: {line(error)}") from None
        if kind != "Scheduler":
            raise ClusterError(f"{address} is a {kind} of Dask, no scheduler")
        with connected(distributed, address, f"the scheduler {address}") as pool:
            yield pool


async def who(address: str) -> str:
    """What of Dask is at an address. (Its client would wait for ever for an answer of something else.)"""
    from distributed.core import rpc
    from distributed.security import Security

    keys = Security().get_connection_args("client")
    async with rpc(address, timeout=CONNECT_SECONDS, connection_args=keys) as there:
        try:
            return str((await asyncio.wait_for(there.identity(), CONNECT_SECONDS + 1))["type"])
        except TimeoutError:
            raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} s") from None


@contextmanager
def local(workers: int, threads: int) -> Iterator[Cluster]:
    """A cluster of processes of this machine, with so many threads in all."""
    distributed = loaded()
    with quiet():
        try:
            with unnoticed_interrupts():
                made = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=max(1, threads // workers),
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its usual port may be taken
                    memory_limit=0,  # a run that does not fit is refused by itself, before it begins
                    silence_logs=SILENT,
                )
        except (OSError, RuntimeError, TimeoutError) as error:
            hint = ' (a script needs `if __name__ == "__main__":`)' if isinstance(error, RuntimeError) else ""
            raise ClusterError(f"cannot start {workers} workers: {line(error)}{hint}") from None
        try:
            with connected(distributed, made, "the local cluster") as pool:
                yield pool
        finally:
            with suppress(OSError, TimeoutError):
                made.close(timeout=CLOSE_SECONDS)


@contextmanager
def unnoticed_interrupts() -> Iterator[None]:
    """Processes started here, now or later, do not see Ctrl-C, which a terminal sends to all; this one sees it after.

    The threads that start them inherit what is blocked now, and so do they; but for the resource tracker of
    multiprocessing, whose start would unblock it, so it is started before.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def connected(distributed: Any, where: Any, name: str) -> Iterator[Cluster]:
    """A client of a cluster whose versions match ours."""
    client = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)  # we look ourselves
            client = distributed.Client(where, timeout=CONNECT_SECONDS, set_as_default=False)
        check_versions(client, name)
    except Exception as error:
        if client is not None:
            closed(client)
        if isinstance(error, ClusterError):
            raise
        raise ClusterError(f"cannot reach {name}: {line(error)}") from None
    try:
        yield Cluster(client, name, distributed)
    finally:
        closed(client)


def closed(client: Any) -> None:
    """Close a client, whatever has become of its cluster."""
    with suppress(Exception):
        client.close(timeout=CLOSE_SECONDS)


def check_versions(client: Any, name: str) -> None:
    """ClusterError where scheduler or workers do not do what this process would."""
    mine = client.get_versions()
    told = (mine["scheduler"] or {}).get("packages", {})
    if told.get("distributed") != mine["client"]["packages"]["distributed"]:
        here = mine["client"]["packages"]["distributed"]
        raise ClusterError(
            f"{name} has distributed {told.get('distributed')}, this program {here}: it must be the same"
        )
    for address, found in client.run(versions, on_error="return").items():
        check_worker(address, found)


def check_worker(address: str, found: Versions | BaseException) -> None:
    """ClusterError where a worker cannot do what this process would."""
    if isinstance(found, ImportError):
        raise ClusterError(f"the worker {address} does not have this package: {line(found)}")
    if isinstance(found, BaseException):
        raise ClusterError(f"the worker {address} fails: {line(found)}")
    for key, value in versions().items():
        if found.get(key) != value:
            raise ClusterError(
                f"the worker {address} has another version of {key}: {found.get(key)}, here {value}; "
                "results would have other bits"
            )


class Cluster:
    """A `Pool` on a Dask cluster.

    Dask runs a lost worker's points again, up to its own `allowed-failures`. A point that is given up then may only
    have been beside the one that kills workers: it is tried once more when nothing else runs.
    """

    def __init__(self, client: Any, name: str, distributed: Any) -> None:
        self.client, self.name, self._distributed = client, name, distributed
        self.chip_steps, self.note = 0, ""
        self._group = f"analogmgd-point-{uuid.uuid4().hex[:8]}"
        self._running: dict[Any, tuple[int, tuple[Any, ...]]] = {}  # future -> point, arguments of its task
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._failed: list[tuple[int, Outcome]] = []
        self._suspects: list[tuple[int, tuple[Any, ...]]] = []
        self._alone: set[int] = set()
        self._data: dict[int, tuple[Dataset, Any]] = {}
        self._stopped = False
        self._versions = versions()
        self._looked, self._threads = -LOOK_SECONDS, 0

    @property
    def threads(self) -> int:
        if time.monotonic() - self._looked >= LOOK_SECONDS and not self._stopped:
            with self._lost():
                self._threads = sum(self.client.nthreads().values())
            self._looked = time.monotonic()
            self.note = "" if self._threads else "no workers yet"
        return max(1, self._threads)

    @property
    def room(self) -> int:
        return max(LEAST, AHEAD * self.threads)

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """What Dask raises where the scheduler is gone, in a line."""
        try:
            yield
        except TimeoutError:
            raise
        except (OSError, RuntimeError, ValueError, CancelledError) as error:  # ValueError: the client is closed
            raise ClusterError(f"lost {self.name}: {line(error)}") from None

    def begin(self, n: int, make: Make, targets: tuple[Target, ...], threads: int) -> None:
        try:
            config, data = make()
        except Exception as error:
            self._failed.append((n, line(error)))
            return
        with self._lost():
            sent = self._sent(config.data["name"], data)
            self._submit(n, (config.to_toml(), sent, targets, threads, self._versions))

    def _submit(self, n: int, arguments: tuple[Any, ...]) -> None:
        key = (self._group, n, "alone" if n in self._alone else "")
        future = self.client.submit(run_point, *arguments, key=key, pure=False)
        self._running[future] = (n, arguments)
        future.add_done_callback(self._ended.put)

    def _sent(self, name: str, data: Dataset) -> Any:
        """None for data that is part of the package; else the task that holds it, made once for all points."""
        if name in MODULES and not MODULES[name].INFO.downloads:
            return None
        if id(data) not in self._data:
            import dask

            digest = hashlib.sha256(pickle.dumps(data)).hexdigest()[:32]
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
                future = self.client.submit(same, data, key=f"analogmgd-data-{digest}", pure=True)
            self._data[id(data)] = (data, future)
        return self._data[id(data)][1]

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        found, self._failed = self._failed, []
        if self._suspects and not self._running and not self._stopped:
            n, arguments = self._suspects.pop()
            self._alone.add(n)
            with self._lost():
                self._submit(n, arguments)
        with suppress(queue.Empty):
            while True:
                future = self._ended.get(timeout=0 if found or self._stopped else seconds)
                found += self._read(future)
        if not self._stopped and self.client.status != "running":
            raise ClusterError(f"lost {self.name}: the connection is closed")
        return found

    def _read(self, future: Any) -> list[tuple[int, Outcome]]:
        """What became of a task, or nothing where it has to be done again."""
        if future not in self._running:
            return []
        n, arguments = self._running[future]
        if future.status == "finished":
            try:
                with self._lost():
                    told = future.result(timeout=CONNECT_SECONDS)
            except TimeoutError:  # its worker went, and it is being done again
                future.add_done_callback(self._ended.put)
                return []
            del self._running[future]
            return [(n, self._kept(told))]
        del self._running[future]
        if self._stopped:
            return [(n, None)]
        if self.client.status != "running":  # all are cancelled then
            raise ClusterError(f"lost {self.name}: the connection is closed")
        error = future.exception() if future.status == "error" else None
        if isinstance(error, ImportError):
            raise ClusterError(f"a worker does not have this package: {line(error)}")
        killed = isinstance(error, self._distributed.KilledWorker)
        if n not in self._alone and (killed or error is None or isinstance(error, Stopped)):
            self._suspects.append((n, arguments))
            return []
        return [(n, "every worker that it was given to died" if killed or error is None else line(error))]

    def _kept(self, told: dict[str, Any]) -> Outcome:
        if "unfit" in told:
            check_worker("that joined", told["unfit"])
        found: Outcome = told["outcome"]
        if isinstance(found, dict):
            self.chip_steps += int(found["steps"].sum())
        return found

    def stop(self) -> None:
        self._stopped = True
        left = [future for future in self._running if future.status == "pending"]
        with suppress(Exception):
            self.client.cancel(left, force=True)
