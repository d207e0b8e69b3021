"""The whole benchmark, in order; what is complete is kept whatever ends it."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from . import rounds, same, startup, work
from .crew import Crew, Missing, WorkerError
from .workloads import GROUPS, STARTUP, Group

Say = Callable[[str], None]


def free_processors() -> list[int]:
    """Those this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def machine(cpus: list[int]) -> dict[str, Any]:
    """CPU, system and commit, to stand beside every figure."""
    model = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
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
        "cpu": model, "system": f"{platform.system()} {platform.machine()}", "processors": os.cpu_count(),
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
        try:
            result["roof"] = crew["numpy"].ask("roof")
        except WorkerError as error:
            result["errors"].append(f"roof: {error}")
        done()
        present = available(crew, peers, result, say) if groups else []
        for group in groups:
            start = time.monotonic()
            cells = rounds.measure(crew, group, present, quick, say)
            result["groups"][group.name] = describe(group, cells, result["roof"], len(cpus))
            failed = [f"{group.name}, {name}: {cell['error']}" for name, cell in cells.items() if "error" in cell]
            result["errors"] += failed
            if group.check and find_spec("scipy") is None:
                result["missing"]["the check that sides do the same work"] = "scipy"
            elif group.check:
                say(f"{group.name}: same work?")
                result["checks"] += checks(crew, group, [peer for peer in group.peers if peer in present], quick)
            result["groups"][group.name]["seconds"] = time.monotonic() - start
            done()
    if not only or STARTUP in only:
        try:
            result["startup"] = startup.measure(cpus, quick, say)
        except RuntimeError as error:
            result["errors"].append(f"start-up: {error}")
        done()
    result["seconds"] = time.monotonic() - began
    result["complete"] = True


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
        except WorkerError as error:  # installed, but it does not start
            result["errors"].append(f"{side}: {error}")
    return present


def describe(group: Group, cells: dict[str, Any], roof: dict[str, Any], threads: int) -> dict[str, Any]:
    """A group's part of the result: what it is, its cells, each with its ratio to the base or the base's to it."""
    from .ours import config_of

    out: dict[str, Any] = {
        "network": "-".join(map(str, group.sizes)), "data": group.data, "base": group.base.name, "cells": cells,
    }  # fmt: skip
    for cell in group.cells:
        if "rate" not in cells.get(cell.name, {}):
            continue
        config = config_of(group, cell, 1)
        itemsize = 8 if config.run.precision == "double" else 4
        rule: Any = config.rule
        cells[cell.name] |= {
            "settings": group.setting(cell),
            "why": cell.why,
            "threads": cell.threads or threads,
            "roof": work.fraction(
                cells[cell.name]["rate"][0], rule, config.chip.network.n_params, itemsize, roof,
                cell.threads or threads,
            ),
        }  # fmt: skip
    for name, cell in cells.items():
        cell["ratio"] = rounds.ratio(cells, group.base.name, name)
    return out


def checks(crew: Crew, group: Group, peers: Sequence[str], quick: bool) -> list[dict[str, Any]]:
    """That the sides do the same work, see `same`; with --quick the costs only, after fewer steps."""
    found: list[dict[str, Any]] = []
    learn = dict(same.LEARN[group.name])
    if quick:
        learn["steps"] //= 4
    gradient = {"steps": same.GRADIENT_STEPS, "tau_theta": same.GRADIENT_STEPS, "eta": 1 / same.GRADIENT_STEPS}
    costs: dict[str, Any] = {}
    for seed, side in enumerate(("ours", *peers), 1):
        about = {"group": group.name, "side": side}
        try:
            asked = {"group": group.name, "seed": seed, "same_start": False, "tau_theta": 1, **learn}
            costs[side] = crew[side].ask("learn", **asked)["costs"]
            if side != "ours":
                found.append({**about, **learn, **same.compare_costs(costs["ours"], costs[side])})
            if quick:
                continue
            asked = {"group": group.name, "seed": seed, "same_start": True, **gradient}
            found.append({**about, **same.compare_gradient(group.name, crew[side].ask("learn", **asked))})
        except (WorkerError, KeyError) as error:
            found.append({**about, "kind": "failed", "ok": False, "error": str(error)})
    return found


def parts(only: Sequence[str], quick: bool) -> int:
    """How many parts a run has, for the progress bar."""
    return 1 + len(chosen(only, quick)) + (not only or STARTUP in only)
