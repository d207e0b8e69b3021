"""The forward pass through all layers, with and without the perturbation."""

from __future__ import annotations

from .dense import SINGLE, make_dense
from .jit import leaf
from .neuron import activate
from .table import ACTIVATION, BIASES, N_IN, N_OUT, NEURONS, WEIGHTS


@leaf
def first_row(copy, layer, n_inputs, widest):
    """Where the outputs of a layer stand in `work`: inputs first, then two rows of layers for each copy."""
    return n_inputs + (2 * copy + (layer & 1)) * widest


def make_network(kind: int, codes: bool):
    """Forward pass through all layers for one kind of pass, inputs in the first rows of work.

    Outputs stand from first_row(0, last layer) on (copy a) and from first_row(1, last layer) on (copy b).
    """
    dense = make_dense(kind, codes)

    @leaf
    def network(theta, words, values, amplitude, layers, neuron, work, widest):
        n_inputs = layers[0, N_IN]
        for q in range(layers.shape[0]):
            n_out = layers[q, N_OUT]
            xa = 0 if q == 0 else first_row(0, q - 1, n_inputs, widest)
            xb = 0 if q == 0 else first_row(1, q - 1, n_inputs, widest)
            za = first_row(0, q, n_inputs, widest)
            zb = first_row(1, q, n_inputs, widest)
            dense(
                theta, words, values, amplitude, layers[q, WEIGHTS], layers[q, BIASES], layers[q, N_IN], n_out,
                work, xa, xb, za, zb,
            )  # fmt: skip
            if kind != SINGLE:
                activate(work, za, n_out, layers[q, ACTIVATION], neuron, layers[q, NEURONS])
            activate(work, zb, n_out, layers[q, ACTIVATION], neuron, layers[q, NEURONS])

    return network
