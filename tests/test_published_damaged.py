"""Damaged and hostile files of Fashion-MNIST and CIFAR-10: one line, or what the file holds; nothing executed."""

import gzip
import os
import pickle
import struct
import tarfile
import tempfile
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_files import (
    PICKLES,
    alone,
    archive,
    binary,
    bless_cifar,
    bless_fashion,
    cifar,
    cifar_blobs,
    fashion,
    idx,
    python2,
    tar_gz,
    text,
    write_cifar,
    write_fashion,
)

import analogmgd as am
from analogmgd.datasets import checks, cifar10
from analogmgd.datasets import idx as idx_module
from analogmgd.datasets.cifar_pickle import read_batch
from analogmgd.datasets.idx import read_idx

IMAGES, LABELS = fashion()[:2]
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def mutations(draw, blob):
    """The bytes with some of them changed, cut off, put in or taken out."""
    data = bytearray(blob)
    edge = st.integers(0, min(200, len(blob) - 1)) | st.integers(0, len(blob) - 1)
    for _ in range(draw(st.integers(1, 3))):
        at = min(draw(edge), max(0, len(data) - 1))
        match draw(st.sampled_from(("set", "set", "flip", "cut", "insert", "remove"))):
            case "set" if data:
                data[at] = draw(st.integers(0, 255))
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=9))
            case "remove":
                del data[at : at + draw(st.integers(1, 9))]
    return bytes(data)


def refused(function, *args):
    """The one line of a DataError."""
    with pytest.raises(am.DataError) as error:
        function(*args)
    return is_line(error.value)


def is_line(error):
    line = str(error)
    assert line
    assert "\n" not in line
    assert len(line) < 600
    return line


def file(folder, data, name="train-images-idx3-ubyte"):
    path = Path(folder) / name
    path.write_bytes(data)
    return path


def images(folder, data):
    return read_idx(file(folder, data), (28, 28), "images")


# ---------------------------------------------------------------- IDX


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "begins with nothing"),
        (idx(IMAGES)[:3], "not an IDX file"),
        (idx(IMAGES)[:9], "ends within its header"),
        (idx(LABELS), "not an IDX file of images: it begins with 00 00 08 01"),
        (b"\0\0\x0d\3" + idx(IMAGES)[4:], "00 00 0d 03"),
        (idx(IMAGES)[:-1], "is truncated"),
        (idx(IMAGES) + b"\0", "is too long"),
        (idx(IMAGES[:, :27]), "shape (12, 27, 28); expected (n, 28, 28)"),
        (idx(IMAGES[:0]), "n at least 1"),
        (gzip.compress(idx(IMAGES))[:-9], "end-of-stream"),
        (gzip.compress(idx(IMAGES))[:-8] + b"12345678", "is damaged: CRC"),
        (gzip.compress(idx(IMAGES)[:-1]), "is truncated"),
        (gzip.compress(idx(IMAGES) + b"\0"), "is too long"),
        (gzip.compress(idx(IMAGES)[:9]), "ends within its header"),
        (gzip.compress(b"hello"), "not an IDX file"),
        (gzip.compress(idx(IMAGES)) + b"rubbish", "gzip"),
    ],
    ids=range(16),
)
def test_idx_damaged(tmp_path, data, says):
    assert says in refused(images, tmp_path, data)


