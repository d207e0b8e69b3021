"""Wall time of the program as a user starts it, the first time ever and later; and what it imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from .rounds import spread

PROGRAM = [sys.executable, "-P", "-m", "analogmgd"]
TRAIN = ["train", "parity", "--steps", "1", "--no-trace", "--quiet"]
COMMANDS = {"version": ["--version"], "help": ["--help"], "datasets": ["datasets"], "warm": TRAIN}
HEAVY = ("numpy", "numba", "llvmlite", "h5py", "pydantic", "matplotlib", "scipy", "tqdm", "psutil", "click")
# Packages a command has no use for: training draws nothing, and those that only print need next to nothing.
NEEDLESS = {
    "version": tuple(name for name in HEAVY if name != "click"),
    "help": tuple(name for name in HEAVY if name != "click"),
    "datasets": ("numba", "llvmlite", "matplotlib", "scipy"),
    "warm": ("matplotlib", "jax", "torch", "pandas"),  # scipy, where it is installed, is imported by numba
}
LINE = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \|(\s*)(\S+)")


def run(command: list[str], cpus: list[int], **settings: str) -> tuple[float, str]:
    """Seconds of a whole process and its standard error."""
    path = os.pathsep.join(p or os.getcwd() for p in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "ANALOGMGD_THREADS": str(len(cpus)), **settings}

    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)

    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, preexec_fn=pin)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[2:])}: {done.stderr.strip().splitlines()[-1:]}")
    return seconds, done.stderr


def packages(importtime: str) -> dict[str, float]:
    """Seconds by top-level package, each module's own time, from what -X importtime prints.

    >>> packages("import time:       100 |        250 |   numpy._core\\n")
    {'numpy': 0.0001}
    """
    total: dict[str, float] = {}
    for own, _, _, name in LINE.findall(importtime):
        top = name.partition(".")[0]
        total[top] = total.get(top, 0.0) + int(own) / 1e6
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def measure(cpus: list[int], quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """{command: {"seconds": [median, least, largest], "imports": .., "needless": ..}, "cold": ..}"""
    out: dict[str, Any] = {}
    say("start-up: warm")
    run(PROGRAM + TRAIN, cpus)  # makes it warm
    for name, arguments in COMMANDS.items():
        say(f"start-up: {name}")
        seconds = [run(PROGRAM + arguments, cpus)[0] for _ in range(2 if quick else 7)]
        _, text = run([sys.executable, "-X", "importtime", *PROGRAM[1:], *arguments], cpus)
        imports = packages(text)
        out[name] = {
            "command": " ".join(["analogmgd", *arguments]),
            "seconds": spread(seconds),
            "imports": {top: round(took, 4) for top, took in list(imports.items())[:12]},
            "imports_total": sum(imports.values()),
            "needless": [top for top in NEEDLESS[name] if top in imports],
        }
    say("start-up: cold, kernels are compiled")
    cold = []
    for _ in range(1 if quick else 2):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(run(PROGRAM + TRAIN, cpus, NUMBA_CACHE_DIR=folder)[0])
    out["cold"] = {"command": " ".join(["analogmgd", *TRAIN]), "seconds": spread(cold)}
    return out
