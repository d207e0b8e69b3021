"""The UCI handwritten digits, 1797 images of 8 x 8 pixels, shipped with the package (see digits.md)."""

import gzip
import hashlib
import zlib
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np

from analogmgd.errors import DataError

from .info import Info

FILE = "digits.csv.gz"
SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"  # of the decompressed text
COUNT = 1797
TEST_COUNT = COUNT // 5 + 1  # 360
GREY_MAX = 16

INFO = Info(
    name="digits",
    description="handwritten digits 0 to 9 of 13 people on 8 x 8 pixels with 17 grey levels",
    sizes=MappingProxyType({"train": COUNT - TEST_COUNT, "test": TEST_COUNT}),
    n_in=64,
    n_out=10,
    classes=tuple("0123456789"),
    image_shape=(8, 8),
    source=(
        "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test part), "
        "UCI Machine Learning Repository, 1998, doi 10.24432/C50P49"
    ),
    licence="CC BY 4.0",
)


def read() -> tuple[np.ndarray, np.ndarray]:
    """The file as published, in its order: x uint8[1797, 64] of 0 to 16, labels uint8[1797] of 0 to 9."""
    try:
        text = gzip.decompress(resources.files(__package__).joinpath(FILE).read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"data file {FILE} of the package cannot be read ({error}); reinstall analogmgd") from None
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise DataError(f"data file {FILE} of the package has been altered; reinstall analogmgd")
    table = np.loadtxt(text.decode("ascii").splitlines(), delimiter=",", dtype=np.uint8)
    return table[:, :-1], table[:, -1]


def load() -> dict[str, Any]:
    """Grey levels divided by 16, images in a fixed random order: 1437 to train, then 360 to test.

    The order is ``numpy.random.RandomState(0).permutation(1797)``: the Mersenne twister stream that NumPy has
    frozen (NEP 19), so it is the same in every version; the global state of numpy.random is neither used nor
    changed. It mixes the writers, so the test set has new images but no new hands.
    """
    x, labels = read()
    order = np.random.RandomState(0).permutation(COUNT)
    x, y = x[order] / GREY_MAX, np.eye(10)[labels[order]]
    cut = COUNT - TEST_COUNT
    return {"x_train": x[:cut], "y_train": y[:cut], "x_test": x[cut:], "y_test": y[cut:]}
