"""Compiled kernels: arrays in, arrays out; no I/O, no objects, no configuration, nothing raised inside.

The innermost axis of every hot array is lanes (a lane is a chip), so that plain loops over it vectorise.
"""

if __name__ != "analogmgd.kernels":
    raise ImportError("import this package as analogmgd.kernels (install with `pip install -e .`)")
