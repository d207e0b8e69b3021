"""Fashion-MNIST and CIFAR-10 from their files: what is read, where it is looked for, what is not trained on."""

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from cli_help import call, done, refusal, strict
from made_files import (
    PICKLES,
    TEST,
    TRAIN,
    alone,
    archive,
    binary,
    bless_cifar,
    bless_fashion,
    cifar,
    fashion,
    python2,
    write_cifar,
    write_fashion,
)

import analogmgd as am
from analogmgd.datasets import cifar10, fashion_mnist

UNOFFICIAL = "not the official files"


@pytest.fixture
def home(monkeypatch, tmp_path):
    """The cache and Debian's folder, both empty."""
    return alone(monkeypatch, tmp_path)


def load(name, **settings):
    """A data set whose files are not the official ones."""
    with pytest.warns(am.AnalogMGDWarning, match=UNOFFICIAL) as caught:
        data = am.load_dataset(name, **settings)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    return data


def warned(*args):
    """Run a command that has to succeed with the one line of such a warning; its standard output."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = call(*args)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("analogmgd: warning:")]
    assert len(lines) == 1
    assert UNOFFICIAL in lines[0]
    return result.stdout


def failure(name, **settings):
    """The one line of a data set that cannot be loaded."""
    with pytest.raises(am.DataError) as error:
        am.load_dataset(name, **settings)
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 600
    return line


def is_fashion(data, arrays):
    """Whether a data set is what the files hold."""
    for split, x, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
        assert np.array_equal(data.images(split), x[:, None])
        assert np.array_equal(data.labels(split), labels)
    return True


def is_cifar(data, batches):
    """Whether a data set is what the files hold: flat, all of a channel together."""
    assert np.array_equal(data.x_train, np.concatenate([x for _, x in batches[:5]]))
    assert np.array_equal(data.labels("train"), np.concatenate([y for y, _ in batches[:5]]))
    assert np.array_equal(data.x_test, batches[5][1])
    assert np.array_equal(data.labels("test"), batches[5][0])
    return True


# ---------------------------------------------------------------- what is read


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dot", [True, False])
def test_fashion_mnist(tmp_path, home, zipped, dot):
    write_fashion(tmp_path / "a", zipped=zipped, name=lambda part: part.replace("-idx", ".idx") if dot else part)
    data = load("fashion_mnist", data_dir=tmp_path / "a")
    assert is_fashion(data, fashion())
    assert data.sizes == {"train": TRAIN, "test": TEST}
    assert (data.x_train.dtype, data.image_shape, data.n_in, data.n_out) == (np.uint8, (1, 28, 28), 784, 10)
    assert data.classes[0] == "T-shirt/top"
    assert "NOT the official" in data.source
    assert np.array_equal(data.inputs("test", np.float32), fashion()[2].reshape(TEST, 784) / np.float32(255))
    assert np.array_equal(data.inputs("train", rows=slice(3)), data.inputs("train")[:3])


@pytest.mark.parametrize("layout", ["binary", *PICKLES])
@pytest.mark.parametrize("packed", [True, False])
def test_cifar10(tmp_path, home, layout, packed):
    write = PICKLES.get(layout, binary)
    if packed:
        name = "cifar-10-binary.tar.gz" if write is binary else "cifar-10-python.tar.gz"
        (tmp_path / name).write_bytes(archive(write=write))
    else:
        write_cifar(tmp_path / ("cifar-10-batches-bin" if write is binary else "cifar-10-batches-py"), write=write)
    data = load("cifar10", data_dir=tmp_path)
    assert is_cifar(data, cifar())
    assert (data.x_train.dtype, data.image_shape, data.n_in) == (np.uint8, (3, 32, 32), 3072)
    assert np.array_equal(data.images()[0, 1, 2], cifar()[0][1][0, 1024 + 64 : 1024 + 96])
    assert data.classes[9] == "truck"
    assert not data.x_train.flags.writeable


def test_the_made_pickle_of_python_2_is_one():
    labels, pixels = cifar()[0]
    content = pickle.loads(python2(labels, pixels), encoding="bytes")  # our own bytes
    assert content[b"labels"] == labels.tolist()
    assert np.array_equal(content[b"data"], pixels)


@pytest.mark.skipif(not Path(fashion_mnist.INFO.package_folder).is_dir(), reason="needs dataset-fashion-mnist")
def test_debian_has_the_official_fashion_mnist(monkeypatch):
    monkeypatch.delenv("ANALOGMGD_DATA", raising=False)
    data = am.load_dataset("fashion_mnist")
    assert data.labels()[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert np.bincount(data.labels()).tolist() == [6000] * 10
    assert data.fingerprint() == "994c69007ec3e101f0044caa76d1f1d838fe21f319c1adcaaffa10987ffd229e"


def test_images_are_not_copied_into_the_data_set(tmp_path, home, monkeypatch):
    write_cifar(tmp_path)
    seen = {}
    before = cifar10.load
    monkeypatch.setattr(cifar10, "load", lambda files: seen.setdefault("got", before(files)))
    data = load("cifar10", data_dir=tmp_path)
    assert data.x_train is seen["got"][0]["x_train"]


# ---------------------------------------------------------------- where it is looked for


def test_order_of_places(tmp_path, home, monkeypatch):
    cache, debian = home
    sets = {name: fashion(seed) for seed, name in enumerate(("dir", "variable", "debian", "cache"))}
    write_fashion(cache / "fashion_mnist", sets["cache"])
    bless_fashion(monkeypatch, sets["cache"])
    assert is_fashion(am.load_dataset("fashion_mnist"), sets["cache"])
    write_fashion(debian, sets["debian"])
    bless_fashion(monkeypatch, sets["debian"])
    assert is_fashion(am.load_dataset("fashion_mnist"), sets["debian"])
    monkeypatch.setenv("ANALOGMGD_DATA", str(tmp_path / "v"))
    assert "ANALOGMGD_DATA is" in failure("fashion_mnist")
    (tmp_path / "v").mkdir()
    assert is_fashion(am.load_dataset("fashion_mnist"), sets["debian"])  # a folder of other data sets
    write_fashion(tmp_path / "v" / "fashion-mnist", sets["variable"])
    assert is_fashion(load("fashion_mnist"), sets["variable"])
    write_fashion(tmp_path / "d" / "FashionMNIST" / "raw", sets["dir"], zipped=False)
    assert is_fashion(load("fashion_mnist", data_dir=str(tmp_path / "d")), sets["dir"])


def test_data_dir_is_the_only_place(tmp_path, home, monkeypatch):
    write_fashion(home[0] / "fashion_mnist")
    bless_fashion(monkeypatch)
    (tmp_path / "empty").mkdir()
    line = failure("fashion_mnist", data_dir=tmp_path / "empty")
    assert "put there: train-images-idx3-ubyte.gz, " in line
    assert "no such folder" in failure("fashion_mnist", data_dir=tmp_path / "none")
    assert "expected the path of a folder" in failure("fashion_mnist", data_dir=7)
    assert "expected the path of a folder" in failure("fashion_mnist", data_dir="")


def test_nothing_found_says_what_to_do(home):
    line = failure("cifar10")
    for text in ("`analogmgd datasets fetch cifar10`", "cifar-10-binary.tar.gz", str(home[0])[:40], "--data-dir"):
        assert text in line
    assert "dataset-fashion-mnist" in failure("fashion_mnist")


def test_parts_of_a_set(tmp_path, home):
    paths = write_fashion(tmp_path)
    paths[1].unlink()
    assert "but not train-labels-idx1-ubyte.gz" in failure("fashion_mnist", data_dir=tmp_path)
    paths = write_cifar(tmp_path / "cifar10" / "cifar-10-batches-bin")
    paths[3].unlink()
    assert "but not data_batch_4.bin" in failure("cifar10", data_dir=tmp_path)
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(archive())  # unpacking broke off, say
    assert is_cifar(load("cifar10", data_dir=tmp_path), cifar())


@pytest.mark.parametrize("name", ["parity", "nist7x7", "mine.npz"])
def test_data_dir_is_for_published_sets(tmp_path, name):
    assert "takes no data_dir" in failure(name, data_dir=tmp_path)


def test_other_options_are_refused(tmp_path, home):
    assert "no option 'bits'" in failure("fashion_mnist", bits=2)


def test_files_are_read_once_until_they_change(tmp_path, home):
    paths = write_fashion(tmp_path)
    data = load("fashion_mnist", data_dir=tmp_path)
    assert load("fashion_mnist", data_dir=tmp_path) is data
    write_fashion(tmp_path, fashion(1))
    os.utime(paths[0], ns=(1, 1))
    assert is_fashion(load("fashion_mnist", data_dir=tmp_path), fashion(1))


# ---------------------------------------------------------------- checksums


def test_official_files_need_no_word(tmp_path, home, monkeypatch):
    write_cifar(tmp_path)
    bless_cifar(monkeypatch)
    data = am.load_dataset("cifar10", data_dir=tmp_path)
    assert is_cifar(data, cifar())
    assert data.source == cifar10.INFO.source


def test_one_file_that_differs_is_damaged(tmp_path, home, monkeypatch):
    write_fashion(tmp_path / "f", [*fashion()[:3], fashion(1)[3]])
    bless_fashion(monkeypatch)
    line = failure("fashion_mnist", data_dir=tmp_path / "f")
    assert "t10k-labels-idx1-ubyte.gz is damaged, its checksum" in line
    batches = cifar()
    batches[2] = cifar(1)[2]
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive(batches))
    bless_cifar(monkeypatch)
    assert "data_batch_3.bin is damaged, its checksum" in failure("cifar10", data_dir=tmp_path)


def test_the_cache_and_debian_hold_official_files_only(tmp_path, home):
    cache, debian = home
    write_fashion(cache / "fashion_mnist")
    assert "`analogmgd datasets fetch fashion_mnist` gets it again" in failure("fashion_mnist")
    (cache / "fashion_mnist" / "t10k-labels-idx1-ubyte.gz").unlink()  # of a download that broke off
    assert "fetch fashion_mnist` gets it again" in failure("fashion_mnist")
    write_fashion(debian)
    assert "reinstall dataset-fashion-mnist" in failure("fashion_mnist")
    assert is_fashion(load("fashion_mnist", data_dir=debian), fashion())


# ---------------------------------------------------------------- command line


def test_train_keeps_no_data_dir(tmp_path, home, monkeypatch):
    """The same configuration and the same bits, whatever the layout and wherever it lies."""
    monkeypatch.chdir(tmp_path)
    write_cifar(Path("a"))
    write_cifar(Path("b", "cifar-10-batches-py"), write=python2)
    options = ["--network", "3072-2-10", "--steps", "20", "--chips", "2", "--no-trace", "--json"]
    first = warned("train", "cifar10", "--data-dir", "a", *options)
    Path("b", "run.toml").write_text("[data]\nname = 'cifar10'\ndata_dir = 'cifar-10-batches-py'")
    second = warned("train", "b/run.toml", *options)
    monkeypatch.setenv("ANALOGMGD_DATA", "b")
    third = warned("train", "cifar10", *options)
    first, second, third = map(strict, (first, second, third))
    assert first["config"]["data"] == {"name": "cifar10"}
    assert first["config"] == second["config"] == third["config"]
    for key in ("final_cost", "final_accuracy"):
        assert first["summary"][key] == second["summary"][key] == third["summary"][key]


def test_wrong_data_dir(tmp_path, home):
    assert "no such folder" in refusal("train", "cifar10", "--data-dir", tmp_path / "none")
    assert "has no files of cifar10" in refusal("train", "cifar10", "--data-dir", tmp_path)
    assert "takes no data_dir" in refusal("train", "parity", "--data-dir", tmp_path)
    assert "`analogmgd datasets fetch cifar10`" in refusal("train", "cifar10")
    assert "expected the path" in refusal("train", "cifar10", "--set", "data.data_dir=7")


def test_list_says_where_or_how(tmp_path, home, monkeypatch):
    text = done("datasets", "list")
    assert "fashion_mnist  not here; analogmgd datasets fetch fashion_mnist gets it (30.9 MB)" in text
    monkeypatch.setenv("ANALOGMGD_DATA", str(tmp_path))
    write_cifar(tmp_path)
    assert f"cifar10        in {tmp_path} (ANALOGMGD_DATA)" in done("datasets", "list")
    entries = {d["name"]: d["files"] for d in strict(done("datasets", "list", "--json"))["datasets"]}
    assert entries["parity"] is None
    assert entries["cifar10"]["folder"] == str(tmp_path)
    assert entries["cifar10"]["download_bytes"] == 170_052_171
    assert entries["fashion_mnist"]["folder"] is None
    (tmp_path / "test_batch.bin").unlink()
    assert "but not test_batch.bin" in done("datasets", "list")


def test_show(tmp_path, home):
    text = done("datasets", "show", "cifar10")
    assert "not here; analogmgd datasets fetch cifar10 gets it (170 MB)" in text
    assert "airplane, automobile" in text
    about = strict(done("datasets", "show", "cifar10", "--json"))
    assert about["fingerprint"] is None
    assert about["image_shape"] == [3, 32, 32]
    assert "is not here" in refusal("datasets", "show", "cifar10", "-o", tmp_path / "a.png")
    assert "no files of cifar10" in refusal("datasets", "show", "cifar10", "--data-dir", tmp_path)
    write_fashion(tmp_path)
    text = warned("datasets", "show", "fashion_mnist", "--data-dir", tmp_path, "-o", tmp_path / "a.png")
    assert f"in {tmp_path} (data_dir)" in text
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
