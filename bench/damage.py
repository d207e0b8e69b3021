"""Damaged traces and sweeps, and what every command makes of them: a clear error, what is right, or worse.

    python bench/damage.py [--count 2000] [--seed 0] [--plots 10] [--out bench/results]

Makes five small traces (finished, with probes and parameters; on pulsed devices that drift; interrupted; killed;
diverged) and a sweep, and damages copies of them: bits, runs of zeros and of random bytes, truncation, and through
h5py values, types, shapes, links and sizes. Each copy goes through info, info --check, export, plot (every so manieth),
resume (of a sweep: sweep) and repair (with its outcome through info --check, export and resume), in a process with a
limit of memory, of which a new one is forked when it dies. Kinds of outcomes, of each command:

    error       one line, exit code 1 or 2         right     what the undamaged file gives
    fewer       what it gives, without some rows   WRONG     anything else; of info and plot: and info --check
    reported    anything else, and info --check              found nothing
                reports the file                   TRACEBACK, CRASH, HANG (a minute), MEMORY

Writes damage.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import RESULTS, machine, save
from damages import END, RUNS, SETTINGS, STEPS, SWEEP, SWEPT, Stop, damage

import analogmgd as am
from analogmgd import engine
from analogmgd.cli.group import cli

SECONDS, BYTES = 60, 1 << 30  # of a command at most; of memory beyond what the process has
BAD = ("WRONG", "TRACEBACK", "CRASH", "HANG", "MEMORY")
COMMANDS = ("info", "check", "export", "plot", "resume", "repair")


def made(folder: Path, name: str, steps: int) -> dict[str, Any]:
    """A trace at folder/name.h5, and what there is to compare with: its rows, and the run of END steps in one piece."""
    path = folder / f"{name}.h5"
    if name == SWEEP:
        code, out, err = called(*SWEPT, "-o", str(path))
        assert code == 0, out + err
        return compared(path, folder, None)
    chip, rule, more, number = RUNS[name]
    settings = {**SETTINGS, **more}
    whole = am.train(chip, "parity", rule, steps=END, **settings)
    process = os.fork()
    if not process:
        engine.CHECKPOINT_SECONDS, engine.CHECKPOINT_SHARE = 0.0, 0
        engine.CHUNK_SECONDS = 0.0
        stop = Stop(number, 3 * STEPS // 2) if number else False
        steps = END if number else steps
        with contextlib.suppress(BaseException):
            am.train(chip, "parity", rule, steps=steps, trace=path, progress=stop, threads=1, **settings).close()
        os._exit(0)
    os.waitpid(process, 0)
    with am.Trace(path) as trace:
        print(f"{name}: {trace.status_text}, {trace.rows} rows, checkpoint {trace.checkpoint().step}", file=sys.stderr)
    return compared(path, folder, whole)


def compared(path: Path, folder: Path, whole: Any) -> dict[str, Any]:
    """What commands make of an undamaged file."""
    name = path.stem
    found = {"whole": whole, "exported": run("export", path, folder / f"{name}-x")[3]}
    found["info"] = run("info", path, folder)[1]
    run("plot", path, folder / f"{name}-p")
    found["plot"] = (folder / f"{name}-p" / "p.png").read_bytes()
    return found


def called(*words: str) -> tuple[int, str, str]:
    """A command in this process: exit code, standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        try:
            cli.main(list(words))
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue(), err.getvalue()


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """What an export holds."""
    made = [path for path in folder.glob("*.npz") if path.stem in ("trace", "sweep")]
    if not made:
        return {}
    with np.load(made[0], allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def run(command: str, path: Path, folder: Path, sweep: bool = False) -> tuple[int, str, str, Any]:
    """Exit code, output, error, and what was made."""
    shutil.rmtree(folder, ignore_errors=True) if command in ("export", "plot") else None
    if command == "plot":
        folder.mkdir()
    new = path.with_suffix(".new")
    words = {
        "info": ["info", str(path)], "check": ["info", "--check", str(path)],
        "export": ["export", str(path), "--format", "npz", "-o", str(folder)],
        "plot": ["plot", str(path), "-o", str(folder / "p.png")],
        "resume": ["resume", str(path), "--steps", str(END), "--threads", "1", "--quiet"],
        "repair": ["repair", str(path), "-o", str(new), "--force"],
    }[command]  # fmt: skip
    if command == "resume":  # which replaces it
        shutil.copy(path, new)
        words[1] = str(new)
        if sweep:
            words = [*SWEPT, "-o", str(new)]
    code, out, err = called(*words)
    if command == "export":
        return code, out, err, arrays(folder)
    return code, re.sub(rf"{re.escape(str(path))} \(.*\)", "FILE", out), err, new  # and its size


def same_rows(new: dict[str, np.ndarray], old: dict[str, np.ndarray]) -> str:
    """Whether arrays by path are those of the undamaged file ("right"), or those without some rows ("fewer")."""
    verdict = "right"
    if "final/theta" in old and "final/theta" not in new:  # nor is it known then which chips diverged
        new = {name: array for name, array in new.items() if name != "final/diverged_step"}
    for name in new.keys() | old.keys():
        if name not in new or name not in old:
            verdict = "fewer" if name in old and name != "record/step" else "other"
        elif name.startswith(("record/", "probe/")) and name != "probe/chip":
            group = name.split("/")[0]
            where = np.isin(old[f"{group}/step"], new[f"{group}/step"])
            if len(new[name]) != where.sum() or not equal(new[name], old[name][where]):
                return "other"
            verdict = "fewer" if not where.all() and verdict == "right" else verdict
        elif not equal(new[name], old[name]):
            return "other"
        if verdict == "other":
            return verdict
    return verdict


def equal(a: np.ndarray, b: np.ndarray) -> bool:
    """To the bit."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def gone_on(path: Path, whole: Any) -> str:
    """Whether a run that was gone on with is the one in one piece."""
    with am.Trace(path) as more:
        where = np.isin(more.step, whole.step)
        back = np.isin(whole.step, more.step)
        rows = all(equal(more.record[n][where], whole.record[n][back]) for n in whole.record if n in more.record)
        return "right" if rows and equal(more.theta, whole.theta) and am.check_trace(path).whole else "other"


def swept_again(path: Path, folder: Path, good: dict[str, Any], whole: bool) -> str:
    """Whether a sweep that was repaired (then it has to be whole) or gone on with is in the end the undamaged one."""
    if whole and not am.check_trace(path).whole:
        return f"other {am.check_trace(path).problems[:2]}"
    _, out, _ = called("info", str(path))
    code, _, err = called(*SWEPT, "-o", str(path))
    if code:
        return f"other {err[:200]}"
    found = same_rows(run("export", path, folder)[3], good["exported"])
    return "fewer" if found == "right" and out != good["info"] else found


def verdict(command: str, path: Path, folder: Path, good: dict[str, Any]) -> str:
    """What a command makes of a damaged file."""
    sweep = good["whole"] is None
    code, out, err, new = run(command, path, folder, sweep)
    lines = [line for line in err.splitlines() if "warning" not in line]
    if "Traceback" in out + err or "a bug" in err:
        return f"TRACEBACK {lines[-1][:300] if lines else ''}"
    if "out of memory" in err:
        return "MEMORY"
    if command == "check":
        return "reported" if code == 1 and out.strip() else "right" if code == 0 else "error"
    if code:
        return "error" if len(lines) == 1 and lines[0].startswith("analogmgd: error: ") else f"TRACEBACK {err[:300]}"
    if command == "export":
        return same_rows(new, good["exported"])
    if sweep and command in ("resume", "repair"):
        return swept_again(new, folder, good, whole=command == "repair")
    if command == "resume":
        return gone_on(new, good["whole"])
    if command == "repair":
        if not am.check_trace(new).whole:
            return f"other {am.check_trace(new).problems[:2]}"
        code, _, err, kept = run("export", new, folder)
        if code:
            return f"other {err[:200]}"
        found = same_rows(kept, good["exported"])
        if found != "other":
            code, _, err = called("resume", str(new), "--steps", str(END), "--threads", "1", "--quiet")
            found = f"other {err[:200]}" if code and "analogmgd: error" not in err else found
            found = gone_on(new, good["whole"]) if not code and gone_on(new, good["whole"]) != "right" else found
        return found
    same = out == good["info"] if command == "info" else (folder / "p.png").read_bytes() == good["plot"]
    return "right" if same else "other"


def worker(folder: Path, goods: dict[str, Any], tasks: list[tuple[int, str]], options: Any, pipe: int) -> None:
    """Do tasks, saying so before and after each."""
    used = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    last = -1
    for number, command in tasks:
        path = folder / f"{number}.h5"  # each its own: HDF5 knows files by what they are, not by their names
        if number != last:
            for old in folder.glob("[0-9]*"):
                old.unlink()
            what = spoil(folder, goods, path, number, options.seed)
            last = number
        os.write(pipe, json.dumps(["begin", number, command, what]).encode() + b"\n")
        try:
            found = verdict(command, path, folder / "made", goods[what.split(":")[0]])
        except MemoryError:
            found = "MEMORY"
        except BaseException as error:
            found = f"TRACEBACK {type(error).__name__}: {error}"[:400]
        os.write(pipe, json.dumps(["end", number, command, what, found]).encode() + b"\n")
    os._exit(0)


def spoil(folder: Path, goods: dict[str, Any], path: Path, number: int, seed: int) -> str:
    """Damage number so and so: which trace, and how."""
    random = np.random.default_rng([seed, number])
    name = list(goods)[number % len(goods)]
    shutil.copy(folder / f"{name}.h5", path)
    return f"{name}: {damage(path, random)}"


def outcomes(folder: Path, goods: dict[str, Any], options: Any) -> Iterator[tuple[int, str, str, str]]:
    """Number, command, damage and verdict of every task."""
    tasks = [(n, c) for n in range(options.first, options.first + options.count) for c in COMMANDS
             if c != "plot" or n % options.plots == 0]  # fmt: skip
    while tasks:
        ours, theirs = os.pipe()
        process = os.fork()
        if not process:
            os.close(ours)
            try:
                worker(folder, goods, tasks, options, theirs)
            finally:
                os._exit(1)
        os.close(theirs)
        begun: list[Any] = ["", 0, "", ""]
        with os.fdopen(ours, "rb") as pipe:
            while True:
                ready = select.select([pipe], [], [], SECONDS)[0]
                line = pipe.readline() if ready else b""
                if not line:
                    break
                begun = json.loads(line)
                if begun[0] == "end":
                    tasks.pop(0)
                    yield begun[1], begun[2], begun[3], begun[4]
        os.kill(process, signal.SIGKILL) if not ready else None
        status = os.waitpid(process, 0)[1]
        if tasks:
            stuck = tasks.pop(0)
            assert begun[1:3] == list(stuck), begun
            yield *stuck, begun[3], "HANG" if not ready else f"CRASH signal {os.WTERMSIG(status)}"


def main(words: list[str] | None = None) -> int:
    """Damage, run, count, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first damage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plots", type=int, default=10, help="every so manieth copy is drawn")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(words)
    counts, bad, start = {command: Counter[str]() for command in COMMANDS}, list[str](), time.monotonic()
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        goods = {run_name: made(folder, run_name, STEPS) for run_name in [*RUNS, SWEEP]}
        reported = True
        for number, command, what, found in outcomes(folder, goods, options):
            if command == "info" and number % 100 == 99:
                print(f"{number + 1 - options.first} damages", file=sys.stderr)
            if command == "info":
                kinds[what.split()[1]] += 1
            word = found.split()[0]
            if command == "info":
                info_word = word
            if command == "check":
                reported = word != "right"
                counts["info"][judged(info_word, reported, bad, f"{number} info: {what}: {info_word}")] += 1
            if command != "info":
                counts[command][judged(word, reported, bad, f"{number} {command}: {what}: {found}")] += 1
    result = {
        "machine": machine(), "damages": options.count, "seed": options.seed, "kinds": dict(kinds), "bad": bad,
        "outcomes": {command: dict(found) for command, found in counts.items()},
        "seconds": round(time.monotonic() - start),
    }  # fmt: skip
    print(json.dumps(result["outcomes"], indent=1), *bad, sep="\n")
    save("damage", result, options.out)
    return 1 if bad else 0


def judged(word: str, reported: bool, bad: list[str], line: str) -> str:
    """The kind of an outcome; what must not be is noted."""
    if word == "other":
        word = "WRONG" if not reported or line.split()[1] in ("resume:", "repair:", "export:") else "reported"
    if word in BAD:
        bad.append(line)
        print(line, file=sys.stderr)
    return word


if __name__ == "__main__":
    sys.exit(main())
