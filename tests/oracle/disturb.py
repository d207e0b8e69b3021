"""Half-select disturbance: what the pulses of a write do to the other devices of their rows and columns.

A write selects a device by half a voltage on its row and half on its column: the others on these lines see half of it
at every pulse. One array of rows (inputs, then the bias) and columns (outputs).
"""

import numpy as np

from . import device as odevice


def disturbed(s, dev, w, pulses, share, shape, worn=None):
    """w float64[P] after a write of pulses (signed whole numbers, float64[P]) has moved w already; one layer.

    dev : Devices of P, weights row-major (columns, rows), then biases; shape = (n_in, n_out). Every device moves by
    share times its step at w (without noise), once for each pulse on another device of its row or column; worn
    bool[P]: those that do not move.
    """
    n_in, n_out = shape
    where = {}  # (row, column) -> parameter
    for j in range(n_out):
        for i in range(n_in):
            where[i, j] = j * n_in + i
        where[n_in, j] = n_out * n_in + j
    step_up, step_down = odevice.steps(s, dev, w)
    out = np.array(w, dtype=np.float64)
    for (i, j), p in where.items():
        change = 0.0
        for (k, m), other in where.items():
            if other == p or (k != i and m != j):
                continue
            n = pulses[other]
            change += share * (n * step_up[p] if n > 0 else n * step_down[p])
        v = np.clip(w[p] + dev.reference[p] + change, dev.b_min[p], dev.b_max[p])
        if worn is None or not worn[p]:
            out[p] = v - dev.reference[p]
    return out
