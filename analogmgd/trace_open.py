"""Opening trace files, finished or not, and telling whether whoever writes one is still there."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
import time
from typing import Any

import h5py  # type: ignore[import-untyped]
import psutil  # type: ignore[import-untyped]

from analogmgd.errors import TraceError
from analogmgd.trace_superblock import Unflagged, superblock

OPEN_TRIES = 8  # a file changes between "being written" and "closed" while it is opened
# what h5py, NumPy and json raise over a damaged file
FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, IndexError, MemoryError)
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


def writer_identity(inode: int) -> dict[str, Any]:
    """Who writes: host, process, when it started (process ids are used again), and the file (no copy)."""
    process = psutil.Process()
    return {
        "writer_host": socket.gethostname(),
        "writer_pid": process.pid,
        "writer_started": process.create_time(),
        "writer_inode": str(inode),
    }


def writer_alive(attributes: dict[str, Any], path: str) -> bool | None:
    """Whether the process that wrote this very file still does; None if that cannot be told from here."""
    try:
        if os.path.realpath(path) in DROPPED or attributes["writer_inode"] != str(os.stat(path).st_ino):
            return False
        if attributes["writer_host"] != socket.gethostname():
            return None
        process = psutil.Process(int(attributes["writer_pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:  # dead, only its parent has not asked for it yet
            return False
        return abs(process.create_time() - float(attributes["writer_started"])) < 1.0
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except (KeyError, ValueError, TypeError, OverflowError, psutil.Error):
        return None


def drop_file(file: h5py.File) -> None:
    """Close a file that cannot be written any more, without touching what is on the disk.

    HDF5 keeps what it could not write and crashes the process at exit if it never can; so it is given
    somewhere else to write to.
    """
    with contextlib.suppress(Exception):
        handle = file.id.get_vfd_handle()
        memory = hasattr(os, "memfd_create")
        sink = os.memfd_create("analogmgd") if memory else tempfile.mkstemp(prefix="analogmgd-")[0]
        os.dup2(sink, handle)
        os.close(sink)
    with contextlib.suppress(Exception):
        file.close()


class OpenFile:
    """An HDF5 file opened for reading, whatever state it is in.

    Attributes:
        file: the h5py file.
        flagged: it says that it is being written.

    Raises:
        TraceError: one line: no such file, empty, not HDF5, truncated, ...
    """

    def __init__(self, path: str, swmr: bool = False) -> None:
        self.path = path
        self._view: Unflagged | None = None
        if not os.path.exists(path):
            raise TraceError(f"there is no trace {path!r}")
        if os.path.isdir(path):
            raise TraceError(f"the trace {path!r} is a directory")
        try:
            if not os.path.getsize(path):
                raise TraceError(f"the trace {path!r} is empty (0 bytes)")
            if not h5py.is_hdf5(path):
                raise TraceError(f"{path!r} is not a trace: it is not an HDF5 file, or its start is damaged")
            self._open(swmr)
        except OSError as error:
            if isinstance(error, TraceError):
                raise
            text = one_line(error)
            cut = re.search(r"truncated file: eof = (\d+),.*stored_eof = (\d+)", text)
            if cut:
                text = f"it is truncated: {cut[1]} of {cut[2]} bytes are there"
            raise TraceError(f"cannot open the trace {path!r}: {text}") from error

    def _open(self, swmr: bool) -> None:
        for trial in range(OPEN_TRIES):
            block = superblock(self.path)
            self.flagged = block is not None and block.writing
            try:
                if block is None or not self.flagged:
                    self.file = h5py.File(self.path, "r", locking=False)
                elif swmr:
                    self.file = h5py.File(self.path, "r", swmr=True, locking=False)
                else:
                    self._view = Unflagged(self.path, block)
                    self.file = h5py.File(self._view, "r")
                return
            except OSError as error:
                self.close()
                if block and re.search("not the same|don't match", str(error)):
                    # this process has it open in another way, which HDF5 does not allow
                    self._view = Unflagged(self.path, block)
                    self.file = h5py.File(self._view, "r")
                    return
                if superblock(self.path) == block or trial == OPEN_TRIES - 1:
                    raise
            time.sleep(0.002 * trial)  # its writer has closed it or opened it meanwhile

    @property
    def size(self) -> int:
        """Bytes of the file that was opened; another may have taken its place."""
        return os.fstat(self.file.id.get_vfd_handle() if self._view is None else self._view.fileno()).st_size

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.file.close()
        if self._view is not None:
            self._view.close()
