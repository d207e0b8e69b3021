"""Random words and what is drawn once per chip: the kernels against published answers and the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analogmgd.kernels import draw, philox
from oracle import network as onet
from oracle import philox as ophilox
from oracle import rule as orule

ONES = 0xFFFFFFFF
# Published known answers of Philox4x32-10 (Salmon et al., Random123, kat_vectors): counter, key, output.
KNOWN = {
    "zeros": ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    "ones": ([ONES] * 4, [ONES] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    "digits of pi": (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
}
STREAMS = [
    "INIT", "NEURON", "MISMATCH", "ORDER", "PERTURBATION", "PHASE", "COST", "COST_MINUS", "BASELINE", "WRITE",
]  # fmt: skip
LANES = 16
# Ids at both ends of what is allowed, and some between; in the kernels' shape (1, lanes).
IDS = np.array([0, 1, 17, 2**31, 2**32 - 2, 2**32 - 1, *range(100, 110)], np.uint64)[np.newaxis]
SEED = 0x9E3779B97F4A7C15  # all 64 bits in use
REALS = {np.float32: 2e-6, np.float64: 1e-13}  # tolerance for numbers of order 1


@pytest.mark.parametrize("name", KNOWN)
def test_published_known_answers(name):
    counter, key, expected = KNOWN[name]
    out = np.zeros(4, np.uint64)
    philox.philox_block(np.array(counter, np.uint64), np.array(key, np.uint64), out)
    assert " ".join(f"{w:08x}" for w in out) == expected
    assert " ".join(f"{w:08x}" for w in ophilox.philox4x32(counter, key)) == expected


def test_streams_have_the_numbers_of_the_format():
    assert [getattr(philox, name) for name in STREAMS] == list(range(len(STREAMS)))
    assert [getattr(ophilox, name) for name in STREAMS] == list(range(len(STREAMS)))


def filled(seed, ids, stream, first, count):
    """Words first .. first+count-1 of a stream by the kernel: uint32[count, lanes]."""
    out = np.full((count, ids.shape[1]), 0xDEADBEEF, np.uint32)
    philox.fill_words(np.uint64(seed), ids, np.uint64(stream), np.uint64(first), out)
    return out


# Starts of blocks of four words: low ones, those around word and block 2**32, and the last of 63 bits.
firsts = st.one_of(
    st.integers(0, 100),
    st.integers(2**30 - 4, 2**30 + 4),
    st.integers(2**32 - 4, 2**32 + 4),
    st.integers(2**34 - 4, 2**34 + 4),
    st.integers(0, 2**61 - 8),
).map(lambda block: 4 * block)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**64 - 1),
    chips=st.lists(st.integers(0, 2**32 - 1), min_size=LANES, max_size=LANES),
    stream=st.integers(0, len(STREAMS) - 1),
    first=firsts,
    blocks=st.integers(1, 3),
)
def test_words_are_the_oracles(seed, chips, stream, first, blocks):
    ids = np.array(chips, np.uint64)[np.newaxis]
    words = filled(seed, ids, stream, first, 4 * blocks)
    for lane, chip in enumerate(chips):
        assert np.array_equal(words[:, lane], ophilox.words(seed, chip, stream, first, 4 * blocks))


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 2**64 - 1])
def test_both_halves_of_seed_and_counter_count(seed):
    for first in (0, 2**34, 2**34 + 4):  # the carry from the low to the high word of the counter
        words = filled(seed, IDS, philox.COST, first, 8)
        expected = [[ophilox.word(seed, int(chip), ophilox.COST, first + j) for chip in IDS[0]] for j in range(8)]
        assert np.array_equal(words, expected)


def test_no_word_depends_on_its_lane_or_on_the_width():
    wide = np.tile(IDS, 3)
    alone = filled(SEED, IDS, philox.ORDER, 8, 8)
    assert np.array_equal(filled(SEED, wide, philox.ORDER, 8, 8), np.tile(alone, 3))
    assert np.array_equal(filled(SEED, IDS[:, ::-1].copy(), philox.ORDER, 8, 8), alone[:, ::-1])


def test_words_are_uniform_and_streams_unrelated():
    """Mean, variance and the correlation of neighbouring streams and chips, 5 standard errors each."""
    n = 4096
    u = {s: ophilox.uniform(filled(SEED, IDS, s, 0, n)).ravel() - 0.5 for s in range(len(STREAMS))}
    size = n * LANES
    for s in range(len(STREAMS)):
        assert abs(u[s].mean()) < 5 * np.sqrt(1 / 12 / size)
        assert abs(u[s].var() - 1 / 12) < 5 * np.sqrt(1 / 180 / size)
        for other in (u[(s + 1) % len(STREAMS)], np.roll(u[s].reshape(n, LANES), 1, axis=1).ravel()):
            assert abs((u[s] * other).mean()) < 5 * np.sqrt(1 / 144 / size)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("rows", [1, 4, 9, 14])
def test_draws_are_the_oracles(real, rows):
    """Initial parameters, neurons, mismatch, phases: every chip's own, equation by equation."""
    seed, close = np.uint64(SEED), {"rtol": 0, "atol": REALS[real]}
    theta, gain, sin, cos = (np.full((rows, LANES), np.nan, real) for _ in range(4))
    neuron = np.full((4 * rows, LANES), np.nan, real)
    scale = np.linspace(0.1, 1.0, rows).astype(real)
    draw.draw_theta(seed, IDS, scale, theta)
    draw.draw_neurons(seed, IDS, real(0.25), neuron)
    draw.draw_mismatch(seed, IDS, real(0.5), gain)
    draw.draw_phases(seed, IDS, philox.PHASE, 0, sin, cos)
    net = onet.Net((1, rows), ("sigmoid",))
    for lane, chip in enumerate(IDS[0].tolist()):
        u = ophilox.uniform(ophilox.words(SEED, chip, ophilox.INIT, 0, rows))
        np.testing.assert_allclose(theta[:, lane], scale * (2 * u - 1), **close)
        spread = onet.neuron_spread(net, 0.25, SEED, chip)
        for row, expected in enumerate((spread.alpha, spread.beta, spread.a0, spread.b0)):
            np.testing.assert_allclose(neuron[row::4, lane], expected, **close)
        np.testing.assert_allclose(gain[:, lane], orule.mismatch_gain(rows, 0.5, SEED, chip), **close)
        turns = ophilox.uniform(ophilox.words(SEED, chip, ophilox.PHASE, 0, rows))
        np.testing.assert_allclose(sin[:, lane], np.sin(2 * np.pi * turns), **close)
        np.testing.assert_allclose(cos[:, lane], np.cos(2 * np.pi * turns), **close)


def test_draws_of_no_rows_do_nothing():
    """A chip without spread, mismatch or sinusoids has arrays of no rows."""
    empty = np.zeros((0, LANES))
    draw.draw_neurons(np.uint64(SEED), IDS, 0.0, empty)
    draw.draw_mismatch(np.uint64(SEED), IDS, 0.0, empty)
    draw.draw_phases(np.uint64(SEED), IDS, philox.PHASE, 0, empty, empty.copy())
