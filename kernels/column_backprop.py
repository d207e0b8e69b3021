"""Backpropagation as a rule, for networks of pictures: the batch in the lanes, in parts that threads may share."""

from __future__ import annotations

import numpy as np

from . import table as t
from .jit import entry
from .rows import write_rows
from .sample import draw_samples
from .simd import WIDTH, filled, load, store
from .update import learning_rate

PARTS = 4  # of a batch, whose gradients are added in order: as many, whatever the threads


@entry
def draw_batch(n, seed, ids, ints, index, keys, chosen):
    """chosen int64[batch] <- the samples of iteration n; scratch: index uint32[batch, 16], keys uint32[13, 16]."""
    batch = ints[t.BATCH]
    draw_samples(n * batch, batch, ints[t.SHUFFLE] == 1, ints[t.N_TRAIN], seed, ids, keys, np.int64(-1), index)
    for b in range(batch):
        chosen[b] = index[b, 0]


@entry
def write_gradient(
    n, last, n_params, seed, ids, ints, reals, parts, totals, theta, G, velocity, last_gradient, first_bad, words,
    normals,
):  # fmt: skip
    """theta <- theta - eta v at the end of iteration n, v = momentum v + mean gradient + weight_decay theta.

    parts real[PARTS, 1, P padded] and totals real[PARTS, 1, 1]: sums over the samples of each part, cleared; the mean
    cost is left in totals[0]. last: where the run of iterations ends, for the record of G.
    """
    real = theta.dtype.type
    share = real(1.0) / real(ints[t.BATCH])
    cost = real(0.0)
    for k in range(PARTS):
        cost += totals[k, 0, 0]
        totals[k, 0, 0] = 0.0
    totals[0, 0, 0] = cost * share
    if cost - cost != 0.0 and first_bad[0, 0] < 0:
        first_bad[0, 0] = n
    for p in range(0, theta.shape[1], WIDTH):
        g = load(parts[0], 0, p)
        store(parts[0], 0, p, filled(real(0.0), theta))
        for k in range(1, PARTS):
            g = g + load(parts[k], 0, p)
            store(parts[k], 0, p, filled(real(0.0), theta))
        store(G, 0, p, g * share)
        if ints[t.KEEP_GRADIENT] == 1 and n + 1 == last:
            store(last_gradient, 0, p, g * share)
    rate = real(learning_rate(ints, reals, n))
    size = theta.shape[1]
    write_rows(0, size, n_params, n, seed, ids[0, 0], reals, rate, theta, G, velocity, words, normals)
