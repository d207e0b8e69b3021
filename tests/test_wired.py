"""Wires in the training loop: the solver against the tool, runs against the oracle, and what a run tells of them."""

import numpy as np
import pytest
from test_wires import ENDS, SHAPES, devices, ids, inputs, needs_ngspice

import analogmgd as am
from analogmgd.device_law import about as law_of
from analogmgd.kernels import elimination
from analogmgd.wire_block import conductances, seen
from analogmgd.wires import Wires
from analogmgd.wires_elimination import solve
from oracle import network as onet
from oracle import ngspice, wired
from oracle import rule as orule

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


# What stands beside the matrix: devices, faults, time.


def train(device=None, wires=None, steps=50, data=DATA, **settings):
    rule = am.MGD(**{"eta": 0.3, "amplitude": 0.05, "tau_theta": 2} | settings.pop("rule", {}))
    wires = am.Wires(**WIRES, **(wires or {}))
    chip = am.Chip(NET, device=device or am.Device(), wires=wires, **settings.pop("chip", {}))
    defaults = {"precision": "double", "seed": 2, "chips": 4, "eval_samples": None}
    return am.train(chip, data, rule, steps=steps, **defaults | settings)


def test_no_resistance_is_no_wires():
    """And next to none changes next to nothing."""
    plain, none, little = (
        am.train(am.Chip(NET, wires=w), DATA, am.MGD(eta=0.1), steps=100, chips=3, precision="double").theta
        for w in (None, am.Wires(), am.Wires(row=1e-6, column=1e-6, g_unit=G_UNIT, refresh=10))
    )
    np.testing.assert_array_equal(none, plain)
    np.testing.assert_allclose(little, plain, atol=1e-8)
    assert (little != plain).any()


def test_a_chip_starts_exact():
    """Weights written to a chip with wires: what it sees is the effective matrix, before any step."""
    theta0 = np.random.default_rng(1).uniform(-0.9, 0.9, (4, P))
    run = train(steps=1, rule={"eta": 0.0}, theta0=theta0, record=("theta", "cost"), record_every=1)
    wanted = seen(am.Chip(NET, wires=am.Wires(**WIRES)), np.maximum(theta0, 0), np.maximum(-theta0, 0))
    np.testing.assert_allclose(run.record["theta"][0], wanted, rtol=1e-10, atol=1e-13)
    np.testing.assert_array_equal(run.own, theta0)


def test_weights_are_recorded_as_they_are_seen():
    """The evaluation is that of an ideal network with the recorded parameters."""
    run = train(record=("cost", "theta"), record_every=10)
    for k, theta in enumerate(run.record["theta"]):
        ideal = am.train(NET, DATA, am.MGD(eta=0.0), steps=1, chips=4, theta0=theta, precision="double")
        np.testing.assert_allclose(run.cost[k], ideal.cost[0], rtol=1e-12)


@pytest.mark.parametrize("mapping", ["one-sided", "symmetric", "reference"])
def test_open_lines_and_stuck_devices(mapping):
    """A dead line is seen as 0; a device that is stuck is a conductance of the array all the same."""
    device = am.Device(w_min=-1.5, w_max=1.5, g_min=0.05, mapping=mapping)
    faults = am.Faults(dead_rows=[(0, 1)], dead_columns=[(1, 0)], stuck=[(0, "plus", 1.0), (2, "minus", 0.5)])
    run = train(device, {"update": "exact"}, chip={"faults": faults})
    open_line = np.zeros(P, bool)
    open_line[[1, 4, 7, 10, 16, 17, 18, 19, 24]] = True
    assert (run.theta[:, open_line] == 0).all()
    plus, minus = (np.full((4, P), np.nan) for _ in range(2))
    at = (0.05 + 3.0, 0.05 + 1.5) if mapping == "reference" else (0.05 + 1.5, 0.05 + 0.75)
    plus[:, 0], minus[:, 2] = at
    plus[:, open_line] = minus[:, open_line] = 0
    chip = am.Chip(NET, device=device, wires=am.Wires(**WIRES))
    about = law_of(device, 1.0)
    g = conductances(run.own, run.own, 0, about, (None, None), (plus, minus))
    np.testing.assert_allclose(g[0] - g[1], np.where(open_line, 0, run.own), atol=1e-12)
    assert g[0][:, 0] == pytest.approx(at[0])
    assert g[1][:, 2] == pytest.approx(at[1])
    np.testing.assert_allclose(run.theta, seen(chip, *g), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "device",
    [
        {"drift_nu": 0.1, "g_min": 0.1, "drift_nu_spread": 0.05},
        {"drift_nu": 0.1, "g_min": 0.1, "mapping": "symmetric", "w_min": -2.0, "w_max": 2.0},
        {"lifetime": 0.05, "lifetime_spread": 0.2, "rest": 0.1},
    ],
)
def test_age_is_what_idle_steps_make(device):
    """Chips that start at what was found and do 41 steps that ask for nothing have aged by 40 of them, of 2 ms."""
    rule = {"baseline": "antithetic"}
    run = train(am.Device(**device), {"update": "exact"}, rule=rule)
    idle = train(am.Device(**device), {"update": "exact"}, steps=41, rule=rule | {"eta": 0.0}, theta0=run.own)
    np.testing.assert_allclose(am.age(run, [40 * 2e-3], DATA).theta[0], idle.theta, rtol=1e-9, atol=1e-12)
    assert np.abs(idle.theta - run.theta).max() > 0.01


