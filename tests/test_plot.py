"""Pictures of every kind of trace, without a warning; what they show is what was recorded."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from trace_samples import ALL, header, make_trace

from analogmgd.errors import ConfigError, TraceError
from analogmgd.plot import eng, headline, plot_trace
from analogmgd.plot_base import STYLE, log_if_wide, quantiles
from analogmgd.trace import open_writer

KINDS = {
    "one chip": {"chips": 1, "record": ALL, "rows": 30, "probe_chips": [10], "probe_steps": 20},
    "three chips": {"chips": 3, "record": ALL, "probe_chips": [10, 12], "probe_steps": 2000},
    "many chips": {
        "chips": 300,
        "params": 30,
        "record": ALL,
        "diverged": {11: 5000, 12: 0},
        "status": "diverged",
        "probe_chips": np.arange(10, 20),
        "probe_steps": 3000,
    },
    "all diverged": {"chips": 6, "record": ALL, "diverged": dict.fromkeys(range(10, 16), 0)},
    "one row": {"chips": 64, "rows": 1, "record": ALL},
    "one row of one chip": {"chips": 1, "rows": 1, "record": ALL},
    "probes only": {"rows": 0, "record": (), "probe_chips": [10, 11], "probe_steps": 1},
    "cost only": {"chips": 8, "record": ("cost",), "rows": 2000},
    "accuracy of two": {"chips": 2, "record": ("accuracy",), "chance": None, "config": "not toml ["},
}
PANELS = {
    "one chip": 8,
    "three chips": 8,
    "many chips": 9,
    "all diverged": 7,
    "one row": 7,
    "one row of one chip": 6,
    "probes only": 2,
    "cost only": 2,
    "accuracy of two": 1,
}


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setitem(STYLE, "savefig.dpi", 50)  # quicker


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_trace_is_drawn(tmp_path, kind):
    path = tmp_path / "run.png"
    figure = plot_trace(make_trace(**KINDS[kind]), path)
    assert isinstance(figure, Figure)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(panels) == PANELS[kind]
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in panels)
    with Image.open(path) as picture:
        assert picture.size[0] >= 350
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20


@pytest.mark.parametrize("ending", [".pdf", ".svg"])
def test_other_formats_and_a_trace_by_its_path(tmp_path, ending):
    make_trace(tmp_path / "run.h5").close()
    plot_trace(tmp_path / "run.h5", tmp_path / f"run{ending}")
    assert (tmp_path / f"run{ending}").stat().st_size > 5000


def test_errors_are_one_line(tmp_path):
    trace = make_trace()
    with pytest.raises(ConfigError, match=r"must end in one of \.png, \.pdf, \.svg"):
        plot_trace(trace, tmp_path / "run.gif")
    with pytest.raises(ConfigError, match=r"cannot write the picture .*: No such file or directory"):
        plot_trace(trace, tmp_path / "none" / "run.png")
    with pytest.raises(TraceError, match="holds no rows yet: there is nothing to draw"):
        plot_trace(make_trace(rows=0), tmp_path / "run.png")


def test_the_median_line_is_the_median(tmp_path):
    trace = make_trace(chips=20, record=("cost",))
    figure = plot_trace(trace, tmp_path / "run.png")
    panel = next(ax for ax in figure.axes if ax.get_title(loc="left") == "Cost")
    line = next(line for line in panel.lines if line.get_label() == "median of the chips")
    np.testing.assert_allclose(line.get_ydata(), np.median(trace.cost.astype(float), axis=1))
    np.testing.assert_array_equal(line.get_xdata(), trace.step)


def test_quantiles_leave_out_what_is_not_finite():
    values = np.array([[1.0, 2.0, 3.0, np.nan], [np.inf, np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(quantiles(values, (0.5,)), [[2.0, np.nan]])


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 20.0], "log"),
        ([1.0, 2.0], "linear"),
        ([0.0, 9.0], "linear"),
        ([-1.0, 20.0], "linear"),
        ([0.0, 1.0, 99.0], "log"),
        ([np.nan], "linear"),
    ],
)
def test_a_wide_range_is_logarithmic(values, scale):
    ax = Figure().add_subplot()
    log_if_wide(ax, np.array(values))
    assert ax.get_yscale() == scale


def test_the_title_tells_what_it_is():
    trace = make_trace(chips=5, diverged={11: 200}, status="diverged")
    title, line = headline(trace)
    assert title == "parity  ·  2-2-1  ·  random MGD"
    assert line.startswith("5 chips   |   9\u2009800 steps   |   14.7 ms of hardware time")
    assert line.endswith("1 chip diverged   |   status: diverged")
    backprop = '[rule]\ntype = "backprop"\n[data]\nname = "my/set.npz"\n[device]\nname = "reram-es"'
    assert headline(make_trace(config=backprop))[0] == "set  ·  9 parameters  ·  backpropagation  ·  reram-es"
    assert headline(make_trace(config="[network]\nsizes = 3\n[rule]\n"))[0] == "trace  ·  9 parameters"


def test_a_live_trace_is_drawn(tmp_path):
    with open_writer(tmp_path / "run.h5", header(record=("cost",))) as writer:
        writer.append({"step": [0, 5], "time": [0, 1e-3], "cost": np.ones((2, 3))}, flush=True)
        plot_trace(tmp_path / "run.h5", tmp_path / "run.png")
    assert (tmp_path / "run.png").exists()


def test_numbers_have_si_prefixes():
    assert [eng(v) for v in (0, 1, 0.9996e-6, 2e4, 1e-30)] == ["0 ", "1 ", "1e+03 n", "20 k", "1e-15 f"]


def test_matplotlib_is_loaded_only_to_draw():
    code = "import sys, analogmgd.plot; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
