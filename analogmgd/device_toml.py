"""Devices as the table [device] of a TOML file: written with a word on every setting, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from .config import read_toml
from .device_meanings import MEANINGS, told_settings
from .devices import Device
from .errors import ConfigError

SUFFIX = ".toml"


def literal(value: Any) -> str:
    """A value as TOML has it.

    >>> literal(True), literal("symmetry"), literal(0.5)
    ('true', '"symmetry"', '0.5')
    """
    if isinstance(value, tuple):
        return f"[{', '.join(map(literal, value))}]"
    return tomli_w.dumps({"v": value}).strip().removeprefix("v = ")


def device_toml(device: Device, head: Sequence[str] = (), source: str | None = None) -> str:
    """The table, each setting with its meaning behind it.

    head : lines of comment above it
    source : said behind the preset's name; None: no name (the settings alone make the device)

    >>> print(device_toml(Device(sigma_theta=0.01), ["mine"]))
    # mine
    [device]
    write = "noisy"     # how a parameter is changed: ideal, noisy, quantised, pulsed
    sigma_theta = 0.01  # noise of a write = "noisy" (theta)
    """
    lines = [] if source is None else [(f"name = {literal(device.name)}", source)]
    for key, value in told_settings(device).items():
        unit, meaning = MEANINGS.get(key, ("", ""))
        lines.append((f"{key} = {literal(value)}", meaning + (f" ({unit})" if unit not in ("", "1") else "")))
    width = max((len(line) for line, _ in lines), default=0)
    settings = [f"{line:<{width}}  # {words}" for line, words in lines]
    return "\n".join([*(f"# {' '.join(line.split())}" for line in head), "[device]", *settings])


def is_file(name: object) -> bool:
    """Whether what stands for a device is a TOML file rather than the name of a preset."""
    return isinstance(name, str) and name.lower().endswith(SUFFIX)


def read_device_table(path: str | Path) -> dict[str, Any]:
    """The table [device] of a TOML file, whatever else it holds. Raises ConfigError, one line."""
    table = read_toml(path).get("device")
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: has no table [device]")
    return dict(table)
