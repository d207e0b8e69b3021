"""The nodal equations of a crossbar of ohmic devices with resistive wires, solved row by row.

Everything is written in resistances of wires and conductances of devices, so that a wire without resistance and a
device without conductance are ordinary numbers (nothing is divided by either) and no step subtracts nearly equal
numbers: wires of milliohms beside devices of megaohms cost no digits.

In row i let D be the diagonal matrix of its devices, R the resistance matrix of its wire (the voltage lost at cell j
per current taken at cell k) and b the voltages of the column wires at its cells. The voltages across its devices are

    V = F (1 v - b),   F = (I + R D)^-1,   and its currents   D V = E (1 v - b),   E = D F.

Down the columns, let L be the conductance matrix seen from row i's column nodes towards the rows above, row i included.
Behind a segment of r ohm it is P L with P = (I + r L)^-1; the next row adds its own E. This is block Gaussian
elimination of a block-tridiagonal matrix, one block a row. All I + r L are symmetric, diagonally dominant M-matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Ends(NamedTuple):
    """One direction of wires: ohm per segment, ohm at an end, whether both ends are connected (else the first only)."""

    segment: float
    end: float
    both: bool

    def simplest(self, cells: int) -> Ends:
        """A wire that is one node sees its two ends in parallel."""
        one_node = self.segment == 0 or cells == 1
        return Ends(self.segment, self.end / 2, False) if self.both and one_node else self


def resistance_matrix(ends: Ends, cells: int) -> Array:
    """Voltage lost at cell j per current taken at cell k, ohm, [cells, cells]; its first end is cell 0's."""
    ends = ends.simplest(cells)
    distance = ends.end + ends.segment * np.arange(cells, dtype=float)
    R = np.minimum.outer(distance, distance)
    if ends.both:
        R -= np.outer(distance, distance) / (2 * ends.end + ends.segment * (cells - 1))
    return R


def row_factors(G: Array, ends: Ends) -> Array:
    """F = (I + R D)^-1 of every row of G[..., rows, n]; float64[..., rows, n, n], dimensionless.

    R is the inverse of a tridiagonal matrix, so the elimination along the wire takes n^2 operations a row.
    """
    n = G.shape[-1]
    ends = ends.simplest(n)
    r = ends.segment
    N = np.zeros(
        (n, *G.shape)
    )  # Norton current at cell j per volt on column k, of the cells from j to the floating end
    t = np.empty((n, *G.shape[:-1]))
    seen = np.zeros(G.shape[:-1])  # conductance from cell j towards the floating end
    for j in range(n - 1, -1, -1):
        if j + 1 < n:
            np.multiply(N[j + 1], t[j + 1, ..., None], out=N[j])
            seen = seen * t[j + 1]
        N[j, ..., j] = G[..., j]
        seen = seen + G[..., j]
        t[j] = 1 / (1 + r * seen)
    F = np.empty((*G.shape, n))
    a = ends.end * N[0] / (1 + ends.end * seen)[..., None]  # voltage of cell j per volt on column k
    F[..., 0, :] = -a
    for j in range(1, n):
        a = (a + r * N[j]) * t[j, ..., None]
        F[..., j, :] = -a
    np.einsum("...jj->...j", F)[...] += 1
    if ends.both:  # the second source is a term of rank one in R
        distance = ends.end + r * np.arange(n)
        Fl = F @ distance
        El = G * Fl
        total = 2 * ends.end + r * (n - 1)
        F += Fl[..., :, None] * (El / (total - El @ distance)[..., None])[..., None, :]
    return F


def solve(G: Array, rows: Ends, columns: Ends, sensitivity: bool = False) -> tuple[Array, Array | None]:
    """The effective matrix, and on request the sensitivity of each of its elements to its own device.

    G[..., n_rows, n_cols] in siemens; row 0 of the columns' wires is the end that may float.
    Returns M[..., n_cols, n_rows] in siemens and S[..., n_cols, n_rows], dimensionless, or None.
    """
    n_rows, n = G.shape[-2:]
    columns = columns.simplest(n_rows)
    F = row_factors(G, rows)
    E = G[..., :, :, None] * F
    q = E.sum(axis=-1)  # currents of a row per volt on it, columns at 0 V
    M = np.empty((*G.shape[:-2], n, n_rows))
    S = np.empty_like(M) if sensitivity else None
    first, top = 0, columns.end if columns.both else None
    if columns.both and columns.end == 0:  # the first row of column nodes is at the virtual ground itself
        M[..., 0] = q[..., 0, :]
        if S is not None:
            F0 = F[..., 0, :, :]
            S[..., 0] = F0.sum(axis=-1) * np.einsum("...jj->...j", F0)
        first, top = 1, columns.segment
    _chain(F, E, q, columns.segment, top, columns.end, first, M, S)
    return M, S


def _chain(
    F: Array, E: Array, q: Array, r: float, top: float | None, bottom: float, first: int, M: Array, S: Array | None
) -> None:
    """Eliminate down the columns, then go back up with every column's sensed ends at 1 V and all rows at 0 V.

    By reciprocity the current into row i is then M[:, i]. Y[k, j] is the voltage of column k's node for column j
    at 1 V, X the voltages per current fed into the nodes of a row.
    """
    n_rows, n = E.shape[-3:-1]
    one: Array = np.eye(n, dtype=np.float64)
    L: Array = E[..., first, :, :]
    P = one
    fed: Array | None = None  # Norton currents of the upper ends per volt on them
    if top is not None:
        L, fed = L + one / top, one / top
    Ps: list[Array] = []
    feds: list[Array | None] = []
    for i in range(first, n_rows - 1):
        if r > 0:
            P = _inverse(one + r * L)
            L = P @ L
        L = L + E[..., i + 1, :, :]
        Ps.append(P)
        feds.append(fed)
        fed = fed if fed is None else P @ fed
    Q = _inverse(one + bottom * L)
    Y = Q if fed is None else Q + bottom * (Q @ fed)
    X = bottom * Q
    for i in range(n_rows - 1, first - 1, -1):
        if i < n_rows - 1:
            P, fed = Ps.pop(), feds.pop()
            Y = P @ (Y if fed is None else Y + r * fed)
            if S is not None:
                X = P @ X @ P + r * P
        M[..., i] = np.einsum("...kj,...k->...j", Y, q[..., i, :])
        if S is not None:
            Fi = F[..., i, :, :]
            own_row = Fi @ (1 - X @ q[..., i, :, None])  # device voltages with this row at 1 V
            S[..., i] = own_row[..., 0] * np.einsum("...jk,...kj->...j", Fi, Y)


def _inverse(A: Array) -> Array:
    return np.asarray(np.linalg.inv(A), dtype=np.float64)
