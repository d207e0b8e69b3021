"""The forward pass through all layers, with and without the perturbation."""

from __future__ import annotations

from .dense import SINGLE, make_dense
from .jit import inner
from .neuron import activate
from .table import ACTIVATION, BIASES, N_IN, N_OUT, NEURONS, WEIGHTS


def make_network(kind: int, codes: bool):
    """Forward pass through all layers for one kind of pass; outputs in a[(layers-1) & 1], b likewise."""
    dense = make_dense(kind, codes)

    @inner
    def network(theta, words, values, amplitude, layers, neuron, x, a0, a1, b0, b1):
        for q in range(layers.shape[0]):
            row = layers[q]
            odd = (q & 1) == 1
            xa = x if q == 0 else (a0 if odd else a1)
            xb = x if q == 0 else (b0 if odd else b1)
            za = a1 if odd else a0
            zb = b1 if odd else b0
            dense(
                theta,
                words,
                values,
                amplitude,
                row[WEIGHTS],
                row[BIASES],
                row[N_IN],
                row[N_OUT],
                xa,
                xb,
                za,
                zb,
            )
            if kind != SINGLE:
                activate(za, row[N_OUT], row[ACTIVATION], neuron, row[NEURONS])
            activate(zb, row[N_OUT], row[ACTIVATION], neuron, row[NEURONS])

    return network
