"""The program itself: commands loaded when they are called, every error one line, exit codes."""

from __future__ import annotations

import errno
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from analogmgd import __version__
from analogmgd.errors import AnalogMGDError, ConfigError

FAILED, USAGE, INTERRUPTED = 1, 2, 130  # exit codes
LONGEST = 500  # letters of an error's line
# name -> module of this package, line of the help. The command has the name of the attribute, "-" as "_".
COMMANDS = {
    "train": ("train", "Train an ensemble of emulated chips and keep a trace."),
    "resume": ("resume", "Go on with a run that was stopped or killed, or give it more steps."),
    "sweep": ("sweep", "Train ensembles of chips at many points of settings."),
    "study": ("study", "Carry out studies that come with the package: figure, table, what they show."),
    "info": ("traces", "Say what a trace or a sweep holds."),
    "repair": ("repair", "Salvage what is whole of a damaged trace into a new one."),
    "plot": ("traces", "Draw a trace, or a sweep."),
    "report": ("report", "Write traces and sweeps as one page of HTML."),
    "export": ("traces", "Write a trace or a sweep as CSV, NumPy or Parquet files."),
    "datasets": ("datasets", "List data sets, or show what one looks like."),
    "devices": ("devices", "List device presets, show or draw one, or fit one of your own."),
    "bench": ("bench", "Measure the speed beside JAX, PyTorch and NumPy doing the same."),
}
EXAMPLE = """\b
Examples:
  analogmgd train parity                 a few seconds: XOR, learnt by 256 chips
  analogmgd train digits --out run.h5    half a minute: real handwritten digits
  analogmgd info run.h5
  analogmgd plot run.h5 -o run.png
"""


def one_line(text: object) -> str:
    """Text without line breaks or control characters, and of no more than `LONGEST` letters."""
    words = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else "?" for c in words)
    if len(line) <= LONGEST:
        return line
    line = re.sub(r"\S{120,}", lambda word: f"{word[0][:60]}...{word[0][-20:]}", line)  # names of thousands of letters
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 150]} ... {line[-140:]}"


def usage_line(error: click.ClickException) -> str:
    """What a usage error of click says, in this program's form."""
    text = one_line(error.format_message())
    if text.startswith("No such command") and isinstance(error, click.UsageError) and error.ctx:
        group = error.ctx.command
        if isinstance(group, click.Group) and "mean" not in text:
            text = f"{text.rstrip('.')}; commands: {', '.join(group.list_commands(error.ctx))}"
    text = re.sub(r"\.? \(?Did you mean (one of: )?(.*)\?\)?$", r" (did you mean \2?)", text)
    text = text[:1].lower() + text[1:]
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text = f"{text.rstrip('.')} (see {error.ctx.command_path} --help)"
    return text


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Python's warnings as one line each."""

    def show(message: Warning | str, *rest: Any, **more: Any) -> None:
        print(f"analogmgd: warning: {one_line(message)}", file=sys.stderr)

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def quiet_stdout() -> None:
    """Nobody reads standard output any more (or it cannot be written): let the exit be silent."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def explain(error: BaseException) -> tuple[int, str]:
    """Exit code and line of an error."""
    if isinstance(error, ConfigError):
        return USAGE, one_line(error)
    if isinstance(error, AnalogMGDError):
        return FAILED, one_line(error)
    if isinstance(error, click.ClickException):
        return error.exit_code if not isinstance(error, click.UsageError) else USAGE, usage_line(error)
    if isinstance(error, MemoryError):
        return FAILED, f"out of memory: {one_line(error) or 'use fewer chips, or a smaller network'}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return FAILED, one_line(f"{where}{error.strerror or error}")
    hint = "a bug; ANALOGMGD_DEBUG=1 shows where"
    return FAILED, f"{type(error).__name__}: {one_line(error)} ({hint})"


class Program(click.Group):
    """The group of all commands. Its `main` is the only place where errors become lines and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f".{COMMANDS[name][0]}", __package__), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> NoReturn:
        """Run, and exit with the right code whatever happens."""
        for stream in (sys.stdout, sys.stderr):  # a character the terminal does not have is no reason to stop
            with suppress(AttributeError, ValueError, OSError):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        with plain_warnings():
            code = self._run(args)
        sys.exit(code)

    def _run(self, args: Sequence[str] | None) -> int:
        try:
            code = super().main(args, prog_name="analogmgd", standalone_mode=False)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except (KeyboardInterrupt, click.Abort):
            print("analogmgd: interrupted", file=sys.stderr)
            return INTERRUPTED
        except Exception as error:
            if os.environ.get("ANALOGMGD_DEBUG"):
                raise
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                quiet_stdout()  # the reader has gone: as with other programs, no word about it
                return FAILED
            code, line = explain(error)
            print(f"analogmgd: error: {line}", file=sys.stderr)
            with suppress(Exception):
                sys.stdout.flush()
                return code
            quiet_stdout()
            return code


@click.command(
    cls=Program,
    epilog=EXAMPLE,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="analogmgd", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Emulate analog neural hardware that trains itself by multiplexed gradient descent."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
