"""Cost and accuracy of one chip with a network of pictures, samples in the lanes; noise off."""

from __future__ import annotations

from . import table as t
from .columns import show
from .image import forward_shared
from .jit import entry
from .neuron import sample_cost
from .row_evaluate import decides_right
from .simd import WIDTH, store


@entry
def evaluate_columns(s0, s1, cost, scale, tables, neuron, theta, xs, targets_of, smoothed, chosen, own, total, correct):
    """Add the costs of samples s0 .. s1-1 to total float64[1, 1] and right decisions to correct uint32[1, 1].

    tables = (stages, places, targets, input_rows); own = (work, sums, y, z real[n_out, 16]) is scratch, chosen
    int64[n] the samples' numbers; the rest as in `evaluate_rows` and `steps_columns`.
    """
    stages, places, targets, input_rows = tables
    work, sums, y, z = own
    outputs = stages[stages.shape[0] - 1, t.TARGET_ROW]
    n_out = y.shape[0]
    for s in range(s0, s1, WIDTH):
        count = min(WIDTH, s1 - s)
        show(xs, smoothed, input_rows, chosen, s, count, scale, work, y)
        forward_shared(theta, stages, places, targets, neuron, work, sums)
        store(sums, 0, 0, sample_cost(cost, work, outputs, y, n_out, 0))
        for lane in range(count):
            total[0, 0] += sums[0, lane]
            for k in range(n_out):
                z[k, lane] = work[outputs + k, lane]
            if decides_right(z, lane, targets_of, s + lane, n_out):
                correct[0, 0] += 1
