"""Tiny files in the layouts of Fashion-MNIST and CIFAR-10, and a folder of data sets that is the test's own."""

import dataclasses
import gzip
import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np

from analogmgd.datasets import cifar10, fashion_mnist, places

TRAIN, TEST = 12, 5  # images of Fashion-MNIST
RECORDS = 2  # images in a batch of CIFAR-10


def md5(data):
    return hashlib.md5(data).hexdigest()


def alone(monkeypatch, tmp_path):
    """No data sets but those the test makes: an empty cache, no Debian package, no setting. The two folders."""
    cache, debian = tmp_path / "user-cache", tmp_path / "debian"
    monkeypatch.delenv("ANALOGMGD_DATA", raising=False)
    monkeypatch.setattr(places, "user_cache_dir", lambda *args, **settings: str(cache))
    info = dataclasses.replace(fashion_mnist.INFO, package_folder=str(debian))
    monkeypatch.setattr(fashion_mnist, "INFO", info)
    return cache / "datasets", debian


# ---------------------------------------------------------------- Fashion-MNIST


def idx(array):
    """The bytes of an IDX file of uint8."""
    array = np.asarray(array, np.uint8)
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def fashion(seed=0):
    """Images and labels to train, images and labels to test."""
    rng = np.random.default_rng(seed)
    out = []
    for n in (TRAIN, TEST):
        out += [rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n, np.uint8)]
    return out


def write_fashion(folder, arrays=None, zipped=True, name=lambda part: part):
    """The four files; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for part, array in zip(fashion_mnist.PARTS, arrays or fashion(), strict=True):
        path = folder / (name(part) + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
        paths.append(path)
    return paths


def bless_fashion(monkeypatch, arrays=None):
    """Let these be the official files."""
    monkeypatch.setattr(fashion_mnist, "MD5", tuple(md5(idx(array)) for array in arrays or fashion()))


# ---------------------------------------------------------------- CIFAR-10


def cifar(seed=0, records=RECORDS):
    """Six batches: labels uint8 (n,) and pixels uint8 (n, 3072)."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 10, records, np.uint8), rng.integers(0, 256, (records, 3072), np.uint8)) for _ in range(6)]


def binary(labels, pixels):
    """A batch of the binary layout."""
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


def text(data):
    """A byte string as Python 2 pickles it."""
    return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data


def python2(labels, pixels):
    """A batch of the python layout as the official ones are: protocol 2 of Python 2, with its opcodes and memo."""
    out = [b"\x80\x02}q\x01(", text(b"batch_label"), b"q\x02", text(b"training batch 1 of 5"), b"q\x03"]
    out += [text(b"labels"), b"q\x04]q\x05(", *(b"K" + bytes([label]) for label in labels), b"e"]
    out += [
        text(b"data"),
        b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85",
        text(b"b"),
    ]
    out += [b"\x87Rq\x09(K\x01M", struct.pack("<H", len(labels)), b"M", struct.pack("<H", pixels.shape[1])]
    out += [b"\x86cnumpy\ndtype\nq\x0a", text(b"u1"), b"K\x00K\x01\x87Rq\x0b(K\x03", text(b"|")]
    out += [b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89", text(pixels.tobytes()), b"tb"]
    out += [text(b"filenames"), b"q\x0c]q\x0d(", *(text(b"a.png") for _ in labels), b"eu."]
    return b"".join(out)


def python3(protocol):
    """A function that pickles a batch as Python 3 does."""

    def write(labels, pixels):
        names = [b"a.png"] * len(labels)
        content = {b"batch_label": b"1 of 5", b"labels": labels.tolist(), b"data": pixels, b"filenames": names}
        return pickle.dumps(content, protocol=protocol)

    return write


PICKLES = {"python 2": python2, **{f"protocol {p}": python3(p) for p in (2, 3, 4, 5)}}


def cifar_blobs(batches=None, write=binary):
    """The bytes of every batch by the name of its file."""
    suffix = ".bin" if write is binary else ""
    return {n + suffix: write(*batch) for n, batch in zip(cifar10.BATCHES, batches or cifar(), strict=True)}


def write_cifar(folder, batches=None, write=binary):
    """The six files; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    blobs = cifar_blobs(batches, write)
    for name, data in blobs.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in blobs]


def tar_gz(members):
    """An archive of (name or TarInfo, bytes)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def archive(batches=None, write=binary):
    """The archive of either layout."""
    layout = "cifar-10-batches-bin" if write is binary else "cifar-10-batches-py"
    blobs = {"batches.meta.txt": b"airplane\n", **cifar_blobs(batches, write), "readme.html": b"<a>"}
    return tar_gz([(f"{layout}/{name}", data) for name, data in blobs.items()])


def bless_cifar(monkeypatch, batches=None, write=binary):
    """Let these be the official files."""
    sums = {name: md5(data) for name, data in cifar_blobs(batches, write).items()}
    monkeypatch.setattr(cifar10, "MD5", cifar10.MD5 | sums)
