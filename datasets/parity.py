"""Parity of n bits; with two bits it is XOR, the smallest problem that needs a hidden layer."""

from types import MappingProxyType
from typing import Any

import numpy as np

from .info import Info, whole_number

INFO = Info(
    name="parity",
    description="every pattern of n bits; the target is their exclusive or (n = 2 is XOR)",
    sizes=MappingProxyType({"train": 4, "test": 4}),
    n_in=2,
    n_out=1,
    classes=("even", "odd"),
    source="computed",
    licence="none needed (a truth table)",
    options=MappingProxyType({"bits": whole_number(2, 16, default=2, description="number of inputs")}),
)


def load(bits: int) -> dict[str, Any]:
    """All 2**bits patterns in counting order, the first bit the most significant; tested on the same."""
    number = np.arange(2**bits)
    x = (number[:, None] >> np.arange(bits - 1, -1, -1)) & 1
    y = x.sum(axis=1, keepdims=True) & 1
    description = f"every pattern of {bits} bits; the target is their exclusive or"
    return {
        "x_train": x.astype(np.float64),
        "y_train": y.astype(np.float64),
        "description": description + (" (XOR)" if bits == 2 else ""),
    }
