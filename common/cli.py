"""The command line: subcommands made from settings dataclasses, errors in one line.

Exit status: 0 when the command did its work, 2 for bad arguments or input, 1 for a run that failed; 128 plus the
signal's number for a run that a signal stopped: 130 after Ctrl-C, 143 after SIGTERM, 138 after SIGUSR1.
A traceback is only shown with ``--debug``.

Credits: tyro for command lines from dataclasses; CleanRL for this use of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from common.errors import Interrupted, UserError, first_line


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Settings of every command."""

    debug: bool = False
    """Show a traceback after an error."""


Commands = dict[str, tuple[type[Any], Callable[[Any], None]]]


def run_cli(commands: Commands, arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run the command, and print errors.

    :param commands: for each subcommand its settings dataclass and the function that takes it
    :param arguments: command line without the program's name; default ``sys.argv``
    :return: exit status
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        settings = _parse(commands, arguments)
        run = next(function for kind, function in commands.values() if type(settings) is kind)
        run(settings)
        return 0
    except UserError as error:
        _report(error, "--debug" in arguments)
        return error.status
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0  # the reader, such as head, has closed the pipe
    except Exception as error:
        _report(error, "--debug" in arguments)
        return 1


def arguments_of(settings: Any) -> list[str]:
    """The command-line arguments for some settings, as ``run_cli`` parses them.

    :param settings: a dataclass with a default for each field; fields that equal their defaults are left out, and
        nested settings as well
    """
    arguments = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value == field.default or dataclasses.is_dataclass(value):
            continue
        flag = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            arguments.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            arguments += [flag, *map(str, value)]
        else:
            arguments += [flag, str(value)]
    return arguments


def _report(error: Exception, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    elif isinstance(error, UserError):
        print(f"error: {error}", file=sys.stderr)
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        name = f"{type(error).__name__}: {first_line(error)}"
        print(f"error: {name} ({where.filename}, line {where.lineno}; --debug shows more)", file=sys.stderr)


def _parse(commands: Commands, arguments: Sequence[str]) -> Any:
    """Parse with tyro; its box with an error message becomes one line."""
    messages = io.StringIO()
    columns = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"  # so that tyro does not wrap lines
    try:
        with contextlib.redirect_stderr(messages):
            kinds: dict[str, Callable[..., Any]] = {name: kind for name, (kind, _) in commands.items()}
            return tyro.extras.subcommand_cli_from_dict(kinds, args=arguments, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            raise
        # The box is drawn with lines, or with dashes and bars where the terminal has none; its first line is a title.
        box = re.compile(r"[─-╿]|-{4,}|^\||\|$|\x1b\[[0-9;]*m")
        lines = [box.sub(" ", line).strip() for line in messages.getvalue().splitlines()]
        text = " ".join(line for line in lines[1:] if line)
        raise UserError(text.split("For full helptext")[0].strip() or "bad arguments; try --help") from stop
    finally:
        if columns is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = columns
