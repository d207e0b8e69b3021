"""The command line. Only `click` is loaded here; a command loads what it needs when it runs.

    main           entry of the program, errors in one line, exit codes (`group`)
    train          options (`options`), resolved into a configuration (`resolve`), run (`train`)
    resume         a run gone on with from its trace
    repair         what is whole of a damaged trace
    info, plot, export (`traces`), sweep, study, report, datasets, devices, bench (modules of these names)

A further command is a module with a click command and a line in `COMMANDS` (`group`).
"""

from __future__ import annotations

import contextlib
import signal
import sys


def main() -> None:
    """Run the program on `sys.argv` and exit: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, whatever is being done
        from .group import cli

        cli()
    except KeyboardInterrupt:  # while still loading
        print("analogmgd: interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said: one more Ctrl-C would end it with a traceback
