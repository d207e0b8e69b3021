"""Emulator of analog neural hardware that trains itself by multiplexed gradient descent."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if find_spec("analogmgd.kernels") is None:
    # The source folder of a checkout, met before the installed package: kernels/, datasets/ and bench/ lie beside it.
    __path__.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_HOME = {
    "AnalogMGDWarning": "errors",
    "AvgPool2d": "layers",
    "Backprop": "rule",
    "Chip": "chip",
    "ClusterError": "errors",
    "Config": "config",
    "ConfigError": "errors",
    "ConvergenceError": "errors",
    "Conv2d": "layers",
    "Converters": "chip",
    "Cubic": "wires_nonlinear",
    "DataError": "errors",
    "Dataset": "data",
    "Dense": "layers",
    "Device": "devices",
    "Faults": "faults",
    "Flatten": "layers",
    "MGD": "rule",
    "MaxPool2d": "layers",
    "Network": "network",
    "Neuron": "chip",
    "Run": "config",
    "Sinh": "wires_nonlinear",
    "SweepFile": "sweep_file",
    "Trace": "trace",
    "TraceError": "errors",
    "Wires": "wires",
    "check_trace": "trace_check",
    "contact_sheet": "contact_sheet",
    "device": "devices",
    "device_response": "device_response",
    "effective_matrix": "wires",
    "age": "retention",
    "export_sweep": "export_sweep",
    "export_trace": "export",
    "fit_device": "device_fit",
    "gradient": "gradients",
    "list_datasets": "data",
    "load_dataset": "data",
    "plot_devices": "plot_devices",
    "plot_fit": "plot_fit",
    "plot_sweep": "plot_sweep",
    "plot_trace": "plot",
    "release": "trace_release",
    "repair": "trace_repair",
    "report": "report",
    "resume": "resume",
    "run_config": "train",
    "run_study": "study",
    "sweep": "sweep",
    "train": "train",
}
__all__ = [
    "MGD",
    "AnalogMGDWarning",
    "AvgPool2d",
    "Backprop",
    "Chip",
    "ClusterError",
    "Config",
    "ConfigError",
    "Conv2d",
    "ConvergenceError",
    "Converters",
    "Cubic",
    "DataError",
    "Dataset",
    "Dense",
    "Device",
    "Faults",
    "Flatten",
    "MaxPool2d",
    "Network",
    "Neuron",
    "Run",
    "Sinh",
    "SweepFile",
    "Trace",
    "TraceError",
    "Wires",
    "age",
    "check_trace",
    "contact_sheet",
    "device",
    "device_response",
    "effective_matrix",
    "export_sweep",
    "export_trace",
    "fit_device",
    "gradient",
    "list_datasets",
    "load_dataset",
    "plot_devices",
    "plot_fit",
    "plot_sweep",
    "plot_trace",
    "release",
    "repair",
    "report",
    "resume",
    "run_config",
    "run_study",
    "sweep",
    "train",
]

if TYPE_CHECKING:
    from .chip import Chip, Converters, Neuron
    from .config import Config, Run
    from .contact_sheet import contact_sheet
    from .data import Dataset, list_datasets, load_dataset
    from .device_fit import fit_device
    from .device_response import device_response
    from .devices import Device, device
    from .errors import AnalogMGDWarning, ClusterError, ConfigError, ConvergenceError, DataError, TraceError
    from .export import export_trace
    from .export_sweep import export_sweep
    from .faults import Faults
    from .gradients import gradient
    from .layers import AvgPool2d, Conv2d, Dense, Flatten, MaxPool2d
    from .network import Network
    from .plot import plot_trace
    from .plot_devices import plot_devices
    from .plot_fit import plot_fit
    from .plot_sweep import plot_sweep
    from .report import report
    from .resume import resume
    from .retention import age
    from .rule import MGD, Backprop
    from .study import run_study
    from .sweep import sweep
    from .sweep_file import SweepFile
    from .trace import Trace
    from .trace_check import check_trace
    from .trace_release import release
    from .trace_repair import repair
    from .train import run_config, train
    from .wires import Wires, effective_matrix
    from .wires_nonlinear import Cubic, Sinh


def __getattr__(name: str) -> Any:
    """Public names are loaded when they are first used, so that `import analogmgd` and `--help` stay quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'analogmgd' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Package(ModuleType):
    """Importing the module analogmgd.train must not put it in the place of the function of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
