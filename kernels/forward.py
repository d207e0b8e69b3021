"""The forward pass through all layers, with and without the perturbation."""

from __future__ import annotations

from .dense import ANTITHETIC, NODES, PAIR, SINGLE, make_dense, perturb_columns
from .jit import leaf
from .neuron import activate
from .readout import convert_inputs, noise_on, read_columns
from .table import ACTIVATION, BIASES, N_IN, N_OUT, NEURONS, WEIGHTS


@leaf
def first_row(copy, layer, n_inputs, widest):
    """Where the outputs of a layer stand in `work`: inputs first, then two rows of layers for each copy."""
    return n_inputs + (2 * copy + (layer & 1)) * widest


def make_columns(form: int):
    """The columns of an array, with the noise of what is read, for one form of the perturbation.

    columns(kind, .., first, device): arguments as of `make_dense`; first : number of the first column that is read. Of
    nodes, values real[columns that are read, lanes].
    """
    dense_single = make_dense(SINGLE, form)
    dense_pair = make_dense(PAIR, form)
    dense_both = make_dense(ANTITHETIC, form)

    @leaf
    def columns(
        kind, theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device
    ):  # fmt: skip
        if kind == SINGLE:
            dense_single(theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb)
        elif kind == PAIR:
            dense_pair(theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb)
        else:
            dense_both(theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb)
        if form == NODES:
            perturb_columns(kind, values, first, n_out, work, za, zb)
        noise_on(kind == SINGLE, theta, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device)

    return columns


def make_network(form: int):
    """Forward pass through all layers for one form of the perturbation, inputs in the first rows of work.

    `kind` is SINGLE, PAIR or ANTITHETIC. Outputs stand from first_row(0, last layer) on (copy a, not in a SINGLE pass)
    and from first_row(1, last layer) on (copy b). `device`: a `hardware.Hardware`, or ().
    """
    columns = make_columns(form)

    @leaf
    def network(kind, theta, words, values, amplitude, layers, neuron, work, widest, device):
        n_inputs = layers[0, N_IN]
        for q in range(layers.shape[0]):
            n_in, n_out, w0, b0 = layers[q, N_IN], layers[q, N_OUT], layers[q, WEIGHTS], layers[q, BIASES]
            xa = 0 if q == 0 else first_row(0, q - 1, n_inputs, widest)
            xb = 0 if q == 0 else first_row(1, q - 1, n_inputs, widest)
            za = first_row(0, q, n_inputs, widest)
            zb = first_row(1, q, n_inputs, widest)
            if q > 0:
                for row in range(xb if kind == SINGLE else xa, xb + 1, xb - xa):
                    convert_inputs(work, row, n_in, True, device)
            first = layers[q, NEURONS]
            columns(
                kind, theta, words, values, amplitude, w0, b0, n_in, n_out, work, xa, xb, za, zb, first, device
            )  # fmt: skip
            # One place for both copies: what is pasted in twice is compiled twice.
            for row in range(zb if kind == SINGLE else za, zb + 1, zb - za):
                read_columns(n_out, work, row, first, device)
                activate(work, row, n_out, layers[q, ACTIVATION], neuron, first)

    return network
