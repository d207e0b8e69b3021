"""Wires in the training loop: the solver against the tool, runs against the oracle, and what a run tells of them."""

import numpy as np
import pytest

import analogmgd as am
from analogmgd.kernels import elimination
from analogmgd.wire_block import seen
from analogmgd.wires import Wires
from analogmgd.wires_elimination import solve
from oracle import network as onet
from oracle import ngspice, wired
from oracle import rule as orule
from test_wires import ENDS, SHAPES, devices, ids, inputs, needs_ngspice

# The solver.


def by_kernel(G, wires, sensitive=True):
    """M and S [n_cols, n_rows], as the training loop solves them."""
    rows, n = G.shape
    cells, work, stack = elimination.scratch(rows, n, wires.sensed == "both")
    for a in (cells, work, stack):
        a[:] = np.random.default_rng(1).normal(size=a.shape)  # what was there before does not matter
    cells[elimination.G, :, :n] = G
    ends = np.array([*wires.row_ends, *wires.column_ends], np.float64)
    elimination.solve_one(ends, sensitive, n, cells, work, stack)
    return cells[elimination.M, :, :n].T, cells[elimination.S, :, :n].T


@pytest.mark.parametrize("wires", [*ENDS, Wires(), Wires(row=1.0, column=1.0)], ids=[*ids, "none", "1 ohm"])
@pytest.mark.parametrize("shape", [*SHAPES, (17, 16), (33, 10), (65, 32)])
@pytest.mark.parametrize("scale", [1.0, 1000.0], ids=["weak", "strong"])
def test_the_kernel_solves_as_the_tool_does(wires, shape, scale):
    G = scale * devices(shape)
    M, S = by_kernel(G, wires)
    M_tool, S_tool = solve(G, wires.row_ends, wires.column_ends, True)
    np.testing.assert_allclose(M, M_tool, rtol=1e-12, atol=1e-12 * np.abs(M_tool).max())
    np.testing.assert_allclose(S, S_tool, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(by_kernel(G, wires, False)[0], M)
    if scale == 1.0:  # elements that are not small beside the others, to as many digits of their own
        large = M_tool > 1e-3 * M_tool.max()
        np.testing.assert_allclose(M[large], M_tool[large], rtol=1e-12)


@needs_ngspice
@pytest.mark.parametrize("wires", [ENDS[0], ENDS[2]], ids=["one side", "both sides"])
def test_the_kernel_solves_as_ngspice_does(wires, tmp_path):
    G, v = devices((40, 32)), inputs(40)
    np.testing.assert_allclose(by_kernel(G, wires)[0] @ v, ngspice.currents(G, v, wires, tmp_path), rtol=1e-9)


# Runs against the oracle.

SIZES = [3, 4, 2]
NET = am.Network.mlp(SIZES, "tanh")
ONET = onet.Net(SIZES, ["tanh", "tanh"])
P = NET.n_params
DATA = am.Dataset(*[np.random.default_rng(5).random((7, n)) for n in (3, 2, 3, 2)], name="own")
G_UNIT = 1e-4
WIRES = {"row": 120.0, "column": 70.0, "source": 50.0, "sense": 30.0, "g_unit": G_UNIT}
BOUNDS = {"w_min": -1.5, "w_max": 1.5}
CASES = {
    "refresh": ({"refresh": 6}, {}, {}),
    "every step": ({"refresh": 1}, {}, {"tau_theta": 1}),
    "driven and sensed at both ends": ({"refresh": 5, "driven": "both", "sensed": "both"}, {}, {}),
    "tiles": ({"refresh": 4, "tile": (2, 3)}, {"g_min": 0.05}, {}),
    "symmetric, walsh": ({"refresh": 6}, BOUNDS | {"mapping": "symmetric", "g_min": 0.1, "scale": 2.0},
                         {"perturbation": "walsh", "baseline": "antithetic"}),
    "reference, sequential": ({"refresh": 6}, BOUNDS | {"mapping": "reference", "g_min": 0.1},
                              {"perturbation": "sequential", "tau_x": 4}),
    "mismatch, gaussian": ({"refresh": 6}, {"amplitude_mismatch": 0.1}, {"perturbation": "gaussian", "tau_p": 2}),
    "drift": ({"refresh": 6}, {"drift_nu": 0.05, "drift_nu_spread": 0.02, "g_min": 0.1}, {"tau_theta": 3}),
    "drift, symmetric": ({"refresh": 9}, BOUNDS | {"mapping": "symmetric", "g_min": 0.1, "drift_nu": 0.05,
                         "drift_nu_spread": 0.02}, {"tau_theta": 3, "perturbation": "sinusoid"}),
    "exact": ({"update": "exact"}, {"g_min": 0.1}, {}),
    "exact, antithetic": ({"update": "exact", "tile": (2, 3)}, {"g_min": 0.1, "amplitude_mismatch": 0.1},
                          {"baseline": "antithetic", "tau_p": 2}),
    "exact, walsh with drift": ({"update": "exact"}, {"g_min": 0.1, "drift_nu": 0.05},
                                {"perturbation": "walsh", "tau_theta": 3}),
    "exact, gaussian": ({"update": "exact"}, {"g_min": 0.1, "scale": 2.0}, {"perturbation": "gaussian"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_step_is_that_of_the_oracle(name):
    wires, device, rule = CASES[name]
    rule = {"eta": 0.3, "amplitude": 0.05, "tau_theta": 2} | rule
    wires, device, steps, chip = am.Wires(**WIRES, **wires), am.Device(**device), 30, 20
    run = am.train(
        am.Chip(NET, device=device, wires=wires, step_time=1.0), DATA, am.MGD(band=(0.16, 0.32), **rule), steps=steps,
        chips=[3, chip], seed=4, precision="double", record=("theta",), record_every=1, eval_samples=None,
        theta0=np.random.default_rng(6).uniform(-0.9, 0.9, P),
    )  # fmt: skip
    drawn = {k: run.chip_arrays[k][1] for k in run.chip_arrays}
    c = wired.Wired(
        wires, G_UNIT, device.scale, device.g_min, device.mapping, device.w_max or 1.0, device.w_max or np.inf,
        wires.refresh,
        (drawn["drift_nu_plus"], drawn["drift_nu_minus"]) if device.ages else None, wires.tile,
        drawn.get("amplitude_gain", 1.0),
    )  # fmt: skip
    s = orule.Settings(band=(0.16, 0.32), seed=4, chip=chip, **rule)
    theta, w, worst = wired.simulate(ONET, DATA.x_train, DATA.y_train, s, c, steps, drawn["theta0"])
    np.testing.assert_allclose(run.record["theta"][:, 1], theta, rtol=1e-9, atol=1e-9)
    assert np.abs(theta[-1] - theta[0]).max() > 0.1
    if not device.ages:
        np.testing.assert_allclose(run.own[1], device.scale * w, rtol=1e-9, atol=1e-9)
    assert run.wire_error[1] == pytest.approx(worst, rel=1e-6, abs=1e-12)
    if wires.refresh:
        assert run.wire_solves[1] == 1 + (steps - 1) // wires.refresh
    assert np.abs(theta - run.own[1]).max() > 0.02  # wires matter here
