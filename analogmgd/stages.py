"""Networks of pictures as tables for the kernels: where each layer finds what it reads and puts what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .kernels import table as t
from .layers import AvgPool2d, Conv2d, Dense, Flatten, MaxPool2d, Pool, Shape
from .network import Network


@dataclass(frozen=True)
class Stages:
    """stages int64[.., STAGES], places, targets int64[n]: see `kernels.image`; input_rows int64[n_in]: the row of each
    input; rows: of work; most: parameters of the largest layer."""

    stages: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    input_rows: np.ndarray
    rows: int
    most: int


@dataclass(frozen=True)
class Picture:
    """A picture in work: channels x height x width, the margin included, its first row, and the margin."""

    channels: int
    height: int
    width: int
    margin: int
    row: int

    @classmethod
    def of(cls, shape: Shape, margin: int, row: int) -> Picture:
        """Of a shape; a vector is as many channels of one cell."""
        channels, height, width = (shape[0], 1, 1) if len(shape) == 1 else shape
        return cls(channels, height + 2 * margin, width + 2 * margin, margin, row)

    @property
    def rows(self) -> int:
        return self.channels * self.height * self.width

    def cells(self, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
        """Rows within a channel of cells inside of the margin."""
        return (ys + self.margin) * self.width + xs + self.margin

    def inside(self) -> np.ndarray:
        """Rows of all numbers of the picture itself."""
        ys, xs = np.indices((self.height - 2 * self.margin, self.width - 2 * self.margin))
        channels = np.arange(self.channels)[:, np.newaxis] * self.height * self.width
        return (self.row + channels + self.cells(ys.ravel(), xs.ravel())).ravel().astype(np.int64)


def grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """y and x of every cell of a picture, row by row."""
    high, wide = shape[1:] if len(shape) == 3 else (1, 1)
    ys, xs = np.indices((high, wide))
    return ys.ravel(), xs.ravel()


def filled_up(values: np.ndarray, whole: bool) -> np.ndarray:
    """To groups of four, the last again; whole: a kernel as large as what it reads, whose cells then lie in a row, has
    its one place alone."""
    return values if whole else np.concatenate([values, np.repeat(values[-1:], -len(values) % 4)])


@cache
def stages_of(network: Network, activations: tuple[tuple[str, int], ...], fused: bool = True) -> Stages:
    """The tables of a network; activations : (name, number) of each, as the kernels know them; fused: pools of 2 x 2
    are part of the convolution before them."""
    numbers = dict(activations)
    layers = [(k, layer) for k, layer in enumerate(network.layers) if not isinstance(layer, Flatten)]
    rows, places, targets = [], [], []
    n_places = n_targets = parameter = neuron = most = 0

    def margin_before(i: int) -> int:
        layer = layers[i][1] if i < len(layers) else None
        return layer.padding if isinstance(layer, Conv2d) else 0

    before = Picture.of(network.shapes[0], margin_before(0), 0)
    input_rows = before.inside()
    i = 0
    while i < len(layers):
        k, layer = layers[i]
        ys, xs = grid(network.shapes[k + 1])
        then = t.NOTHING
        after_shape = network.shapes[k + 1]
        following = layers[i + 1] if i + 1 < len(layers) else None
        if fused and isinstance(layer, Conv2d) and following:
            at, pool = following
            if isinstance(pool, Pool) and pool.size == pool.step == 2:
                then = t.MAX_OF_FOUR if isinstance(pool, MaxPool2d) else t.MEAN_OF_FOUR
                after_shape = network.shapes[at + 1]
                tops, lefts = grid(after_shape)
                ys = (2 * tops[:, np.newaxis] + np.array([0, 0, 1, 1])).ravel()
                xs = (2 * lefts[:, np.newaxis] + np.array([0, 1, 0, 1])).ravel()
                i += 1
        after = Picture.of(after_shape, margin_before(i + 1), before.row + before.rows)
        row = np.zeros(t.STAGES, np.int64)
        if isinstance(layer, Dense):  # a picture before it is as many channels of one cell
            before = Picture(layer.n_in, 1, 1, 0, before.row)
        kernel, stride = (1, 1), 1
        if isinstance(layer, Conv2d):
            kernel, stride = layer.kernel, layer.stride
        elif isinstance(layer, Pool):
            kernel, stride = (layer.size, layer.size), layer.step
        own = stride * ys * before.width + stride * xs
        out = after.cells(*grid(after_shape))
        row[t.OUTPUTS] = len(out)
        if not isinstance(layer, Pool):
            row[t.STAGE] = t.ARRAY
            whole = kernel == (before.height, before.width)
            own = filled_up(own, whole)
            out = out if then != t.NOTHING else filled_up(out, whole)
            row[t.CHANNELS_OUT] = layer.columns
            row[t.STAGE_WEIGHTS] = parameter
            row[t.STAGE_BIASES] = parameter + layer.rows * layer.columns
            row[t.STAGE_ACTIVATION], row[t.STAGE_NEURONS] = numbers[layer.activation], neuron
            parameter += layer.n_params
            neuron += layer.columns
            most = max(most, layer.n_params)
        else:
            row[t.STAGE] = t.AVG_POOL if isinstance(layer, AvgPool2d) else t.MAX_POOL
        row[t.CHANNELS], row[t.HEIGHT], row[t.WIDTH_IN] = before.channels, before.height, before.width
        row[t.KERNEL_HIGH], row[t.KERNEL_WIDE] = kernel
        row[t.SOURCE_ROW], row[t.TARGET_ROW], row[t.MARGIN] = before.row, after.row, before.margin
        row[t.TARGET_PLANE] = after.height * after.width
        row[t.FIRST_PLACE], row[t.PLACES], row[t.FIRST_TARGET] = n_places, len(own), n_targets
        row[t.THEN] = then
        n_places, n_targets = n_places + len(own), n_targets + len(out)
        rows.append(row)
        places.append(own)
        targets.append(out)
        before = after
        i += 1
    return Stages(
        np.array(rows), np.concatenate(places).astype(np.int64), np.concatenate(targets).astype(np.int64), input_rows,
        before.row + before.rows, most,
    )  # fmt: skip
