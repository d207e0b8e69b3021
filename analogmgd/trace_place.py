"""The place of a file that is being written: whether it may be there, how it gets there, whether it still is."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil  # type: ignore[import-untyped]

from .errors import ConfigError, TraceError
from .trace_open import one_line, writer_alive
from .trace_reader import FileStore

THERE = "the trace {!r} exists: choose another path, or replace it with --force"


def check_target(path: str, force: bool) -> None:
    """Refuse a path at which no trace can be written; nothing is touched.

    Raises:
        ConfigError: it exists (and `force` is not set), is no regular file, is a file that another run is
            writing, or its directory is missing.
    """
    target = Path(path)
    try:
        if not target.parent.is_dir():
            raise ConfigError(f"cannot create the trace {path!r}: its directory does not exist")
        if not target.exists():
            return
        mode = target.stat().st_mode
    except OSError as error:
        raise ConfigError(f"cannot create the trace {path!r}: {one_line(error)}") from error
    if stat.S_ISDIR(mode):
        raise ConfigError(f"cannot create the trace {path!r}: it is a directory")
    if not stat.S_ISREG(mode):
        raise ConfigError(f"cannot create the trace {path!r}: it exists and is not a file")
    if not force:
        raise ConfigError(THERE.format(path))
    with contextlib.suppress(TraceError):
        store = FileStore(path)
        attributes = store.attributes()
        store.close()
        if attributes["status"] == "running" and writer_alive(attributes, path):
            raise ConfigError(f"the trace {path!r} is being written by process {attributes['writer_pid']}")


def locked(handle: int) -> bool:
    """Keep a file for this process until it closes the handle; False if another has it, or there are no locks here."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (ImportError, OSError):
        return False


@contextlib.contextmanager
def part_of(target: str) -> Iterator[BinaryIO]:
    """A new file, to be moved to a place in the same folder; removed if it was not.

    Those that processes left that were killed meanwhile are removed first: nobody holds their locks.
    """
    folder, name = os.path.split(target)
    for other in os.listdir(folder):
        found = re.fullmatch(re.escape(f".{name}.") + r"(\d+)\.part", other)
        if found and (int(found[1]) == os.getpid() or not psutil.pid_exists(int(found[1]))):
            with contextlib.suppress(OSError), open(os.path.join(folder, other), "r+b") as file:
                if locked(file.fileno()):
                    os.unlink(file.name)
    part = os.path.join(folder, f".{name}.{os.getpid()}.part")
    with open(part, "xb") as file:
        try:
            locked(file.fileno())
            yield file
        finally:
            with contextlib.suppress(OSError):
                os.unlink(part)


@contextlib.contextmanager
def alone_with(path: str) -> Iterator[None]:
    """Keep two processes from beginning or going on with a file at once, while each would find no writer at work.

    Raises:
        TraceError: another process is at it, or there can be no lock file beside it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks here
        yield
        return
    folder, name = os.path.split(os.path.realpath(path))
    lock = os.path.join(folder, f".{name}.resume")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise TraceError(f"the trace {path!r} cannot be locked: {one_line(error)}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TraceError(f"the trace {path!r} is just being begun or gone on with by another process") from None
        except OSError:  # a file system without locks
            pass
        if not os.path.exists(lock) or os.stat(lock).st_ino != os.fstat(handle).st_ino:  # its owner has just ended
            raise TraceError(f"the trace {path!r} is just being begun or gone on with by another process")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(lock)
    finally:
        os.close(handle)


def move_new(part: str, target: str) -> None:
    """Move a file to a place where none is, also if another process puts one there at this moment.

    Raises:
        FileExistsError: one is there.
    """
    try:
        os.link(part, target)  # which, unlike a move, never replaces
    except FileExistsError:
        raise
    except OSError as error:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError(target) from error
        os.replace(part, target)
        return
    os.unlink(part)


class UnsyncedError(OSError):
    """A drive that did not write what it had taken."""


def synced(handle: int) -> None:
    """Wait until the drive has all of a file: it may say only now that it could not write it."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # file systems that cannot be asked
            return
        raise UnsyncedError(error.errno, error.strerror) from error


def kept(path: str, error: BaseException) -> str:
    """What is left in a file that could not be written any more, by looking."""
    if isinstance(error, UnsyncedError):  # what is read now are the system's own copies
        return "what of it is on the drive `analogmgd info --check` tells, once the drive is well"
    try:
        store = FileStore(path)
        rows = store.rows
        store.close()
    except TraceError:
        return "what is left of it cannot be read"
    return f"its first {rows} rows are kept"


def astray(path: str, handle: int) -> str:
    """What is to be said where a file that was written is not at its path; it is saved if it has no other place.

    handle : of the file
    """
    try:
        if os.path.samestat(os.stat(path), os.fstat(handle)):
            return ""
        what = "was replaced by another file while it was written"
    except OSError:
        what = "is not there any more, where it was written to its end"
    if os.fstat(handle).st_nlink:
        return f"{what}; the file itself is whole, wherever it is now"
    try:
        with open(handle, "rb", closefd=False) as old, open(f"{path}.saved", "xb") as new:
            old.seek(0)
            shutil.copyfileobj(old, new)
        return f"{what}; it was saved as {new.name!r}"
    except OSError as error:
        return f"{what}, and could not be saved: {one_line(error)}"
