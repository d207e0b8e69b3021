"""Which sample is presented when: the presentation number, and the keyed permutation of an epoch."""

from functools import lru_cache

import numpy as np

from .philox import MASK, ORDER, word, words

ROUNDS = 12  # of the permutation; one word of the stream ORDER each


def bits_for(n_train):
    """B = max(1, ceil(log2 n_train)): the fewest bits, at least one, that number all samples."""
    return max(1, (n_train - 1).bit_length())


@lru_cache(maxsize=1024)
def round_words(seed, chip, epoch):
    """The key of an epoch: tuple of ROUNDS words."""
    return tuple(word(seed, chip, ORDER, ROUNDS * epoch + r) for r in range(ROUNDS))


def scramble(x, keys, bits):
    """One pass of the keyed bijection of {0 .. 2**bits - 1}; 32-bit arithmetic that wraps.

    Every round is a bijection: an odd multiplier has an inverse modulo 2**bits, an addition too, and the xor
    moves bits down by h >= 1, so it can be undone from the top bit on.
    """
    h = max(1, bits // 2)
    m = (1 << bits) - 1
    for w in keys:
        x = ((x * (w | 1)) & MASK) + (w >> 16)
        x = x & MASK & m
        x = x ^ (x >> h)
    return x


def permuted(position, keys, n_train):
    """Index at a position of the epoch with these keys: walk the cycle until it lands among the samples."""
    bits = bits_for(n_train)
    x = scramble(position, keys, bits)
    while x >= n_train:
        x = scramble(x, keys, bits)
    return x


def permutation(seed, chip, epoch, n_train):
    """Order of the samples in one epoch of one chip: list of n_train indices, by position."""
    keys = round_words(seed, chip, epoch)
    return [permuted(position, keys, n_train) for position in range(n_train)]


def permutations(seed, chip, epoch_0, epochs, n_train):
    """The same for many epochs at once, for statistics: int64[epochs, n_train]."""
    keys = words(seed, chip, ORDER, ROUNDS * epoch_0, ROUNDS * epochs).reshape(epochs, ROUNDS, 1).astype(np.int64)
    bits = bits_for(n_train)
    h, m = max(1, bits // 2), (1 << bits) - 1

    def scramble_all(x):
        for r in range(ROUNDS):
            w = keys[:, r]
            x = (x * ((w | 1) & m) + (w >> 16)) & m  # modulo 2**bits all along: no overflow for bits <= 31
            x = x ^ (x >> h)
        return x

    x = scramble_all(np.tile(np.arange(n_train), (epochs, 1)))
    while (x >= n_train).any():
        x = np.where(x >= n_train, scramble_all(x), x)
    return x


def sample_index(order, seed, chip, s, n_train):
    """Data set index of presentation number s; order is "sequential" or "shuffle"."""
    epoch, position = divmod(s, n_train)
    if order == "sequential":
        return position
    if order == "shuffle":
        return permuted(position, round_words(seed, chip, epoch), n_train)
    raise ValueError(f'order is {order!r}; expected "sequential" or "shuffle"')


def batch_indices(order, seed, chip, presentation, batch, n_train):
    """Indices of the samples b = 0 .. batch-1 of a presentation (number n // tau_x): list of batch ints."""
    first = presentation * batch
    return [sample_index(order, seed, chip, first + b, n_train) for b in range(batch)]