def test_write_noise_and_reference_are_of_the_devices():
    device = am.device("reram-array-om", g_min=0.1)
    run = train(device, {"update": "exact"})
    about = law_of(device, 1.0)
    none = np.zeros((0, P))
    chip = am.Chip(NET, device=device, wires=am.Wires(**WIRES))
    g = conductances(run.own, run.own, 0, about, (None, None), (none, none))
    np.testing.assert_allclose(run.theta, seen(chip, *g), rtol=1e-10, atol=1e-12)


def test_digital_biases_are_not_on_the_array():
    """They are seen as they are; the array has no row for them."""
    device = am.Device(g_min=0.05, digital_biases=True)
    biases = np.r_[12:16, 24:26]
    chip = am.Chip(NET, device=device, wires=am.Wires(**WIRES))
    for how in ({"refresh": 4}, {"update": "exact"}):
        run = train(device, how, steps=50)
        np.testing.assert_allclose(run.theta[:, biases], run.own[:, biases], rtol=1e-12, atol=1e-12)
        g = conductances(run.own, run.own, 0, law_of(device, 1.0), (None, None), (np.zeros((0, P)), np.zeros((0, P))))
        if "update" in how:
            np.testing.assert_allclose(run.theta, seen(chip, *g), rtol=1e-10, atol=1e-12)
        assert np.abs(run.theta[:, :12] - run.own[:, :12]).max() > 0.02


# When to solve, and what is told.


def test_adaptive_solves_keep_the_tolerance():
    """They become rarer as long as the error allows; where nothing moves, there are hardly any."""
    mild = {k: v / 30 for k, v in WIRES.items() if k != "g_unit"}
    found = {}
    for tolerance in (0.003, 0.0003):
        wires = am.Wires(**mild, g_unit=G_UNIT, tolerance=tolerance)
        chip = am.Chip(NET, wires=wires)
        run = am.train(chip, DATA, am.MGD(eta=0.02, amplitude=0.05), steps=5000, chips=32, seed=1, precision="double")
        found[tolerance] = run.wire_solves.mean()
        assert np.median(run.wire_error) < tolerance
        assert (run.wire_error < 2 * tolerance).all()
    assert found[0.003] < found[0.0003] < 1250
    mean = run.wire_solves.mean()
    single = am.train(chip, DATA, am.MGD(eta=0.02, amplitude=0.05), steps=5000, chips=32, seed=1)
    assert abs(single.wire_solves.mean() / mean - 1) < 0.1
    still = am.train(chip, DATA, am.MGD(eta=0.0), steps=5000, chips=4, seed=1)
    assert (still.wire_solves <= 9).all()
    assert (still.wire_error < 1e-6).all()


def test_the_summary_tells(tmp_path):
    run = train(wires={"refresh": 10}, trace=tmp_path / "run.h5")
    spent = am.Trace(tmp_path / "run.h5").summary()["spent"]
    assert spent["wire_solves_per_chip"] == 1 + 49 // 10
    assert spent["largest_wire_error"] == run.wire_error.max() > 0
    assert run.wire_solves.tolist() == [5] * 4


