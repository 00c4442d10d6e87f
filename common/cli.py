"""The command line: subcommands made from settings dataclasses, errors in one line.

Exit status: 0 when the command did its work, 2 for bad arguments or input, 1 for a run that failed; 128 plus the
signal's number for a run that a signal stopped: 130 after Ctrl-C, 143 after SIGTERM, 138 after SIGUSR1.
A traceback is only shown with ``--debug``.

Credits: tyro for command lines from dataclasses; CleanRL for this use of it.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import io
import itertools
import os
import pkgutil
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast, get_args, get_type_hints

import tyro

from common.errors import Interrupted, UserError, first_line
from common.extras import missing_extra
from common.options import Command

Commands = Mapping[str, tuple[type[Any], Callable[[Any], None] | str]]
"""For each subcommand its settings dataclass, and the function that takes it, or where that is: ``module:function``, a
module that is imported when the command runs, so that help and mistakes need not wait for it."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Commands under one name, as in ``run_pegasus.py colourise train``.

    :param summary: what the program's help says of them
    :param about: as for ``run_cli``
    """

    commands: Commands
    summary: str
    about: str


UNWRAPPED = "10000"  # columns


def run_cli(
    commands: Commands,
    arguments: Sequence[str] | None = None,
    about: str | None = None,
    program: str | None = None,
    groups: Mapping[str, Group] | None = None,
) -> int:
    """Parse the command line, run the command, and print errors.

    :param arguments: command line without the program's name; default ``sys.argv``
    :param about: the program's docstring, which help shows: prose, and examples as indented lines. The help of a
        command shows its examples
    :param program: what help calls the program; default: the name of its file
    :param groups: names under which there are further commands
    :return: exit status
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    groups = groups or {}
    if arguments and arguments[0] in groups:
        group = groups[arguments[0]]
        name = f"{program or os.path.basename(sys.argv[0])} {arguments[0]}"
        return run_cli(group.commands, arguments[1:], group.about, name)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files may have bytes that no terminal shows
            stream.reconfigure(errors="backslashreplace")
    try:
        _refuse_empty(arguments)
        name, settings = _parse(commands, arguments, about or "", program, groups)
        function = commands[name][1]
        if isinstance(function, str):
            function = _loaded(function)
        function(settings)
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
    except MemoryError as error:
        _report(UserError(f"out of memory ({error or 'no more is left'}); ask for less"), "--debug" in arguments)
        return 1
    except Exception as error:
        _report(missing_extra(error) or error, "--debug" in arguments)
        return 1


def _loaded(place: str) -> Callable[[Any], None]:
    """The function at ``module:function``; a terminal says meanwhile why nothing happens."""
    terminal = sys.stderr.isatty() and place.partition(":")[0] not in sys.modules
    if terminal:
        print("loading libraries ...", end="", file=sys.stderr, flush=True)
    try:
        return cast(Callable[[Any], None], pkgutil.resolve_name(place))
    finally:
        if terminal:  # the line is taken back
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


MAY_BE_EMPTY = ("--weights",)  # no conditions


def _refuse_empty(arguments: Sequence[str]) -> None:
    """An empty text would be taken for the default, which is hardly meant: a script's variable was not set.

    :raises UserError: for an empty argument, with its flag
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        flag, equals, value = argument.partition("=") if argument.startswith("--") else (before, "=", argument)
        if equals and not value.strip() and flag not in MAY_BE_EMPTY:
            where = flag if flag.startswith("--") else "an argument"
            raise UserError(f"{where} is empty; leave it out, or say something")


def with_whole_numbers(kind: type[Any], arguments: Sequence[str]) -> list[str]:
    """The arguments, in which whole numbers such as 1e6 are written out where an option takes whole numbers."""
    flags = {f"--{name.replace('_', '-')}" for name in _whole_options(kind)}
    written = []
    flag = ""
    for argument in arguments:
        flag = argument if argument.startswith("--") else flag
        if flag in flags and re.fullmatch(r"\d{1,9}(\.\d{0,9})?[eE]\+?\d{1,2}", argument):
            number = Decimal(argument)
            argument = str(int(number)) if number == int(number) else argument
        written.append(argument)
    return written


def _whole_options(kind: type[Any]) -> Iterator[str]:
    """The names of the options of a dataclass that take whole numbers, also of nested ones."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _whole_options(cast(type[Any], hint))
        elif int in (hint, *get_args(hint)):
            yield field.name


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
        # What a user or a file said may have signs that move the cursor or change colours.
        print("error: " + "".join(sign if sign.isprintable() else "?" for sign in str(error)), file=sys.stderr)
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        name = f"{type(error).__name__}: {first_line(error)}"
        print(f"error: {name} ({where.filename}, line {where.lineno}; --debug shows more)", file=sys.stderr)


