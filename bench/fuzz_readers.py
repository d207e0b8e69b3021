"""Coverage-guided fuzzing of everything that reads a file or a text of the user's. Needs `pip install atheris`.

    python bench/fuzz_readers.py [--seconds 600] [--only TARGET ..]

Every target gets its share of the time in a process of its own. A reader may return or raise AnalogMGDError of one
line; any other exception, a crash, more than MEMORY megabytes or more than TIMEOUT seconds for one input is a finding,
and the input is kept in --inputs. Inputs in bench/fuzz_inputs/TARGET, found before, are tried first.
Writes fuzz_readers.json: executions, coverage and findings of each target.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import importlib.metadata
import importlib.util
import io
import pickle
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KNOWN = HERE / "fuzz_inputs"
MEMORY, TIMEOUT = 3072, 60
WATCHED = [  # modules whose branches guide the search; not the kernels, which are compiled
    "analogmgd.chip", "analogmgd.config", "analogmgd.data", "analogmgd.datasets", "analogmgd.device_data",
    "analogmgd.device_needs", "analogmgd.device_toml", "analogmgd.devices", "analogmgd.faults", "analogmgd.layers",
    "analogmgd.network", "analogmgd.rule", "analogmgd.settings", "analogmgd.text_file", "analogmgd.vary",
    "analogmgd.wires", "analogmgd.cli", "tomllib",
]  # fmt: skip
TOML = b"""
[network]
sizes = [2, 3, 1]
[device]
name = "ecram"
w_max = 1.5
[wires]
row = 1.0
tile = [4, 4]
g_unit = 1e-4
[converters]
adc_bits = 8
[faults]
stuck = [[0, "plus", 0.5]]
[chip]
step_time = "mem-compute"
[rule]
eta = 0.1
band = [0.1, 0.2]
[data]
name = "parity"
[run]
chips = [3, 1]
record = ["cost"]
[sweep]
zip = false
targets = [0.9]
[sweep.vary]
"rule.eta" = [0.1, 0.2]
run.seed = "1..3:3"
"""


def configuration(data: bytes, folder: Path) -> None:
    """A TOML file as `train` takes it, up to the whole configuration."""
    from analogmgd.cli.resolve import resolve

    with no_files():
        resolve(written(folder / "run.toml", data), {})


def device_file(data: bytes, folder: Path) -> None:
    """`--device FILE.toml`."""
    from analogmgd.device_toml import read_device_table
    from analogmgd.devices import device

    table = read_device_table(written(folder / "device.toml", data))
    device(table.pop("name", "ideal"), **table)


def sweep_table(data: bytes, folder: Path) -> None:
    """The table [sweep] of a TOML file."""
    from analogmgd.cli.resolve import read_source
    from analogmgd.cli.sweep import check_keys, points_of, targets_of

    tables, _ = read_source(written(folder / "sweep.toml", data), sweeps=True)
    found = tables.get("sweep", {})
    if isinstance(found, dict):
        points = points_of(found, (), False)
        check_keys([axis.key for axis in points.axes], {})
        len(points), points[0]

    class Source:
        sweep = found if isinstance(found, dict) else {}

    if Source.sweep.get("targets") is not None:
        targets_of(Source, {}, ())


def vary(data: bytes, folder: Path) -> None:
    """`--vary KEY=VALUES`."""
    from analogmgd.vary import Axis, grid

    points = grid([Axis.read(data.decode("utf-8", "replace"))])
    len(points), points[0]


def word(data: bytes, folder: Path) -> None:
    """`--set KEY=VALUE`, `--network`, `--chips`, `--target`."""
    from analogmgd.cli.options import overrides
    from analogmgd.sweep_point import Target

    text = data.decode("utf-8", "replace")
    for attempt in (
        lambda: overrides({}, [text]), lambda: Target.read(text), lambda: overrides({"set_network": text}, []),
        lambda: overrides({"set_chips": text, "set_probe_chips": text, "set_eta": text}, [], [text]),
    ):  # fmt: skip
        with allowed():
            attempt()


def pulses(data: bytes, folder: Path) -> None:
    """The CSV file of `devices fit`."""
    from analogmgd.device_data import read_pulses

    read_pulses(written(folder / "pulses.csv", data))


def npz(data: bytes, folder: Path) -> None:
    """A data set in a .npz file."""
    from analogmgd.data import load_dataset

    load_dataset(written(folder / "data.npz", data))


def hdf5(data: bytes, folder: Path) -> None:
    """A data set in a .h5 file."""
    from analogmgd.data import load_dataset

    load_dataset(written(folder / "data.h5", data))


def idx(data: bytes, folder: Path) -> None:
    """A file of Fashion-MNIST."""
    from analogmgd.datasets.idx import read_idx

    read_idx(Path(written(folder / "images", data)), (2, 2), "images")


def cifar_pickle(data: bytes, folder: Path) -> None:
    """A batch of CIFAR-10's python layout."""
    from analogmgd.datasets.cifar_pickle import read_batch

    read_batch("batch", data, 4)


