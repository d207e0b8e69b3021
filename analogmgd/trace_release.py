"""Take back the flag "open for writing" from a trace whose writer was killed.

What `h5clear -s --increment` of the HDF5 tools does, for those who have no such tools.
"""

from __future__ import annotations

import os

import h5py  # type: ignore[import-untyped]

from analogmgd.errors import TraceError
from analogmgd.trace_open import one_line, writer_alive
from analogmgd.trace_reader import FileStore
from analogmgd.trace_superblock import Superblock, Unflagged, superblock


def given_out(path: str, block: Superblock) -> int:
    """End of the last chunk of any dataset: the superblock's own figure may be an older one."""
    ends = [os.path.getsize(path)]

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.chunks is not None:
            item.id.chunk_iter(lambda chunk: ends.append(chunk.byte_offset + chunk.size))

    with Unflagged(path, block) as view, h5py.File(view, "r") as file:
        file.visititems(visit)
    return max(ends)


def release(path: str | os.PathLike[str]) -> bool:
    """Let every HDF5 program open a trace whose writer is gone; no data are touched.

    The superblock's flags are cleared and its end-of-file address is set behind all that is in use, so that
    whoever writes next does not overwrite what is there.

    Returns:
        True if the flag was set, False if there was nothing to do.

    Raises:
        TraceError: one line: its writer still runs, or may on another host; the file is no trace.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(), steps=200, chips=4, trace="whole.h5")
    >>> release("whole.h5")
    False
    """
    name = os.fspath(path)
    store = FileStore(name)
    attributes = store.attributes()
    store.close()
    try:
        block = superblock(name)
        if block is None or not block.writing:
            return False
        if writer_alive(attributes, name) is not False:
            raise TraceError(
                f"the trace {name!r} may still be written by process {attributes.get('writer_pid')} "
                f"on {attributes.get('writer_host')}"
            )
        closed = block.closed(given_out(name, block))
        with open(name, "r+b") as file:
            file.truncate(closed.end)
            file.write(closed.pack())
    except (OSError, RuntimeError) as error:
        if isinstance(error, TraceError):
            raise
        raise TraceError(f"cannot release the trace {name!r}: {one_line(error)}") from error
    return True
