"""The command line. Only `click` is loaded here; a command loads what it needs when it runs.

    main           entry of the program, errors in one line, exit codes (`group`)
    train          options (`options`), resolved into a configuration (`resolve`), run (`train`)
    resume         a run gone on with from its trace
    repair         what is whole of a damaged trace
    info, plot, export (`traces`), sweep, study, report, datasets, devices, bench (modules of these names)

A further command is a module with a click command and a line in `COMMANDS` (`group`).
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def interrupt(number: int, frame: object) -> NoReturn:
    """Ctrl-C outside of a run: the program ends, and those that follow are too late to do any better."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


interrupt.ends = True  # type: ignore[attr-defined]  # see engine.Interrupts


def main() -> None:
    """Run the program on `sys.argv` and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        signal.signal(signal.SIGTERM, interrupt)  # as Ctrl-C, whatever is being done
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as shells start what runs behind
            signal.signal(signal.SIGINT, interrupt)
        from .group import cli

        cli()
    except KeyboardInterrupt:  # while still loading
        print("analogmgd: interrupted", file=sys.stderr)
        sys.exit(130)
