"""CIFAR-10: colour pictures of ten kinds of things, 32 x 32 pixels, in the binary or the python layout.

A record of the binary layout is a byte for the label and 3072 for the pixels: all of red, of green, of blue, each row
by row. The python layout has the same numbers in pickles, which are read without executing them. Both come in five
batches to train and one to test, in a folder or in the archive, of which nothing is ever unpacked to disk.
"""

import gzip
import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any

import numpy as np

from analogmgd.errors import DataError

from .checks import Array, check_memory
from .cifar_pickle import read_batch
from .info import Download, Info
from .places import damage

SIDE, PIXELS = 32, 3 * 32 * 32
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
MD5 = dict(
    zip(
        [f"{name}.bin" for name in BATCHES] + list(BATCHES),
        (
            "5dd7e06a14cb22eb9f671a540d1b7c25",
            "5ea93a67294ea407fff1d09f752e9692",
            "942cd6a4bcdd0dd3c604fbe906cb4421",
            "ae636b3ba5c66a11e91e8cb52e771fcb",
            "53f37980c15c3d472c316c40844f3f0d",
            "803d5f7f4d78ea53de84dbe85f74fb6d",
            "c99cafc152244af753f735de768cd75f",
            "d4bba439e000b95fd0a9bffe97cbabec",
            "54ebc095f3ab1f0389bbae665268c751",
            "634d18415352ddfa80567beed471001a",
            "482c414d41f54cd18b22e5b47cb7c3cb",
            "40351d587109b95175f43aff81a1287e",
        ),
        strict=True,
    )
)
DOWNLOAD = Download(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    170_052_171,
    "c32a1d4ab5d03f1284b67883e8d87530",
)
ARCHIVES = (DOWNLOAD.file, "cifar-10-python.tar.gz")
FOLDERS = ("cifar10", "cifar-10")  # below a folder of the user's
MOST = 512 * 2**20  # bytes an archive may unpack to; the official ones have 180 MB

INFO = Info(
    name="cifar10",
    description="colour pictures of animals and vehicles, ten kinds, on 32 x 32 pixels",
    sizes=MappingProxyType({"train": 50_000, "test": 10_000}),
    n_in=PIXELS,
    n_out=10,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    image_shape=(3, SIDE, SIDE),
    source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009",
    licence="none stated by its authors, who ask to cite the report",
    downloads=(DOWNLOAD,),
)


def groups(folder: Path) -> Iterator[list[Path]]:
    """The files as they may lie in a folder: batches of either layout, in their folder or not, or an archive."""
    for layout, suffix in (("cifar-10-batches-bin", ".bin"), ("cifar-10-batches-py", "")):
        for place in (folder / layout, folder):
            yield [place / (name + suffix) for name in BATCHES]
    for name in ARCHIVES:
        yield [folder / name]


def load(files: Sequence[Path]) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """The arrays in the files' order, and for each batch its MD5 and that of the official one."""
    parts, sums = [], {}
    for place, name, data in from_archive(files[0]) if len(files) == 1 else from_folder(files):
        sums[place] = hashlib.md5(data, usedforsecurity=False).hexdigest(), MD5[name]
        parts.append(from_binary(place, data) if name.endswith(".bin") else read_batch(place, data, PIXELS))
        labels = parts[-1][0]
        if labels.max() > 9:
            raise DataError(f"{place} is damaged: label {labels.argmax()} is {labels.max()}; allowed: 0 to 9")
    counts = [len(labels) for labels, _ in parts]
    if len(set(counts[:5])) > 1:
        raise DataError(f"{place}: the five batches to train have {counts[:5]} images; one of them is damaged")
    check_memory(PIXELS * sum(counts), f"{place}: {sum(counts)} images")
    x_train, x_test = np.concatenate([x for _, x in parts[:5]]), parts[5][1].copy()
    for array in (x_train, x_test):
        array.flags.writeable = False
    y_train = np.concatenate([y for y, _ in parts[:5]])
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": parts[5][0]}, sums


def from_binary(place: str, data: bytes) -> tuple[Array, Array]:
    """Labels uint8 (n,) and pixels uint8 (n, 3072) of a batch of the binary layout."""
    if not data or len(data) % (1 + PIXELS):
        raise DataError(f"{place} is damaged: {len(data)} bytes are no whole number of records of {1 + PIXELS}")
    table = np.frombuffer(data, np.uint8).reshape(-1, 1 + PIXELS)
    return table[:, 0], table[:, 1:]


def from_folder(files: Sequence[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Place, name and bytes of each batch."""
    for path in files:
        with damage(path):
            check_memory(2 * path.stat().st_size, str(path))
            data = path.read_bytes()
        yield str(path), path.name, data


def from_archive(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """The same from an archive. Only plain files of the right names are read, and into memory."""
    found: dict[str, bytes] = {}
    with damage(path), gzip.open(path) as file:
        stream = Bounded(path, file)
        with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                name = PurePosixPath(member.name).name
                if name not in MD5 or not member.isreg() or member.issparse():
                    continue
                if name in found:
                    raise DataError(f"{path} has {name} twice")
                if member.size > MOST:
                    raise DataError(f"{path} is damaged: {name} claims {member.size} bytes")
                content = archive.extractfile(member)
                assert content is not None
                found[name] = content.read()
        while stream.read(2**20):  # to the end, where gzip's own checksum is compared
            pass
    suffix = ".bin" if f"{BATCHES[0]}.bin" in found else ""
    for name in BATCHES:
        if name + suffix not in found:
            raise DataError(f"{path} is not an archive of CIFAR-10, or is damaged: it has no {name}{suffix}")
        yield f"{path}: {name}{suffix}", name + suffix, found[name + suffix]


class Bounded:
    """A stream that gives up beyond MOST bytes, however much a small file unpacks to."""

    def __init__(self, path: Path, file: IO[bytes] | gzip.GzipFile) -> None:
        self._path, self._file, self._left = path, file, MOST

    def read(self, size: int) -> bytes:
        """The next bytes."""
        if size > self._left:
            size = self._left + 1
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._path} is not an archive of CIFAR-10: it unpacks to more than {MOST} bytes")
        return data
