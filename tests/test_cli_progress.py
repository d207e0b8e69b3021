"""The progress bar: on a terminal of any width, and in a log file."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

import analogmgd.progress
from analogmgd import MGD, Network, train
from analogmgd.progress import Bar


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """The time as the progress bar sees it, to be set."""
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr(analogmgd.progress, "time", SimpleNamespace(monotonic=lambda: now.value))
    return now


PLAN = SimpleNamespace(ids=range(64), run=SimpleNamespace(steps=1_000_000), seconds=lambda n: 2e-3 * n)
ROW = {"cost": np.array([0.25, np.nan, 0.35, 0.45]), "accuracy": np.array([0.9, 0.95, 0.5, 1.0])}


def watch(bar, clock):
    """A run of 64 chips, 5 s of compiling and then 20 M chip-steps/s."""
    bar.start(PLAN)
    for second in range(9):
        clock.value += 1
        bar.tick(20_000_000 * max(0, second - 5), ROW if second > 5 else {})
    bar.stop()
    bar.stop()  # once more does no harm


def test_bar_on_a_terminal(clock):
    file = Terminal()
    watch(Bar(file, title="a title"), clock)
    shown = [line.rstrip() for line in file.getvalue().split("\r")]
    assert shown[0] == "a title"
    assert "starting, 3 s" in " ".join(shown)
    last = shown[-3]
    assert last.startswith(" 94%|")
    assert last.endswith("| 20M/s  cost 0.35  acc 92.5 [80 96.2] %  hw 1.88 ks  0 s left")
    assert max(map(len, shown)) <= 80


def test_wide_bar(clock, monkeypatch):
    monkeypatch.setattr(Bar, "_columns", lambda self: 120)
    file = Terminal()
    watch(Bar(file), clock)
    wanted = "20 M chip-steps/s, cost 0.35, accuracy 92.5 [80, 96.2] %, hardware time 1.88 ks, 0 s left"
    assert wanted in file.getvalue()


def test_lines_without_a_terminal(clock):
    file = io.StringIO()
    watch(Bar(file, title="a title"), clock)
    title, *lines = file.getvalue().splitlines()
    assert title == "a title"
    assert len(lines) == 1  # not before the first 5 s, then not so soon again
    assert lines[0].startswith(" 31 %  20 M chip-steps/s, cost")
    assert "left" in lines[0]


def test_bar_of_a_run():
    file = Terminal()
    train(Network.mlp([2, 2, 1]), "parity", MGD(), steps=2000, chips=16, progress=Bar(file))
    assert "%|" in file.getvalue()
