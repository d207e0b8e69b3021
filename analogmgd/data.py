"""Data sets: the user's own arrays and files, and those built in.

>>> data = load_dataset("parity", bits=2)
>>> data.x_train.tolist(), data.y_train.ravel().tolist()
([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0.0, 1.0, 1.0, 0.0])
>>> [entry["name"] for entry in list_datasets()]
['parity', 'nist7x7', 'digits', 'fashion_mnist', 'cifar10']
"""

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analogmgd.datasets import MODULES, checks, files, places
from analogmgd.datasets.info import did_you_mean
from analogmgd.errors import AnalogMGDWarning, DataError

__all__ = ["Dataset", "list_datasets", "load_dataset"]

SUFFIXES = files.NPZ + files.HDF5


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples to train and to test on, checked once; the arrays cannot be written to.

    Args:
        x_train: features, one row per example: numbers (n, n_in), by custom in [0, 1], though any finite
            value is taken, or uint8 images of 0 to 255; also as (n, h, w) or (n, channels, h, w). Kept flat,
            (n, n_in): uint8 as uint8, float32 as float32, everything else as float64. (uint8 arrays with no
            value above 1 are bits, not images, and are kept as float64 0 and 1.)
        y_train: targets, one row per example: numbers (n, n_out); or (n,), where floats and bools are one
            output per example, and integers are class labels 0 to K-1 that become one-hot, (n, K), if
            ``classes`` is given (K names) or more than two different values occur (K = largest + 1);
            otherwise one output too.
        x_test, y_test: the same to test on; left out (or the same arrays), the test set is the training set.
        name: a short name.
        classes: names of the classes, one per output, or two (target below and above 0.5) for a single
            output. Left out, they are "0", "1", ... where the targets are one-hot or one column of 0 and 1,
            otherwise none.
        image_shape: (h, w) or (channels, h, w), if an example is a picture; taken from ``x_train`` if it has
            it.
        source, licence, description: texts.
        options: what `load_dataset` needs besides the name to make it again.

    Raises:
        DataError: an array is not usable; names the array, what it is and what is allowed.

    >>> xor = Dataset([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], name="xor")
    >>> xor
    Dataset('xor', 4 train, 4 test, 2 -> 1, classes 0 1)
    >>> xor.inputs("test", np.float32).dtype
    dtype('float32')
    >>> Dataset([[0.0, 1.0]], [1, 0])
    Traceback (most recent call last):
    analogmgd.errors.DataError: x_train has 1 row, y_train 2; each example needs both
    """

    x_train: npt.NDArray[Any]
    y_train: npt.NDArray[Any]
    x_test: npt.NDArray[Any] = None  # type: ignore[assignment]  # always an array once built
    y_test: npt.NDArray[Any] = None  # type: ignore[assignment]
    _: KW_ONLY
    name: str = "custom"
    classes: tuple[str, ...] = None  # type: ignore[assignment]
    image_shape: tuple[int, ...] | None = None
    source: str = ""
    licence: str = ""
    description: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("name", "source", "licence", "description"):
            text = getattr(self, key)
            if not isinstance(text, str) or (key == "name" and not text.strip()):
                raise DataError(f"{key} is {checks.short(repr(text))}; expected a text")
        if (self.x_test is None) != (self.y_test is None):
            given, absent = ("y_test", "x_test") if self.x_test is None else ("x_test", "y_test")
            raise DataError(f"{given} is given without {absent}; give both, or neither to test on the training set")
        names = checks.class_names(self.classes)
        same = self.x_test is self.x_train and self.y_test is self.y_train
        given_x, given_y = (None, None) if same else (self.x_test, self.y_test)
        x_train, x_test, image = checks.features(self.x_train, given_x)
        y_train, y_test = checks.targets(self.y_train, given_y, names)
        for split, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
            if x is not None and y is not None and len(x) != len(y):
                raise DataError(f"x_{split} has {checks.rows(len(x))}, y_{split} {len(y)}; each example needs both")
        n_out = y_train.shape[1]
        if names is not None and len(names) != n_out and (n_out, len(names)) != (1, 2):
            wanted = "1 or 2 names" if n_out == 1 else f"{n_out} names"
            raise DataError(
                f"classes has {checks.rows(len(names), 'name')}; "
                f"targets with {checks.rows(n_out, 'column')} take {wanted}"
            )
        if self.image_shape is not None:
            image = checks.image_shape(self.image_shape, x_train.shape[1])
        final = {
            "x_train": x_train,
            "y_train": y_train,
            "x_test": x_train if x_test is None else x_test,
            "y_test": y_train if y_test is None else y_test,
            "classes": checks.default_classes(y_train, y_test) if names is None else names,
            "image_shape": image,
        }
        for key, value in final.items():
            object.__setattr__(self, key, value)

    @property
    def n_in(self) -> int:
        """Number of inputs of a network for this data."""
        return int(self.x_train.shape[1])

    @property
    def n_out(self) -> int:
        """Number of outputs of a network for this data."""
        return int(self.y_train.shape[1])

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples: ``{"train": n, "test": n}``."""
        return {"train": len(self.x_train), "test": len(self.x_test)}

    @property
    def test_is_train(self) -> bool:
        """Whether the data set has no test set of its own."""
        return self.x_test is self.x_train and self.y_test is self.y_train

    def inputs(
        self, split: str = "train", dtype: npt.DTypeLike = np.float64, rows: slice = slice(None)
    ) -> npt.NDArray[Any]:
        """Features (n, n_in) as float32 or float64, read-only; images of 0 to 255 are divided by 255."""
        x = self._array("x", split)[rows]
        real = checks.float_dtype(dtype)
        if x.dtype == np.uint8:
            checks.check_memory(x.size * real.itemsize, f"x_{split} of {self.name!r} as {real}")
            x = np.divide(x, real.type(255), dtype=real)
        return checks.read_only(x.astype(real, copy=False))

    def targets(self, split: str = "train", dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
        """Targets (n, n_out) as float32 or float64, read-only."""
        return checks.read_only(self._array("y", split).astype(checks.float_dtype(dtype), copy=False))

    def labels(self, split: str = "train") -> npt.NDArray[np.int64]:
        """Class of each example, int64 (n,): the largest target, or for one output whether it is above 0.5.

        >>> load_dataset("nist7x7").labels("train")[:8]
        array([2, 2, 0, 2, 3, 0, 0, 2])
        """
        y = self._array("y", split)
        if len(self.classes) < 2:
            raise DataError(f"data set {self.name!r} has no classes: its targets are numbers")
        return (y[:, 0] > 0.5).astype(np.int64) if self.n_out == 1 else y.argmax(axis=1).astype(np.int64)

    def images(self, split: str = "train") -> npt.NDArray[Any]:
        """Features as stored, shaped as pictures: (n, h, w) or (n, channels, h, w)."""
        if self.image_shape is None:
            raise DataError(f"data set {self.name!r} has no image_shape: its examples are not pictures")
        return self._array("x", split).reshape(-1, *self.image_shape)

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the name, type, shape and (little-endian) bytes of the four arrays.

        >>> load_dataset("parity").fingerprint()[:16]
        '6feff07341bbfa75'
        """
        digest = hashlib.sha256()
        for name in ("x_train", "y_train", "x_test", "y_test"):
            array = getattr(self, name)
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
            digest.update(array.data.cast("B"))
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What the data set is, as a dictionary JSON can hold; ``class_counts`` by split and class name."""
        counts = {}
        if len(self.classes) > 1:
            for split in ("train", "test"):
                numbers = np.bincount(self.labels(split), minlength=len(self.classes)).tolist()
                counts[split] = dict(zip(self.classes, numbers, strict=True))
        return {
            "name": self.name,
            "description": self.description,
            "sizes": self.sizes,
            "test_is_train": self.test_is_train,
            "n_in": self.n_in,
            "n_out": self.n_out,
            "dtype": str(self.x_train.dtype),
            "range": [self.x_train.min().item(), self.x_train.max().item()],
            "image_shape": list(self.image_shape) if self.image_shape else None,
            "classes": list(self.classes),
            "class_counts": counts,
            "source": self.source,
            "licence": self.licence,
        }

    def __repr__(self) -> str:
        classes = ", classes " + checks.short(" ".join(self.classes)) if self.classes else ""
        sizes = ", ".join(f"{count} {split}" for split, count in self.sizes.items())
        return f"Dataset({self.name!r}, {sizes}, {self.n_in} -> {self.n_out}{classes})"

    def _array(self, letter: str, split: str) -> npt.NDArray[Any]:
        if split not in ("train", "test"):
            raise DataError(f"split is {checks.short(repr(split))}; allowed: 'train', 'test'")
        return getattr(self, f"{letter}_{split}")  # type: ignore[no-any-return]


def load_dataset(
    name: str | os.PathLike[str], *, data_dir: str | os.PathLike[str] | None = None, **options: Any
) -> Dataset:
    """A built-in data set by name, or the user's own from a file.

    Built in are ``parity`` (option ``bits``, 2 to 16; 2 is XOR), ``nist7x7`` and ``digits``; their arrays and
    their split into train and test are the same bits everywhere, always (see the modules in
    ``analogmgd.datasets``). A path ending in .npz, .h5 or .hdf5 is read: arrays ``x_train``, ``y_train`` and,
    optionally, ``x_test``, ``y_test``, ``classes``, ``image_shape``, with the meaning they have for
    :class:`Dataset`.

    ``fashion_mnist`` and ``cifar10`` are read from their published files, wherever they are found first: in the
    folder ``data_dir`` (then nowhere else) or ANALOGMGD_DATA, in Debian's package dataset-fashion-mnist, in the user's
    cache, where ``analogmgd datasets fetch`` puts them. Their checksums are compared; in a folder of the user's, files
    that are not the official ones are taken too, with a warning.

    Raises:
        DataError: unknown name or option; or a file that is missing, damaged, incomplete or too big for
            memory.

    >>> load_dataset("digits")
    Dataset('digits', 1437 train, 360 test, 64 -> 10, classes 0 1 2 3 4 5 6 7 8 9)
    >>> load_dataset("parity", bits=1)
    Traceback (most recent call last):
    analogmgd.errors.DataError: option bits of data set 'parity' is 1; allowed: a whole number from 2 to 16
    """
    if not isinstance(name, str | os.PathLike):
        raise DataError(f"data set is {checks.short(repr(name))}; expected a name or the path of a file")
    text = os.fsdecode(name)
    if text in MODULES:
        info = MODULES[text].INFO
        settings = info.settings(options)
        if info.downloads:
            return _published(text, data_dir)
        if data_dir is not None:
            raise DataError(f"data set {text!r} is part of the package: it takes no data_dir")
        return _built_in(text, tuple(settings.items()))
    path = Path(text).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        hint = " (XOR is parity with bits=2)" if text.lower() == "xor" else did_you_mean(text, MODULES)
        known = ", ".join(MODULES)
        raise DataError(f"unknown data set {text!r}{hint}; known: {known}, or a path ending in {', '.join(SUFFIXES)}")
    if data_dir is not None:
        raise DataError(f"data file {path} is found by its path: it takes no data_dir")
    if options:
        raise DataError(f"data file {path} has no option {next(iter(options))!r}; files have no options")
    content = files.read(path)
    try:
        return Dataset(**content, name=path.stem, source=f"file {path.name}")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def list_datasets() -> list[dict[str, Any]]:
    """The built-in data sets, from their metadata alone: nothing is loaded.

    Each entry has ``name, description, sizes, n_in, n_out, classes, image_shape, options, source, licence``,
    for the default options, and ``files``: None, or where those of the data set are found and how to get them.

    >>> [entry["name"] for entry in list_datasets()]
    ['parity', 'nist7x7', 'digits', 'fashion_mnist', 'cifar10']
    """
    return [
        module.INFO.describe() | {"files": places.state(module) if module.INFO.downloads else None}
        for module in MODULES.values()
    ]


@lru_cache(maxsize=8)  # a Dataset cannot be changed, so callers can share it
def _built_in(name: str, settings: tuple[tuple[str, Any], ...]) -> Dataset:
    module = MODULES[name]
    return Dataset(**(module.INFO.about | {"options": dict(settings)} | module.load(**dict(settings))))


def _published(name: str, data_dir: Any) -> Dataset:
    """A data set that is read from its published files, from wherever they are found first."""
    found = places.find(MODULES[name], data_dir)
    data, official = _read(name, found, found.stamp)
    if not official:
        what = f"not the official files (other checksums), {len(data.x_train)} + {len(data.x_test)} examples"
        text = f"{name} in {found.files[0].parent}: {what}: say so with results"
        warnings.warn(text, AnalogMGDWarning, stacklevel=3)
    return data


@lru_cache(maxsize=2)
def _read(name: str, found: places.Found, stamp: tuple[tuple[int, int], ...]) -> tuple[Dataset, bool]:
    arguments, official = places.read(MODULES[name], found)
    return Dataset(**(MODULES[name].INFO.about | arguments)), official
