"""Elementary functions of the kernels: error in units in the last place, edge cases, normal numbers.

An error is |result - exact|/ulp, ulp the spacing of the type at the exact value, which comes from long double.
"""

import numpy as np
import pytest
from scipy import stats

from analogmgd.kernels.jit import entry
from analogmgd.kernels.mathfn import exp, log, normal_pair, sigmoid, sincos, tanh, uniform
from analogmgd.kernels.neuron import activate as activate_neurons
from analogmgd.kernels.neuron import sample_cost
from analogmgd.kernels.simd import load, store
from analogmgd.kernels.table import CROSS_ENTROPY, LINEAR, MSE, RELU, SIGMOID, TANH
from oracle import philox as ophilox

LANES = 16
LONG = np.longdouble
TAU = 2 * LONG("3.14159265358979323846264338327950288")
EXP, LOG, TANH_, SIGMOID_, SIN, COS = range(6)
REALS = [np.float32, np.float64]
N = 1 << 17  # arguments per measurement


@entry  # cached on disk with the kernels, so that it is compiled once
def apply(which, x, out):
    """out <- function `which` of x, real[rows, 16]."""
    for row in range(x.shape[0]):
        a = load(x, row, 0)
        if which == 0:
            store(out, row, 0, exp(a))
        elif which == 1:
            store(out, row, 0, log(a, x))
        elif which == 2:
            store(out, row, 0, tanh(a))
        elif which == 3:
            store(out, row, 0, sigmoid(a))
        elif which == 4:
            store(out, row, 0, sincos(a)[0])
        else:
            store(out, row, 0, sincos(a)[1])


@entry
def draw(words, u, normals):
    """u <- uniform of words uint32[rows, 16]; normals <- normal_pair of rows 2 i and 2 i + 1."""
    for row in range(0, words.shape[0], 2):
        a = load(words, row, 0)
        b = load(words, row + 1, 0)
        store(u, row, 0, uniform(a, u))
        store(u, row + 1, 0, uniform(b, u))
        c, s = normal_pair(a, b, normals)
        store(normals, row, 0, c)
        store(normals, row + 1, 0, s)


@entry
def activate(kind, z):
    activate_neurons(z, 0, z.shape[0], kind, z[:0], 0)


@entry
def cost_of(kind, z, y, out):
    """out[0] <- cost of the logits or outputs z real[n_out, 16] against y."""
    store(out, 0, 0, sample_cost(kind, z, 0, y, z.shape[0], 0))


