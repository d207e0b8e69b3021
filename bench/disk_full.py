"""Disks that are full at random points of a run: one clear line, a file that is good up to the last block.

    python bench/disk_full.py [--trials 20] [--seed 0]

In a small file system in memory (tmpfs), which it mounts and so needs to be root for, a run is started, by `train` or
by `resume`, and at a random row the file system is shrunk to a random size that is not enough. The process must end
with exit code 1 and one line; the file must hold the rows that the line says, those of the undisturbed run; and once
there is room again, `resume` must come to the bits of the undisturbed run. The same with a limit to the size of files
(a quota's error), in directories that cannot be written, with a file system that vanishes (`umount -l`), and with a
drive that takes what it then cannot write (a loop device on a full file system): the process has to say so.
Writes disk_full.json. Exits with 2 where nothing can be mounted.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, save
from disturbed import (
    ENSEMBLE,
    OFTEN,
    Contents,
    contents,
    copy,
    differences,
    done,
    inode,
    parts_left,
    prepare,
    remove,
    run_words,
    start,
    wrong_rows,
)

import analogmgd as am

ROOM = 64 << 20  # bytes of the file system
KEPT = re.compile(r"analogmgd: error: cannot write the trace 'disk/k\.h5': (.+); its first (\d+) rows are kept\n")
AS_IT_WAS = re.compile(r"analogmgd: error: cannot go on with the trace 'disk/k\.h5': (.+); it is as it was\n")


def mount(*words: str) -> None:
    """`mount -t tmpfs` at disk/."""
    subprocess.run(["mount", "-t", "tmpfs", *words, "tmpfs", "disk"], check=True, capture_output=True)


def resize(size: int) -> bool:
    """Give the file system so many bytes; False if more are in use."""
    words = ["mount", "-o", f"remount,size={max(4096, size)}", "disk"]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


@contextmanager
def disk() -> Iterator[None]:
    """A file system at disk/."""
    os.mkdir("disk")
    try:
        mount("-o", f"size={ROOM}")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        why = getattr(error, "stderr", b"").decode().strip() or str(error)
        print(f"cannot mount a file system here (this needs root): {why}", file=sys.stderr)
        sys.exit(2)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", "disk"], check=False, capture_output=True)
        os.rmdir("disk")


def used() -> int:
    """Bytes in use."""
    info = os.statvfs("disk")
    return (info.f_blocks - info.f_bfree) * info.f_frsize


def until_row(process: Any, row: int, before: int | None) -> None:
    """Wait until a process has written so many rows."""
    while process.is_alive():
        if inode("disk/k.h5") not in (None, before):
            with am.Trace("disk/k.h5") as trace:
                if trace.rows >= row:
                    return
        time.sleep(0.005)


def fill(process: Any, random: np.random.Generator, size: int) -> None:
    """Leave the file system a little less than what the run needs."""
    while process.is_alive() and not resize(used() + int(random.random() * size) // 4096 * 4096):
        pass


def limit(process: Any, random: np.random.Generator, size: int) -> None:
    """Let no file of the process grow beyond what it has, and a little more."""
    most = os.path.getsize("disk/k.h5") + int(random.random() * size)
    with suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))


def ended(process: Any) -> tuple[int, str]:
    """Exit code and all that was said."""
    process.join()
    return process.exitcode, Path("log").read_text()


def check(whole: Contents, rows: int | None) -> None:
    """The file that a failed run left; rows it said it kept."""
    with am.Trace("disk/k.h5") as trace:
        if wrong := wrong_rows(trace, whole):
            raise SystemExit(f"{', '.join(wrong)} are not those of the undisturbed run")
        if rows is not None and trace.rows != rows:
            raise SystemExit(f"{rows} rows were said to be kept, there are {trace.rows}")
        if not trace.status_text.startswith("interrupted"):
            raise SystemExit(f"its status is {trace.status_text}")
    if left := [name for name in os.listdir("disk") if name != "k.h5"] + parts_left():
        raise SystemExit(f"left behind: {', '.join(left)}")


def failed(code: int, text: str, whole: Contents, old: bytes | None) -> str | None:
    """Check what a run that had no room said and left; how it failed, None if it came to its end."""
    if code == 0:
        return None
    kept, same = KEPT.fullmatch(text), AS_IT_WAS.fullmatch(text)
    if code != 1 or not (kept or same):
        raise SystemExit(f"exit code {code}: {text!r}")
    if same and old is not None and Path("disk/k.h5").read_bytes() != old:
        raise SystemExit("the file was said to be as it was, and is not")
    check(whole, int(kept[2]) if kept else None)
    return "at work" if kept else "while it took over"


def trial(number: int, words: list[str], whole: Contents, random: np.random.Generator, shrink: Any) -> Counter[str]:
    """A run that has no room once or twice, then goes on; empty if it came to its end all the same."""
    count: Counter[str] = Counter()
    size, rows = os.path.getsize("whole.h5"), len(whole["record/step"])
    remove("disk/k.h5")
    resize(ROOM)
    process = start([*words, "-o", "disk/k.h5"], OFTEN, "log")
    until_row(process, int(0.7 * rows * random.random()), None)
    shrink(process, random, size // 4)
    how = failed(*ended(process), whole, None)
    if how is None:
        return count
    count[f"train: {how}"] += 1
    resize(ROOM)
    before, old = inode("disk/k.h5"), Path("disk/k.h5").read_bytes()
    if number % 2:
        process = start(["resume", "disk/k.h5"], OFTEN, "log")
        part = f"disk/.k.h5.{process.pid}.part"
        while process.is_alive() and inode(part) is None and inode("disk/k.h5") == before:
            time.sleep(0.0005)
        if number % 4 == 3:
            until_row(process, 0, before)
        shrink(process, random, size // 8)
        how = failed(*ended(process), whole, old)
        if how:
            count[f"resume: {how}"] += 1
        resize(ROOM)
    if how:
        done(["resume", "disk/k.h5"], OFTEN)
    copy("disk/k.h5", "k.h5")
    if wrong := differences("k.h5", whole):
        raise SystemExit(f"in the end, {', '.join(wrong)} are not those of the undisturbed run")
    count["gone on with to the same bits"] += 1
    return count


def repeated(
    trials: int, words: list[str], whole: Contents, random: np.random.Generator, shrink: Any
) -> dict[str, int]:
    """So many trials that failed at least once."""
    count: Counter[str] = Counter()
    number = 0
    while number < trials:
        if found := trial(number, words, whole, random, shrink):
            number += 1
            count += found
    return dict(count)


def refused(whole: Contents) -> dict[str, str]:
    """What is said where nothing can be written, and where the file system vanishes."""
    said = {}
    words = run_words(ENSEMBLE, ENSEMBLE.steps)
    remove("disk/k.h5")
    resize(ROOM)
    process = start([*words, "-o", "disk/k.h5"], OFTEN, "log")
    until_row(process, 50, None)
    process.kill()
    process.join()
    subprocess.run(["mount", "-o", "remount,ro", "disk"], check=True)
    for name, command in (("train", [*words, "-o", "disk/new.h5"]), ("resume", ["resume", "disk/k.h5"])):
        code, text = ended(start(command, OFTEN, "log"))
        if code not in (1, 2) or text.count("\n") != 1:
            raise SystemExit(f"read-only: {name} ended with {code}: {text!r}")
        said[f"{name}, read-only"] = f"{code}: {text.strip()}"
    with am.Trace("disk/k.h5") as trace:
        if wrong := wrong_rows(trace, whole):
            raise SystemExit(f"read-only: {', '.join(wrong)} are not those of the undisturbed run")
    subprocess.run(["mount", "-o", "remount,rw", "disk"], check=True)
    before = inode("disk/k.h5")
    process = start(["resume", "disk/k.h5"], OFTEN, "log")
    until_row(process, 60, before)
    subprocess.run(["umount", "-l", "disk"], check=True)
    code, text = ended(process)
    if code != 1 or text.count("\n") != 1:
        raise SystemExit(f"vanished: exit code {code}: {text!r}")
    said["resume, vanished"] = f"{code}: {text.strip()}"
    return said


def dying() -> str:
    """What is said when the drive turns out not to have written what it took."""
    words = ["train", "digits", "--chips", "64", "--record", "cost,theta", "--record-every", "40", "--steps", "3000"]
    Path("drive").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", "drive"], check=True)
    try:
        with open("drive/image", "wb") as image:
            image.truncate(ROOM)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "drive/image"], check=True)
        subprocess.run(["mount", "-o", "loop", "drive/image", "disk"], check=True)
        code, text = ended(start([*words, "-o", "disk/k.h5"], OFTEN, "log"))
    except (OSError, subprocess.CalledProcessError) as error:  # no loop devices, or no mkfs
        return f"not tried: {error}"
    finally:
        for place in ("disk", "drive"):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
    if code != 1 or text.count("\n") != 1 or "what of it is on the drive" not in text:
        raise SystemExit(f"dying drive: exit code {code}: {text!r}")
    return f"{code}: {text.strip()}"


def main() -> None:
    """Fill, compare, save, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    words = run_words(ENSEMBLE, ENSEMBLE.steps)
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        with disk():
            done([*words, "-o", "whole.h5"], OFTEN)
            whole = contents("whole.h5")
            full = repeated(options.trials, words, whole, random, fill)
            print(f"disk full: {full}", flush=True)
            limited = repeated(max(1, options.trials // 4), words, whole, random, limit)
            print(f"limit to the size of a file: {limited}", flush=True)
            said = refused(whole)
            said["train, drive that does not write"] = dying()
            for what, text in said.items():
                print(f"{what}: {text}")
    result = {"disk full": full, "limit to the size of a file": limited, "said": said}
    save("disk_full", {"machine": machine(), "seed": options.seed, "trials": options.trials, **result})


if __name__ == "__main__":
    main()
