"""The page of a report: what it says, that it needs nothing else, that texts are escaped, bad input, a real browser."""

import base64
import html
import os
import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser
from importlib import import_module

import h5py
import numpy as np
import pytest
from cli_help import call, done, refusal, strict
from test_sweep import SMALL, overlay, sweep_of
from trace_samples import CONFIG, header, learning, make_trace

import analogmgd as am
from analogmgd.report_page import Facts, Figure, Folded, Heading, Paragraph, Section, Table, page
from analogmgd.sweep_file import SweepFile
from analogmgd.sweep_statistics import spread
from analogmgd.trace import open_writer
from analogmgd.vary import Axis, grid

EMPTY = {"meta", "img", "br", "link", "hr", "input"}
LOADS = {"src", "srcset", "poster", "data", "action", "background", "formaction", "ping", "manifest"}


class Read(HTMLParser):
    """Texts, tags and attributes of a page; every tag that is opened is closed, in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.pictures, self.alts, self.links, self.ids = [], [], [], [], [], [], set()
        self.feed(text)
        self.close()
        assert not self.open
        assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(self.tags)
        assert {href[1:] for href in self.links} <= self.ids
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open += [] if tag in EMPTY else [tag]
        for name, value in attributes:
            assert not name.startswith("on")
            if name in LOADS:
                assert (tag, name) == ("img", "src")
                assert value.startswith("data:image/png;base64,")
                self.pictures.append(base64.b64decode(value.split(",", 1)[1], validate=True))
            if name == "href":
                assert value.startswith("#")
                self.links.append(value)
            self.alts += [value] if name == "alt" else []
            self.ids |= {value} if name == "id" else set()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            assert "url(" not in data
            assert "@import" not in data
        else:
            self.texts.append(data)


def read(path):
    """A page, each of whose pictures is a PNG with words that stand for it."""
    found = Read(path.read_text(encoding="utf-8"))
    assert len(found.alts) == len(found.pictures)
    assert all(len(alt) > 20 for alt in found.alts)
    for picture in found.pictures:
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", picture[16:24])) > 300
    return found


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A sweep with points that are done, failed and still to do."""
    path = str(tmp_path_factory.mktemp("sweep") / "sweep.h5")
    points = grid([Axis("rule.batch", (1, 10**12, 2)), Axis("rule.perturbation", ("random", "walsh"))])
    sweep_of(points, overlay(SMALL, {"run": {"steps": 500}})).run(path)
    with SweepFile(path, write=True) as file:
        file.file["points/state"][5] = 0
    return path


# ---------------------------------------------------------------- what it says


def test_a_trace(tmp_path):
    make_trace(tmp_path / "run.h5", chips=30).close()
    assert am.report(tmp_path / "run.h5", tmp_path / "r.html") == tmp_path / "r.html"
    found = read(tmp_path / "r.html")
    assert len(found.pictures) == 1
    assert "nav" not in found.tags
    for said in (
        "run.h5",
        "complete",
        "created",
        "python",
        "Configuration (TOML)",
        'perturbation = "random"',
        "30 of 30",
    ):
        assert said in found.text, said
    with am.Trace(tmp_path / "run.h5") as run:
        cost = spread(run.cost[-1].astype(float))
    assert f"{cost['median']:.4g} {cost['low']:.4g} to {cost['high']:.4g} {cost['q25']:.4g} to" in found.text
    assert [t for t in found.tags if t == "details"] == ["details"]


def test_traces_that_have_not_ended_well(tmp_path):
    """Interrupted, diverged, running, and running with nothing recorded yet."""
    make_trace(tmp_path / "interrupted.h5", status="interrupted").close()
    make_trace(tmp_path / "diverged.h5", status="diverged", diverged={10: 2000, 12: 0}).close()
    names = ["interrupted", "diverged", "running", "begun"]
    with (
        open_writer(tmp_path / "running.h5", header()) as running,
        open_writer(tmp_path / "begun.h5", header()) as begun,
    ):
        running.append(learning(header(), np.arange(5) * 100))
        am.report([tmp_path / f"{n}.h5" for n in names], tmp_path / "r.html", title="How runs end")
        begun.abort()
        running.abort()
    found = read(tmp_path / "r.html")
    assert found.links == ["#part-1", "#part-2", "#part-3", "#part-4"]
    assert "How runs end" in found.text
    assert "There are no rows yet" in found.text
    assert "chip step 10 2000 12 0" in found.text
    for word in ("trace, interrupted", "trace, diverged", "trace, running"):
        assert word in found.text


def test_a_sweep(sweep, tmp_path):
    path = tmp_path / "r.html"
    am.report(sweep, path)
    found = read(path)
    assert len(found.pictures) == 1
    assert "3 of 6 points done, 2 failed, 1 to do" in found.text
    assert "would need" in found.text
    assert "rule.batch: 1, 1000000000000, 2" in found.text
    with SweepFile(sweep) as file:
        cost = spread(file.values("final_cost")[4])
        targets = [str(t) for t in file.targets]
    assert f"{cost['median']:.4g} {cost['low']:.4g} to {cost['high']:.4g}" in found.text
    assert all(f"steps to {t}, median" in found.text for t in targets)
    assert "5 2 walsh to do" in found.text


