"""Half-select disturbance: every write against the equations."""

import numpy as np
import pytest
from test_pulsed import DEVICE, SEED, Draws, settings_of

import analogmgd as am
from oracle import device as oracle
from oracle import philox
from oracle.disturb import disturbed
from oracle.faults import lives

NET = am.Network.mlp([3, 4, 2], "tanh")
LAYERS, P = [(3, 4), (4, 2)], 26
BLOCKS = (P + 3) // 4
DATA = am.Dataset(*[np.random.default_rng(6).random((5, n)) for n in (3, 2, 3, 2)], name="own")
LINEAR = am.Device(model="linear", dw_min=0.01, w_min=-0.9, w_max=1.0, slope_up=0.3, slope_down=0.2, c2c=0.3,
                   dw_spread=0.2, w_max_spread=0.1)  # fmt: skip
CASES = {
    "linear": LINEAR,
    "reram-es": am.device("reram-es"),  # write noise, which stays
    "reram-array-om": am.device("reram-array-om"),
    "carried": am.device("ecram", rounding="carried", dw_min=0.01),
    "power": am.Device(model="power", dw_min=0.02, w_min=-0.8, w_max=1.1, g_up=1.7, g_down=0.6, dw_spread=0.2),
}


def populated(device, chip):
    xi = [philox.normals(SEED, chip, DEVICE, k * 4 * BLOCKS, P) for k in range(7)]
    return oracle.populate(settings_of(device), np.array([*xi, np.zeros(P)]))


def parts_of(dev):
    """Devices of each layer."""
    first = 0
    for n_in, n_out in LAYERS:
        some = slice(first, first + (n_in + 1) * n_out)
        yield some, oracle.Devices(**{k: v[some] for k, v in vars(dev).items()})
        first = some.stop


def train(device, rule, steps, chips, **settings):
    return am.train(
        am.Chip(NET, device=device, **settings), DATA, rule, steps=steps, chips=chips, seed=SEED, precision="double",
        record=("theta", "gradient"), record_every=1,
    )  # fmt: skip


