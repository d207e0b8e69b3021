"""Fashion-MNIST: grey pictures of clothes, 28 x 28 pixels, from IDX files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from analogmgd.errors import DataError

from .idx import read_idx
from .info import Download, Info

ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"  # it has no https; the checksum counts
SIDE = 28
PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MD5 = (  # of the decompressed files: Debian's are compressed anew
    "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "9018921c3c673c538a1fc5bad174d6f9",
    "8181f5470baa50b63fa0f6fddb340f0a",
    "15d484375f8d13e6eb1aabb0c3f46965",
)
DOWNLOADS = tuple(
    Download(f"{part}.gz", f"{ADDRESS}{part}.gz", size, md5)
    for part, size, md5 in zip(
        PARTS,
        (26_421_880, 29_515, 4_422_102, 5_148),
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        strict=True,
    )
)
FOLDERS = ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw")  # below a folder of the user's

INFO = Info(
    name="fashion_mnist",
    description="grey pictures of ten kinds of clothes on 28 x 28 pixels",
    sizes=MappingProxyType({"train": 60_000, "test": 10_000}),
    n_in=SIDE * SIDE,
    n_out=10,
    classes=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    image_shape=(1, SIDE, SIDE),
    source="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv 1708.07747, 2017",
    licence="MIT (Zalando Research)",
    downloads=DOWNLOADS,
    package="dataset-fashion-mnist",
    package_folder="/usr/share/datasets/fashion-mnist",
)  # fmt: skip


def groups(folder: Path) -> Iterator[list[Path]]:
    """The four files as they may be called: as published, or with a dot before idx; gzipped or not."""
    group = []
    for part in PARTS:
        names = [part, f"{part}.gz", part.replace("-idx", ".idx"), part.replace("-idx", ".idx") + ".gz"]
        there = [folder / name for name in names if (folder / name).is_file()]
        group.append(there[0] if there else folder / names[1])
    yield group


def load(files: Sequence[Path]) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """The arrays in the files' order, and for each file its MD5 and that of the official one."""
    arrays, sums = [], {}
    for path, part, known in zip(files, PARTS, MD5, strict=True):
        images = "images" in part
        array, found = read_idx(path, (SIDE, SIDE) if images else (), "images" if images else "labels")
        if not images and array.max() > 9:
            raise DataError(f"{path} is damaged: label {array.argmax()} is {array.max()}; allowed: 0 to 9")
        sums[str(path)] = found, known
        array.flags.writeable = False
        arrays.append(array.reshape(len(array), -1) if images else array)
    for first, second in ((0, 1), (2, 3)):
        if len(arrays[first]) != len(arrays[second]):
            counts = f"{len(arrays[first])} images, and {files[second].name} {len(arrays[second])} labels"
            raise DataError(f"{files[first]} has {counts}: one of them is damaged")
    return dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)), sums
