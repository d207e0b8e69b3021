"""Runs killed (SIGKILL) at random instants and gone on with: every file is readable, and no bit is another in the end.

    python bench/run_kills.py [--kills 100] [--takeovers 20] [--seed 0]

Runs of four kinds, on 1 and 2 threads by turns; half of the kills on runs with a checkpoint every 20 ms, half with the
interval that is usual; half of the runs begin with fewer steps than they get in the end. What goes on with a run is
killed too, up to `CHAIN` times; then the file must be that of the undisturbed run. After every kill the file is read,
and its rows compared. At last the moment is hit in which `resume` takes the rows over into a new file. Kills before
there is a file are counted apart. Writes run_kills.json. (Sweeps: sweep_kills.py.)
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
from common import machine, save
from disturbed import (
    KINDS,
    OFTEN,
    Contents,
    Kind,
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
)  # fmt: skip

import analogmgd as am

CHAIN = 6  # kills of one run
LONG = {True: 4.0, False: 15.0}  # seconds a run takes, about, with checkpoints often, and every 5 s as usual
EARLY = 0.2  # share of kills that come so soon that the file may not be there


def check(path: str, whole: Contents, end: int = -1) -> int | None:
    """Read what a killed process left; the step of the checkpoint, -1 if all was done, None if there is no file.

    end : steps of a run that is to be extended: the row there is its own
    """
    if inode(path) is None:
        return None
    with am.Trace(path) as trace:
        if trace.status_text != "interrupted (writer gone)" and trace.status != "complete":
            raise SystemExit(f"a killed run has status {trace.status_text}")
        own_end = trace.rows > 0 and int(trace.record.read("step", -1)) == end
        if wrong := wrong_rows(trace, whole, trace.rows - own_end):
            raise SystemExit(f"after a kill, {', '.join(wrong)} are not those of the undisturbed run")
        over = trace.status == "complete" and int(trace.record.read("step", -1)) == whole["record/step"][-1]
        step = -1 if over else trace.checkpoint().step
    with h5py.File(path, "r", swmr=True, locking=False) as file:
        steps = file["record/step"][:]
        if not (np.diff(steps[steps >= 0]) > 0).all():
            raise SystemExit("steps do not rise")
    return step


def ended(path: str, whole: Contents) -> None:
    """The file of a run that has come to its end."""
    if wrong := differences(path, whole):
        raise SystemExit(f"in the end, {', '.join(wrong)} are not those of the undisturbed run")
    if left := parts_left():
        raise SystemExit(f"left behind: {', '.join(left)}")


def kill(words: list[str], seconds: float | None, threads: int, within: float, random: np.random.Generator) -> bool:
    """Start, and kill at a random instant; whether it was still at work."""
    before = inode("k.h5")
    process = start(words, seconds, "log", threads)
    if random.random() < EARLY:
        within = 0.5
    else:
        while process.is_alive() and inode("k.h5") in (None, before):
            time.sleep(0.002)
    process.join(within * random.random())
    if process.is_alive():
        process.kill()
    process.join()
    if process.exitcode not in (0, -9):
        raise SystemExit(f"exit code {process.exitcode}: {Path('log').read_text()}")
    return process.exitcode != 0


def chains(kind: Kind, kills: int, often: bool, random: np.random.Generator) -> Counter[str]:
    """Kill runs of a kind so many times, and compare."""
    seconds = OFTEN if often else None
    pace = kind.steps / done([*run_words(kind, kind.steps), "-o", "whole.h5"], seconds)
    steps = max(kind.steps, int(LONG[often] * pace))
    words = run_words(kind, steps)
    took = done([*words, "-o", "whole.h5", "--force"], seconds)
    with am.Trace("whole.h5") as trace:
        assert trace.environment["kernels"] == kind.kernels
    whole = contents("whole.h5")
    count: Counter[str] = Counter()
    while count["kills"] < kills:
        remove("k.h5")
        in_chain, finished = 0, False
        first = int(steps * random.uniform(0.2, 0.9)) if random.random() < 0.5 else steps
        count["of the runs begun with fewer steps"] += first < steps
        while in_chain < CHAIN and count["kills"] < kills and not finished:
            resumed = inode("k.h5") is not None
            whole_words = ["resume", "k.h5", "--steps", str(steps)]
            again = whole_words if resumed else [*words, "--steps", str(first), "-o", "k.h5"]
            finished = not kill(again, seconds, 1 + count["starts"] % 2, (0.4 if often else 0.9) * took, random)
            count["starts"] += 1
            step = check("k.h5", whole, first if first < steps else -1)
            if step == -1:
                if not finished:  # before it had closed the file
                    count["killed after its end"] += 1
                    am.release("k.h5")
                finished = True
                continue
            if finished:  # with the fewer steps it began with
                finished = False
                count["extended when complete"] += 1
                continue
            if step is None:
                count["killed before the file was there"] += 1
                continue
            in_chain += 1
            count["kills"] += 1
            count["of them of resume"] += resumed
            count["of them with a checkpoint"] += step > 0
            count["readable, with the right rows"] += 1
        if not finished:
            done(["resume", "k.h5", "--steps", str(steps)], seconds, 1 + count["starts"] % 2)
        ended("k.h5", whole)
        count["runs with the same bits in the end"] += 1
    count["resumes"] = count["kills"]  # each was gone on with
    return count


def takeovers(kills: int, random: np.random.Generator) -> Counter[str]:
    """Kill `resume` while it copies the rows of a large file, or puts the copy in its place."""
    words = ["train", "digits", "--network", "64-64-10", "--chips", "32", "--record", "cost,theta", "--record-every",
             "10", "--steps", "3000", "--set", "run.eval_samples=20"]  # fmt: skip
    done([*words, "-o", "whole.h5"], OFTEN)
    whole = contents("whole.h5")
    while True:  # one that was killed near its end
        remove("base.h5")
        process = start([*words, "-o", "base.h5"], OFTEN)
        while process.is_alive():
            time.sleep(0.005)
            if inode("base.h5"):
                with am.Trace("base.h5") as trace:
                    if trace.rows > 0.6 * len(whole["record/step"]):
                        process.kill()
        process.join()
        if (check("base.h5", whole) or 0) > 0 and process.exitcode == -9:
            break
    count: Counter[str] = Counter()
    took = 0.0
    while count["kills"] < kills:
        copy("base.h5", "k.h5")
        before = inode("k.h5")
        process = start(["resume", "k.h5"], OFTEN, "log", 1 + count["kills"] % 2)
        part = f".k.h5.{process.pid}.part"
        while process.is_alive() and inode(part) is None and inode("k.h5") == before:
            time.sleep(0.0005)
        begun = time.perf_counter()
        limit = begun + took * random.random() if took else np.inf
        while process.is_alive() and inode(part) is not None and time.perf_counter() < limit:
            time.sleep(0.0005)
        at_work = inode("k.h5") == before
        if not took:  # the first one only shows how long it takes
            took = 1.1 * (time.perf_counter() - begun)
            process.kill()
            process.join()
            continue
        process.kill()
        process.join()
        if check("k.h5", whole) == -1:
            continue
        count["kills"] += 1
        count["before the new file was in its place" if at_work else "just after"] += 1
        if count["kills"] % 5 == 0 or count["kills"] == kills:
            done(["resume", "k.h5"], OFTEN)
            ended("k.h5", whole)
            count["runs with the same bits in the end"] += 1
    print(f"take-over of {Path('base.h5').stat().st_size / 1e6:.0f} MB in {took / 1.1:.2f} s: {dict(count)}")
    return count


def main() -> None:
    """Kill, compare, save, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--takeovers", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    found: dict[str, dict[str, int]] = {}
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        cases = [(kind, often) for often in (True, False) for kind in KINDS]
        for place, (kind, often) in enumerate(cases):
            kills = options.kills * (place + 1) // len(cases) - options.kills * place // len(cases)
            count = chains(KINDS[kind], kills, often, random)
            label = f"{kind}, a checkpoint every {OFTEN * 1000:.0f} ms" if often else f"{kind}, usual interval"
            print(f"{label}: {dict(count)}", flush=True)
            found[label] = dict(count)
            total += count
            remove("k.h5", "whole.h5")
        found["take-over"] = dict(takeovers(options.takeovers, random)) if options.takeovers else {}
    print(f"in all: {dict(total)}")
    save("run_kills", {"machine": machine(), "seed": options.seed, "in all": dict(total), **found})


if __name__ == "__main__":
    main()
