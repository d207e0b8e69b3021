"""What a run needs of memory and of the disk, and what there is."""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]

from .errors import ConfigError

if TYPE_CHECKING:
    from .plan import Plan

GROUP = Path("/sys/fs/cgroup")  # where Linux says what a container may take
ONE_AT_A_TIME = threading.Lock()
BUFFERS = 16 << 20  # bytes that rows take on their way to a file, at most


def free_memory() -> int:
    """Bytes this process can still take: what is free, within what its container and `ulimit -v` leave it.

    >>> free_memory() > 0
    True
    """
    free = [psutil.virtual_memory().available]
    try:
        most, used = ((GROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        free.append(int(most) - int(used))  # ValueError: "max", no limit
    except (OSError, ValueError):
        pass
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        free.append(limit - psutil.Process().memory_info().vms)
    return max(0, min(free))


@contextlib.contextmanager
def at_most(size: int) -> Iterator[None]:
    """Let this process take so many bytes more meanwhile: for libraries that believe what a damaged file claims.

    Where the system has no such limit (not Linux) it does nothing.
    """
    with ONE_AT_A_TIME:
        before = resource.getrlimit(resource.RLIMIT_AS)
        limit = psutil.Process().memory_info().vms + size
        if sys.platform != "linux" or (before[0] != resource.RLIM_INFINITY and before[0] < limit):
            yield
            return
        resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)


def lanes_at_once(plan: Plan) -> int:
    """How many chips memory is taken for at a time: lanes are taken by the vector."""
    from .kernels.simd import WIDTH  # here, because data sets ask for free memory without any kernel

    return WIDTH if plan.kind == "ensemble" else 1


def chips_bytes(plan: Plan) -> int:
    """Memory that all chips of a run take."""
    lanes = lanes_at_once(plan)
    return -(-len(plan.run.chip_ids) // lanes) * lanes * plan.bytes_per_chip


def rows_bytes(trace_bytes: int, in_file: bool) -> int:
    """Memory that what is recorded takes: all of it, or what is on its way to a file."""
    return min(trace_bytes, BUFFERS) if in_file else trace_bytes


def check_together(plan: Plan, trace_bytes: int, in_file: bool) -> None:
    """Refuse a run whose chips and rows fit into memory each by themselves, but not both.

    trace_bytes : of the whole trace; in_file : whether it goes to a file, block by block

    Raises:
        ConfigError: they do not.
    """
    from .trace_schema import si_bytes  # here, because it asks for free memory

    chips, rows, free = chips_bytes(plan), rows_bytes(trace_bytes, in_file), free_memory()
    if chips + rows > free:
        what = f"{si_bytes(chips)} of memory for the chips and {si_bytes(rows)} for their rows"
        advice = "use fewer chips, record fewer rows (record_every)"
        advice += "" if in_file else ", or keep the trace in a file"
        count = len(plan.run.chip_ids)
        raise ConfigError(f"run.chips = {count}: would need {what}, and {si_bytes(free)} are free: {advice}")


def memory_of_run(plan: Plan, trace_bytes: int, in_file: bool, state_bytes: int = 0) -> int:
    """Bytes a run takes beside the program itself: its chips, its data, its rows, a checkpoint on its way to the file.

    trace_bytes : of the whole trace; in_file : whether it goes to a file, block by block; state_bytes : of a checkpoint
    """
    data = plan.data
    numbers = sum(array.size for array in (data.x_train, data.y_train, data.x_test, data.y_test))
    rows = rows_bytes(trace_bytes, in_file) + state_bytes * in_file
    return chips_bytes(plan) + numbers * plan.dtype.itemsize + rows
