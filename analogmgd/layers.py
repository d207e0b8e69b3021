"""Layers of a network: dense, convolutions, pools. What has weights is laid out on a crossbar."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from .settings import Settings, whole

Activation = Literal["sigmoid", "tanh", "relu", "linear"]
Width = Annotated[int, BeforeValidator(whole), Field(ge=1, le=1_000_000)]
Small = Annotated[int, BeforeValidator(whole), Field(ge=1, le=1024)]
Margin = Annotated[int, BeforeValidator(whole), Field(ge=0, le=1024)]
Shape = tuple[int, ...]  # (channels, height, width) of a picture, (n,) of a vector


def _pair(value: Any) -> Any:
    """A kernel's (height, width); one number: both."""
    if not isinstance(value, list | tuple):
        return (value, value)
    if len(value) != 2:
        raise ValueError("must be one number, or a height and a width")
    return tuple(value)


def _picture(shape: Shape, layer: str) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"layers do not fit: {layer} needs a picture, and what comes before gives {shape[0]} numbers")
    return shape[0], shape[1], shape[2]


def _places(size: int, window: int, stride: int, layer: str, way: str) -> int:
    if window > size:
        raise ValueError(
            f"layers do not fit: the window of {layer} is {window} {way}, and what comes before gives {size}"
        )
    return (size - window) // stride + 1


class Dense(Settings):
    """A fully connected layer: a = W x + b, f(a).

    n_in, n_out : int
        Widths. Parameters: W row-major (n_out, n_in), then b (n_out,). A picture before it is taken row by row.
    activation : "sigmoid" | "tanh" | "relu" | "linear"

    >>> Dense(2, 1).n_params
    3
    """

    table: ClassVar[str] = "layer"
    kind: ClassVar[str] = "dense"
    n_in: Width
    n_out: Width
    activation: Activation = "sigmoid"

    def __init__(self, n_in: int, n_out: int, activation: Activation = "sigmoid", **unknown: Any) -> None:
        super().__init__(n_in=n_in, n_out=n_out, activation=activation, **unknown)

    @property
    def n_params(self) -> int:
        """Number of weights and biases."""
        return self.n_out * (self.n_in + 1)

    @property
    def rows(self) -> int:
        """Inputs of its crossbar, the bias not counted."""
        return self.n_in

    @property
    def columns(self) -> int:
        """Outputs of its crossbar."""
        return self.n_out

    @property
    def fans(self) -> tuple[int, int]:
        """Weights that lead to a neuron, and from an input."""
        return self.n_in, self.n_out

    def shape_after(self, shape: Shape) -> Shape:
        """What it makes of an input of this shape; ValueError where it does not fit."""
        n = math.prod(shape)
        if n != self.n_in:
            raise ValueError(
                f"layers do not fit: what comes before gives {n} numbers, and the next has n_in = {self.n_in}"
            )
        return (self.n_out,)

    def __str__(self) -> str:
        return str(self.n_out)


