"""The element that perturbs: few levels, curvature, mismatch; what the network sees against what the rule believes."""

import numpy as np
import pytest

import analogmgd as am
from oracle import network as onet
from oracle import rule as orule

pytestmark = pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")  # biased rules are run too
SEED, CHIPS = 5, [0, 7]
NET = am.Network.mlp([5, 7, 3], "tanh")
ORACLE = onet.Net((5, 7, 3), ("tanh",) * 2)
RNG = np.random.default_rng(9)
DATA = am.Dataset(*[RNG.random((6, n)) for n in (5, 3, 5, 3)], name="own")
RULES = {
    f"{kind}, {name}": {"perturbation": kind} | rule
    for kind in ("random", "walsh", "sequential", "gaussian", "sinusoid")
    for name, rule in {
        "every step": {},
        "antithetic": {"tau_theta": 4, "tau_x": 3, "baseline": "antithetic"},
        "analog": {"mode": "analog", "tau_x": 5, "tau_p": 2, "dt": 0.5, "tau_theta": 2.5},
    }.items()
}
ELEMENTS = {
    "levels": {"perturbation_bits": 4, "perturbation_range": 0.05},
    "cut": {"perturbation_bits": 8, "perturbation_range": 0.03},
    "curved": {"perturbation_cubic": -30.0},
    "both": {"perturbation_bits": 3, "perturbation_range": 0.06, "perturbation_cubic": 100.0},
}


def element(d, bits=None, high=None, cubic=0.0):
    """Nearest of 2^bits - 1 levels from -high to high, halves away from 0; then the curvature."""
    if bits is not None:
        levels = 2 ** (bits - 1) - 1
        d = np.sign(d) * np.floor(np.minimum(np.abs(d), high) / high * levels + 0.5) * high / levels
    return d * (1 + cubic * d**2)


@pytest.mark.parametrize("mismatch", [0.0, 0.1])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_every_step_is_that_of_the_equations(name, rule, mismatch):
    values = {"amplitude": 0.03, "eta": 0.01, "tau_hp": 10.0, "band": (0.16, 0.32)} | RULES[rule]
    device = am.Device(amplitude_mismatch=mismatch, **ELEMENTS[name])
    run = am.train(
        am.Chip(NET, device=device), DATA, am.MGD(**values), steps=60, chips=CHIPS, seed=SEED, precision="double",
        record="theta", record_every=1, probe_chips=CHIPS,
    )  # fmt: skip
    given = [device.perturbation_bits, device.perturbation_range, device.perturbation_cubic]
    parts = orule.Parts(element=lambda d: element(d, *given))
    for lane, chip in enumerate(CHIPS):
        settings = orule.Settings(seed=SEED, chip=chip, init_scale=0.5, mismatch=mismatch, **values)
        history = orule.simulate(ORACLE, DATA.x_train, DATA.y_train, settings, 60, parts=parts)
        np.testing.assert_allclose(run.probe["cost_ac"][:, lane], history.cost_ac, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(run.record["theta"][:, lane], history.theta, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ({"perturbation_bits": 1, "perturbation_range": 1.0}, "device.perturbation_bits = 1: must be at least 2"),
        ({"perturbation_bits": 25, "perturbation_range": 1.0}, "device.perturbation_bits = 25: must be at most 24"),
        ({"perturbation_bits": 4}, "perturbation_bits = 4, perturbation_range = None: give both or neither"),
        ({"perturbation_range": 0.1}, "perturbation_bits = None, perturbation_range = 0.1: give both or neither"),
        ({"perturbation_bits": 4, "perturbation_range": 0.0}, "perturbation_range = 0.0: must be greater than 0"),
        ({"perturbation_bits": 2, "perturbation_range": 1.0},
         "device.perturbation_bits = 2: a perturbation of 0.01 becomes 0: must be greater than 0"),
        ({"perturbation_cubic": -2e4}, "device.perturbation_cubic = -20000: a perturbation of 0.01 becomes -0.01"),
    ],
)  # fmt: skip
def test_what_cannot_be(device, said):
    with pytest.raises(am.ConfigError, match=said) as caught:
        am.train(am.Chip(NET, device=am.Device(**device)), DATA, am.MGD(), steps=1)
    assert len(str(caught.value).splitlines()) == 1
