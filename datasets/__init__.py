"""The built-in data sets, one module each, and the reader of a user's files.

A data set's module has ``INFO`` (an :class:`~analogmgd.datasets.info.Info`: what is known without
loading anything) and ``load(**options)``, which returns the arguments of :class:`analogmgd.Dataset`.
To add one, write such a module and list it in ``MODULES``.
"""

if __name__ != "analogmgd.datasets":
    raise ImportError(
        f"this folder is the package analogmgd.datasets, imported under the wrong name {__name__!r}: "
        "install analogmgd and import analogmgd.datasets"
    )

from . import digits, nist7x7, parity
from .info import Info, Option

MODULES = {module.INFO.name: module for module in (parity, nist7x7, digits)}

__all__ = ["MODULES", "Info", "Option"]