def _parse(
    commands: Commands, arguments: Sequence[str], about: str, program: str | None, groups: Mapping[str, Group]
) -> tuple[str, Any]:
    """The subcommand's name and its settings; tyro's box with an error message becomes one line."""
    kinds: dict[str, Callable[..., Any]] = {name: grouped(kind) for name, (kind, _) in commands.items()}
    kinds |= {
        name: dataclasses.make_dataclass(name, [], namespace={"__doc__": group.summary})
        for name, group in groups.items()
    }
    wants_help = not {"-h", "--help"}.isdisjoint(arguments)
    if arguments and arguments[0] in commands:
        arguments = with_whole_numbers(commands[arguments[0]][0], arguments)
    messages = io.StringIO()
    # tyro draws its boxes by the encoding of the output.
    encoding = codecs.lookup(sys.stdout.encoding).name
    written = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", write_through=True)
    width = contextlib.nullcontext() if wants_help else _columns(UNWRAPPED)
    try:
        with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(written), width:
            parsed = tyro.extras.subcommand_cli_from_dict(
                kinds, prog=program, args=arguments, config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
            )
    except SystemExit as stop:
        if stop.code in (0, None):  # --help
            written.seek(0)
            print(introduction(about, arguments[0] if arguments[0] in commands else None))
            print(tidied(written.read()), end="")
            raise
        # The box is drawn with lines, or with dashes and bars where the terminal has none; its first line is a title.
        box = re.compile(r"[─-╿]|-{4,}|^\||\|$|\x1b\[[0-9;]*m")
        lines = [box.sub(" ", line).strip() for line in messages.getvalue().splitlines()]
        text = " ".join(line for line in lines[1:] if line)
        raise UserError(text.split("For full helptext")[0].strip() or "bad arguments; try --help") from stop
    name = next(name for name, kind in kinds.items() if type(parsed) is kind)
    return name, ungrouped(commands[name][0], parsed)


def introduction(about: str, command: str | None) -> str:
    """What help says first: a docstring without its credits, as wide as the terminal; of a command its examples alone.

    :param about: the docstring; indented paragraphs are examples
    """
    parts = []
    for paragraph in about.partition("Credits:")[0].strip("\n").split("\n\n"):
        if paragraph.startswith("    "):
            lines = [line for line in paragraph.splitlines() if command is None or f" {command} " in f"{line} "]
            parts.append("".join(f"{line}\n" for line in lines))
        elif command is None and paragraph.strip():
            parts.append(textwrap.fill(paragraph, _terminal_width()) + "\n")
    return "\n".join(parts)


def tidied(text: str) -> str:
    """tyro's help, its first lines above the boxes as wide as the terminal, and without defaults that say nothing:
    the help of an option whose default is None says what is meant."""
    lines = text.splitlines()
    head = list(itertools.takewhile(lambda line: re.match(r"\w|$", line), lines))
    boxes = "\n".join(lines[len(head) :]) + "\n"
    nothing = re.compile(r"\(default:([\s│|]*)(?:None)?\)")
    boxes = nothing.sub(lambda found: re.sub(r"[^\s│|]", " ", found[0]), boxes)
    boxes = re.sub(r"^[│|] +[│|]\n", "", boxes, flags=re.MULTILINE)
    boxes = refilled(boxes)
    # The list of subcommands has no spaces, at which it could be broken.
    head = [re.sub(r"(?<=\w),(?=\w)", ", ", line) for line in head]
    return "".join(f"{textwrap.fill(line, _terminal_width())}\n" for line in head) + boxes


def refilled(boxes: str) -> str:
    """Boxes of options, each option's help filled anew: tyro breaks its lines also where a docstring's lines end."""
    rows = [re.fullmatch(r"([│|]) (.*) ([│|])", line) for line in boxes.splitlines()]
    filled: list[str] = []
    for line, row in zip(boxes.splitlines(), rows, strict=True):
        indent = re.match(r" {4,}(?=[^ ])", row[2]) if row else None
        before = re.fullmatch(r"([│|]) (.*) ([│|])", filled[-1]) if filled else None
        if row is None or indent is None or before is None:
            filled.append(line)
            continue
        column = indent.end()
        # The row before ends with help if that stands in the same column; else it is a flag without room beside it.
        head, text = before[2][:column], before[2][column:].strip()
        if not head.endswith("  ") or not text:
            filled.append(line)
            continue
        words = textwrap.wrap(f"{text} {row[2].strip()}", len(row[2]) - column, break_on_hyphens=False)
        heads = [head, *(" " * column for _ in words[1:])]
        filled[-1:] = [f"{row[1]} {a}{b:<{len(row[2]) - column}} {row[3]}" for a, b in zip(heads, words, strict=True)]
    return "\n".join(filled) + "\n"


def _terminal_width() -> int:
    return max(40, shutil.get_terminal_size().columns)


@contextlib.contextmanager
def _columns(number: str) -> Iterator[None]:
    """The width of the terminal as the environment says it, inside the context."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = number
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def grouped(kind: type[Any]) -> type[Any]:
    """A dataclass like ``kind`` whose inherited options are in groups, of which help shows each in a box of its own.

    A class that inherits from ``Command`` alone has no groups. Of another, each further base is one, ``RunOptions`` the
    group ``run``; all its own fields are groups already, nested dataclasses.
    """
    bases = [base for base in kind.__bases__ if base is not Command]
    if len(bases) < 2:
        return kind
    hints = get_type_hints(kind, include_extras=True)
    nested = [(base.__name__.removesuffix("Options").lower(), base) for base in bases]
    nested += [(name, hints[name]) for name in _own(kind, bases)]
    return dataclasses.make_dataclass(
        kind.__name__,
        [(name, group, dataclasses.field(default_factory=group)) for name, group in nested],
        bases=(Command,),
        namespace={"__doc__": kind.__doc__},
        frozen=True,
        kw_only=True,
    )


def ungrouped(kind: type[Any], parsed: Any) -> Any:
    """The settings that were parsed as ``grouped(kind)``."""
    if type(parsed) is kind:
        return parsed
    own = _own(kind, kind.__bases__)
    values: dict[str, Any] = {}
    for name, value in vars(parsed).items():
        values |= vars(value) if dataclasses.is_dataclass(value) and name not in own else {name: value}
    return kind(**values)


def _own(kind: type[Any], bases: Sequence[type[Any]]) -> list[str]:
    """The fields of a dataclass that none of its bases has."""
    inherited = {field.name for base in (*bases, Command) for field in dataclasses.fields(base)}
    return [field.name for field in dataclasses.fields(kind) if field.name not in inherited]
