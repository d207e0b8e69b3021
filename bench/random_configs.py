"""Configurations drawn at random through the command line: sound ones run, the others give one line and exit code 2.

    python bench/random_configs.py [--count 10000] [--seed 0] [--first 0] [--show] [--checks-only]

Each is carried out in a process that is forked for some hundreds of them, in which memory is limited to LIMIT above
what an idle one has; one that takes longer than PATIENCE seconds gets Ctrl-C, and
after as long again it counts as a hang. Sound ones run some tens of steps on few chips; what they end with has to be
finite, or said to have diverged. With --checks-only they end where chips would be made: no kernel is compiled.
Writes random_configs.json: how many ended how, and every one that did not as it should, with its number.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import drawn_configs
from click.testing import CliRunner
from common import machine, save

from analogmgd.cli.group import cli

CHUNK = 250  # configurations of a process
PATIENCE = 300.0  # seconds without a word; a kernel can take a minute to compile, more on a busy machine
LIMIT = 4 << 30
LONGEST = 500 + len("analogmgd: error: ")  # letters of a line


def outcome(drawn: drawn_configs.Drawn, folder: Path) -> tuple[str, str]:
    """How a configuration ended, and what there is to say: "ran", "diverged", "refused", "stopped", or "BAD ..."."""
    source = folder / "run.toml"
    with contextlib.suppress(UnicodeEncodeError):
        source.write_text(drawn.toml(), encoding="utf-8")
    if drawn.sweep:
        words = ["sweep", str(source), *drawn.words, "--out", str(folder / "sweep.h5"), "--force", "--json", "--quiet"]
    else:
        words = ["train", str(source), *drawn.words, "--no-trace", "--json", "--quiet"]
    result = CliRunner().invoke(cli, words)
    if "Checked:" in result.stderr:
        return "passed all checks", ""
    return judged(result.exit_code, result.stdout, result.stderr, drawn)


def judged(code: int, out: str, err: str, drawn: drawn_configs.Drawn) -> tuple[str, str]:
    """What an exit code and the two outputs say."""
    lines = [line for line in err.splitlines() if not line.startswith("analogmgd: warning: ")]
    if "Traceback" in err or "a bug;" in err:
        return "BAD traceback", err[-1000:]
    if code == 0:
        if lines:
            return "BAD words on standard error", err[-1000:]
        return ("ran", "") if finite(json.loads(out)) else ("BAD not finite", out[-1000:])
    if len(lines) != 1 and not (code == 1 and drawn.sweep and lines):
        return f"BAD {len(lines)} lines", err[-1000:]
    line = lines[0]
    if code == 2 and out == "" and line.startswith("analogmgd: error: ") and len(line) <= LONGEST:
        return "refused", line
    if code == 1 and ("stopped being finite" in line or (drawn.sweep and "point" in line)):
        return "diverged", line
    if code == 130:
        return "stopped", line
    return f"BAD exit code {code}", err[-1000:]


def finite(found: dict[str, Any]) -> bool:
    """Whether what a run ends with is finite."""
    if "points" in found:
        return all(row["state"] == "done" for row in found["points"])
    summary = found["summary"]
    values = [summary[name]["median"] for name in ("final_cost", "final_accuracy") if summary[name]]
    return all(value is not None and math.isfinite(value) for value in values)


class Checked(Exception):
    """Every check is passed."""


def checked(*arguments: Any, **settings: Any) -> Any:
    """Stands for the engine where only checks are wanted."""
    raise Checked


def work(seed: int, first: int, last: int, folder: str, checks_only: bool, pipe: Any) -> None:
    """Carry out some configurations in this process, and send what became of each."""
    os.chdir(folder)
    if checks_only:
        for module in ("analogmgd.train", "analogmgd.sweep_point"):
            vars(importlib.import_module(module))["Engine"] = checked
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, used + LIMIT))
    for n in range(first, last):
        pipe.send((n, None, 0.0))
        drawn, began = drawn_configs.draw(seed, n), time.monotonic()
        try:
            found = outcome(drawn, Path(folder))
        except KeyboardInterrupt:
            found = "stopped", "by Ctrl-C, outside of the run"
        except BaseException as error:
            found = "BAD " + type(error).__name__, str(error)[:300]
        pipe.send((n, found, time.monotonic() - began))


def carried_out(seed: int, first: int, count: int, show: bool, checks_only: bool) -> list[dict[str, Any]]:
    """What became of each configuration."""
    found: list[dict[str, Any]] = []
    context = multiprocessing.get_context("fork")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        drawn_configs.make_sets(Path(folder))
        n = first
        while n < first + count:
            here, there = context.Pipe(duplex=False)
            end = min(n + CHUNK, first + count)
            process = context.Process(target=work, args=(seed, n, end, folder, checks_only, there))
            process.start()
            there.close()
            n = followed(process, here, n, end, found, show)
            spent = time.monotonic() - begun
            print(
                f"{n - first} of {count}, {spent:.0f} s: {dict(Counter(one['outcome'] for one in found))}", flush=True
            )
    return found


def followed(process: Any, pipe: Any, n: int, end: int, found: list[dict[str, Any]], show: bool) -> int:
    """Listen to a process until it has ended; the number of the configuration to go on with."""
    asked = 0
    while n < end:
        try:
            if not pipe.poll(PATIENCE):
                asked += 1
                os.kill(process.pid, signal.SIGINT if asked == 1 else signal.SIGKILL)
                if asked == 2:
                    keep(found, n, "BAD hang", "", PATIENCE, show)
                    break
                continue
            n, one, seconds = pipe.recv()
        except EOFError:
            process.join()
            keep(found, n, f"BAD end of the process ({process.exitcode})", "", 0.0, show)
            break
        if one is not None:
            keep(found, n, *one, seconds, show)
            n, asked = n + 1, 0
    else:
        process.join()
        return n
    process.join()
    return n + 1


def keep(found: list[dict[str, Any]], n: int, outcome: str, text: str, seconds: float, show: bool) -> None:
    """Note what became of one."""
    found.append({"n": n, "outcome": outcome, "text": text, "seconds": round(seconds, 2)})
    if show or outcome.startswith("BAD"):
        print(f"{n}: {outcome}: {text.strip()[-700:]}", flush=True)


def main() -> int:
    """Draw, carry out, count, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--show", action="store_true", help="say what became of each")
    parser.add_argument("--checks-only", action="store_true", help="make no chips")
    parser.add_argument("--save", default="random_configs", help="name of the file of results; empty: none")
    options = parser.parse_args()
    began = time.monotonic()
    found = carried_out(options.seed, options.first, options.count, options.show, options.checks_only)
    counts = Counter(one["outcome"] for one in found)
    bad = [one for one in found if one["outcome"].startswith("BAD")]
    kinds = Counter(first_words(one["text"]) for one in found if one["outcome"] == "refused")
    slow = sorted(found, key=lambda one: -one["seconds"])[:5]
    result = {
        "machine": machine(), "seed": options.seed, "first": options.first, "checks_only": options.checks_only,
        "count": len(found), "seconds": round(time.monotonic() - began), "memory_limit_bytes": LIMIT,
        "outcomes": dict(counts),
        "failures": bad, "different_refusals": len(kinds),
        "slowest": [{k: one[k] for k in ("n", "outcome", "seconds")} for one in slow],
    }  # fmt: skip
    print(f"{len(found)} configurations: {dict(counts)}; {len(kinds)} kinds of refusal; {len(bad)} failures")
    if options.save:
        save(options.save, result)
    return bool(bad)


def first_words(line: str) -> str:
    """A refusal without its values: what its kinds are counted by."""
    return " ".join(word for word in line.split() if word.isalpha())[:60]


if __name__ == "__main__":
    sys.exit(main())
