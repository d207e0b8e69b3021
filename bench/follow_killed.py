"""Readers follow a file while its writer is killed (SIGKILL) and gone on with: they see whole rows only, and no fault.

    python bench/follow_killed.py [--kills 20] [--seed 0]

Two readers, each a process, look at the file all the time: one by `analogmgd.Trace` and `refresh`, one by h5py alone,
`h5py.File(path, swmr=True)`, which opens the file anew where another one has taken its place, and now and then. At
every look each quantity has as many rows, steps rise, and every row has the bits of the undisturbed run. Writes
follow_killed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from common import machine, save
from disturbed import (
    CONTEXT,
    ENSEMBLE,
    OFTEN,
    Contents,
    contents,
    differences,
    done,
    inode,
    prepare,
    run_words,
    start,
    wrong_rows,
)

import analogmgd as am

LOOKS = 40  # of h5py, until it opens the file anew


class Wrong(Exception):
    """What no reader should see."""


def look(trace: am.Trace, whole: Contents) -> int:
    """One look by `Trace`; rows seen."""
    if wrong := wrong_rows(trace, whole):
        raise Wrong(f"{', '.join(wrong)} of {trace.rows} rows")
    if trace.status not in ("running", "interrupted", "complete"):
        raise Wrong(f"status {trace.status}")
    return trace.rows


def plain_look(file: h5py.File, whole: Contents) -> int:
    """One look by h5py: steps first, as the writer writes them last."""
    seen = 0
    for group in ("record", "probe"):
        steps = file[f"{group}/step"]
        steps.id.refresh()
        numbers = steps[:]
        rows = int(np.argmax(numbers < 0)) if (numbers < 0).any() else len(numbers)
        if not (np.diff(numbers[:rows]) > 0).all():
            raise Wrong(f"steps of {group} do not rise")
        for name, dataset in file[group].items():
            if name == "chip":
                continue
            dataset.id.refresh()
            if dataset[:rows].tobytes() != whole[f"{group}/{name}"][:rows].tobytes():
                raise Wrong(f"{group}/{name} of {rows} rows")
        seen = seen or rows
    return seen


def follow(how: str, whole_path: str, report: str) -> None:
    """Look until there is a file named stop; write what was seen."""
    whole, count = contents(whole_path), Counter[str]()
    file: Any = None
    rows = opened = 0
    faults: list[str] = []
    while not os.path.exists("stop") and len(faults) < 10:
        now = inode("k.h5")
        if now is None:
            time.sleep(0.002)
            continue
        try:
            if how == "Trace":
                file = am.Trace("k.h5") if file is None else file.refresh()
                seen = look(file, whole)
            else:
                if file is None or opened != now or count["looks"] % LOOKS == 0:
                    if file is not None:
                        file.close()
                    file, opened = h5py.File("k.h5", "r", swmr=True), now
                    count["files opened"] += 1
                seen = plain_look(file, whole)
        except Exception as error:
            faults.append(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
            file = None
            continue
        count["looks"] += 1
        count["looks that showed more rows"] += seen > rows
        count["looks that showed fewer, gone on with from a checkpoint"] += seen < rows
        rows = seen
        time.sleep(0.002)
    Path(report).write_text(json.dumps({**count, "faults": faults}))


def complete(path: str) -> bool:
    """Whether a run has come to its end."""
    with am.Trace(path) as trace:
        return trace.status == "complete"


def main() -> None:
    """Follow, kill, go on, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    words = run_words(ENSEMBLE, ENSEMBLE.steps)
    kills, runs, going = 0, 0, False
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        took = done([*words, "-o", "whole.h5"], OFTEN)
        whole = contents("whole.h5")
        ways = ("Trace", "h5py")
        readers = [CONTEXT.Process(target=follow, args=(how, "whole.h5", f"{how}.json"), daemon=True) for how in ways]
        for reader in readers:
            reader.start()
        while kills < options.kills or runs == 0:
            before = inode("k.h5")
            again = ["resume", "k.h5"] if going else [*words, "-o", "k.h5", "--force"]
            process = start(again, OFTEN, "log")
            while process.is_alive() and inode("k.h5") in (None, before):
                time.sleep(0.002)
            process.join(0.25 * took * random.random() if kills < options.kills else None)
            if process.is_alive():
                process.kill()
            process.join()
            if process.exitcode == -9 and not (inode("k.h5") not in (None, before) and complete("k.h5")):
                kills, going = kills + 1, inode("k.h5") not in (None, before) or going
            elif process.exitcode in (0, -9):  # done, or killed after it was
                if wrong := differences("k.h5", whole):
                    raise SystemExit(f"in the end, {', '.join(wrong)} are not those of the undisturbed run")
                runs, going = runs + 1, False
            else:
                raise SystemExit(f"exit code {process.exitcode}: {Path('log').read_text()}")
        Path("stop").touch()
        for reader in readers:
            reader.join()
            if reader.exitcode:
                raise SystemExit(f"a reader ended with {reader.exitcode}")
        seen = {how: json.loads(Path(f"{how}.json").read_text()) for how in ways}
    for how, what in seen.items():
        print(f"{how}: {what}")
    print(f"{kills} kills, {runs} runs to their end with the same bits")
    if any(what["faults"] for what in seen.values()):
        raise SystemExit("a reader met a fault")
    save("follow_killed", {"machine": machine(), "seed": options.seed, "kills": kills, "runs": runs, **seen})


if __name__ == "__main__":
    main()
