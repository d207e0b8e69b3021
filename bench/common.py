"""What the programs in bench/ share: the machine they ran on, and files of results."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import h5py
import llvmlite.binding
import numba
import numpy as np

import analogmgd as am
from analogmgd.bench.run import cpu_name

RESULTS = Path(__file__).parent / "results"


def machine(threads: int | None = None) -> dict[str, Any]:
    """CPU, versions, threads and commit, to stand beside every figure."""
    here = Path(__file__).parent
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return {
        "cpu": cpu_name(),
        "llvm_cpu": llvmlite.binding.get_host_cpu_name(),
        "processors": os.cpu_count(),
        "threads": threads or len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "h5py": h5py.__version__,
        "analogmgd": am.__version__,
        "commit": git.stdout.strip() or None,
    }


def save(name: str, result: dict[str, Any], folder: Path | None = None) -> Path:
    """Write a result as JSON under bench/results; returns the path."""
    path = (folder or RESULTS) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path
