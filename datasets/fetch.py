"""Download of official files: resumed where it broke off, checked, and put in place in one go.

`pooch` and the like do not resume, so this stands on `urllib` alone.
"""

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from analogmgd.errors import FetchError

from .checks import short
from .info import Download, Info
from .places import VARIABLE

TIMEOUT = 30.0  # seconds without a byte
TRIES = 5  # in a row that brought something, before the user has to ask again
PAUSE = 1.0  # seconds between them
BLOCK = 2**16
Progress = Callable[[str, int, int], None]  # file, bytes so far, bytes in all


class Lost(Exception):
    """The connection was lost on the way."""


def fetch(info: Info, folder: Path, progress: Progress = lambda file, done, total: None) -> list[Path]:
    """The official files of a data set, in a folder; those that are there already are kept.

    Raises FetchError: no connection, no room, or a file that is not what it should be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            return [download(item, folder, progress) for item in info.downloads]
    except FetchError:
        raise
    except OSError as error:
        raise FetchError(f"{error.filename or folder}: {error.strerror or error}") from None


def download(item: Download, folder: Path, progress: Progress) -> Path:
    """One file. What has come so far is kept in NAME.part, and the next call goes on from there."""
    target, part = folder / item.file, folder / f"{item.file}.part"
    if target.is_file() and md5(target) == item.md5:
        return target
    missing = item.size - (part.stat().st_size if part.exists() else 0)
    if shutil.disk_usage(folder).free < missing:
        raise FetchError(f"{folder} has no room for {item.file}: {missing} bytes are to come")
    with part.open("ab") as stream:
        resumed = stream.tell() > 0
        receive(item, stream, part, progress)
        if resumed and md5(part) != item.md5:  # the start was of another file, perhaps
            stream.truncate(0)
            stream.seek(0)
            receive(item, stream, part, progress)
        os.fsync(stream.fileno())
        found = md5(part)
    if found != item.md5:
        part.unlink()
        raise FetchError(f"{item.url} gave another file: its MD5 is {found}, not {item.md5}; nothing is kept of it")
    part.replace(target)
    return target


def receive(item: Download, stream: IO[bytes], part: Path, progress: Progress) -> None:
    """All that is missing of a file, over as many connections as it takes within reason."""
    for attempt in range(1, TRIES + 1):
        before = stream.tell()
        try:
            read(item, stream, progress)
            stream.flush()
            return
        except Lost as error:
            stream.flush()
            if stream.tell() <= before or attempt == TRIES:
                kept = f"{stream.tell()} of {item.size} bytes are kept: the same command goes on from there"
                raise FetchError(f"{item.url}: {error}; {kept}") from None
        except FetchError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise FetchError(f"cannot download {item.url} ({reason(error)}); {by_hand(item, part)}") from None
        time.sleep(PAUSE)


def read(item: Download, stream: IO[bytes], progress: Progress) -> None:
    """One connection: from the end of the stream to the end of the file. Lost: it ended before."""
    start = stream.tell()
    headers = {"User-Agent": "analogmgd", "Accept-Encoding": "identity"}
    request = urllib.request.Request(item.url, headers=headers | ({"Range": f"bytes={start}-"} if start else {}))
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return  # there is no more: the checksum tells
        raise
    with answer:
        if start and not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
            start = 0  # it begins anew
            stream.truncate(0)
            stream.seek(0)
        left = answer.headers.get("Content-Length", "")
        total = start + int(left) if left.isdigit() else None
        done = start
        progress(item.file, done, total or item.size)
        try:
            while data := answer.read(BLOCK):
                stream.write(data)
                done += len(data)
                if done > 2 * item.size:
                    raise FetchError(f"{item.url} gives more than twice the {item.size} bytes it should")
                progress(item.file, done, total or item.size)
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise Lost(f"the connection was lost ({reason(error)})") from None
    if total is not None and done < total:
        raise Lost("the connection was lost")


def reason(error: Any) -> str:
    """Why a connection failed, in a few words."""
    cause = getattr(error, "reason", None) or error
    return short(getattr(cause, "strerror", None) or cause, 100) or type(error).__name__


def by_hand(item: Download, part: Path) -> str:
    """Where a file belongs that was got in another way."""
    return f"put {item.file} into {short(part.parent, 120)}, or into a folder named by --data-dir or {VARIABLE}"


def md5(path: Path) -> str:
    """MD5 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One download at a time into a folder, where the system has locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FetchError(f"{folder}: another process is downloading into it") from None
        yield
