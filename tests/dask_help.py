"""A Dask scheduler and workers as processes of their own."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

SECONDS = 120  # until something that has to happen has not


class Processes:
    """A scheduler and its workers; those that are left are killed in the end."""

    def __init__(self, folder, **environment):
        self.folder = folder
        self.env = {**os.environ, **environment}
        self.all = []
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
            "--scheduler-file",
            str(file),
        )
        until(lambda: file.exists() and file.stat().st_size > 0)
        self.address = json.loads(file.read_text())["address"]

    def _start(self, kind, *words):
        log = open(self.folder / f"{kind}-{len(self.all)}.log", "wb")  # noqa: SIM115
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words],
                cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.all.append(process)
        return process

    def worker(self, *words, nanny=False):
        """A worker with one thread, unless `words` say otherwise."""
        words = words or ("--nthreads", "1")
        more = "--nanny" if nanny else "--no-nanny"
        return self._start("worker", self.address, more, "--no-dashboard", "--host", "127.0.0.1", *words)


@contextmanager
def processes(folder, **environment):
    """`Processes` that end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Processes(folder, **environment)
    try:
        yield made
    finally:
        for process in reversed(made.all):
            process.terminate()  # a nanny takes its worker with it
        for process in made.all:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def until(true, seconds=SECONDS):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.02)
