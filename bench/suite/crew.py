"""The workers as the command sees them: started, asked, stopped."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from typing import Any

ANSWER_SECONDS = 900  # a worker that is silent for longer is ended


class WorkerError(Exception):
    """A worker could not do what was asked; its text is one line."""


class Missing(WorkerError):
    """What a worker needs is not installed."""


class Worker:
    """A process of one side; `ask` sends a request and waits for the answer."""

    def __init__(self, side: str, cpus: list[int]) -> None:
        self.side = side
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the worker)
        # -P and the path of this process: the same package, whatever folder this is
        path = os.pathsep.join(p or os.getcwd() for p in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.worker", side, ",".join(map(str, cpus))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the command, which ends its workers
        )  # fmt: skip
        self._buffer = b""
        try:
            hello = self._receive()
        except BaseException:
            self.stop()
            raise
        if "missing" in hello:
            self.stop()
            raise Missing(str(hello["missing"]))
        self.versions: dict[str, str] = hello["versions"]

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The answer, or WorkerError."""
        if not self.alive:
            raise WorkerError(f"{self.side}: {self._last_words()}")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise WorkerError(f"{self.side}: {self._last_words()}") from None
        answer = self._receive()
        if "error" in answer:
            raise WorkerError(f"{self.side}: {answer['error']}")
        return answer

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it at once."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        number = self._process.stdout.fileno()
        end = time.monotonic() + ANSWER_SECONDS
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([number], [], [], max(0.0, end - time.monotonic()))
            if not readable:
                self._process.kill()
                raise WorkerError(f"{self.side}: no answer for {ANSWER_SECONDS} s")
            piece = os.read(number, 65536)
            if not piece:
                self._process.wait()
                raise WorkerError(f"{self.side}: {self._last_words()}")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def _last_words(self) -> str:
        """The last line the process wrote to standard error."""
        if self._log.closed:
            return "was stopped"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "ended without a word")


class Crew:
    """Workers by side, started when first needed; a context manager that ends them all."""

    def __init__(self, cpus: list[int]) -> None:
        self.cpus = cpus
        self._workers: dict[str, Worker] = {}

    def __getitem__(self, side: str) -> Worker:
        if side not in self._workers or not self._workers[side].alive:
            self._workers[side] = Worker(side, self.cpus)
        return self._workers[side]

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers.values():
            worker.stop()
