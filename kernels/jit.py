"""The one place where numba's flags and cache are set; every kernel takes its decorator from here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.core.config
from numba.core.caching import _CacheLocator  # noqa: F401  (fails early if numba moves its cache)
from platformdirs import user_cache_dir

# `contract` alone (fused multiply-add) keeps a lane's bits independent of the number of lanes; any flag that
# allows reassociation or assumes finite numbers does not. error_model: without "numpy" every division
# carries a branch and no loop with one vectorises.
FLAGS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
    "boundscheck": False,
}


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


def entry(function: Callable[..., None]) -> Any:
    """Compile a kernel that Python calls: cached on disk."""
    if CACHE_FOLDER is None:
        return numba.njit(**FLAGS)(function)
    before = numba.core.config.CACHE_DIR
    numba.core.config.CACHE_DIR = CACHE_FOLDER
    try:
        return numba.njit(cache=True, **FLAGS)(function)
    finally:
        numba.core.config.CACHE_DIR = before


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only kernels call (compiled into its caller, not cached by itself)."""
    return numba.njit(**FLAGS)(function)


def inline(function: Callable[..., Any]) -> Any:
    """Like `inner`, pasted into the caller before typing: literal arguments become constants there."""
    return numba.njit(inline="always", **FLAGS)(function)
