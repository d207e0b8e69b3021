"""The built-in data sets: values, fixed order and split, contact sheets, accuracy of linear classifiers."""

import hashlib
import importlib.util
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from analogmgd import datasets
from analogmgd.contact_sheet import contact_sheet, contact_sheet_text
from analogmgd.data import Dataset, list_datasets, load_dataset
from analogmgd.errors import DataError

NAMES = ("parity", "nist7x7", "digits")

# SHA-256 of the reference arrays of NIST7x7, in the order of seed 0: the bytes of x, uint8 (44136, 49) of 0
# and 1, C order, then those of the labels, uint8 (44136,) of 0 to 3.
NIST7X7_SHA256 = "3d5b4f190bc42152d4d4c742cc606c50e1add84883c32583fa28fe26f10e00c9"
FINGERPRINTS = {
    "parity": "6feff07341bbfa75e46f3df5897952af25fa73b2c21453c7f47d91ceddc502b5",
    "nist7x7": "130e15912ef93c178d514cba6b4c02c1313cc02a165e96cde4466ab8b1d192bf",
    "digits": "863249a344b20c344ed50848cf8401fc54148d186991505b414d260c219b6014",
}


def one_line(error):
    """The message of an error, which has to be one line of a readable length."""
    text = str(error.value)
    assert text
    assert "\n" not in text
    assert len(text) < 400
    return text


def everything(data):
    """Inputs and labels of both splits in their stored order."""
    return np.concatenate([data.x_train, data.x_test]), np.concatenate([data.labels("train"), data.labels("test")])


def linear_accuracy(data, rows=8000, iterations=60):
    """Test accuracy of a logistic regression on the first rows of the training set."""
    x, y = data.inputs("train")[:rows], data.targets("train")[:rows]
    x = np.hstack([x, np.ones((len(x), 1))])
    shape = x.shape[1], data.n_out

    def loss(flat):
        z = x @ flat.reshape(shape)
        z -= z.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        slope = x.T @ (np.exp(log_p) - y) / len(x) + 1e-5 * flat.reshape(shape)
        return -(y * log_p).sum() / len(x) + 0.5e-5 * flat @ flat, slope.ravel()

    w = minimize(loss, np.zeros(np.prod(shape)), jac=True, options={"maxiter": iterations}, method="L-BFGS-B").x
    test = np.hstack([data.inputs("test"), np.ones((len(data.x_test), 1))])
    return float(np.mean((test @ w.reshape(shape)).argmax(axis=1) == data.labels("test")))


@pytest.mark.parametrize("name", NAMES)
def test_arrays_never_change(name):
    assert load_dataset(name).fingerprint() == FINGERPRINTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_metadata_agrees_with_the_data(name):
    entry = {entry["name"]: entry for entry in list_datasets()}[name]
    data = load_dataset(name)
    described = data.describe()
    assert json.loads(json.dumps(described)) == described
    assert json.loads(json.dumps(entry)) == entry
    for key in ("sizes", "n_in", "n_out", "classes", "image_shape", "source", "licence"):
        assert described[key] == entry[key], key
    assert described["source"]
    assert described["licence"]
    assert described["range"] == [0.0, 1.0]
    for split, count in data.sizes.items():
        assert sum(described["class_counts"][split].values()) == count


def test_data_sets_are_shared_and_cannot_be_changed():
    data = load_dataset("parity")
    assert load_dataset("parity", bits=2) is data
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0, 0] = 5
    with pytest.raises(ValueError, match="read-only"):
        data.inputs("train")[0, 0] = 5
    with pytest.raises(AttributeError):
        data.x_train = None


def test_loading_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    datasets.nist7x7.load()
    datasets.digits.load()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_xor():
    data = load_dataset("parity")
    assert data.x_train.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.y_train.tolist() == [[0], [1], [1], [0]]
    assert data.test_is_train
    assert data.classes == ("even", "odd")
    assert (data.n_in, data.n_out) == (2, 1)