@pytest.mark.parametrize("endurance", [None, 40])
@pytest.mark.parametrize("tau_theta", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_every_write_is_that_of_the_equations(name, tau_theta, endurance):
    """First all pulses, then what they do to the others; pulses are counted where they were given."""
    device = CASES[name].replace(half_select=0.02, max_pulses=20)
    rule = am.MGD(eta=0.2, amplitude=0.05, tau_theta=tau_theta)
    faults = am.Faults(endurance=endurance, endurance_spread=0.4 if endurance else 0.0)
    run = train(device, rule, 60, [3, 20], faults=faults)
    s, moved = settings_of(device), 0
    for lane, chip in enumerate([3, 20]):
        dev = populated(device, chip)
        theta, G = run.record["theta"][:, lane], run.record["gradient"][:, lane]
        kept = device.write_noise * device.dw_min * philox.normals(SEED, chip, DEVICE, 40 * BLOCKS, P)
        state, carry, counted = theta[0] - kept, np.zeros(P), np.zeros(P)
        life = np.full(P, np.inf) if endurance is None else lives(P, SEED, chip, endurance, 0.4)
        for n in range(60):
            if (n + 1) % tau_theta:
                assert np.array_equal(theta[n + 1], theta[n])
                continue
            number = n // tau_theta
            draws = Draws(chip, number, device, P)
            asked, carry = oracle.pulses_asked(
                -rule.eta * G[n + 1], oracle.granularity(s), device.rounding, draws.rounding(), carry,
                device.max_pulses,
            )  # fmt: skip
            asked = np.where(counted >= life, 0, asked)
            for i in range(int(np.abs(asked).max())):
                here = (np.abs(asked) > i) & (counted + i < life)
                state = oracle.pulse(s, dev, state, np.where(here, np.sign(asked), 0), draws.of_pulse(i))
            given = np.sign(asked) * np.minimum(np.abs(asked), life - counted)
            counted += np.abs(given)
            kept = np.where(asked != 0, device.write_noise * device.dw_min * draws.of_noise(), kept)
            before = state.copy()
            for (some, part), shape in zip(parts_of(dev), LAYERS, strict=True):
                state[some] = disturbed(
                    s, part, before[some], given[some], 0.02, shape, counted[some] >= life[some]
                )  # fmt: skip
            moved += (state != before).sum()
            np.testing.assert_allclose(theta[n + 1], state + kept, rtol=1e-9, atol=1e-11)
        np.testing.assert_array_equal(run.pulses[lane], counted)
    assert moved > 20


def test_none_without_pulses():
    """An array in which nothing is written stays as it is; one pulse moves its lines and nothing else."""
    device = am.Device(model="constant", dw_min=0.01, w_min=-1, w_max=1, half_select=0.1, rounding="nearest",
                       granularity=0.01)  # fmt: skip
    rule = am.MGD(perturbation="sequential", eta=0.2, amplitude=0.05)
    run = train(device, rule, P, [1])
    theta, lines = run.record["theta"][:, 0], np.zeros(P, bool)
    row = np.array([i for n_in, n_out in LAYERS for i in (*np.tile(np.arange(n_in), n_out), *[n_in] * n_out)])
    column = np.array([j for n_in, n_out in LAYERS for j in (*np.repeat(np.arange(n_out), n_in), *range(n_out))])
    layer = np.repeat([0, 1], [16, 10])
    seen = 0
    for p in range(P):  # one parameter at a time is written
        step = np.diff(theta[p : p + 2], axis=0)[0]
        n = step[p] / 0.01
        np.testing.assert_allclose(n, round(n), atol=1e-9)
        lines = (layer == layer[p]) & ((row == row[p]) | (column == column[p]))
        lines[p] = False
        np.testing.assert_allclose(step[lines], 0.001 * round(n), atol=1e-12)
        lines[p] = True
        assert not step[~lines].any()
        seen += round(n) != 0
    assert seen > 5


def test_drifting_neighbours():
    """A disturbance acts on the state and leaves the clock of the drift as it is."""
    device = LINEAR.replace(c2c=0.0, half_select=0.02, drift_nu=0.1, drift_t0=1.0)
    run = train(device, am.MGD(eta=0.2, amplitude=0.05, baseline="antithetic"), 40, [3])
    theta, G = run.record["theta"][:, 0], run.record["gradient"][:, 0]
    s, dev = settings_of(device), populated(device, 3)
    state, clock = theta[0].copy(), np.zeros(P)

    def aged(n):
        return np.sign(state) * np.abs(state) * (1 + (n - clock) * 2e-3) ** -0.1

    for n in range(40):
        seen = aged(n)
        u = Draws(3, n, device, P).rounding()
        asked, _ = oracle.pulses_asked(-0.2 * G[n + 1], oracle.granularity(s), "stochastic", u, max_pulses=100)
        after = aged(n + 1)
        for i in range(int(np.abs(asked).max())):
            after = oracle.pulse(s, dev, after, np.where(np.abs(asked) > i, np.sign(asked), 0), np.zeros(P))
        wrote = asked != 0
        state, clock = np.where(wrote, after, state), np.where(wrote, n + 1, clock)
        seen = np.where(wrote, after, seen)
        before = state.copy()
        for (some, part), shape in zip(parts_of(dev), LAYERS, strict=True):
            state[some] = disturbed(s, part, before[some], asked[some], 0.02, shape)
        np.testing.assert_allclose(theta[n + 1], seen + state - before, rtol=1e-9, atol=1e-11, err_msg=f"step {n}")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ({"half_select": -0.1}, "device.half_select = -0.1: must be at least 0"),
        ({"half_select": 1.5}, "device.half_select = 1.5: must be at most 1"),
        ({"half_select": 0.1}, 'half_select = 0.1 needs write = "pulsed"'),
        ({"half_select": 0.1, "levels": 5, "w_min": -1, "w_max": 1}, 'half_select = 0.1 needs write = "pulsed"'),
    ],
)
def test_what_cannot_be(device, said):
    with pytest.raises(am.ConfigError, match=said):
        am.Device(**device)
