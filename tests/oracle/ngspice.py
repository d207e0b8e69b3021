"""The same crossbars in ngspice, a circuit simulator of its own (Debian package ngspice)."""

import re
import shutil
import subprocess

import numpy as np

from oracle.wires import elements

# Newton's last step is quadratic, so results are far better than reltol; with 1e-12 rounding keeps it from ever ending.
OPTIONS = ".options reltol=1e-9 abstol=1e-15 vntol=1e-12 gmin=1e-18 itl1=200"


def present():
    return shutil.which("ngspice") is not None


def currents(G, v, wires, folder, law="{G:.17g}*V"):
    """Column currents [n_cols]; `law` is a device's current in ngspice's language, V its voltage."""
    n_rows, n_cols = G.shape
    pieces, cells = elements(n_rows, n_cols, wires)
    ohmic = law == "{G:.17g}*V"
    lines = ["crossbar", OPTIONS]
    lines += [f"Vdrive{i} drive_{i} 0 {v[i]:.17g}" for i in range(n_rows)]
    lines += [f"Vsense{j} sense_{j} 0 0" for j in range(n_cols)]  # its current is positive from node to ground
    lines += [f"Rw{k} {_name(a)} {_name(b)} {ohm:.17g}" for k, (a, b, ohm) in enumerate(pieces)]
    for (i, j), (a, b) in cells.items():
        if G[i, j] == 0:
            continue
        if ohmic:
            lines.append(f"Rd{i}_{j} {_name(a)} {_name(b)} {1 / G[i, j]:.17g}")
        else:
            text = re.sub(r"\bV\b", f"v({_name(a)},{_name(b)})", law.format(G=G[i, j]))
            lines.append(f"Bd{i}_{j} {_name(a)} {_name(b)} I={text}")
    lines += [".control", "set numdgt=15", "op"]
    lines += [f"print i(Vsense{j})" for j in range(n_cols)]
    lines += ["quit", ".endc", ".end"]
    netlist = folder / "crossbar.cir"
    netlist.write_text("\n".join(lines) + "\n")
    done = subprocess.run(["ngspice", "-b", netlist.name], cwd=folder, capture_output=True, text=True, timeout=120)
    found = {int(j): float(x) for j, x in re.findall(r"^i\(vsense(\d+)\) = (\S+)", done.stdout, re.MULTILINE)}
    if sorted(found) != list(range(n_cols)):
        raise RuntimeError(f"ngspice: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return np.array([found[j] for j in range(n_cols)])


def _name(node):
    return "_".join(str(part) for part in node)
