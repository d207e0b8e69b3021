"""Units of the keys of a configuration, for axes and tables."""

from __future__ import annotations

UNITS = {
    "chip.delay": "steps",
    "chip.step_time": "s",
    "device.drift_t0": "s",
    "device.write_time": "s",
    "rule.tau_p": "steps",
    "rule.tau_theta": "steps",
    "rule.tau_x": "steps",
    "rule.tau_hp": "steps",
    "run.steps": "steps",
    "converters.adc_bits": "bits",
    "converters.cost_bits": "bits",
    "converters.dac_bits": "bits",
    "wires.column": "ohm",
    "wires.row": "ohm",
}


def unit_of(key: str) -> str:
    """Unit of a key, "1" for a number without.

    >>> unit_of("wires.row"), unit_of("rule.eta")
    ('ohm', '1')
    """
    return UNITS.get(key, "1")


def labelled(key: str) -> str:
    """A key with its unit, for an axis.

    >>> labelled("wires.row"), labelled("rule.eta")
    ('wires.row (ohm)', 'rule.eta')
    """
    return f"{key} ({UNITS[key]})" if key in UNITS else key