def cifar_archive(data: bytes, folder: Path) -> None:
    """CIFAR-10's archive, before gzip: what gzip gives is what is fuzzed."""
    from analogmgd.datasets.cifar10 import from_archive

    path = Path(written(folder / "cifar.tar.gz", gzip.compress(data, 1)))
    list(from_archive(path))


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    one.__name__: one
    for one in (
        configuration,
        device_file,
        sweep_table,
        vary,
        word,
        pulses,
        npz,
        hdf5,
        idx,
        cifar_pickle,
        cifar_archive,
    )
}


def written(path: Path, data: bytes) -> str:
    """Put a file there."""
    path.write_bytes(data)
    return str(path)


@contextlib.contextmanager
def no_files() -> Any:
    """Only the data sets inside the package: what else a name may lead to is another target."""
    from analogmgd.cli import resolve
    from analogmgd.data import load_dataset
    from analogmgd.errors import DataError

    def inside(name: Any = None, **options: Any) -> Any:
        if name not in ("parity", "nist7x7", "digits"):
            raise DataError("not here")
        return load_dataset(name, **options)

    resolve.load_dataset, before = inside, resolve.load_dataset
    try:
        yield
    finally:
        resolve.load_dataset = before


@contextlib.contextmanager
def allowed() -> Any:
    """AnalogMGDError of one line is what a reader may raise; how the program would show it has to be one, too."""
    from analogmgd.cli.group import LONGEST, explain
    from analogmgd.errors import AnalogMGDError

    try:
        yield
    except AnalogMGDError as error:
        line = explain(error)[1]
        assert line, "an empty line"
        assert "\n" not in line, "more than a line"
        assert len(line) <= LONGEST, "a long line"


def attempt(name: str, data: bytes, folder: Path) -> None:
    """Give an input to a target; AssertionError or any other exception is a finding."""
    with allowed():
        TARGETS[name](data, folder)


def seeds(name: str) -> list[bytes]:
    """Sound inputs to begin with."""
    rows = b"".join(b"%d,%g\n" % (n, n / 10) for n in [*range(12), *range(1, 12)])
    if name in ("configuration", "sweep_table"):
        return [TOML, TOML.split(b"[sweep]")[0]]
    if name == "device_file":
        return [b'[device]\nname = "pcm"\ndw_min = 0.01\n', b"[device]\nprogramming_noise = [0.1, 0.2]\n", TOML]
    if name in ("vary", "word"):
        return [b"rule.eta=0.1,0.2", b"rule.eta=1e-3..1:log:3", b"network.sizes=[2,2,1],[2,3,1]", b"2-3-1", b"cost=0.1"]
    if name == "pulses":
        return [
            b"pulse,conductance\n" + rows,
            b"# x\npulse;conductance;direction\n1;2;up\n",
            b"pulse\tconductance\n1\t2\n",
        ]
    if name == "npz":
        return [zipped({"x_train": np.eye(3), "y_train": np.arange(3)})]
    if name == "hdf5":
        return [hdf5_file()]
    if name == "idx":
        plain = bytes((0, 0, 8, 3)) + struct.pack(">3I", 2, 2, 2) + bytes(8)
        return [plain, gzip.compress(plain)]
    if name == "cifar_pickle":
        content = {b"labels": [1, 2], b"data": np.zeros((2, 4), np.uint8)}
        return [pickle.dumps(content, protocol=p) for p in (2, 4)]
    return [archive()]


