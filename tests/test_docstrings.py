"""Every example in a docstring runs, and every public name has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import analogmgd

PEERS = ("analogmgd.bench.peer_jax", "analogmgd.bench.peer_torch")  # extras, and threads that a fork does not survive
MODULES = [
    info.name
    for info in pkgutil.walk_packages(analogmgd.__path__[:1], "analogmgd.")
    if not info.name.endswith("__main__")
    and ".kernels" not in info.name
    and ".datasets" not in info.name
    and info.name not in PEERS
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", [n for n in analogmgd.__all__ if "Error" not in n and "Warning" not in n])
def test_public_names_are_documented_with_an_example(name):
    thing = getattr(analogmgd, name)
    text = inspect.getdoc(thing) or ""
    assert len(text.splitlines()) > 1
    assert ">>>" in text
