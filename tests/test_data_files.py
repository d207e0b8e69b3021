"""A user's own data: arrays that are fine, arrays that are not, files whole and damaged."""

import dataclasses
import io
import json
import pickle
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analogmgd import limits
from analogmgd.data import Dataset, load_dataset
from analogmgd.errors import ConfigError, DataError

X = np.arange(12.0).reshape(4, 3) / 12
Y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])


def one_line(error):
    """The message of an error, which has to be one line of a readable length."""
    text = str(error.value if hasattr(error, "value") else error)
    assert text
    assert "\n" not in text
    assert len(text) < 500
    return text


def with_value(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


# ---------------------------------------------------------------- arrays that are fine


def test_own_arrays_are_copied_and_kept_as_they_are():
    x = X.astype(np.float32)
    data = Dataset(x, Y)
    x[0, 0] = 9
    assert data.x_train[0, 0] == 0
    assert data.x_train.dtype == np.float32
    assert data.y_train.dtype == np.float64
    assert data.x_test is data.x_train
    assert data.test_is_train
    assert data.sizes == {"train": 4, "test": 4}
    assert data.classes == ("0", "1")
    assert data.labels().tolist() == [0, 1, 0, 1]
    assert repr(data) == "Dataset('custom', 4 train, 4 test, 3 -> 2, classes 0 1)"


def test_read_only_views_of_writeable_arrays_are_copied_too():
    base = X.copy()
    view = base[:]
    view.flags.writeable = False
    data = Dataset(view, Y)
    base[0, 0] = 9
    assert data.x_train[0, 0] == 0


def test_arrays_of_another_data_set_are_shared():
    data = Dataset(X, Y)
    assert Dataset(data.x_train, data.y_train).x_train is data.x_train


@pytest.mark.parametrize("y", [Y, Y + 0.5])
def test_copies_with_changes_and_pickles_are_equal(y):
    for data in (Dataset(X, y), Dataset(X, y, X[:2], y[:2])):
        for other in (dataclasses.replace(data, name="other"), pickle.loads(pickle.dumps(data))):
            assert other.fingerprint() == data.fingerprint()
            assert other.describe() | {"name": ""} == data.describe() | {"name": ""}


@pytest.mark.parametrize(
    ("given_dtype", "kept"),
    [("f2", "f4"), ("f4", "f4"), (">f8", "f8"), ("i8", "f8"), ("?", "f8"), ("u2", "f8"), ("g", "f8")],
)
def test_types_of_features(given_dtype, kept):
    data = Dataset(np.array([[0, 1], [1, 1]], dtype=given_dtype), [0.5, 1.5])
    assert data.x_train.dtype == np.dtype(kept)
    assert data.x_train.tolist() == [[0, 1], [1, 1]]
    assert data.x_train.flags.c_contiguous


def test_images_stay_bytes_until_they_are_inputs():
    x = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    data = Dataset(x, [0, 1])
    assert data.x_train.dtype == np.uint8
    assert data.image_shape == (3, 4, 5)
    assert data.n_in == 60
    assert np.array_equal(data.images("test"), x)
    for dtype in (np.float32, np.float64):
        inputs = data.inputs("train", dtype)
        assert inputs.dtype == dtype
        assert inputs.shape == (2, 60)
        assert np.array_equal(inputs, x.reshape(2, 60) / dtype(255))


def test_bytes_of_zero_and_one_are_bits_not_images():
    data = Dataset(np.eye(3, dtype=np.uint8), [1, 2, 3.5])
    assert np.array_equal(data.inputs(), np.eye(3))


def test_fortran_order_makes_no_difference():
    assert Dataset(np.asfortranarray(X), Y).fingerprint() == Dataset(X, Y).fingerprint()


@pytest.mark.parametrize(
    ("y", "classes", "expected", "names"),
    [
        ([0, 1, 1, 0], None, [[0], [1], [1], [0]], ("0", "1")),
        ([-1, 1, 1, -1], None, [[-1], [1], [1], [-1]], ()),
        ([0.0, 1.0, 2.0, 0.5], None, [[0], [1], [2], [0.5]], ()),
        ([True, False, True, True], None, [[1], [0], [1], [1]], ("0", "1")),
        ([True, False, True, True], ["no", "yes"], [[1], [0], [1], [1]], ("no", "yes")),
        ([0, 1, 1, 0], ["no", "yes"], [[1, 0], [0, 1], [0, 1], [1, 0]], ("no", "yes")),
        ([2, 0, 1, 1], None, [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]], ("0", "1", "2")),
        (np.array([1, 0, 0, 0], np.uint64), "ab", None, None),
        ([0, 0, 1, 0], ("a", "b", "c"), [[1, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]], ("a", "b", "c")),
        ([0, 0, 1, 0], [7, 9], [[1, 0], [1, 0], [0, 1], [1, 0]], ("7", "9")),
        (Y, ["a", "b"], Y.tolist(), ("a", "b")),
        (Y + 0.5, None, (Y + 0.5).tolist(), ()),
        (Y.astype(np.uint8), None, Y.tolist(), ("0", "1")),
    ],
)
def test_targets_and_classes(y, classes, expected, names):
    if expected is None:  # a bare text is not a list of names
        with pytest.raises(DataError, match="expected a sequence of names"):
            Dataset(X, y, classes=classes)
        return
    data = Dataset(X, y, classes=classes)
    assert data.y_train.tolist() == expected
    assert data.classes == names
    json.dumps(data.describe())