def zipped(arrays: dict[str, Any]) -> bytes:
    """A .npz file."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def hdf5_file() -> bytes:
    """A .h5 file of a data set."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["x_train"], file["y_train"] = np.eye(3), np.arange(3)
        file.attrs["classes"] = ["a", "b", "c"]
    return stream.getvalue()


def archive() -> bytes:
    """A .tar file with the names of CIFAR-10."""
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = 5
            file.addfile(info, io.BytesIO(b"12345"))
    return stream.getvalue()


def child(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, for ever or as libFuzzer's arguments say."""
    import atheris

    with atheris.instrument_imports(include=WATCHED):
        import analogmgd
        import analogmgd.cli.resolve
        import analogmgd.cli.sweep
        import analogmgd.device_data  # noqa: F401
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    sys.setrecursionlimit(1000)
    atheris.Setup([sys.argv[0], *arguments], lambda data: attempt(name, data, folder))
    atheris.Fuzz()


def fuzzed(name: str, seconds: int, inputs: Path) -> dict[str, Any]:
    """Fuzz one target for so long: executions, coverage, findings."""
    with tempfile.TemporaryDirectory() as corpus:
        for k, data in enumerate(seeds(name)):
            (Path(corpus) / f"seed{k}").write_bytes(data)
        places = [corpus, str(KNOWN / name)] if (KNOWN / name).is_dir() else [corpus]
        inputs.mkdir(parents=True, exist_ok=True)
        words = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY}", f"-timeout={TIMEOUT}", "-max_len=8192",
                 f"-artifact_prefix={inputs}/{name}-", "-print_final_stats=1"]  # fmt: skip
        began = time.monotonic()
        command = [sys.executable, __file__, "--child", name, *words, *places]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    done = re.search(r"number_of_executed_units:\s*(\d+)", result.stderr)
    covered = re.findall(r"cov: (\d+)", result.stderr)
    found = {
        "seconds": round(time.monotonic() - began),
        "executions": int(done[1]) if done else 0,
        "coverage": int(covered[-1]) if covered else 0,
    }
    if result.returncode:
        said = [
            line for line in result.stderr.splitlines() if "Error" in line or "SUMMARY" in line or "Exception" in line
        ]
        files = sorted(inputs.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime)
        data = base64.b64encode(files[-1].read_bytes()[:3000]).decode() if files else ""
        found["finding"] = {"said": said[:5] or result.stderr[-500:], "input_base64": data}
    return found


def main() -> int:
    """Fuzz every target, say and save what was found."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, help="in total")
    parser.add_argument("--only", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--inputs", type=Path, default=Path("fuzz-findings"), help="folder for what is found")
    parser.add_argument("--save", default="fuzz_readers", help="name of the file of results; empty: none")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("this program needs atheris: pip install atheris", file=sys.stderr)
        return 2
    from common import machine, save

    found = {}
    for name in options.only:
        found[name] = fuzzed(name, max(1, options.seconds // len(options.only)), options.inputs)
        print(name, found[name], flush=True)
    findings = sum("finding" in one for one in found.values())
    total = sum(one["executions"] for one in found.values())
    print(f"{total} executions, {findings} findings")
    if options.save:
        about = {"machine": machine(1), "executions": total, "findings": findings, "targets": found}
        save(options.save, {"atheris": importlib.metadata.version("atheris"), **about})
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
