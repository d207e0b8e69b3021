"""From what the user names (a data set, a file of data, a TOML file, options) to a whole configuration.

Three layers, the later ones on top, key by key: the preset of the data set (`analogmgd.presets`), the TOML
file, the command line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analogmgd.config import TABLES, Config, read_toml
from analogmgd.data import Dataset, load_dataset
from analogmgd.device_toml import is_file, read_device_table
from analogmgd.errors import ConfigError
from analogmgd.presets import preset
from analogmgd.rule import MGD, Backprop

from .options import Tables

if TYPE_CHECKING:
    from analogmgd.trace import Trace

FORMS = {"sizes": ("preset", "layers"), "layers": ("preset", "sizes", "activation", "output")}  # and what each replaces


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> Tables:
    """`base` with the keys of `over`; what contradicts a key of `over` is dropped from `base`.

    >>> overlay({"network": {"sizes": [2, 2, 1], "cost": "mse"}}, {"network": {"layers": []}})
    {'network': {'cost': 'mse', 'layers': []}}
    """
    out = {name: dict(table) for name, table in base.items()}
    for name, table in over.items():
        kept = out.setdefault(name, {})
        if name == "network":
            gone = [k for form, others in FORMS.items() if form in table for k in others]
            kept = {k: v for k, v in kept.items() if k not in gone and "preset" not in table}
        if name == "network" and table.get("init", kept.get("init")) != kept.get("init"):
            kept.pop("init_scale", None)
        if name == "device" and table.get("name", kept.get("name")) != kept.get("name"):
            kept = {}
        if name == "device" and table.get("sigma_theta") and kept.get("write") == "ideal":
            kept.pop("write")
        if name == "rule" and table.get("type") == "backprop":
            kept = {k: v for k, v in kept.items() if k in Backprop.model_fields}
        if name == "rule" and table.get("mode") == "discrete" and kept.get("mode") == "analog":
            kept = {k: v for k, v in kept.items() if k not in ("dt", "tau_hp", "tau_theta")}
        if name == "rule" and "schedule" in table:
            kept = {k: v for k, v in kept.items() if not k.startswith("schedule")}
        out[name] = kept | dict(table)
    return out


def check_tables(tables: Mapping[str, Any]) -> None:
    """ConfigError where a table is unknown or is none."""
    if any(name not in TABLES or not isinstance(table, Mapping) for name, table in tables.items()):
        Config.from_tables(tables)


def named_data(table: Mapping[str, Any], folder: Path | None) -> tuple[Dataset, dict[str, Any]]:
    """The data set of a [data] table, and the table with the path at which its file was found, without data_dir.

    The path of a file or of data_dir is as seen from the current folder; if there is none, from that of the TOML file.
    No result depends on where the files of a published data set lie, so data_dir is not kept.
    """
    table = dict(table)
    if "name" not in table:
        raise ConfigError("data.name is required: the name of a data set or a .npz or .h5 file")
    for key, there in (("name", os.path.isfile), ("data_dir", os.path.isdir)):
        path = table.get(key)
        if folder is not None and isinstance(path, str) and not os.path.exists(path) and there(folder / path):
            table[key] = str(folder / path)
    data = load_dataset(**table)
    table.pop("data_dir", None)
    return data, table


def read_source(source: str, sweeps: bool = False) -> tuple[Tables, Path | None]:
    """The tables a data set's name, a data file or a TOML file stands for; the TOML file's path, if it is one.

    sweeps : a table [sweep] may be there
    """
    if Path(source).suffix.lower() != ".toml":
        return {"data": {"name": source}}, None
    tables = read_toml(source)
    check_tables({name: table for name, table in tables.items() if not (sweeps and name == "sweep")})
    return tables, Path(source)


def with_own_device(given: Tables) -> Tables:
    """The command line's tables, with the table [device] of the file that `--device` names under what else is given."""
    changes = dict(given["device"])
    table = {"name": "ideal", **read_device_table(changes.pop("name"))}
    return {**given, "device": overlay({"device": table}, {"device": changes})["device"]}


class Source:
    """What a run is made from: a data set's name, a data file or a TOML file; read once.

    sweep : the table [sweep] of the TOML file, empty where there is none
    """

    def __init__(self, source: str, sweeps: bool = False) -> None:
        self._tables, self._toml = read_source(source, sweeps)
        sweep = self._tables.pop("sweep", {})
        if not isinstance(sweep, Mapping):
            raise ConfigError(f"sweep = {sweep!r}: must be a table")
        self.sweep = dict(sweep)
        self._data: dict[str, tuple[Dataset, dict[str, Any]]] = {}

    def config(self, given: Tables) -> tuple[Config, Dataset]:
        """The configuration with the tables of the command line on top, and its data.

        Raises:
            ConfigError: one line naming the key, the value, and what is allowed.
        """
        tables = self._tables
        if is_file(given.get("device", {}).get("name")):  # it replaces what the file of the run says
            given = with_own_device(given)
            tables = {name: table for name, table in tables.items() if name != "device"}
        tables = overlay(tables, given)
        key = repr(tables.get("data", {}))
        if key not in self._data:
            self._data[key] = named_data(tables.get("data", {}), self._toml.parent if self._toml else None)
        data, tables["data"] = self._data[key]
        rule = tables.get("rule", {})
        base = preset(data, rule=rule.get("type", "mgd"), mode=rule.get("mode", "discrete"))
        return Config.from_tables(overlay(base, tables)), data


def resolve(source: str, given: Tables) -> tuple[Config, Dataset]:
    """The configuration of `source` with the command line's tables on top, and its data; see `Source`."""
    return Source(source).config(given)


def default_trace(config: Config) -> str:
    """A file name that is not taken in the current folder: digits-mgd-seed0.h5, digits-mgd-seed0-2.h5, ..."""
    rule = "mgd" if isinstance(config.rule, MGD) else "backprop"
    name = f"{Path(str(config.data['name'])).stem}-{rule}-seed{config.run.seed}"
    number = 1
    while True:
        path = f"{name}-{number}.h5" if number > 1 else f"{name}.h5"
        if not Path(path).exists():
            return path
        number += 1


def headline(trace: Trace) -> str:
    """Data set, network, rule and device of a trace, in a line."""
    try:
        return describe(Config.from_toml(trace.config))
    except ConfigError:  # of a later version, or written by someone else
        return f"{trace.n_params} parameters"


def describe(config: Config) -> str:
    """Data set, network, rule and device, in a line."""
    net, rule, device = config.chip.network, config.rule, config.chip.device
    name = Path(str(config.data["name"])).stem
    options = ", ".join(f"{k} {v}" for k, v in config.data.items() if k != "name")
    how = f"MGD ({rule.mode}, {rule.perturbation})" if isinstance(rule, MGD) else "backpropagation"
    parts = [
        f"{name} ({options})" if options else name,
        f"{net} network, {net.n_params} parameters",
        f"{how}, eta {rule.eta:g}",
        "" if device.name == "ideal" else f"device {device.name}",
    ]
    return " · ".join(part for part in parts if part)