def test_labels_of_both_splits_decide_together():
    data = Dataset(X, [0, 1, 0, 1], X, [2, 2, 0, 1])
    assert data.n_out == 3
    assert data.describe()["class_counts"] == {
        "train": {"0": 2, "1": 2, "2": 0},
        "test": {"0": 1, "1": 1, "2": 2},
    }


def test_fingerprint_sees_every_array_and_its_type():
    base = Dataset(X, Y, X, Y).fingerprint()
    others = [
        Dataset(with_value(X, (3, 2), 7), Y, X, Y),
        Dataset(X, with_value(Y, (3, 1), 7), X, Y),
        Dataset(X, Y, with_value(X, (3, 2), 7), Y),
        Dataset(X, Y, X, with_value(Y, (0, 0), 7)),
        Dataset(X.astype(np.float32), Y, X.astype(np.float32), Y),
    ]
    assert len({base, *(data.fingerprint() for data in others)}) == 6
    assert Dataset(X, Y, name="other").fingerprint() == base


# ---------------------------------------------------------------- arrays that are not

BAD = {
    "nan": (lambda: Dataset(with_value(X, (2, 1), np.nan), Y), ["x_train[2, 1] is nan", "finite"]),
    "infinite": (lambda: Dataset(X, Y, X, with_value(Y, (0, 1), -np.inf)), ["y_test[0, 1] is -inf"]),
    "beyond single": (lambda: Dataset(with_value(X, (0, 0), 1e39), Y), ["x_train[0, 0] is 1e+39", "3.4e38"]),
    "rows": (lambda: Dataset(X, Y[:3]), ["x_train has 4 rows, y_train 3"]),
    "rows of test": (lambda: Dataset(X, Y, X[:1], Y), ["x_test has 1 row, y_test 4"]),
    "no rows": (lambda: Dataset(X[:0], Y[:0]), ["x_train has shape (0, 3)", "at least one row"]),
    "no columns": (lambda: Dataset(X[:, :0], Y), ["x_train has shape (4, 0)"]),
    "widths": (lambda: Dataset(X, Y, X[:, :2], Y), ["x_test has rows of shape (2,), x_train of (3,)"]),
    "target widths": (lambda: Dataset(X, Y, X, Y[:, :1]), ["y_test has 1 column, y_train 2"]),
    "one dimension": (lambda: Dataset(X[0], Y), ["x_train has shape (3,)", "expected (n, n_in)"]),
    "five dimensions": (lambda: Dataset(X.reshape(4, 1, 1, 1, 3), Y), ["x_train has shape (4, 1, 1, 1, 3)"]),
    "targets 3-D": (lambda: Dataset(X, Y[:, :, None]), ["y_train has shape (4, 2, 1)"]),
    "channels last": (lambda: Dataset(np.zeros((4, 8, 8, 3)), Y), ["channels last", "moveaxis"]),
    "text": (lambda: Dataset(X.astype(str), Y), ["x_train has dtype <U", "allowed: floats, integers, bool"]),
    "objects": (lambda: Dataset(X, Y.astype(object)), ["y_train has dtype object"]),
    "complex": (lambda: Dataset(X + 1j, Y), ["x_train has dtype complex128"]),
    "dates": (lambda: Dataset(np.zeros((4, 3), "M8[s]"), Y), ["x_train has dtype datetime64[s]"]),
    "records": (lambda: Dataset(np.zeros((4, 1), "i4,f8"), Y), ["x_train has dtype"]),
    "ragged": (lambda: Dataset([[1, 2], [3]], [0, 1]), ["x_train is not an array", "differ in length"]),
    "masked": (lambda: Dataset(np.ma.masked_less(X, 0.2), Y), ["x_train is a masked array"]),
    "none": (lambda: Dataset(None, Y), ["x_train has dtype object"]),
    "none but test": (lambda: Dataset(None, Y, X, Y), ["x_train has dtype object"]),
    "number": (lambda: Dataset(3.0, Y), ["x_train is a single number"]),
    "half a test set": (lambda: Dataset(X, Y, X), ["x_test is given without y_test"]),
    "other half": (lambda: Dataset(X, Y, None, Y), ["y_test is given without x_test"]),
    "mixed types": (lambda: Dataset(X, Y, (X * 255).astype(np.uint8), Y), ["x_test has dtype uint8"]),
    "mixed targets": (
        lambda: Dataset(X, [0, 1, 2, 3], X, [0.5] * 4),
        ["y_test has dtype float64", "integers"],
    ),
    "label and row": (lambda: Dataset(X, [0, 1, 2, 0], X, Y), ["y_test has shape (4, 2), y_train (4,)"]),
    "label too large": (
        lambda: Dataset(X, [0, 1, 2, 0], classes=["a", "b"]),
        ["y_train[2] is 2", "0 to 1"],
    ),
    "label negative": (
        lambda: Dataset(X, [0, 1, 2, -1]),
        ["y_train[3] is -1", "class labels go from 0 to 2"],
    ),
    "label enormous": (lambda: Dataset(X, [0, 1, 2, 2**62]), ["4611686018427387904", "give floats"]),
    "classes": (
        lambda: Dataset(X, Y, classes=["a"]),
        ["classes has 1 name; targets with 2 columns take 2 names"],
    ),
    "three for one": (
        lambda: Dataset(X, Y[:, :1], classes=["a", "b", "c"]),
        ["classes has 3 names", "1 column take 1 or 2"],
    ),
    "same classes": (lambda: Dataset(X, Y, classes=["a", "a"]), ["classes has 'a' more than once"]),
    "class of class": (lambda: Dataset(X, Y, classes=[None, 1.5]), ["classes has None"]),
    "classes number": (lambda: Dataset(X, Y, classes=2), ["classes is 2"]),
    "picture": (lambda: Dataset(X, Y, image_shape=(2, 2)), ["image_shape is (2, 2)", "product of 3"]),
    "picture 1-D": (lambda: Dataset(X, Y, image_shape=3), ["image_shape is 3"]),
    "picture negative": (lambda: Dataset(X, Y, image_shape=(-1, -3)), ["image_shape is (-1, -3)"]),
    "picture half": (lambda: Dataset(X, Y, image_shape=(1.5, 2)), ["image_shape is (1.5, 2)"]),
    "name": (lambda: Dataset(X, Y, name=""), ["name is ''"]),
    "source": (lambda: Dataset(X, Y, source=None), ["source is None"]),
    "split": (lambda: Dataset(X, Y).inputs("valid"), ["split is 'valid'", "'train', 'test'"]),
    "dtype": (lambda: Dataset(X, Y).inputs("train", np.int64), ["allowed: float32, float64"]),
    "no dtype": (lambda: Dataset(X, Y).targets("test", "float63"), ["dtype is 'float63'"]),
    "no labels": (lambda: Dataset(X, X).labels(), ["has no classes"]),
    "no images": (lambda: Dataset(X, Y).images(), ["has no image_shape"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case):
    make, parts = BAD[case]
    with pytest.raises(DataError) as error:
        make()
    for part in parts:
        assert part in one_line(error)
    assert isinstance(error.value, ConfigError | ValueError)


@st.composite
def good_arrays(draw):
    """Arguments of a data set that must be accepted."""
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    width = draw(st.integers(1, 4))
    dtype = draw(st.sampled_from(["f4", "f8", "i4", "u1", "?"]))
    elements = {"allow_nan": False, "allow_infinity": False} if dtype[0] == "f" else None
    limits = elements | {"min_value": -1e30, "max_value": 1e30} if dtype == "f8" else elements

    def features(rows):
        return draw(hnp.arrays(dtype, (rows, width), elements=hnp.from_dtype(np.dtype(dtype), **(limits or {}))))

    def targets(rows):
        return draw(hnp.arrays("f8", (rows, 2), elements=st.floats(-1e30, 1e30)))

    test = (features(m), targets(m)) if draw(st.booleans()) else (None, None)
    return features(n), targets(n), *test


@settings(max_examples=60, deadline=None)
@given(good_arrays())
def test_what_is_accepted_is_consistent(arrays):
    data = Dataset(*arrays)
    again = Dataset(data.x_train, data.y_train, data.x_test, data.y_test)
    assert again.fingerprint() == data.fingerprint()
    json.dumps(data.describe())
    assert data.n_in == arrays[0].shape[1]
    for split in ("train", "test"):
        for dtype in (np.float32, np.float64):
            x, y = data.inputs(split, dtype), data.targets(split, dtype)
            assert x.shape == (data.sizes[split], data.n_in)
            assert y.shape == (data.sizes[split], data.n_out)
            assert np.isfinite(x).all()
            assert np.isfinite(y).all()
            assert x.dtype == y.dtype == dtype
            assert not x.flags.writeable
            assert not y.flags.writeable
    images = data.x_train.dtype == np.uint8
    assert np.array_equal(data.inputs("train"), arrays[0] / 255 if images else arrays[0])


JUNK = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=5),
    st.lists(st.one_of(st.integers(), st.text(max_size=3), st.lists(st.floats(), max_size=3)), max_size=4),
    hnp.arrays(st.sampled_from(["f4", "f8", "i8", "u1", "U2", "O", "c8"]), hnp.array_shapes(max_dims=5, max_side=3)),
)


