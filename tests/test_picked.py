"""Packing chosen lanes, reading and writing at places: against NumPy, with the processor's instruction and without."""

import numba
import numpy as np
import pytest

from analogmgd.kernels import picked
from analogmgd.kernels.jit import OUTER
from analogmgd.kernels.simd import load, store


@pytest.mark.parametrize("instruction", [True, False])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint32])
def test_chosen_lanes_come_first(kind, instruction, monkeypatch):
    if not instruction:
        monkeypatch.setattr(picked, "_compresses", lambda context: False)

    @numba.njit(**OUTER)
    def pack(values, chosen, out, counts):
        for p in range(values.shape[0]):
            mask = load(chosen, p, 0) > 0
            store(out, p, 0, picked.squeezed(load(values, p, 0), mask))
            counts[p] = picked.count_lanes(mask)

    random = np.random.default_rng(1)
    values = (1e9 * random.standard_normal((300, 16))).astype(kind) if kind != np.uint32 else None
    values = random.integers(0, 2**32, (300, 16), dtype=np.uint32) if values is None else values
    chosen = (random.random((300, 16)) < random.random((300, 1))).astype(np.uint32)
    chosen[0], chosen[1] = 0, 1
    out, counts = np.full((300, 16), 7, kind), np.zeros(300, np.int64)
    pack(values, chosen, out, counts)
    assert counts.tolist() == chosen.sum(axis=1).tolist()
    for row, some, found in zip(values, chosen, out, strict=True):
        wanted = np.zeros(16, kind)
        wanted[: some.sum()] = row[some > 0]
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint64])
def test_places(kind):
    @numba.njit(**OUTER)
    def move(places, chosen, source, target):
        for p in range(places.shape[0]):
            at = load(places, p, 0)
            picked.give(target, at, picked.take(source, at), load(chosen, p, 0) > 0)

    random = np.random.default_rng(2)
    source = random.integers(0, 2**31, (40, 48)).astype(kind)
    places = random.permutation(source.size)[: 16 * 100].astype(np.uint32).reshape(100, 16)
    chosen = random.integers(0, 2, (100, 16), dtype=np.uint32)
    target = np.zeros_like(source)
    move(places, chosen, source, target)
    wanted = np.zeros_like(source)
    some = places[chosen > 0]
    wanted.flat[some] = source.flat[some]
    np.testing.assert_array_equal(target, wanted)
