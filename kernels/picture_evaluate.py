"""Cost and accuracy of a block of chips with networks of pictures, a chip a lane; noise off."""

from __future__ import annotations

from .evaluate import count_correct
from .jit import entry
from .neuron import sample_cost
from .pictures import outputs_of, plain_pictures
from .simd import WIDTH, filled, load, resized, store


@entry
def evaluate_pictures(
    s0, s1, cost, layers, neuron, theta, xs, targets, smoothed, y, work, total, correct, pictures, device
):
    """As `evaluate.evaluate`; work real[.., lanes] has the rows that `pictures` (hardware.py) says."""
    n_out = y.shape[0]
    outputs, _ = outputs_of(layers, work, pictures)
    for s in range(s0, s1):
        for v in range(0, theta.shape[1], WIDTH):
            for i in range(xs.shape[1]):
                store(work, i, v, filled(xs[s, i], work))
            for k in range(n_out):
                store(y, k, v, filled(smoothed[s, k], y))
        plain_pictures(theta, neuron, work, pictures, device)
        for v in range(0, theta.shape[1], WIDTH):
            c = sample_cost(cost, work, outputs, y, n_out, v)
            store(total, 0, v, load(total, 0, v) + resized(c, total))
        count_correct(work, outputs, targets, s, n_out, correct)
