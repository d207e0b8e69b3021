"""Public names stay what they are, whatever was imported or used first."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("first", [
    "import analogmgd.train, analogmgd.contact_sheet",
    "from analogmgd.train import settle",
    "am.run_config",
    "am.gradient(am.Network.mlp([2, 2, 1]), am.Dataset([[0, 1]], [[1]]), [0.0] * 9)",
])  # fmt: skip
def test_functions_are_not_hidden_by_modules_of_their_name(first):
    """In a new process, as the first use decides."""
    code = f"""
import analogmgd as am
{first}
assert callable(am.train) and callable(am.contact_sheet), (am.train, am.contact_sheet)
for name in am.__all__:
    assert getattr(am, name).__name__ == name, name
"""
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_a_checkout_works_from_its_own_folder():
    """There the source folder stands before the installed package, without kernels/ and datasets/ inside."""
    root = Path(__file__).parent.parent
    code = "import analogmgd as am; print(am.load_dataset('parity').n_in, am.kernels.__name__)"
    code = code.replace("am.kernels", "__import__('importlib').import_module('analogmgd.kernels')")
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "analogmgd.kernels"]
