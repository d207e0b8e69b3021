"""The oracle of pulsed devices against closed forms: responses, nominal figures, how many pulses are asked for."""

import math
from dataclasses import replace

import numpy as np
import pytest

from oracle.device import (
    NORMALS,
    DeviceSettings,
    granularity,
    nominal,
    populate,
    pulses_asked,
    response,
    steps,
    symmetry_point,
)

EXACT = {"rtol": 1e-12, "atol": 1e-12}
RERAM_ES = DeviceSettings(
    model="exponential", dw_min=0.00135, up_down=0.259359, a_up=-1.18445, a_down=-0.081404, g_up=5.0, g_down=5.0,
    z_scale=-0.5, z_shift=-0.5,
)  # fmt: skip
PCM = DeviceSettings(
    model="exponential", dw_min=0.01, w_max=2.0, w_min=0.0, a_up=-27.235, a_down=-2.235, g_up=2.5, g_down=2.5,
    z_scale=-1.0, c2c=0.6, c2c_floor=0.042, c2c_slope=0.108, one_sided=True,
)  # fmt: skip


def drawn(s, n=10_000, seed=0):
    return populate(s, np.random.default_rng(seed).standard_normal((len(NORMALS), n)))


def curve(s, n_up, n_down, w0=None):
    return response(s, nominal(s), n_up, n_down, w0)[:, 0]


# --- responses without noise, in closed form ---


def test_constant_steps_are_linear_and_stop_at_the_bounds():
    s = DeviceSettings("constant", dw_min=0.01, w_max=0.8, w_min=-0.6, up_down=0.25)
    w = curve(s, 200, 300)
    up, down = np.arange(201), np.arange(1, 301)
    np.testing.assert_allclose(w[:201], np.minimum(-0.6 + 0.01 * up, 0.8), **EXACT)
    np.testing.assert_allclose(w[201:], np.maximum(0.8 - 0.0075 * down, -0.6), **EXACT)


def test_up_down_below_zero_makes_up_steps_smaller():
    s = DeviceSettings("constant", dw_min=0.01, up_down=-0.4)
    dev = nominal(s)
    assert (dev.D_up[0], dev.D_down[0]) == pytest.approx((0.006, 0.01), rel=1e-15)


@pytest.mark.parametrize(("w_max", "w_min"), [(1.0, -1.0), (1.25, -0.75)])
def test_linear_steps_are_geometric_and_the_slopes_refer_to_their_bounds(w_max, w_min):
    s = DeviceSettings("linear", dw_min=0.002, w_max=w_max, w_min=w_min, slope_up=0.3, slope_down=0.6, up_down=-0.1)
    w = curve(s, 400, 400, w0=0.1)
    fixed, ratio = w_max / 0.3, 1.0 - 0.9 * 0.002 * 0.3 / w_max  # w - fixed shrinks by the ratio at every pulse
    up = fixed + (0.1 - fixed) * ratio ** np.arange(401)
    fixed, ratio = w_min / 0.6, 1.0 - 0.002 * 0.6 / abs(w_min)
    down = fixed + (up[-1] - fixed) * ratio ** np.arange(1, 401)
    assert up[-1] < w_max
    assert down[-1] > w_min
    np.testing.assert_allclose(w, [*up, *down], **EXACT)


def test_linear_steps_stop_at_the_bound():
    s = DeviceSettings("linear", dw_min=0.01, slope_up=0.3, slope_down=0.3)
    w = curve(s, 1000, 1000)
    assert (w[1000], w[2000]) == (1.0, -1.0)


@pytest.mark.parametrize("reference", [0.0, 0.3, "symmetry"])
def test_soft_bounds_are_geometric_towards_the_bound(reference):
    s = DeviceSettings("soft-bounds-reference", dw_min=0.01, w_max=1.25, w_min=-0.75, up_down=0.2, reference=reference)
    ref = (0.01 - 0.008) / (0.01 / 1.25 + 0.008 / 0.75) if reference == "symmetry" else reference
    w = curve(s, 300, 200)
    up = 1.25 + (-0.75 - 1.25) * (1.0 - 0.01 / 1.25) ** np.arange(301)
    down = -0.75 + (up[-1] + 0.75) * (1.0 - 0.008 / 0.75) ** np.arange(1, 201)
    np.testing.assert_allclose(w + ref, [*up, *down], **EXACT)