@settings(max_examples=150, deadline=None)
@given(JUNK, JUNK, JUNK, JUNK, st.one_of(st.none(), JUNK), st.one_of(st.none(), JUNK))
def test_anything_is_a_data_set_or_one_line(x, y, x_test, y_test, classes, image_shape):
    try:
        Dataset(x, y, x_test, y_test, classes=classes, image_shape=image_shape)
    except DataError as error:
        one_line(error)


# ---------------------------------------------------------------- files


def write(path, **arrays):
    """Write arrays in the format of the path's ending."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = np.asarray(array).tolist() if name == "classes" else array
    return path


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5"])
@pytest.mark.parametrize("with_test", [True, False])
def test_round_trip(suffix, with_test, tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (6, 2, 3), dtype=np.uint8),
        "y_train": np.arange(6) % 3,
        "classes": np.array(["ant", "bee", "cöw"]),
    }
    if with_test:
        arrays |= {"x_test": arrays["x_train"][:2], "y_test": arrays["y_train"][:2]}
    path = write(tmp_path / f"insects{suffix}", **arrays, comment=np.zeros(3))
    data = load_dataset(path)
    assert load_dataset(str(path)).fingerprint() == data.fingerprint()
    assert data.fingerprint() == Dataset(**arrays).fingerprint()
    assert data.classes == ("ant", "bee", "cöw")
    assert data.image_shape == (2, 3)
    assert data.test_is_train != with_test
    assert data.name == "insects"


def test_hdf5_attributes_may_name_the_classes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x_train"], file["y_train"] = X, [0, 1, 1, 0]
        file.attrs["classes"] = ["no", "yes"]
        file.attrs["image_shape"] = [1, 3]
    data = load_dataset(tmp_path / "a.h5")
    assert data.classes == ("no", "yes")
    assert data.image_shape == (1, 3)
    assert data.n_out == 2


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"x_train": X}, ["no array 'y_train'", "found x_train"]),
        ({}, ["no array 'x_train'", "found nothing"]),
        ({"x_train": X, "y_train": Y, "X_test": X, "y_test": Y}, ["'X_test'", "must be 'x_test'"]),
        ({"x_train": X, "y_train": Y, "x_test": X}, ["x_test is given without y_test"]),
        ({"x_train": X * np.nan, "y_train": Y}, ["x_train[0, 0] is nan"]),
        ({"x_train": X, "y_train": Y, "classes": ["a", "b", "c"]}, ["classes has 3 names"]),
        ({"x_train": np.float64(3), "y_train": Y}, ["x_train is a single number"]),
    ],
)
def test_files_with_wrong_content(suffix, arrays, parts, tmp_path):
    path = write(tmp_path / f"own{suffix}", **arrays)
    with pytest.raises(DataError) as error:
        load_dataset(path)
    for part in [str(path), *parts]:
        assert part in one_line(error)


def refused(path, *parts):
    with pytest.raises(DataError) as error:
        load_dataset(path)
    for part in parts:
        assert part in one_line(error)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_files_that_are_none(suffix, tmp_path):
    refused(tmp_path / f"missing{suffix}", "does not exist")
    (tmp_path / f"folder{suffix}").mkdir()
    refused(tmp_path / f"folder{suffix}", "is not a file")
    (tmp_path / f"text{suffix}").write_text("x_train,y_train\n1,2\n")
    refused(tmp_path / f"text{suffix}", "or is truncated")
    (tmp_path / f"empty{suffix}").write_bytes(b"")
    refused(tmp_path / f"empty{suffix}", "or is truncated")
    path = write(tmp_path / f"good{suffix}", x_train=X, y_train=Y)
    with pytest.raises(DataError, match="files have no options"):
        load_dataset(path, bits=3)


def test_pickled_objects_are_refused_unread(tmp_path):
    np.savez(tmp_path / "evil.npz", x_train=np.array([[1], [None]], dtype=object), y_train=Y)
    refused(tmp_path / "evil.npz", "x_train holds Python objects")
    with h5py.File(tmp_path / "vlen.h5", "w") as file:
        file.create_dataset("x_train", (4, 3), dtype=h5py.vlen_dtype(np.float64))
        file["y_train"] = Y
    refused(tmp_path / "vlen.h5", "x_train holds Python objects")


def npy(shape, data=b"", dtype="<f8"):
    """The bytes of an .npy file that claims a shape."""
    stream = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


def test_sizes_are_checked_before_memory_is_taken(tmp_path):
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("x_train.npy", npy((10**9, 10**6)))
        archive.writestr("y_train.npy", npy((4, 2), Y.tobytes()))
    refused(tmp_path / "claims.npz", "x_train claims shape (1000000000, 1000000)", "GiB of memory is free")
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("x_train.npy", npy((4, 3), b"123"))
        archive.writestr("y_train.npy", npy((4, 2), Y.tobytes()))
    refused(tmp_path / "short.npz", "x_train claims shape (4, 3)", "does not hold it")
    with h5py.File(tmp_path / "claims.h5", "w") as file:
        file.create_dataset("x_train", (10**9, 10**6), "f8", chunks=(1000, 1000))
        file["y_train"] = Y
    refused(tmp_path / "claims.h5", "x_train claims shape (1000000000, 1000000)", "GiB of memory is free")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_a_file_must_fit_beside_its_copy(suffix, tmp_path, monkeypatch):
    path = write(tmp_path / f"a{suffix}", x_train=np.zeros((1000, 10)), y_train=np.zeros(1000))
    memory = SimpleNamespace(available=100_000)
    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: memory)
    refused(path, "needs", "memory is free")
    memory.available = 200_000
    assert load_dataset(path).n_in == 10


def test_hdf5_groups_and_empties_are_no_arrays(tmp_path):
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("x_train")
        file["y_train"] = Y
    refused(tmp_path / "group.h5", "x_train is not an array")
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["x_train"] = h5py.Empty("f8")
        file["y_train"] = Y
    refused(tmp_path / "empty.h5", "x_train is not an array")


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """The bytes of a good file of each format, and a folder for damaged ones."""
    folder = tmp_path_factory.mktemp("files")
    files = {
        suffix: write(folder / f"whole{suffix}", x_train=X, y_train=Y, classes=np.array(["a", "b"])).read_bytes()
        for suffix in (".npz", ".h5")
    }
    return folder, files


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([".npz", ".h5"]), st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_one_line(whole_files, suffix, part):
    folder, files = whole_files
    path = folder / f"cut{suffix}"
    path.write_bytes(files[suffix][: int(part * len(files[suffix]))])
    with pytest.raises(DataError) as error:
        load_dataset(path)
    assert str(path) in one_line(error)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_npz_is_whole_or_one_line(whole_files, changes):
    folder, files = whole_files
    content = bytearray(files[".npz"])
    for place, byte in changes:
        content[int(place * len(content))] = byte
    path = folder / "damaged.npz"
    path.write_bytes(content)
    message = str(path)
    try:
        load_dataset(path)
    except DataError as error:
        message = one_line(error)
    assert str(path) in message
