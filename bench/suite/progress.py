"""What runs now, on standard error: a bar on a terminal, a line for each group of workloads elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from analogmgd.cli.output import duration


class Steps:
    """Parts of the benchmark as they pass; a context manager.

    total : number of parts
    """

    def __init__(self, total: int) -> None:
        self._total, self._at, self._began = total, 0, time.monotonic()
        self._bar: Any = None
        self._last = ""

    def __enter__(self) -> Steps:
        if sys.stderr.isatty():
            from tqdm import tqdm

            tqdm.monitor_interval = 0
            self._bar = tqdm(
                total=self._total, file=sys.stderr, leave=False, dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar:20}| {elapsed} {desc}",
            )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, what: str) -> None:
        """What begins now."""
        if self._bar is not None:
            self._bar.set_description_str(what)
        elif (part := what.partition(":")[0]) != self._last:
            self._last = part
            print(f"{duration(round(time.monotonic() - self._began)):>10}  {part}", file=sys.stderr, flush=True)

    def done(self) -> None:
        """A part is complete."""
        if self._bar is not None:
            self._bar.update(1)
