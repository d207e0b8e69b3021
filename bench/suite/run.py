"""The whole benchmark, in order; what is complete is kept whatever ends it."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import rounds, same, startup, work
from .crew import Crew, Missing, WorkerError
from .workloads import GROUPS, PLAIN, STARTUP, Group

Say = Callable[[str], None]
KS_CHECK = "comparison of costs after training"  # the only part that needs scipy


@contextmanager
def part(name: str, result: dict[str, Any]) -> Iterator[None]:
    """What fails inside is a line of result["errors"], and the benchmark goes on."""
    try:
        yield
    except Exception as error:
        result["errors"].append(f"{name}: {one_line(error)}")


def one_line(error: Exception) -> str:
    """What went wrong; the kind of error too, where it is not a worker's own account.

    >>> one_line(ValueError("no\\nsuch thing"))
    'ValueError: no such thing'
    """
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, WorkerError) else f"{type(error).__name__}: {text}"


def free_processors() -> list[int]:
    """Those this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def machine(cpus: list[int]) -> dict[str, Any]:
    """CPU, system and commit, to stand beside every figure."""
    here = Path(__file__).parent
    try:
        ours = ["git", "ls-files", "--error-unmatch", "run.py"]  # not another project's, which this is installed in
        git = ["git", "describe", "--always", "--dirty", "--abbrev=9"]
        known = subprocess.run(ours, cwd=here, capture_output=True, check=False).returncode == 0
        text = subprocess.run(git, cwd=here, capture_output=True, text=True, check=False).stdout
        commit = text.strip() if known else ""
    except OSError:
        commit = ""
    return {
        "cpu": cpu_name(), "system": f"{platform.system()} {platform.machine()}", "processors": os.cpu_count(),
        "threads": len(cpus), "cpus": cpus, "python": platform.python_version(), "commit": commit or None,
        "load": [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }  # fmt: skip


def chosen(only: Sequence[str], quick: bool) -> list[Group]:
    """The groups to measure, in order."""
    if only:
        return [group for group in GROUPS if group.name in only]
    return [group for group in GROUPS if group.quick or not quick]


def benchmark(
    only: Sequence[str], peers: Sequence[str], cpus: list[int], quick: bool, say: Say, done: Callable[[], None],
    result: dict[str, Any],
) -> None:  # fmt: skip
    """Fill `result` as it goes, so that an interruption keeps what there is; `done` is called after each part."""
    began = time.monotonic()
    result |= {
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"), "complete": False, "quick": quick,
        "machine": machine(cpus), "versions": {}, "missing": {}, "errors": [],
        "roof": {}, "groups": {}, "checks": [], "startup": {},
    }  # fmt: skip
    groups = chosen(only, quick)
    with Crew(cpus) as crew:
        say("the machine's roof")
        with part("roof", result):
            result["roof"] = crew["numpy"].ask("roof")
        done()
        present = available(crew, peers, result, say) if groups else []
        for group in groups:
            with part(group.name, result):
                one_group(crew, group, present, quick, say, len(cpus), result)
            done()
    if not only or STARTUP in only:
        with part("start-up", result):
            result["startup"] = startup.measure(cpus, quick, say)
        done()
    result["seconds"] = time.monotonic() - began
    result["complete"] = not result["errors"]


def one_group(
    crew: Crew, group: Group, present: Sequence[str], quick: bool, say: Say, threads: int, result: dict[str, Any]
) -> None:
    """Measure a group and check that its sides do the same; what is measured is kept, whatever fails later."""
    start = time.monotonic()
    cells = rounds.measure(crew, group, present, quick, say)
    result["errors"] += [f"{group.name}, {name}: {cell['error']}" for name, cell in cells.items() if "error" in cell]
    found = result["groups"][group.name] = describe(group, cells)
    if result["roof"]:
        with part(f"{group.name}, part of the roof", result):
            set_beside_roof(group, cells, result["roof"], threads)
    if group.check:
        say(f"{group.name}: same work?")
        sides = [side for side in ("ours", *group.peers) if side in present and "error" not in cells.get(side, {})]
        plain = [side for side in sides if "rate" in cells.get(f"{side} {PLAIN}", {})]
        if group.name in same.LEARN:
            check_costs(crew, group, sides, quick, result)
        if not quick:
            check_gradient(crew, group, [*((s, "best") for s in sides), *((s, PLAIN) for s in plain)], result)
    found["seconds"] = time.monotonic() - start


def available(crew: Crew, peers: Sequence[str], result: dict[str, Any], say: Say) -> list[str]:
    """The peers that are installed; the others are noted."""
    present = []
    for side in ("ours", *peers):
        say(f"starting {side}")
        try:
            result["versions"] |= crew[side].versions
            present.append(side)
        except Missing as error:
            result["missing"][side] = str(error)
        except Exception as error:  # installed, but it does not start
            result["errors"].append(f"{side}: {one_line(error)}")
    return present


def describe(group: Group, cells: dict[str, Any]) -> dict[str, Any]:
    """A group's part of the result: what it is, its cells, each with the base's ratio to it."""
    for name, cell in cells.items():
        cell["ratio"] = rounds.ratio(cells, group.base.name, name)
    return {
        "network": "-".join(map(str, group.sizes)), "data": group.data, "base": group.base.name, "cells": cells,
    }  # fmt: skip


def set_beside_roof(group: Group, cells: dict[str, Any], roof: dict[str, Any], threads: int) -> None:
    """Add to each cell of ours what it does and which part of the roof it is."""
    from .ours import config_of

    for cell in group.cells:
        if "rate" not in cells.get(cell.name, {}):
            continue
        config = config_of(group, cell, 1)
        itemsize = 8 if config.run.precision == "double" else 4
        rule: Any = config.rule
        count = cell.threads or threads
        rate, n_params = cells[cell.name]["rate"][0], config.chip.network.n_params
        cells[cell.name] |= {
            "settings": group.setting(cell), "why": cell.why, "threads": count,
            "roof": work.fraction(rate, rule, n_params, itemsize, roof, count),
        }  # fmt: skip


def check_costs(crew: Crew, group: Group, sides: Sequence[str], quick: bool, result: dict[str, Any]) -> None:
    """That the sides reach the same costs, in their fastest variants, see `same`; with --quick after fewer steps."""
    if find_spec("scipy") is None:
        result["missing"][KS_CHECK] = "scipy"
        return
    learn = dict(same.LEARN[group.name])
    if quick:
        learn["steps"] //= 4
    costs: dict[str, Any] = {}
    for seed, side in enumerate(sides, 1):
        with part(f"{group.name}, {side}, costs after training", result):
            asked = {"group": group.name, "cell": "best", "seed": seed, "same_start": False, "tau_theta": 1, **learn}
            costs[side] = crew[side].ask("learn", **asked)["costs"]
            if side != "ours" and "ours" in costs:
                found = same.compare_costs(costs["ours"], costs[side])
                result["checks"].append({"group": group.name, "side": side, **learn, **found})


def check_gradient(crew: Crew, group: Group, cells: Sequence[tuple[str, str]], result: dict[str, Any]) -> None:
    """That each (side, cell) estimates the true gradient, see `same`."""
    steps = same.GRADIENT_STEPS
    for seed, (side, cell) in enumerate(cells, 1):
        title = f"{side} {PLAIN}" if cell == PLAIN else side
        with part(f"{group.name}, {title}, mean G", result):
            learnt = crew[side].ask(
                "learn", group=group.name, cell=cell, seed=seed, same_start=True, steps=steps, tau_theta=steps,
                eta=1 / steps,
            )  # fmt: skip
            found = same.compare_gradient(group.name, learnt)
            result["checks"].append({"group": group.name, "side": title, **found})


def parts(only: Sequence[str], quick: bool) -> int:
    """How many parts a run has, for the progress bar."""
    return 1 + len(chosen(only, quick)) + (not only or STARTUP in only)
