"""The nodal equations of a crossbar with resistive wires, eliminated row by row: `wires_elimination` as a kernel.

One array at a time, the columns of its matrices in a register's lanes: an array of 64 x 64 then stays in the cache, a
chip is solved when it is due and not when its neighbours are, and its bits cannot depend on them. What is inverted is a
symmetric, diagonally dominant M-matrix: no pivoting. Sizes are filled up, to rows of a multiple of 4 and columns of 16,
with nodes that nothing is connected to. Everything is float64; M and S in units of the conductances given, ends
in their inverse.
"""

from __future__ import annotations

import numpy as np

from .jit import entry, inner
from .simd import WIDTH, at, filled, fma, load, put, store

G, M, S = range(3)  # of cells float64[3, rows, width]
IDENTITY, E, LOAD, PRODUCT, X, Y, FED, LEFT, RIGHT, LINE, BLOCKS = range(11)  # of work float64[BLOCKS, size, width]
KEPT, NORTON, SECOND_LEFT, SECOND_CURRENT, NUMBERS = range(5)  # columns of LINE, and its row 0 holds:
FIRST, TOTAL = NUMBERS, NUMBERS + 1


@inner
def size_of(n):
    """Rows of a matrix for n columns of an array."""
    return 4 * ((n + 3) // 4)


@inner
def width_for(n):
    """Columns of a matrix for n columns of an array."""
    return WIDTH * ((n + WIDTH - 1) // WIDTH)


@inner
def set_identity(A, size, width, factor):
    """A <- factor I."""
    for i in range(size):
        for v in range(0, width, WIDTH):
            store(A, i, v, 0.0)
        put(A, i, i, factor)


@inner
def add_scaled(A, factor, B, size, width):
    """A <- A + factor B."""
    for i in range(size):
        for v in range(0, width, WIDTH):
            store(A, i, v, fma(load(B, i, v), factor, load(A, i, v)))


@inner
def copy(A, B, size, width):
    """B <- A."""
    for i in range(size):
        for v in range(0, width, WIDTH):
            store(B, i, v, load(A, i, v))


@inner
def invert(A, size, width):
    """A <- A^-1 in place, Gauss and Jordan, four pivots at a time."""
    for k in range(0, size, 4):
        for m in range(k, k + 4):
            p = 1.0 / at(A, m, m)
            put(A, m, m, 1.0)
            for v in range(0, width, WIDTH):
                store(A, m, v, load(A, m, v) * p)
            for i in range(k, k + 4):
                if i != m:
                    f = -at(A, i, m)
                    put(A, i, m, 0.0)
                    for v in range(0, width, WIDTH):
                        store(A, i, v, fma(load(A, m, v), f, load(A, i, v)))
        for i in range(size):
            if k <= i < k + 4:
                continue
            f0, f1, f2, f3 = -at(A, i, k), -at(A, i, k + 1), -at(A, i, k + 2), -at(A, i, k + 3)
            for m in range(k, k + 4):
                put(A, i, m, 0.0)
            for v in range(0, width, WIDTH):
                x = fma(load(A, k, v), f0, load(A, i, v))
                x = fma(load(A, k + 1, v), f1, x)
                x = fma(load(A, k + 2, v), f2, x)
                store(A, i, v, fma(load(A, k + 3, v), f3, x))


@inner
def multiply(A, B, C, size, width):
    """C <- A B."""
    for v in range(0, width, WIDTH):
        for i in range(0, size, 4):
            c0, c1, c2, c3 = filled(0.0, A), filled(0.0, A), filled(0.0, A), filled(0.0, A)
            for k in range(size):
                b = load(B, k, v)
                c0 = fma(b, at(A, i, k), c0)
                c1 = fma(b, at(A, i + 1, k), c1)
                c2 = fma(b, at(A, i + 2, k), c2)
                c3 = fma(b, at(A, i + 3, k), c3)
            store(C, i, v, c0)
            store(C, i + 1, v, c1)
            store(C, i + 2, v, c2)
            store(C, i + 3, v, c3)


@inner
def prepare_row(cells, i, n, segment, end, both, line):
    """What `across` needs to know of row i: the part of a current that is left behind each segment, and the ends."""
    g = cells[G]
    seen = 0.0
    for j in range(n - 1, -1, -1):
        if j + 1 < n:
            seen = seen * at(line, j + 1, KEPT)
        seen = seen + at(g, i, j)
        put(line, j, KEPT, 1.0 / (1.0 + segment * seen))
    put(line, 0, FIRST, end / (1.0 + end * seen))
    if both:  # of the first source alone, for the voltages end + segment j that a current of the second one makes
        norton = 0.0
        for j in range(n - 1, -1, -1):
            if j + 1 < n:
                norton = norton * at(line, j + 1, KEPT)
            norton = norton + at(g, i, j) * (end + segment * j)
            put(line, j, NORTON, norton)
        total = 2.0 * end + segment * (n - 1)
        lost = at(line, 0, NORTON) * at(line, 0, FIRST)
        for j in range(n):
            if j > 0:
                lost = (lost + segment * at(line, j, NORTON)) * at(line, j, KEPT)
            left = end + segment * j - lost
            put(line, j, SECOND_LEFT, left)
            put(line, j, SECOND_CURRENT, at(g, i, j) * left)
            total = total - at(g, i, j) * left * (end + segment * j)
        put(line, 0, TOTAL, 1.0 / total)


@inner
def across(cells, i, n, width, segment, both, line, U, V):
    """V <- F U, the voltages across the devices of row i for those between its two wires' ends, [n, width] each.

    A wire is a chain, so this is two passes along it.
    """
    g = cells[G]
    first = at(line, 0, FIRST)
    for v in range(0, width, WIDTH):
        norton = filled(0.0, U)
        for j in range(n - 1, -1, -1):
            if j + 1 < n:
                norton = norton * at(line, j + 1, KEPT)
            norton = fma(load(U, j, v), at(g, i, j), norton)
            store(V, j, v, norton)
        lost = load(V, 0, v) * first
        store(V, 0, v, load(U, 0, v) - lost)
        for j in range(1, n):
            lost = fma(load(V, j, v), segment, lost) * at(line, j, KEPT)
            store(V, j, v, load(U, j, v) - lost)
        if both:
            second = filled(0.0, U)
            for j in range(n):
                second = fma(load(U, j, v), at(line, j, SECOND_CURRENT), second)
            second = second * at(line, 0, TOTAL)
            for j in range(n):
                store(V, j, v, fma(second, at(line, j, SECOND_LEFT), load(V, j, v)))


@inner
def add_row(cells, i, n, size, width, segment, end, both, work):
    """LOAD <- LOAD + E_i, the conductances of row i as its columns see them."""
    line, unit, e, total = work[LINE], work[IDENTITY], work[E], work[LOAD]
    prepare_row(cells, i, n, segment, end, both, line)
    across(cells, i, n, width, segment, both, line, unit, e)
    for j in range(n):
        for v in range(0, width, WIDTH):
            store(total, j, v, fma(load(e, j, v), at(cells[G], i, j), load(total, j, v)))


@inner
def row_sum(cells, i, n, width, weights, A, out, row):
    """out[row] <- sum over k of column 0 of `weights` times g[i, k], times A[k]."""
    for v in range(0, width, WIDTH):
        total = filled(0.0, A)
        for k in range(n):
            total = fma(load(A, k, v), at(weights, k, 0) * at(cells[G], i, k), total)
        store(out, row, v, total)


@inner
def solve_array(cells, rows, n, row_r, source, driven_both, column_r, sense, sensed_both, sensitive, work, stack):
    """cells[M], and cells[S] if `sensitive`, [rows, n] each, from the devices cells[G]: current of column j per volt
    on row i, and its derivative to device (i, j).

    Ends as `wires_elimination.Ends`, of rows and of columns; row 0 of the columns is where they may float. work
    float64[BLOCKS, size, width] and stack float64[rows (2 rows if sensed at both ends), size, width] are scratch.
    """
    size, width = size_of(n), width_for(n)
    g, found, slope = cells[G], cells[M], cells[S]
    if driven_both and (row_r == 0.0 or n == 1):  # a wire that is one node sees its two ends in parallel
        driven_both, source = False, source / 2.0
    if sensed_both and (column_r == 0.0 or rows == 1):
        sensed_both, sense = False, sense / 2.0
    line, total, product = work[LINE], work[LOAD], work[PRODUCT]
    left, right, fed = work[LEFT], work[RIGHT], work[FED]
    for i in range(rows):
        for j in range(n, width):
            put(g, i, j, 0.0)
    set_identity(work[IDENTITY], size, width, 1.0)
    set_identity(left, size, width, 0.0)
    set_identity(total, size, width, 0.0)
    start = 0
    if sensed_both and sense == 0.0:  # the first row of column nodes is at the virtual ground itself
        start = 1
        prepare_row(cells, 0, n, row_r, source, driven_both, line)
        for j in range(n):
            store(left, j, 0, 1.0)
        across(cells, 0, n, WIDTH, row_r, driven_both, line, left, right)
        across(cells, 0, n, width, row_r, driven_both, line, work[IDENTITY], product)
        for j in range(n):
            put(found, 0, j, at(g, 0, j) * at(right, j, 0))
            put(slope, 0, j, at(right, j, 0) * at(product, j, j))
    if sensed_both:
        top = column_r if start == 1 else sense
        set_identity(total, size, width, 1.0 / top)
        set_identity(fed, size, width, 1.0 / top)

    # Down the columns.
    add_row(cells, start, n, size, width, row_r, source, driven_both, work)
    for i in range(start, rows - 1):
        if sensed_both:
            copy(fed, stack[rows + i], size, width)
        if column_r > 0.0:
            p = stack[i]
            set_identity(p, size, width, 1.0)
            add_scaled(p, column_r, total, size, width)
            invert(p, size, width)
            multiply(p, total, product, size, width)
            copy(product, total, size, width)
            if sensed_both:
                multiply(p, stack[rows + i], fed, size, width)
        add_row(cells, i + 1, n, size, width, row_r, source, driven_both, work)

    # And up again, the sensed ends of one column after another at 1 V.
    x, y = work[X], work[Y]
    set_identity(x, size, width, 1.0)
    add_scaled(x, sense, total, size, width)
    invert(x, size, width)
    copy(x, y, size, width)
    if sensed_both:
        multiply(x, fed, product, size, width)
        add_scaled(y, sense, product, size, width)
    for i in range(size):
        for v in range(0, width, WIDTH):
            store(x, i, v, load(x, i, v) * sense)
    for i in range(rows - 1, start - 1, -1):
        if i < rows - 1:
            if sensed_both:
                add_scaled(y, column_r, stack[rows + i], size, width)
            if column_r > 0.0:
                p = stack[i]
                multiply(p, y, product, size, width)
                copy(product, y, size, width)
                if sensitive:
                    multiply(x, p, product, size, width)
                    for j in range(size):
                        put(product, j, j, at(product, j, j) + column_r)
                    multiply(p, product, x, size, width)
        prepare_row(cells, i, n, row_r, source, driven_both, line)
        for j in range(n):
            store(left, j, 0, 1.0)
        across(cells, i, n, WIDTH, row_r, driven_both, line, left, right)  # voltages with the columns at 0 V
        row_sum(cells, i, n, width, right, y, found, i)
        if sensitive:
            row_sum(cells, i, n, width, right, x, slope, i)  # voltages of the column nodes with this row at 1 V
            for j in range(n):
                put(left, j, 0, 1.0 - at(slope, i, j))
            across(cells, i, n, WIDTH, row_r, driven_both, line, left, right)
            across(cells, i, n, width, row_r, driven_both, line, y, product)
            for j in range(n):
                put(slope, i, j, at(right, j, 0) * at(product, j, j))


@entry
def solve_one(ends, sensitive, n, cells, work, stack):
    """`solve_array` with cells[G] given, ends float64[6]."""
    solve_array(
        cells, cells.shape[1], n, ends[0], ends[1], ends[2] > 0.0, ends[3], ends[4], ends[5] > 0.0, sensitive,
        work, stack,
    )  # fmt: skip


def scratch(rows: int, n: int, both: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """cells, work and stack of `solve_array` for arrays of up to rows x n."""
    size, width = 4 * ((n + 3) // 4), WIDTH * ((n + WIDTH - 1) // WIDTH)
    return (
        np.zeros((3, rows, width)),
        np.zeros((BLOCKS, size, width)),
        np.zeros((rows * (2 if both else 1), size, width)),
    )
