"""Crossbars with resistive wires: against Kirchhoff's laws written out, and against a circuit simulator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analogmgd.errors import ConfigError, ConvergenceError
from analogmgd.wires import Wires, _norm, correction_error, effective_matrix, linearise, refresh_interval, tiles
from analogmgd.wires_elimination import Ends, resistance_matrix
from analogmgd.wires_nonlinear import Cubic, Sinh, currents, newton
from oracle import ngspice
from oracle import wires as oracle

needs_ngspice = pytest.mark.skipif(not ngspice.present(), reason="ngspice is not installed")

# Every kind of end, with and without resistance in it and in the segments.
ENDS = [
    Wires(row=10, column=10),
    Wires(row=3, column=5, source=7, sense=2),
    Wires(row=3, column=5, source=7, sense=2, driven="both", sensed="both"),
    Wires(row=3, column=5, driven="both", sensed="both"),
    Wires(row=3, column=5, sense=2, driven="both"),
    Wires(row=3, column=5, source=7, sensed="both"),
    Wires(row=3, sense=2, driven="both", sensed="both"),
    Wires(column=5, source=7, driven="both", sensed="both"),
    Wires(column=5, sensed="both"),
    Wires(row=5, sensed="both"),
    Wires(source=7, sense=2, driven="both", sensed="both"),
]
ids = [" ".join(f"{k}={getattr(w, k)}" for k in sorted(w.model_fields_set)) for w in ENDS]
SHAPES = [(8, 8), (9, 4), (3, 7), (1, 5), (5, 1), (1, 1), (2, 2)]


def devices(shape, seed=0, dead=0.1, low=1e-6, high=1e-4):
    """Siemens; a fraction `dead` of the cells without a device."""
    rng = np.random.default_rng([seed, *shape])
    G = rng.uniform(low, high, shape)
    G[rng.random(shape) < dead] = 0
    return G


def inputs(n_rows, seed=0):
    return np.random.default_rng([seed, n_rows, 1]).uniform(0, 1, n_rows)


# Ohmic devices.


@pytest.mark.parametrize("wires", ENDS, ids=ids)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1000.0], ids=["weak", "strong"])
def test_matrix_is_that_of_kirchhoffs_laws(wires, shape, scale):
    G = scale * devices(shape)  # 1000: voltages lost in the wires are larger than those across devices
    comp, ref = effective_matrix(G, wires), oracle.matrix(G, wires)
    np.testing.assert_allclose(comp, ref, rtol=1e-10, atol=1e-13 * G.max())


@needs_ngspice
@pytest.mark.parametrize("r", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(("shape", "dead", "ends"), [
    ((64, 64), 0.0, {}),
    ((64, 64), 0.1, {"driven": "both", "sensed": "both", "source": 2.0, "sense": 3.0}),
    ((50, 20), 0.3, {"driven": "both"}),
    ((20, 50), 0.1, {"sensed": "both", "sense": 5.0}),
    ((33, 32), 0.5, {"source": 10.0}),
])  # fmt: skip
def test_ohmic_currents_are_those_of_ngspice(r, shape, dead, ends, tmp_path):
    wires = Wires(row=r, column=r, **ends)
    G, v = devices(shape, int(10 * r), dead), inputs(shape[0])
    np.testing.assert_allclose(effective_matrix(G, wires) @ v, ngspice.currents(G, v, wires, tmp_path), rtol=1e-9)


@pytest.mark.parametrize("shape", [(6, 5), (5, 6)])
@pytest.mark.parametrize("wires", ENDS, ids=ids)
def test_sensitivity_is_the_derivative(wires, shape):
    G = 100 * devices(shape)
    M, S = linearise(G, wires)
    np.testing.assert_allclose(M, oracle.matrix(G, wires), rtol=1e-10, atol=1e-13 * G.max())
    h = 1e-6  # siemens, of 1e-2: error of the central difference of the order of (h/G)^2
    for i, j in np.ndindex(shape):
        dG = np.zeros(shape)
        dG[i, j] = h if G[i, j] > 0 else h / 100
        if G[i, j] > 0:
            slope = (oracle.matrix(G + dG, wires) - oracle.matrix(G - dG, wires))[j, i] / (2 * h)
        else:  # one-sided, of second order: conductances are not negative
            f = [oracle.matrix(G + k * dG, wires)[j, i] for k in range(3)]
            slope = (4 * f[1] - 3 * f[0] - f[2]) / (2 * dG[i, j])
        assert S[j, i] == pytest.approx(slope, rel=2e-6)


def test_without_resistance_currents_are_those_of_the_devices():
    G = devices((7, 5))
    M, S = linearise(G, Wires(driven="both"))
    np.testing.assert_array_equal(M, G.T)
    np.testing.assert_array_equal(S, np.ones((5, 7)))


@pytest.mark.parametrize("ends", [{}, {"driven": "both"}, {"sensed": "both"}, {"driven": "both", "sensed": "both"}])
def test_deviations_vanish_in_proportion_to_the_resistance(ends):
    """The next order is smaller by about r G n^2. (Elements of dead cells are of second order themselves.)"""
    G = devices((9, 8), dead=0)
    deviation = [
        (effective_matrix(G, Wires(row=r, column=r, source=r, sense=r, **ends)) - G.T) / r for r in (1e-1, 1e-2, 1e-3)
    ]
    np.testing.assert_allclose(deviation[0], deviation[1], rtol=1e-2)
    near, far = (np.abs(d - deviation[2]).max() for d in (deviation[1], deviation[0]))
    assert far / near == pytest.approx((1e-1 - 1e-3) / (1e-2 - 1e-3), rel=0.01)


def test_no_digits_are_lost_beside_good_wires():
    """1e-9 ohm beside 1e9 ohm: plain nodal elimination would lose all sixteen digits here."""
    G = devices((30, 30), low=1e-9, high=2e-9)
    M = effective_matrix(G, Wires(row=1e-9, column=1e-9, sense=1e-9, driven="both", sensed="both"))
    np.testing.assert_allclose(M, G.T, rtol=1e-13, atol=1e-26)


def test_one_cell_is_three_resistors():
    M, S = linearise([[1e-3]], Wires(source=100, sense=200))
    assert M[0, 0] == pytest.approx(1 / 1300)
    assert S[0, 0] == pytest.approx((1000 / 1300) ** 2)
    both = effective_matrix([[1e-3]], Wires(source=100, sense=200, driven="both", sensed="both", row=5, column=6))
    assert both[0, 0] == pytest.approx(1 / 1150)


def test_a_row_wire_is_the_ladder_of_the_books():
    """Equal devices into 0 V along a long wire: voltage falls as (1 + x - sqrt(x^2 + 2 x))^k, x = r G / 2."""
    r, g, n = 100.0, 1e-3, 400
    M = effective_matrix(np.full((1, n), g), Wires(row=r))
    x = r * g / 2
    decay = 1 + x - np.sqrt(x**2 + 2 * x)
    np.testing.assert_allclose(M[:50, 0], g * decay ** np.arange(50), rtol=1e-12)


@st.composite
def arrays(draw):
    shape = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    G = 10 ** draw(st.floats(0, 3)) * devices(shape, draw(st.integers(0, 999)), draw(st.sampled_from([0, 0.2, 0.8])))
    ohm = st.sampled_from([0.0, 0.01, 1.0, 30.0])
    values = {name: draw(ohm) for name in ("row", "column", "source", "sense")}
    sides = {"driven": draw(st.sampled_from(["left", "both"])), "sensed": draw(st.sampled_from(["bottom", "both"]))}
    return G, Wires(**values, **sides)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(arrays())
def test_passive_network(case):
    """No current is negative, no device sees more than the input, dead rows and columns carry nothing."""
    G, wires = case
    M, S = linearise(G, wires)
    tiny = 1e-15 * G.sum()  # rounding
    assert (-tiny <= M).all()
    assert (M.sum(axis=1) <= G.sum(axis=0) + tiny).all()  # all rows at 1 V
    assert (M.sum(axis=0) <= G.sum(axis=1) + tiny).all()
    assert ((S > 0) & (S <= 1 + 1e-12)).all() or wires.sensed == "both" or wires.driven == "both"
    assert ((S >= 0) & (S <= 1 + 1e-12)).all()
    assert (M[:, G.sum(axis=1) == 0] == 0).all()
    assert (M[G.sum(axis=0) == 0] == 0).all()


@settings(deadline=None, max_examples=100, derandomize=True)
@given(arrays())
def test_reciprocity(case):
    """With columns driven and rows sensed the matrix and its sensitivity are transposed."""
    G, w = case
    names = {"left": "bottom", "bottom": "left", "both": "both"}
    turned = Wires(
        row=w.column, column=w.row, source=w.sense, sense=w.source, driven=names[w.sensed], sensed=names[w.driven]
    )
    # Driven ends come first, sensed ends last: exchanging rows and columns turns both axes.
    for one, other in zip(linearise(G, w), linearise(G.T[::-1, ::-1], turned), strict=True):
        np.testing.assert_allclose(one, other.T[::-1, ::-1], rtol=1e-10, atol=1e-16 * G.max())


@settings(deadline=None, max_examples=100, derandomize=True)
@given(arrays(), st.floats(0.01, 100))
def test_only_resistance_times_conductance_matters(case, factor):
    G, w = case
    scaled = w.replace(**{k: getattr(w, k) / factor for k in ("row", "column", "source", "sense")})
    wanted = factor * effective_matrix(G, w)
    # a device that is dead passes what rounding leaves of the others
    np.testing.assert_allclose(effective_matrix(factor * G, scaled), wanted, rtol=1e-9, atol=1e-15 * wanted.max())


@settings(deadline=None, max_examples=50, derandomize=True)
@given(arrays())
def test_mirror_images(case):
    G, w = case
    w = w.replace(driven="both", sensed="both")
    for one, other in zip(linearise(G, w), linearise(G[::-1, ::-1], w), strict=True):
        np.testing.assert_allclose(one, other[::-1, ::-1], rtol=1e-10, atol=1e-16 * G.max())


def test_stacks_are_arrays_one_by_one():
    G = np.stack([devices((6, 4), seed) for seed in range(6)]).reshape(2, 3, 6, 4)
    for wires in ENDS:
        M, S = linearise(G, wires)
        for k in np.ndindex(2, 3):
            alone = linearise(G[k], wires)
            np.testing.assert_allclose(M[k], alone[0], rtol=1e-13)
            np.testing.assert_allclose(S[k], alone[1], rtol=1e-13)


# Between refreshes.


@pytest.mark.parametrize("r", [0.1, 1.0])
def test_correction_is_worth_having(r):
    """64 x 64, 1 to 100 uS, all devices moved: error of the correction far below that of no correction."""
    G = devices((64, 64), dead=0)
    G_new = np.clip(G + np.random.default_rng(1).normal(0, 1e-6, G.shape), 1e-6, 1e-4)
    with_it, without = correction_error(G, G_new, Wires(row=r, column=r))
    M, S = linearise(G, Wires(row=r, column=r))
    exact = effective_matrix(G_new, Wires(row=r, column=r))
    x = np.random.default_rng(2).uniform(0, 1, (64, 4000))  # the norms, by drawing inputs
    norm = [np.linalg.norm(A @ x) for A in (M + S * (G_new - G).T - exact, M + (G_new - G).T - exact, exact - M)]
    assert with_it == pytest.approx(norm[0] / norm[2], rel=0.05)
    assert without == pytest.approx(norm[1] / norm[2], rel=0.05)
    assert with_it < without / 2


def test_norm_is_the_root_mean_square_over_inputs():
    """x uniform in 0..1: mean of x^2 is 1/3, of (x + y)^2 is 2/3 + 1/2, of (x - y)^2 is 2/3 - 1/2; outputs add."""
    assert _norm(np.array([[2.0]])) == pytest.approx(np.sqrt(4 / 3))
    assert _norm(np.array([[1.0, 1.0], [1.0, -1.0]])) == pytest.approx(np.sqrt(7 / 6 + 1 / 6))


def test_correction_of_one_device_alone_is_of_second_order():
    G, wires = 100 * devices((8, 8), dead=0), Wires(row=10, column=10)
    M, S = linearise(G, wires)
    errors = []
    for h in (1e-4, 1e-5):
        dG = np.zeros_like(G)
        dG[3, 4] = h
        errors.append(abs((M + S * dG.T - effective_matrix(G + dG, wires))[4, 3]))
    assert np.log10(errors[0] / errors[1]) == pytest.approx(2, abs=0.05)


def test_no_change_has_no_error():
    G = devices((4, 4))
    assert correction_error(G, G, Wires(row=1, column=1)) == (0, 0)
    assert correction_error(G, 1.1 * G, Wires())[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-4])
def test_refresh_interval_keeps_the_tolerance_under_a_drift(tolerance):
    G, wires = devices((16, 16), dead=0), Wires(row=10, column=10, tolerance=tolerance)
    rate = 1e-6 * G
    steps = refresh_interval(G, G + 10 * rate, wires, steps=10)
    M, S = linearise(G, wires)

    def error(n):
        exact = effective_matrix(G + n * rate, wires)
        x = np.random.default_rng(0).uniform(0, 1, (16, 4000))
        return np.linalg.norm((M + S * (n * rate).T - exact) @ x) / np.linalg.norm(exact @ x)

    assert error(steps) == pytest.approx(tolerance, rel=0.3)  # the change is not quite linear any more at 1e-2
    assert steps > 10


def test_refresh_interval_bounds():
    G, wires = devices((5, 5)), Wires(row=10, column=10, tolerance=1e-9)
    assert refresh_interval(G, 1.5 * G, wires, steps=1) == 1
    assert refresh_interval(G, G, wires) == 2**31 - 1
    assert refresh_interval(G, 2 * G, wires.replace(refresh=77)) == 77
    few, many = (refresh_interval(G, 1.001 * G, wires.replace(tolerance=t), steps=10**6) for t in (1e-6, 2e-6))
    assert many == pytest.approx(4 * few, rel=1e-3)  # a random walk may lie behind the last steps


# Tiles.


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.none() | st.tuples(st.integers(1, 50), st.integers(1, 50)))
def test_tiles_cover_every_cell_once(n_in, n_out, tile):
    covered = np.zeros((n_in, n_out), int)
    for inputs_, outputs in tiles(n_in, n_out, tile):
        part = covered[inputs_, outputs]
        assert 0 < part.shape[0] <= (tile or (n_in, 0))[0]
        part += 1
    assert (covered == 1).all()


def test_tiles_are_arrays_of_their_own():
    G, wires = devices((7, 5)), Wires(row=10, column=20, sense=3)
    M, S = linearise(G, wires.replace(tile=(4, 3)))
    for rows, cols in [(slice(0, 4), slice(0, 3)), (slice(4, 7), slice(3, 5))]:
        part = linearise(G[rows, cols], wires)
        np.testing.assert_array_equal(M[cols, rows], part[0])
        np.testing.assert_array_equal(S[cols, rows], part[1])
    v = inputs(7)
    np.testing.assert_allclose(currents(G, v, wires.replace(tile=(4, 3)), Cubic(0)), M @ v, rtol=1e-11)


# Nonlinear devices.


LAWS = [(Cubic(2.0), "{G:.17g}*V*(1+2*V*V)"), (Sinh(0.25), "{G:.17g}*0.25*sinh(V/0.25)")]


@needs_ngspice
@pytest.mark.parametrize("r", [0.1, 10.0])
@pytest.mark.parametrize(("law", "text"), LAWS, ids=["cubic", "sinh"])
@pytest.mark.parametrize(("shape", "dead", "ends"), [
    ((64, 64), 0.1, {"driven": "both", "sensed": "both", "source": 2.0, "sense": 3.0}),
    ((32, 30), 0.0, {}),
    ((12, 30), 0.3, {"sensed": "both"}),
])  # fmt: skip
def test_nonlinear_currents_are_those_of_ngspice(r, law, text, shape, dead, ends, tmp_path):
    wires = Wires(row=r, column=r, **ends)
    G, v = devices(shape, int(10 * r), dead), inputs(shape[0])
    np.testing.assert_allclose(currents(G, v, wires, law), ngspice.currents(G, v, wires, tmp_path, text), rtol=1e-9)


@pytest.mark.parametrize("wires", ENDS, ids=ids)
@pytest.mark.parametrize("law", [law for law, _ in LAWS], ids=["cubic", "sinh"])
def test_nonlinear_currents_are_those_of_kirchhoffs_laws(wires, law):
    G = 10 * devices((7, 5))
    v = inputs(7) - 0.3  # of both signs
    ref = oracle.nonlinear(G, v, wires, law.current, law.slope)
    np.testing.assert_allclose(currents(G, v, wires, law), ref, rtol=1e-9)


@pytest.mark.parametrize("wires", ENDS, ids=ids)
def test_ohmic_law_gives_the_effective_matrix(wires):
    G = 10 * devices((7, 9))
    v = np.random.default_rng(3).uniform(-1, 1, (2, 3, 7))
    np.testing.assert_allclose(currents(G, v, wires, Cubic(0)), v @ effective_matrix(G, wires).T, rtol=1e-9)


def test_small_voltages_see_ohmic_devices():
    G, wires, v = devices((7, 5)), Wires(row=10, column=10), 1e-6 * inputs(7)
    for law, _ in LAWS:
        np.testing.assert_allclose(currents(G, v, wires, law), effective_matrix(G, wires) @ v, rtol=1e-9)


def lost(n_rows, n_cols, r):
    R, C = resistance_matrix(Ends(r, 0, False), n_cols), resistance_matrix(Ends(r, 0, False), n_rows)[::-1, ::-1]
    return lambda current: current @ R + C @ current


@pytest.mark.parametrize("law", [law for law, _ in LAWS], ids=["cubic", "sinh"])
def test_newton_converges_quadratically(law):
    """Digits double: the exponent between the last three residuals above rounding is 2."""
    G, v = 10 * devices((20, 20)), inputs(20)
    _, residuals = newton(G, v, lost(20, 20, 10.0), law)
    assert len(residuals) <= 9
    a, b, c = np.log([e for e in residuals if e > 1e-11][-3:])
    assert 1.6 < (c - b) / (b - a) < 2.6


@pytest.mark.parametrize("law", [Sinh(0.02), Sinh(0.005), Cubic(1e6)])
def test_steep_devices_are_damped_to_convergence(law):
    """sinh(1/0.005) is 1e86: the first steps must be cut short."""
    G, v = devices((12, 12), dead=0.1), inputs(12)
    V, residuals = newton(G, v, lost(12, 12, 10.0), law)
    assert residuals[-1] <= 1e-12 * v.max()
    np.testing.assert_allclose(V + lost(12, 12, 10.0)(law.current(G, V)), np.repeat(v[:, None], 12, axis=1), atol=1e-12)


def test_failure_says_what_is_left():
    with pytest.raises(
        ConvergenceError, match=r"^Newton's method stopped after \d+ steps at \S+ V, above 1e-12 V$"
    ) as e:
        currents(np.full((4, 4), 1e-4), np.ones(4), Wires(row=10, column=10), Sinh(1e-5))
    assert e.value.residual > 1e-12


# What is refused.


@pytest.mark.parametrize(("settings_", "message"), [
    ({"row": -1}, "wires.row = -1: must be at least 0"),
    ({"sense": float("nan")}, "wires.sense = nan: must be finite"),
    ({"source": float("inf")}, "wires.source = inf: must be finite"),
    ({"column": "1"}, "wires.column = '1': must be a number"),
    ({"row": True}, "wires.row = True: must be a number"),
    ({"driven": "top"}, 'wires.driven = \'top\': must be one of "left", "both"'),
    ({"sensed": "left"}, 'wires.sensed = \'left\': must be one of "bottom", "both"'),
    ({"tile": (0, 64)}, "wires.tile.0 = 0: must be at least 1"),
    ({"tile": (64, 2.5)}, "wires.tile.1 = 2.5: must be a whole number"),
    ({"tile": 64}, "wires.tile = 64: "),
    ({"update": "never"}, 'wires.update = \'never\': must be one of "correction", "exact"'),
    ({"refresh": 0}, "wires.refresh = 0: must be at least 1"),
    ({"refresh": 5, "update": "exact"}, 'wires: refresh = 5 needs update = "correction"'),
    ({"tolerance": 0}, "wires.tolerance = 0: must be greater than 0"),
    ({"rows": 1}, "wires.rows: unknown key (did you mean row?)"),
])  # fmt: skip
def test_impossible_wires(settings_, message):
    with pytest.raises(ConfigError) as e:
        Wires(**settings_)
    assert str(e.value).startswith(message)
    assert "\n" not in str(e.value)


GOOD, WIRES = np.full((2, 3), 1e-5), Wires(row=1)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: effective_matrix([[1e-5, -1e-6]], WIRES), "G[0, 1] = -1e-06: must be finite and at least 0 siemens"),
    (lambda: linearise([[np.nan]], WIRES), "G[0, 0] = nan: must be finite and at least 0 siemens"),
    (lambda: linearise([[np.inf]], WIRES), "G[0, 0] = inf: must be finite and at least 0 siemens"),
    (lambda: effective_matrix([1e-5], WIRES), "G has shape (1,): expected (n_rows, n_cols), neither of them 0"),
    (lambda: effective_matrix(np.ones((0, 3)), WIRES), "G has shape (0, 3): expected (n_rows, n_cols)"),
    (lambda: effective_matrix([["a"]], WIRES), "G = [['a']]: must be conductances in siemens, [n_rows, n_cols]"),
    (lambda: effective_matrix([[1, 2], [3]], WIRES), "G = [[1, 2], [3]]: must be conductances"),
    (lambda: effective_matrix([[1e-5j]], WIRES), "G = [[1e-05j]]: must be conductances"),
    (lambda: correction_error(GOOD, GOOD.T, WIRES), "G_new has shape (3, 2): expected that of G, (2, 3)"),
    (lambda: correction_error(GOOD, -GOOD, WIRES), "G_new[0, 0] = -1e-05: must be finite and at least 0 siemens"),
    (lambda: refresh_interval(GOOD, GOOD, WIRES, steps=0), "steps = 0: must be a whole number of at least 1"),
    (lambda: tiles(0, 3, None), "n_in = 0: must be a whole number of at least 1"),
    (lambda: tiles(4, 3, (0, 2)), "tile[0] = 0: must be a whole number of at least 1"),
    (lambda: currents(GOOD, [1.0], WIRES, Cubic(1)), "v has shape (1,): expected (..., 2)"),
    (lambda: currents(GOOD, [1.0, np.nan], WIRES, Cubic(1)), "v[1] = nan: must be finite"),
    (lambda: currents(GOOD, ["a", "b"], WIRES, Cubic(1)), "v = ['a', 'b']: must be voltages, [..., n_rows]"),
    (lambda: currents(GOOD[None], [1.0, 1.0], WIRES, Cubic(1)), "G has shape (1, 2, 3): expected (n_rows, n_cols)"),
    (lambda: Cubic(-1), "cubic.k = -1: must be at least 0"),
    (lambda: Sinh(0), "sinh.v0 = 0: must be greater than 0"),
])  # fmt: skip
def test_impossible_arguments(call, message):
    with pytest.raises(ConfigError) as e:
        call()
    assert str(e.value).startswith(message)
    assert "\n" not in str(e.value)