@pytest.mark.parametrize(("pack", "says"), [(bytes, "is truncated"), (gzip.compress, "can hold")])
@pytest.mark.parametrize("count", [2**18, 2**32 - 1])
def test_idx_claims_are_checked_before_memory_is_taken(tmp_path, pack, says, count):
    header = bytes((0, 0, 8, 3)) + struct.pack(">3I", count, 28, 28)
    tracemalloc.start()
    assert says in refused(images, tmp_path, pack(header + bytes(10_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_idx_more_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(idx_module, "check_memory", lambda size, what: checks.check_memory(size + 2**60, what))
    assert "of memory is free" in refused(images, tmp_path, idx(IMAGES))


@MANY
@given(st.booleans().flatmap(lambda z: mutations(gzip.compress(idx(IMAGES), mtime=0) if z else idx(IMAGES))))
def test_mutated_idx(data):
    with tempfile.TemporaryDirectory() as folder:
        try:
            array, _ = images(folder, data)
        except am.DataError as error:
            is_line(error)
            return
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert idx(array) == plain


def test_labels(tmp_path):
    x, y, x_test, y_test = fashion()
    wrong = y.copy()
    wrong[3] = 10
    write_fashion(tmp_path / "a", [x, wrong, x_test, y_test])
    assert "label 3 is 10" in refused(lambda: am.load_dataset("fashion_mnist", data_dir=tmp_path / "a"))
    write_fashion(tmp_path / "b", [x, y[:-1], x_test, y_test])
    assert "12 images, and" in refused(lambda: am.load_dataset("fashion_mnist", data_dir=tmp_path / "b"))


def test_unreadable(tmp_path):
    paths = write_fashion(tmp_path)
    paths[0].unlink()
    os.mkfifo(paths[0])  # must not be waited for
    assert "but not train-images" in refused(lambda: am.load_dataset("fashion_mnist", data_dir=tmp_path))


# ---------------------------------------------------------------- binary batches


def test_binary_damaged(tmp_path):
    def load():
        return am.load_dataset("cifar10", data_dir=tmp_path)

    paths = write_cifar(tmp_path)
    whole = paths[1].read_bytes()
    for data, says in (
        (whole[:-1], "no whole number of records"),
        (b"", "no whole number"),
        (whole[:3073], "[2, 1, 2"),
    ):
        paths[1].write_bytes(data)
        assert says in refused(load)
    paths[1].write_bytes(whole[:3073] + b"\x0a" + whole[3074:])
    assert "data_batch_2.bin is damaged: label 1 is 10" in refused(load)


# ---------------------------------------------------------------- pickles


class Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


HOSTILE = {
    "reduce": pickle.dumps({"data": Hostile(), "labels": [1]}),
    "reduce, old": pickle.dumps({"data": Hostile(), "labels": [1]}, protocol=0),
    "system": b"cos\nsystem\n(S'touch executed'\ntR.",
    "inst": b"(S'touch executed'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'touch executed'\no.",
    "newobj": b"\x80\x02cos\nsystem\n(S'touch executed'\nt\x81.",
    "stack_global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0ftouch executed\x85R.",
    "numpy's own": b"cnumpy.testing._private.utils\nrunstring\n(S'import os; os.system(\"touch executed\")'\n}tR.",
    "dtype of objects": python2(*cifar()[0]).replace(text(b"u1"), text(b"O8")),
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0f_core.os.system\x93.",
    "persistent": b"Pabc\n.",
    "extension": b"\x80\x02\x82\x01.",
    "encode with another codec": b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0rot\x86R.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_execute_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    refused(read_batch, "data_batch_1", HOSTILE[name], 3072)
    assert not list(tmp_path.iterdir())


GREEDY = {
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"abc.",
    "string": b"T" + struct.pack("<i", 2**31 - 1) + b"abc.",
    "negative": b"T" + struct.pack("<i", -5) + b"abc.",
    "memo": b"\x80\x02]r" + struct.pack("<I", 2**32 - 1) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"].",
    "lists": b"]" * 300_000 + b".",
    "tuples": b")" + b"\x85" * 190_000 + b".",
    "nesting": b"\x80\x02]q\x00" + b"".join(b"]q%c(h%ch%ce" % (i, i - 1, i - 1) for i in range(1, 200)) + b".",
    "dictionary of itself": b"\x80\x02}q\x00U\x06labelsh\x00sU\x04datah\x00s.",
    "encoding": b"\x80\x02(X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"q\x00"
    + b"c_codecs\nencode\nq\x01h\x00X\x06\0\0\0latin1q\x02\x86R" + b"h\x01h\x00h\x02\x86R" * 10_000 + b"l.",
    "digits": b"L" + b"9" * 100_000 + b"L\n.",
}  # fmt: skip


@pytest.mark.parametrize("name", GREEDY)
def test_greedy_pickles_take_little(name):
    began = time.monotonic()
    tracemalloc.start()
    line = refused(read_batch, "data_batch_1", GREEDY[name], 3072)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20
    assert time.monotonic() - began < 120  # not for ever
    assert ("opcodes" in line) == (name == "lists")


def with_content(**content):
    return pickle.dumps(content, protocol=4)


PIXELS = cifar()[0][1]


@pytest.mark.parametrize(
    "data",
    [
        with_content(data=PIXELS),
        with_content(labels=[1, 2]),
        with_content(data=PIXELS, labels=[1]),
        with_content(data=PIXELS, labels=[1, 300]),
        with_content(data=PIXELS, labels=[1, True]),
        with_content(data=PIXELS, labels=(1, 2)),
        with_content(data=PIXELS, labels=["1", "2"]),
        with_content(data=PIXELS[:, :-1], labels=[1, 2]),
        with_content(data=PIXELS.reshape(-1), labels=[1, 2]),
        with_content(data=PIXELS.astype(np.int8), labels=[1, 2]),
        with_content(data=PIXELS.astype(np.uint16), labels=[1, 2]),
        with_content(data=np.asfortranarray(PIXELS), labels=[1, 2]),
        with_content(data=PIXELS.tobytes(), labels=[1, 2]),
        with_content(data=PIXELS[:0], labels=[]),
        pickle.dumps([PIXELS, [1, 2]]),
        b"",
        b".",
        b"not a pickle",
        python2(*cifar()[0]).replace(b"numpy\nndarray", b"num\\y\nndarray"),
        python2(*cifar()[0])[:-1],
    ],
    ids=range(20),
)
def test_other_pickles(data):
    refused(read_batch, "data_batch_1", data, 3072)


@pytest.mark.parametrize("write", PICKLES.values(), ids=PICKLES)
@MANY
@given(data=st.data())
def test_mutated_pickles(write, data):
    blob = data.draw(mutations(write(*cifar()[0])))
    try:
        labels, pixels = read_batch("data_batch_1", blob, 3072)
    except am.DataError as error:
        is_line(error)
        return
    assert pixels.shape == (len(labels), 3072)
    plain = blob if pixels.tobytes() in blob else blob.decode("utf-8", "ignore").encode("latin-1", "ignore")
    assert pixels.tobytes() in plain


# ---------------------------------------------------------------- archives


def load_archive(folder, data):
    path = file(folder, data, "cifar-10-binary.tar.gz")
    return cifar10.load([path])


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def members(skip=0):
    return list(cifar_blobs().items())[skip:]


def test_members_that_point_elsewhere_are_only_read(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    names = ["/etc/", "../../", "a/../../../", "", "C:/", "cifar-10-batches-bin/"]
    arrays, _ = load_archive(".", tar_gz([(p + n, d) for p, (n, d) in zip(names, members(), strict=True)]))
    assert np.array_equal(arrays["x_train"], np.concatenate([x for _, x in cifar()[:5]]))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["cifar-10-binary.tar.gz", "here"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_members_that_are_no_files(tmp_path, kind):
    secret = file(tmp_path, members()[0][1], "secret")
    data = tar_gz([(link("data_batch_1.bin", str(secret), kind), b""), *members(1)])
    assert "has no data_batch_1" in refused(load_archive, tmp_path, data)


def test_sparse_members_claim_nothing(tmp_path):
    """A file of zeros that is not in the archive: 256 MiB, written as GNU tar does."""
    info = tarfile.TarInfo("data_batch_1.bin")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (2**28, 0)  # data: none, at the end
    header[483:495] = b"%011o\0" % 2**28
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    rest = gzip.decompress(tar_gz(members(1)))
    path = file(tmp_path, gzip.compress(bytes(header) + rest), "cifar-10-binary.tar.gz")
    with tarfile.open(path) as check:
        first = check.getmembers()[0]
        assert first.issparse()
        assert first.size == 2**28
    assert "has no data_batch_1" in refused(cifar10.load, [path])


def test_archives_damaged(tmp_path):
    whole = archive()
    for data, says in (
        (b"", "cifar-10-binary.tar.gz"),
        (b"hello", "gzip"),
        (whole[:-9], "end-of-stream"),
        (whole[: len(whole) // 2], "cifar-10-binary.tar.gz"),
        (whole[:-8] + b"12345678", "CRC"),
        (gzip.compress(b"hello" * 1000), "cifar-10-binary.tar.gz"),
        (tar_gz([]), "has no data_batch_1"),
        (tar_gz(members()[:-1]), "has no test_batch.bin"),
        (tar_gz([*members(), members()[2]]), "data_batch_3.bin twice"),
    ):
        assert says in refused(load_archive, tmp_path, data)


def test_archives_that_unpack_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "MOST", 2**20)
    bomb = tar_gz([("readme.html", bytes(2**22)), *members()])
    assert "unpacks to more than" in refused(load_archive, tmp_path, bomb)
    claims = tarfile.TarInfo("data_batch_1.bin")
    claims.size = 2**40
    assert "claims" in refused(load_archive, tmp_path, gzip.compress(claims.tobuf() + bytes(1024)))
    long = tarfile.TarInfo("a")  # an extended header, which tarfile reads as a whole
    long.type, long.size = tarfile.XHDTYPE, 2**40
    refused(load_archive, tmp_path, gzip.compress(long.tobuf() + bytes(2**22)))


@MANY
@given(mutations(archive(write=python2)) | mutations(archive()))
def test_mutated_archives(data):
    with tempfile.TemporaryDirectory() as folder:
        try:
            arrays, _ = load_archive(folder, data)
        except am.DataError as error:
            is_line(error)
            return
    assert np.array_equal(arrays["x_test"], cifar()[5][1])  # gzip's checksum stands behind it
    assert np.array_equal(arrays["y_train"], np.concatenate([y for y, _ in cifar()[:5]]))


# ---------------------------------------------------------------- whole sets whose checksums are known


@pytest.fixture
def blessed(monkeypatch, tmp_path):
    """What is made here is official, and nothing else is on this machine."""
    alone(monkeypatch, tmp_path)
    bless_fashion(monkeypatch)
    bless_cifar(monkeypatch)


def intact(data, name):
    """Whether a data set is the official one to the last bit."""
    if name == "fashion_mnist":
        x, y, x_test, y_test = (np.asarray(a).reshape(len(a), -1) for a in fashion())
    else:
        x, x_test = np.concatenate([x for _, x in cifar()[:5]]), cifar()[5][1]
        y, y_test = np.concatenate([y for y, _ in cifar()[:5]]), cifar()[5][0]
    found = data.x_train, data.labels("train"), data.x_test, data.labels("test")
    return all(np.array_equal(a, b) for a, b in zip(found, (x, y.ravel(), x_test, y_test.ravel()), strict=True))


@MANY
@given(data=st.data(), name=st.sampled_from(("fashion_mnist", "cifar10")), which=st.integers(0, 3))
def test_a_damaged_official_file_is_never_trained_on(blessed, data, name, which):
    """One file of a set is mutated: a line that says so, or, where nothing changed, the official data."""
    with tempfile.TemporaryDirectory() as folder:
        paths = (write_fashion if name == "fashion_mnist" else write_cifar)(Path(folder))
        paths[which].write_bytes(data.draw(mutations(paths[which].read_bytes())))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                found = am.load_dataset(name, data_dir=folder)
            except am.DataError as error:
                is_line(error)
            else:
                assert intact(found, name)


def test_binary_and_python_are_the_same_bits(tmp_path):
    sets = [cifar10.load(write_cifar(tmp_path / str(i), write=w))[0] for i, w in enumerate((binary, *PICKLES.values()))]
    for other in sets[1:]:
        assert all(np.array_equal(sets[0][key], other[key]) for key in sets[0])
