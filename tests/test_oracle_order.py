"""The order of the samples: a bijection, and how close to uniform.

Statistical tests have fixed seeds and reject a uniform permutation with probability ALPHA each.
"""

import math

import numpy as np
import pytest
from scipy import stats

from oracle import order
from oracle.network import Net
from oracle.rule import Settings, simulate

ALPHA = 1e-4


def many(n_train, epochs=10_000, chips=4):
    """Permutations of several chips and many epochs: int64[chips * epochs, n_train]."""
    return np.concatenate([order.permutations(21, chip, 0, epochs, n_train) for chip in range(chips)])


def pair_counts(first, second, n_train):
    """How often each ordered pair of two different indices occurs: n_train * (n_train - 1) counts."""
    counts = np.bincount(first * n_train + second, minlength=n_train**2).reshape(n_train, n_train)
    return counts[~np.eye(n_train, dtype=bool)]


def smallest_p(columns):
    """Smallest of the chi-square p-values of several tables of counts."""
    return min(stats.chisquare(counts).pvalue for counts in columns)


@pytest.mark.parametrize("n_train", [*range(1, 71), 1000, 1437, 4096])
def test_permutation_is_a_bijection(n_train):
    plain = [order.permutation(3, 2, epoch, n_train) for epoch in range(2)]
    np.testing.assert_array_equal(plain, order.permutations(3, 2, 0, 2, n_train))
    np.testing.assert_array_equal(np.sort(plain, axis=1), [range(n_train)] * 2)


@pytest.mark.parametrize("n_train", [60_000, 65_537, 300_000])
def test_large_permutation_is_a_bijection(n_train):
    several = order.permutations(3, 2, 5, 2, n_train)
    np.testing.assert_array_equal(np.sort(several, axis=1), [np.arange(n_train)] * 2)
    for position in (0, 1, n_train // 2, n_train - 1):
        assert order.sample_index("shuffle", 3, 2, 6 * n_train + position, n_train) == several[1, position]


@pytest.mark.parametrize(("n_train", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11)])
def test_bits(n_train, bits):
    assert order.bits_for(n_train) == bits == max(1, math.ceil(math.log2(n_train)))


def test_epochs_and_chips_have_their_own_permutation():
    several = [order.permutation(0, chip, epoch, 50) for chip in range(4) for epoch in range(4)]
    assert len({tuple(p) for p in several}) == 16


@pytest.mark.parametrize("n_train", [2, 3, 4])
def test_small_permutations_are_equally_likely(n_train):
    codes = many(n_train) @ n_train ** np.arange(n_train)
    _, counts = np.unique(codes, return_counts=True)
    assert len(counts) == math.factorial(n_train)
    assert stats.chisquare(counts).pvalue > ALPHA


@pytest.mark.parametrize("n_train", [5, 36])
def test_every_index_is_equally_likely_at_every_position(n_train):
    p = many(n_train)
    columns = [np.bincount(p[:, i], minlength=n_train) for i in range(n_train)]
    assert smallest_p(columns) > ALPHA / n_train


@pytest.mark.parametrize("n_train", [5, 36])
def test_adjacent_pairs_are_equally_likely(n_train):
    p = many(n_train, epochs=25_000 if n_train == 5 else 10_000)
    columns = [pair_counts(p[:, i], p[:, i + 1], n_train) for i in range(n_train - 1)]
    assert smallest_p(columns) > ALPHA / (n_train - 1)


def test_parity_of_the_index_does_not_alternate():
    """Adjacent indices of an epoch of 1024 have equal parity in half the cases, standard deviation 1/64."""
    p = many(1024, epochs=500)
    equal = np.mean(p[:, 1:] % 2 == p[:, :-1] % 2, axis=1)
    assert np.all(np.abs(equal - 0.5) < 0.25)  # 16 standard deviations


def test_samples_are_presented_in_that_order():
    x, y = np.zeros((5, 2)), np.zeros((5, 1))
    net = Net((2, 1), ("linear",))
    h = simulate(net, x, y, Settings(tau_x=2, batch=3, seed=9, chip=1), 12)
    sequence = [i for epoch in range(4) for i in order.permutation(9, 1, epoch, 5)]
    for n in range(12):
        assert h.sample[n].tolist() == sequence[(n // 2) * 3 : (n // 2) * 3 + 3]
    h = simulate(net, x, y, Settings(tau_x=2, batch=3, order="sequential"), 12)
    assert h.sample[:, 0].tolist() == [0, 0, 3, 3, 1, 1, 4, 4, 2, 2, 0, 0]
