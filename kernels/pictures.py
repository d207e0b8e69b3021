"""Networks of pictures with chips in the lanes: every device of every chip is its own, and read once per place.

A layer with weights is its crossbar, used for one place after another: what the kernel sees there is laid into rows
side by side, and then it is a dense layer, its devices, converters and counts included. `pictures` is a
`hardware.Pictures`, the tables those of image.py without fused pools. Rows of work: the inputs as they are shown, the
pictures of copy a and those of copy b, what one place sees (a, b), what becomes of it (a, b). Both copies see the
inputs of copy a.
"""

from __future__ import annotations

from numba.extending import overload

from . import table as t
from .dense import SINGLE, plain_dense
from .forward import first_row, make_columns, make_network
from .hardware import is_empty
from .image import larger, tap_row
from .jit import FLAGS, inner, leaf, named
from .neuron import activate
from .readout import convert_inputs, read_columns
from .simd import fma, lanes_of, load, store, width_of


@leaf
def copy_row_to(work, source, target):
    """One row of work."""
    for v in range(0, lanes_of(work), width_of(work)):
        store(work, target, v, load(work, source, v))


@inner
def lay_inputs(work, pictures):
    """The inputs, in the first rows of work, where the first stage reads them."""
    rows = pictures.input_rows
    for i in range(rows.shape[0]):
        copy_row_to(work, i, rows.shape[0] + rows[i])


@inner
def lay_place(work, stage, source, place, target):
    """What the kernel sees at a place of the pictures that begin in row `source`."""
    wide = stage[t.KERNEL_WIDE]
    for i in range(0, stage[t.CHANNELS] * stage[t.KERNEL_HIGH] * wide, wide):
        first = source + stage[t.SOURCE_ROW] + place + tap_row(stage, i)
        for k in range(wide):
            copy_row_to(work, first + k, target + i + k)


@inner
def put_place(work, stage, source, q, target, pictures):
    """The outputs of place number q into the pictures that begin in row `target`."""
    row = target + stage[t.TARGET_ROW] + pictures.targets[stage[t.FIRST_TARGET] + q]
    for j in range(stage[t.CHANNELS_OUT]):
        copy_row_to(work, source + j, row + j * stage[t.TARGET_PLANE])


@inner
def drive(work, stage, first, new, device):
    """What a layer reads through its converters, margins left alone; once, however many places read it."""
    margin, high, wide = stage[t.MARGIN], stage[t.HEIGHT], stage[t.WIDTH_IN]
    row = first + stage[t.SOURCE_ROW]
    if margin == 0:
        convert_inputs(work, row, stage[t.CHANNELS] * high * wide, new, device)
        return
    for c in range(stage[t.CHANNELS]):
        for y in range(margin, high - margin):
            convert_inputs(work, row + (c * high + y) * wide + margin, wide - 2 * margin, new, device)


