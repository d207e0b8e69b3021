"""What a worker of a Dask cluster does for a sweep: a point. It needs this package, and no file of the user's."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import __version__
from .config import Config
from .data import Dataset, load_dataset
from .kernels.jit import _sources_hash
from .session import fused
from .sweep_point import Stopped, Target
from .sweep_pool import outcome

Versions = dict[str, str]
KERNELS = _sources_hash()  # of what this process has loaded, whatever becomes of the files


def versions() -> Versions:
    """What has to be the same everywhere, for results to have the same bits."""
    return {
        "analogmgd": __version__,
        "numpy": np.__version__,
        "kernels and numba": KERNELS,
        "fused multiply-add": "yes" if fused() else "no",
    }


def run_point(
    config: str, data: Dataset | None, targets: tuple[Target, ...], threads: int, wanted: Versions
) -> dict[str, Any]:
    """A point, in a task: {"outcome": arrays or why it failed}, or {"unfit": versions of this worker}.

    config : TOML
    data : None where the configuration's name and options say enough
    threads : at most, and no more than the worker has
    """
    from distributed import get_worker
    from distributed.core import Status

    if versions() != wanted:
        return {"unfit": versions()}
    worker = get_worker()
    key = worker.get_current_task()

    def tick(chip_steps: int) -> None:
        """Ends the run where nobody waits for it any more: Dask itself cannot stop a thread."""
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled" or worker.status in (Status.closing, Status.closed):
            raise Stopped

    def make() -> tuple[Config, Dataset]:
        whole = Config.from_toml(config)
        return whole, load_dataset(**whole.data) if data is None else data

    return {"outcome": outcome(make, targets, min(threads, worker.state.nthreads), tick)}


def same(data: Dataset) -> Dataset:
    """Data as the result of a task: sent once, held by the workers that need it, and sent again when they are lost."""
    return data
