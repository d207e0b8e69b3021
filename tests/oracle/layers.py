"""Layers of networks on images: dense, convolution, pools. Double precision, all samples of a batch at once.

Signals are (n, c, h, w), n the sample, or (n, size) once flat. A convolution is a loop over the places (i, j) of its
kernel, each a matrix product over channels; a pool is a loop over the places of its window. Nothing is unrolled.

As in network.py, signals and parameters may be complex, for derivatives by complex step.
"""

from dataclasses import dataclass

import numpy as np


def places(size, stride, shape_out):
    """For every place (i, j) of a window, row-major: ((i, j), what lies there for all positions, as two slices)."""
    for i in range(size[0]):
        for j in range(size[1]):
            rows = slice(i, i + stride * (shape_out[0] - 1) + 1, stride)
            columns = slice(j, j + stride * (shape_out[1] - 1) + 1, stride)
            yield (i, j), (..., rows, columns)


def window_positions(shape, size, stride):
    """(h', w'): how often a window fits, h' = (h - size) // stride + 1."""
    h_out, w_out = ((extent - s) // stride + 1 for extent, s in zip(shape, size, strict=True))
    if h_out < 1 or w_out < 1:
        raise ValueError(f"a window of {size} does not fit on {shape}")
    return h_out, w_out


@dataclass(frozen=True)
class Dense:
    """a = W x + b."""

    n_in: int
    n_out: int
    activation: str = "sigmoid"

    @property
    def weight_shape(self):
        return self.n_out, self.n_in

    @property
    def fans(self):
        return self.n_in, self.n_out

    def shape_out(self, shape):
        if shape != (self.n_in,):
            raise ValueError(f"a dense layer of {self.n_in} inputs receives {shape}")
        return (self.n_out,)

    def drive(self, W, b, x):
        """a (n, n_out) from x (n, n_in)."""
        return x @ W.T + b

    def back(self, W, x, delta):
        """dC/dW, dC/db, dC/dx from delta = dC/da (n, n_out)."""
        return delta.T @ x, delta.sum(axis=0), delta @ W


@dataclass(frozen=True)
class Conv2d:
    """Cross-correlation: a[o, r, s] = b[o] + sum over c, i, j of W[o, c, i, j] x[c, stride r + i, stride s + j].

    x is bordered with `padding` zeros on all sides; kernel is (kh, kw).
    """

    c_in: int
    c_out: int
    kernel: tuple
    stride: int = 1
    padding: int = 0
    activation: str = "relu"

    @property
    def weight_shape(self):
        return self.c_out, self.c_in, *self.kernel

    @property
    def fans(self):
        area = self.kernel[0] * self.kernel[1]
        return self.c_in * area, self.c_out * area

    def shape_out(self, shape):
        if len(shape) != 3 or shape[0] != self.c_in:
            raise ValueError(f"a convolution of {self.c_in} channels receives {shape}")
        padded = [extent + 2 * self.padding for extent in shape[1:]]
        return self.c_out, *window_positions(padded, self.kernel, self.stride)

    def bordered(self, x):
        """x with its zeros."""
        side = (self.padding, self.padding)
        return np.pad(x, ((0, 0), (0, 0), side, side))

    def drive(self, W, b, x):
        """a (n, c_out, h', w') from x (n, c_in, h, w)."""
        n, (_, h_out, w_out) = len(x), self.shape_out(x.shape[1:])
        x = self.bordered(x)
        a = np.zeros((n, self.c_out, h_out * w_out), dtype=np.result_type(W, x)) + b[:, None]
        for (i, j), there in places(self.kernel, self.stride, (h_out, w_out)):
            a += W[:, :, i, j] @ x[there].reshape(n, self.c_in, h_out * w_out)
        return a.reshape(n, self.c_out, h_out, w_out)

    def back(self, W, x, delta):
        """dC/dW, dC/db, dC/dx from delta = dC/da (n, c_out, h', w')."""
        n, _, h_out, w_out = delta.shape
        rows = delta.reshape(n, self.c_out, h_out * w_out)
        padded = self.bordered(x)
        dW, dx = np.zeros(W.shape), np.zeros(padded.shape)
        for (i, j), there in places(self.kernel, self.stride, (h_out, w_out)):
            seen = padded[there].reshape(n, self.c_in, h_out * w_out)
            dW[:, :, i, j] = (rows @ seen.transpose(0, 2, 1)).sum(axis=0)
            dx[there] += (W[:, :, i, j].T @ rows).reshape(n, self.c_in, h_out, w_out)
        inside = slice(self.padding, -self.padding or None)
        return dW, rows.sum(axis=(0, 2)), dx[:, :, inside, inside]


@dataclass(frozen=True)
class Pool:
    """A window of size x size every `stride` (None: size) rows and columns; what does not fill a window is dropped."""

    size: int
    stride: int | None = None
    activation = None  # has no neurons, so no parameters either

    @property
    def step(self):
        return self.size if self.stride is None else self.stride

    def shape_out(self, shape):
        if len(shape) != 3:
            raise ValueError(f"a pool receives {shape}; expected (c, h, w)")
        return shape[0], *window_positions(shape[1:], (self.size, self.size), self.step)

    def places(self, x):
        """As the function places, for the input x."""
        return places((self.size, self.size), self.step, self.shape_out(x.shape[1:])[1:])


class MaxPool2d(Pool):
    """The largest of a window."""

    def winners(self, x):
        """(largest, its place in the window, row-major: of equal ones the first)."""
        for number, (_, there) in enumerate(self.places(x)):
            if number == 0:
                largest, place = x[there], np.zeros(x[there].shape, dtype=int)
            else:
                larger = np.real(x[there]) > np.real(largest)
                largest, place = np.where(larger, x[there], largest), np.where(larger, number, place)
        return largest, place

    def apply(self, x):
        return self.winners(x)[0]

    def back(self, x, upstream):
        """dC/dx from dC/d(output): all of it to the winner."""
        _, place = self.winners(x)
        dx = np.zeros(x.shape)
        for number, (_, there) in enumerate(self.places(x)):
            dx[there] += np.where(place == number, upstream, 0.0)
        return dx


class AvgPool2d(Pool):
    """The mean of a window."""

    def apply(self, x):
        return sum(x[there] for _, there in self.places(x)) / self.size**2

    def back(self, x, upstream):
        """dC/dx from dC/d(output): an equal share to each."""
        dx = np.zeros(x.shape)
        for _, there in self.places(x):
            dx[there] += upstream / self.size**2
        return dx


@dataclass(frozen=True)
class Flatten:
    """(c, h, w) row-major into a vector."""

    activation = None

    def shape_out(self, shape):
        return (int(np.prod(shape)),)

    def apply(self, x):
        return x.reshape(len(x), -1)

    def back(self, x, upstream):
        return upstream.reshape(x.shape)
