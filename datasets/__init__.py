"""The built-in data sets, one module each, and the reader of a user's files.

A data set's module has ``INFO`` (an :class:`~analogmgd.datasets.info.Info`: what is known without
loading anything) and ``load(**options)``, which returns the arguments of :class:`analogmgd.Dataset`.
To add one, write such a module and list it in ``MODULES``.

A module whose INFO has ``downloads`` is read from files: ``groups(folder)`` gives them as they may lie in a folder,
``FOLDERS`` where below a folder of the user's, ``load(files)`` the arguments and the checksums (`places.official`).
"""

if __name__ != "analogmgd.datasets":
    raise ImportError(
        f"this folder is the package analogmgd.datasets, imported under the wrong name {__name__!r}: "
        "install analogmgd and import analogmgd.datasets"
    )

from . import cifar10, digits, fashion_mnist, nist7x7, parity
from .info import Info, Option

MODULES = {module.INFO.name: module for module in (parity, nist7x7, digits, fashion_mnist, cifar10)}

__all__ = ["MODULES", "Info", "Option"]
