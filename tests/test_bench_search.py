"""How the benchmark looks for a peer's fastest variant."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import psutil
import pytest
from bench_sides import along_after_windows, memory, need

from analogmgd.bench import search, worker
from analogmgd.bench.ours import problem_of
from analogmgd.bench.workloads import group_named


class FakePeer:
    """Searches from variant "plain" through the given rounds; needs as many bytes as `need` says."""

    def __init__(self, *changes, need=lambda variant: 0, **start):
        self.changes, self.need, self.start = list(changes), need, {"name": "start", **start}

    def searches(self, problem, one):
        return {"name": "plain", "chips": 1}, self.start, self.changes, {"name": "b"}

    def memory(self, problem, variant):
        return self.need(variant)


def test_search_takes_the_fastest_and_notes_failures():
    speeds = {"plain": 1.0, "start": 2.0, "a": 3.0, "b": 2.5, "ab": 5.0}
    peer = FakePeer([{"name": "a"}, {"name": "b"}], [{"name": "broken"}], [{"name": "ab"}])

    def ready(problem, variant):
        if variant["name"] == "broken":
            raise ValueError("cannot")
        return variant["name"], speeds[variant["name"]]

    found = search.search(peer, None, True, False, ready)
    assert found.variant["name"] == "ab"
    assert (found.best, found.plain) == (("ab", 5.0), ("plain", 1.0))
    assert "cannot" in found.note
    quick = search.search(peer, None, True, True, ready)
    assert (quick.variant["name"], quick.plain) == ("b", None)


@pytest.mark.parametrize(("best", "wanted"), [(1, 1), (64, 64), (1 << 12, 1 << 12), (1 << 30, search.WIDEST)])
def test_search_climbs_to_the_best_number_of_chips(best, wanted):
    """Wherever the grid ends; the plain variant has its own best, a sixteenth of that."""

    def ready(problem, variant):
        top, factor = (best / 16, 1) if variant["name"] == "plain" else (best, 1000)
        return variant, factor / (1 + abs(np.log2(variant["chips"] / top)))

    found = search.search(FakePeer([{"chips": 8}]), None, False, False, ready)
    assert found.variant["chips"] == wanted
    assert found.plain[0]["chips"] == min(search.WIDEST, max(1, best // 16))
    variants = [json.dumps(row["variant"]) for row in found.tried]
    assert len(variants) == len(set(variants))  # none twice


@pytest.mark.parametrize("best", [1, 64, 1 << 14])
@pytest.mark.parametrize("one", [True, False])
def test_search_climbs_to_the_best_number_of_steps_drawn_ahead(best, one):
    found = search.search(
        FakePeer([{"ahead": 64}], ahead=16, form="step"), None, one, False,
        lambda problem, variant: (variant, 1 / (1 + abs(np.log2(variant.get("ahead", 1 << 30) / best)))),
    )  # fmt: skip
    assert found.variant["ahead"] == best


def test_length_of_a_loop_is_not_searched():
    def faster_and_faster(problem, variant):
        return variant, variant.get("ahead", 1)

    found = search.search(FakePeer(ahead=16, form="chip"), None, True, False, faster_and_faster)
    assert [row["variant"].get("ahead") for row in found.tried] == [None, 16]


@pytest.mark.parametrize(("best", "wanted"), [(1, 1), (40, 40), (1000, 1000)])
def test_search_climbs_to_the_best_group(best, wanted):
    problem = problem_of(group_named("2-2-1-one"), tau_theta=1000)
    found = search.search(
        FakePeer([{"group": 10}], group=4), problem, True, False,
        lambda problem, variant: (variant, 1 / (1 + abs(np.log(variant.get("group", 1e9) / best)))),
    )  # fmt: skip
    assert found.variant["group"] == wanted


def test_search_refuses_what_does_not_fit():
    limit = psutil.virtual_memory().available
    peer = FakePeer([{"chips": 8}], need=lambda variant: limit * (variant["chips"] > 32))
    found = search.search(peer, None, False, False, lambda problem, variant: (variant, variant["chips"]))
    assert found.variant["chips"] == 32
    assert "GB are free" in found.note


@pytest.fixture(scope="module")
def elsewhere():
    """Calls a function in another process: JAX starts threads, and other tests fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@pytest.mark.parametrize("side", ["jax", "torch", "numpy"])
def test_peers_say_how_much_memory_they_need(elsewhere, side):
    """At least for the signs of a group, or of the steps that are drawn in one go as real numbers."""
    need(side)
    variants = [{"form": "first", "chips": 4, "ahead": 10}]
    if side == "jax":
        variants = [{"form": "step", "chips": 4, "ahead": 10}, {"form": "window", "chips": 1, "group": 100}]
    elif side == "torch":
        variants.append({"form": "window", "chips": 1, "group": 100, "ahead": 1})
    for variant in variants:
        least = 4 * 224 * (variant["chips"] * 10 if side != "jax" else 1) if "group" not in variant else 4 * 224 * 100
        assert elsewhere(memory, side, "49-4-4", variant) > least


@pytest.mark.parametrize("side", ["jax", "torch"])
def test_groups_have_to_make_up_the_window(elsewhere, side):
    """Or steps would be counted that are not done."""
    need(side)
    with pytest.raises(ValueError, match="group=3 does not divide tau_theta=1000"):
        elsewhere(along_after_windows, side, {"group": 3, "signs": "packed" if side == "jax" else "table"}, 1)


def test_a_variant_counts_by_its_best_timing():
    class Job:
        chips, left = 2, [0.2, 0.8, 0.1]  # seconds

        def run(self, steps):
            self.seconds = self.left.pop(0)
            return 10

    assert worker.best_rate(Job(), 0.1) == 10 * 2 / 0.1


def test_a_slow_variant_is_not_timed_again():
    class Job:
        chips, chunk, calls = 1, 1000, 0

        def run(self, steps):
            self.calls, self.seconds = self.calls + 1, 2 * worker.ENOUGH_SECONDS
            return 1000

    job = Job()
    assert worker.best_rate(job, 0.1) == 1000 / (2 * worker.ENOUGH_SECONDS)
    assert job.calls == 1