class Conv2d(Settings):
    """A convolution (cross-correlation) of a picture, its kernels on one crossbar that is used once per position.

    a[o, y, x] = b[o] + sum over i, r, s of W[o, i, r, s] u[i, stride y + r - padding, stride x + s - padding], f(a);
    u is 0 outside of the picture.

    c_in, c_out : channels
    kernel : height and width, or one number for both
    stride, padding : cells
    activation : as of `Dense`
    Parameters: W (c_out, c_in, height, width) row-major, then b (c_out,). One neuron circuit for each output channel.

    >>> Conv2d(16, 32, 3).n_params
    4640
    >>> Conv2d(16, 32, 3).shape_after((16, 13, 13))
    (32, 11, 11)
    """

    table: ClassVar[str] = "layer"
    kind: ClassVar[str] = "conv2d"
    c_in: Small
    c_out: Small
    kernel: Annotated[tuple[Small, Small], BeforeValidator(_pair)] = (3, 3)
    stride: Small = 1
    padding: Margin = 0
    activation: Activation = "relu"

    def __init__(self, c_in: int, c_out: int, kernel: int | tuple[int, int] = 3, **settings: Any) -> None:
        super().__init__(c_in=c_in, c_out=c_out, kernel=kernel, **settings)

    @property
    def n_params(self) -> int:
        """Number of weights and biases."""
        return self.c_out * (self.rows + 1)

    @property
    def rows(self) -> int:
        """Inputs of its crossbar, the bias not counted: what one position sees."""
        return self.c_in * self.kernel[0] * self.kernel[1]

    @property
    def columns(self) -> int:
        """Outputs of its crossbar."""
        return self.c_out

    @property
    def fans(self) -> tuple[int, int]:
        """Weights that lead to a neuron, and from an input."""
        return self.rows, self.c_out * self.kernel[0] * self.kernel[1]

    def shape_after(self, shape: Shape) -> Shape:
        """What it makes of an input of this shape; ValueError where it does not fit."""
        channels, height, width = _picture(shape, str(self))
        if channels != self.c_in:
            raise ValueError(
                f"layers do not fit: what comes before gives {channels} channels, and the next has c_in = {self.c_in}"
            )
        around = 2 * self.padding
        high = _places(height + around, self.kernel[0], self.stride, str(self), "high")
        return self.c_out, high, _places(width + around, self.kernel[1], self.stride, str(self), "wide")

    def __str__(self) -> str:
        high, wide = self.kernel
        more = f"/{self.stride}" * (self.stride > 1) + f"+{self.padding}" * (self.padding > 0)
        return f"conv{high}x{wide}{more}:{self.c_out}"


class Pool(Settings):
    """What pools share: windows of a picture; those that would reach beyond its edge are left out."""

    table: ClassVar[str] = "layer"
    kind: ClassVar[str] = ""
    n_params: ClassVar[int] = 0
    size: Small = 2
    stride: Small | None = None

    @property
    def step(self) -> int:
        """Cells from one window to the next."""
        return self.stride or self.size

    def shape_after(self, shape: Shape) -> Shape:
        """What it makes of an input of this shape; ValueError where it does not fit."""
        channels, height, width = _picture(shape, str(self))
        high = _places(height, self.size, self.step, str(self), "high")
        return channels, high, _places(width, self.size, self.step, str(self), "wide")

    def __str__(self) -> str:
        return f"{self.kind[:3]}{self.size}" + f"/{self.stride}" * (self.stride not in (None, self.size))


class MaxPool2d(Pool):
    """The largest of each window of size x size outputs, `stride` (default: size) cells apart.

    >>> MaxPool2d(2).shape_after((32, 11, 11))
    (32, 5, 5)
    """

    kind: ClassVar[str] = "maxpool2d"

    def __init__(self, size: int = 2, stride: int | None = None, **unknown: Any) -> None:
        super().__init__(size=size, stride=stride, **unknown)


class AvgPool2d(Pool):
    """The mean of each window of size x size outputs, `stride` (default: size) cells apart.

    >>> AvgPool2d(3, stride=2).shape_after((4, 7, 7))
    (4, 3, 3)
    """

    kind: ClassVar[str] = "avgpool2d"

    def __init__(self, size: int = 2, stride: int | None = None, **unknown: Any) -> None:
        super().__init__(size=size, stride=stride, **unknown)


class Flatten(Settings):
    """A picture as a vector, channel by channel and row by row. Dense layers do so by themselves.

    >>> Flatten().shape_after((32, 2, 2))
    (128,)
    """

    table: ClassVar[str] = "layer"
    kind: ClassVar[str] = "flatten"
    n_params: ClassVar[int] = 0

    def shape_after(self, shape: Shape) -> Shape:
        """The same numbers in a row."""
        return (math.prod(shape),)

    def __str__(self) -> str:
        return "flat"


Layer = Dense | Conv2d | MaxPool2d | AvgPool2d | Flatten
KINDS: dict[str, type[Any]] = {kind.kind: kind for kind in (Dense, Conv2d, MaxPool2d, AvgPool2d, Flatten)}
