"""The whole configuration of a run, and its TOML form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import tomli_w
from pydantic import BeforeValidator, Field, model_validator

from .chip import Chip, Converters, Neuron
from .device_needs import idle
from .devices import Device, device
from .errors import ConfigError
from .faults import Faults
from .network import Network
from .rule import MGD, Backprop, Count, rule_from_table
from .settings import Settings, did_you_mean, short, whole
from .text_file import loads, read_text
from .wires import Wires

Quantity = Literal["cost", "accuracy", "theta", "gradient", "cost_ac", "angle"]
ChipId = Annotated[int, BeforeValidator(whole), Field(ge=0, lt=2**32)]
OF_CHIP = ("step_time", "delay", "delay_matched", "input_tau")
TABLES = ("network", "device", "wires", "neuron", "converters", "faults", "chip", "rule", "data", "run")


def _ids(value: Any) -> Any:
    if hasattr(value, "tolist"):  # a numpy array of ids, or a numpy integer
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        return tuple(value)
    return whole(value)


def _chips(value: Any) -> Any:
    value = _ids(value)
    given = value if isinstance(value, tuple) else (value,)
    least, most, what = (0, 2**32 - 1, "chip ids") if value is given else (1, 2**32, "a number of chips")
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | float) or one != one // 1 or not least <= one <= most:
            raise ValueError(f"{short(one)} is not allowed: {what} must be whole numbers from {least} to {most}")
    return tuple(int(c) for c in given) if value is given else int(value)


def _zero_is_all(value: Any) -> Any:
    return None if value == 0 and not isinstance(value, bool) else whole(value)


def _names(value: Any) -> Any:
    if not isinstance(value, str | list | tuple):
        raise ValueError("must be a name or a list of names")
    return (value,) if isinstance(value, str) else tuple(value)


class Run(Settings):
    """How long, how many chips, and what is kept.

    steps : perturbation measurements; in analog mode each lasts dt
    chips : how many (ids 0 .. chips-1), or a list of chip ids
    seed : 0 .. 2**64 - 1
    order : "shuffle" (a permutation per chip and epoch) | "sequential"
    precision : "single" | "double"
    record : any of "cost", "accuracy", "theta", "gradient", "cost_ac", "angle"
    record_every : steps between rows; None: as often as costs a few per cent at most, at most about 500 rows
    eval_samples : test samples per recorded evaluation, None (in TOML 0) all; the last row always uses all
    angle : which true gradient the angle refers to: "chip" (static imperfections in, training set), "ideal"
        (ideal network, training set) or "sample" (this chip, current sample)
    probe_chips : ids whose cost, cost_ac and sample are kept at every step
    probe_from, probe_until : steps between which they are kept; None to the end

    >>> Run(steps=1000, chips=[3, 17]).chip_ids
    (3, 17)
    """

    table: ClassVar[str] = "run"
    steps: Count = 100_000
    chips: Annotated[int | tuple[int, ...], BeforeValidator(_chips)] = 64
    seed: Annotated[int, BeforeValidator(whole), Field(ge=0, lt=2**64)] = 0
    order: Literal["shuffle", "sequential"] = "shuffle"
    precision: Literal["single", "double"] = "single"
    record: Annotated[tuple[Quantity, ...], BeforeValidator(_names)] = ("cost", "accuracy")
    record_every: Count | None = None
    eval_samples: Annotated[Count | None, BeforeValidator(_zero_is_all)] = 1000
    angle: Literal["chip", "ideal", "sample"] = "chip"
    probe_chips: Annotated[tuple[ChipId, ...], BeforeValidator(_ids)] = ()
    probe_from: Annotated[int, BeforeValidator(whole), Field(ge=0)] = 0
    probe_until: Count | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if isinstance(self.chips, tuple):
            if not self.chips:
                raise ValueError("chips = []: must name at least one chip id")
            if len(set(self.chips)) < len(self.chips):
                raise ValueError("chips: every chip id may be given once")
        missing = [c for c in self.probe_chips if c not in self.chip_ids]
        if missing:
            raise ValueError(f"probe_chips: chip {missing[0]} is not among the chips of the run")
        if self.probe_until is not None and self.probe_until <= self.probe_from:
            raise ValueError(
                f"probe_until = {self.probe_until}: must be greater than probe_from = {self.probe_from}, or absent"
            )
        if len(set(self.record)) < len(self.record):
            raise ValueError(f"record = {list(self.record)}: each quantity may be named once")
        return self

    @property
    def chip_ids(self) -> range | tuple[int, ...]:
        """Ids of all chips of the run."""
        return range(self.chips) if isinstance(self.chips, int) else self.chips


@dataclass(frozen=True)
class Config:
    """Everything that decides the bits of a run. `data` holds the data set's name and its options.

    >>> config = Config.from_toml('''
    ...     network.sizes = [2, 2, 1]
    ...     data.name = "parity"
    ...     rule.eta = 0.5
    ... ''')
    >>> config.rule.eta, Config.from_toml(config.to_toml()) == config
    (0.5, True)
    """

    chip: Chip
    rule: MGD | Backprop
    data: dict[str, Any]
    run: Run

    def to_tables(self) -> dict[str, dict[str, Any]]:
        """As TOML tables; settings that are None are left out."""
        chip = self.chip
        tables = {
            "network": chip.network.model_dump(),
            "device": device_table(chip.device),
            "wires": chip.wires.model_dump() if chip.wires else {},
            "neuron": chip.neuron.model_dump(),
            "converters": chip.converters.model_dump(),
            "faults": chip.faults.model_dump(),
            "chip": {key: getattr(chip, key) for key in OF_CHIP},
            "rule": {"type": "mgd" if isinstance(self.rule, MGD) else "backprop", **self.rule.model_dump()},
            "data": self.data,
            "run": {**self.run.model_dump(), "eval_samples": self.run.eval_samples or 0},
        }
        if chip.wires is None:
            del tables["wires"]
        return {name: {k: v for k, v in table.items() if v is not None} for name, table in tables.items()}

    def to_toml(self) -> str:
        """As TOML text; `Config.from_toml` gives the same configuration back."""
        return tomli_w.dumps(self.to_tables())

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any]) -> Config:
        """From TOML tables; what is left out takes its default."""
        for name, table in tables.items():
            if name not in TABLES:
                raise ConfigError(
                    f"{name}: unknown table{did_you_mean(name, list(TABLES))}; allowed: {', '.join(TABLES)}"
                )
            if not isinstance(table, Mapping):
                raise ConfigError(f"{name} = {short(table)}: must be a table, as in [{name}]")
        get = {name: dict(tables.get(name, {})) for name in TABLES}
        if "name" not in get["data"]:
            raise ConfigError("data.name is required: the name of a data set or a .npz or .h5 file")
        if not isinstance(get["data"]["name"], str):
            raise ConfigError(f"data.name = {short(get['data']['name'])}: must be the name of a data set or a file")
        for key in get["chip"]:
            if key not in OF_CHIP:
                hint = did_you_mean(key, list(OF_CHIP))
                raise ConfigError(f"chip.{key}: unknown key{hint}; allowed: {', '.join(OF_CHIP)}")
        if not get["network"]:
            raise ConfigError("network: needs sizes (a list of widths) or layers (an array of tables)")
        chip = Chip(
            Network.from_table(get["network"]),
            device=device(get["device"].pop("name", "ideal"), **get["device"]),
            wires=Wires(**pairs(get["wires"], "tile")) if get["wires"] else None,
            neuron=Neuron(**get["neuron"]),
            converters=Converters(**pairs(get["converters"], "dac_range")),
            faults=Faults(**get["faults"]),
            **get["chip"],
        )
        return cls(chip, rule_from_table(get["rule"]), get["data"], Run(**get["run"]))

    @classmethod
    def from_toml(cls, text: str) -> Config:
        """From TOML text."""
        return cls.from_tables(parse_toml(text))


def device_table(chosen: Device) -> dict[str, Any]:
    """The table of a device. A preset's name cannot stand beside a key that is none there and not in the preset."""
    values = chosen.model_dump()
    preset = device(chosen.name).model_dump()
    if any(value is None and preset[key] is not None for key, value in values.items()):
        values["name"] = "ideal"
        values = {key: value for key, value in values.items() if key not in idle(chosen)}  # refused without the preset
    return values


def pairs(table: dict[str, Any], *names: str) -> dict[str, Any]:
    """A table in which these arrays are tuples."""
    return {k: tuple(v) if k in names and isinstance(v, list) else v for k, v in table.items()}


def parse_toml(text: str, source: str = "configuration") -> dict[str, Any]:
    """TOML text as nested dictionaries, errors in one line."""
    return loads(text, source)


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    return parse_toml(read_text(path), str(path))