@pytest.mark.parametrize("bits", [2, 3, 7, 16])
def test_parity_has_all_patterns_in_counting_order(bits):
    data = load_dataset("parity", bits=bits)
    assert np.array_equal(data.x_train, np.array(list(product((0.0, 1.0), repeat=bits))))
    assert np.array_equal(data.y_train[:, 0], np.bitwise_xor.reduce(data.x_train.astype(int), axis=1))
    assert np.array_equal(data.labels(), data.y_train[:, 0])


@pytest.mark.parametrize("bits", [1, 17, 0, -2, 2.0, "2", True, None, [2]])
def test_parity_refuses_other_numbers_of_bits(bits):
    load_dataset("parity", bits=2)  # a cached neighbour must not answer for 2.0 or True
    with pytest.raises(DataError) as error:
        load_dataset("parity", bits=bits)
    assert f"bits of data set 'parity' is {bits!r}; allowed: a whole number from 2 to 16" in one_line(error)


def test_nist7x7_is_the_reference():
    x, labels = everything(load_dataset("nist7x7"))
    digest = hashlib.sha256(x.astype(np.uint8).tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    assert digest == NIST7X7_SHA256


def test_nist7x7_structure():
    data = load_dataset("nist7x7")
    assert data.sizes == {"train": 35309, "test": 8827}
    assert data.classes == ("N", "I", "S", "T")
    assert data.image_shape == (7, 7)
    x, labels = everything(data)
    assert x.shape == (44136, 49)
    assert np.array_equal(np.unique(x), [0, 1])
    assert np.bincount(labels).tolist() == [11034] * 4
    codes = x.astype(np.int64) @ (1 << np.arange(49))
    sets = [set(codes[labels == label].tolist()) for label in range(4)]
    assert [len(found) for found in sets] == [11034] * 4  # no image twice in one class
    common = {(a, b): len(sets[a] & sets[b]) for a in range(4) for b in range(a)}
    assert common == {(1, 0): 0, (2, 0): 0, (2, 1): 0, (3, 0): 0, (3, 1): 54, (3, 2): 0}


def test_digits_are_the_published_ones():
    data = load_dataset("digits")
    assert data.sizes == {"train": 1437, "test": 360}
    assert data.image_shape == (8, 8)
    x, labels = everything(data)
    assert np.array_equal(x * 16, np.round(x * 16))
    assert (x.min(), x.max()) == (0.0, 1.0)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    raw, raw_labels = datasets.digits.read()  # the first line of the file is a zero
    assert raw_labels[:10].tolist() == list(range(10))
    assert raw[0].reshape(8, 8)[0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    order = np.random.RandomState(0).permutation(1797)
    assert sorted(order) == list(range(1797))
    assert np.array_equal(x * 16, raw[order])
    assert np.array_equal(labels, raw_labels[order])


def test_digits_come_with_source_and_licence():
    note = Path(datasets.__file__).with_name("digits.md").read_text("utf-8")
    for text in ("CC BY 4.0", "10.24432/C50P49", "Alpaydin", "Kaynak", datasets.digits.SHA256):
        assert text in note
    file = Path(datasets.__file__).with_name("digits.csv.gz").read_bytes()
    assert hashlib.sha256(file).hexdigest() in note


@pytest.mark.parametrize("damage", ["shorten", "replace", "remove"])
def test_damaged_digits_file_is_noticed(damage, tmp_path, monkeypatch):
    whole = Path(datasets.__file__).with_name("digits.csv.gz").read_bytes()
    if damage != "remove":
        (tmp_path / "digits.csv.gz").write_bytes(whole[:-100] if damage == "shorten" else b"")
    monkeypatch.setattr(datasets.digits.resources, "files", lambda _: tmp_path)
    with pytest.raises(DataError) as error:
        datasets.digits.read()
    assert "digits.csv.gz" in one_line(error)
    assert "reinstall" in str(error.value)


@pytest.mark.parametrize("name", ["nist7x7", "digits"])
def test_splits_share_no_example(name):
    data = load_dataset(name)
    train = {(*row, label) for row, label in zip(data.x_train.tolist(), data.labels("train"), strict=True)}
    test = {(*row, label) for row, label in zip(data.x_test.tolist(), data.labels("test"), strict=True)}
    assert len(train) + len(test) == sum(data.sizes.values())
    assert not train & test


def test_a_linear_classifier_stops_below_93_percent_on_nist7x7():
    assert 0.88 < linear_accuracy(load_dataset("nist7x7")) < 0.945


def test_a_linear_classifier_reads_the_digits():
    assert linear_accuracy(load_dataset("digits")) > 0.93


@pytest.mark.parametrize(
    ("name", "options", "parts"),
    [
        (
            "digit",
            {},
            ["unknown data set 'digit'", "did you mean 'digits'?", "parity, nist7x7, digits", ".npz"],
        ),
        ("NIST7X7", {}, ["did you mean 'nist7x7'?"]),
        ("XOR", {}, ["parity with bits=2"]),
        ("", {}, ["unknown data set ''"]),
        ("data.csv", {}, ["unknown data set 'data.csv'", ".npz, .h5, .hdf5"]),
        (3, {}, ["data set is 3", "expected a name"]),
        ("parity", {"bit": 3}, ["no option 'bit'", "did you mean 'bits'?", "its options: bits"]),
        ("digits", {"bits": 3}, ["no option 'bits'", "its options: none"]),
    ],
)
def test_names_and_options_that_do_not_exist(name, options, parts):
    with pytest.raises(DataError) as error:
        load_dataset(name, **options)
    for part in parts:
        assert part in one_line(error)


def test_the_folder_cannot_be_imported_under_its_bare_name():
    spec = importlib.util.spec_from_file_location("datasets", datasets.__file__)
    with pytest.raises(ImportError, match=r"analogmgd\.datasets"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def sample_sets():
    """One data set for each way of drawing."""
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    return {
        "classes": load_dataset("digits"),
        "patterns": load_dataset("parity", bits=8),
        "colour": Dataset(colour, np.arange(20) % 4, classes=["a", "$b$", "nobody", "d"]),
        "numbers": Dataset(rng.random((70, 30)), rng.random((70, 2)), name="numbers $x"),
        "constant": Dataset(np.ones((3, 20)), [0, 1, 1]),
    }


@pytest.mark.parametrize("kind", ["classes", "patterns", "colour", "numbers", "constant"])
def test_contact_sheets_of_every_kind(kind, tmp_path):
    data = sample_sets()[kind]
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        contact_sheet(data, tmp_path / f"sheet{suffix}", per_class=3)
        first = (tmp_path / f"sheet{suffix}").read_bytes()
        assert first.startswith(start)
    assert len(list(tmp_path.iterdir())) == 3  # no temporary file is left
    text = contact_sheet_text(data, width=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    if kind != "patterns":
        assert any(block in text for block in "█▓░▀") == (kind != "constant")


def test_contact_sheet_text_of_nist7x7_shows_the_letters():
    lines = contact_sheet_text(load_dataset("nist7x7")).splitlines()
    assert lines[0].split() == ["N", "I", "S", "T"]
    assert lines[1].endswith("▀▀█▀▀")  # the bar of the T


@pytest.mark.parametrize("bad", [0, 101, 2.5, "3", True])
def test_contact_sheet_refuses_other_numbers_of_pictures(bad):
    with pytest.raises(DataError) as error:
        contact_sheet(load_dataset("parity"), per_class=bad)
    assert f"per_class is {bad!r}; allowed" in one_line(error)


def test_contact_sheet_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "sheet.png"
    path.write_bytes(b"old")

    def full(self, file, **_):
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(DataError) as error:
        contact_sheet(load_dataset("parity"), path)
    assert "No space left on device" in one_line(error)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["sheet.gif", "sheet", "missing/sheet.png"])
def test_contact_sheet_paths_that_cannot_be(name, tmp_path):
    with pytest.raises(DataError) as error:
        contact_sheet(load_dataset("parity"), tmp_path / name)
    assert name in one_line(error)
