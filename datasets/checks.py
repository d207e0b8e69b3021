"""Checks and normal forms of the arrays of a data set. Every problem is a DataError of one line."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from analogmgd.errors import DataError
from analogmgd.limits import free_memory

LARGEST = float(np.finfo(np.float32).max)  # what single precision can hold
MAX_CLASSES = 10_000
Array = np.ndarray[Any, np.dtype[Any]]


def check_memory(needed_bytes: int, what: str) -> None:
    """Refuse what does not fit into the memory that is free now. ``what`` opens the message."""
    available = free_memory()
    if needed_bytes > available:
        raise DataError(f"{what} needs {gib(needed_bytes)}; {gib(available)} of memory is free")


def gib(size: int) -> str:
    """A number of bytes as text, e.g. ``1.5 GiB``."""
    return f"{size / 2**30:.3g} GiB" if size < 2**60 else f"2^{math.log2(size):.0f} bytes"


def numeric(name: str, value: Any) -> Array:
    """``value`` as an array of bool, integers or floats with at least one row and one column."""
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(f"{name} is a masked array; fill or drop the masked values first")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        raise DataError(f"{name} is not an array: its rows differ in length or are not numbers") from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} has dtype {short(array.dtype)}; allowed: floats, integers, bool")
    if array.ndim == 0:
        raise DataError(f"{name} is a single number; expected an array with one row per example")
    if array.size == 0:
        raise DataError(f"{name} has shape {array.shape}; it needs at least one row and one column")
    return array


def short(thing: object, limit: int = 60) -> str:
    """The text of a value on one line, cut to ``limit`` characters, for messages."""
    text = " ".join(str(thing).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def frozen(name: str, array: Array, dtype: Any) -> Array:
    """The array finite, C-contiguous, of ``dtype`` and read-only; copied unless it already is all that."""
    dtype = np.dtype(dtype)
    owner, writeable = array, array.flags.writeable
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
        writeable = writeable or owner.flags.writeable
    foreign = owner.base is not None and not isinstance(owner.base, bytes)
    keep = array.dtype == dtype and type(array) is np.ndarray and array.flags.c_contiguous and array.flags.aligned
    if keep and not writeable and not foreign:
        result = array
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # too large for the type: found just below
            result = np.array(array, dtype=dtype, order="C", subok=False)
    if dtype.kind == "f":
        require_finite(name, result)
    result.flags.writeable = False
    return result


def require_finite(name: str, array: Array) -> None:
    """Refuse NaN, infinity and what single precision cannot hold; names the first such element."""
    with np.errstate(invalid="ignore"):
        good = np.abs(array) <= LARGEST
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        place = ", ".join(map(str, where))
        raise DataError(f"{name}[{place}] is {array[where]}; every value must be finite and below 3.4e38")


def float_type(*arrays: Array) -> type[np.floating[Any]]:
    """float32 where every array is float32 or float16, otherwise float64."""
    small = all(array.dtype.kind == "f" and array.dtype.itemsize <= 4 for array in arrays)
    return np.float32 if small else np.float64


def features(train: Any, test: Any) -> tuple[Array, Array | None, tuple[int, ...] | None]:
    """Inputs (n, n_in) of both splits and the shape of an image where rows have more than one dimension."""
    given = [("x_train", train)] if test is None else [("x_train", train), ("x_test", test)]
    arrays = [numeric(name, value) for name, value in given]
    for (name, _), array in zip(given, arrays, strict=True):
        if array.ndim not in (2, 3, 4):
            raise DataError(
                f"{name} has shape {array.shape}; expected (n, n_in), or images (n, h, w) or (n, channels, h, w)"
            )
        if array.ndim == 4 and array.shape[3] in (1, 3, 4) and array.shape[1] > 4:
            raise DataError(
                f"{name} has shape {array.shape}, channels last; expected (n, channels, h, w): "
                "numpy.moveaxis(x, 3, 1) makes it"
            )
    if arrays[-1].shape[1:] != arrays[0].shape[1:]:
        raise DataError(
            f"x_test has rows of shape {arrays[1].shape[1:]}, x_train of {arrays[0].shape[1:]}; they must agree"
        )
    image = [array.dtype == np.uint8 for array in arrays]
    if image[0] != image[-1]:
        raise DataError(
            f"x_test has dtype {arrays[1].dtype}, x_train {arrays[0].dtype}; "
            "uint8 images (0 to 255) and other numbers (taken as they are) do not mix"
        )
    bits = image[0] and all(int(array.max()) <= 1 for array in arrays)
    dtype = np.uint8 if image[0] and not bits else float_type(*arrays)
    flat = [
        frozen(name, array if array.ndim == 2 else array.reshape(len(array), -1), dtype)
        for (name, _), array in zip(given, arrays, strict=True)
    ]
    shape = tuple(arrays[0].shape[1:]) if arrays[0].ndim > 2 else None
    return flat[0], flat[1] if len(flat) > 1 else None, shape


def targets(train: Any, test: Any, classes: tuple[str, ...] | None) -> tuple[Array, Array | None]:
    """Targets (n, n_out) of both splits; whole numbers (n,) become one-hot as ``Dataset`` documents."""
    given = [("y_train", train)] if test is None else [("y_train", train), ("y_test", test)]
    arrays = [numeric(name, value) for name, value in given]
    for (name, _), array in zip(given, arrays, strict=True):
        if array.ndim > 2:
            raise DataError(f"{name} has shape {array.shape}; expected (n, n_out), or (n,)")
    if arrays[-1].ndim != arrays[0].ndim:
        raise DataError(
            f"y_test has shape {arrays[1].shape}, y_train {arrays[0].shape}; both must be (n,) or both (n, n_out)"
        )
    whole = [array.ndim == 1 and array.dtype.kind in "iu" for array in arrays]
    if all(whole) and (classes is not None or len(np.unique(np.concatenate(arrays))) > 2):
        count = len(classes) if classes else max(int(array.max()) for array in arrays) + 1
        columns = [one_hot(name, array, count) for (name, _), array in zip(given, arrays, strict=True)]
    elif whole[0] != whole[-1]:
        raise DataError(
            f"y_test has dtype {arrays[1].dtype}, y_train {arrays[0].dtype}; "
            "class labels (n,) must be integers in both, numbers (n,) floats in both"
        )
    else:
        columns = [array.reshape(len(array), -1) for array in arrays]
    result = [frozen(name, y, float_type(*columns)) for (name, _), y in zip(given, columns, strict=True)]
    if result[-1].shape[1] != result[0].shape[1]:
        raise DataError(
            f"y_test has {rows(result[1].shape[1], 'column')}, y_train {result[0].shape[1]}; they must agree"
        )
    return result[0], result[1] if len(result) > 1 else None


def one_hot(name: str, labels: Array, count: int) -> Array:
    """Class labels 0 to count-1, integers (n,), as float64 (n, count) with a 1 in the column of the class."""
    if count > MAX_CLASSES:
        raise DataError(
            f"{name} holds integers up to {count - 1}, read as class labels; allowed: 0 to {MAX_CLASSES - 1} "
            "(give floats for targets that are numbers)"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= count))
    if bad.size:
        raise DataError(f"{name}[{bad[0]}] is {labels[bad[0]]}; class labels go from 0 to {count - 1}")
    check_memory(8 * count * len(labels), f"{name} as one-hot of {count} classes")
    result = np.zeros((len(labels), count))
    result[np.arange(len(labels)), labels] = 1.0
    result.flags.writeable = False
    return result


def class_names(classes: Any) -> tuple[str, ...] | None:
    """The names of the classes, each a text or a number, all different; None if there are none."""
    if classes is None:
        return None
    if isinstance(classes, str | bytes) or not isinstance(classes, Iterable):
        raise DataError(f"classes is {short(repr(classes))}; expected a sequence of names, e.g. ('cat', 'dog')")
    items = list(classes)
    for name in items:
        if isinstance(name, bool | np.bool_) or not isinstance(name, str | int | np.integer):
            raise DataError(f"classes has {short(repr(name))}; each name must be a text or a whole number")
    names = tuple(str(name) for name in items)
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) <= MAX_CLASSES else []
    if twice:
        raise DataError(f"classes has {twice[0]!r} more than once; names must differ")
    return names or None


def image_shape(shape: Any, n_in: int) -> tuple[int, ...]:
    """(h, w) or (channels, h, w) whose product is the number of inputs."""
    try:
        sides = tuple(int(side) for side in shape)
        exact = all(int(side) == side for side in shape)
    except (TypeError, ValueError, OverflowError):
        sides, exact = (), False
    if not exact or len(sides) not in (2, 3) or min(sides) < 1 or math.prod(sides) != n_in:
        raise DataError(f"image_shape is {short(shape)}; expected (h, w) or (channels, h, w) with a product of {n_in}")
    return sides


def default_classes(*targets: Array | None) -> tuple[str, ...]:
    """Class names "0", "1", ... for targets that are one-hot, or one column of 0 and 1; else none."""
    arrays = [y for y in targets if y is not None]
    width = arrays[0].shape[1]
    if not all(bool(np.all((y == 0) | (y == 1))) for y in arrays):
        return ()
    if width > 1 and not all(bool(np.all(y.sum(axis=1) == 1)) for y in arrays):
        return ()
    return tuple(map(str, range(max(width, 2))))


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """float32 or float64 as a NumPy dtype; DataError for anything else."""
    try:
        real: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        real = np.dtype(object)
    if real not in (np.float32, np.float64):
        raise DataError(f"dtype is {short(repr(dtype))}; allowed: float32, float64")
    return real


def read_only(array: Array) -> Array:
    """The same array, not writeable."""
    array.flags.writeable = False
    return array


def rows(count: int, noun: str = "row") -> str:
    """``1 row``, ``2 rows``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
