"""Opening trace files, finished or not, and telling whether whoever writes one is still there."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import Any

import h5py  # type: ignore[import-untyped]
import psutil  # type: ignore[import-untyped]

from analogmgd.errors import TraceError

OPEN_TRIES = 20  # a file changes between "being written" and "closed" while it is opened
DROPPED: set[str] = set()  # files that this process gave up without being able to close them


def one_line(error: BaseException) -> str:
    """What an HDF5 or system error says, without its pages of context."""
    text = " ".join(str(error).split())
    said = re.search(r"error message = '([^']*)'", text)
    if said:
        return said.group(1)
    if isinstance(error, OSError) and error.errno and error.strerror:
        return " ".join(error.strerror.split())[:200]
    inner = re.search(r"\((.*)\)$", text)
    return (inner.group(1) if inner else text)[:200] or type(error).__name__


def writer_identity() -> dict[str, Any]:
    """Who writes: host, process, and when it started (process ids are used again)."""
    process = psutil.Process()
    return {
        "writer_host": socket.gethostname(),
        "writer_pid": process.pid,
        "writer_started": process.create_time(),
    }


def writer_alive(attributes: dict[str, Any]) -> bool | None:
    """Whether the process that wrote the file still runs; None if that cannot be told from here."""
    try:
        if str(attributes["writer_host"]) != socket.gethostname():
            return None
        started = psutil.Process(int(attributes["writer_pid"])).create_time()
        return abs(started - float(attributes["writer_started"])) < 1.0
    except psutil.NoSuchProcess:
        return False
    except (KeyError, ValueError, TypeError, OverflowError, psutil.Error):
        return None


def open_file(path: str) -> tuple[h5py.File, bool]:
    """Open an HDF5 file for reading; True if it is (or was, when its writer died) being written.

    Raises:
        TraceError: one line: no such file, empty, not HDF5, truncated, ...
    """
    if not os.path.exists(path):
        raise TraceError(f"there is no trace {path!r}")
    if os.path.isdir(path):
        raise TraceError(f"the trace {path!r} is a directory")
    try:
        with open(path, "rb") as file:
            if not file.read(1):
                raise TraceError(f"the trace {path!r} is empty (0 bytes)")
        if not h5py.is_hdf5(path):
            raise TraceError(f"{path!r} is not a trace: it is not an HDF5 file, or its start is damaged")
        return try_open(path)
    except OSError as error:
        if isinstance(error, TraceError):
            raise
        text = one_line(error)
        if "already open" in text:
            text += "; is this process writing it? Then follow it from another one"
        raise TraceError(f"cannot open the trace {path!r}: {text}") from error


def try_open(path: str) -> tuple[h5py.File, bool]:
    """Open as closed, then as being written, and again: it can change from one to the other meanwhile."""
    trial = 0
    while True:
        try:
            return h5py.File(path, "r", locking=False), False
        except OSError as error:
            plain = error
        try:
            return h5py.File(path, "r", swmr=True, locking=False), True
        except OSError as error:
            trial += 1
            if trial == OPEN_TRIES or "already open" not in str(plain):
                raise plain from error
        time.sleep(0.002 * trial)