def test_a_sweep_of_which_nothing_is_done(tmp_path):
    path = str(tmp_path / "s.h5")
    whole = sweep_of(grid([Axis("rule.eta", (0.1, 0.2))]))
    whole.open(path, 1).close()
    am.report(path, tmp_path / "r.html")
    found = read(tmp_path / "r.html")
    assert not found.pictures
    assert "No point is done yet" in found.text


def test_the_rows_of_a_long_table_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("analogmgd.report"), "ROWS", 3)
    path = str(tmp_path / "s.h5")
    sweep_of(grid([Axis("run.seed", tuple(range(5)))]), overlay(SMALL, {"run": {"steps": 20}})).run(path)
    am.report(path, tmp_path / "r.html")
    found = read(tmp_path / "r.html")
    assert found.tags.count("tr") == 1 + 3
    assert "the first 3 of 5 (`export` writes all)" in found.text


# ---------------------------------------------------------------- texts are only texts

EVIL = "</pre></style><script>alert('\"&')</script><img src=http://x.invalid/a.png onerror=b>"


def test_every_text_is_escaped(tmp_path):
    parts = [
        Paragraph(EVIL), Heading(EVIL), Facts([(EVIL, EVIL)]), Table([EVIL], [[EVIL]], EVIL), Folded(EVIL, EVIL),
        Figure(b"", f'" {EVIL}', EVIL),
    ]  # fmt: skip
    text = page(EVIL, EVIL, [Section(EVIL, EVIL, parts), Section("b")])
    found = Read(text)
    assert found.text.count("alert(") == 17
    assert EVIL not in text


def test_names_and_configurations_are_escaped(tmp_path):
    name = tmp_path / "<script>&\"'.h5"
    make_trace(name, config=CONFIG + f"# {EVIL}\n", environment={"cpu": EVIL}).close()
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.h5")
    shutil.copy(name, odd)
    am.report([name, odd], tmp_path / "r.html", title=EVIL)
    found = read(tmp_path / "r.html")
    assert "<script>&\"'.h5" in found.text
    assert EVIL in html.unescape((tmp_path / "r.html").read_text())


# ---------------------------------------------------------------- the command


def test_command(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_trace("run.h5").close()
    assert done("report", "run.h5", sweep).startswith("wrote report.html (")
    assert refusal("report", "run.h5").startswith("'report.html' exists: choose another path")
    told = strict(done("report", "run.h5", "-o", "report.html", "--force", "--title", "Mine", "--json"))
    assert told == {"page": "report.html", "bytes": os.path.getsize("report.html")}
    assert "<title>Mine</title>" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("absent.h5", "absent.h5"),
        ("run.h5 absent.h5", "absent.h5"),
        ("words.txt", "words.txt"),
        ("other.h5", "other.h5"),
        ("run.h5 -o no/r.html", "cannot write 'no/r.html': its directory does not exist"),
        ("run.h5 -o r.pdf", "the report 'r.pdf' must end in .html"),
        ("run.h5 -o d.html --force", "cannot write 'd.html': it is a directory"),
        ("run.h5 -o kept.html", "'kept.html' exists"),
        ("run.h5 -o run.h5 --force", "'run.h5' is a file that the report is made from"),
        ("absent.h5 -o kept.html --force", "absent.h5"),
    ],
)
def test_bad_input(words, said, tmp_path, monkeypatch):
    """Nothing is written, nothing is lost."""
    monkeypatch.chdir(tmp_path)
    make_trace("run.h5").close()
    (tmp_path / "words.txt").write_text("words")
    with h5py.File("other.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "d.html").mkdir()
    (tmp_path / "kept.html").write_text("kept")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert said in refusal("report", *words.split())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_nothing_given():
    result = call("report")
    assert result.exit_code == 2
    with pytest.raises(am.ConfigError, match="give one file or more"):
        am.report([], "r.html")


def test_a_disk_that_is_full_keeps_the_page_that_was_there(tmp_path, monkeypatch):
    make_trace(tmp_path / "run.h5").close()
    (tmp_path / "r.html").write_text("kept")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(am.ConfigError, match=r"cannot write .*No space left"):
        am.report(tmp_path / "run.h5", tmp_path / "r.html", force=True)
    assert (tmp_path / "r.html").read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "run.h5"]


# ---------------------------------------------------------------- a browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """<script>addEventListener('load', () => { document.title = 'seen ' + JSON.stringify({
  pictures: [...document.images].map(i => i.complete && i.naturalWidth > 0 && i.getBoundingClientRect().width > 100),
  page: document.documentElement.scrollWidth, window: innerWidth}) })</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("width", [1280, 500])  # Chromium has no narrower window
def test_in_a_browser(sweep, width, tmp_path):
    """No word on the console, every picture shown, nothing wider than the window."""
    make_trace(tmp_path / "run.h5", chips=20).close()
    path = tmp_path / "r.html"
    am.report([tmp_path / "run.h5", sweep], path)
    words = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--window-size={width},900",
    ]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    told = subprocess.run([*words, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in told.stderr
    assert Read(told.stdout).text == read(path).text
    # a copy that measures itself, so without the policy that would forbid it
    text = re.sub(r"<meta http-equiv.*?>", "", path.read_text()).replace("</body>", PROBE)
    probe = tmp_path / "probe.html"
    probe.write_text(text)
    told = subprocess.run([*words, probe.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    seen = strict(html.unescape(re.search(r"<title>seen (.*?)</title>", told.stdout)[1]))
    assert seen["pictures"] == [True, True]
    assert seen["page"] <= seen["window"]
