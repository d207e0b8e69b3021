"""Read the arrays of a data set from a user's .npz or HDF5 file.

Whatever a file claims is checked before memory is taken; nothing in it is executed (no pickles).
"""

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from analogmgd.errors import DataError
from analogmgd.hdf5_heaps import damaged_heap, reading_texts

from .checks import check_memory, short

FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # of HDF5 itself, and h5py's lzf
UNPACKS = 1100  # times as large, at most: deflate's limit is 1032
NPZ, HDF5 = (".npz",), (".h5", ".hdf5")
REQUIRED = ("x_train", "y_train")
ABOUT = ("classes", "image_shape")
OPTIONAL = ("x_test", "y_test", *ABOUT)
NAMES = REQUIRED + OPTIONAL


def read(path: Path) -> dict[str, Any]:
    """The arrays of a file as arguments of ``Dataset``: the REQUIRED and, if there, the OPTIONAL."""
    try:
        if not path.exists():
            raise DataError(f"data file {path} does not exist")
        if not path.is_file():
            raise DataError(f"{path} is not a file; expected a .npz or HDF5 file")
        return read_npz(path) if path.suffix.lower() in NPZ else read_hdf5(path)
    except DataError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in three libraries, in any way
        raise DataError(f"{path} cannot be read: {short(error, 200) or type(error).__name__}") from None


def read_npz(path: Path) -> dict[str, Any]:
    """Arrays written by ``numpy.savez`` or ``savez_compressed``."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a .npz file, or is truncated")
    with zipfile.ZipFile(path) as archive:
        found = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        members = {name: found[name] for name in wanted(path, found)}
        needed = 0
        for name, member in members.items():
            with archive.open(member) as stream:
                shape, dtype = npy_header(stream)
                offset = stream.tell()
            size = claimed_bytes(path, name, shape, dtype)
            needed += size + kept_bytes(shape, dtype)
            if offset + size != archive.getinfo(member).file_size:
                raise DataError(f"{path}: {name} claims shape {shape} of {dtype}, but the file does not hold it")
        check_memory(needed, f"data file {path}")
        return {name: npy_array(archive, member) for name, member in members.items()}


def npy_array(archive: zipfile.ZipFile, member: str) -> Any:
    """The array in a member; never unpickled. Not `np.load(path)`, which goes by how the file begins."""
    with archive.open(member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def npy_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of the .npy data in a stream, which is left at the first byte of the data."""
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):  # the others have headers of up to 4 GiB, which are read before they are looked at
        raise DataError(f"array format version {version[0]}.{version[1]} is not that of plain numbers (1.0)")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, dtype


def read_hdf5(path: Path) -> dict[str, Any]:
    """HDF5 datasets of those names at the root; ``classes`` and ``image_shape`` may be its attributes."""
    if not h5py.is_hdf5(path):
        raise DataError(f"{path} is not an HDF5 file, or is truncated")
    with h5py.File(path, "r") as file:
        names = wanted(path, [*file.keys(), *(name for name in file.attrs if name in ABOUT)])
        needed = 0
        for name in names:
            if name in ABOUT and name not in file:
                continue  # an attribute: 64 KiB at most
            item = file[name]
            if not isinstance(item, h5py.Dataset) or item.shape is None:
                raise DataError(f"{path}: {name} is not an array")
            check_self_contained(path, file, name)
            claimed = claimed_bytes(path, name, item.shape, item.dtype)
            check_stored(path, name, item, claimed)
            needed += claimed + kept_bytes(item.shape, item.dtype)
            needed += math.prod(item.chunks or ()) * item.dtype.itemsize  # one is unpacked at a time
        check_memory(needed, f"data file {path}")
        classes: dict[str, Any] = {}
        if "classes" in names:
            damage = damaged_heap(path)
            if damage:
                raise DataError(f"{path} is damaged: {damage}")
            with reading_texts(path):
                classes = {"classes": hdf5_value(file, "classes")}
        return {name: hdf5_value(file, name) for name in names if name != "classes"} | classes


def check_self_contained(path: Path, file: h5py.File, name: str) -> None:
    """Refuse numbers that lie in another file, and filters that HDF5 would load a library for."""
    link, item = file.get(name, getlink=True), file[name]
    if isinstance(link, h5py.ExternalLink) or item.is_virtual or item.external:
        raise DataError(f"{path}: {name} refers to another file; its numbers must be in this one")
    properties = item.id.get_create_plist()
    for k in range(properties.get_nfilters()):
        number = properties.get_filter(k)[0]
        if number not in FILTERS:
            raise DataError(
                f"{path}: {name} is packed with filter {number}; allowed: gzip, lzf, szip, shuffle and checksums"
            )


def check_stored(path: Path, name: str, item: h5py.Dataset, claimed: int) -> None:
    """Refuse what the file cannot hold before memory is taken for it."""
    packed = item.id.get_create_plist().get_nfilters() > 0
    stored = min(item.id.get_storage_size(), path.stat().st_size)
    if claimed > stored * (UNPACKS if packed else 1):
        raise DataError(f"{path}: {name} claims {claimed} bytes, of which the file has {stored}")


def hdf5_value(file: h5py.File, name: str) -> Any:
    """The values of a dataset or, if there is none, an attribute; texts as ``str``."""
    if name not in file:
        value = file.attrs[name]
    elif h5py.check_string_dtype(file[name].dtype) is not None:
        value = file[name].asstr()[()]
    else:
        value = file[name][()]
    if name == "classes":
        return [item.decode() if isinstance(item, bytes) else item for item in np.atleast_1d(value).tolist()]
    return value


def wanted(path: Path, found: Iterable[str]) -> list[str]:
    """The names of ours among those found; others are ignored unless they look like a slip of the pen."""
    names = list(found)
    present = [name for name in NAMES if name in names]
    missing = [name for name in NAMES if name not in present]
    for name in names:
        plain = "".join(character for character in name.lower() if character.isalnum())
        for expected in missing:
            if plain == expected.replace("_", ""):
                raise DataError(f"{path} has an array {short(name)!r}; the name must be {expected!r}")
    for name in REQUIRED:
        if name in missing:
            raise DataError(
                f"{path} has no array {name!r}; expected {', '.join(REQUIRED)} and optionally "
                f"{', '.join(OPTIONAL)}; found {short(', '.join(names)) or 'nothing'}"
            )
    return present


def claimed_bytes(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The memory an array will take; refuses objects (they can hold code) and what does not fit."""
    if dtype.hasobject and not (name == "classes" and h5py.check_string_dtype(dtype) is not None):
        raise DataError(f"{path}: {name} holds Python objects; allowed: floats, integers, bool")
    size = math.prod(shape) * dtype.itemsize
    check_memory(size, f"{path}: {name} claims shape {short(shape)}, which")
    return size


def kept_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The memory the array will take inside a Dataset, beside the one read."""
    same = dtype == np.uint8 or dtype.kind == "f"
    return math.prod(shape) * (dtype.itemsize if same else 8)