def test_the_gradient_is_that_of_the_devices():
    """The estimate of an exact chip, averaged over Walsh codes, against differences of its cost by its devices."""
    wires = am.Wires(**WIRES, update="exact")
    theta0 = np.random.default_rng(1).uniform(0.2, 0.9, P)
    one = am.Dataset(DATA.x_train[:1], DATA.y_train[:1], DATA.x_test, DATA.y_test, name="one")
    rule = am.MGD(eta=0.0, amplitude=1e-4, perturbation="walsh", tau_theta=32, baseline="antithetic")
    chip = am.Chip(NET, device=am.Device(g_min=0.1), wires=wires)
    run = am.train(chip, one, rule, steps=32, chips=1, theta0=theta0, precision="double", record="gradient",
                   record_every=32)  # fmt: skip
    G = run.record["gradient"][-1, 0] / 32

    def at_both(p, h=1e-4):
        """The perturbing element is half of it on either device of the pair."""
        e = np.eye(P)[p] * h / 2
        own = am.Chip(NET, wires=wires)
        costs = []
        for sign in (1, -1):
            matrix = seen(own, (0.1 + theta0 + sign * e)[None], np.full((1, P), 0.1) - sign * e)
            data = am.Dataset(one.x_train, one.y_train, one.x_train, one.y_train)
            costs.append(am.train(NET, data, am.MGD(eta=0.0), steps=1, chips=1, theta0=matrix[0], precision="double",
                                  eval_samples=None).cost[0, 0])  # fmt: skip
        return (costs[0] - costs[1]) / (2 * h)

    wanted = np.array([at_both(p) for p in range(P)])
    np.testing.assert_allclose(G, wanted, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())


# What is refused.


@pytest.mark.parametrize(
    ("wires", "device", "said"),
    [
        ({"row": 1.0}, {}, "wires.g_unit is required"),
        ({"row": 1.0, "g_unit": 0.0}, {}, "wires.g_unit = 0.0: must be greater than 0"),
        ({"row": -1.0, "g_unit": 1e-4}, {}, "wires.row = -1.0: must be at least 0"),
        ({"row": 1.0, "g_unit": 1e-4, "tile": (0, 4)}, {}, "wires.tile.0 = 0: must be at least 1"),
        ({"row": 1.0, "g_unit": 1e-4, "refresh": 0}, {}, "wires.refresh = 0: must be at least 1"),
        ({"row": 1.0, "g_unit": 1e-4}, {"mapping": "symmetric"}, "wires need device.w_min and device.w_max"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(wires, device, said):
    with pytest.raises(am.ConfigError, match=said) as error:
        am.train(am.Chip(NET, device=am.Device(**device), wires=am.Wires(**wires)), DATA, am.MGD(), steps=1)
    assert "\n" not in str(error.value)


def test_toml():
    text = """
        network.sizes = [2, 2, 1]
        data.name = "parity"
        wires = { row = 1.0, g_unit = 1e-4, tile = [2, 2] }
    """
    config = am.Config.from_toml(text)
    assert config.chip.wires == am.Wires(row=1.0, g_unit=1e-4, tile=(2, 2))
    assert am.Config.from_toml(config.to_toml()) == config
    assert "wires" not in am.Config(am.Chip(NET), am.MGD(), {"name": "parity"}, am.Run()).to_tables()


@pytest.mark.parametrize("update", [{"tolerance": 0.03}, {"refresh": 7}, {"update": "exact"}], ids=str)
@pytest.mark.parametrize("perturbation", ["random", "gaussian"])
def test_bits_of_a_chip_are_its_own(update, perturbation):
    """Alone, among others that are solved at other times, in other blocks, with other threads and cuts."""
    device = am.Device(g_min=0.1, drift_nu=0.02, drift_nu_spread=0.01, drift_every=2, w_min=-2.0, w_max=2.0)
    faults = am.Faults(stuck=[(3, "plus", 0.5)], rows=0.1)
    rule = {"perturbation": perturbation, "tau_theta": 3, "eta": 0.1}
    settings = {"steps": 200, "rule": rule, "chip": {"faults": faults}, "record": ("theta", "angle")}
    whole = train(device, update, chips=40, record_every=10, **settings)
    others = [
        train(device, update, chips=[17], record_every=1, **settings),
        train(device, update, chips=[39, 17, 2], record_every=100, **settings),
        train(device, update, chips=40, record_every=50, threads=2, **settings),
    ]
    for run in others:
        lanes = [int(c) for c in run.chips]
        np.testing.assert_array_equal(run.theta, whole.theta[lanes])
        for name in ("own", "wire_solves", "wire_error"):
            np.testing.assert_array_equal(getattr(run, name), getattr(whole, name)[lanes])
        common = np.intersect1d(run.step, whole.step)
        a, b = np.isin(run.step, common), np.isin(whole.step, common)
        np.testing.assert_array_equal(run.record["theta"][a], whole.record["theta"][b][:, lanes])
        np.testing.assert_array_equal(run.record["angle"][a], whole.record["angle"][b][:, lanes])
    if "tolerance" in update:
        assert len(np.unique(whole.wire_solves)) > 1
