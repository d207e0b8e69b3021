"""Downloads, from a server on this machine: resumed, checked, put in place in one go, or one line that says why not."""

import dataclasses
import functools
import http.server
import socket
import threading

import pytest
from cli_help import call, done, strict
from made_files import alone, archive, bless_cifar, bless_fashion, cifar, fashion, md5, write_fashion

import analogmgd as am
from analogmgd.datasets import cifar10, fashion_mnist, fetch
from analogmgd.datasets.info import Download
from analogmgd.errors import FetchError

DATA = bytes(range(256)) * 1200  # 300 kB


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; keeps the ranges asked for."""

    def do_GET(self):
        server = self.server
        name = self.path.rpartition("/")[2]
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if name not in server.files:
            self.send_error(404)
            return
        data, start = server.files[name], 0
        if wanted and server.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if server.lengths:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        most = server.cuts.pop(0) if server.cuts else len(data)
        self.wfile.write(data[start : start + most])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """A server that does what its attributes say; `cuts`: after how many bytes it hangs up, request by request."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.files, made.asked, made.cuts, made.ranges, made.lengths = {"a.bin": DATA}, [], [], True, True
        made.url = f"http://127.0.0.1:{made.server_port}/data"
        thread = threading.Thread(target=functools.partial(made.serve_forever, 0.01))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE", 0.0)


def item(server, data=DATA, name="a.bin"):
    return Download(name, f"{server.url}/{name}", len(data), md5(data))


def get(server, folder, data=DATA, progress=lambda *args: None):
    """Download one file; its path."""
    return fetch.download(item(server, data), folder, progress)


def failure(function, *args):
    """The one line of a download that fails."""
    with pytest.raises(FetchError) as error:
        function(*args)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 600
    return line


def test_download(server, tmp_path):
    seen = []
    path = get(server, tmp_path, progress=lambda *args: seen.append(args))
    assert path == tmp_path / "a.bin"
    assert path.read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert seen[0] == ("a.bin", 0, len(DATA))
    assert seen[-1] == ("a.bin", len(DATA), len(DATA))
    assert [n for _, n, _ in seen] == sorted(n for _, n, _ in seen)
    get(server, tmp_path)
    assert server.asked == [None]  # it is there


def test_a_lost_connection_is_taken_up_where_it_broke_off(server, tmp_path):
    server.cuts = [100_000, 50_000]
    assert get(server, tmp_path).read_bytes() == DATA
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_the_next_call_goes_on(server, tmp_path):
    server.cuts = [100_000, 0]
    line = failure(get, server, tmp_path)
    assert f"100000 of {len(DATA)} bytes are kept: the same command goes on from there" in line
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin.part"]
    assert get(server, tmp_path).read_bytes() == DATA
    assert server.asked[-1] == "bytes=100000-"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_ctrl_c_keeps_what_came(server, tmp_path):
    def stop(file, done, total):
        if done >= 2**17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, tmp_path, progress=stop)
    assert (tmp_path / "a.bin.part").read_bytes() == DATA[: 2**17]
    assert get(server, tmp_path).read_bytes() == DATA


def test_a_server_that_always_hangs_up(server, tmp_path):
    server.cuts = [10_000] * 20
    assert f"{fetch.TRIES * 10_000} of" in failure(get, server, tmp_path)
    assert len(server.asked) == fetch.TRIES


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(DATA[:1000])
    assert get(server, tmp_path).read_bytes() == DATA


