"""The compiled kernels: packed arithmetic in the hot loops, no calls to libm, one compilation a precision.

numba does not show the assembly of kernels that come from its disk cache, so their machine code is read from there and
searched for the instructions' encodings (Intel SDM vol. 2: VEX and EVEX prefixes, opcode map 0F38). Nothing is timed.
"""

import platform
import struct
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding
from numba.core import types

import analogmgd as am
from analogmgd import plan
from analogmgd.kernels import (
    backprop,
    column_evaluate,
    columns,
    dense,
    forward,
    jit,
    row_evaluate,
    row_gradient,
    rows,
    step,
    update,
)

KERNELS = {
    "steps_codes": (step.steps_codes, am.MGD()),
    "steps_gains": (step.steps_gains, am.MGD()),
    "steps_values": (step.steps_values, am.MGD(perturbation="gaussian")),
    "steps_backprop": (backprop.steps_backprop, am.Backprop()),
}
MISMATCH = {name: 0.1 if name == "steps_gains" else 0.0 for name in KERNELS}
PACKED = (0x98, 0xA8, 0xB8)  # vfmadd132, 213, 231 of a register full of numbers; + 1: of a single one
FORMS = (dense.CODES, dense.GAINS, dense.VALUES)
LIBM = ("exp", "log", "sin", "cos", "tanh", "pow", "fma", "sqrt", "floor", "sincos", "fmod", "exp2", "log2")

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64") or not binding.get_host_cpu_features().get("fma"),
    reason="encodings of x86 with FMA",
)


def train(rule, precision="single", chips=3, mismatch=0.0, record=("cost",), **options):
    """A tiny run, so that its kernel is compiled or loaded."""
    network = am.Network.mlp([2, 3, 2], cost="cross-entropy", **options)
    data = am.Dataset(np.zeros((3, 2)), np.eye(2)[[0, 1, 0]])
    chip = am.Chip(network, device=am.Device(amplitude_mismatch=mismatch))
    return am.train(chip, data, rule, steps=2, chips=chips, precision=precision, record=record)


def sections(elf):
    """What can be executed, and the string tables, of a 64-bit ELF file."""
    (table,), (size, n) = struct.unpack_from("<Q", elf, 0x28), struct.unpack_from("<HH", elf, 0x3A)
    code = names = b""
    for i in range(n):
        _, kind, flags, _, offset, length = struct.unpack_from("<IIQQQQ", elf, table + i * size)
        code += elf[offset : offset + length] if flags & 4 and kind == 1 else b""  # SHF_EXECINSTR, SHT_PROGBITS
        names += elf[offset : offset + length] if kind == 3 else b""  # SHT_STRTAB
    return code, names


def machine_code(name):
    """(text section, names of symbols) of the float32 version of a kernel for many lanes."""
    kernel, rule = KERNELS[name]
    train(rule, mismatch=MISMATCH[name])
    return code_in_cache(name, kernel)


def code_in_cache(name, kernel, one_dimension=False):
    """The same, once it has been compiled."""
    if jit.CACHE_FOLDER is None:
        pytest.skip("there is no cache to read the machine code from")
    files = sorted(Path(kernel.stats.cache_path).glob(f"*.{name}-*.nbc"), key=lambda path: path.stat().st_mtime)
    for path in reversed(files):
        content = path.read_bytes()
        start = content.find(b"\x7fELF")
        if start < 0:
            pytest.skip("not an ELF object")
        code, names = sections(content[start:])
        # Arguments: some two-dimensional arrays of float32, and no one-dimensional ones, as for a chip on its own.
        if b"ArrayIfLi2E" in names and (one_dimension or b"ArrayIfLi1E" not in names):
            return code, names.decode().split("\0")
    raise AssertionError(f"no float32 version of {name} in the cache")


def count(code, opcodes, double, length):
    """Instructions of these opcodes on 128, 256 or 512 bits (length 0, 1, 2), float64 if `double`."""
    b = np.frombuffer(code, np.uint8)
    first, p0, p1, p2, last = (b[i : len(b) - 4 + i] for i in range(5))
    evex = (first == 0x62) & ((p0 & 0x0F) == 2) & ((p1 & 0x87) == (5 | double << 7)) & ((p2 >> 5 & 3) == length)
    vex = (first == 0xC4) & ((p0 & 0x1F) == 2) & ((p1 & 0x83) == (1 | double << 7)) & ((p1 >> 2 & 1) == length)
    return int((evex & np.isin(last, opcodes)).sum() + (vex & np.isin(p2, opcodes)).sum())


@pytest.mark.parametrize("name", KERNELS)
def test_products_and_sums_are_packed(name):
    """Fused operations on whole registers, and none on single float32 numbers or in smaller registers.

    How many there are depends on how far the compiler unrolls for a processor: 237 to 700 were seen. Scalar float64 is
    the learning rate and the sinusoids' phases: a few dozen.
    """
    code, _ = machine_code(name)
    widest = 2 if binding.get_host_cpu_features().get("avx512f") else 1
    scalars = [op + 1 for op in PACKED]
    assert count(code, PACKED, double=0, length=widest) >= 150
    assert sum(count(code, PACKED, double=0, length=n) for n in range(widest)) == 0
    assert sum(count(code, scalars, double=0, length=n) for n in range(3)) == 0
    assert sum(count(code, scalars, double=1, length=n) for n in range(3)) < 120


@pytest.mark.parametrize("name", KERNELS)
def test_no_calls_to_the_mathematical_library(name):
    """Whose bits and speed differ from machine to machine."""
    _, names = machine_code(name)
    assert names
    assert not {f"{function}{suffix}" for function in LIBM for suffix in ("", "f", "l")} & set(names)
    assert not [n for n in names if n.startswith(("__svml", "_ZGV", "llvm."))]


