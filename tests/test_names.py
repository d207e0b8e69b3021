"""Public names stay what they are, whatever was imported or used first."""

import subprocess
import sys

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
