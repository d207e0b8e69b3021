"""What the tests of the command line share: running it in this process and as a program."""

import json
import subprocess
import sys

from click.testing import CliRunner

from analogmgd.cli.group import cli

RUN = [sys.executable, "-P", "-m", "analogmgd"]


def call(*args):
    """Run a command in this process; has exit_code, stdout, stderr."""
    return CliRunner().invoke(cli, [str(a) for a in args])


def done(*args):
    """Run a command that has to succeed; its standard output."""
    result = call(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def program(*args, cwd=None, **settings):
    """Run a command as a program of its own."""
    return subprocess.run(
        [*RUN, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=120, check=False, **settings
    )


def strict(text):
    """The one JSON object that `text` is, without NaN and infinities."""

    def refuse(constant):
        raise AssertionError(f"{constant} in JSON")

    value = json.loads(text, parse_constant=refuse)
    assert isinstance(value, dict)
    return value


def refusal(*args):
    """Run a command that has to be refused as wrong usage; its one line."""
    result = call(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("analogmgd: error: ")
    assert len(lines[0]) < 400
    return lines[0].removeprefix("analogmgd: error: ")