ROWS = {
    "steps_rows": (rows.steps_rows, 150),
    "evaluate_rows": (row_evaluate.evaluate_rows, 25),
    "gradient_rows": (row_gradient.gradient_rows, 50),
}


@pytest.mark.parametrize("name", ROWS)
def test_kernels_of_large_networks_are_packed_and_call_no_library(name, monkeypatch):
    """The numbers of one kind that are not packed: the cost and the neurons of a step, a few dozen."""
    monkeypatch.setattr(plan, "ROWS_FROM", 0)
    kernel, least = ROWS[name]
    train(am.MGD(), record=("cost", "angle"))
    assert_packed(name, kernel, least)


def assert_packed(name, kernel, least):
    """At least so many fused operations on whole registers, few on single numbers, no call to libm."""
    code, names = code_in_cache(name, kernel, one_dimension=True)
    widest = 2 if binding.get_host_cpu_features().get("avx512f") else 1
    packed = count(code, PACKED, double=0, length=widest)
    scalar = sum(count(code, [op + 1 for op in PACKED], double=0, length=n) for n in range(3))
    assert packed >= least
    assert scalar < packed / 4
    assert not {f"{function}{suffix}" for function in LIBM for suffix in ("", "f", "l")} & set(names)


COLUMNS = {"steps_columns": (columns.steps_columns, 150), "evaluate_columns": (column_evaluate.evaluate_columns, 50)}


@pytest.mark.parametrize("name", COLUMNS)
def test_kernels_of_pictures_are_packed_and_call_no_library(name):
    """The same with samples or steps in the lanes; what is not packed is the mean cost of a batch."""
    kernel, least = COLUMNS[name]
    network = am.Network([am.Conv2d(1, 4, 3), am.MaxPool2d(2), am.Dense(4, 2, "linear")], input_shape=(1, 4, 4))
    data = am.Dataset(np.zeros((3, 1, 4, 4)), np.eye(2)[[0, 1, 0]])
    am.train(network, data, am.MGD(tau_theta=16), steps=16, chips=1)
    assert_packed(name, kernel, least)


def plain_signatures(kernel):
    """Those for ideal devices: others bring arrays of their own, in a tuple."""
    return [s for s in kernel.signatures if not any(isinstance(kind, types.BaseTuple) and len(kind) for kind in s)]


@pytest.mark.parametrize("name", KERNELS)
def test_one_compilation_a_precision(name):
    """The signature never changes, whatever the options: a kernel takes many seconds to compile."""
    kernel, rule = KERNELS[name]
    variants = [
        {}, {"momentum": 0.5}, {"batch": 2}, {"weight_decay": 0.1, "schedule": "cosine"},
    ]  # fmt: skip
    if isinstance(rule, am.MGD):
        variants += [{"baseline": "antithetic"}, {"mode": "analog", "tau_x": 4, "dt": 0.5}]
    for variant in variants:
        train(rule.replace(**variant), mismatch=MISMATCH[name])
    train(rule, label_smoothing=0.1, mismatch=MISMATCH[name])
    train(rule, init="glorot", mismatch=MISMATCH[name])
    images = am.Dataset(np.arange(12, dtype=np.uint8).reshape(2, 6), np.eye(2))
    chip = am.Chip(am.Network.mlp([6, 2]), device=am.Device(amplitude_mismatch=MISMATCH[name]))
    am.train(chip, images, rule, steps=2, chips=40, theta0=np.zeros(14), probe_chips=[3])
    alone = types.Array(types.float32, 1, "C")
    lanes = types.Array(types.float32, 2, "C")
    assert sum(lanes in signature and alone not in signature for signature in plain_signatures(kernel)) == 1
    for chips in (1, [7, 9]):
        train(rule, chips=chips, mismatch=MISMATCH[name])
    assert sum(alone in signature for signature in plain_signatures(kernel)) == (name != "steps_backprop")
    assert sum(lanes in signature and alone not in signature for signature in plain_signatures(kernel)) == 1


def test_functions_of_a_factory_have_names_of_their_own():
    """Or a kernel from the disk cache is linked with another one's function (see `jit._named`)."""
    found = [[maker(form).py_func.__qualname__ for form in FORMS] for maker in (step.make_steps, forward.make_network)]
    found.append([update.make_accumulate(form).py_func.__qualname__ for form in (dense.CODES, dense.VALUES)])
    kinds = [(kind, form) for kind in (dense.SINGLE, dense.PAIR, dense.ANTITHETIC) for form in FORMS]
    found.append([dense.make_dense(*kind).py_func.__qualname__ for kind in kinds])
    for names in found:
        assert len(set(names)) == len(names)
    again = step.make_steps(dense.CODES).py_func.__qualname__
    assert again == found[0][0]  # and the same in every process


@pytest.mark.parametrize("name", ["steps_codes", "steps_values"])
def test_no_closure_keeps_a_name_that_others_have(name):
    """Every function of a factory that is still called by name carries the digest of what it holds.

    What `overload` chooses is named by the types of its arguments, which decide what it does.
    """
    _, names = machine_code(name)
    closures = [n for n in names if n.startswith("_ZN9analogmgd") and "_3clocals_3e" in n and "10make_" in n]
    closure = step._steps_codes if name == "steps_codes" else step._steps_values
    digest = closure.py_func.__qualname__.rpartition("_")[2]
    assert closures
    assert all(f"10make_steps12_3clocals_3e14steps_{digest}" in n for n in closures)
