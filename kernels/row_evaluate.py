"""Cost and accuracy of one chip whose weights stand in the lanes, samples as columns; noise off."""

from __future__ import annotations

from . import table as t
from .jit import entry, inner
from .neuron import sample_cost
from .row_costs import take_sample
from .row_layer import activate_row, matrix
from .simd import WIDTH, store


@inner
def decides_right(z, c, targets, s, n_out):
    """Whether column c of z decides as targets[s] do, by the rule of `count_correct`."""
    if n_out == 1:
        half = z.dtype.type(0.5)
        return z[0, c] > half if targets[s, 0] > half else z[0, c] <= half
    wanted = 0
    label = 0
    for k in range(1, n_out):
        if targets[s, k] > targets[s, wanted]:
            wanted = k
        if z[k, c] > z[label, c]:
            label = k
    return label == wanted and z[label, c] == z[label, c]


@entry
def evaluate_rows(s0, s1, cost, layers, neuron, theta, xs, targets, smoothed, x, work, z, y, total, correct):
    """Add the costs of samples s0 .. s1-1 to total float64[1, 1] and right decisions to correct uint32[1, 1].

    xs real[n, n_in]; targets and smoothed (for the cost) real[n, n_out]; theta real[1, P padded]; scratch: x
    real[columns, n_in padded], work real[2 columns, widest padded], z and y real[n_out, columns].
    """
    group = x.shape[0]
    n_layers = layers.shape[0]
    n_out = layers[n_layers - 1, t.N_OUT]
    for g in range(s0, s1, group):
        columns = min(group, s1 - g)
        for c in range(columns):
            take_sample(xs, smoothed, g + c, x, y, c)
        row = 0
        for q in range(n_layers):
            w0, b0, n_in = layers[q, t.WEIGHTS], layers[q, t.BIASES], layers[q, t.N_IN]
            row = (q & 1) * group
            if q == 0:
                matrix(theta, w0, b0, n_in, layers[q, t.N_OUT], x, 0, columns, work, row)
            else:
                matrix(theta, w0, b0, n_in, layers[q, t.N_OUT], work, group - row, columns, work, row)
            for c in range(columns):
                activate_row(work, row + c, layers[q, t.N_OUT], layers[q, t.ACTIVATION], neuron, layers[q, t.NEURONS])
        for c in range(columns):
            for k in range(n_out):
                z[k, c] = work[row + c, k]
        for v in range(0, columns, WIDTH):
            store(y, 0, v, sample_cost(cost, z, 0, y, n_out, v))
        for c in range(columns):
            total[0, 0] += y[0, c]
            if decides_right(z, c, targets, g + c, n_out):
                correct[0, 0] += 1
