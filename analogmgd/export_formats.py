"""How tables and arrays become files, block by block."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analogmgd.errors import ConfigError

Array = npt.NDArray[Any]
Columns = dict[str, tuple[np.dtype[Any], str, str]]  # name -> type, unit, meaning
Blocks = Iterable[dict[str, Array]]


def write_csv(columns: Columns, blocks: Blocks, path: Path) -> None:
    """RFC 4180 with a header line and "\\n"; floats in the shortest form that reads back the same float64."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for block in blocks:
            writer.writerows(zip(*(block[name].tolist() for name in columns), strict=True))


def parquet_library() -> Any:
    """pyarrow with its parquet module.

    Raises:
        ConfigError: it is not installed; the line says how to install it.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError('format "parquet" needs pyarrow: pip install "analogmgd[parquet]"') from error
    return pyarrow


def write_parquet(columns: Columns, blocks: Blocks, path: Path) -> None:
    """One row group a block; unit and meaning in the metadata of each field."""
    arrow = parquet_library()
    schema = arrow.schema(
        [
            arrow.field(name, arrow.from_numpy_dtype(dtype), metadata={"unit": unit, "meaning": text})
            for name, (dtype, unit, text) in columns.items()
        ]
    )
    with arrow.parquet.ParquetWriter(str(path), schema) as writer:
        for block in blocks:
            made = [arrow.array(np.asarray(block[name], dtype)) for name, (dtype, _, _) in columns.items()]
            writer.write_table(arrow.Table.from_arrays(made, schema=schema))


FORMATS: dict[str, Callable[[Columns, Blocks, Path], None]] = {"csv": write_csv, "parquet": write_parquet}


def write_npz(arrays: Iterable[tuple[str, tuple[int, ...], np.dtype[Any], Iterator[Array]]], path: Path) -> None:
    """A file for `numpy.load`, whose arrays need not fit in memory: (name, shape, type, blocks)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, shape, dtype, blocks in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": shape,
                }
                np.lib.format.write_array_header_1_0(member, header)
                for block in blocks:
                    member.write(np.ascontiguousarray(block, dtype).data)