def test_soft_bounds_are_the_linear_step_of_slope_one():
    soft = DeviceSettings("soft-bounds", dw_min=0.01, w_max=1.25, w_min=-0.75, w_max_spread=0.1, w_min_spread=0.1)
    linear = replace(soft, model="linear", slope_up=1.0, slope_down=1.0)
    np.testing.assert_allclose(response(soft, drawn(soft, 50), 90, 90), response(linear, drawn(linear, 50), 90, 90),
                               **EXACT)  # fmt: skip


def test_power_steps_with_exponent_one_are_soft_bounds():
    power = DeviceSettings("power", dw_min=0.02, w_max=0.9, w_min=-0.5, g_up=1.0, g_down=1.0)
    w = curve(power, 150, 150)
    ratio = 1.0 - 0.02 / 1.4
    up = 0.9 - 1.4 * ratio ** np.arange(151)
    down = -0.5 + (up[-1] + 0.5) * ratio ** np.arange(1, 151)
    np.testing.assert_allclose(w, [*up, *down], **EXACT)


@pytest.mark.parametrize("g", [0.5, 2.0, 3.0])
def test_small_power_steps_follow_their_differential_equation(g):
    """u = (b_max - w)/range obeys du/dn = -(D/range) u**g: u**(1-g) grows by (g-1) D/range a pulse, to O(D)."""
    errors = []
    for D in (1e-3, 5e-4):
        s = DeviceSettings("power", dw_min=D, g_up=g, g_down=g)
        n = round(0.5 / D)
        u = (1.0 - curve(s, n, 0)[-1]) / 2.0
        errors.append(abs(u - (1.0 + (g - 1.0) * n * D / 2.0) ** (1.0 / (1.0 - g))))
    assert errors[0] < 1e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.05)


def test_exponential_step_has_its_fixed_point():
    """A > 0: the step is 0 where A exp(g z) = 1, from there on too; below, pulses lead there."""
    s = DeviceSettings("exponential", dw_min=0.02, a_up=0.05, a_down=0.02, g_up=6.0, g_down=7.0, z_scale=0.8)
    w_up, w_down = math.log(1 / 0.05) / 6.0 / 0.8, -math.log(1 / 0.02) / 7.0 / 0.8
    for w in (w_up, w_up + 0.2):
        assert steps(s, nominal(s), np.array([w]))[0][0] == pytest.approx(0.0, abs=1e-15)
    w = curve(s, 3000, 3000)
    assert w[3000] == pytest.approx(w_up, abs=1e-12)
    assert w[6000] == pytest.approx(w_down, abs=1e-12)


def test_small_exponential_steps_follow_their_differential_equation():
    """dw/dn = D (1 - A e**(g w)): e**(-g w) - A relaxes as e**(-g D n), to O(D)."""
    A, g, errors = 0.1, 2.0, []
    for D in (1e-3, 5e-4):
        s = DeviceSettings("exponential", dw_min=D, a_up=A, g_up=g)
        n = round(0.8 / D)
        w = -math.log(A + (math.exp(g * 1.0) - A) * math.exp(-g * D * n)) / g
        errors.append(abs(curve(s, n, 0)[-1] - w))
    assert errors[0] < 1e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.05)


def test_exponential_step_scales_with_the_device_s_own_range():
    s = replace(RERAM_ES, w_max_spread=0.3, w_min_spread=0.3)
    dev = drawn(s, 100)
    middle = 0.3 * (dev.b_max - dev.b_min) / 2.0
    np.testing.assert_allclose(steps(s, dev, middle)[0], dev.D_up * (1 + 1.18445 * math.exp(-5 * 0.65)), rtol=1e-13)


# --- nominal figures ---


