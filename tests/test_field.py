"""Correlated variation of devices: against the sum of the equations, and its mean, variance and correlation."""

import numpy as np
import pytest
from scipy import stats
from test_pulsed import DEVICE, SEED, settings_of

import analogmgd as am
from oracle import device as odevice
from oracle import field as oracle
from oracle import philox

FIELD = 21  # stream
LENGTH, SHARE = 1.3, 0.6
LAYERS = [(4, 5), (5, 2)]
NET = am.Network.mlp([4, 5, 2])
P, REACH = NET.n_params, 6  # 4 lengths, rounded up
GRIDS = [(n_in + 1 + 2 * REACH, n_out + 2 * REACH) for n_in, n_out in LAYERS]
CELLS = sum(a * b for a, b in GRIDS)
DATA = am.Dataset(*[np.random.default_rng(6).random((5, n)) for n in (4, 2, 4, 2)], name="own")
DEVICES = am.Device(
    model="linear", dw_min=0.01, w_min=-0.9, w_max=1.0, slope_up=0.3, slope_down=0.2, slope_spread=0.05, dw_spread=0.2,
    w_max_spread=0.1, w_min_spread=0.15, up_down_spread=0.05, drift_nu=0.05, drift_nu_spread=0.02, lifetime=3.0,
    lifetime_spread=0.1, correlation_length=LENGTH, correlated_share=SHARE,
)  # fmt: skip


def normals_of(chip, k):
    """Normal k of every parameter."""
    own = philox.normals(SEED, chip, DEVICE, k * 4 * ((P + 3) // 4), P)
    white = philox.normals(SEED, chip, FIELD, k * 4 * ((CELLS + 3) // 4), CELLS)
    parts, first = [], 0
    for rows, columns in GRIDS:
        grid = oracle.field(white[first : first + rows * columns].reshape(rows, columns), LENGTH)
        first += rows * columns
        parts += [grid[:-1].T.ravel(), grid[-1]]  # weights (n_out, n_in), then biases
    return np.sqrt(SHARE) * np.concatenate(parts) + np.sqrt(1 - SHARE) * own


def train(device, chips, net=NET, data=DATA, **settings):
    return am.train(
        am.Chip(net, device=device), data, am.MGD(), steps=1, chips=chips, seed=SEED, record=(), **settings
    )  # fmt: skip


def test_what_devices_draw_is_that_of_the_equations():
    """Steps, bounds and slopes through the oracle of devices; drift and leak through their formulas."""
    run = train(DEVICES, [4, 30], precision="double")
    for lane, chip in enumerate([4, 30]):
        xi = [normals_of(chip, k) for k in range(7)]
        dev = odevice.populate(settings_of(DEVICES.replace(lifetime=0.0)), np.array([*xi, np.zeros(P)]))
        drawn = {name: array[lane] for name, array in run.chip_arrays.items()}
        for ours, theirs in (
            ("w_max", dev.b_max), ("w_min", dev.b_min), ("step_up", dev.D_up), ("step_down", dev.D_down),
            ("slope_up", dev.slope_up), ("slope_down", dev.slope_down),
            ("drift_nu_plus", np.abs(0.05 + 0.02 * normals_of(chip, 7))),
            ("drift_nu_minus", np.abs(0.05 + 0.02 * normals_of(chip, 8))),
        ):  # fmt: skip
            np.testing.assert_allclose(drawn[ours], theirs, rtol=1e-10, err_msg=ours)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_mean_variance_and_correlation(share):
    """4000 arrays of 7 x 8 cells (biases the last row): every cell, corners too, standard normal; pairs as said.

    Each test at 1e-3 over all of its cells or distances: mean, variance (chi-square), correlation (Fisher's z).
    """
    net, chips, length = am.Network.mlp([6, 8]), 4000, 1.5
    data = am.Dataset(*[np.ones((1, n)) for n in (6, 8, 6, 8)], name="own")
    device = am.Device(model="constant", dw_min=0.01, w_min=-1e9, w_max=1.0, w_max_spread=0.05,
                       correlation_length=length, correlated_share=share)  # fmt: skip
    run = train(device, chips, net, data, precision="double")
    z = (run.chip_arrays["w_max"] - 1) / 0.05
    cells = np.concatenate([z[:, :48].reshape(chips, 8, 6), z[:, 48:, np.newaxis]], axis=2).swapaxes(
        1, 2
    )  # row, column
    assert np.abs(cells.mean(axis=0)).max() < stats.norm.ppf(1 - 0.0005 / 56) / np.sqrt(chips)
    low, high = stats.chi2.interval(1 - 1e-3 / 56, chips - 1)
    variances = cells.var(axis=0, ddof=1) * (chips - 1)
    assert low < variances.min()
    assert variances.max() < high
    pairs = [(0, 0, a, b) for a in range(7) for b in range(8) if a + b] + [(6, 3, 2, 3), (3, 7, 3, 4), (5, 5, 6, 7)]
    for i, j, k, m in pairs:
        expected = share * oracle.correlation(length, abs(i - k), abs(j - m))
        gauss = share * np.exp(-((i - k) ** 2 + (j - m) ** 2) / (2 * length) ** 2)
        assert abs(expected - gauss) < 2e-3  # what cutting the Gaussian at 4 lengths changes
        found = np.corrcoef(cells[:, i, j], cells[:, k, m])[0, 1]
        z_score = (np.arctanh(found) - np.arctanh(expected)) * np.sqrt(chips - 3)
        assert abs(z_score) < stats.norm.ppf(1 - 0.0005 / len(pairs)), (i, j, k, m, found, expected)


def test_layers_and_quantities_are_independent():
    device = am.Device(model="constant", dw_min=0.01, w_min=-1.0, w_max=1.0, w_max_spread=0.05, w_min_spread=0.05,
                       correlation_length=2.0, correlated_share=1.0)  # fmt: skip
    run = train(device, 2000)
    first, last = run.chip_arrays["w_max"][:, :25].mean(axis=1), run.chip_arrays["w_max"][:, 25:].mean(axis=1)
    other = run.chip_arrays["w_min"][:, :25].mean(axis=1)
    worst = np.abs(np.corrcoef([first, last, other]) - np.eye(3)).max()
    assert worst < stats.norm.ppf(1 - 0.0005 / 3) / np.sqrt(2000)
    assert first.std() > 0.6 * 0.05  # and alike within one


def test_the_same_devices_in_both_precisions():
    single, double = (train(DEVICES, 3, precision=p).chip_arrays["w_max"] for p in ("single", "double"))
    np.testing.assert_allclose(single, double, rtol=3e-6)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ({"correlation_length": 2.0}, "correlation_length = 2, correlated_share = 0: give both or neither"),
        ({"correlated_share": 0.5}, "correlation_length = 0, correlated_share = 0.5: give both or neither"),
        ({"correlation_length": -1, "correlated_share": 0.5}, "device.correlation_length = -1: must be at least 0"),
        ({"correlation_length": 101, "correlated_share": 0.5}, "device.correlation_length = 101: must be at most 100"),
        ({"correlation_length": 2, "correlated_share": 1.5}, "device.correlated_share = 1.5: must be at most 1"),
    ],
)
def test_what_cannot_be(device, said):
    with pytest.raises(am.ConfigError, match=said):
        am.Device(**device)
