"""The one place where numba's flags and cache are set; every kernel takes its decorator from here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.core.config
from platformdirs import user_cache_dir

# No fastmath: products and sums are fused where the code says `fma`, and nowhere else. error_model: without "numpy"
# every division carries a branch that raises. No runtime for memory: arrays come from the caller, and counting
# references to them where a function is pasted into a loop costs more than the loop.
OUTER: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "_nrt": False,
}


TRIED = (0, 62), (0, 68)  # numba's versions, see FLAGS


def _sources_hash() -> str:
    """Hash of all kernel sources: numba's own key misses edits to callees in other files."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> str | None:
    """A writable folder for compiled kernels, or None (then they are compiled in every process)."""
    root = os.environ.get("NUMBA_CACHE_DIR") or user_cache_dir("analogmgd", appauthor=False)
    folder = Path(root) / f"kernels-{_sources_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


CACHE_FOLDER = _cache_folder()


def entry(function: Callable[..., None], allocates: bool = False) -> Any:
    """Compile a kernel that Python calls: cached on disk. `allocates`: it makes arrays of its own."""
    flags = {**OUTER, "_nrt": allocates}
    if CACHE_FOLDER is None:
        return numba.njit(**flags)(function)
    before = numba.core.config.CACHE_DIR
    numba.core.config.CACHE_DIR = CACHE_FOLDER
    try:
        return numba.njit(cache=True, **flags)(function)
    finally:
        numba.core.config.CACHE_DIR = before


def allocating_entry(function: Callable[..., None]) -> Any:
    """As `entry`, for a kernel that makes arrays of its own."""
    return entry(function, allocates=True)


def named(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give each closure of a factory a name of its own, from what it holds.

    Kernels loaded from the disk cache are linked by name, and numba numbers names per process: two closures of one
    factory that were compiled in different processes can have the same one, and then the kernel that is loaded second
    silently runs the code of the first.
    """
    held = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        value = cell.cell_contents
        held.append(f"{name} {getattr(getattr(value, 'py_func', value), '__qualname__', value)}")
    if held:
        function.__qualname__ += "_" + hashlib.sha256("\n".join(held).encode()).hexdigest()[:8]
    return function


# For functions of a kernel, overloads too: nothing calls them from outside. `part` reaches into numba, so it is used
# with the versions it was tried with; another compiles the same code, more slowly.
FLAGS: dict[str, Any] = {**OUTER, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
if TRIED[0] <= numba.version_info[:2] <= TRIED[1]:
    from .part import Inner

    FLAGS["pipeline_class"] = Inner


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call (compiled into its caller, not cached by itself)."""
    return numba.njit(**FLAGS)(named(function))


def leaf(function: Callable[..., Any]) -> Any:
    """Like `inner`, always pasted into its caller: passing ten arrays costs more than a small loop over lanes."""
    return numba.njit(forceinline=True, **FLAGS)(named(function))
