"""In a checkout that is not installed, `analogmgd.bench` is found here; its modules are in suite/."""

from os import path

__path__ = [path.join(path.dirname(__file__), "suite")]
