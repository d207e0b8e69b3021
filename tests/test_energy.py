"""What a run spent: pulses, energy and time, against counts made by hand, in Python, JSON and text."""

import json

import numpy as np
import pytest
from cli_help import done

import analogmgd as am

NET = am.Network.mlp([3, 4, 2])
P, NEURONS = NET.n_params, 6
DATA = am.Dataset(*[np.random.default_rng(6).random((5, n)) for n in (3, 2, 3, 2)], name="own")
COSTS = {"joules_per_pulse": 3e-12, "joules_per_read": 2e-15, "seconds_per_pulse": 50e-9}


def written(theta):
    """Pulses of each device seen in theta of every step: constant steps of 0.01."""
    return np.abs(np.round(np.diff(theta, axis=0) / 0.01)).sum(axis=0)


def evaluations(steps, tau_x, tau_theta, batch):
    return sum(batch * (1 + (n % tau_x == 0 or n % tau_theta == 0)) for n in range(steps))


@pytest.mark.parametrize("digital", [False, True])
def test_spent_is_what_was_counted(tmp_path, digital):
    device = am.Device(model="constant", dw_min=0.01, w_min=-100, w_max=100, granularity=0.01, digital_biases=digital,
                       **COSTS)  # fmt: skip
    rule = am.MGD(eta=0.1, amplitude=0.05, tau_x=3, tau_theta=2, batch=2)
    run = am.train(
        am.Chip(NET, device=device), DATA, rule, steps=101, chips=7, seed=1, precision="double", record="theta",
        record_every=1, trace=tmp_path / "run.h5",
    )  # fmt: skip
    pulses = written(run.record["theta"])
    devices = np.delete(np.arange(P), [*range(12, 16), 24, 25] if digital else [])
    pulses = pulses[:, devices]
    np.testing.assert_array_equal(run.pulses[:, devices], pulses)
    assert pulses.sum() > 500
    spent = run.summary()["spent"]
    reads = evaluations(101, 3, 2, 2) * len(devices)
    total = np.median(pulses.sum(axis=1))
    assert spent["joules_per_chip"] == pytest.approx(reads * 2e-15 + total * 3e-12, rel=1e-12)
    assert spent["pulses_per_device"] == pytest.approx(pulses.sum() / 7 / len(devices), rel=1e-12)
    assert spent["pulse_seconds_in_turn"] == pytest.approx(50e-9 * total, rel=1e-12)
    assert spent["pulse_seconds_at_once"] == pytest.approx(50e-9 * np.median(pulses.max(axis=1)), rel=1e-12)
    run.close()
    found = json.loads(done("info", tmp_path / "run.h5", "--json"))["spent"]
    assert found == spent
    text = done("info", tmp_path / "run.h5")
    assert "J a chip with the reads" in text
    assert "s of pulses, all devices at once" in text
    assert "s one after another" in text


def test_reads_of_devices_without_pulses():
    """No pulses are counted, and the energy of the reads is told all the same."""
    run = am.train(am.Chip(NET, device=am.Device(joules_per_read=1e-12)), DATA, am.MGD(), steps=10, chips=3, seed=1)
    assert run.summary()["spent"] == {"joules_per_chip": pytest.approx(20 * P * 1e-12)}


def test_the_disturbed_are_not_counted():
    device = am.Device(model="constant", dw_min=0.01, w_min=-1, w_max=1, half_select=0.3)
    runs = [
        am.train(am.Chip(NET, device=d), DATA, am.MGD(perturbation="sequential", eta=0.0), steps=50, chips=2)
        for d in (device, device.replace(half_select=0.0))
    ]
    assert not runs[0].pulses.any()
    np.testing.assert_array_equal(runs[0].theta, runs[1].theta)
