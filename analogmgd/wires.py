"""Wires of crossbars: what they do to the currents of ohmic devices, exactly and between exact solves.

An array has inputs on its rows and outputs on its columns; cell (i, j) is a device of conductance G[i, j] between
row wire i and column wire j:

                    (top)                 (top)                        (top)
                      |                     |                            |
    v0 --source--o----:--row----------o-----:--row-- ... --------o-------:----(right)
                 |    |               |     |                    |       |
                 '-G--+               '-G---+                    '-G-----+
                      |                     |                            |
                    column                column                       column
                      |                     |                            |
    v1 --source--o----:--row----------o-----:--row-- ... --------o-------:----(right)
                 |    |               |     |                    |       |
                 '-G--+               '-G---+                    '-G-----+
                      |                     |                            |
                    sense                 sense                        sense
                      |                     |                            |
                     0 V                   0 V                          0 V

    o  cell on a row wire      +  cell on a column wire      G  device between them      :  crossing, no contact
    (right)  open; with driven = "both" a second source resistance to the row's own voltage
    (top)    open; with sensed = "both" a second sense resistance to the column's own virtual ground

A segment lies between two neighbouring cells; whatever lies between the last cell and the driver or the amplifier
belongs to `source` and `sense`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field, model_validator

from .errors import ConfigError
from .settings import Positive, Settings, number, short, whole
from .wires_elimination import Ends, solve

Array = NDArray[np.float64]
Ohm = Annotated[float, BeforeValidator(number), Field(ge=0)]
Count = Annotated[int, BeforeValidator(whole), Field(ge=1)]


class Wires(Settings):
    """Resistances of an array's wires, its size, and how training follows what they do.

    row, column : float >= 0, ohm per cell
        Resistance of a wire between two neighbouring cells, along rows and along columns.
    source, sense : float >= 0, ohm
        Between a row's driver and its first cell, and between a column's last cell and virtual ground.
    driven : "left" | "both"
        Rows are driven at the first column only (the other end floats), or at both ends by the same voltage.
    sensed : "bottom" | "both"
        Columns end in virtual ground at the last row only (the other end floats), or at both ends; currents are added.
    tile : (rows, columns) or None
        Layers larger than this are cut into arrays of this size (the last ones smaller), each with wires, drivers and
        amplifiers of its own; currents of arrays that share outputs are added without error. None: one array.
    update : "correction" | "exact"
        Between refreshes every device acts through its own exact first-order sensitivity (see `linearise`); or the
        effective matrix is solved whenever a conductance has changed (small arrays, tests).
    refresh : int >= 1 or None, steps between exact solves with update = "correction"; None: chosen by `tolerance`
    g_unit : float > 0 or None, siemens
        What a device's w = 1 is (`Device.w_max` times it the largest conductance). A chip with wires needs it.
    tolerance : float > 0
        With refresh = None: allowed error of the currents just before a refresh, relative to the currents, both as
        root mean square over inputs uniform in 0..1 V (see `refresh_interval`).

    >>> Wires(row=1.0, column=1.0, tile=(64, 64)).driven
    'left'
    >>> Wires(row=-1.0)
    Traceback (most recent call last):
    analogmgd.errors.ConfigError: wires.row = -1.0: must be at least 0
    """

    table: ClassVar[str] = "wires"
    row: Ohm = 0.0
    column: Ohm = 0.0
    source: Ohm = 0.0
    sense: Ohm = 0.0
    driven: Literal["left", "both"] = "left"
    sensed: Literal["bottom", "both"] = "bottom"
    tile: tuple[Count, Count] | None = None
    update: Literal["correction", "exact"] = "correction"
    refresh: Count | None = None
    tolerance: Positive = 0.01
    g_unit: Positive | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.update == "exact" and self.refresh is not None:
            raise ValueError(f'refresh = {self.refresh} needs update = "correction"')
        return self

    @property
    def ideal(self) -> bool:
        """Whether no resistance is left, so that currents are those of the devices alone."""
        return self.row == self.column == self.source == self.sense == 0

    @property
    def row_ends(self) -> Ends:
        return Ends(self.row, self.source, self.driven == "both")

    @property
    def column_ends(self) -> Ends:
        """From the sensed end (the bottom) upwards."""
        return Ends(self.column, self.sense, self.sensed == "both")


def check_conductances(G: ArrayLike, name: str = "G") -> Array:
    """float64[..., n_rows, n_cols], every value finite and at least 0, or `ConfigError`."""
    try:
        G = np.ascontiguousarray(G, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} = {short(G)}: must be conductances in siemens, [n_rows, n_cols]") from None
    if G.ndim < 2 or 0 in G.shape:
        raise ConfigError(f"{name} has shape {G.shape}: expected (n_rows, n_cols), neither of them 0")
    wrong = ~(np.isfinite(G) & (G >= 0))
    if wrong.any():
        where = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise ConfigError(f"{name}[{', '.join(map(str, where))}] = {G[where]:g}: must be finite and at least 0 siemens")
    return G


def tiles(n_in: int, n_out: int, tile: tuple[int, int] | None) -> list[tuple[slice, slice]]:
    """Slices (inputs, outputs) of the arrays that a layer is cut into, inputs first; whole arrays as long as they last.

    >>> tiles(100, 10, (64, 64))
    [(slice(0, 64, None), slice(0, 10, None)), (slice(64, 100, None), slice(0, 10, None))]
    """
    sizes: dict[str, Any] = {"n_in": n_in, "n_out": n_out}
    if tile is not None:
        sizes |= {"tile[0]": tile[0], "tile[1]": tile[1]}
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ConfigError(f"{name} = {short(size)}: must be a whole number of at least 1")
    high, wide = (n_in, n_out) if tile is None else tile
    return [
        (slice(i, min(i + high, n_in)), slice(j, min(j + wide, n_out)))
        for i in range(0, n_in, high)
        for j in range(0, n_out, wide)
    ]


def _solve(G: Array, wires: Wires, sensitivity: bool) -> tuple[Array, Array | None]:
    """M and S of a layer, array by array, each eliminated along its cheaper direction (one dense block a row)."""
    M = np.empty((*G.shape[:-2], G.shape[-1], G.shape[-2]))
    S = np.empty_like(M) if sensitivity else None
    for inputs, outputs in tiles(G.shape[-2], G.shape[-1], wires.tile):
        array = G[..., inputs, outputs]
        if array.shape[-1] <= array.shape[-2]:
            part, own = solve(array, wires.row_ends, wires.column_ends, sensitivity)
        else:
            # Reciprocity: with columns driven and rows sensed the matrix is transposed. Ends change places, so
            # both axes turn.
            turned = np.ascontiguousarray(array.swapaxes(-1, -2)[..., ::-1, ::-1])
            part, own = solve(turned, wires.column_ends, wires.row_ends, sensitivity)
            part = part.swapaxes(-1, -2)[..., ::-1, ::-1]
            own = None if own is None else own.swapaxes(-1, -2)[..., ::-1, ::-1]
        M[..., outputs, inputs] = part
        if S is not None:
            S[..., outputs, inputs] = own
    return M, S


def effective_matrix(G: ArrayLike, wires: Wires) -> Array:
    """What an array of ohmic devices with these wires multiplies its inputs by: column currents i = M v, exactly.

    G : float64[..., n_rows, n_cols], siemens, at least 0 (0: a dead cell); leading axes are further arrays
    wires : Wires

    Returns M, float64[..., n_cols, n_rows], siemens: current into the virtual grounds of column j per volt on row i.
    Without resistance it is G transposed. Raises `ConfigError` for impossible conductances. Time for n x n grows as
    n^4 and memory as n^3 (64 x 64: some milliseconds and 8 MB; 256 x 256: half a gigabyte): use tiles.

    Method: the nodal equations by block elimination, row by row; no resistance and no device is replaced by a small or
    large one; see docs/wires.md.

    >>> G = np.full((2, 2), 1e-4)
    >>> print(1e6 * effective_matrix(G, Wires(row=100.0, column=100.0)))
    [[ 99.00990099 100.        ]
     [ 98.03921569  99.00990099]]
    """
    return _solve(check_conductances(G), wires, sensitivity=False)[0]


def linearise(G: ArrayLike, wires: Wires) -> tuple[Array, Array]:
    """The effective matrix at G and how each of its elements follows its own device.

    Arguments and errors as in `effective_matrix`.

    Returns M_ref, float64[..., n_cols, n_rows], siemens, and S of the same shape, dimensionless, with
    S[j, i] = dM[j, i]/dG[i, j] exactly. Between refreshes M ~ M_ref + S * (G - G_ref).T, elementwise (the effect that a
    device has on the currents of other devices is left out; `correction_error` measures it).

    By the adjoint method S[j, i] is the voltage across device (i, j) with 1 V on row i alone, times the one with 1 V
    on the sensed ends of column j alone (Director and Rohrer, IEEE Trans. Circuit Theory 16, 318, 1969).

    >>> M, S = linearise(np.full((2, 2), 1e-4), Wires(row=100.0, column=100.0))
    >>> print(S.round(4))
    [[0.9803 1.    ]
     [0.9612 0.9803]]
    """
    M, S = _solve(check_conductances(G), wires, sensitivity=True)
    assert S is not None
    return M, S


def _norm(A: Array) -> float:
    """Root mean square of |A v| over independent inputs uniform in 0..1 V, v with mean 1/2 and variance 1/12."""
    return float(np.sqrt((A.sum(axis=-1) ** 2).sum() / 4 + (A**2).sum() / 12))


def _pair(G: ArrayLike, G_new: ArrayLike) -> tuple[Array, Array]:
    G, G_new = check_conductances(G), check_conductances(G_new, "G_new")
    if G.shape != G_new.shape:
        raise ConfigError(f"G_new has shape {G_new.shape}: expected that of G, {G.shape}")
    return G, G_new


def correction_error(G: ArrayLike, G_new: ArrayLike, wires: Wires) -> tuple[float, float]:
    """Error of the elementwise correction against an exact solve, as a fraction of the change of the currents.

    G, G_new : float64[..., n_rows, n_cols], siemens
    wires : Wires

    Returns (with the correction, without): |M x - M_new x| / |M_new x - M_ref x|, each norm the root mean square over
    inputs uniform in 0..1 V, where M = M_ref + S * (G_new - G).T with it, and M_ref + (G_new - G).T without. 0 where
    nothing changes. Raises `ConfigError` for impossible conductances and shapes that differ.

    >>> G = np.full((8, 8), 5e-5)
    >>> G_new = G * np.linspace(0.9, 1.2, 8)
    >>> with_it, without = correction_error(G, G_new, Wires(row=1.0, column=1.0))
    >>> print(f"{with_it:.4f} {without:.4f}")
    0.0016 0.0041
    """
    G, G_new = _pair(G, G_new)
    M_ref, S = linearise(G, wires)
    change = effective_matrix(G_new, wires) - M_ref
    size = _norm(change)
    if size == 0:
        return 0.0, 0.0
    dG = np.swapaxes(G_new - G, -1, -2)
    return _norm(S * dG - change) / size, _norm(dG - change) / size


def refresh_interval(G: ArrayLike, G_new: ArrayLike, wires: Wires, steps: int = 1) -> int:
    """Steps that may pass between exact solves, from how far the devices of a run went in some of its steps.

    G, G_new : float64[..., n_rows, n_cols], siemens: conductances now and `steps` later
    wires : Wires; `wires.refresh` if it is set; otherwise such that the correction's error just before a refresh is
        `wires.tolerance` of the currents
    steps : int >= 1

    Returns at least 1, at most 2**31 - 1. The error is taken to grow at the fastest rate that is plausible: with the
    steps (a drift) beyond the measured ones, with their square root (a random walk) below. Raises `ConfigError`.

    >>> G = np.full((8, 8), 5e-5)
    >>> refresh_interval(G, 1.001 * G, Wires(row=1.0, column=1.0, tolerance=0.001), steps=100)
    69252
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ConfigError(f"steps = {short(steps)}: must be a whole number of at least 1")
    G, G_new = _pair(G, G_new)
    if wires.refresh is not None:
        return wires.refresh
    M_ref, S = linearise(G, wires)
    M_new = effective_matrix(G_new, wires)
    error = _norm(M_ref + S * np.swapaxes(G_new - G, -1, -2) - M_new)
    size = _norm(M_new)
    if error * 2**31 <= wires.tolerance * size:  # nothing moves, or wires do not matter
        return 2**31 - 1
    ratio = wires.tolerance * size / error
    return int(np.clip(steps * (ratio if ratio >= 1 else ratio**2), 1, 2**31 - 1))