def test_a_server_that_does_not_say_how_long(server, tmp_path):
    server.lengths = False
    assert get(server, tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("start", [b"of another file", b"x" * len(DATA), DATA + b"x"])
def test_a_start_that_does_not_belong(server, tmp_path, start):
    (tmp_path / "a.bin.part").write_bytes(start)
    assert get(server, tmp_path).read_bytes() == DATA


def test_all_had_come(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(DATA)
    assert get(server, tmp_path).read_bytes() == DATA
    assert server.asked == [f"bytes={len(DATA)}-"]


def test_another_file_is_not_kept(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"what was there")
    line = failure(get, server, tmp_path, DATA[:-1] + b"?")
    assert f"its MD5 is {md5(DATA)}" in line
    assert "nothing is kept of it" in line
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"what was there"


def test_a_damaged_file_is_replaced(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(DATA[:-1])
    assert get(server, tmp_path).read_bytes() == DATA


def test_a_file_without_end(server, tmp_path):
    assert "more than twice" in failure(get, server, tmp_path, DATA[:1000])


def test_not_found(server, tmp_path):
    server.files = {}
    line = failure(get, server, tmp_path)
    assert "(Not Found)" in line
    assert f"put a.bin into {tmp_path}"[:100] in line


def closed_port():
    """A port nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_no_network(tmp_path):
    nowhere = Download("a.bin", f"http://127.0.0.1:{closed_port()}/a.bin", 10, "")
    line = failure(fetch.download, nowhere, tmp_path, lambda *args: None)
    assert "(Connection refused); put a.bin into " in line
    assert "--data-dir" in line


def test_silence(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        silent = Download("a.bin", f"http://127.0.0.1:{deaf.getsockname()[1]}/a.bin", 10, "")
        assert "timed out" in failure(fetch.download, silent, tmp_path, lambda *args: None)


def test_no_room(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: fetch.shutil._ntuple_diskusage(1, 1, 0))
    assert "has no room" in failure(get, server, tmp_path)
    assert not server.asked


def test_one_at_a_time(tmp_path):
    info = cifar10.INFO
    with fetch.locked(tmp_path):
        assert "another process" in failure(fetch.fetch, info, tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    assert "file" in failure(fetch.fetch, cifar10.INFO, tmp_path / "file" / "folder")


# ---------------------------------------------------------------- the command


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """Both data sets on the server; the folder of the cache."""
    cache, _ = alone(monkeypatch, tmp_path)
    for path in write_fashion(tmp_path / "published"):
        server.files[path.name] = path.read_bytes()
    server.files["cifar-10-binary.tar.gz"] = archive()
    bless_fashion(monkeypatch)
    bless_cifar(monkeypatch)
    for module in (fashion_mnist, cifar10):
        items = tuple(item(server, server.files[d.file], d.file) for d in module.INFO.downloads)
        monkeypatch.setattr(module, "INFO", dataclasses.replace(module.INFO, downloads=items))
    return cache


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_fetch(published, server, name):
    result = call("datasets", "fetch", name)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{name} is in {published / name}\n"
    assert "100%" in result.stderr
    data = am.load_dataset(name)
    assert data.sizes["train"] == (len(fashion()[0]) if name == "fashion_mnist" else 5 * len(cifar()[0][0]))
    count = len(server.asked)
    assert "is here already" in done("datasets", "fetch", name)
    assert len(server.asked) == count


def test_fetch_replaces_what_is_damaged(published):
    strict(done("datasets", "fetch", "cifar10", "--json"))
    path = published / "cifar10" / "cifar-10-binary.tar.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(am.DataError):
        am.load_dataset("cifar10")
    result = strict(done("datasets", "fetch", "cifar10", "--json"))
    assert result == {"name": "cifar10", "files": [str(path)], "fetched": True}
    assert path.read_bytes() == whole


def test_fetch_into_a_folder(published, tmp_path):
    assert done("datasets", "fetch", "fashion_mnist", "--data-dir", tmp_path / "x") == (
        f"fashion_mnist is in {tmp_path / 'x'}\n"
    )
    assert am.load_dataset("fashion_mnist", data_dir=tmp_path / "x").n_in == 784
    assert not published.exists()


def test_fetch_fails(published, server):
    server.files["cifar-10-binary.tar.gz"] = b"a page that says who you are"
    result = call("datasets", "fetch", "cifar10")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("analogmgd: error: http://127.0.0.1")


def test_fetch_what_is_not_to_be_fetched(published):
    for name, says in (("parity", "there is nothing to fetch"), ("cifra10", "did you mean 'cifar10'?")):
        result = call("datasets", "fetch", name)
        assert result.exit_code == 2
        assert says in result.stderr