@inner
def pool_rows(work, stage, first, pictures):
    """A pool of the pictures that begin in row `first`."""
    size, width = stage[t.KERNEL_HIGH], stage[t.WIDTH_IN]
    share = work.dtype.type(1.0) / work.dtype.type(size * size)
    for c in range(stage[t.CHANNELS]):
        x = first + stage[t.SOURCE_ROW] + c * stage[t.HEIGHT] * width
        z = first + stage[t.TARGET_ROW] + c * stage[t.TARGET_PLANE]
        for q in range(stage[t.PLACES]):
            corner = x + pictures.places[stage[t.FIRST_PLACE] + q]
            row = z + pictures.targets[stage[t.FIRST_TARGET] + q]
            for v in range(0, lanes_of(work), width_of(work)):
                a = load(work, corner, v)
                for i in range(1, size * size):
                    b = load(work, corner + (i // size) * width + i % size, v)
                    a = larger(a, b) if stage[t.STAGE] == t.MAX_POOL else a + b
                if stage[t.STAGE] == t.AVG_POOL:
                    a = a * share
                store(work, row, v, a)


def make_picture_network(form: int):
    """As `forward.make_network`."""
    columns = make_columns(form)

    @inner
    def network(kind, theta, words, values, amplitude, neuron, work, pictures, device):
        stages = pictures.stages
        a, b, seen, made = pictures.rows[0], pictures.rows[1], pictures.rows[2], pictures.rows[3]
        lay_inputs(work, pictures)
        column = 0  # of those that are read in one evaluation, each place's anew
        for s in range(stages.shape[0]):
            stage = stages[s]
            n_in = stage[t.CHANNELS] * stage[t.KERNEL_HIGH] * stage[t.KERNEL_WIDE]
            n_out, w0, b0 = stage[t.CHANNELS_OUT], stage[t.STAGE_WEIGHTS], stage[t.STAGE_BIASES]
            number = stage[t.STAGE_NEURONS]
            first = a if s == 0 else b
            if stage[t.STAGE] != t.ARRAY:
                if s == 0 or kind != SINGLE:
                    pool_rows(work, stage, a, pictures)
                if s == 0:
                    copy_rows_in(work, a, b, stage)
                else:
                    pool_rows(work, stage, b, pictures)
                continue
            if s > 0:
                for copy in range(b if kind == SINGLE else a, b + 1, b - a):
                    drive(work, stage, copy, True, device)
            for q in range(stage[t.OUTPUTS]):
                place = pictures.places[stage[t.FIRST_PLACE] + q]
                xb = seen + n_in
                lay_place(work, stage, first, place, xb)
                xa = xb
                if kind != SINGLE and s > 0:
                    xa = seen
                    lay_place(work, stage, a, place, xa)
                za, zb = made, made + n_out
                columns(
                    kind, theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb, column, device
                )  # fmt: skip
                column += n_out
                for copy in range(1 if kind == SINGLE else 0, 2):
                    z = made + copy * n_out
                    read_columns(n_out, work, z, number, device)
                    activate(work, z, n_out, stage[t.STAGE_ACTIVATION], neuron, number)
                    put_place(work, stage, z, q, a + copy * (b - a), pictures)

    return network


@inner
def copy_rows_in(work, a, b, stage):
    """What a pool made of the inputs, for copy b, too."""
    for i in range(stage[t.CHANNELS] * stage[t.TARGET_PLANE]):
        copy_row_to(work, a + stage[t.TARGET_ROW] + i, b + stage[t.TARGET_ROW] + i)


@inner
def plain_pictures(theta, neuron, work, pictures, device):
    """The network without perturbation and noise; inputs in the first rows of work, outputs in copy a."""
    a, seen, made = pictures.rows[0], pictures.rows[2], pictures.rows[3]
    lay_inputs(work, pictures)
    for s in range(pictures.stages.shape[0]):
        stage = pictures.stages[s]
        if stage[t.STAGE] != t.ARRAY:
            pool_rows(work, stage, a, pictures)
            continue
        n_in = stage[t.CHANNELS] * stage[t.KERNEL_HIGH] * stage[t.KERNEL_WIDE]
        n_out, number = stage[t.CHANNELS_OUT], stage[t.STAGE_NEURONS]
        if s > 0:
            drive(work, stage, a, False, device)
        for q in range(stage[t.OUTPUTS]):
            lay_place(work, stage, a, pictures.places[stage[t.FIRST_PLACE] + q], seen)
            plain_dense(theta, stage[t.STAGE_WEIGHTS], stage[t.STAGE_BIASES], n_in, n_out, work, seen, work, made)
            read_columns(n_out, work, made, number, device)
            activate(work, made, n_out, stage[t.STAGE_ACTIVATION], neuron, number)
            put_place(work, stage, made, q, a, pictures)


@inner
def accumulate_nodes(values, signal, row, keep, G, first, last, work, pictures):
    """G <- keep G + e xi x for parameters first .. last-1: row e of `signal` holds C_ac/amplitude**2, xi of values is
    the perturbation of a column, x what its weight reads (1 for the bias), in copy b; summed over the places."""
    a, b, seen = pictures.rows[0], pictures.rows[1], pictures.rows[2]
    if keep != G.dtype.type(1.0):
        for p in range(first, last):
            for v in range(0, lanes_of(G), width_of(G)):
                store(G, p, v, load(G, p, v) * keep)
    column = 0
    for s in range(pictures.stages.shape[0]):
        stage = pictures.stages[s]
        if stage[t.STAGE] != t.ARRAY:
            continue
        n_in = stage[t.CHANNELS] * stage[t.KERNEL_HIGH] * stage[t.KERNEL_WIDE]
        n_out, w0, b0 = stage[t.CHANNELS_OUT], stage[t.STAGE_WEIGHTS], stage[t.STAGE_BIASES]
        if w0 < first or w0 >= last:
            column += stage[t.OUTPUTS] * n_out
            continue
        for q in range(stage[t.OUTPUTS]):
            place = pictures.places[stage[t.FIRST_PLACE] + q]
            lay_place(work, stage, a if s == 0 else b, place, seen)
            for j in range(n_out):
                for v in range(0, lanes_of(G), width_of(G)):
                    e = load(signal, row, v) * load(values, column + j, v)
                    store(G, b0 + j, v, load(G, b0 + j, v) + e)
                    p = w0 + j * n_in
                    for i in range(n_in):
                        store(G, p + i, v, fma(e, load(work, seen + i, v), load(G, p + i, v)))
            column += n_out


def outputs_of(layers, work, pictures):
    """(Row of work where the outputs of copy a begin, rows from there to those of copy b)."""


@overload(outputs_of, jit_options=FLAGS)
def _outputs_of(layers, work, pictures):
    if is_empty(pictures):

        def dense(layers, work, pictures):
            n_inputs, last = layers[0, t.N_IN], layers.shape[0] - 1
            widest = (work.shape[0] - n_inputs) // 4
            return first_row(0, last, n_inputs, widest), 2 * widest

        return dense

    def body(layers, work, pictures):
        rows, stages = pictures.rows, pictures.stages
        return rows[0] + stages[stages.shape[0] - 1, t.TARGET_ROW], rows[1] - rows[0]

    return body


def make_any_network(form: int):
    """The forward pass for one form of perturbation, of whichever kind of network: `pictures` is () for dense ones."""
    dense, picture = make_network(form), make_picture_network(form)

    def network(kind, theta, words, values, amplitude, layers, neuron, work, pictures, device):
        """`forward.make_network`, or `make_picture_network`."""

    network.__qualname__ += f"_{form}"  # what holds it is named after it (`jit.named`)

    @overload(network, jit_options=FLAGS)
    def _network(kind, theta, words, values, amplitude, layers, neuron, work, pictures, device):
        if is_empty(pictures):

            def plain(kind, theta, words, values, amplitude, layers, neuron, work, pictures, device):
                widest = (work.shape[0] - layers[0, t.N_IN]) // 4
                dense(kind, theta, words, values, amplitude, layers, neuron, work, widest, device)

            return named(plain)
        return named(
            lambda kind, theta, words, values, amplitude, layers, neuron, work, pictures, device: picture(
                kind, theta, words, values, amplitude, neuron, work, pictures, device
            )
        )

    return network