def test_granularity_and_symmetry_of_the_exponential_presets():
    up, down = (float(x[0]) / 0.00135 for x in steps(RERAM_ES, nominal(RERAM_ES), np.zeros(1)))
    assert up == pytest.approx(1 + 1.18445 * math.exp(-2.5), rel=1e-12)
    assert down == pytest.approx((1 - 0.259359) * (1 + 0.081404 * math.exp(2.5)), rel=1e-12)
    assert granularity(RERAM_ES) == pytest.approx(0.00135 * (up + down) / 2, rel=1e-12)
    assert granularity(PCM) == pytest.approx(0.01 * (1 + 27.235 * math.exp(-2.5)), rel=1e-12)
    # at the symmetry point x = exp(2.5 w) obeys A_up' / x - B x = (1 - ud) - 1, a quadratic
    A, B = 1.18445 * math.exp(-2.5), (1 - 0.259359) * 0.081404 * math.exp(2.5)
    x = (0.259359 + math.sqrt(0.259359**2 + 4 * A * B)) / (2 * B)
    assert symmetry_point(RERAM_ES) == pytest.approx(math.log(x) / 2.5, abs=1e-12)
    # PCM: 27.235 exp(-2.5 w) = 2.235 exp(2.5 w)
    assert symmetry_point(PCM) == pytest.approx(math.log(27.235 / 2.235) / 5.0, abs=1e-12)


def test_symmetry_point_of_soft_bounds_and_of_devices_that_have_none():
    s = DeviceSettings("soft-bounds", w_max=1.0, w_min=-0.5, up_down=0.0)
    assert symmetry_point(s) == pytest.approx(0.0, abs=1e-12)
    s = DeviceSettings("soft-bounds-reference", w_max=1.0, w_min=-0.5, up_down=-0.3)
    assert symmetry_point(s) == pytest.approx((0.7 - 1.0) / (0.7 + 2.0), abs=1e-12)
    assert symmetry_point(replace(s, reference="symmetry")) == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(symmetry_point(DeviceSettings("constant")))


# --- how many pulses ---


def test_stochastic_rounding_asks_for_the_right_number_on_average():
    u = (np.arange(1000) + 0.5) / 1000
    for dw, mean in [(0.0237, 2.37), (-0.0004, -0.04), (0.03, 3.0), (0.0, 0.0)]:
        n, _ = pulses_asked(np.full(1000, dw), 0.01, u=u)
        assert n.mean() == pytest.approx(mean, abs=1e-9)
        assert np.ptp(n) <= 1


def test_nearest_rounding_and_the_limit():
    dw = np.array([0.0149, 0.0151, -0.0151, 0.015, -0.015, 0.004, 0.3, -0.3]) * 2
    n, carry = pulses_asked(dw, 0.02, "nearest", max_pulses=10)
    np.testing.assert_array_equal(n, [1, 2, -2, 2, -2, 0, 10, -10])
    assert carry == 0.0


def test_a_carry_forgets_nothing():
    rng = np.random.default_rng(5)
    updates = 0.03 * rng.standard_normal((500, 40))
    carry, total = np.zeros(40), np.zeros(40)
    for dw in updates:
        n, carry = pulses_asked(dw, 0.01, "carried", carry=carry, max_pulses=4)
        assert np.all(np.abs(n) <= 4)
        np.testing.assert_array_equal(n, np.round(n))
        total = total + n
    np.testing.assert_allclose(total + carry, updates.sum(axis=0) / 0.01, rtol=1e-10, atol=1e-10)
    n, carry = pulses_asked(np.array([0.019, -0.019]), 0.01, "carried")
    np.testing.assert_array_equal(n, [1, -1])
    np.testing.assert_allclose(carry, [0.9, -0.9], rtol=1e-12)


# --- what is refused ---


@pytest.mark.parametrize(("changes", "named"), [
    ({"model": "cubic"}, "model"),
    ({"w_min": 0.1}, "w_min"),
    ({"w_max": 0.0, "w_min": 0.0}, "w_min"),
    ({"reference": 0.1}, "reference"),
    ({"model": "power", "c2c_additive": True}, "c2c_additive"),
])  # fmt: skip
def test_impossible_settings(changes, named):
    with pytest.raises(ValueError, match=named):
        DeviceSettings(**changes)


def test_unknown_rounding():
    with pytest.raises(ValueError, match="rounding"):
        pulses_asked(0.1, 0.1, "up")