def of(which, values, real):
    """The kernels' function of any number of values: (values as real, results)."""
    values = np.asarray(values, real).ravel()
    x = np.resize(values, (-(-len(values) // LANES), LANES))
    out = np.full_like(x, 777)
    apply(which, x, out)
    return values, out.ravel()[: len(values)]


def ulps(result, exact, real):
    """Largest error in ulp."""
    return float((np.abs(result.astype(LONG) - exact) / np.spacing(np.abs(exact).astype(real)).astype(LONG)).max())


def exact_sincos(u):
    """sin, cos of u turns in long double: whole quarter turns are taken off exactly first."""
    u = u.astype(LONG)
    quarters = np.rint(4 * u)
    s, c = np.sin(TAU * (u - quarters / 4)), np.cos(TAU * (u - quarters / 4))
    q = quarters.astype(np.int64) % 4
    return np.choose(q, [s, c, -s, -c]), np.choose(q, [c, -s, -c, s])


EXACT = {
    EXP: np.exp,
    LOG: np.log,
    TANH_: np.tanh,
    SIGMOID_: lambda x: 1 / (1 + np.exp(-x)),
    SIN: lambda u: exact_sincos(u)[0],
    COS: lambda u: exact_sincos(u)[1],
}


def between(low, high):
    return lambda rng: rng.uniform(low, high, N)


def powers(low, high):
    """Spread evenly over orders of magnitude."""
    return lambda rng: np.exp2(rng.uniform(low, high, N))


# function, arguments, bound on the error in ulp for float32 and float64: about 1.2 times what was measured
# on 2e7 arguments (in brackets).
BOUNDS = {
    "exp": (EXP, between(-87, 87), 1.2, 1.2),  # (1.02, 1.01)
    "exp near 0": (EXP, between(-1, 1), 1.05, 1.15),  # (0.87, 0.97)
    "exp of tiny": (EXP, powers(-60, -3), 0.7, 0.7),  # (0.57, 0.57)
    "log of a uniform": (LOG, powers(-33, 0), 1.15, 1.5),  # (0.93, 1.25)
    "log near 1": (LOG, between(0.93, 1.07), 0.75, 0.75),  # (0.60, 0.60)
    "log of large": (LOG, powers(0, 120), 1.1, 1.4),  # (0.88, 1.16)
    "tanh": (TANH_, between(-4, 4), 3.5, 3.5),  # (3.00, 3.00), just outside the polynomial
    "tanh inside": (TANH_, between(-0.62, 0.62), 0.9, 1.0),  # (0.72, 0.82)
    "tanh of tiny": (TANH_, powers(-100, -8), 0.6, 0.6),  # (0.50, 0.51)
    "tanh of large": (TANH_, between(4, 100), 0.6, 0.6),  # (0.51, 0.50)
    "sigmoid": (SIGMOID_, between(-10, 10), 2.4, 2.4),  # (1.99, 2.01)
    "sigmoid far": (SIGMOID_, between(-80, 80), 3.0, 3.0),  # (2.44, 2.46)
    "sin": (SIN, between(-2, 2), 2.35, 2.2),  # (1.96, 1.81)
    "cos": (COS, between(-2, 2), 2.35, 2.2),  # (1.97, 1.80)
    "sin of a uniform": (SIN, between(0, 1), 2.35, 2.2),  # (1.98, 1.82)
    "cos of a uniform": (COS, between(0, 1), 2.35, 2.2),  # (1.97, 1.82)
}


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", BOUNDS)
def test_error_in_ulp(name, real):
    if real is np.float64 and np.finfo(LONG).nmant < 60:
        pytest.skip("long double is no better than double here")
    which, arguments, *bounds = BOUNDS[name]
    x, result = of(which, arguments(np.random.default_rng(5)), real)
    assert ulps(result, EXACT[which](x.astype(LONG)), real) < bounds[real is np.float64]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("which", [EXP, TANH_, SIGMOID_, SIN, COS])
def test_nan_stays_nan(which, real):
    """Of either sign, in every lane, and it does not touch its neighbours."""
    for lane in range(LANES):
        x = np.full(LANES, 0.25, real)
        x[lane] = np.nan if lane % 2 else -np.nan
        _, result = of(which, x, real)
        others = np.arange(LANES) != lane
        assert np.isnan(result[lane])
        assert (result[others] == result[others][0]).all()
        assert np.isfinite(result[others]).all()


@pytest.mark.parametrize("real", REALS)
def test_infinities_and_large_arguments(real):
    large = [np.inf, np.finfo(real).max, 1e30, 1e4]
    limit = (-87, 88) if real is np.float32 else (-708, 709)
    assert (of(TANH_, large, real)[1] == 1).all()
    assert (of(TANH_, np.negative(large), real)[1] == -1).all()
    assert (of(SIGMOID_, large, real)[1] == 1).all()
    low = of(SIGMOID_, np.negative(large), real)[1]
    assert ((low >= 0) & (low < 2 * np.finfo(real).tiny)).all()
    # exp is documented to be limited: it never overflows, and never gives 0
    assert (of(EXP, large, real)[1] == of(EXP, limit[1:], real)[1]).all()
    assert (of(EXP, np.negative(large), real)[1] == of(EXP, limit[:1], real)[1]).all()
    assert ulps(of(EXP, limit, real)[1], np.exp(np.array(limit, LONG)), real) < 1.2
    assert np.isnan(of(SIN, [np.inf, -np.inf], real)[1]).all()
    assert np.isnan(of(COS, [np.inf, -np.inf], real)[1]).all()


@pytest.mark.parametrize("real", REALS)
def test_zero_and_subnormals(real):
    info = np.finfo(real)
    tiny = np.array([0, info.smallest_subnormal, info.tiny / 2, info.tiny, 1e-30], real)
    tiny = np.concatenate([tiny, -tiny])
    assert np.array_equal(of(TANH_, tiny, real)[1], tiny)
    assert (of(EXP, tiny, real)[1] == 1).all()
    assert (of(SIGMOID_, tiny, real)[1] == 0.5).all()
    assert (of(COS, tiny, real)[1] == 1).all()
    assert ulps(of(SIN, tiny, real)[1], TAU * tiny.astype(LONG), real) <= 1


@pytest.mark.parametrize("real", REALS)
def test_exact_values(real):
    turns = np.array([0, 0.25, 0.5, 0.75, 1, -0.25, -0.5, 2])
    assert np.array_equal(of(SIN, turns, real)[1], [0, 1, 0, -1, 0, -1, 0, 0])
    assert np.array_equal(of(COS, turns, real)[1], [1, 0, -1, 0, 1, 0, -1, 1])
    assert (of(LOG, [1.0], real)[1] == 0).all()
    info = np.finfo(real)
    ends = np.array([info.tiny, info.max, 2.0**-33, 1 - info.epsneg, 1 + info.eps], real)
    assert ulps(of(LOG, ends, real)[1], np.log(ends.astype(LONG)), real) < 1


@pytest.mark.parametrize("real", REALS)
def test_ranges(real):
    """|tanh| <= 1, 0 < sigmoid <= 1 and |sin|, |cos| <= 1 to one ulp, everywhere."""
    x = np.random.default_rng(6).uniform(-30, 30, N)
    one = 1 + np.finfo(real).eps
    assert (np.abs(of(TANH_, x, real)[1]) <= 1).all()
    s = of(SIGMOID_, x, real)[1]
    assert ((s > 0) & (s <= 1)).all()
    assert (np.abs(of(SIN, x / 10, real)[1]) <= one).all()
    assert (np.abs(of(COS, x / 10, real)[1]) <= one).all()


@pytest.mark.parametrize("real", REALS)
def test_activations(real):
    """relu: 0 below 0, else the argument, NaN too; linear leaves everything; the others as their functions."""
    values = np.array([-np.inf, -1, -1e-40, -0.0, 0.0, 1e-40, 1, np.inf, np.nan, 3, -3, 0.5, 20, -20, 2, 7], real)
    z = {}
    for kind in (LINEAR, SIGMOID, TANH, RELU):
        z[kind] = np.tile(values, (2, 1))
        activate(kind, z[kind])
        assert np.array_equal(z[kind][0], z[kind][1], equal_nan=True)
    assert np.array_equal(z[LINEAR][0], values, equal_nan=True)
    assert np.array_equal(z[RELU][0], np.where(values < 0, 0, values), equal_nan=True)
    assert np.array_equal(z[SIGMOID][0], of(SIGMOID_, values, real)[1], equal_nan=True)
    assert np.array_equal(z[TANH][0], of(TANH_, values, real)[1], equal_nan=True)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("kind", [MSE, CROSS_ENTROPY])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_cost_of_what_is_not_finite_is_not_finite(kind, bad, real):
    """So that a chip that diverges is seen: `log` by itself is defined for positive numbers only."""
    for where in range(3):
        for target in range(3):
            z, y, out = np.zeros((3, LANES), real), np.zeros((3, LANES), real), np.zeros((1, LANES), real)
            z[where], y[target] = bad, 1
            cost_of(kind, z, y, out)
            assert not np.isfinite(out).any()


@pytest.mark.parametrize("real", REALS)
def test_cross_entropy_of_large_logits(real):
    """The largest logit is taken out first: no overflow."""
    z, y, out = np.zeros((2, LANES), real), np.zeros((2, LANES), real), np.zeros((1, LANES), real)
    z[0], y[1] = 1e4, 1
    cost_of(CROSS_ENTROPY, z, y, out)
    assert (out == 1e4).all()


def normals_of(a, b, real):
    """uniform and normal_pair of two arrays of words: (u of a, u of b, cos, sin)."""
    a, b = (np.asarray(w, np.uint32).ravel() for w in (a, b))
    rows = -(-len(a) // LANES)
    words = np.stack([np.resize(a, (rows, LANES)), np.resize(b, (rows, LANES))], axis=1).reshape(2 * rows, LANES)
    u, normals = (np.zeros((2 * rows, LANES), real) for _ in range(2))
    draw(words, u, normals)
    return [x[i::2].ravel()[: len(a)] for x in (u, normals) for i in (0, 1)]


ENDS = np.array([0, 1, 2, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1], np.uint32)


@pytest.mark.parametrize("real", REALS)
def test_normals_are_finite_for_every_word_at_the_ends(real):
    a, b = (g.ravel() for g in np.meshgrid(ENDS, ENDS))
    u, v, c, s = normals_of(a, b, real)
    assert ((u > 0) & (u <= 1) & (v > 0) & (v <= 1)).all()
    np.testing.assert_allclose(u, ophilox.uniform(a), rtol=np.finfo(real).eps)
    assert np.isfinite(c).all()
    assert np.isfinite(s).all()
    largest = np.sqrt(2 * 33 * np.log(2))  # of word 0: 6.76
    assert np.hypot(c, s).max() == pytest.approx(largest, rel=float(4 * np.finfo(real).eps))


@pytest.mark.parametrize("real", REALS)
def test_normals_are_the_oracles(real):
    words = ophilox.words(3, 1, ophilox.COST, 0, N)
    _, _, c, s = normals_of(words[0::2], words[1::2], real)
    expected = ophilox.normals(3, 1, ophilox.COST, 0, N)
    r = np.maximum(np.hypot(expected[0::2], expected[1::2]), 2.5e-4)
    # in single precision a uniform near 1 is rounded to 2**-25, which is that over r in r = sqrt(-2 ln u)
    allowed = 3e-6 + 2**-24 / r if real is np.float32 else 1e-14
    assert (np.hypot(c - expected[0::2], s - expected[1::2]) <= allowed).all()


@pytest.mark.parametrize("real", REALS)
def test_normals_are_normal(real):
    """Moments and correlation within 4 standard errors, Kolmogorov-Smirnov at 1 in 1000; seed fixed."""
    n = 1 << 19
    words = ophilox.words(11, 7, ophilox.WRITE, 0, 2 * n)
    _, _, c, s = (x.astype(np.float64) for x in normals_of(words[:n], words[n:], real))
    for x in (c, s):
        assert abs(x.mean()) < 4 / np.sqrt(n)
        assert abs(x.var() - 1) < 4 * np.sqrt(2 / n)
        assert abs((x**3).mean()) < 4 * np.sqrt(15 / n)
        assert abs((x**4).mean() - 3) < 4 * np.sqrt(96 / n)
        assert stats.kstest(x, "norm").pvalue > 1e-3
        beyond = (np.abs(x) > 4).sum()
        assert stats.poisson.sf(beyond - 1, 2 * n * stats.norm.sf(4)) > 1e-3
        assert stats.poisson.cdf(beyond, 2 * n * stats.norm.sf(4)) > 1e-3
    for one, other in ((c, s), (c**2, s**2)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(n)
    assert stats.kstest(np.arctan2(s, c) / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3
