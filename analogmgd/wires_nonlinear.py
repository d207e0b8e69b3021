"""Crossbars of nonlinear devices with resistive wires: Newton's method on the nodal equations.

All wires are linear, so the nodal equations reduce to one equation in the voltages V[i, j] across the devices,

    V + I R + C I = v 1^T,   I[i, j] = law(G[i, j], V[i, j]),

where R [n_cols, n_cols] and C [n_rows, n_rows] are the resistance matrices of one row's and one column's wire.
With g = dI/dV each Newton step is a linear crossbar of conductances g. With s = g^(1/2) and W the wires, its matrix in
s dV is I + s W s: symmetric, positive definite, no eigenvalue below 1. Conjugate gradients need a few matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field

from .errors import ConfigError, ConvergenceError
from .settings import Settings, number, short
from .wires import Wires, check_conductances, tiles
from .wires_elimination import resistance_matrix

Array = NDArray[np.float64]
Linear = Callable[[Array], Array]

TOLERANCE = 1e-12  # of the largest input voltage: largest error of Kirchhoff's voltage law around any device
MAX_ITERATIONS = 100
MAX_HALVINGS = 40


class Cubic(Settings):
    """I = G V (1 + k V^2).

    k : float >= 0, 1/V^2; 0 is an ohmic device

    >>> print(f"{Cubic(2.0).current(1e-5, 0.5):.4e}")
    7.5000e-06
    """

    table: ClassVar[str] = "cubic"
    k: Annotated[float, BeforeValidator(number), Field(ge=0)]

    def __init__(self, k: float, **other: Any) -> None:
        super().__init__(k=k, **other)

    def current(self, G: Any, V: Any) -> Any:
        """Ampere, of devices of G siemens with V volt across."""
        return G * V * (1 + self.k * V**2)

    def slope(self, G: Any, V: Any) -> Any:
        """dI/dV, siemens."""
        return G * (1 + 3 * self.k * V**2)


class Sinh(Settings):
    """I = G V0 sinh(V/V0), of tunnelling and hopping conduction.

    v0 : float > 0, V

    >>> print(f"{Sinh(0.5).current(1e-5, 0.5):.4e}")
    5.8760e-06
    """

    table: ClassVar[str] = "sinh"
    v0: Annotated[float, BeforeValidator(number), Field(gt=0)]

    def __init__(self, v0: float, **other: Any) -> None:
        super().__init__(v0=v0, **other)

    def current(self, G: Any, V: Any) -> Any:
        """Ampere, of devices of G siemens with V volt across."""
        return G * (self.v0 * np.sinh(V / self.v0))

    def slope(self, G: Any, V: Any) -> Any:
        """dI/dV, siemens."""
        return G * np.cosh(V / self.v0)


def currents(G: ArrayLike, v: ArrayLike, wires: Wires, law: Cubic | Sinh) -> Array:
    """Column currents of an array of nonlinear devices with resistive wires.

    G : float64[n_rows, n_cols], siemens at small voltage, at least 0
    v : float64[..., n_rows], V; leading axes are further inputs
    wires : Wires; with `wires.tile` a layer of arrays, whose currents are added
    law : Cubic or Sinh

    Returns float64[..., n_cols], ampere into the columns' virtual grounds, of all sensed ends. Raises `ConfigError` for
    impossible arguments, and `ConvergenceError` with its `residual` when Kirchhoff's laws cannot be met to 1e-12 of the
    largest input (devices so steep that double precision does not hold them).

    >>> G = np.full((2, 2), 1e-4)
    >>> print(1e6 * currents(G, [1.0, 0.5], Wires(row=100.0, column=100.0), Cubic(1.0)))
    [254.91380466 246.99365006]
    """
    G = check_conductances(G)
    if G.ndim != 2:
        raise ConfigError(f"G has shape {G.shape}: expected (n_rows, n_cols)")
    try:
        v = np.asarray(v, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"v = {short(v)}: must be voltages, [..., n_rows]") from None
    if v.ndim < 1 or v.shape[-1] != len(G):
        raise ConfigError(f"v has shape {v.shape}: expected (..., {len(G)})")
    if not np.isfinite(v).all():
        raise ConfigError(f"v[{_first(~np.isfinite(v))}] = {v[~np.isfinite(v)][0]:g}: must be finite")
    flat = v.reshape(-1, len(G))
    out = np.zeros((len(flat), G.shape[1]))
    for inputs, outputs in tiles(G.shape[0], G.shape[1], wires.tile):
        array = G[inputs, outputs]
        R = resistance_matrix(wires.row_ends, array.shape[1])
        C = resistance_matrix(wires.column_ends, array.shape[0])[::-1, ::-1]  # from the bottom up

        def lost(current: Array, R: Array = R, C: Array = C) -> Array:
            return current @ R + C @ current

        for k, one in enumerate(flat):
            V = newton(array, one[inputs], lost, law)[0]
            out[k, outputs] += law.current(array, V).sum(axis=0)
    return out.reshape(*v.shape[:-1], G.shape[1])


def _first(wrong: NDArray[np.bool_]) -> str:
    return ", ".join(str(k) for k in np.argwhere(wrong)[0])


def newton(G: Array, v: Array, lost: Linear, law: Cubic | Sinh) -> tuple[Array, list[float]]:
    """Device voltages [n_rows, n_cols] of one array, and the residuals in volts, before each step and at the end.

    lost : the voltage that the wires take from each device, of the currents of all, [n_rows, n_cols] -> the same
    """
    applied = np.repeat(v[:, None], G.shape[1], axis=1)
    enough = TOLERANCE * np.abs(v).max()
    V, F = np.zeros_like(applied), -applied  # the first full step is the solution for ohmic devices
    residuals = [float(np.abs(F).max())]
    with np.errstate(over="ignore", invalid="ignore"):  # of trials, which are then refused
        while residuals[-1] > enough:
            if len(residuals) > MAX_ITERATIONS:
                raise ConvergenceError(_failed(residuals, enough), residuals[-1])
            step = _step(law.slope(G, V), F, lost)
            size, before = 1.0, np.linalg.norm(F)
            for _ in range(MAX_HALVINGS):
                trial = V + size * step
                F_trial = trial + lost(law.current(G, trial)) - applied
                if np.linalg.norm(F_trial) <= (1 - 1e-4 * size) * before:
                    break
                size /= 2
            else:
                raise ConvergenceError(_failed(residuals, enough), residuals[-1])
            V, F = trial, F_trial
            residuals.append(float(np.abs(F).max()))
    return V, residuals


def _failed(residuals: list[float], enough: float) -> str:
    return f"Newton's method stopped after {len(residuals) - 1} steps at {residuals[-1]:.3g} V, above {enough:.3g} V"


def _step(g: Array, F: Array, lost: Linear) -> Array:
    """The solution of dV + lost(g dV) = -F by conjugate gradients in g^(1/2) dV."""
    s = np.sqrt(g)
    b = -s * F
    x, r = np.zeros_like(b), b
    p, rr = r, float(np.vdot(r, r))
    goal = 1e-28 * rr
    for _ in range(10 * b.size + 100):
        if not rr > goal:
            break
        Ap = p + s * lost(s * p)
        alpha = rr / float(np.vdot(p, Ap))
        x, r = x + alpha * p, r - alpha * Ap
        before, rr = rr, float(np.vdot(r, r))
        p = r + (rr / before) * p
    return -F - lost(s * x)
